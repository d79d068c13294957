"""A visitor of the real server without a browser: a WebSocket that speaks Streamlit's messages, and a server that is watched."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]
START_S = 90
PLANTED = "planted-in-/a/secret/folder"

WATCHED = f"""
import os, socket, sys
told = open(os.environ["WATCHED"], "a", buffering=1)
home = {{"localhost", "127.0.0.1", "::1", "", None}}
look_up, connect = socket.getaddrinfo, socket.socket.connect

def watched_look_up(host, *rest, **more):
    host = host.decode() if isinstance(host, bytes) else host
    if host in home:
        return look_up(host, *rest, **more)
    told.write(f"look-up {{host}}\\n")
    raise socket.gaierror(socket.EAI_NONAME, "there are no names here")

def watched_connect(self, address):
    if isinstance(address, tuple) and address[0] not in home:
        told.write(f"connect {{address}}\\n")
        raise OSError("there is no network here")
    return connect(self, address)

socket.getaddrinfo, socket.socket.connect = watched_look_up, watched_connect
socket.gethostbyname = socket.gethostbyname_ex = lambda host: watched_look_up(host, None)[0][4][0]

import vizkit.ui.panels as panels
film = panels.clip_film

def broken_film(scene):
    import streamlit
    if "planted" in streamlit.query_params:
        raise ZeroDivisionError({PLANTED!r})
    film(scene)

panels.clip_film = broken_film
from streamlit.web.cli import main
sys.argv = ["streamlit", "run", "app.py", *sys.argv[1:]]
main()
"""
"""Starts the app like ``streamlit run app.py``, where no name but this machine's is known; ``?planted=`` breaks the first page."""


@dataclass
class Server:
    """A running app.

    Attributes:
        port: of 127.0.0.1.
        process: its process.
        folder: with its log and with what was watched.
    """

    port: int
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def watched(self) -> list[str]:
        return (self.folder / "watched").read_text().splitlines()

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return str(answer.read().decode())

    def handshake(self, host: str, origin: str | None = None) -> int:
        """Status of a WebSocket's handshake: 101 if the server takes it."""
        key = ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"]
        return self.status("/_stcore/stream", host, origin, "Upgrade: websocket", "Connection: Upgrade", *key)

    def status(self, path: str, host: str = "", origin: str | None = None, *headers: str) -> int:
        """Status of the answer to a request."""
        lines = [f"GET {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{self.port}'}", *headers]
        lines += [f"Origin: {origin}"] if origin else []
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            line.sendall("\r\n".join([*lines, "", ""]).encode())
            return int(line.recv(64).split()[1])


def start(folder: Path, **environment: str) -> Server:
    """Start the watched server."""
    (folder / "watched").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", WATCHED, "--server.port", str(port), "--server.headless", "true"]
    with (folder / "log").open("wb") as log:
        known = {**os.environ, "WATCHED": str(folder / "watched"), **environment}
        process = subprocess.Popen(command, cwd=ROOT, env=known, stdout=log, stderr=log)
    server, deadline = Server(port, process, folder), time.monotonic() + START_S
    while True:
        try:
            server.get("/_stcore/health")
            return server
        except OSError:
            assert process.poll() is None, server.log
            assert time.monotonic() < deadline
            time.sleep(0.2)


class Visitor:
    """One session.

    Args:
        server: the app.
    """

    def __init__(self, server: Server) -> None:
        address = f"ws://127.0.0.1:{server.port}/_stcore/stream"
        self.line = connect(address, subprotocols=["streamlit"], max_size=None, open_timeout=60, legacy=True)
        self.session_id = ""

    def ask(self, **query: str) -> None:
        """Open the first page with an address."""
        message = BackMsg()
        message.rerun_script.query_string = urlencode(query)
        self.line.send(message.SerializeToString())

    def page(self, timeout_s: float = 300) -> list[ForwardMsg]:
        """What the last complete run of the page sent."""
        told: list[ForwardMsg] = []
        while True:
            message = ForwardMsg.FromString(self.line.recv(timeout_s))  # type: ignore[arg-type]
            kind = message.WhichOneof("type")
            if kind == "new_session":
                told = []
                self.session_id = message.new_session.initialize.session_id or self.session_id
            told.append(message)
            if kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return told

    def close(self) -> None:
        self.line.close()


def shown(page: list[ForwardMsg]) -> tuple[str, list[Any]]:
    """The numbers of a page: the bars of the prediction, and the figures in its players."""
    elements = [message.delta.new_element for message in page if message.WhichOneof("type") == "delta"]
    bars = "".join(element.html.body for element in elements if element.WhichOneof("type") == "html" and "vz-bars" in element.html.body)
    found = [json.loads(element.bidi_component.json) for element in elements if element.WhichOneof("type") == "bidi_component"]
    figures = [part["figure"] for part in found if "figure" in part]
    return bars[bars.find("<table") :], figures


def text(page: list[ForwardMsg]) -> str:
    """Everything that was sent, as text."""
    return "\n".join(str(message) for message in page)
