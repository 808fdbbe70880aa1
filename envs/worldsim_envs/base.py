"""What every true world has in common: constructor, seeds and splits, blocks of frames, ``info``, limits.

A world supplies four hooks (``_begin``, ``_advance``, ``_describe``, ``truth``) and inherits the rest, so
that Doom, 2-D physics and grid worlds keep one contract: ``docs/worlds.md`` describes it, and how to add a
world. Step t takes action ``a_t`` and yields block t+1 of k video frames; the observation is the last of
them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from worldsim.actions import ACTION_MEANINGS, NUM_ACTIONS, check_actions
from worldsim.captions import grammar
from worldsim.captions.facts import EventFact, SceneFacts, ViewFacts
from worldsim.worlds import SPLITS, WorldSpec

Facts = tuple[SceneFacts, ViewFacts, tuple[EventFact, ...]]
BLOCK_FRAMES = 4
"""Frames of ``info["frames"]`` after a step, whatever k is: shorter blocks repeat their last frame."""

TRUTH_BUFFERS: tuple[str, ...] = ("depth", "labels")
RESET_OPTIONS: tuple[str, ...] = ("map_seed", "pose", "dynamics_seed", "goal")
CAPTION_STYLES: tuple[str, ...] = ("short", "medium", "descriptive")


@dataclass(frozen=True)
class Start:
    """What one episode starts from.

    ``pose`` is x, y in metres and yaw in degrees, or None for the map's own start. ``dynamics`` is the seed
    of what moves by itself and the step from which it holds, or None: then that follows ``map_seed`` too.
    """

    map_seed: int
    goal: str
    pose: tuple[float, float, float] | None = None
    dynamics: tuple[int, int] | None = None

    @property
    def first_dynamics(self) -> int:
        """Seed of what moves by itself at the beginning."""
        return self.dynamics[0] if self.dynamics is not None and self.dynamics[1] == 0 else self.map_seed


@dataclass(frozen=True)
class Advance:
    """Outcome of one step: 1 to k frames uint8 ``(H, W, 3)``, the last of them the observation."""

    frames: Sequence[np.ndarray]
    reward: float
    terminated: bool


class TrueWorld(gym.Env[np.ndarray, np.int64]):
    """Base class of the true worlds.

    Arguments (all worlds):
        split: ``train``, ``val`` or ``test``; the range that ``reset`` draws map seeds from.
        frame_size: ``(H, W)`` of the observation, each at least 16.
        actions: ``keyboard`` for the full ``Discrete(32)``, ``world`` for the actions that the world reads.
        hud: ``bar`` draws the health bar in worlds that can kill, ``none`` never does.
        goal: one of ``goals``, or None for ``""``, the world's own reward.
        time_limit: steps until truncation, None for the world's own.
        truth: which of ``depth`` and ``labels`` to add to ``info["truth"]``.
        render_mode: None or ``rgb_array``.

    ``reset`` options: ``map_seed`` (any split), ``pose`` (x, y metres, yaw degrees), ``dynamics_seed``
    (reseeds only what moves by itself; an int, or ``(seed, from_step)`` where the world can), ``goal``.
    Unknown options, actions outside the space and bad arguments raise ``ValueError``."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}
    spec_world: ClassVar[WorldSpec]
    has_poses: ClassVar[bool] = True
    """Whether the world takes the reset option ``pose``."""
    any_yaw: ClassVar[bool] = True
    """Whether a pose may have any yaw. Recordings of several shots need that."""
    dynamics_later: ClassVar[bool] = False
    """Whether ``dynamics_seed`` may be ``(seed, from_step)``."""

    def __init__(
        self,
        *,
        split: str = "train",
        frame_size: Sequence[int] = (64, 64),
        actions: str = "keyboard",
        hud: str = "bar",
        goal: str | None = None,
        time_limit: int | None = None,
        truth: Sequence[str] = (),
        render_mode: str | None = None,
    ) -> None:
        world = self.spec_world
        self.split = _one_of("split", split, tuple(SPLITS))
        self.frame_size = _frame_size(frame_size)
        self.actions = _one_of("actions", actions, ("keyboard", "world"))
        self.hud = _one_of("hud", hud, ("bar", "none"))
        self.truth_buffers = _buffers(truth)
        self.render_mode = render_mode
        if render_mode is not None:
            _one_of("render_mode", render_mode, ("rgb_array",))
        self._default_goal = self._check_goal("" if goal is None else goal)
        if time_limit is not None and (not isinstance(time_limit, int | np.integer) or time_limit < 1):
            raise ValueError(f"time_limit={time_limit!r}; expected None or a number of steps of at least 1")
        self.time_limit = world.time_limit if time_limit is None else int(time_limit)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 1 / world.step_seconds}

        ids = np.arange(NUM_ACTIONS) if self.actions == "keyboard" else world.world_actions
        self._action_ids = ids
        self.action_space = gym.spaces.Discrete(len(ids))
        self.observation_space = gym.spaces.Box(0, 255, (*self.frame_size, 3), np.uint8)
        self.last_step_seconds = 0.0
        self._start: Start | None = None
        self._steps = 0
        self._over = False
        self._frame = np.zeros((*self.frame_size, 3), np.uint8)
        self._captions: dict[object, str] = {}
        self._facts: Facts | None = None  # of this moment, once they have been asked for

    # What a world supplies

    def _begin(self, start: Start) -> np.ndarray:
        """Starts an episode and returns its first frame, uint8 ``(H, W, 3)``."""
        raise NotImplementedError

    def _advance(self, action: int) -> Advance:
        """Plays one step of a canonical action id (one of ``spec_world.reads``)."""
        raise NotImplementedError

    def _describe(self) -> Facts:
        """Facts of the episode, of what is seen now, and of what happened during the last step."""
        raise NotImplementedError

    def truth(self) -> dict[str, Any]:
        """Camera, objects, and the buffers asked for; ``docs/worlds.md`` lists the fields and their units."""
        raise NotImplementedError

    # What they share

    @property
    def goals(self) -> tuple[str, ...]:
        """The goal strings that ``goal`` may be; ``""`` is the world's own reward."""
        return self.spec_world.goals

    @property
    def action_meanings(self) -> tuple[str, ...]:
        """Names of the actions of ``action_space``, by index."""
        return tuple(ACTION_MEANINGS[i] for i in self._action_ids)

    @property
    def map_seed(self) -> int:
        """Map seed of the running episode."""
        return self._running().map_seed

    @property
    def goal(self) -> str:
        """Goal of the running episode."""
        return self._running().goal

    def facts(self) -> Facts:
        """Facts of the episode, of what is seen now, and of what happened during the last step."""
        self._running()
        if self._facts is None:
            self._facts = self._describe()
        return self._facts

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode. Equal seeds and options give equal frames, bit for bit, whatever ran before."""
        super().reset(seed=seed)
        begun = time.perf_counter()
        start = self._read_options(options or {})
        self._start, self._steps, self._over = start, 0, True  # no episode runs where the start is refused
        self._captions.clear()
        self._facts = None
        self._frame = self._begin(start)
        self._over = False
        info = self._info(self._frame[None].copy(), 1)
        self.last_step_seconds = time.perf_counter() - begun
        return self._frame.copy(), info

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Plays one block of k frames; the observation is the last frame that was rendered."""
        begun = time.perf_counter()
        index = int(check_actions(action, len(self._action_ids), ()))
        self._running()
        if self._over:
            raise RuntimeError("step() after the episode ended; call reset() first")
        canonical = int(self.spec_world.table.canonical[self._action_ids[index]])
        self._facts = None
        advance = self._advance(canonical)
        self._steps += 1
        self._frame = advance.frames[-1]
        truncated = self._steps >= self.time_limit and not advance.terminated
        self._over = advance.terminated or truncated
        n = len(advance.frames)
        block = np.stack([*advance.frames, *[self._frame] * (BLOCK_FRAMES - n)])
        info = self._info(block, n)
        self.last_step_seconds = time.perf_counter() - begun
        return self._frame.copy(), float(advance.reward), advance.terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """The observation, uint8 ``(H, W, 3)``, if ``render_mode`` is ``rgb_array``."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def caption(self, style: str = "short") -> dict[str, str]:
        """Texts ``scene``, ``view`` and ``event`` of the moment in ``style``; equal for equal seeds."""
        _one_of("style", style, CAPTION_STYLES)
        return self._caption(style, *self.facts())

    def _caption(self, style: str, scene: SceneFacts, view: ViewFacts, events: tuple[EventFact, ...]) -> dict[str, str]:
        # The wording is drawn from the map seed alone: equal facts read alike all through an episode.
        def worded(part: str, facts: object) -> str:
            key = (part, style, None if part == "scene" else facts)  # the scene holds for the whole episode
            if key not in self._captions:
                write = getattr(grammar, f"{part}_caption")
                self._captions[key] = write(facts, style, np.random.default_rng(self.map_seed))
            return self._captions[key]

        return {
            "scene": worded("scene", scene),
            "view": worded("view", view),
            "event": worded("event", events),
        }

    def _info(self, frames: np.ndarray, n_frames: int) -> dict[str, Any]:
        scene, view, events = self.facts()
        return {
            "frames": frames,
            "n_frames": n_frames,
            "goal": self.goal,
            "truth": self.truth(),
            "caption": self._caption("short", scene, view, events),
            "events": [asdict(event) for event in events],
        }

    def _running(self) -> Start:
        if self._start is None:
            raise RuntimeError("no episode is running; call reset() first")
        return self._start

    def _reseeding(self) -> int | None:
        """Seed of what moves by itself from the step on that is being played, None where nothing changes with it."""
        dynamics = self._running().dynamics
        return dynamics[0] if dynamics is not None and dynamics[1] == self._steps > 0 else None

    def _check_goal(self, goal: str) -> str:
        if goal not in self.spec_world.goals:
            accepted = ", ".join(map(repr, self.spec_world.goals))
            raise ValueError(f"goal={goal!r} is none of this world's goals: {accepted}")
        return goal

    def _read_options(self, options: dict[str, Any]) -> Start:
        accepted = [name for name in RESET_OPTIONS if name != "pose" or self.has_poses]
        unknown = sorted(set(options) - set(accepted))
        if unknown:
            raise ValueError(f"unknown reset options {unknown}; {self.spec_world.env_id} accepts {accepted}")
        low, high = SPLITS[self.split]
        drawn = int(self.np_random.integers(low, high))  # drawn always: options must not shift later draws
        map_seed = _integer("map_seed", options.get("map_seed"), drawn)
        goal = options.get("goal")
        return Start(
            map_seed=map_seed,
            goal=self._default_goal if goal is None else self._check_goal(goal),
            pose=_pose(options.get("pose")),
            dynamics=self._dynamics(options.get("dynamics_seed")),
        )

    def _dynamics(self, value: object) -> tuple[int, int] | None:
        if value is None:
            return None
        if isinstance(value, tuple | list) and len(value) == 2 and self.dynamics_later:
            return _integer("dynamics_seed[0]", value[0], 0), _integer("dynamics_seed[1]", value[1], 0)
        return _integer("dynamics_seed", value, 0), 0


def _one_of(name: str, value: str, accepted: Sequence[str]) -> str:
    if value not in accepted:
        raise ValueError(f"{name}={value!r}; accepted are {', '.join(map(repr, accepted))}")
    return value


def _frame_size(value: Sequence[int]) -> tuple[int, int]:
    sizes = tuple(value)
    if len(sizes) != 2 or any(not isinstance(s, int | np.integer) or s < 16 for s in sizes):
        raise ValueError(f"frame_size={value!r}; expected (height, width) in pixels, each an integer of at least 16")
    return int(sizes[0]), int(sizes[1])


def _buffers(value: Sequence[str]) -> tuple[str, ...]:
    given = (value,) if isinstance(value, str) else tuple(value)
    for name in given:
        _one_of("truth", name, TRUTH_BUFFERS)
    return given


def _integer(name: str, value: object, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < 2**31:
        raise ValueError(f"{name}={value!r}; expected an integer in [0, 2**31)")
    return int(value)


def _pose(value: object) -> tuple[float, float, float] | None:
    if value is None:
        return None
    given = np.asarray(value)
    if given.shape != (3,) or not np.issubdtype(given.dtype, np.number) or not np.isfinite(given).all():
        raise ValueError(f"pose={value!r}; expected three finite numbers: x and y in metres, yaw in degrees")
    x, y, yaw = (float(v) for v in given)
    return x, y, yaw
