"""Captions of whole episodes, and of videos, by a captioner.

A captioner judges moments. An episode is of one world and in one setting, so these are decided by all of its moments
together, and the walls that it saw most are those of its map. The rest is said of each observation by itself. Equal
facts read alike all through an episode, as in the captions of the true worlds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldsim.captioning.captioner import Beliefs, Captioner, looks
from worldsim.captions.facts import SceneFacts, Surface
from worldsim.captions.grammar import event_caption, scene_caption, view_caption
from worldsim.captions.slots import CHOICES, Facts
from worldsim.captions.styles import MAX_PALETTE
from worldsim.recording.facts_json import NOTHING, facts_to_json
from worldsim.recording.glimpses import read_glimpses
from worldsim.recording.reader import Recording
from worldsim.recording.recaption import Captions
from worldsim.recording.store import RecordingError
from worldsim.recording.video import foreign_frames
from worldsim.worlds import WORLDS

WALL_SHARE = 0.05
"""Share of an episode's moments in which a wall must be seen to be named as one of the map's."""
STEP = 4
"""Frames between the first and the last that are looked at in a video of unknown origin."""


@dataclass(frozen=True)
class Told:
    """Texts of one moment and the facts that they are worded from."""

    scene: str
    view: str
    event: str
    facts: Facts


def episode_facts(captioner: Captioner, recording: Recording, number: int) -> list[Facts]:
    """Facts of every observation of an episode; of a world that the captioner does not know it says nothing.

    Raises ``ValueError`` where the episode is of a registered world that the captioner was not taught.
    """
    entry = recording.entries[number]
    if entry.world in WORLDS and entry.world not in captioner.worlds:
        raise ValueError(
            f"episode {number} is of {entry.world}, which this captioner was not taught; it knows "
            f"{', '.join(captioner.worlds)}"
        )
    frames, _ = read_glimpses(recording, number, range(entry.steps + 1))
    return facts_in_order(captioner, captioner.beliefs(frames), entry.world if entry.world in WORLDS else None)


def facts_in_order(captioner: Captioner, beliefs: Beliefs, world: str | None = None) -> list[Facts]:
    """Facts of the moments of one episode, which share a scene. ``world`` is None where it must be found out."""
    least = captioner.config.thresholds
    name = world or _agreed(captioner, beliefs, "world", least.world)
    if not name:
        return [NOTHING] * len(beliefs)
    moments = captioner.said(beliefs, name)
    walls: tuple[Surface, ...] = ()
    if name in captioner.config.slots.palettes:
        seen = Counter(view.wall for _, view, _ in moments if view.wall != Surface())
        common = [wall for wall, count in seen.most_common() if count >= WALL_SHARE * len(moments)]
        walls = tuple(common[: MAX_PALETTE["descriptive"]])
    scene = SceneFacts(name, _agreed(captioner, beliefs, "setting", least.setting), walls=walls)
    return [
        (scene, view, events if t else ()) for t, (_, view, events) in enumerate(moments)
    ]  # nothing led to the first


def _agreed(captioner: Captioner, beliefs: Beliefs, slot: str, least: float) -> str:
    """The word of a slot that the moments together think likeliest, "" where they are not sure."""
    at = CHOICES.index(slot)
    mean = beliefs.choices[at].mean(0)
    best = int(mean.argmax())
    return captioner.config.slots.values[at][best] if mean[best] >= least else ""


def word_facts(facts: Sequence[Facts], style: str, seed: Sequence[int] | None) -> list[Told]:
    """Texts of the moments of one episode in ``style``; canonical ones where ``seed`` is None."""
    kept: dict[object, str] = {}

    def worded(part: str, stated: object) -> str:
        if (part, stated) not in kept:
            rng = None if seed is None else np.random.default_rng(list(seed))
            write = {"scene": scene_caption, "view": view_caption, "event": event_caption}[part]
            kept[part, stated] = write(stated, style, rng)  # type: ignore[operator]
        return kept[part, stated]

    return [
        Told(
            worded("scene", scene) if scene.world else "",
            worded("view", view),
            worded("event", events) if events else "",
            (scene, view, events),
        )
        for scene, view, events in facts
    ]


def caption_episode(captioner: Captioner, recording: Recording, number: int, style: str, seed: int) -> Captions:
    """The captions of an episode as its recording keeps them."""
    told = word_facts(episode_facts(captioner, recording, number), style, (seed, number))
    return Captions(
        told[0].scene,
        [moment.view for moment in told],
        [moment.event for moment in told],
        [facts_to_json(*moment.facts) if moment.facts[0].world else "" for moment in told],
    )


def video_facts(captioner: Captioner, path: Path, every: int, world: str | None = None) -> list[tuple[int, Facts]]:
    """Facts of every so many frames of a video, with their numbers; ``world`` is None where it must be found out.

    Raises ``RecordingError`` where the file is missing, damaged or empty.
    """
    if not path.is_file():
        raise RecordingError(f"{path} is no file")
    found = list(_clips(path, every))
    if not found:
        raise RecordingError(f"{path} holds no frame")
    beliefs = captioner.beliefs(np.stack([clip for _, clip in found]))
    facts = facts_in_order(captioner, beliefs, world)
    return [(number, moment) for (number, _), moment in zip(found, facts)]


def _clips(path: Path, every: int) -> Iterator[tuple[int, np.ndarray]]:
    before: deque[np.ndarray] = deque(maxlen=STEP + 1)
    for number, frame in enumerate(foreign_frames(path)):
        before.append(frame)
        if number % every == 0:
            yield number, looks(np.stack(before))
