"""What a learned environment is asked for: constructor arguments and reset options, checked, and resolved per
lane.

Pure bookkeeping, no network. An episode begins from one of three sources: given frames, a true start of the
model's bank, or text alone. Options of ``reset`` come before constructor arguments; two sources at once are
an error. A prompt is read by the caption parser: the world that it names, what holds for the whole scene, and
what is seen at the beginning; the words that the model gets are worded anew from what was understood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from worldsim.bank import Bank, BankStart, held_bank
from worldsim.captions.expander import Expander, Expansion, choose_world
from worldsim.captions.grammar import prompt_text, whole_text
from worldsim.captions.parse import ParsedPrompt, parse_prompt
from worldsim.nearest import STARTS as PROMPTED_STARTS
from worldsim.nearest import Nearest, nearest_start
from worldsim.predictor import LaneText
from worldsim.told import told
from worldsim.worlds import DEFAULT_WORLD, WORLDS, WorldSpec, world_named

RESET_OPTIONS = ("prompt", "start", "goal", "init_frames", "init_actions")
PER_LANE_TEXT = ("prompt", "start", "goal")
STARTS = (*PROMPTED_STARTS, "bank")

Texts = str | Sequence[str | None] | None


@dataclass(frozen=True)
class SoraConfig:
    """Constructor arguments of the learned environment, checked; see ``SoraWorldEnv`` for their meaning.

    ``prompt``, ``start`` and ``goal`` may be lists with one entry per lane.
    """

    world: WorldSpec | None = None
    prompt: Texts = None
    start: Texts = None
    goal: Texts = None
    frame_size: tuple[int, int] = (64, 64)
    denoising_steps: int = 4
    context_noise: float | None = None
    time_limit: int | None = None
    actions: str = "keyboard"
    obs_type: str = "rgb"
    truncate_on: float | None = None
    render_mode: str | None = None

    @classmethod
    def check(cls, world: str | None, frame_size: Sequence[int], **given: Any) -> SoraConfig:
        """The configuration of constructor arguments; ``ValueError`` names what is wrong with one."""
        sizes = tuple(frame_size) if isinstance(frame_size, Sequence | np.ndarray) else ()
        if len(sizes) != 2 or not all(_is_integer(s) and s > 0 for s in sizes):
            raise ValueError(f"frame_size={frame_size!r}; expected (height, width) in pixels")
        spec = None if world is None else world_named(world)
        return cls(world=spec, frame_size=(int(sizes[0]), int(sizes[1])), **given)

    def __post_init__(self) -> None:
        _one_of("actions", self.actions, ("keyboard", "world"))
        _one_of("obs_type", self.obs_type, ("rgb", "latent"))
        if self.render_mode is not None:
            _one_of("render_mode", self.render_mode, ("rgb_array",))
        if not _is_integer(self.denoising_steps) or self.denoising_steps < 1:
            raise ValueError(f"denoising_steps={self.denoising_steps!r}; expected an integer of at least 1")
        if self.time_limit is not None and (not _is_integer(self.time_limit) or self.time_limit < 1):
            raise ValueError(f"time_limit={self.time_limit!r}; expected None or a number of steps, at least 1")
        if self.context_noise is not None and not 0 <= self.context_noise < 1:
            raise ValueError(f"context_noise={self.context_noise!r}; expected None or a level in [0, 1)")
        if self.world is None and self.actions == "world":
            raise ValueError(
                'actions="world" needs a world, since each has its own actions; pass world=..., or '
                'actions="keyboard", whose space is the same for all worlds'
            )
        self._check_threshold()
        if any(start == "bank" and prompt is not None for start, prompt in _in_pairs(self.start, self.prompt)):
            raise ValueError(
                f"two sources at once: start={self.start!r} with prompt={self.prompt!r}; a start of the bank brings "
                'its own caption as prompt: leave out one of them, or use start="nearest"'
            )
        for start in _each(self.start):
            _one_of("start", start, STARTS)
        for prompt in _each(self.prompt):
            parse_prompt(prompt)
        for goal in _each(self.goal):
            check_goal(goal, self.world)

    def _check_threshold(self) -> None:
        threshold = self.truncate_on
        if threshold is None:
            return
        if not isinstance(threshold, int | float) or not math.isfinite(threshold) or threshold <= 0:
            raise ValueError(f"truncate_on={threshold!r}; expected None or a threshold above 0")
        if self.denoising_steps == 1:
            raise ValueError(
                'truncate_on needs info["hallucination"], which one denoising step does not give; use '
                "denoising_steps of at least 2"
            )


@dataclass(frozen=True)
class LaneOptions:
    """What one lane is asked to begin with; None where nothing was said."""

    prompt: str | None = None
    start: str | None = None
    goal: str | None = None
    init_frames: np.ndarray | None = None
    init_actions: np.ndarray | None = None


@dataclass(frozen=True)
class Episode:
    """How a lane's episode begins, all questions settled. ``event`` and ``prompt`` (the echo) are texts; ``nearest`` is
    the start of the bank that a prompt was answered by, where one was."""

    world: WorldSpec
    text: LaneText
    prompt: str
    event: str = ""
    frames: np.ndarray | None = None
    actions: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    nearest: Nearest | None = None


def split_options(
    options: Mapping[str, Any] | None, lanes: int, batched: bool, allowed: Sequence[str] = RESET_OPTIONS
) -> list[LaneOptions]:
    """Reset options of each lane. In a vector environment (``batched``) texts may be lists of ``lanes``
    entries, and frames and actions carry a leading lane axis. Raises ``ValueError`` for unknown options."""
    given = {name: value for name, value in (options or {}).items() if value is not None}
    unknown = sorted(set(options or {}) - set(allowed))
    if unknown:
        raise ValueError(f"unknown reset options {unknown}; accepted are {', '.join(allowed)}")
    columns: dict[str, list[Any]] = {}
    for name in PER_LANE_TEXT:
        columns[name] = per_lane(name, given.get(name), lanes)
    for name in ("init_frames", "init_actions"):
        value = given.get(name)
        if value is None:
            columns[name] = [None] * lanes
        elif not batched:
            columns[name] = [np.asarray(value)]
        elif len(value) != lanes:
            raise ValueError(f"{name} has {len(value)} rows for {lanes} lanes; give one row for each lane")
        else:
            columns[name] = [None if row is None else np.asarray(row) for row in value]
    return [LaneOptions(**{name: column[i] for name, column in columns.items()}) for i in range(lanes)]


def per_lane(name: str, value: Texts, lanes: int) -> list[str | None]:
    """A text for each lane: a str or None for all of them, or a list with one entry each."""
    if value is None or isinstance(value, str):
        return [value] * lanes
    entries = list(value) if isinstance(value, Sequence | np.ndarray) else None
    if entries is None or len(entries) != lanes or not all(e is None or isinstance(e, str) for e in entries):
        raise ValueError(f"{name}={value!r}; expected a str, or a list of {lanes} str, one for each lane")
    return entries


def check_goal(goal: str, world: WorldSpec | None) -> str:
    """``goal`` if it is one of the world's goals (of any world's where None), else ``ValueError``."""
    goals = world.goals if world else tuple(dict.fromkeys(g for spec in WORLDS.values() for g in spec.goals))
    if goal not in goals:
        where = world.env_id if world else "any world"
        raise ValueError(f"goal={goal!r} is no goal of {where}; accepted are {', '.join(map(repr, goals))}")
    return goal


def resolve(
    config: SoraConfig,
    lane: int,
    lanes: int,
    asked: LaneOptions,
    bank: Bank | None,
    draw: int,
    worlds: Sequence[str] = tuple(WORLDS),
    expander: Expander | None = None,
) -> Episode:
    """Settles how lane ``lane`` begins.

    ``draw`` is the random number that picks a bank start, of all or of those nearest to a prompt, or seeds the
    ``expander`` of a text start (None: the prompt as it is). ``worlds`` are those that a prompt may mean without naming
    one. Raises ``ValueError`` for two sources at once, for goals that the world does not have, and where a start of the
    bank is wanted and the model has none.
    """
    default_prompt = per_lane("prompt", config.prompt, lanes)[lane]
    default_start = per_lane("start", config.start, lanes)[lane]
    source = _source(asked, default_prompt, default_start)
    prompt = default_prompt if asked.prompt is None else asked.prompt
    world = config.world or _world_of(default_prompt if source == "bank" else prompt, worlds)
    if source == "bank":
        held = held_bank(bank, world, 'pass start="prompt", a prompt, or init_frames')
        return _from_start(config, lane, lanes, asked, world, held.start(world.name, draw))
    prompt = world.prompt if prompt is None else prompt
    if source == "nearest":
        found = nearest_start(bank, world, prompt, draw)
        event = parse_prompt(prompt, world.name).event_text
        return replace(_from_start(config, lane, lanes, asked, world, found.start, event), nearest=found)
    words: ParsedPrompt | Expansion = parse_prompt(prompt, world.name)
    if expander is not None and source == "prompt":  # frames show what a prompt leaves open
        words = expander.expand(prompt, draw, world.name)
    goal = _goal(config, lane, lanes, asked, world, "")
    text = LaneText(prompt_text(world, words.scene_text), words.view_text, goal)
    frames, actions = None, np.zeros(0, np.int64)
    if source == "frames":
        assert asked.init_frames is not None
        frames = asked.init_frames
        actions = _init_actions(asked.init_actions, world, config)
    return Episode(world, text, echo(world, words), words.event_text, frames, actions)


def echo(world: WorldSpec, words: ParsedPrompt | Expansion) -> str:
    """What ``info["prompt"]`` says was understood, and added where it was expanded."""
    return whole_text(world, words.scene_text, words.view_text, words.event_text)


def _source(asked: LaneOptions, default_prompt: str | None, default_start: str | None) -> str:
    if asked.init_frames is not None:
        if asked.start is not None:
            raise ValueError(f"two sources at once: init_frames and start={asked.start!r}; give one of them")
        return "frames"
    if asked.init_actions is not None:
        raise ValueError("init_actions without init_frames: give the frames that these actions produced")
    if asked.start is not None:
        _one_of("start", asked.start, STARTS)
        if asked.start == "bank" and asked.prompt is not None:
            raise ValueError(
                'two sources at once: start="bank" brings its own caption as prompt; leave out '
                'prompt, or use start="nearest" or start="prompt"'
            )
        return asked.start
    if asked.prompt is not None:
        return "nearest" if default_start == "nearest" else "prompt"
    if default_start is not None:
        return default_start
    return "bank" if default_prompt is None else "prompt"


def _world_of(prompt: str | None, worlds: Sequence[str]) -> WorldSpec:
    return WORLDS[DEFAULT_WORLD] if prompt is None else choose_world(parse_prompt(prompt), worlds)[0]


def _goal(config: SoraConfig, lane: int, lanes: int, asked: LaneOptions, world: WorldSpec, fallback: str) -> str:
    default = per_lane("goal", config.goal, lanes)[lane]
    goal = asked.goal if asked.goal is not None else default
    return check_goal(fallback if goal is None else goal, world)


def _from_start(
    config: SoraConfig, lane: int, lanes: int, asked: LaneOptions, world: WorldSpec, start: BankStart, event: str = ""
) -> Episode:
    """An episode from a start of the bank, which brings its own caption; ``event`` is told beside it."""
    goal = _goal(config, lane, lanes, asked, world, start.facts.goal)
    begun = told(start, world, config.frame_size, goal, event)
    return Episode(world, begun.text, begun.shown, event, begun.frame)


def _init_actions(actions: np.ndarray | None, world: WorldSpec, config: SoraConfig) -> np.ndarray:
    """Action ids of ``init_actions``, which speak the environment's action space."""
    if actions is None or actions.size == 0:
        return np.zeros(0, np.int64)
    ids = world.world_actions if config.actions == "world" else np.arange(32)
    if actions.ndim != 1 or not np.issubdtype(actions.dtype, np.integer):
        raise ValueError(f"init_actions is {actions.dtype} {actions.shape}; expected integers of shape (n,)")
    if actions.min() < 0 or actions.max() >= len(ids):
        raise ValueError(f"init_actions holds {actions.min()} to {actions.max()}; accepted are 0 to {len(ids) - 1}")
    return ids[actions].astype(np.int64)


def _each(value: Texts) -> list[str]:
    return [value] if isinstance(value, str) else [v for v in value or () if v is not None]


def _in_pairs(start: Texts, prompt: Texts) -> list[tuple[str | None, str | None]]:
    """Start and prompt of each lane that either says something of; what is a str is of all lanes."""
    lanes = max(1 if value is None or isinstance(value, str) else len(value) for value in (start, prompt))
    starts, prompts = (
        [value] * lanes if value is None or isinstance(value, str) else list(value) for value in (start, prompt)
    )
    return list(zip(starts, prompts))  # lists of different lengths are refused where the number of lanes is known


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _one_of(name: str, value: object, accepted: Sequence[str]) -> None:
    if value not in accepted:
        raise ValueError(f"{name}={value!r}; accepted are {', '.join(map(repr, accepted))}")
