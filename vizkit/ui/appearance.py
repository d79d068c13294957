"""Controls of PWTP's view: segments, display rules, slow pictures, a fit to the clip with progress and a stop, camera shake."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from vizkit.catalog import module, params_of
from vizkit.contracts import Settings
from vizkit.pipeline import open_source
from vizkit.ui import compute, jobs
from vizkit.ui.controls import changed, settings_controls
from vizkit.ui.pace import PACE, about
from vizkit.ui.page import Scene, caught
from vizkit.ui.panels import Choice

if TYPE_CHECKING:
    from vizkit.net.network import Network

PREFIX = "pwtp_"
WORDS = {
    "frames": "T, frames",
    "rank": "D, dimensions",
    "tvl1": "TV-L1",
    "tvnet": "TVNet",
    "rule": "Display rule",
    "scale": "One range for",
}
CONTROL_PX = 130
LONGER = "Dynamic appearance of 4, 8, 16 ... frames with the same first one, on one scale (figure 9 of the paper)."
LONGER_UNTRAINED = (
    "Each length has an untrained projection of its own, which lets much of what stands still through: fit to this clip above, and one is "
    "trained for each."
)
LONGER_FITTED = "One projection for each length, trained for {steps} steps: together this takes several times as long as the fit above."
STEPS, MOST_STEPS = 150, 1000
MOST_SHAKE_PX = 6
REFRESH_S = 0.4
FITS, FITTING = f"{PREFIX}fits", f"{PREFIX}fitting"
"""Names in the session: steps taken, by what was fitted; the fit that is running."""


@dataclass
class Fitting:
    """A fit that runs beside the page."""

    key: compute.Key
    """What is fitted: clip, model and settings."""
    steps: int
    """Steps that were asked for."""
    step: int = 0
    """Steps taken so far."""
    enopr: float = math.nan
    """ENoPR after the last of them."""
    ended: bool = False
    """Whether it is over, or was stopped."""
    said: str = ""
    """Why there is no result, if there is none."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set by the button."""
    began_s: float = math.nan
    """When the first step began, on the monotonic clock."""

    @property
    def taken_s(self) -> float:
        """Seconds since the first step began."""
        return time.monotonic() - self.began_s

    @property
    def left_s(self) -> float | None:
        """Seconds that the other steps take at the pace of those taken; None before the first."""
        return self.taken_s / self.step * (self.steps - self.step) if self.step else None

    def report(self, step: int, enopr: float) -> bool:
        """Take note of a step; says whether to go on."""
        self.step, self.enopr = step, enopr
        return not self.stop.is_set()


def choose(scene: Scene, network: Network) -> Choice:
    """Draw the controls and read them; what is left at its default is left out, so that the recipe is the command line's.

    Raises:
        SettingError: settings that do not go together.
    """
    from vizkit.motion.pwtp.analysis import FRAMES, RANK, front_of
    from vizkit.motion.pwtp.figure import Look

    kind, front = params_of(module("pwtp")), front_of(network)
    own = front.pwtp if front else None
    empty = {"frames": own.frames if own else min(FRAMES, len(scene.frames.frames)), "rank": own.rank if own else RANK}
    values: dict[str, Any] = {}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for name, said in empty.items():
            values |= _controls(kind, [name], empty=f"{said}{', own' if own else ''}")
        look = _controls(Look, ["rule", "scale"])
        values |= _controls(kind, ["tvl1", "tvnet"], values={"tvl1": False, "tvnet": False})
    params = kind.parse(**changed(kind, values))
    return Choice(params.model_copy(update={"fit_steps": _fitted(scene, params)}), changed(Look, look))


def _controls(kind: type[Settings], names: list[str], **options: Any) -> dict[str, Any]:
    return settings_controls(kind, names, words=WORDS, prefix=PREFIX, width_px=CONTROL_PX, **options)


def frame_by_frame(choice: Choice, segments: int) -> Choice:
    """Draw the control of the second picture: one segment, of the same analysis."""
    key = f"{PREFIX}segment"
    if segments > 1:
        if (st.session_state.get(key) or 0) >= segments:
            del st.session_state[key]
        shown = st.segmented_control("Segment", list(range(segments)), default=0, required=True, key=key)
    else:
        shown = 0
    return replace(choice, look={**choice.look, "layout": "segment", **({"segment": shown} if shown else {})})


def longer(scene: Scene, choice: Choice) -> Choice | None:
    """Draw the switch of the third picture: longer and longer sequences from the first sampled frame on; None while it is off.

    Args:
        scene: clip, frames and model.
        choice: that of the page's picture.
    """
    from vizkit.motion.pwtp.lengths import usual_lengths

    lengths = usual_lengths(len(scene.frames.frames))
    if len(lengths) < 2 or not st.toggle("Longer sequences", key=f"{PREFIX}longer", bind="query-params", help=LONGER):
        return None
    steps = getattr(choice.params, "fit_steps", 0)
    st.caption(LONGER_FITTED.format(steps=steps) if steps else LONGER_UNTRAINED)
    look = {"rule": choice.look["rule"]} if "rule" in choice.look else {}
    return Choice(choice.params.model_copy(update={"lengths": lengths}), {"layout": "lengths", **look})


