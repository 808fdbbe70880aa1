"""What browser and server say to each other.

The browser sends small JSON objects with a ``type``; each is checked field by field into a frozen record
before anything acts on it, and none of them can name a file. The server answers with JSON, and with one
binary message per step: a 4-byte big-endian length, that many bytes of JSON header, then one JPEG holding the
frames of the step one below the other (one picture decodes faster than four).
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from einops import rearrange
from PIL import Image

from worldsim.play.worlds import SOURCES

MAX_MESSAGE = 4096
"""Bytes of a message from the browser."""
MAX_TEXT = 400
"""Characters of a prompt."""
MAX_HELD = 16
MAX_SEED = 2**31 - 1


class ProtocolError(ValueError):
    """A message that no browser page of ours would send; the text says what was wrong."""


@dataclass(frozen=True)
class Start:
    """Begin an episode. ``world`` None follows the prompt; ``seed`` None draws one. ``drawn`` lets a dream begin from a
    picture drawn from the prompt, else it begins from the true start that is nearest to it."""

    source: str
    world: str | None
    prompt: str
    seed: int | None
    drawn: bool = False


@dataclass(frozen=True)
class Keys:
    """The keys held now, as ``KeyboardEvent.code`` values."""

    held: tuple[str, ...]


@dataclass(frozen=True)
class Ack:
    """The page has drawn the frames of ``step``."""

    step: int


@dataclass(frozen=True)
class Pause:
    """Stop or resume stepping (the page pauses while its tab is hidden)."""

    paused: bool


@dataclass(frozen=True)
class Prompt:
    """Change the text while the world runs: the ``scene``, or an ``event`` that happens now."""

    text: str
    kind: str


Message = Start | Keys | Ack | Pause | Prompt


def parse(raw: str) -> Message:
    """The message in ``raw``; raises ``ProtocolError`` for whatever is not one, naming the field."""
    if len(raw.encode()) > MAX_MESSAGE:
        raise ProtocolError(f"a message holds at most {MAX_MESSAGE} bytes")
    try:
        fields = json.loads(raw)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ProtocolError("a message is a JSON object with a field 'type'")
    kind = fields.pop("type", None)
    if not isinstance(kind, str) or kind not in _READERS:
        raise ProtocolError(f"type is one of {', '.join(_READERS)}; got {kind!r}")
    try:
        message = _READERS[kind](fields)
    except KeyError as error:
        raise ProtocolError(f"{kind} lacks the field {error}") from error
    if fields:
        raise ProtocolError(f"{kind} has unknown fields {sorted(fields)}")
    return message


def _start(fields: dict[str, Any]) -> Start:
    source = fields.pop("source")
    if source not in SOURCES:
        raise ProtocolError(f"source is one of {', '.join(SOURCES)}; got {source!r}")
    world = fields.pop("world")
    if world is not None and not (isinstance(world, str) and 0 < len(world) <= 64):
        raise ProtocolError("world is null or the name of a world")
    seed = fields.pop("seed")
    if seed is not None:
        seed = _integer("seed", seed)
    return Start(source, world, _text("prompt", fields.pop("prompt")), seed, _truth("drawn", fields.pop("drawn")))


def _keys(fields: dict[str, Any]) -> Keys:
    held = fields.pop("held")
    if not isinstance(held, list) or len(held) > MAX_HELD:
        raise ProtocolError(f"held is a list of at most {MAX_HELD} key codes")
    if not all(isinstance(code, str) and len(code) <= 32 for code in held):
        raise ProtocolError("held lists key codes, such as 'KeyW'")
    return Keys(tuple(held))


def _ack(fields: dict[str, Any]) -> Ack:
    return Ack(_integer("step", fields.pop("step")))


def _pause(fields: dict[str, Any]) -> Pause:
    return Pause(_truth("paused", fields.pop("paused")))


def _truth(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f"{name} is true or false")
    return value


def _prompt(fields: dict[str, Any]) -> Prompt:
    text, kind = _text("text", fields.pop("text")), fields.pop("kind")
    if kind not in ("scene", "event"):
        raise ProtocolError(f"kind is 'scene' or 'event'; got {kind!r}")
    return Prompt(text, kind)


_READERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "start": _start,
    "keys": _keys,
    "ack": _ack,
    "pause": _pause,
    "prompt": _prompt,
}


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.replace("\n", " ").isprintable():
        raise ProtocolError(f"{name} is text of at most {MAX_TEXT} printable characters")
    return " ".join(value.split())


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise ProtocolError(f"{name} is an integer from 0 to {MAX_SEED}")
    return value


def pack_frames(header: dict[str, Any], frames: np.ndarray, quality: int = 92) -> bytes:
    """One binary message: ``header`` (numbers that are not finite become null) and uint8 ``(n, H, W, 3)``."""
    buffer = io.BytesIO()
    strip = rearrange(frames, "n h w c -> (n h) w c")
    Image.fromarray(strip).save(buffer, "JPEG", quality=quality, subsampling=0)
    head = json.dumps({name: _finite(value) for name, value in header.items()}).encode()
    return len(head).to_bytes(4, "big") + head + buffer.getvalue()


def unpack_frames(message: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """What ``pack_frames`` packed, as the page reads it: the header and uint8 ``(n, H, W, 3)`` (lossy)."""
    length = int.from_bytes(message[:4], "big")
    header = json.loads(message[4 : 4 + length])
    strip = np.asarray(Image.open(io.BytesIO(message[4 + length :])).convert("RGB"))
    return header, rearrange(strip, "(n h) w c -> n h w c", n=header["n_frames"])


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
