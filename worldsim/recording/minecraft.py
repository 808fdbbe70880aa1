"""What the readers of Minecraft recordings share: from game ticks and their video to an episode.

Minecraft runs, and is recorded, at 20 ticks a second with one video frame each. A step of the episode is four ticks:
their four frames are its block, a key is held if it was held in any of them (a tap of one tick, such as a jump or a
click, must not vanish), camera motion and reward are their sums. A rest of one to three ticks is a last, shorter block,
since rewards come at the end. No tick is left out, those without input neither: the world goes on in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldsim.actions import KEY_BIT, NUM_ACTIONS, ActionTable, Camera
from worldsim.recording.episode import BLOCK, Episode, Step
from worldsim.recording.images import fit_frame
from worldsim.recording.store import RecordingError
from worldsim.recording.video import foreign_frames

# N ticks, T steps

WORLD = "Minecraft"
"""Name of the world of these episodes. It is not registered: see ``docs/minecraft.md``."""
FPS = 20.0
TABLE = ActionTable.build(range(NUM_ACTIONS), Camera())
"""Controls of the action ids, by which a step gets one where its controls are just those."""
LIMIT = 1e6
"""Rewards and camera motions of a tick at or above this are refused as damage, like NaN."""


@dataclass(frozen=True)
class Ticks:
    """Controls of N ticks and what they paid: ``keys`` uint32 masks ``(N,)``, ``camera`` float64 ``(N, 2)`` yaw and
    pitch in degrees, left and up positive, ``reward`` float32 ``(N,)``."""

    keys: np.ndarray
    camera: np.ndarray
    reward: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def part(self, start: int, stop: int) -> Ticks:
        """Ticks ``start`` to ``stop - 1``."""
        return Ticks(self.keys[start:stop], self.camera[start:stop], self.reward[start:stop])


def minecraft_episode(
    frames: np.ndarray, ticks: Ticks, *, split: str, goal: str = "", scene: str = WORLD, terminated: bool = False
) -> Episode:
    """The episode of ``frames`` uint8 ``(N + 1, H, W, 3)``, of which frame i + 1 shows what tick i led to.

    It ends as terminated where that is said, else as truncated.
    """
    starts = np.arange(0, len(ticks), BLOCK)
    keys = np.bitwise_or.reduceat(ticks.keys, starts)
    camera = np.add.reduceat(ticks.camera, starts).astype(np.float32)
    reward = np.add.reduceat(ticks.reward, starts)
    actions = TABLE.matching(keys, camera)
    last = len(starts) - 1
    steps = [
        Step(
            action=int(actions[t]),
            keys=int(keys[t]),
            camera=tuple(camera[t].tolist()),
            frames=(block := frames[1 + BLOCK * t : 1 + BLOCK * (t + 1)]),
            n_frames=len(block),
            reward=float(reward[t]),
            terminated=terminated and t == last,
            truncated=not terminated and t == last,
        )
        for t in range(len(starts))
    ]
    return Episode.from_steps(
        steps,
        world=WORLD,
        map_seed=-1,
        split=split,
        goal=goal,
        policy="human",
        first=frames[0],
        scene=scene,
        frames_per_step=BLOCK,
        fps=FPS,
    )


def read_video(path: Path, count: int, told_by: Path, size: tuple[int, int], skip: int = 0) -> np.ndarray:
    """The frames of a video after the first ``skip``, at ``size``: uint8 ``(count - skip, H, W, 3)``.

    Raises ``RecordingError`` where it does not have just the ``count`` frames that the file ``told_by`` tells.
    """
    frames = np.empty((count - skip, *size, 3), np.uint8)
    found = 0
    for frame in foreign_frames(path):
        if skip <= found < count:
            frames[found - skip] = fit_frame(frame, size)
        found += 1
    if found != count:
        raise RecordingError(f"{path} has {found} frames, but {told_by} tells of {count}")
    return frames


def require(condition: object, path: Path, complaint: str) -> None:
    """Raises ``RecordingError`` about the file or folder ``path`` unless the condition holds."""
    if not condition:
        raise RecordingError(f"{path} {complaint}")


def key_masks(keys: Mapping[str, str]) -> dict[str, int]:
    """A source's name -> key mask, from its name -> name out of ``worldsim.actions.KEYS``."""
    return {name: 1 << KEY_BIT[key] for name, key in keys.items()}
