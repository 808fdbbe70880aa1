"""The memory suite: curves and half-lives of known rows, and what is read off a look back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from worldsim_benchmarks import requirements
from worldsim_benchmarks.candidates import Context, ReplayCandidate
from worldsim_benchmarks.defects import SPAN
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.probes import detect, doom, doom_recall
from worldsim_benchmarks.probes.judge import Made, judged
from worldsim_benchmarks.probes.plan import Plan
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.suites import memory, twins
from worldsim_benchmarks.suites.registry import PROBES
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.suites.suite import Curve
from worldsim_benchmarks.truth import Reference

import worldsim  # noqa: F401  (registers the worlds)

RIVALS = tuple(np.random.default_rng(0).integers(0, 256, (2, 4, 64, 64, 3), dtype=np.uint8))


def row(task: str, seed: int, score: float, hit: float = 1.0, false_alarm: float = 0.0, offset: float = 0.0) -> Row:
    return {
        "candidate": "model", "task": task, "map_seed": seed, "sample": 0, "score": score, "moved": True,
        "continued": True, "correct": bool(score), "failed": "",
        "measures": {"hit": hit, "false_alarm": false_alarm, "offset": offset},
    }  # fmt: skip


def remembers(steps: int, maps: int = 6) -> list[Row]:
    """A model that remembers a thing for so many steps of standing still, on every map alike."""
    lasts = {task: float(k <= steps) for task, k in memory.tasks_of("still").items()}
    return [row(task, seed, score, hit=score) for task, score in lasts.items() for seed in range(maps)]


def test_the_half_life_lies_halfway_between_the_last_hit_and_the_first_miss() -> None:
    half = memory.half_life_of(remembers(16), "model", "still")
    assert (half.value, half.low, half.high) == (24.0, 24.0, 24.0)  # 16 is remembered, 32 is not
    assert memory.said(half, 128) == "24"


def test_a_memory_that_outlasts_what_is_asked_is_said_to_do_so() -> None:
    half = memory.half_life_of(remembers(128), "model", "still")
    assert half.value == half.low == half.high == float("inf")
    assert memory.said(half, 128) == "beyond 128"


def test_what_is_gone_at_once_has_no_half_life() -> None:
    half = memory.half_life_of(remembers(0), "model", "still")
    assert np.isnan(half.value) and memory.said(half, 128).startswith("none")
    title = next(iter(memory.curves(remembers(0)))).title
    assert (
        title
        == "still: the thing is there again (half-life in steps: model none, since nothing is there after one step)"
    )


def test_maps_that_disagree_make_the_interval_wide() -> None:
    rows = [r for r in remembers(16) if r["map_seed"] < 3] + [r for r in remembers(128) if r["map_seed"] >= 3]
    half = memory.half_life_of(rows, "model", "still")
    assert half.value == 32.0  # half of all maps forget between 16 and 32
    assert half.low == pytest.approx(25.6) and half.high == float("inf")  # five of six do, or fewer than half
    assert memory.said(half, 128).endswith("beyond 128]")


def curve(rows: list[Row], title: str) -> Curve:
    return next(c for c in memory.curves(rows) if c.title.startswith(title))


def test_hits_are_published_less_their_false_alarms() -> None:
    rows = [row("still_1", seed, 0.0, hit=1.0, false_alarm=float(seed == 0)) for seed in range(4)]
    assert curve(rows, "hits minus false alarms").lines["still"][0][:2] == (1.0, 0.75)


def test_a_picture_that_was_never_turned_away_has_no_hits_and_no_place() -> None:
    rows = [row("still_1", seed, 1.0, offset=2.0) for seed in range(2)]
    rows += [{**row("still_1", seed, 0.0, offset=9.0), "moved": False} for seed in range(2, 4)]
    assert curve(rows, "hits minus false alarms").lines["still"][0][:2] == (1.0, 0.5)
    assert curve(rows, "where the model shows").lines["still"][0][:2] == (1.0, 2.0)


@pytest.mark.parametrize("way, steps", [(w, k) for w, (_, counts, _) in doom_recall.WAYS.items() for k in counts])
def test_each_way_turns_away_and_back_and_is_as_long_as_it_says(way: str, steps: int) -> None:
    away = doom_recall.WAYS[way][0](steps)
    assert len(away.names) == steps + (0 if way == "circle" else 2 * doom.AWAY)
    yaw = sum({"turn_left": 14.0, "turn_right": -14.0, "turn_right_small": -3.5}.get(name, 0.0) for name in away.names)
    assert abs((yaw + 180) % 360 - 180) <= 2.0
    assert away.names.count("forward") == away.names.count("backward")


@pytest.fixture(scope="module")
def stage() -> Iterator[Reference]:
    pytest.importorskip("vizdoom")
    opened = Reference(doom.WORLD, depth=False, labels=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def walk(stage: Reference) -> Plan:
    deed = next(d for d in doom_recall.RECALLS if d.name == "walk_16")
    return twins.planned(deed, stage, 2_000_000)


def made(plan: Plan, last: np.ndarray | None = None) -> Made:
    """The truth, or the truth with another last picture."""
    blocks = plan.acted.blocks[plan.prefix :].copy()
    if last is not None:
        blocks[-1, -1] = last
    return Made(blocks, blocks)


def test_the_truth_walks_away_and_comes_back_to_the_thing(walk: Plan) -> None:
    outcome = judged("true", walk, made(walk), RIVALS, 3)
    assert outcome.score == 1.0 and outcome.measures["walked"] == 1.0
    assert [outcome.measures[name] for name in ("hit", "false_alarm", "offset")] == [1.0, 0.0, 0.0]
    far = walk.prefix + doom.AWAY + doom_recall.FORTH
    assert doom.apart(walk.acted, walk.prefix, walk.acted, far) > 2.0
    assert doom.apart(walk.acted, walk.prefix, walk.acted, len(walk.acted.names)) < doom_recall.RETURNED


def test_one_who_turns_but_does_not_walk_has_not_moved(walk: Plan) -> None:
    stays = made(walk)
    away = stays.acted[doom.AWAY - 1]
    stays.acted[doom.AWAY : -doom.AWAY] = away
    outcome = judged("stays", walk, stays, RIVALS, 3)
    assert outcome.correct and not outcome.moved


def test_faults_of_the_look_back_are_told_apart(walk: Plan) -> None:
    truth = walk.acted.frame(len(walk.acted.names))
    gone = judged("gone", walk, made(walk, walk.checks[0].undone), RIVALS, 3).measures
    assert (gone["hit"], gone["false_alarm"]) == (0.0, 0.0)
    twice = judged("twice", walk, made(walk, walk.checks[-1].done), RIVALS, 3).measures
    assert (twice["hit"], twice["false_alarm"]) == (1.0, 1.0)
    aside = judged("aside", walk, made(walk, detect.shifted(truth, 2, 0)), RIVALS, 3).measures
    assert (aside["hit"], aside["offset"]) == (1.0, 2.0)


def test_a_world_that_remembers_for_a_span_has_its_cliff_there(stage: Reference) -> None:
    """The mutant keeps a thing that was away for fewer steps than its span, and no other."""
    forgets = ReplayCandidate(doom.WORLD, mutant="forgetful")
    scores = {}
    for steps in (8, 16, 32):
        deed = next(d for d in doom_recall.RECALLS if d.name == f"still_{steps}")
        plan = twins.planned(deed, stage, 2_000_001)
        seen = forgets.go_on([Context.of(plan.acted)], [plan.acted.actions], [0]).blocks[0]
        scores[steps] = judged("forgetful", plan, Made(seen, seen), RIVALS, 3).score
    forgets.close()
    assert SPAN == 24 and scores == {8: 1.0, 16: 1.0, 32: 0.0}


def test_a_task_that_a_brief_run_leaves_out_says_which_runs_ask_it(tmp_path) -> None:
    suite = PROBES["memory"]
    tasks = {task.name: task for task in suite.tasks}

    def lacks(amount: str, task: str, *named: str) -> list[str]:
        asked = Session(
            "worldsim/DoomRooms-v0", {"model": CandidateSpec("true")}, PRESETS[amount], tmp_path, named=named
        )
        return requirements.amount_lacks(suite, asked, tasks[task])

    assert lacks("quick", "still_128") == ["still_128 is asked by --n default and publish alone"]
    assert lacks("default", "still_128") == lacks("quick", "still_32") == lacks("quick", "tour_64", "tour_64") == []
    assert lacks("quick", "still_128", "still_128") == []
