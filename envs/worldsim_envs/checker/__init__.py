"""A checker for vector environments, which Gymnasium does not have: ``check_vector_env``.

It steps real instances and compares them with each other, with lanes alone and with single environments, so
that the faults that spoil training without an error are found: a final observation that is the next episode's
first, a lane whose future depends on its neighbours, a buffer that is written again after it was returned, a
masked reset that touches other lanes. The contract is Gymnasium's (``VectorEnv``, three autoreset modes) and
this project's: lane ``i`` is seeded ``seed + i``; ``final_obs`` is a dense array beside its mask; actions and
options are validated.

Episodes must end within ``max_steps``: give the environment a short time limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gymnasium.vector import AutoresetMode

from worldsim_envs.checker.autoreset import check_autoreset
from worldsim_envs.checker.compare import (
    EXACT,
    MakeSingle,
    MakeVector,
    Tolerance,
    VectorEnvError,
    plan_actions,
)
from worldsim_envs.checker.rules import (
    check_fresh_arrays,
    check_interface,
    check_lane_alone,
    check_masked_reset,
    check_neighbours,
    check_repeatable,
    check_returns,
    check_singles,
    check_validation,
)

__all__ = ["ALL_MODES", "Tolerance", "VectorEnvError", "check_vector_env"]

ALL_MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)


def check_vector_env(
    make: MakeVector,
    *,
    make_single: MakeSingle | None = None,
    modes: Sequence[AutoresetMode] = ALL_MODES,
    num_envs: int = 3,
    steps: int = 4,
    max_steps: int = 40,
    tolerance: Tolerance = EXACT,
    info_shapes: Mapping[str, tuple[int, ...]] | None = None,
    like_sync: bool = False,
) -> None:
    """Raises ``VectorEnvError`` at the first broken rule; returns None where all hold.

    Args:
        make: builds the environment for a number of lanes and an autoreset mode; called many times.
        make_single: builds the same environment for one lane; adds the comparison with N single environments.
        modes: autoreset modes that the environment supports.
        num_envs: lanes to check with, at least 2.
        steps: steps over which lanes are compared with lanes alone and with single environments.
        max_steps: an episode must end within so many steps.
        tolerance: greatest accepted differences between runs in batches of different size.
        info_shapes: shapes of info arrays behind the lane axis, e.g. ``{"frames": (4, 64, 64, 3)}``.
        like_sync: accepts two habits of Gymnasium's own ``SyncVectorEnv``: ``final_obs`` as an object array,
            and taking ``reset_mask`` out of the caller's options.
    """
    if num_envs < 2:
        raise ValueError(f"the checker compares lanes: num_envs must be at least 2, got {num_envs}")
    shapes = dict(info_shapes or {})
    for mode in modes:
        env = make(num_envs, mode)
        try:
            check_interface(env, num_envs, mode)
            plan = plan_actions(env, steps)
            check_returns(env, plan, shapes)
            check_fresh_arrays(env, plan)
            check_repeatable(env, plan)
            check_neighbours(env, plan, tolerance)
            check_validation(env, plan)
            check_masked_reset(env, plan, tolerance, like_sync)
            check_lane_alone(env, make, plan, mode, tolerance)
        finally:
            env.close()
    check_autoreset(make, modes, num_envs, max_steps, tolerance, shapes, not like_sync)
    if make_single is not None:
        check_singles(make, make_single, modes[0], num_envs, steps, tolerance)
