"""Events that are asked for in words: a quiet moment of a true world, what is said then, what tells that it happened.

A cue is a true rollout in which the event does *not* happen (mostly one stands still), so that only the words can make
it happen; the candidate plays it three times from the same start with the same noise: told of the event, told of
another one, told nothing. Whether it happened is read exactly. Where a deed makes the event, the true world has played
the same start with the deed, and the pixels that it changes vote between both truths (``probes.plan``); health is the
length of the bar that Doom worlds draw. Texts are worded as the worlds' own event captions are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from worldsim_benchmarks.probes import doom, table
from worldsim_benchmarks.probes.plan import LEAST, SHOWS, Check, Plan, look
from worldsim_benchmarks.truth import TEST_SEEDS, Reference, Rollout


class Detector(Protocol):
    """Whether the event shows in ``frames`` uint8 ``(L + 1, H, W, 3)`` (the last of the context, then one per step),
    in those after step ``at``."""

    def __call__(self, frames: np.ndarray, at: int) -> bool: ...


@dataclass(frozen=True)
class Looks:
    """The event shows where at least two thirds of the pixels that the deed changes vote for it in one of the looks."""

    checks: tuple[Check, ...]

    def __call__(self, frames: np.ndarray, at: int) -> bool:
        return any(c.share(frames[c.step]) >= SHOWS for c in self.checks if c.step > at)


BAR_ROWS = 2
RED = 40
CHANGE = 0.04
"""Share of the picture's width by which the bar must change: a wound on the acid floor is 0.08."""


def bar(frame: np.ndarray) -> float:
    """Length of the health bar in widths of the picture: columns whose last rows are redder than blue."""
    rows = frame[-BAR_ROWS:].astype(int).mean(0)
    return float((rows[:, 0] - rows[:, 2] > RED).mean())


@dataclass(frozen=True)
class Bar:
    """Health rises (``sign`` 1) or falls (-1) visibly in the bar."""

    sign: int

    def __call__(self, frames: np.ndarray, at: int) -> bool:
        return any(self.sign * (bar(frame) - bar(frames[at])) >= CHANGE for frame in frames[at + 1 :])


@dataclass(frozen=True)
class Cue:
    """``quiet`` is the rollout without the event (a plan without a deed: its context and its actions); ``text`` is told
    before step ``at`` after the context, ``swapped`` is the other text. ``happened`` and ``other`` are true frames
    ``(L + 1, H, W, 3)`` with the event after ``at``, and with the other one where the world has it there (else
    None). ``alike`` is True where all maps look the same, so that there is no context to be told from others."""

    quiet: Plan
    at: int
    text: str
    swapped: str
    detector: Detector
    happened: np.ndarray
    other: np.ndarray | None = None
    alike: bool = False

    @property
    def calm(self) -> np.ndarray:
        """True frames without the event."""
        return observations(self.quiet.acted, self.quiet.prefix, self.quiet.length)


@dataclass(frozen=True)
class Event:
    """One kind of event of one world: when an episode is correct, in words, the actions that the cue needs, and how a
    cue is found on a map (None where the map has none)."""

    name: str
    world: str
    criterion: str
    actions: tuple[str, ...]
    find: Callable[[Reference, int], Cue | None]


def observations(take: Rollout, start: int, length: int) -> np.ndarray:
    """uint8 ``(length + 1, H, W, 3)``: what is seen after ``start`` steps and after each of the next ``length``."""
    return np.stack([take.frame(start + step) for step in range(length + 1)])


