"""Scripts end where they should, and mutants do what their names say."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from worldsim_benchmarks import scripts
from worldsim_benchmarks.mutants import MUTANTS
from worldsim_benchmarks.presets import horizons
from worldsim_benchmarks.truth import Reference, seeds_of_test_split

STEP = {"forward": (0, 1), "backward": (0, -1), "strafe_left": (1, 1), "strafe_right": (1, -1),
        "turn_left": (2, 1), "turn_right": (2, -1)}  # fmt: skip


def track(names: tuple[str, ...]) -> np.ndarray:
    """Offsets (forward, left, turns) after each action, in free space along its own axes."""
    moves = np.zeros((len(names), 3), int)
    for i, name in enumerate(names):
        if name in STEP:
            moves[i, STEP[name][0]] = STEP[name][1]
    return moves.cumsum(0)


def test_looking_around_ends_where_it_began() -> None:
    assert track(scripts.LOOK_AROUND)[-1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("steps", [8, 32, 64, 256])
def test_known_scripts_stay_near(steps: int) -> None:
    for script in scripts.twin_scripts(steps):
        assert len(script.actions) == steps
        if script.known:
            assert np.abs(track(script.actions)).max() <= 8
    back = next(s for s in scripts.twin_scripts(256) if s.name == "turn_far_and_back")
    assert track(back.actions)[31].tolist() == [0, 0, 0]


def test_shuffled_actions_are_another_script_s() -> None:
    every = scripts.twin_scripts(32)
    wrong = scripts.shuffled(every)
    assert all(wrong[s.name] != s.actions for s in every)
    assert {wrong[s.name] for s in every} == {s.actions for s in every}


def test_scripts_are_the_same_in_every_run() -> None:
    assert scripts.twin_scripts(64) == scripts.twin_scripts(64)
    assert scripts.explore(50, 1) != scripts.explore(50, 2)


def test_horizons_double() -> None:
    assert horizons(32) == (1, 2, 4, 8, 16, 32)
    assert horizons(50)[-1] == 32


def test_seeds_are_of_the_test_split_only() -> None:
    assert seeds_of_test_split(3)[0] == 2_000_000
    with pytest.raises(ValueError, match="leave the test split"):
        seeds_of_test_split(200_000)


def yaw_of(mutant: str | None, names: tuple[str, ...], prefix: int = 0) -> list[float]:
    reference = Reference("toy/Panorama-v0", (48, 48), mutant=mutant)
    rollout = reference.play(names, 2_000_000, prefix)
    turned = (np.diff(rollout.yaw) + 180) % 360 - 180
    return [round(float(v), 3) for v in turned]


def test_mutants_turn_as_they_say_and_only_after_the_context() -> None:
    left = ("turn_left",) * 10
    assert yaw_of(None, left) == [14.0] * 10
    assert yaw_of("mirrored", left, prefix=4) == [14.0] * 4 + [-14.0] * 6
    assert sum(yaw_of("gain_0.8", left)) == pytest.approx(0.8 * 140)
    assert yaw_of("delayed", ("turn_left", "noop", "turn_right")) == [0.0, 14.0, 0.0]


def test_painted_mutants_change_frames_and_observation_alike() -> None:
    env = MUTANTS["colour_drift"](gym.make("toy/Panorama-v0"))
    env.reset(options={"map_seed": 2_000_000})
    honest = env.step(np.int64(0))[0]
    env.active = True
    for _ in range(10):
        observation, *_, info = env.step(np.int64(0))
    assert np.array_equal(observation, info["frames"][-1])
    middle = honest[..., 0] < 240
    assert (observation[..., 0].astype(int) - honest[..., 0])[middle].min() == 10
