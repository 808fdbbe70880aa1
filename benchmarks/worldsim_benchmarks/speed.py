"""Steps per second of several steppers in the same run, in turns, so that a busy machine is busy for all of
them.

Rounds alternate between the steppers; medians over rounds are compared. Also: time to import a package, to
make an environment and reset it, and the peak memory of a process that does, each in a fresh process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

Stepper = Callable[[], None]
"""Advances all lanes by one step."""


@dataclass(frozen=True)
class Contestant:
    """``make`` builds a stepper of so many lanes; it is asked for once per batch size and dropped after
    it."""

    name: str
    make: Callable[[int], Stepper]


def environment(env_id: str, **kwargs: Any) -> Callable[[int], Stepper]:
    """Steppers of a Gymnasium id: its vector environment under random actions."""

    def make(lanes: int) -> Stepper:
        env = gym.make_vec(env_id, num_envs=lanes, **kwargs)
        env.reset(seed=0)
        env.action_space.seed(0)
        return lambda: _step(env)

    return make


def _step(env: Any) -> None:
    env.step(env.action_space.sample())


def compete(
    contestants: Sequence[Contestant], batches: Sequence[int], rounds: int = 5, seconds: float = 1.5
) -> list[dict[str, Any]]:
    """One row per contestant and batch size: steps/s and lane-steps/s, medians over rounds of ``seconds``
    each."""
    rows = []
    for batch in batches:
        steppers = {c.name: c.make(batch) for c in contestants}
        rates: dict[str, list[float]] = {name: [] for name in steppers}
        for stepper in steppers.values():
            stepper()  # the first step compiles, allocates, warms up
        for _ in range(rounds):
            for name, stepper in steppers.items():
                rates[name].append(_rate(stepper, seconds))
        for name, values in rates.items():
            rate = float(np.median(values))
            rows.append(
                {
                    "name": name, "batch": batch, "steps_per_second": rate,
                    "lane_steps_per_second": rate * batch, "rounds": [float(v) for v in values],
                }
            )  # fmt: skip
    return rows


def _rate(stepper: Stepper, seconds: float) -> float:
    steps, begun = 0, time.perf_counter()
    while True:
        stepper()
        steps += 1
        spent = time.perf_counter() - begun
        if spent >= seconds:
            return steps / spent


STARTUP = """
import json, resource, sys, time
t = [time.perf_counter()]
import gymnasium
t.append(time.perf_counter())
__import__(sys.argv[1])
t.append(time.perf_counter())
if sys.argv[2]:
    env = gymnasium.make(sys.argv[2], **json.loads(sys.argv[3]))
    env.reset(seed=0)
    t.append(time.perf_counter())
    for _ in range(50):
        if any(env.step(env.action_space.sample())[2:4]):
            env.reset()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"seconds": [b - a for a, b in zip(t, t[1:])], "peak_gib": peak}))
"""


def startup(package: str, env_id: str, kwargs: Mapping[str, Any], repeats: int = 3) -> dict[str, float]:
    """Medians over fresh processes: seconds that ``import package`` adds to gymnasium's own, seconds of
    ``gym.make`` and the first ``reset``, peak memory in GiB after 50 steps. ``RuntimeError`` with the
    output of one that fails."""
    found = []
    for _ in range(repeats):
        command = [sys.executable, "-c", STARTUP, package, env_id, json.dumps(dict(kwargs))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the start-up probe of {env_id} failed:\n{done.stderr[-2000:]}")
        found.append(json.loads(done.stdout.splitlines()[-1]))
    seconds = np.median([f["seconds"] for f in found], axis=0)
    return {
        "import_seconds": float(seconds[1]),
        "make_and_reset_seconds": float(seconds[2]),
        "peak_gib": float(np.median([f["peak_gib"] for f in found])),
    }
