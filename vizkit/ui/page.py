"""What every page starts with: its frame, the sidebar with clip, model and sampling, and the guard around its parts."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

import vizkit
from vizkit.catalog import MODULES
from vizkit.contracts import SampledClip, Sampling, VideoClip
from vizkit.errors import VizkitError
from vizkit.ui import class_map, compute, jobs, state
from vizkit.ui.controls import settings_controls
from vizkit.ui.gallery import gallery_clip, gallery_names
from vizkit.ui.own import PREFIX, own_names
from vizkit.ui.store import Box
from vizkit.ui.words import plain

Made = TypeVar("Made")

log = logging.getLogger(__name__)

PAGES = {
    "pages/clip.py": "Clip and prediction",
    **{f"pages/{entry.key}.py": entry.title for entry in MODULES},
    "pages/together.py": "All at once",
    "pages/compare.py": "Compare",
    "pages/models.py": "Models",
}
"""File -> title: the first page, one for each paper, all papers at one point, what is held against each other, and the models."""

UPLOAD_TYPES = ["mp4", "mov", "avi", "mkv", "webm", "gif", "zip", "npz", "npy"]
MOST = {"segments": 32, "frames": 32, "frames_per_segment": 16, "interval": 16, "short_side_px": 448}
"""What the sliders offer; more is for the command line."""

ICON = Path(__file__).parent / "icon.png"

STYLE = """<style>
.stMainBlockContainer { padding: 2.4rem 2.4rem 4rem; }
[data-testid="stSidebarUserContent"] { padding-top: 0.5rem; }
.vz-bars { width: 100%; border-collapse: collapse; }
.vz-bars td, .vz-bars th { padding: 3px 0; border: 0; font-weight: 400; text-align: left; vertical-align: middle; }
.vz-bars th { overflow-wrap: anywhere; line-height: 1.25; padding-right: 12px; }
.vz-bars tr:first-child th { font-weight: 600; }
.vz-bars td.value { width: 4.2em; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.vz-bars td.bar { width: 40%; }
.vz-bars td.bar > div { height: 12px; min-width: 1px; border-radius: 2px; background: currentColor; opacity: 0.8; }
.vz-scores { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.vz-scores th, .vz-scores td { padding: 2px 24px 2px 0; border: 0; font-weight: 400; text-align: left; }
.vz-scores tr:first-child th { font-weight: 600; }
.vz-steps { display: flex; flex-wrap: wrap; gap: 8px 26px; margin: 0; padding: 0; list-style: none; }
.vz-steps li { position: relative; margin: 0; }
.vz-steps li + li::before { content: "\\2192"; position: absolute; left: -20px; }
.vz-steps span { display: block; font-size: 0.85em; opacity: 0.8; }
</style>"""


@dataclass(frozen=True)
class Scene:
    """What a page is about: one clip, one model, one sampling."""

    clip: VideoClip
    """The chosen clip."""
    title: str
    """What the list of clips calls it."""
    frames: SampledClip
    """What the network sees of it."""
    model: str
    """Name of the network."""
    queue: jobs.Queue
    """This session's jobs."""
    bar: DeltaGenerator
    """Where the clip bar stands."""

    def run(self, job: Callable[[], Made]) -> Made:
        """Run a job about this scene when it is its turn (:meth:`vizkit.ui.jobs.Queue.run`)."""
        return self.queue.run(job, about=compute.run_key(self.model, self.frames))


def setup(title: str, *, about: str = "") -> Scene:
    """Draw the frame of a page and read what the visitor has chosen.

    Args:
        title: printed on top and on the browser's tab.
        about: one sentence under the title.

    Returns:
        The chosen clip, sampled; the page stops here, with one sentence, when that is impossible.
    """
    _frame(title)
    state.come_to(title, ("clip", "model", *class_map.KEYS, *Sampling.model_fields))
    box = state.session_box()
    with st.sidebar:
        name, clip = _choose_clip(box)
        model = _choose_model()
        sampling_slot = st.container()
    _headline(title, about)
    bar = st.container()
    with guarded(stop=True):
        with sampling_slot:
            sampling = state.sampling(_choose_sampling(model), clip.duration_s)
        frames = compute.sampled(clip, sampling)
    state.write_address()
    queue = st.session_state.setdefault("queue", jobs.Queue())
    return Scene(clip, name, frames, model, queue, bar)


def setup_plain(title: str, *, about: str = "") -> None:
    """Draw the frame of a page that is about no clip; what was chosen on other pages is kept for them.

    Args:
        title: printed on top and on the browser's tab.
        about: one sentence under the title.
    """
    _frame(title)
    state.come_to(title, ("clip", "model", *class_map.KEYS, *Sampling.model_fields))
    _headline(title, about)


def _frame(title: str) -> None:
    st.set_page_config(page_title=f"{title} · vizkit", page_icon=ICON, layout="wide", initial_sidebar_state=290)
    st.html(STYLE)
    with st.sidebar, st.container(gap="xsmall"):
        for path, label in PAGES.items():
            link(path, label)


def _headline(title: str, about: str) -> None:
    st.title(title, anchor=False)
    if about:
        st.markdown(about)


@contextmanager
def caught(report: Callable[[str], None]) -> Iterator[None]:
    """Turn an error into one sentence.

    What a visitor can mend is said as it is. A bug is an error id for the visitor and a traceback under the same id in the log.

    Args:
        report: takes the sentence, safe as Markdown.
    """
    try:
        yield
    except VizkitError as error:
        report(plain(error.message))
    except jobs.SupersededError:
        st.stop()
    except Exception:
        number = secrets.token_hex(4)
        log.exception("error id %s, vizkit %s", number, vizkit.__version__)
        report(f"Something went wrong (error id {number}). The details are in the server's log.")


@contextmanager
def guarded(*, stop: bool = False) -> Iterator[None]:
    """Keep an error inside one part of a page: its sentence stands there, the other parts go on.

    Args:
        stop: end the page here after an error.
    """
    said: list[str] = []
    with caught(said.append):
        yield
    for sentence in said:
        st.error(sentence, icon=":material/error:")
    if said and stop:
        st.stop()


def link(path: str, label: str) -> None:
    """Link to a page of the app; a page that runs alone has none."""
    try:
        st.page_link(path, label=label)
    except StreamlitAPIException:
        log.debug("no page %s: this page runs alone", path)


def forget_copies() -> None:
    """Drop what Streamlit itself keeps of this session's uploads, named by a widget or not, from its memory."""
    context = get_script_run_ctx()
    if context is not None:
        context.uploaded_file_mgr.remove_session_files(context.session_id)


# --------------------------------------------------------------------------------------------- the sidebar


def _choose_clip(box: Box) -> tuple[str, VideoClip]:
    st.subheader("Clip", anchor=False)
    slot = st.container()
    _take_upload(box)
    options = [*gallery_names(), *box.clips]
    with slot:
        wanted = state.asked("clip")
        if wanted and wanted not in options:
            st.info(f"This link shows {plain(wanted)}: upload that clip to open it.")
        name = st.selectbox("Clip", options, key="clip", bind="query-params", on_change=state.new_clip, label_visibility="collapsed")
        if name in box.clips:
            st.button("Remove this upload", on_click=_remove, args=(box, name), type="tertiary", icon=":material/delete:")
    return (box.clips[name].name, box.clips[name]) if name in box.clips else (name, gallery_clip(name))


def _remove(box: Box, name: str) -> None:
    box.remove(name)
    del st.session_state["clip"]
    state.new_clip()


def _take_upload(box: Box) -> None:
    """Move an upload into our store and show it; a bad one is a sentence, and the clip before it stays."""
    turn = st.session_state.setdefault("uploads", 0)
    upload = st.file_uploader("Upload a clip", UPLOAD_TYPES, key=f"upload-{turn}")
    if "upload_error" in st.session_state:
        st.error(st.session_state["upload_error"], icon=":material/error:")
    if upload is None:
        return
    st.session_state.pop("upload_error", None)
    st.session_state["uploads"] = turn + 1
    content = upload.getvalue()
    forget_copies()
    try:
        with st.spinner("Reading the clip …"):
            st.session_state["clip"] = box.add(upload.name, content)
        state.new_clip(st.session_state["clip"])
    except VizkitError as error:
        st.session_state["upload_error"] = plain(error.message)
    st.rerun()


def _choose_model() -> str:
    st.subheader("Model", anchor=False)
    names = (*own_names(), *compute.model_names())
    wanted = state.asked("model")
    if wanted.startswith(PREFIX) and wanted not in names:
        st.info("This link shows a model with someone's own weights: give them on the page Models to open it.")
    return st.selectbox("Model", names, key="model", bind="query-params", on_change=_new_model, label_visibility="collapsed")


def use_model(name: str) -> None:
    """Choose another model, as if by the sidebar."""
    st.session_state["model"] = name
    _new_model()


def sample_neighbours() -> None:
    """Sample consecutive frames, as if by the sidebar."""
    st.session_state.update(scheme="dense", interval=1)


def _new_model() -> None:
    """Another model has its own sampling and its own blocks."""
    state.forget_asked("model")
    for name in (*Sampling.model_fields, "block"):
        st.session_state.pop(name, None)


def _choose_sampling(model: str) -> Sampling:
    base = compute.model_sampling(model).model_dump()
    with st.expander("Sampling", icon=":material/tune:"):
        scheme = settings_controls(Sampling, ["scheme"], values=base)
        times = ["segments", "frames_per_segment"] if scheme["scheme"] == "segments" else ["frames", "interval"]
        sizes = ["short_side_px", "crop_px"]
        chosen = settings_controls(Sampling, [*times, *sizes, "order"], values=base, most=MOST)
    if chosen["short_side_px"] != base["short_side_px"]:
        base["resize_hw"] = None  # the visitor's size instead of that of the weights
    return Sampling.parse(**{**base, **scheme, **chosen})
