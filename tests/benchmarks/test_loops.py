"""Ways through rooms: found in the plan, walked in the true world, and refused where one stays behind the door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.probes.doom_loops import HOME, circles, ends
from worldsim_benchmarks.suites.consistency import Consistency
from worldsim_benchmarks.suites.consistency_judge import Asked
from worldsim_benchmarks.suites.consistency_scripts import PLANS
from worldsim_benchmarks.suites.interaction import DEEDS
from worldsim_benchmarks.suites.rivals import Rival
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.suites.twins import first_found
from worldsim_benchmarks.truth import Reference, Rollout

import worldsim

assert worldsim.__version__
WORLD = "worldsim/DoomRooms-v0"
LOOPS = ("next_room_and_back", "door_and_back", "four_rooms_round")


def test_ways_round_are_found_both_ways_from_every_room() -> None:
    square = [(0, 1), (1, 2), (3, 2), (0, 3), (3, 4)]
    found = list(circles(square, 4))
    assert len(found) == 8  # four rooms to begin in, two ways round; room 4 is a dead end
    assert [(0, 0), (1, 0), (2, 1), (3, 1)] in found
    assert list(circles(square[:3], 4)) == []
    assert list(circles([(0, 1), (0, 1)], 2)) == [
        [(0, 0), (1, 1)], [(1, 0), (0, 1)], [(0, 1), (1, 0)], [(1, 1), (0, 0)],
    ]  # fmt: skip


def test_tasks_keep_their_place_which_is_in_the_seeds_of_their_episodes() -> None:
    assert list(PLANS)[7:] == ["leave_and_return", "orbit_and_back", "orbit_360", *LOOPS]
    deeds = [deed.name for deed in DEEDS]
    assert (deeds.index("paint"), deeds.index("fell"), deeds.index("dig")) == (2, 15, 18)
    assert deeds[-1] == "momentum"


def test_a_passage_has_a_point_in_either_room() -> None:
    along = SimpleNamespace(rect=(2.0, 0.0, 5.0, 2.0), axis="x")
    assert ends(along, 0) == ((1.0, 1.0), (6.0, 1.0))
    assert ends(along, 1) == ((6.0, 1.0), (1.0, 1.0))
    assert ends(SimpleNamespace(rect=(2.0, 0.0, 4.0, 3.0), axis="y"), 0) == ((3.0, -1.0), (3.0, 4.0))


def test_quick_runs_leave_ways_through_rooms_out_unless_they_are_named(tmp_path: Path) -> None:
    def asked(preset: str, *named: str) -> set[str]:
        run = Session(WORLD, {"true": CandidateSpec("true")}, PRESETS[preset], tmp_path, named=named)
        return {e.task for e in Consistency().episodes(run)}

    assert asked("default") - asked("quick") == {*LOOPS}
    assert asked("quick", LOOPS[0]) - asked("quick") == {LOOPS[0]}


@pytest.fixture(scope="module")
def stage() -> Iterator[Reference]:
    opened = Reference(WORLD)
    yield opened
    opened.close()


def walked(task: str, stage: Reference) -> Rollout:
    plan = PLANS[task].walked
    assert plan is not None
    return first_found(lambda seed: plan(stage, seed), 2_000_000, WORLD, task)


@pytest.mark.parametrize("task", LOOPS)
def test_a_way_leads_into_other_rooms_and_home(task: str, stage: Reference) -> None:
    take = walked(task, stage)
    layout = stage.env.unwrapped.layout  # type: ignore[attr-defined]
    rooms = [layout.room_at(*view.c2w[:2, 3]) for view in take.views]
    visited = list(dict.fromkeys(room for room in rooms if room is not None))
    assert len(visited) == (4 if task == "four_rooms_round" else 2)
    assert rooms[0] == rooms[-1]
    assert np.linalg.norm(take.views[-1].c2w[:2, 3] - take.views[0].c2w[:2, 3]) <= HOME
    assert abs((take.yaw[-1] - take.yaw[take.prefix] + 180) % 360 - 180) <= 4
    opened = sum(e["kind"] == "door_opens" for events in take.events for e in events)
    assert {"next_room_and_back": opened == 0, "door_and_back": opened > 0}.get(task, True)
    again = stage.play(take.names, take.map_seed, take.prefix, take.pose)
    assert np.array_equal(again.blocks, take.blocks)  # the same commands walk it again


def test_who_stays_behind_the_door_has_not_moved(stage: Reference) -> None:
    """Everything is shown as it is up to the door, and again from where the truth is back there."""
    take = walked("door_and_back", stage)
    noise = np.random.default_rng(0)
    others = tuple(
        Rival(i, *(noise.integers(0, 256, shape, dtype=np.uint8) for shape in ((4, 64, 64, 3), (64, 64, 3))))
        for i in range(3)
    )
    asked = Asked(PLANS["door_and_back"], take, others, 3)
    blocks = take.blocks[take.prefix :]
    true = asked.judge("true", blocks)
    assert true.score == 1.0
    assert true.measures["far_parallax"] == pytest.approx(1.0, abs=0.3)
    assert true.measures["heading_degrees"] < 20
    used = take.actions.index("use")
    away = np.linalg.norm([view.c2w[:2, 3] - take.views[0].c2w[:2, 3] for view in take.views[take.prefix :]], axis=1)
    back = int(np.flatnonzero(away > away[used])[-1])
    stays = blocks.copy()
    stays[used : back + 1] = blocks[used, -1]
    outcome = asked.judge("stays", stays)
    assert outcome.measures["far_parallax"] < 0.2
    assert (outcome.moved, outcome.score) == (False, 0.0)
