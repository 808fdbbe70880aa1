"""One episode in memory: what writer, reader, live generation and training all speak.

Step ``t`` takes action ``a_t`` at observation ``t`` and yields block ``t + 1`` of up to four video frames.
Observation 0 is the reset frame ``first``; observation ``t + 1`` is the last frame of ``blocks[t]``. So
arrays of length T hold what a step did, arrays of length T + 1 what an observation shows. Plain numpy, no
video library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from einops import rearrange

from worldsim.actions import UNKNOWN_ACTION
from worldsim.recording.words import EpisodeWords
from worldsim.worlds import WORLDS

BLOCK = 4
"""Frames that every stored block has room for; shorter blocks repeat their last real frame."""


@dataclass(frozen=True)
class Step:
    """What one step yielded: the builder's input.

    ``frames`` is uint8 ``(n, H, W, 3)`` with n from 1 to 4, padded or not; ``n_frames`` says how many are
    real. ``pose`` is (x, y, z in metres, yaw in degrees) after the step.
    """

    action: int
    keys: int
    camera: tuple[float, float]
    frames: np.ndarray
    n_frames: int
    reward: float
    terminated: bool
    truncated: bool
    pose: Sequence[float] = (np.nan,) * 4
    view: str = ""
    event: str = ""
    facts: str = ""


@dataclass(frozen=True)
class Episode:
    """T steps of one world, or a clip out of them.

    ``world`` is a name of ``worldsim.worlds.WORLDS`` or the reader's own name for foreign data; ``map_seed``
    is -1 where there is none. ``first`` uint8 ``(H, W, 3)``; ``blocks`` uint8 ``(T, 4, H, W, 3)``, of which
    the first ``n_frames[t]`` frames are real and the rest repeat the last of them. ``n_frames`` int8,
    ``actions`` int16 (-2 where no id matches), ``keys`` uint32 (bit masks), ``reward`` float32,
    ``terminated`` and ``truncated`` bool, all ``(T,)``; ``camera`` float32 ``(T, 2)``, yaw and pitch in
    degrees per step (left and up positive); ``pose`` float32 ``(T + 1, 4)``: the player's x, y, z in metres and yaw in
    degrees, NaN where unknown. ``views``, ``events`` and ``facts`` (JSON lines) have T + 1 entries, ``""``
    where there is nothing to say. ``frames_per_step`` and ``fps`` are the world's own where left at 0. ``words``
    and ``motion`` float16 ``(T, 2, H/4, W/4)``, where each place of observation t + 1 was in observation t (see
    ``motion_field``), are there where whoever played the episode was asked for them.

    Raises ``ValueError`` where shapes, dtypes, paddings or flags contradict each other.
    """

    world: str
    map_seed: int
    split: str
    goal: str
    policy: str
    first: np.ndarray
    blocks: np.ndarray
    n_frames: np.ndarray
    actions: np.ndarray
    keys: np.ndarray
    camera: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    pose: np.ndarray
    scene: str
    views: list[str]
    events: list[str]
    facts: list[str]
    frames_per_step: int = 0
    fps: float = 0.0
    words: EpisodeWords | None = None
    motion: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.frames_per_step or not self.fps:
            if self.world not in WORLDS:
                raise ValueError(
                    f"world {self.world!r} is not registered ({', '.join(WORLDS)}): give frames_per_step and fps"
                )
            object.__setattr__(self, "frames_per_step", WORLDS[self.world].frames_per_step)
            object.__setattr__(self, "fps", WORLDS[self.world].fps)
        _check(self)

    def __len__(self) -> int:
        """Steps in the episode."""
        return len(self.actions)

    @property
    def cuts(self) -> np.ndarray:
        """bool ``(T,)``: steps that nothing commanded, whose block begins another shot (``is_cut``)."""
        return is_cut(self.actions, self.keys, self.camera)

    def shots(self) -> list[Episode]:
        """The episode's shots, each an episode whose reset frame is the frame after a cut; a shot without a step is
        left out. ``[self]`` where there is no cut."""
        if not self.cuts.any():
            return [self]
        begins, ends = [0, *(np.flatnonzero(self.cuts) + 1)], [*np.flatnonzero(self.cuts), len(self)]
        return [self.clip(int(begin), int(end - begin)) for begin, end in zip(begins, ends) if end > begin]

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels."""
        return self.first.shape[0], self.first.shape[1]

    @property
    def observations(self) -> np.ndarray:
        """uint8 ``(T + 1, H, W, 3)``: the reset frame and the last frame of every block."""
        return np.concatenate([self.first[None], self.blocks[:, -1]])

    @property
    def video(self) -> np.ndarray:
        """uint8 ``(k*T + 1, H, W, 3)``: all frames in order, paddings included, one per row of a
        recording."""
        frames = rearrange(self.blocks[:, : self.frames_per_step], "t k h w c -> (t k) h w c")
        return np.concatenate([self.first[None], frames])

    def clip(self, start: int, length: int) -> Episode:
        """Steps ``start`` to ``start + length - 1`` as an episode whose reset frame is observation ``start``.

        The arrays are views. Raises ``IndexError`` where the clip reaches past the episode.
        """
        check_clip(start, length, len(self))
        stop = start + length
        return replace(
            self,
            first=self.first if start == 0 else self.blocks[start - 1, -1],
            blocks=self.blocks[start:stop],
            n_frames=self.n_frames[start:stop],
            actions=self.actions[start:stop],
            keys=self.keys[start:stop],
            camera=self.camera[start:stop],
            reward=self.reward[start:stop],
            terminated=self.terminated[start:stop],
            truncated=self.truncated[start:stop],
            pose=self.pose[start : stop + 1],
            views=self.views[start : stop + 1],
            events=self.events[start : stop + 1],
            facts=self.facts[start : stop + 1],
            words=None,
            motion=None if self.motion is None else self.motion[start:stop],
        )

    @classmethod
    def from_steps(
        cls,
        steps: Iterable[Step],
        *,
        world: str,
        map_seed: int,
        split: str,
        goal: str,
        policy: str,
        first: np.ndarray,
        scene: str = "",
        first_view: str = "",
        first_facts: str = "",
        first_pose: Sequence[float] = (np.nan,) * 4,
        frames_per_step: int = 0,
        fps: float = 0.0,
    ) -> Episode:
        """Stacks steps into an episode; the ``first_`` arguments describe the reset observation."""
        done = list(steps)
        blocks = np.empty((len(done), BLOCK, *first.shape), np.uint8)
        for block, step in zip(blocks, done):
            if not 1 <= step.n_frames <= min(len(step.frames), BLOCK):
                raise ValueError(f"a step holds {len(step.frames)} frames but says that {step.n_frames} are real")
            block[: step.n_frames] = step.frames[: step.n_frames]
            block[step.n_frames :] = step.frames[step.n_frames - 1]
        return cls(
            world=world,
            map_seed=int(map_seed),
            split=split,
            goal=goal,
            policy=policy,
            first=np.ascontiguousarray(first),
            blocks=blocks,
            n_frames=np.array([s.n_frames for s in done], np.int8),
            actions=np.array([s.action for s in done], np.int16),
            keys=np.array([s.keys for s in done], np.uint32),
            camera=np.array([s.camera for s in done], np.float32).reshape(-1, 2),
            reward=np.array([s.reward for s in done], np.float32),
            terminated=np.array([s.terminated for s in done], bool),
            truncated=np.array([s.truncated for s in done], bool),
            pose=np.array([first_pose, *(s.pose for s in done)], np.float32),
            scene=scene,
            views=[first_view, *(s.view for s in done)],
            events=["", *(s.event for s in done)],
            facts=[first_facts, *(s.facts for s in done)],
            frames_per_step=frames_per_step,
            fps=fps,
        )


