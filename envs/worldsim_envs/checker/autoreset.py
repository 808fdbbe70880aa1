"""Rules for the step that ends an episode and the one after it, in the three autoreset modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from worldsim_envs.checker.compare import (
    SEED,
    MakeVector,
    Plan,
    Step,
    Tolerance,
    begin,
    compare_lane,
    compare_outcome,
    difference,
    lane_of,
    plan_actions,
    play,
    require,
)
from worldsim_envs.checker.rules import check_step


def _staggered(env: VectorEnv, plan: Plan) -> list[Step]:
    """A run whose lane 0 is reset (seeded) after the first step, so that lanes do not all end together."""
    mask = np.zeros(env.num_envs, bool)
    mask[0] = True
    steps = [begin(env), play(env, plan[0])]
    if steps[1].done.any():
        return steps
    begin(env, SEED + 70, mask)
    for actions in plan[1:]:
        steps.append(play(env, actions))
        if steps[-1].done.any():
            break
    return steps


def check_autoreset(
    make: MakeVector,
    modes: Sequence[AutoresetMode],
    num_envs: int,
    max_steps: int,
    tolerance: Tolerance,
    shapes: Mapping[str, tuple[int, ...]],
    dense: bool,
) -> None:
    """Runs every mode to the same first episode end, then on, and compares what each returned."""
    ends: dict[AutoresetMode, tuple[Step, Step]] = {}
    for mode in modes:
        env = make(num_envs, mode)
        try:
            plan = plan_actions(env, max_steps + 1, SEED + 2)
            steps = _staggered(env, plan[:-1])
            end = steps[-1]
            require(end.done.any(), f"no episode ended within {max_steps} steps: give a shorter time limit")
            require(
                not end.done.all() or len(steps) == 2,
                f"{mode}: lanes begun at different steps ended together",
            )
            check_step(env, end, shapes, f"{mode}, the step that ends an episode")
            ends[mode] = (end, _after_end(env, end, plan[len(steps) - 1], mode, shapes, dense))
        finally:
            env.close()
    if AutoresetMode.NEXT_STEP in modes:
        _check_action_ignored(make, num_envs, max_steps, tolerance)
    _compare_modes(make(num_envs, modes[0]), ends, tolerance)


def _after_end(
    env: VectorEnv,
    end: Step,
    actions: Sequence[Any],
    mode: AutoresetMode,
    shapes: Mapping[str, tuple[int, ...]],
    dense: bool,
) -> Step:
    """Checks what is particular to ``mode`` at an episode's end and returns the step after it."""
    done = end.done
    if mode is AutoresetMode.SAME_STEP:
        final, mask = end.info.get("final_obs"), end.info.get("_final_obs")
        require(
            mask is not None and np.array_equal(mask, done),
            f"SAME_STEP: info['_final_obs'] is {mask}, ended: {done}",
        )
        require("final_info" in end.info, "SAME_STEP: info['final_info'] is missing where an episode ended")
        if dense and isinstance(env.observation_space, spaces.Box):
            space = env.observation_space
            require(
                isinstance(final, np.ndarray) and (final.dtype, final.shape) == (space.dtype, space.shape),
                f"SAME_STEP: info['final_obs'] must be a dense {space.dtype} array {space.shape}, got "
                f"{getattr(final, 'dtype', type(final).__name__)} {getattr(final, 'shape', '')}",
            )
    else:
        require("final_obs" not in end.info, f"{mode}: info['final_obs'] belongs to SAME_STEP only")
    if mode is AutoresetMode.DISABLED:
        begin(env, SEED + 90, done)
        after = play(env, actions)
        check_step(env, after, shapes, "DISABLED, the step after a masked reset")
        return after
    after = play(env, actions)
    check_step(env, after, shapes, f"{mode}, the step after an episode's end")
    if mode is AutoresetMode.NEXT_STEP:
        for lane in np.flatnonzero(done).tolist():
            found = (float(after.reward[lane]), bool(after.terminated[lane]), bool(after.truncated[lane]))
            require(
                found == (0.0, False, False),
                f"NEXT_STEP: the step after lane {lane}'s end resets it and must return "
                f"reward 0 and no flag, got {found}",
            )
    return after


def _compare_modes(env: VectorEnv, ends: Mapping[AutoresetMode, tuple[Step, Step]], tolerance: Tolerance) -> None:
    """The final observation, reward and flags do not depend on the mode, nor does the episode that
    follows."""
    space = env.observation_space
    env.close()
    reference = next((m for m in ends if m is not AutoresetMode.SAME_STEP), None)
    if reference is None:
        return
    end, after = ends[reference]
    for mode, (other, _) in ends.items():
        for lane in range(len(end.reward)):
            compare_outcome(
                f"{mode} against {reference}, end of an episode, lane {lane}",
                other,
                lane,
                end,
                lane,
                tolerance,
            )
        for lane in np.flatnonzero(end.done).tolist():
            final = other.info["final_obs"] if mode is AutoresetMode.SAME_STEP else other.obs
            row = final[lane] if isinstance(final, np.ndarray) else lane_of(space, final, lane)
            gap = difference(row, lane_of(space, end.obs, lane))
            require(
                gap <= tolerance.obs,
                f"{mode} against {reference}: lane {lane}'s final observation differs by {gap:g}; it "
                "must be the last frame of the episode that ended",
            )
    if AutoresetMode.SAME_STEP in ends and reference is AutoresetMode.NEXT_STEP:
        for lane in np.flatnonzero(end.done).tolist():
            begun = lane_of(space, ends[AutoresetMode.SAME_STEP][0].obs, lane)
            gap = difference(begun, lane_of(space, after.obs, lane))
            require(
                gap <= tolerance.obs,
                f"lane {lane}'s first observation of the next episode differs by {gap:g} between SAME_STEP "
                "(returned with the end) and NEXT_STEP (returned one step later)",
            )


def _check_action_ignored(make: MakeVector, num_envs: int, max_steps: int, tolerance: Tolerance) -> None:
    """NEXT_STEP: the action given in the step that resets a lane has no effect, then or later."""
    runs: list[tuple[Step, Step]] = []
    lanes: np.ndarray = np.zeros(num_envs, bool)
    for variant in range(2):
        env = make(num_envs, AutoresetMode.NEXT_STEP)
        try:
            plan = plan_actions(env, max_steps + 2, SEED + 2)
            steps = _staggered(env, plan[:max_steps])
            lanes = steps[-1].done
            others = plan_actions(env, 20, SEED + 3)
            ignored = [
                next((o[i] for o in others if variant and not np.array_equal(o[i], a)), a) if lanes[i] else a
                for i, a in enumerate(plan[-2])
            ]
            runs.append((play(env, ignored), play(env, plan[-1])))
            if variant:
                for lane in np.flatnonzero(lanes).tolist():
                    for t, (a, b) in enumerate(zip(*runs)):
                        what = f"NEXT_STEP: lane {lane}, other action while it resets, {t} steps later"
                        compare_lane(what, env, a, lane, b, lane, tolerance)
        finally:
            env.close()
