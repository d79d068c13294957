"""Uploads: kept on disk under made-up names, counted, and forgotten with the session that brought them.

Streamlit itself would keep every upload in memory until another visitor leaves. Here the bytes move to a private folder at
once; the folder goes when the session ends, and what a killed server left behind goes at the next start.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import vizkit
from vizkit.clip.messages import shown_name
from vizkit.contracts import VideoClip
from vizkit.errors import ClipError

SESSION_BYTES = 300 * 10**6
SERVER_BYTES = 2 * 10**9
WEIGHT_ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
GRACE_S = 30.0
"""How long the uploads of a session outlive its connection, so that a short break of the network costs nothing."""


class Box:
    """The uploads of one session."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sizes: dict[str, int] = {}
        self._files: dict[str, Path] = {}
        self._timer: threading.Timer | None = None
        self.folder = store.root / secrets.token_hex(16)
        self.clips: dict[str, VideoClip] = {}
        """Shown name -> clip, in the order of upload."""

    @property
    def used_bytes(self) -> int:
        """Bytes on disk."""
        return sum(self._sizes.values())

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
        path = self._admit(shown, content)
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
        path = self._admit(shown_name(name), content)
        named = path.with_suffix(Path(name).suffix.lower() if Path(name).suffix.lower() in WEIGHT_ENDINGS else ".weights")
        path.rename(named)
        try:
            yield named
        finally:
            named.unlink(missing_ok=True)

    def _admit(self, shown: str, content: bytes) -> Path:
        self._store.make_room(self, shown, len(content))
        return self._write(content)

    def _write(self, content: bytes) -> Path:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        path = self.folder / f"{secrets.token_hex(16)}.clip"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return path

    def remove(self, label: str) -> None:
        """Forget one clip; an unknown one is no error."""
        if label in self.clips:
            self._files.pop(label).unlink(missing_ok=True)
            del self.clips[label], self._sizes[label]

    def keep(self) -> None:
        """The session is connected."""
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
        self._store.boxes.pop(self.folder.name, None)


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

    def box(self) -> Box:
        """An empty box for a new session."""
        made = Box(self)
        with self._lock:
            self.boxes[made.folder.name] = made
        return made

    def make_room(self, box: Box, shown: str, size: int) -> None:
        """Check that an upload fits.

        Raises:
            ClipError: it does not.
        """
        with self._lock:
            self.boxes[box.folder.name] = box
            total = sum(other.used_bytes for other in self.boxes.values())
        if box.used_bytes + size > SESSION_BYTES:
            kept, most = round(box.used_bytes / 10**6), SESSION_BYTES // 10**6
            raise ClipError(f"{shown}: you hold {kept} of {most} MB already (quota). Remove an upload first.", code="quota")
        if total + size > SERVER_BYTES:
            raise ClipError(f"{shown}: the server holds as many uploads as it may (server_full). Try again later.", code="server_full")


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
