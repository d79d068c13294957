"""Uploads: kept on disk under made-up names, counted, and forgotten with the session that brought them.

Streamlit itself would keep every upload in memory until another visitor leaves. Here the bytes move to a private folder at
once; the folder goes when the session ends or has not been used for long, and what a killed server left behind goes at the next start.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import vizkit
from vizkit.clip.messages import shown_name
from vizkit.contracts import VideoClip
from vizkit.errors import ClipError

SESSION_BYTES, SERVER_BYTES = 300 * 10**6, 2 * 10**9
SESSION_FILES, SERVER_FILES = 50, 1000
SPARE_BYTES = 200 * 10**6
"""What uploads leave free on the disk."""
WEIGHT_ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
GRACE_S = 30.0
"""How long the uploads of a session outlive its connection, so that a short break of the network costs nothing."""
IDLE_S = 12 * 3600.0
"""How long uploads are kept in a tab that stays open and is not used."""
SWEEP_S = 600.0


class Box:
    """The uploads of one session."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sizes: dict[str, int] = {}
        self._files: dict[str, Path] = {}
        self._timer: threading.Timer | None = None
        self._used_s = time.monotonic()
        self.expected: list[int] = []
        """Bytes of the uploads that are being written and read; changed by the store alone."""
        self.folder = store.root / secrets.token_hex(16)
        self.clips: dict[str, VideoClip] = {}
        """Shown name -> clip, in the order of upload."""

    @property
    def used_bytes(self) -> int:
        """Bytes on disk, and those about to be written."""
        return sum(self._sizes.values()) + sum(self.expected)

    @property
    def used_files(self) -> int:
        """Files on disk, and those about to be written."""
        return len(self._sizes) + len(self.expected)

    @property
    def idle_s(self) -> float:
        """Seconds since a page of the session asked for it."""
        return time.monotonic() - self._used_s

    def add(self, name: str, content: bytes) -> str:
        """Keep an upload and open it as a clip.

        Args:
            name: what the visitor's file is called; only shown, never used as a path.
            content: the bytes.

        Returns:
            The name under which the clip is found in :attr:`clips`.

        Raises:
            ClipError: the quota is used up, or the clip cannot be read; nothing is kept then.
        """
        shown = shown_name(name)
        with self._store.room(self, shown, len(content)):
            path = self._write(shown, content)
            try:
                clip = vizkit.open_clip(path, name=shown)
            except BaseException:
                path.unlink()
                raise
            label = f"{shown} · {clip.digest[:8]}"
            self.remove(label)
            self.clips[label], self._files[label], self._sizes[label] = clip, path, len(content)
        return label

    @contextmanager
    def held(self, name: str, content: bytes) -> Iterator[Path]:
        """Hold an upload on disk while it is being read; it is gone afterwards.

        Args:
            name: what the visitor's file is called; of its path only the ending stays.
            content: the bytes.

        Raises:
            ClipError: the quota is used up.
        """
        ending = Path(name).suffix.lower()
        with self._store.room(self, shown_name(name), len(content)):
            path = self._write(shown_name(name), content, ending if ending in WEIGHT_ENDINGS else ".weights")
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    def _write(self, shown: str, content: bytes, ending: str = ".clip") -> Path:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        path = self.folder / f"{secrets.token_hex(16)}{ending}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        except OSError as error:
            path.unlink()
            raise _no_room(shown) from error
        return path

    def remove(self, label: str) -> None:
        """Forget one clip; an unknown one is no error."""
        if label in self.clips:
            self._files.pop(label).unlink(missing_ok=True)
            del self.clips[label], self._sizes[label]

    def keep(self) -> None:
        """The session is connected, and in use."""
        self._used_s = time.monotonic()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expire_later(self, seconds: float = GRACE_S) -> None:
        """The session has gone: forget everything unless it comes back in time."""
        self.keep()
        self._timer = threading.Timer(seconds, self.empty)
        self._timer.daemon = True
        self._timer.start()

    def empty(self) -> None:
        """Forget all clips and their bytes."""
        for label in list(self.clips):
            self.remove(label)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._store.forget(self)


class Store:
    """The uploads of one server process.

    Args:
        home: a folder for this user's servers; made if missing, with no access for others.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = home.stat()
        if owner.st_uid != os.getuid() or owner.st_mode & 0o077:
            raise PermissionError(f"{home} must belong to this user and be closed to others.")
        for leftover in _leftovers(home):
            shutil.rmtree(leftover, ignore_errors=True)
        self.root = home / str(os.getpid())
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(mode=0o700)
        self.boxes: dict[str, Box] = {}
        self._lock = threading.Lock()
        atexit.register(shutil.rmtree, self.root, ignore_errors=True)
        threading.Thread(target=self._sweep_again, name="uploads", daemon=True).start()

    def box(self) -> Box:
        """An empty box for a new session."""
        made = Box(self)
        with self._lock:
            self.boxes[made.folder.name] = made
        return made

    @contextmanager
    def room(self, box: Box, shown: str, size: int) -> Iterator[None]:
        """Keep room for an upload while it is being written and read.

        Args:
            box: of the session.
            shown: the upload's name, for the sentence.
            size: its bytes.

        Raises:
            ClipError: it does not fit.
        """
        with self._lock:
            self.boxes[box.folder.name] = box
            _check_quota(box, list(self.boxes.values()), shown, size)
            if shutil.disk_usage(self.root).free < size + SPARE_BYTES:
                raise _no_room(shown)
            box.expected.append(size)
        try:
            yield
        finally:
            with self._lock:
                box.expected.remove(size)

    def forget(self, box: Box) -> None:
        """An emptied box; an unknown one is no error."""
        with self._lock:
            self.boxes.pop(box.folder.name, None)

    def sweep(self) -> None:
        """Forget what was brought into sessions that nobody has used for long."""
        with self._lock:
            idle = [box for box in self.boxes.values() if box.idle_s > IDLE_S and not box.expected]
        for box in idle:
            box.empty()

    def _sweep_again(self) -> None:
        while True:
            time.sleep(SWEEP_S)
            self.sweep()


def _check_quota(box: Box, boxes: list[Box], shown: str, size: int) -> None:
    """Check that an upload fits into its session and into the server.

    Raises:
        ClipError: it does not.
    """
    if box.used_bytes + size > SESSION_BYTES:
        kept, most = round(box.used_bytes / 10**6), SESSION_BYTES // 10**6
        raise ClipError(f"{shown}: you hold {kept} of {most} MB already (quota). Remove an upload first.", code="quota")
    if box.used_files >= SESSION_FILES:
        raise ClipError(f"{shown}: you hold {SESSION_FILES} uploads already (quota). Remove an upload first.", code="quota")
    if sum(other.used_bytes for other in boxes) + size > SERVER_BYTES or sum(other.used_files for other in boxes) >= SERVER_FILES:
        raise ClipError(f"{shown}: the server holds as many uploads as it may (server_full). Try again later.", code="server_full")


def _no_room(shown: str) -> ClipError:
    return ClipError(f"{shown}: the server's disk has no room for it (disk_full). Try again later.", code="disk_full")


def _leftovers(home: Path) -> Iterator[Path]:
    """Folders of servers that no longer run."""
    for folder in home.iterdir():
        if not (folder.name.isdigit() and _runs(int(folder.name))):
            yield folder


def _runs(process: int) -> bool:
    """Whether there is a process of this number, ours or another user's."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def default_home() -> Path:
    """``VIZKIT_UPLOADS``, or a folder of this user's among the temporary files."""
    chosen = os.environ.get("VIZKIT_UPLOADS")
    return Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"vizkit-{os.getuid()}"
