"""One browser tab and its world: three loops around a worker thread.

*Reading* turns messages into wishes; *stepping* plays the world in real time on the player's thread, one step
at a time; *sending* keeps at most ``max_in_flight`` messages of frames unacknowledged. When the browser is
slow, frames that were not sent yet are replaced by newer ones: frames are dropped, actions never are, and a
tap between two steps is not lost. A paused or silent tab costs nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from worldsim.play.keys import HeldKeys
from worldsim.play.player import Player, Shown
from worldsim.play.protocol import (
    MAX_MESSAGE,
    Ack,
    Keys,
    Message,
    Pause,
    Prompt,
    ProtocolError,
    Start,
    pack_frames,
    parse,
)

T = TypeVar("T")
POLICY_VIOLATION, TOO_BIG, TRY_LATER = 1008, 1009, 1013
CLOSING_SECONDS = 2.0
"""How long a session waits for its world to close; a slow step may go on behind it."""


@dataclass(frozen=True)
class Limits:
    """What one server and one tab may use."""

    sessions: int = 2
    max_in_flight: int = 2
    messages_per_second: float = 100.0
    idle_seconds: float = 600.0
    """A tab that presses no key and starts nothing for so long is let go."""


class Session:
    """Plays ``player`` over ``socket`` (accepted already) until the tab goes, idles, or breaks a rule."""

    def __init__(self, socket: WebSocket, player: Player, limits: Limits, hello: dict[str, Any]) -> None:
        self._socket = socket
        self._player = player
        self._limits = limits
        self._hello = hello
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="world")
        self._keys = HeldKeys()
        self._wishes: asyncio.Queue[Start | Prompt] = asyncio.Queue(maxsize=8)
        self._awake = asyncio.Event()
        self._sendable = asyncio.Event()
        self._outbox: list[bytes | str] = []
        self._frames: bytes | None = None
        self._in_flight: list[int] = []
        self._frames_step = 0
        self._paused = False
        self._allowance = limits.messages_per_second
        self._counted = self._active = time.monotonic()

    async def run(self) -> None:
        """Runs the session to its end, and closes the world."""
        self._say({"type": "hello", **self._hello})
        tasks = [asyncio.create_task(loop()) for loop in (self._read, self._step, self._send)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except WebSocketDisconnect:
            pass
        except ProtocolError as error:
            await self._close(POLICY_VIOLATION, str(error))
        finally:
            for task in tasks:
                task.cancel()
            # Handed to the thread before anything is awaited: it happens even if this task is cancelled.
            closed = asyncio.wrap_future(self._thread.submit(self._player.close))
            self._thread.shutdown(wait=False)
            await asyncio.wait([*tasks, closed], timeout=CLOSING_SECONDS)

    # Reading

    async def _read(self) -> None:
        while True:
            quiet = time.monotonic() - self._active
            try:
                async with asyncio.timeout(max(self._limits.idle_seconds - quiet, 0)):
                    received = await self._socket.receive()
            except TimeoutError:
                return await self._close(POLICY_VIOLATION, "idle for too long; reload the page to go on")
            if received["type"] == "websocket.disconnect":
                return None
            raw = received.get("text")
            if raw is None:
                raise ProtocolError("messages to the server are text")
            if len(raw) > MAX_MESSAGE:
                return await self._close(TOO_BIG, f"a message holds at most {MAX_MESSAGE} bytes")
            self._count()
            await self._take(parse(raw))

    def _count(self) -> None:
        """A bucket of one second's messages, refilled as time passes."""
        now, rate = time.monotonic(), self._limits.messages_per_second
        self._allowance = min(rate, self._allowance + (now - self._counted) * rate) - 1
        self._counted = now
        if self._allowance < 0:
            raise ProtocolError(f"more than {rate:g} messages per second")

    async def _take(self, message: Message) -> None:
        if not isinstance(message, Ack | Pause):
            self._active = time.monotonic()
        match message:
            case Keys(held):
                self._keys.update(held)
            case Ack(step):
                self._in_flight = [sent for sent in self._in_flight if sent > step]
                self._sendable.set()
            case Pause(paused):
                self._paused = paused
                self._awake.set()
            case Start() | Prompt():
                if self._wishes.full():
                    raise ProtocolError("too many wishes at once")
                self._wishes.put_nowait(message)
                self._awake.set()

    # Stepping

    async def _step(self) -> None:
        due = time.monotonic()
        while True:
            while not self._wishes.empty():
                await self._grant(self._wishes.get_nowait())
                due = time.monotonic()
            if self._paused or not self._player.playing:
                self._awake.clear()
                await self._awake.wait()
                due = time.monotonic()
                continue
            due = max(due + self._player.step_seconds, time.monotonic())
            if not await self._attempt(lambda: self._player.step(self._keys.take()), self._show):
                await self._in_thread(self._player.close)  # a world that failed in a step is not stepped again
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def _grant(self, wish: Start | Prompt) -> None:
        if isinstance(wish, Start):
            self._in_flight.clear()
            self._frames = None
            self._say({"type": "opening"})
            await self._attempt(lambda: self._player.start(wish), self._show)
        else:
            await self._attempt(lambda: self._player.set_prompt(wish), lambda _: None)

    async def _attempt(self, work: Callable[[], T], then: Callable[[T], None]) -> bool:
        """Does ``work`` on the player's thread; what a person can put right is shown to them as an error."""
        try:
            result = await self._in_thread(work)
        except (ValueError, OSError, ImportError, RuntimeError) as error:
            text = " ".join(str(error).split())[:500] or type(error).__name__
            self._say({"type": "error", "text": text, "stopped": not self._player.playing})
            return False
        then(result)
        return True

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # Sending

    def _say(self, message: dict[str, Any]) -> None:
        self._outbox.append(json.dumps(message))
        self._sendable.set()

    def _show(self, shown: Shown) -> None:
        self._frames_step = int(shown.header["step"])
        self._frames = pack_frames(shown.header, shown.frames)
        self._sendable.set()

    async def _send(self) -> None:
        while True:
            await self._sendable.wait()
            self._sendable.clear()
            outbox, self._outbox = self._outbox, []
            for text in outbox:
                await self._socket.send_text(str(text))
            if self._frames is not None and len(self._in_flight) < self._limits.max_in_flight:
                frames, self._frames = self._frames, None
                self._in_flight.append(self._frames_step)
                await self._socket.send_bytes(frames)

    async def _close(self, code: int, reason: str) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            await self._socket.close(code, reason[:120])