def shots_of(episodes: Iterable[Episode]) -> Iterator[Episode]:
    """The shots of all ``episodes``, in their order: what is taken over from step to step ends at a cut."""
    return (shot for episode in episodes for shot in episode.shots())


def is_cut(actions: np.ndarray, keys: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """bool ``(T,)``: steps without a command. Held keys and camera of such a step are none, as those of a noop, and
    yet its action is no id (-2): nothing led to its frames, which are of another pose."""
    return (actions == UNKNOWN_ACTION) & (keys == 0) & (camera == 0).all(-1)


def check_clip(start: int, length: int, steps: int) -> None:
    """Raises ``IndexError`` where a clip is empty or reaches past an episode of ``steps`` steps."""
    if start < 0 or length < 1 or start + length > steps:
        raise IndexError(f"a clip of {length} steps from step {start} is not inside an episode of {steps} steps")


def _check(e: Episode) -> None:
    """Raises ``ValueError`` for the first contradiction found."""
    if e.frames_per_step not in (1, BLOCK) or not e.fps > 0:
        raise ValueError(f"frames_per_step must be 1 or {BLOCK} and fps above 0, not {e.frames_per_step} and {e.fps}")
    steps = len(e.actions)
    if steps < 1:
        raise ValueError("an episode needs at least one step")
    if e.first.ndim != 3 or e.first.shape[-1] != 3:
        raise ValueError(f"first must be (H, W, 3), not {e.first.shape}")
    expected: dict[str, tuple[type, tuple[int, ...]]] = {
        "first": (np.uint8, e.first.shape),
        "blocks": (np.uint8, (steps, BLOCK, *e.first.shape)),
        "n_frames": (np.int8, (steps,)),
        "actions": (np.int16, (steps,)),
        "keys": (np.uint32, (steps,)),
        "camera": (np.float32, (steps, 2)),
        "reward": (np.float32, (steps,)),
        "terminated": (np.bool_, (steps,)),
        "truncated": (np.bool_, (steps,)),
        "pose": (np.float32, (steps + 1, 4)),
    }
    for name, (dtype, shape) in expected.items():
        array = getattr(e, name)
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"{name} must be {np.dtype(dtype)} {shape}, not {array.dtype} {array.shape}")
    for name in ("views", "events", "facts"):
        if len(getattr(e, name)) != steps + 1:
            raise ValueError(f"{name} must have {steps + 1} entries, not {len(getattr(e, name))}")
    if e.n_frames.min() < 1 or e.n_frames.max() > e.frames_per_step:
        raise ValueError(f"n_frames must lie in 1 to {e.frames_per_step}: {e.n_frames.min()} to {e.n_frames.max()}")
    if e.n_frames[:-1].size and e.n_frames[:-1].min() < e.frames_per_step:
        raise ValueError("only the last block of an episode may be cut short")
    if not np.array_equal(e.blocks[-1, e.n_frames[-1] - 1 :], _repeated(e.blocks[-1], int(e.n_frames[-1]))):
        raise ValueError("the last block must repeat its last real frame up to 4 frames")
    if (e.terminated[:-1] | e.truncated[:-1]).any():
        raise ValueError(f"an episode ends where it is terminated or truncated, yet has steps after that: {steps}")
    if not np.isfinite(e.reward).all() or not np.isfinite(e.camera).all():
        raise ValueError("reward and camera must be finite")
    cuts = is_cut(e.actions, e.keys, e.camera)
    if (e.reward[cuts] != 0).any() or e.terminated[cuts].any():
        raise ValueError("a cut (a step with action -2, no keys and no camera motion) pays nothing and ends nothing")
    if not ((e.actions >= -2) & (e.actions < 32) & (e.actions != -1)).all():
        raise ValueError("actions must be ids from 0 to 31, or -2 where no id matches the held keys")


def _repeated(block: np.ndarray, n: int) -> np.ndarray:
    return np.broadcast_to(block[n - 1], (BLOCK - n + 1, *block.shape[1:]))
