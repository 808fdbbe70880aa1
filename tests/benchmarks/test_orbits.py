"""Orbits on the scene: the truth is right, whatever its balls do; mirrored, frozen and short ones are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from worldsim_benchmarks.suites.consistency_judge import Asked
from worldsim_benchmarks.suites.consistency_scripts import PLANS
from worldsim_benchmarks.suites.rivals import Rival
from worldsim_benchmarks.truth import Reference, Rollout

import worldsim

pytest.importorskip("mujoco")
assert worldsim.__version__
PLAN = PLANS["orbit_and_back"]
LEFT, RIGHT = PLAN.variants


def with_a_ball(reference: Reference) -> int:
    """A map on which something rolls by itself."""
    for seed in range(2_000_000, 2_000_040):
        reference.reset(seed)
        if reference.objects("ball"):
            return seed
    raise AssertionError("no map has a ball")


@pytest.mark.slow
def test_an_orbit_is_judged_by_what_stands_still() -> None:
    reference = Reference("worldsim/Scene-v0")
    seed, prefix = with_a_ball(reference), len(PLAN.prefix)

    def play(script: tuple[str, ...], map_seed: int, dynamics: int | None = None) -> Rollout:
        return reference.play((*PLAN.prefix, *script), map_seed, prefix, dynamics=dynamics)

    truth = play(LEFT, seed)
    asked = Asked(PLAN, truth, (Rival.of(play(LEFT, seed + 50)), Rival.of(play(LEFT, seed + 51))), 0)
    again, mirrored = play(LEFT, seed, 5), play(RIGHT, seed)
    assert np.array_equal(again.blocks[:prefix], truth.blocks[:prefix])
    assert not np.array_equal(again.blocks[-1], truth.blocks[-1])
    assert asked.judge("true", truth.blocks[prefix:]).score == 1.0
    assert asked.judge("other dynamics", again.blocks[prefix:]).score == 1.0
    wrong = asked.judge("mirrored", mirrored.blocks[prefix:])
    assert (wrong.moved, wrong.measures["parallax"] < 0) == (False, True)
    still = np.broadcast_to(truth.frame(prefix), truth.blocks[prefix:].shape)
    assert asked.judge("frozen", still).measures["parallax"] == 0.0
    short = replace(truth, blocks=play(LEFT[:-2], seed).blocks)
    assert not asked.judge("two steps short", np.concatenate([short.blocks[prefix:], short.blocks[-2:]])).correct
    # a quarter of a turn off, the square floor looks nearly the same
    quarter = play((*LEFT[:6], *LEFT[6:], *("turn_left",) * 6), seed).blocks[-len(LEFT) :]
    side = asked.judge("another side", np.concatenate([truth.blocks[prefix:-1], quarter[-1:]]))
    assert side.measures["elsewhere"] > side.measures["match"]
    assert not side.correct
    reference.close()
