"""Running vector environments and comparing what they return: what every rule of the checker is made of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate

MakeVector = Callable[[int, AutoresetMode], VectorEnv]
MakeSingle = Callable[[], gym.Env]
Plan = list[list[Any]]  # actions by step and lane

SEED = 123


class VectorEnvError(AssertionError):
    """A vector environment breaks its contract; the message says which rule and shows what was found."""


@dataclass(frozen=True)
class Step:
    """What a ``reset`` (flags and rewards 0) or ``step`` returned, copied at once."""

    obs: Any
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    info: dict[str, Any]

    @property
    def done(self) -> np.ndarray:
        return self.terminated | self.truncated


@dataclass(frozen=True)
class Tolerance:
    """Greatest accepted differences: ``obs`` in units of the observation (grey levels), ``reward`` as a share
    of the reward or, below 1, absolute.

    Zero means bit-exact. Learned environments use 2 grey levels, since floating-point sums depend on the
    batch size.
    """

    obs: float = 0.0
    reward: float = 0.0


EXACT = Tolerance()


def require(condition: Any, message: str) -> None:
    if not condition:
        raise VectorEnvError(message)


def plan_actions(env: VectorEnv, steps: int, seed: int = SEED) -> Plan:
    """Random actions by step and lane, the same for every environment with this action space."""
    space = copy.deepcopy(env.single_action_space)
    space.seed(seed)
    return [[space.sample() for _ in range(env.num_envs)] for _ in range(steps)]


def batched(env: VectorEnv, actions: Sequence[Any]) -> Any:
    space = env.single_action_space
    out: Any = create_empty_array(space, n=len(actions), fn=np.zeros)
    return concatenate(space, list(actions), out)


def begin(env: VectorEnv, seed: int | None = SEED, mask: np.ndarray | None = None) -> Step:
    options = None if mask is None else {"reset_mask": mask}
    obs, info = env.reset(seed=seed, options=options)
    zero, no = np.zeros(env.num_envs, np.float32), np.zeros(env.num_envs, bool)
    return copy.deepcopy(Step(obs, zero, no, no, info))


def play(env: VectorEnv, actions: Sequence[Any]) -> Step:
    return copy.deepcopy(Step(*env.step(batched(env, actions))))


def run(env: VectorEnv, plan: Plan, seed: int = SEED) -> list[Step]:
    """A reset and the steps of ``plan``; to the first end where lanes do not reset."""
    steps = [begin(env, seed)]
    for actions in plan:
        steps.append(play(env, actions))
        if steps[-1].done.any() and env.metadata.get("autoreset_mode") is AutoresetMode.DISABLED:
            break
    return steps


def lane_of(space: spaces.Space, obs: Any, lane: int) -> Any:
    return list(iterate(space, obs))[lane]


def difference(a: Any, b: Any) -> float:
    """Greatest absolute difference of two observations of one space; infinite where their structure
    differs."""
    if isinstance(a, Mapping):
        return max((difference(a[k], b[k]) for k in a), default=0.0) if a.keys() == b.keys() else np.inf
    if isinstance(a, tuple | list):
        return max((difference(x, y) for x, y in zip(a, b)), default=0.0) if len(a) == len(b) else np.inf
    if isinstance(a, str) or isinstance(b, str):
        return 0.0 if a == b else np.inf
    x, y = np.asarray(a), np.asarray(b)
    if x.shape != y.shape or x.dtype != y.dtype:
        return np.inf
    if x.dtype == object:
        return max((difference(p, q) for p, q in zip(x.flat, y.flat)), default=0.0)
    if x.dtype == bool or not np.issubdtype(x.dtype, np.number):
        return 0.0 if np.array_equal(x, y) else np.inf
    both_nan = np.isnan(x.astype(np.float64)) & np.isnan(y.astype(np.float64))
    gap = np.abs(x.astype(np.float64) - y.astype(np.float64))
    return float(np.max(np.where(both_nan, 0.0, gap), initial=0.0))


def compare_lane(what: str, env: VectorEnv, a: Step, lane_a: int, b: Step, lane_b: int, tolerance: Tolerance) -> None:
    space = env.observation_space
    gap = difference(lane_of(space, a.obs, lane_a), lane_of(space, b.obs, lane_b))
    require(gap <= tolerance.obs, f"{what}: observations differ by {gap:g}, accepted is {tolerance.obs:g}")
    compare_outcome(what, a, lane_a, b, lane_b, tolerance)


def compare_outcome(what: str, a: Step, lane_a: int, b: Step, lane_b: int, tolerance: Tolerance) -> None:
    first, second = float(a.reward[lane_a]), float(b.reward[lane_b])
    gap = abs(first - second) / max(1.0, abs(first), abs(second))
    require(
        gap <= tolerance.reward,
        f"{what}: rewards are {first:g} and {second:g}, accepted is {tolerance.reward:g}",
    )
    for flag in ("terminated", "truncated"):
        x, y = getattr(a, flag)[lane_a], getattr(b, flag)[lane_b]
        require(x == y, f"{what}: {flag} is {x} in one run and {y} in the other")