def shaken(scene: Scene) -> Scene:
    """Offer to shake the camera of a synthetic clip; gives the scene with the clip that is shown then."""
    if scene.clip.codec != "world":
        return scene
    shake = st.slider("Camera shake, px", 0, MOST_SHAKE_PX, key=f"{PREFIX}shake", bind="query-params", width=3 * CONTROL_PX)
    if not shake:
        return scene
    address = f"{scene.clip.name}{',' if scene.clip.name.count(':') > 2 else ':'}shake={shake}"
    clip = compute.RESULTS.get(("world", address), lambda: open_source(address)[0])
    return replace(scene, clip=clip, frames=compute.sampled(clip, scene.frames.sampling))


# --------------------------------------------------------------------------------------------- the fit


def _fitted(scene: Scene, params: Settings) -> int:
    """Draw the fit's part of the controls; gives the steps that the shown projection was trained for, 0 for the untrained one."""
    key: compute.Key = (*compute.run_key(scene.model, scene.frames), compute.settings_key(_what_counts(params)))
    fits: dict[compute.Key, int] = st.session_state.setdefault(FITS, {})
    fitting: Fitting | None = st.session_state.get(FITTING)
    if fitting is not None and (fitting.ended or fitting.key != key):
        _end(fitting, fits)
        fitting = None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if fitting is not None:
            _progress(fitting)
            return 0
        if key in fits:
            st.button("Forget the fit", key=f"{PREFIX}forget", on_click=_forget, args=(key,), icon=":material/undo:", type="tertiary")
            st.caption(f"Fitted to this clip, {fits[key]} steps.")
            return fits[key]
        steps = st.number_input("Steps", 1, MOST_STEPS, STEPS, step=50, key=f"{PREFIX}steps", width=CONTROL_PX)
        st.button(
            "Fit to this clip", key=f"{PREFIX}fit", on_click=_start, args=(scene, params, key, steps), icon=":material/model_training:"
        )
        took = about(PACE.seconds(_pace(scene), steps * scene.frames.frames.size))
        st.caption(f"Trains the projection on this clip alone, without labels{f', in {took}' if took else ''}.")
    return 0


def _forget(key: compute.Key) -> None:
    st.session_state[FITS].pop(key, None)


def _what_counts(params: Settings) -> dict[str, Any]:
    """The settings that a fit depends on."""
    return {name: value for name, value in params.model_dump().items() if name in ("frames", "rank", "seed")}


def _start(scene: Scene, params: Settings, key: compute.Key, steps: int) -> None:
    fitting = Fitting(key, steps)
    st.session_state[FITTING] = fitting
    job = params.model_copy(update={"fit_steps": steps})
    threading.Thread(target=_fit, args=(fitting, scene, job), daemon=True).start()


def _fit(fitting: Fitting, scene: Scene, params: Any) -> None:
    """Fit beside the page; what is reached is kept with the run, where the analysis finds it."""
    from vizkit.motion.pwtp.analysis import fit

    def fail(sentence: str) -> None:
        fitting.said = sentence

    def job() -> None:
        run = compute.run(scene.model, scene.frames)
        fitting.began_s = time.monotonic()
        fit(run, params, fitting.report)
        PACE.note(_pace(scene), fitting.step * scene.frames.frames.size, fitting.taken_s)

    try:
        with caught(fail):
            jobs.Queue().run(job, limit_s=math.inf)
    finally:
        fitting.ended = True


def _pace(scene: Scene) -> tuple[str, ...]:
    """The kind of work that fits are, by which later ones are told."""
    return "fit", scene.model


def _end(fitting: Fitting, fits: dict[compute.Key, int]) -> None:
    """Take what a fit has reached, or say why it has not; one for another clip or other settings is stopped."""
    fitting.stop.set()
    st.session_state[FITTING] = None
    if fitting.said:
        st.error(fitting.said, icon=":material/error:")
    elif fitting.ended:
        fits[fitting.key] = fitting.step


@st.fragment(run_every=REFRESH_S)
def _progress(fitting: Fitting) -> None:
    """Show how far a fit is, and a button that stops it; draw the whole page when it is over."""
    if fitting.ended:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        said = f"step {fitting.step} of {fitting.steps}, ENoPR {fitting.enopr:.3f}" if fitting.step else "starting …"
        said += f", {left} left" if (left := about(fitting.left_s)) else ""
        st.progress(fitting.step / fitting.steps, text=said, width=3 * CONTROL_PX)
        st.button("Stop", key=f"{PREFIX}stop", on_click=fitting.stop.set, icon=":material/stop:")
