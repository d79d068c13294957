"""What stands before Streamlit's own server: who is let in at all, what is told to nobody, and headers that browsers obey."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import get_option
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

SILENT = ("/_stcore/metrics", "/_stcore/agent")
"""Ends or folders of paths that answer nobody: counters with the names of functions, and a description of the app for programs."""
HEADERS = {"X-Frame-Options": "SAMEORIGIN", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
"""No page of others around ours, no guessing of types, no address with somebody's points told to others."""


class Doors:
    """Refuse what comes from elsewhere, before Streamlit looks at it.

    Streamlit checks the name of the server (``server.allowedHosts``) for WebSockets only, and asks an outside service for its own address
    when a page of another origin calls.

    Args:
        app: what is behind the doors.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        status = refused(scope["path"], Headers(scope=scope))
        if status and scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        if status:
            return await PlainTextResponse("", status)(scope, receive, send)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        return await self.app(scope, receive, marked)


def refused(path: str, headers: Headers) -> int:
    """Status of a refusal; 0 where the request may come in.

    Args:
        path: what is asked for.
        headers: of the request.
    """
    if not is_host_allowed(headers.get("host")):
        return 403
    origin = headers.get("origin")
    if origin is not None and origin not in get_option("server.corsAllowedOrigins") and not is_host_allowed(_host(origin)):
        return 403
    return 404 if any(path.rstrip("/").endswith(end) or f"{end}/" in path for end in SILENT) else 0


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
