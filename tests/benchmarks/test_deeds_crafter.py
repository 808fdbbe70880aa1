"""Deeds in Crafter: one tile votes, a walk scrolls it away and back, and chance does not decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from deeds import NOISE, check_deed, continued
from worldsim_benchmarks.candidates import Context
from worldsim_benchmarks.probes import crafter
from worldsim_benchmarks.probes.judge import Made, judged
from worldsim_benchmarks.probes.plan import Plan
from worldsim_benchmarks.suites import twins
from worldsim_benchmarks.truth import Reference

import worldsim

pytest.importorskip("crafter")
assert worldsim.__version__
BY_NAME = {deed.name: deed for deed in crafter.DEEDS}
FIRST = 2_000_000
TILE = 7
"""Pixels of a tile's side at 64 x 64; the player's own tile begins at column 28, row 21."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Reference]:
    opened = Reference(crafter.WORLD, depth=False)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def plans(stage: Reference) -> dict[str, Plan]:
    return {name: twins.planned(deed, stage, FIRST) for name, deed in BY_NAME.items()}


@pytest.mark.parametrize("name", BY_NAME)
def test_truth_is_right_and_what_ignores_actions_is_wrong(name: str, plans: dict[str, Plan]) -> None:
    check_deed(plans[name])


@pytest.mark.parametrize(
    ("name", "inventory"), [("fell", ("wood", 1)), ("sapling", ("sapling", -1)), ("table", ("wood", -2))]
)
def test_the_deed_is_done_in_the_world_and_not_by_its_twin(
    name: str, inventory: tuple[str, int], plans: dict[str, Plan]
) -> None:
    plan, (kind, change) = plans[name], inventory
    for take, changed in ((plan.acted, change), (plan.twin, 0)):
        assert take.truths[-1]["inventory"][kind] - take.truths[plan.prefix]["inventory"][kind] == changed
        assert np.array_equal(*(take.truths[step]["camera"]["c2w"] for step in (plan.prefix, -1)))


@pytest.mark.parametrize("name", BY_NAME)
def test_one_tile_votes_and_it_was_out_of_sight(name: str, plans: dict[str, Plan]) -> None:
    plan = plans[name]
    across, down = (0, -1) if name == "table" else (1, 0)
    own = np.zeros((64, 64), bool)
    own[21 + TILE * down :, 28 + TILE * across :][:TILE, :TILE] = True
    assert plan.checks[0].mask[own].sum() >= 12
    assert not plan.checks[0].mask[~own].any()
    seen = {check.step for check in plan.curve}
    assert {1, plan.length} <= seen
    assert 1 + crafter.WALK not in seen


def test_a_candidate_is_given_the_one_frame_that_a_step_has(plans: dict[str, Plan]) -> None:
    plan = plans["table"]
    assert np.array_equal(Context.of(plan.acted).frames, plan.acted.frames[: plan.prefix + 1])


def test_a_candidate_that_does_not_walk_has_not_moved(plans: dict[str, Plan]) -> None:
    plan = plans["fell"]
    truth = Made.of(plan.acted, plan.twin)
    stays = truth.acted.copy()
    stays[1:-1] = stays[0]
    found = judged("stays", plan, replace(truth, acted=stays), NOISE, 0)
    assert (found.moved, found.correct) == (False, True)


@pytest.mark.parametrize("name", BY_NAME)
def test_other_chance_changes_no_verdict_and_an_undone_deed_is_caught(name: str, plans: dict[str, Plan]) -> None:
    plan = plans[name]
    again = continued(crafter.WORLD, "true", plan, seed=77)
    assert judged("true", plan, again, NOISE, 0).score == 1.0
    undone = judged("undo", plan, continued(crafter.WORLD, "undo", plan, seed=77), NOISE, 0)
    assert (undone.moved, undone.correct) == (True, False)


def test_places_are_where_the_ground_is_and_no_creature_near(stage: Reference) -> None:
    found = list(crafter.places(stage, FIRST, crafter.FELL))
    stage.reset(FIRST)
    ground = stage.env.unwrapped.ground()
    assert found
    for x, y, yaw in found:
        assert yaw == 0.0
        assert ground[round(x) + 1, round(y)] == "tree"
        assert set(ground[round(x) - crafter.WALK : round(x) + 1, round(y)]) <= set(crafter.FREE)
        gaps = [np.abs(o["position"][:2] - (x, y)).max() for o in stage.objects("zombie")]
        assert min(gaps) > crafter.CLEAR["zombie"]
