"""Scores and curves of permanence and interaction from rows alone, and which suite asks which world."""

from __future__ import annotations

from pathlib import Path

from worldsim_benchmarks.defects import BROKEN
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.proof import session_for
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.suites.registry import suite_named

TABLE, ROOMS = "worldsim/Table-v0", "worldsim/DoomRooms-v0"


def row(task: str, seed: int, score: float, curve: list[list[float]]) -> Row:
    return {
        "task": task, "map_seed": seed, "sample": 0, "candidate": "model", "score": score, "moved": True,
        "continued": True, "correct": bool(score), "failed": "", "measures": {"curve": curve},
    }  # fmt: skip


def test_every_mutant_exists_and_is_meant_for_a_task_of_its_suite() -> None:
    for name in ("permanence", "interaction"):
        suite = suite_named(name)
        assert set(suite.mutants) <= set(BROKEN)
        assert {t for tasks in suite.mutants.values() for t in tasks} <= {task.name for task in suite.tasks}


def test_selfcheck_takes_only_mutants_that_a_task_of_the_world_can_catch(tmp_path: Path) -> None:
    suite = suite_named("interaction")
    rooms = session_for(suite, ROOMS, PRESETS["tiny"], tmp_path)
    assert list(rooms.candidates) == ["true", "undo"]
    table = session_for(suite, TABLE, PRESETS["tiny"], tmp_path)
    assert "wrong_gravity" in table.candidates
    assert list(table.candidates)[1] == "undo"
    meant = {task.name: task.worlds for task in suite.tasks if task.name in suite.mutants["undo"]}
    assert sorted(meant.values()) == sorted({task.worlds for task in suite.tasks})  # one task for each world


def test_the_memory_curve_is_ordered_by_steps_and_tells_the_half_life() -> None:
    scores = {1: (1.0, 1.0), 2: (1.0, 0.0), 16: (0.0, 0.0)}
    rows = [row(f"look_away_{wait}", seed, s, []) for wait, pair in scores.items() for seed, s in enumerate(pair)]
    rows.append(row("look_away_2_things", 0, 1.0, []))
    (curve,) = suite_named("permanence").score(rows[::-1]).curves
    assert [(x, y) for x, y, _, _ in curve.lines["model"]] == [(1.0, 1.0), (2.0, 0.5), (16.0, 0.0)]
    assert "half-life of the model: 2.0 steps" in curve.title


def test_the_persistence_curve_is_the_mean_over_maps() -> None:
    rows = [row("paint", 0, 1.0, [[8, 1.0], [9, 0.5]]), row("paint", 1, 0.0, [[8, 0.0], [9, 0.5]])]
    (curve,) = suite_named("interaction").score(rows).curves
    assert [(x, y) for x, y, _, _ in curve.lines["model"]] == [(8.0, 0.5), (9.0, 0.5)]
