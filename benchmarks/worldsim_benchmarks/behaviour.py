"""Does a world that plays itself play? Its own actions, the pictures that follow them, and that nothing freezes.

A rollout without given actions has no truth to be compared with step by step, so it is described and set beside true
play and a frozen picture: how the actions are spread (entropy, the most frequent one, how long one is held, the total
variation distance between both distributions), whether the picture turns as the chosen turns say (the yaw that
``motion`` reads from the frames), and how much the picture changes per step, over all and in the last quarter, where a
rollout that fades has stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from worldsim_benchmarks.motion import chained, yaw_between
from worldsim_benchmarks.nets.actions import PER_STEP, ActionReader, chains_of, macro_f1
from worldsim_benchmarks.report import Line
from worldsim_benchmarks.scripts import TURN_DEGREES

ALIKE = 0.25
"""Greatest total variation distance from true play at which actions count as played alike."""
GAIN = (0.8, 1.2)
"""Yaw per commanded yaw at which the picture counts as following."""
TAIL = 5.0
"""Percentiles of true rollouts, from here to 100 minus this, between which the change of a picture counts as alive."""


@dataclass(frozen=True)
class Play:
    """One rollout: ``frames`` uint8 ``(1 + k*n, H, W, 3)`` under the ``n`` ``actions``, by name."""

    frames: np.ndarray
    actions: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.actions)
        if not n or (len(self.frames) - 1) % n or len(self.frames) <= n:
            raise ValueError(f"{len(self.frames)} frames under {n} actions: expected 1 + k * {n} of them, k at least 1")

    @property
    def k(self) -> int:
        return (len(self.frames) - 1) // len(self.actions)

    @property
    def chains(self) -> np.ndarray:
        """What an action reader looks at, uint8 ``(n, 8, H, W, 3)``; a step of fewer than four frames shows each
        several times. ``ValueError`` where that does not come to four."""
        if PER_STEP % self.k:
            raise ValueError(f"a step has {self.k} frames; an action reader takes steps of 1, 2 or {PER_STEP}")
        blocks = self.frames[1:].reshape(len(self.actions), self.k, *self.frames.shape[1:])
        return chains_of(self.frames[0], np.repeat(blocks, PER_STEP // self.k, 1))

    @property
    def changes(self) -> np.ndarray:
        """Mean change of each step's picture in grey levels, float ``(n,)``."""
        seen = self.frames[:: self.k].astype(np.int16)
        return np.abs(np.diff(seen, axis=0)).mean((1, 2, 3))

    def frozen(self) -> Play:
        """The same actions while nothing happens."""
        return Play(np.repeat(self.frames[:1], len(self.frames), axis=0), self.actions)


@dataclass(frozen=True)
class Behaviour:
    """Figures of a set of rollouts. ``shares`` of the actions; ``entropy`` in nats; ``held`` steps that an action goes
    on for, on the mean; ``change`` of the picture per step, a mean for each rollout; ``ending``: that of its last
    quarter over that of the first; ``turns`` and ``turned``: commanded and read degrees of each step on the spot, NaN
    where they could not be read."""

    shares: Mapping[str, float]
    held: float
    change: np.ndarray
    ending: float
    turns: np.ndarray
    turned: np.ndarray

    @property
    def entropy(self) -> float:
        p = np.array(list(self.shares.values()))
        return float(-(p * np.log(p)).sum()) + 0.0

    @property
    def most_frequent(self) -> tuple[str, float]:
        return max(self.shares.items(), key=lambda item: item[1])

    @property
    def gain(self) -> float:
        """Least squares of read on commanded degrees through the origin; NaN without a turn that could be read."""
        found = np.isfinite(self.turned)
        energy = float((self.turns[found] ** 2).sum())
        return float((self.turns * self.turned)[found].sum()) / energy if energy else float("nan")


