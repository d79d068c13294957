"""Uploads: made-up names on disk, a quota, and nothing left behind."""

from __future__ import annotations

import io
import resource
import signal
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vizkit.errors import ClipError
from vizkit.ui import store as store_module
from vizkit.ui.store import Store


def clip_bytes(value: int = 7, frames: int = 3) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, frames=np.full((frames, 32, 40, 3), value, np.uint8))
    return buffer.getvalue()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.mark.parametrize("name", ["../../../../tmp/escape.npz", "a\x00b.npz", "..\\..\\windows.npz", "x" * 500 + ".npz", "\u202egnp.npz"])
def test_names_are_never_paths(store: Store, name: str):
    box = store.box()
    label = box.add(name, clip_bytes())
    (kept,) = files(store.root)
    assert kept.parent == box.folder
    assert kept.stem not in label
    shown = box.clips[label].name
    assert len(shown) <= 80
    assert all(character.isprintable() for character in shown)
    assert not {"/", "\\"} & set(shown)


def test_files_are_closed_to_others(store: Store):
    box = store.box()
    box.add("clip.npz", clip_bytes())
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(box.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(files(box.folder)[0].stat().st_mode) == 0o600


def test_clip_can_be_read_as_long_as_it_is_kept(store: Store):
    box = store.box()
    clip = box.clips[box.add("clip.npz", clip_bytes(value=9))]
    assert (clip.read([0, 2]) == 9).all()
    box.remove(next(iter(box.clips)))
    assert files(store.root) == []


def test_bad_clip_leaves_nothing(store: Store):
    box = store.box()
    with pytest.raises(ClipError) as caught:
        box.add("bad.mp4", b"this is no video")
    assert "bad.mp4" in caught.value.message
    assert files(store.root) == []
    assert box.used_bytes == 0


def test_same_clip_twice_is_kept_once(store: Store):
    box = store.box()
    assert box.add("a.npz", clip_bytes()) == box.add("a.npz", clip_bytes())
    assert len(files(store.root)) == 1
    assert box.used_bytes == len(clip_bytes())


def test_session_and_server_quota(store: Store, monkeypatch: pytest.MonkeyPatch):
    size = len(clip_bytes())
    monkeypatch.setattr(store_module, "SESSION_BYTES", 2 * size)
    monkeypatch.setattr(store_module, "SERVER_BYTES", 3 * size)
    first, second = store.box(), store.box()
    for value in (1, 2):
        first.add(f"{value}.npz", clip_bytes(value))
    with pytest.raises(ClipError) as caught:
        first.add("3.npz", clip_bytes(3))
    assert caught.value.code == "quota"
    second.add("4.npz", clip_bytes(4))
    with pytest.raises(ClipError) as caught:
        second.add("5.npz", clip_bytes(5))
    assert caught.value.code == "server_full"


@pytest.mark.parametrize(("limit", "most", "code"), [("SESSION_FILES", 2, "quota"), ("SERVER_FILES", 3, "server_full")])
def test_number_of_uploads_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, code: str):
    monkeypatch.setattr(store_module, limit, most)
    first, second = store.box(), store.box()
    for value in (1, 2):
        first.add(f"{value}.npz", clip_bytes(value))
    if code == "server_full":
        second.add("3.npz", clip_bytes(3))
    with pytest.raises(ClipError, match=r"Remove an upload first|Try again later") as caught:
        first.add("4.npz", clip_bytes(4))
    assert caught.value.code == code
    first.remove(next(iter(first.clips)))
    first.add("4.npz", clip_bytes(4))
    assert len(files(store.root)) == most


def test_uploads_that_come_at_once_share_one_quota(store: Store, monkeypatch: pytest.MonkeyPatch):
    size, both = len(clip_bytes()), threading.Barrier(2)
    monkeypatch.setattr(store_module, "SESSION_BYTES", 2 * size - 1)
    monkeypatch.setattr(store_module.vizkit, "open_clip", lambda *_, **__: both.wait(2))
    box = store.box()

    def add() -> str:
        try:
            box.add("a.npz", clip_bytes())
        except ClipError as error:
            both.abort()
            return error.code
        except threading.BrokenBarrierError:
            return "was alone"
        return "both went in"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(future.result() for future in [pool.submit(add), pool.submit(add)]) == ["quota", "was alone"]
    assert box.used_bytes == 0
    assert files(store.root) == []


def test_no_room_on_the_disk_is_a_sentence_before_anything_is_written(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "SPARE_BYTES", 10**18)
    with pytest.raises(ClipError, match="no room for it .* Try again later") as caught:
        store.box().add("a.npz", clip_bytes())
    assert caught.value.code == "disk_full"
    assert files(store.root) == []


def test_disk_that_fills_up_while_writing_is_the_same_sentence(store: Store):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    box, content = store.box(), clip_bytes()
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, hard))
    try:
        with pytest.raises(ClipError) as caught:
            box.add("a.npz", content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert caught.value.code == "disk_full"
    assert files(store.root) == []
    assert box.used_bytes == 0


def test_uploads_of_a_tab_that_nobody_uses_go(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "IDLE_S", 0.3)
    idle, used = store.box(), store.box()
    for box in (idle, used):
        box.add("clip.npz", clip_bytes())
    time.sleep(0.4)
    used.keep()
    store.sweep()
    assert not idle.clips
    assert not idle.folder.exists()
    assert list(store.boxes.values()) == [used]
    assert len(used.clips) == 1
    idle.add("again.npz", clip_bytes())
    assert len(idle.clips) == 1, "a late return finds an empty box that works"


def test_sweeping_comes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "IDLE_S", 0.0)
    monkeypatch.setattr(store_module, "SWEEP_S", 0.05)
    box = Store(tmp_path / "home").box()
    box.add("clip.npz", clip_bytes())
    deadline = time.monotonic() + 5
    while box.clips and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not box.clips


def test_box_is_emptied_after_the_session_unless_it_comes_back(store: Store):
    back, gone = store.box(), store.box()
    for box in (back, gone):
        box.add("clip.npz", clip_bytes())
        box.expire_later(0.2)
    back.keep()
    deadline = time.monotonic() + 5
    while gone.clips and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not gone.clips
    assert not gone.folder.exists()
    assert len(back.clips) == 1
    assert len(files(store.root)) == 1
    back.add("again.npz", clip_bytes(2))
    gone.add("again.npz", clip_bytes(2))
    assert len(gone.clips) == 1, "a late return finds an empty box that works"


def test_leftovers_of_dead_servers_go_and_living_ones_stay(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for name in ("999999999", "rubbish", "1"):
        (home / name).mkdir()
    Store(home)
    assert (home / "1").exists()
    assert not (home / "999999999").exists()
    assert not (home / "rubbish").exists()


def test_folder_that_others_can_enter_is_refused(tmp_path: Path):
    (tmp_path / "home").mkdir(mode=0o755)
    with pytest.raises(PermissionError, match="closed to others"):
        Store(tmp_path / "home")
