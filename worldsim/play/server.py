"""The local server: one static page, one WebSocket, and the rules that keep it local.

It binds 127.0.0.1, and before anything is answered or accepted the ``Host`` header must name this machine,
which ends DNS rebinding; a WebSocket must also come from the page that this server gave out (``Origin`` equal
to ``Host``), so no other site in the same browser can reach a session. Comparing the two with each other, not
with a port, keeps working through a forwarded port (``ssh -L``). Sessions, message sizes and rates are
limited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from worldsim.engines import missing
from worldsim.play.keys import CODES
from worldsim.play.player import Player
from worldsim.play.protocol import MAX_TEXT
from worldsim.play.session import POLICY_VIOLATION, TRY_LATER, Limits, Session
from worldsim.play.worlds import DREAM, TRUE
from worldsim.worlds import WORLDS

STATIC = Path(__file__).parent / "static"
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
HEADERS = {
    "content-security-policy": ("default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Choices:
    """What the page offers and begins with; ``worlds`` are names and titles for each source."""

    source: str = DREAM
    world: str | None = None
    prompt: str = ""
    worlds: dict[str, dict[str, str]] = field(default_factory=lambda: {DREAM: _titles(WORLDS), TRUE: _titles(WORLDS)})
    keys: dict[str, str] = field(default_factory=lambda: dict(CODES))
    max_text: int = MAX_TEXT

    @classmethod
    def here(cls, source: str, world: str | None, prompt: str, dreamed: Iterable[str]) -> Choices:
        """The choices of this machine: what the model dreams, and true worlds whose engine is installed."""
        true = [name for name, spec in WORLDS.items() if not missing(spec)]
        offered = {DREAM: _titles(dreamed), TRUE: _titles(true)}
        return cls(source, world, prompt, {name: worlds for name, worlds in offered.items() if worlds})


def _titles(worlds: Iterable[str]) -> dict[str, str]:
    return {name: WORLDS[name].title for name in worlds}


class LocalOnly:
    """Refuses what does not come from this machine's own page, before the application sees it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        reason = refusal(Headers(scope=scope), scope["type"] == "websocket")
        if reason is None:
            return await self._app(scope, receive, _with_headers(send))
        if scope["type"] == "websocket":
            await receive()  # the connection request, which is closed without being accepted
            return await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason})
        return await PlainTextResponse(f"refused: {reason}\n", 403)(scope, receive, send)


def refusal(headers: Headers, websocket: bool) -> str | None:
    """Why a request is refused, None if it is not: see the module's text."""
    host = headers.get("host", "")
    if len(headers.getlist("host")) != 1 or _name_of(host) not in LOCAL_NAMES:
        return f"Host {host[:80]!r} is not this machine"
    origin = headers.get("origin")
    if origin is None:
        return "a WebSocket needs an Origin" if websocket else None
    if origin not in (f"http://{host}", f"https://{host}"):
        return f"Origin {origin[:80]!r} is not this page"
    return None


def _name_of(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        valid = parts.netloc == host and "@" not in host and (parts.port is None or parts.port > 0)
        return parts.hostname if valid else None
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
            message = {**message, "headers": [*message["headers"], *given]}
        await send(message)

    return sending


def create_app(
    choices: Choices | None = None,
    limits: Limits | None = None,
    new_player: Callable[[], Player] = Player,
) -> Starlette:
    """The application. ``new_player`` makes the player of each session."""
    offered, allowed = choices or Choices(), limits or Limits()
    hello: dict[str, Any] = asdict(offered)
    running = 0

    async def page(_: object) -> Response:
        return FileResponse(STATIC / "index.html")

    async def socket(websocket: WebSocket) -> None:
        nonlocal running
        if running >= allowed.sessions:
            await websocket.accept()
            await websocket.close(TRY_LATER, f"{running} tabs are playing already; close one and reload")
            return
        running += 1
        try:
            await websocket.accept()
            await Session(websocket, new_player(), allowed, hello).run()
        finally:
            running -= 1

    app = Starlette(
        routes=[
            Route("/", page),
            Mount("/static", StaticFiles(directory=STATIC)),
            WebSocketRoute("/play", socket),
        ]
    )
    app.add_middleware(LocalOnly)
    return app
