"""The child process: what it may use, and that nothing it does takes the server with it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vizkit.clip import Limits, guard, inspect_clip, open_clip
from vizkit.errors import ClipError

ROOT = Path(guard.__file__).resolve().parents[2]
AS_CHILD = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import json, os; from vizkit.clip.child import work; "
"""Start of a script that stands in for the child."""


def _stand_in(monkeypatch, script: str) -> None:
    """Let the next children run a script of ours."""
    monkeypatch.setattr(guard, "command", lambda: [sys.executable, "-I", "-c", script])


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "crashed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "too_slow"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "too_large"),
        ("raise RuntimeError('a bug')", "crashed"),
        ("pass", "crashed"),
        (AS_CHILD + "job = json.load(sys.stdin); os.pwrite(job['answer'], b'not json', 0)", "crashed"),
        (AS_CHILD + "job = json.load(sys.stdin); os.pwrite(job['answer'], b'{\"reason\": \"<script>\"}', 0)", "crashed"),
        (AS_CHILD + "work.run = lambda job: bytearray(1 << 32); work.main()", "too_large"),
        (AS_CHILD + "work.run = lambda job: {'codec': 'h264'}; work.main()", "crashed"),
    ],
)
def test_whatever_happens_to_the_child_is_one_sentence(script, code, bar_clip, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        _stand_in(patch, script)
        with pytest.raises(ClipError) as caught:
            open_clip(bar_clip)
    assert caught.value.code == code
    assert caught.value.message.startswith("bars.mp4: ")
    assert "Traceback" not in caught.value.message
    assert str(bar_clip.parent) not in caught.value.message
    if "a bug" in script:
        assert "RuntimeError: a bug" in caplog.text
    assert open_clip(bar_clip).frames == 40


def _answer(**changes) -> dict:
    sound = {"codec": "h264", "container": "mov", "size_wh": [4, 2], "ticks": [0, 1, 2], "tick_s": [1, 25]}
    return sound | {"preview_wh": [4, 2], "preview_index": [0]} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"codec": "<img src=x>"},
        {"ticks": []},
        {"ticks": [1 << 70]},
        {"tick_s": [1, 0]},
        {"preview_index": [3]},
        {"preview_index": [1, 0]},
        {"keys": [7]},
        {"rate": float("inf")},
        {"preview_wh": [4, -2]},
        {"digest": "../x"},
    ],
)
def test_answers_are_not_believed(changes):
    assert guard.ScanAnswer.model_validate(_answer()).ticks == [0, 1, 2]
    with pytest.raises(ValueError, match="validation error"):
        guard.ScanAnswer.model_validate(_answer(**changes))


def test_missing_pixels_are_noticed(bar_clip, monkeypatch):
    _stand_in(monkeypatch, AS_CHILD + f"work.run = lambda job: {_answer()!r}; work.main()")
    with pytest.raises(ClipError) as caught:
        open_clip(bar_clip)
    assert caught.value.code == "crashed"


def test_a_child_that_hangs_is_killed(bar_clip, monkeypatch, tmp_path):
    note = tmp_path / "pid"
    _stand_in(monkeypatch, f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    start = time.monotonic()
    with pytest.raises(ClipError, match="longer than 1 s") as caught:
        open_clip(bar_clip, limits=Limits(wall_s=1.0))
    assert caught.value.code == "too_slow"
    assert time.monotonic() - start < 10
    assert not Path(f"/proc/{note.read_text()}").exists()


def test_a_child_that_burns_the_cpu_is_stopped(bar_clip, monkeypatch):
    _stand_in(monkeypatch, AS_CHILD + "work.confine(json.load(sys.stdin)['limits'])\nwhile True: pass")
    with pytest.raises(ClipError) as caught:
        open_clip(bar_clip, limits=Limits(cpu_s=1))
    assert caught.value.code == "too_slow"


def test_the_child_lives_in_an_empty_private_folder_without_our_environment(bar_clip, monkeypatch, tmp_path):
    note = tmp_path / "note"
    look = (
        "job = json.load(sys.stdin); work.confine(job['limits']); import resource, stat; "
        "facts = dict(here=os.listdir(), mode=stat.S_IMODE(os.stat('.').st_mode), names=sorted(os.environ), isolated=sys.flags.isolated, "
        "limits=[resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_CORE)], "
        "open=sorted(os.readlink(f'/proc/self/fd/{number}') for number in os.listdir('/proc/self/fd') if int(number) > 2 "
        "and os.path.exists(f'/proc/self/fd/{number}'))); "
        f"os.write(os.open({str(note)!r}, os.O_WRONLY | os.O_CREAT), json.dumps(facts).encode())"
    )
    monkeypatch.setenv("SECRET", "of the server")
    with monkeypatch.context() as patch, bar_clip.open("rb"):
        _stand_in(patch, AS_CHILD + look)
        with pytest.raises(ClipError):
            open_clip(bar_clip)
    facts = json.loads(note.read_text())
    assert facts["here"] == []
    assert facts["mode"] == 0o700
    assert facts["isolated"] == 1
    assert set(facts["names"]) <= {"HOME", "LANG", "LC_CTYPE", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
    assert facts["limits"] == [2_500_000_000, 20, 0]
    assert [path for path in facts["open"] if not path.endswith("(deleted)")] == [str(bar_clip)]


def test_the_real_command_is_isolated():
    assert guard.command()[:2] == [sys.executable, "-I"]


def test_the_server_never_loads_the_decoder(bar_clip):
    script = (
        "import sys, vizkit.clip; assert not {'av', 'cv2', 'torch', 'pydantic'} & set(sys.modules); "
        f"clip = vizkit.clip.open_clip({str(bar_clip)!r}); clip.read([3]); "
        "assert not {'av', 'PIL', 'torch'} & set(sys.modules), set(sys.modules); print(clip.frames)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "40\n"


def test_only_the_child_imports_pyav_and_pillow():
    package = Path(guard.__file__).parent
    for path in package.rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {entry.name.partition(".")[0] for entry in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
        if path.parent.name != "child":
            assert not names & {"av", "PIL"}, path


def test_open_files_come_back_to_where_they_were(bar_clip):
    inspect_clip(bar_clip)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for source in (bar_clip, b"nothing of the kind", bar_clip.parent / "no.mp4"):
        inspect_clip(source)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
