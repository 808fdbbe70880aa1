"""Reads the contractors' recordings of Video PreTraining (VPT): pairs of ``<name>.mp4`` and ``<name>.jsonl``.

Line i of the JSON lines is the input of tick i, given at frame i of the video (640x360 or 1280x720) and seen to act in
frame i + 1. The last line's outcome was not recorded. Facts about the format are those of OpenAI's own loader
(https://github.com/openai/Video-Pre-Training): 0.15 degrees for each pixel that the mouse moves, and an attack button
that some recordings tell as held from the beginning until it is first pressed, which it is not.

While a menu (GUI) is open the mouse moves a cursor, which the video does not show, and keys mean other things. Such
steps are cut out, so that a recording becomes several episodes, or kept with nothing but the inventory key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from worldsim.actions import KEY_BIT
from worldsim.recording.episode import BLOCK, Episode
from worldsim.recording.minecraft import LIMIT, Ticks, key_masks, minecraft_episode, read_video, require
from worldsim.recording.store import RecordingError, short

DEGREES_PER_PIXEL = 360 / 2400

HELD = key_masks(
    {
        "key.keyboard.w": "forward", "key.keyboard.s": "backward", "key.keyboard.a": "strafe_left",
        "key.keyboard.d": "strafe_right", "key.keyboard.space": "jump", "key.keyboard.left.shift": "sneak",
        "key.keyboard.left.control": "sprint", "key.keyboard.q": "drop", "key.keyboard.e": "inventory",
    }
)  # fmt: skip
"""Key of the keyboard -> key mask; every other key, such as escape, means nothing here."""
CLICKED = {0: 1 << KEY_BIT["attack"], 1: 1 << KEY_BIT["use"]}
"""Button of the mouse -> key mask."""
SLOTS = tuple(f"key.keyboard.{slot}" for slot in range(1, 10))
NEXT_ITEM, INVENTORY = 1 << KEY_BIT["next_item"], 1 << KEY_BIT["inventory"]

Menus = Literal["cut", "keep"]


@dataclass(frozen=True)
class Line:
    """One tick as it was recorded: ``keys`` held, mouse ``motion`` (dx, dy) in pixels, right and down positive,
    ``buttons`` held and those ``pressed`` now, whether a ``menu`` was open, the ``slot`` of the item in hand (None
    where it is not told), and whether the ``wheel`` turned."""

    keys: frozenset[str]
    motion: tuple[float, float]
    buttons: frozenset[int]
    pressed: frozenset[int]
    menu: bool
    slot: int | None
    wheel: bool


def find_vpt(folder: Path) -> list[Path]:
    """The videos of all recordings in ``folder`` and the folders in it, in order.

    Raises ``FileNotFoundError`` where it is no folder, ``RecordingError`` where it holds no recording, or where one of
    the two files of a recording is missing.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    videos, lines = (set(folder.rglob(f"*{suffix}")) for suffix in (".mp4", ".jsonl"))
    for there, missing in ((videos, ".jsonl"), (lines, ".mp4")):
        for path in sorted(there):
            other = path.with_suffix(missing)
            require(other in videos | lines, other, f"is missing, though there is {path.name}")
    require(videos, folder, "holds no recording: no pair of NAME.mp4 and NAME.jsonl")
    return sorted(videos)


def read_vpt(
    video: Path, size: tuple[int, int] = (64, 64), split: str = "train", menus: Menus = "cut"
) -> Iterator[Episode]:
    """The episodes of a recording, their frames at ``size`` (H, W); all end as truncated and pay nothing.

    Raises ``RecordingError`` naming the file, before the first episode, where one is damaged or both do not belong
    together.
    """
    path = video.with_suffix(".jsonl")
    lines = read_lines(path)
    require(len(lines) > 1, path, "holds a single tick, which leads nowhere")
    ticks = ticks_of(lines)
    frames = read_video(video, len(lines), path, size)
    for start, stop in _without_menus(lines) if menus == "cut" else [(0, len(ticks))]:
        yield minecraft_episode(frames[start : stop + 1], ticks.part(start, stop), split=split)


def read_lines(path: Path) -> list[Line]:
    """The ticks of a file of JSON lines. Raises ``RecordingError`` naming the file and the line that is no tick."""
    try:
        texts = path.read_text(encoding="utf-8").rstrip().split("\n")  # not splitlines: typed text may hold others
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path} is no text: {short(error)}") from error
    lines = []
    for number, text in enumerate(texts, 1):
        try:
            lines.append(_line(json.loads(text)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            problem = f"lacks {error}" if isinstance(error, KeyError) else short(error)
            raise RecordingError(f"{path}, line {number}, is not a tick: {problem}") from error
    return lines


def ticks_of(lines: Sequence[Line]) -> Ticks:
    """Controls of all ticks but the last, whose outcome was not recorded."""
    keys = np.zeros(len(lines), np.uint32)
    camera = np.zeros((len(lines), 2))  # first in pixels, right and down positive
    stuck = lines[0].pressed == {0}
    for i, line in enumerate(lines):
        stuck = stuck and (i == 0 or 0 not in line.pressed)
        held = [HELD[key] for key in line.keys if key in HELD]
        held += [CLICKED[button] for button in line.buttons if button in CLICKED and not (stuck and button == 0)]
        held += [NEXT_ITEM] if _changes_item(line, lines[max(i - 1, 0)]) else []
        keys[i] = sum(held) & (INVENTORY if line.menu else ~0)
        camera[i] = (0, 0) if line.menu else line.motion
    return Ticks(keys[:-1], 0.0 - DEGREES_PER_PIXEL * camera[:-1], np.zeros(len(lines) - 1, np.float32))


def _changes_item(line: Line, before: Line) -> bool:
    if line.slot is None or before.slot is None:
        return line.wheel or not line.keys.isdisjoint(SLOTS)
    return line.slot != before.slot


def _without_menus(lines: Sequence[Line]) -> list[tuple[int, int]]:
    """First and last-but-one tick of every longest run of whole steps in whose frames no menu was open."""
    total = len(lines) - 1
    spans: list[tuple[int, int]] = []
    for start in range(0, total, BLOCK):
        stop = min(start + BLOCK, total)
        if any(line.menu for line in lines[start : stop + 1]):
            continue
        begun = spans.pop()[0] if spans and spans[-1][1] == start else start
        spans.append((begun, stop))
    return spans


def _line(data: Any) -> Line:
    """Raises ``KeyError``, ``TypeError``, ``AttributeError`` or ``ValueError`` for what is not a tick."""
    mouse, keys, slot = data["mouse"], data["keyboard"]["keys"], data.get("hotbar")
    dx, dy = float(mouse["dx"]), float(mouse["dy"])
    if not (abs(dx) < LIMIT and abs(dy) < LIMIT):
        raise ValueError(f"the mouse moved by {dx}, {dy} pixels")
    for held in (keys, mouse["buttons"], mouse["newButtons"]):
        if not isinstance(held, list):
            raise ValueError(f"{held!r} is no list of keys or buttons")
    return Line(
        keys=frozenset(keys),
        motion=(dx, dy),
        buttons=frozenset(mouse["buttons"]),
        pressed=frozenset(mouse["newButtons"]),
        menu=bool(data["isGuiOpen"]),
        slot=None if slot is None else int(slot),
        wheel=bool(mouse.get("dwheel", 0)),
    )
