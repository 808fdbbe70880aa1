"""Rules that hold between episode ends: interface, returns, fresh arrays, seeds, independence, validation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from worldsim_envs.checker.compare import (
    EXACT,
    SEED,
    MakeSingle,
    MakeVector,
    Plan,
    Step,
    Tolerance,
    batched,
    begin,
    compare_lane,
    compare_outcome,
    difference,
    lane_of,
    plan_actions,
    play,
    require,
    run,
)


def check_interface(env: VectorEnv, num_envs: int, mode: AutoresetMode) -> None:
    require(env.num_envs == num_envs, f"num_envs is {env.num_envs}, asked for were {num_envs} lanes")
    in_metadata = env.metadata.get("autoreset_mode")
    require(
        in_metadata is mode,
        f"metadata['autoreset_mode'] is {in_metadata!r}; it must be {mode} (the enum, not its value)",
    )
    attribute = getattr(env, "autoreset_mode", None)
    require(attribute is mode, f"the attribute autoreset_mode is {attribute!r}; it must be {mode}")
    for many, single in (
        ("observation_space", "single_observation_space"),
        ("action_space", "single_action_space"),
    ):
        expected = batch_space(getattr(env, single), num_envs)
        found = getattr(env, many)
        require(found == expected, f"{many} is {found}; {num_envs} times {single} is {expected}")


def check_step(env: VectorEnv, step: Step, shapes: Mapping[str, tuple[int, ...]], when: str) -> None:
    n = env.num_envs
    space = env.observation_space
    if isinstance(space, spaces.Box):
        found = (getattr(step.obs, "dtype", None), getattr(step.obs, "shape", None))
        require(found == (space.dtype, space.shape), f"{when}: observation is {found}, the space is {space}")
    require(space.contains(step.obs), f"{when}: the observation is not in the observation space")
    require(
        isinstance(step.reward, np.ndarray)
        and step.reward.shape == (n,)
        and np.issubdtype(step.reward.dtype, np.floating),
        f"{when}: rewards must be a float array of shape ({n},), got {step.reward!r}",
    )
    require(np.isfinite(step.reward).all(), f"{when}: rewards must be finite, got {step.reward}")
    for flag in ("terminated", "truncated"):
        value = getattr(step, flag)
        require(
            isinstance(value, np.ndarray) and value.shape == (n,) and value.dtype == np.bool_,
            f"{when}: {flag} must be a bool array of shape ({n},), got {value!r}",
        )
    _check_info(step.info, n, shapes, when)


def _check_info(info: dict[str, Any], n: int, shapes: Mapping[str, tuple[int, ...]], when: str) -> None:
    require(isinstance(info, dict), f"{when}: info must be a dict, got {type(info).__name__}")
    for key, value in info.items():
        if key.startswith("_"):
            require(key[1:] in info, f"{when}: info has the mask {key!r} without {key[1:]!r}")
            continue
        mask = info.get(f"_{key}")
        require(
            isinstance(mask, np.ndarray) and mask.shape == (n,) and mask.dtype == np.bool_,
            f"{when}: info[{key!r}] needs its mask info['_{key}'] (bool, shape ({n},)), got {mask!r}",
        )
        if isinstance(value, dict):
            _check_info(value, n, shapes if key == "final_info" else {}, f"{when}, info[{key!r}]")
            continue
        require(
            isinstance(value, np.ndarray) and value.shape[:1] == (n,),
            f"{when}: info[{key!r}] must be an array with {n} rows, got {type(value).__name__}",
        )
        if key in shapes:
            require(
                value.shape == (n, *shapes[key]),
                f"{when}: info[{key!r}] has shape {value.shape}, expected {(n, *shapes[key])}",
            )


def check_returns(env: VectorEnv, plan: Plan, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for t, step in enumerate(run(env, plan)):
        check_step(env, step, shapes, "reset" if t == 0 else f"step {t}")


def _arrays(value: Any, name: str) -> list[tuple[str, np.ndarray]]:
    if isinstance(value, np.ndarray):
        inside = (
            [pair for i, x in enumerate(value) for pair in _arrays(x, f"{name}[{i}]")] if value.dtype == object else []
        )
        return [(name, value), *inside]
    if isinstance(value, Mapping):
        return [pair for k, x in value.items() for pair in _arrays(x, f"{name}[{k!r}]")]
    if isinstance(value, tuple | list):
        return [pair for i, x in enumerate(value) for pair in _arrays(x, f"{name}[{i}]")]
    return []


def check_fresh_arrays(env: VectorEnv, plan: Plan) -> None:
    names = ("obs", "rewards", "terminations", "truncations", "info")
    obs, info = env.reset(seed=SEED)
    kept = [*_arrays(obs, "obs"), *_arrays(info, "info")]
    before = [array.copy() for _, array in kept]
    for t, actions in enumerate(plan, start=1):
        batch = batched(env, actions)
        given = copy.deepcopy(batch)
        returned = env.step(batch)
        require(difference(given, batch) == 0, f"step {t} wrote into the action array")
        for (name, array), old in zip(kept, before):
            require(
                difference(list(array), list(old)) == 0,
                f"{name}, returned by an earlier call, was written again by step {t}: return fresh arrays",
            )
        if (returned[2] | returned[3]).any() and env.metadata["autoreset_mode"] is AutoresetMode.DISABLED:
            return
        new = [pair for name, value in zip(names, returned) for pair in _arrays(value, name)]
        for name, array in new:
            shared = next((old for old, other in kept if np.shares_memory(array, other)), None)
            require(shared is None, f"{name} of step {t} shares memory with {shared} of an earlier call")
        kept += new
        before += [array.copy() for _, array in new]


def check_repeatable(env: VectorEnv, plan: Plan) -> None:
    first, second = run(env, plan), run(env, plan)
    for t, (a, b) in enumerate(zip(first, second)):
        for lane in range(env.num_envs):
            compare_lane(f"same seed and actions again, step {t}, lane {lane}", env, a, lane, b, lane, EXACT)
        gap = difference(a.info, b.info)
        require(gap == 0, f"same seed and actions again, step {t}: info differs by {gap:g}")


def check_neighbours(env: VectorEnv, plan: Plan, tolerance: Tolerance) -> None:
    other = [[actions[0], *others[1:]] for actions, others in zip(plan, plan_actions(env, len(plan), SEED + 1))]
    for t, (a, b) in enumerate(zip(run(env, plan), run(env, other))):
        if t and a.done[0]:
            return
        compare_lane(f"lane 0 while its neighbours act otherwise, step {t}", env, a, 0, b, 0, tolerance)


def check_lane_alone(env: VectorEnv, make: MakeVector, plan: Plan, mode: AutoresetMode, tolerance: Tolerance) -> None:
    together = run(env, plan)
    for lane in range(env.num_envs):
        alone = make(1, mode)
        try:
            ended = False
            apart = run(alone, [[actions[lane]] for actions in plan], SEED + lane)
            for t, (a, b) in enumerate(zip(together, apart)):
                if ended:
                    break
                compare_lane(
                    f"lane {lane} of {env.num_envs} against one lane seeded {SEED}+{lane}, step {t}",
                    env, a, lane, b, 0, tolerance,
                )  # fmt: skip
                ended = bool(a.done[lane])
        finally:
            alone.close()


def _refuses(call: Callable[[], Any]) -> str:
    """Empty if ``call`` raises ValueError or TypeError, else what happened."""
    try:
        call()
    except (ValueError, TypeError):
        return ""
    except Exception as error:  # reported, not swallowed
        return f"raised {type(error).__name__}: {error}"
    return "was accepted"


def check_validation(env: VectorEnv, plan: Plan) -> None:
    n, space = env.num_envs, env.single_action_space
    begin(env)
    if isinstance(space, spaces.Discrete):
        start, size = int(space.start), int(space.n)
        bad: dict[str, Any] = {
            f"the action {start + size}": np.full(n, start + size),
            f"the action {start - 1}": np.full(n, start - 1),
            "float actions": np.full(n, start + 0.5),
            "too few actions": np.full(n - 1, start),
            "too many actions": np.full(n + 1, start),
        }
        for what, actions in bad.items():
            outcome = _refuses(partial(env.step, actions))
            require(not outcome, f"{what} must raise ValueError for {space} in {n} lanes: {outcome}")
    outcome = _refuses(lambda: env.reset(seed=SEED, options={"no such option": 1}))
    require(not outcome, f"an unknown reset option must raise ValueError: {outcome}")
    masks = {
        "an all-False reset_mask": np.zeros(n, bool),
        "a reset_mask of the wrong length": np.ones(n + 1, bool),
        "a reset_mask that is not bool": np.ones(n, int),
    }
    for what, mask in masks.items():
        outcome = _refuses(partial(env.reset, options={"reset_mask": mask}))
        require(not outcome, f"{what} must raise ValueError or TypeError: {outcome}")


def check_masked_reset(env: VectorEnv, plan: Plan, tolerance: Tolerance, like_sync: bool = False) -> None:
    """A masked reset gives the reset lane what a full reset would, and leaves every other lane as it was."""
    n = env.num_envs
    undisturbed = run(env, plan)
    fresh = run(env, plan, SEED + 50)
    if undisturbed[1].done.any():
        return
    mask = np.zeros(n, bool)
    mask[-1] = True
    begin(env)
    first = play(env, plan[0])
    options = {"reset_mask": mask}
    obs, info = env.reset(seed=SEED + 50, options=options)
    require(like_sync or "reset_mask" in options, "reset must not change the caller's options")
    zero = np.zeros(n, bool)
    partial = copy.deepcopy(Step(obs, np.zeros(n), zero, zero, info))
    check_step(env, partial, {}, "masked reset")
    for key, value in partial.info.items():
        if key.startswith("_"):
            require(np.array_equal(value, mask), f"masked reset: info[{key!r}] is {value}, reset were {mask}")
    what = "masked reset"
    exact_last = Step(fresh[0].obs, partial.reward, zero, zero, {})
    compare_lane(f"{what}: the reset lane against a full reset", env, partial, n - 1, exact_last, n - 1, tolerance)
    for lane in range(n - 1):
        gap = difference(
            lane_of(env.observation_space, partial.obs, lane), lane_of(env.observation_space, first.obs, lane)
        )
        require(gap == 0, f"{what}: the observation of lane {lane}, which was not reset, changed by {gap:g}")
    for t in range(1, len(plan)):
        if undisturbed[t].done.any() or fresh[t].done.any():
            return
        step = play(env, [*plan[t][:-1], plan[t - 1][-1]])
        for lane in range(n - 1):
            compare_lane(
                f"{what}: lane {lane}, not reset, step {t + 1}",
                env,
                step,
                lane,
                undisturbed[t + 1],
                lane,
                tolerance,
            )
        compare_lane(f"{what}: the reset lane, step {t}", env, step, n - 1, fresh[t], n - 1, tolerance)


def check_singles(
    make: MakeVector,
    make_single: MakeSingle,
    mode: AutoresetMode,
    num_envs: int,
    steps: int,
    tolerance: Tolerance,
) -> None:
    """Every lane equals a single environment that is seeded and driven alike."""
    env = make(num_envs, mode)
    try:
        plan = plan_actions(env, steps)
        together = run(env, plan)
        require(env.single_action_space == (single := make_single()).action_space, "action spaces differ")
        require(env.single_observation_space == single.observation_space, "observation spaces differ")
        single.close()
        for lane in range(num_envs):
            single = make_single()
            try:
                obs, _ = single.reset(seed=SEED + lane)
                for t, step in enumerate(together):
                    reward, terminated, truncated = 0.0, False, False
                    if t:
                        obs, paid, terminated, truncated, _ = single.step(plan[t - 1][lane])
                        reward = float(paid)
                    what = f"lane {lane} against a single environment seeded {SEED}+{lane}, step {t}"
                    gap = difference(lane_of(env.observation_space, step.obs, lane), obs)
                    require(
                        gap <= tolerance.obs,
                        f"{what}: observations differ by {gap:g}, accepted is {tolerance.obs:g}",
                    )
                    other = Step(None, np.array([reward]), np.array([terminated]), np.array([truncated]), {})
                    compare_outcome(what, step, lane, other, 0, tolerance)
                    if terminated or truncated:
                        break
            finally:
                single.close()
    finally:
        env.close()