def a(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def cue_of(plan: Plan | None, kinds: Sequence[str], words: Callable[[str, str], tuple[str, str]]) -> Cue | None:
    """The cue of a deed: its twin is the quiet rollout, and the words come right before the step in which the first
    event of these ``kinds`` truly happens. ``words(kind, colour)`` gives both texts."""
    if plan is None:
        return None
    happens = [
        (step, e)
        for step, events in enumerate(plan.acted.events[plan.prefix :])
        for e in events
        if e["kind"] in kinds
    ]  # fmt: skip
    if not happens or any(e["kind"] in kinds for events in plan.twin.events for e in events):
        return None
    at, event = happens[0]
    checks = tuple(c for c in plan.curve if c.step > at and c.shown and c.mask.sum() >= LEAST // 2)
    quiet = Plan(plan.twin, plan.twin, (), ())
    happened = observations(plan.acted, plan.prefix, plan.length)
    detector = Looks(checks)
    if not detector(happened, at):
        return None
    return Cue(quiet, at, *words(event["kind"], event["colour"]), detector, happened)


def door_opens(stage: Reference, map_seed: int) -> Cue | None:
    """Before a closed door, standing still."""
    steps = doom.OPENING
    for place in doom.before_doors(stage, map_seed):
        if not stage.reset(map_seed, place):
            continue
        at = len(doom.CONTEXT)
        acted = stage.play((*doom.CONTEXT, "use", *("noop",) * (steps - 1)), map_seed, at, place)
        twin = stage.play((*doom.CONTEXT, *("noop",) * steps), map_seed, at, place)
        # what lies behind the door is not to be known: only that the door is gone can be judged
        looks = [replace(look(acted, twin, step), departure=True) for step in range(2, steps + 1)]
        if looks[-1].mask.sum() < 10 * LEAST:
            continue
        plan = Plan(acted, twin, (), (), tuple(c for c in looks if c.mask.sum() >= 10 * LEAST))
        found = cue_of(plan, ("door_opens",), lambda _, c: (f"{a(c + ' door')} opens", f"{a(c + ' door')} closes"))
        if found is not None:
            return found
    return None


def shoot(stage: Reference, map_seed: int) -> Cue | None:
    """The gun in hand, standing still; a shot that ends the episode is left out."""
    context, length = ("noop",) * 6, 5
    acted = stage.play((*context, "attack", *("noop",) * (length - 1)), map_seed, len(context))
    twin = stage.play((*context, *("noop",) * length), map_seed, len(context))
    if min(acted.length, twin.length) < len(twin.names):
        return None
    looks = tuple(look(acted, twin, step) for step in range(1, length + 1))
    plan = Plan(acted, twin, (), (), tuple(c for c in looks if c.mask.sum() >= LEAST))
    found = cue_of(plan, ("shoot",), lambda *_: ("you shoot", "you are healed"))
    return None if found is None else replace(found, alike=True)


HURT, HEALED = "you are hurt", "you are healed"


def health(context: int, length: int, kind: str) -> Callable[[Reference, int], Cue | None]:
    """A quiet moment ``context`` steps after the start, standing still, in which health stays as it is for ``length``
    steps; the event itself is taken from where it happens, on a further map under actions drawn at random."""
    other = "heal" if kind == "damage" else "damage"
    texts = (HURT, HEALED) if kind == "damage" else (HEALED, HURT)
    detector = Bar(-1 if kind == "damage" else 1)

    def find(stage: Reference, map_seed: int) -> Cue | None:
        quiet = stage.play(("noop",) * (context + length), map_seed, context)
        if quiet.length < context + length or _kinds(quiet, context, context + length) & {kind, other, "death"}:
            return None
        seed = TEST_SEEDS[1] - 3000 - (map_seed - TEST_SEEDS[0]) % 1000
        clips = {k: _clip(stage, seed, k, length) for k in (kind, other)}
        happened = clips[kind]
        if happened is None:
            return None
        plan = Plan(quiet, quiet, (), ())
        return Cue(plan, 1, *texts, detector, happened, clips[other], alike=True)

    return find


def _kinds(take: Rollout, start: int, stop: int) -> set[str]:
    return {e["kind"] for events in take.events[start:stop] for e in events}


def _clip(
    stage: Reference, map_seed: int, kind: str, length: int, tries: int = 4, steps: int = 150
) -> np.ndarray | None:
    """True frames ``(length + 1, H, W, 3)`` with an event of that kind, and none of its opposite, in their second step;
    None where none is found."""
    opposite = {"damage": "heal", "heal": "damage"}[kind]
    for seed in range(map_seed, map_seed + tries):
        rng = np.random.default_rng(seed)
        able = [name for name in ("noop", "forward", "turn_left", "turn_right") if name in stage.ids]
        names = [name for name in rng.choice(able, steps // 3) for _ in range(3)]
        if not stage.reset(seed):
            continue
        stage.do(*names)
        take = stage.played(0)
        for step in range(1, take.length - length):
            window = _kinds(take, step - 1, step - 1 + length)
            if kind in _kinds(take, step, step + 1) and not window & {opposite, "death"}:
                return observations(take, step - 1, length)
    return None


def switch(stage: Reference, map_seed: int) -> Cue | None:
    """Beside the lamp's switch, standing still."""

    def words(kind: str, _: str) -> tuple[str, str]:
        off, on = "you turn off a lamp", "you turn on a lamp"
        return (off, on) if kind == "switch_off" else (on, off)

    return cue_of(table.switch(stage, map_seed), ("switch_off", "switch_on"), words)


def shatter(stage: Reference, map_seed: int) -> Cue | None:
    """A pane that is touched slowly, which it withstands."""
    return cue_of(
        table.shatter(stage, map_seed), ("shatter",),
        lambda _, c: (f"{a(c + ' glass pane')} shatters", "you bite a red apple"),
    )  # fmt: skip


def bite(stage: Reference, map_seed: int) -> Cue | None:
    """Before an apple, standing still."""
    return cue_of(
        table.bite(stage, map_seed), ("bite",),
        lambda _, c: (f"you bite {a(c + ' apple')}", "a blue glass pane shatters"),
    )  # fmt: skip


CRITERION = "{} after these words, and neither after others nor after none"
EVENTS = (
    Event("event_door_opens", doom.WORLD, CRITERION.format("the closed door is gone"), ("use", "noop"), door_opens),
    Event("event_shoot", "worldsim/DoomBasic-v0", CRITERION.format("the gun flashes"), ("attack", "noop"), shoot),
    Event("event_hurt", "worldsim/DoomTakeCover-v0", CRITERION.format("the health bar is shorter"), ("noop",),
          health(8, 6, "damage")),
    Event("event_hurt_by_acid", "worldsim/DoomHealthGathering-v0", CRITERION.format("the health bar is shorter"),
          ("noop",), health(25, 5, "damage")),
    Event("event_healed", "worldsim/DoomHealthGathering-v0", CRITERION.format("the health bar is longer"), ("noop",),
          health(25, 5, "heal")),
    Event("event_switch", table.WORLD, CRITERION.format("the table darkens, or lights up"), ("use", "noop"), switch),
    Event("event_shatter", table.WORLD, CRITERION.format("the pane is gone from where it stood"),
          ("attack", *table.DIRECTIONS), shatter),
    Event("event_bite", table.WORLD, CRITERION.format("a piece of the apple is gone"), ("use", "noop"), bite),
)  # fmt: skip
