"""Messages are checked field by field; frames survive the packing in order."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from worldsim.play.protocol import (
    MAX_MESSAGE,
    Ack,
    Keys,
    Pause,
    Prompt,
    ProtocolError,
    Start,
    pack_frames,
    parse,
    unpack_frames,
)

START = {"type": "start", "source": "dream", "world": None, "prompt": "red  walls", "seed": None, "drawn": False}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (START, Start("dream", None, "red walls", None)),
        (
            {**START, "source": "true", "world": "DoomRooms", "seed": 3, "drawn": True},
            Start("true", "DoomRooms", "red walls", 3, drawn=True),
        ),
        ({"type": "keys", "held": ["KeyW", "Space"]}, Keys(("KeyW", "Space"))),
        ({"type": "ack", "step": 7}, Ack(7)),
        ({"type": "pause", "paused": True}, Pause(True)),
        ({"type": "prompt", "text": "a door opens", "kind": "event"}, Prompt("a door opens", "event")),
    ],
)
def test_a_message_becomes_a_record(fields: dict[str, Any], message: object) -> None:
    assert parse(json.dumps(fields)) == message


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("{", "not JSON"),
        ("[" * 3000, "not JSON"),
        ("[]", "JSON object"),
        ('{"type": "open", "path": "/etc/passwd"}', "type is one of"),
        ('{"type": ["ack"]}', "type is one of"),
        ('{"type": "ack"}', "lacks the field 'step'"),
        ('{"type": "ack", "step": -1}', "step is an integer"),
        ('{"type": "ack", "step": true}', "step is an integer"),
        ('{"type": "ack", "step": 1, "file": "x"}', r"unknown fields \['file'\]"),
        ('{"type": "pause", "paused": 1}', "true or false"),
        ('{"type": "keys", "held": "KeyW"}', "held is a list"),
        ('{"type": "keys", "held": [1]}', "key codes"),
        (json.dumps({"type": "keys", "held": ["KeyW"] * 17}), "at most 16"),
        (json.dumps({**START, "source": "file"}), "source is one of dream, true"),
        (json.dumps({**START, "world": 3}), "world is null or the name"),
        (json.dumps({**START, "seed": 1.5}), "seed is an integer"),
        (json.dumps({**START, "drawn": 1}), "drawn is true or false"),
        (json.dumps({**START, "prompt": "x" * 401}), "at most 400"),
        (json.dumps({**START, "prompt": "a\u0000b"}), "printable"),
        (json.dumps({**START, "prompt": "x" * MAX_MESSAGE}), f"at most {MAX_MESSAGE} bytes"),
        ('{"type": "prompt", "text": "x", "kind": "view"}', "kind is 'scene' or 'event'"),
    ],
)
def test_anything_else_is_refused_by_name(raw: str, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        parse(raw)


def test_frames_keep_their_order_and_their_header() -> None:
    frames = np.zeros((3, 16, 24, 3), np.uint8)
    frames[0], frames[1], frames[2] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    header, shown = unpack_frames(pack_frames({"step": 5, "n_frames": 3, "hallucination": float("nan")}, frames))
    assert header == {"step": 5, "n_frames": 3, "hallucination": None}
    assert shown.shape == frames.shape
    assert np.abs(shown.astype(int) - frames).max() < 12
