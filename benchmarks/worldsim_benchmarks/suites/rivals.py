"""The rollouts of other maps that a candidate is held against, played on several true worlds at once.

There are twenty for each script, so they take most of the truth's time. An engine spends it in a process or library of
its own, and threads wait for it side by side. A world is made, played and closed in one thread, since drawing contexts
belong to theirs. One of the twenty plays the floor ``other`` of an episode, and is judged against the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.truth import Reference, Rollout

AT_ONCE = 2
"""More worlds take longer to open than they save, where a process of their own has each core."""


@dataclass(frozen=True)
class Rival:
    """What is compared of another map's rollout: ``block`` uint8 ``(k, H, W, 3)``, the first after the context, and
    ``last`` uint8 ``(H, W, 3)``, the last observation."""

    map_seed: int
    block: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, rollout: Rollout) -> Rival:
        """The parts of a rollout that goes on after its context."""
        return cls(rollout.map_seed, rollout.blocks[rollout.prefix].copy(), rollout.blocks[-1, -1].copy())


class Rivals:
    """True rollouts of ``session.rival_seeds``, what is compared of them kept for each script; a context manager that
    closes its worlds."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._threads = [ThreadPoolExecutor(1) for _ in range(AT_ONCE)]
        self._worlds: dict[int, Reference] = {}
        self._kept: dict[tuple[tuple[str, ...], int], tuple[Rival, ...]] = {}

    def of(self, names: tuple[str, ...], prefix: int, keep: bool = True) -> tuple[Rival, ...]:
        """One per rival map, of these actions, ``prefix`` of which are the context; kept, unless nobody will ask
        again."""
        if (found := self._kept.get((names, prefix))) is None:
            seeds = self._session.rival_seeds
            jobs = [
                thread.submit(self._compared, i, seeds[i::AT_ONCE], names, prefix)
                for i, thread in enumerate(self._threads)
            ]
            played = {r.map_seed: r for job in jobs for r in job.result()}
            found = tuple(played[seed] for seed in seeds)
            if keep:
                self._kept[names, prefix] = found
        return found

    def other(self, map_seed: int, names: tuple[str, ...], prefix: int) -> Rollout:
        """The rollout, without depth, of the map that plays ``other`` in the episode of ``map_seed``."""
        i = self.place(map_seed)
        return self._threads[i % AT_ONCE].submit(
            self._play, i % AT_ONCE, self._session.rival_seeds[i], names, prefix
        ).result()  # fmt: skip

    def place(self, map_seed: int) -> int:
        """Which of the rival maps, in their order, plays ``other`` in the episode of ``map_seed``."""
        return map_seed % len(self._session.rival_seeds)

    def _compared(self, i: int, seeds: Sequence[int], names: tuple[str, ...], prefix: int) -> list[Rival]:
        return [Rival.of(self._play(i, seed, names, prefix)) for seed in seeds]

    def _play(self, i: int, seed: int, names: tuple[str, ...], prefix: int) -> Rollout:
        if i not in self._worlds:
            self._worlds[i] = Reference(self._session.world, self._session.frame_size, depth=False)
        return self._worlds[i].play(names, seed, prefix)

    def __enter__(self) -> Rivals:
        return self

    def __exit__(self, *_: object) -> None:
        for i, thread in enumerate(self._threads):
            if i in self._worlds:
                thread.submit(self._worlds.pop(i).close).result()
            thread.shutdown()