def behaviour(plays: Sequence[Play], K: np.ndarray | None = None, bottom: int = 3) -> Behaviour:
    """Figures of ``plays``. ``K`` is the camera's matrix where it is one that turns on the spot, in pixels; ``bottom``
    rows of a picture, a status bar, are not looked at for that. Raises ``ValueError`` without rollouts."""
    if not plays:
        raise ValueError("no rollout was given to describe")
    actions = [name for play in plays for name in play.actions]
    counts = Counter(actions)
    runs = sum(1 for play in plays for _ in groupby(play.actions))
    changes = [play.changes for play in plays]
    quarters = [max(1, len(c) // 4) for c in changes]
    first = np.mean([c[:n].mean() for c, n in zip(changes, quarters)])
    last = np.mean([c[-n:].mean() for c, n in zip(changes, quarters)])
    turns, turned = zip(*(_turns(play, K, bottom) for play in plays))
    return Behaviour(
        {name: count / len(actions) for name, count in counts.items()},
        len(actions) / runs,
        np.array([c.mean() for c in changes]),
        float(last / first) if first else float("nan"),
        np.concatenate(turns),
        np.concatenate(turned),
    )


def _turns(play: Play, K: np.ndarray | None, bottom: int) -> tuple[np.ndarray, np.ndarray]:
    """Commanded and read yaw of the steps that only turn and follow a step that did not move either: a body that was
    walking slides on, and what slides is no turn on the spot."""
    still = {*TURN_DEGREES, "noop"}
    steps = [
        t
        for t, name in enumerate(play.actions)
        if K is not None and name in TURN_DEGREES and (t == 0 or play.actions[t - 1] in still)
    ]
    frames = [play.frames[t * play.k : (t + 1) * play.k + 1] for t in steps]
    read = [] if K is None else [chained(yaw_between, chain, K, bottom) for chain in frames]
    return np.array([TURN_DEGREES[play.actions[t]] for t in steps]), np.array(read, float)


def distance(a: Behaviour, b: Behaviour) -> float:
    """Total variation distance of two distributions of actions: 0 where they are equal, 1 where nothing is shared."""
    names = a.shares.keys() | b.shares.keys()
    return sum(abs(a.shares.get(name, 0.0) - b.shares.get(name, 0.0)) for name in names) / 2


def behaviour_lines(made: Behaviour, true: Behaviour, frozen: Behaviour) -> list[Line]:
    """The table: what plays itself, beside true play and a frozen picture under the actions of true play."""
    low, high = np.percentile(true.change, (TAIL, 100 - TAIL))
    alive = float(np.median(made.change))
    apart = distance(made, true)
    lines = [
        Line("steps of play", f"{len(made.change)} rollouts, true play {len(true.change)}"),
        Line("entropy of the actions (nats)", f"{made.entropy:.2f}, true play {true.entropy:.2f}"),
        Line("most frequent action", f"{_most(made)}, true play {_most(true)}"),
        Line("steps that an action is held", f"{made.held:.2f}, true play {true.held:.2f}"),
        Line(
            "actions against true play, total variation distance", f"{apart:.2f}", f"<= {ALIKE:.2f}", apart <= ALIKE
        ),
        Line(
            "change of the picture per step (grey levels)",
            f"{alive:.1f}, true play {np.median(true.change):.1f}, frozen {np.median(frozen.change):.1f}",
            f"{low:.1f} to {high:.1f}",
            bool(low <= alive <= high),
        ),
        Line("the same, last quarter over first", f"{made.ending:.2f}, true play {true.ending:.2f}"),
    ]  # fmt: skip
    if not np.isnan(true.gain):
        value = f"{_gain(made)}, true play {_gain(true)}, frozen {frozen.gain:.2f}"
        follows = GAIN[0] <= made.gain <= GAIN[1]
        lines.append(
            Line("yaw read from turns over commanded yaw", value, f"{GAIN[0]:.1f} to {GAIN[1]:.1f}", bool(follows))
        )
    return lines


def read_back(plays: Mapping[str, Sequence[Play]], reader: ActionReader) -> Line:
    """The actions that were chosen beside those that a reader sees in the pictures: F1 of each set of rollouts, with
    the share of steps that the reader answers. ``ValueError`` for an action that it cannot read."""
    found = []
    for name, rollouts in plays.items():
        told = reader.encode([action for play in rollouts for action in play.actions])
        read = np.concatenate([reader(play.chains).answers for play in rollouts])
        f1 = macro_f1(told, read, len(reader.classes))
        found.append(f"{name} {f1:.2f} (answered {(read >= 0).mean():.0%})")
    return Line("actions read back from the pictures, F1", ", ".join(found))


def _most(of: Behaviour) -> str:
    name, share = of.most_frequent
    return f"{name} {share:.0%}"


def _gain(of: Behaviour) -> str:
    return f"{of.gain:.2f} ({int(np.isfinite(of.turned).sum())} of {len(of.turned)} turns read)"
