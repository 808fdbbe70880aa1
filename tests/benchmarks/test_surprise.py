"""The suite of surprise on the painted cylinder, where turns to the wrong side and of the wrong size can be asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panorama import view
from probes import WORLD, session
from worldsim_benchmarks import proof, requirements
from worldsim_benchmarks.candidates import EnvCandidate
from worldsim_benchmarks.probes.commands import COMMANDS
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.runner import load, run
from worldsim_benchmarks.suites.session import CandidateSpec
from worldsim_benchmarks.suites.surprise import Surprise
from worldsim_benchmarks.verdict import verdict

SUITE = Surprise(tuple(replace(q, worlds=(WORLD,)) for q in COMMANDS if "walk" not in q.name))


def ran(out: Path, fault: str, say: Any = lambda _: None) -> tuple[dict[str, Any], list[Row]]:
    return load(run(SUITE, session(out, "toy/Foreseeing-v0", fault=fault), say).path)


def headlines(result: dict[str, Any]) -> dict[str, float]:
    return {name: score["headline"]["value"] for name, score in result["score"]["candidates"].items()}


def test_a_perfect_model_and_the_ideal_observer_tell_all_and_the_last_picture_nothing(tmp_path: Path) -> None:
    result, rows = ran(tmp_path, "")
    assert headlines(result) == {"model": 1.0, "true": 1.0, "copy_last": 0.0}
    assert {r["task"] for r in rows} == {"mirrored_turn", "wrong_gain"}
    assert all(r["correct"] == (r["score"] == 1.0) for r in rows)
    assert "100% is the share of pairs told right minus the share told wrong, chance being 0" in verdict(result, rows)
    assert len(list((tmp_path / "clips").iterdir())) == 6


def test_a_model_that_is_deaf_to_commands_is_at_chance_though_its_losses_differ(tmp_path: Path) -> None:
    result, rows = ran(tmp_path, "deaf")
    assert headlines(result)["model"] == 0.0
    mine = [r["measures"] for r in rows if r["candidate"] == "model"]
    assert all(sorted(m["by_past"]) == [-1, 1] and m["by_ending"] == [0, 0] for m in mine)


@pytest.mark.parametrize(("fault", "why"), [("crash", "RuntimeError: the second map"), ("nan", "not finite")])
def test_what_crashes_or_gives_no_numbers_costs_its_own_episodes(tmp_path: Path, fault: str, why: str) -> None:
    said: list[str] = []
    result, rows = ran(tmp_path, fault, said.append)
    lost = [r for r in rows if r["failed"]]
    assert {(r["map_seed"], r["candidate"], r["score"]) for r in lost} == {(2_000_001, "model", 0.0)}
    assert headlines(result)["model"] == pytest.approx(2 / 3)
    assert len(said) == 2 and all(why in line for line in said)


def test_films_are_judged_together_where_that_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = EnvCandidate("toy/Foreseeing-v0")
    env, turns = candidate.env.unwrapped, ["turn_left", "turn_right"]
    start = view(2_000_000, 0.0)
    films = [np.repeat(start[None], 9, 0), np.concatenate([start[None], np.zeros((8, *start.shape), np.uint8)])]
    alone = candidate.surprises(films, [turns, turns], 0, 1)
    assert alone is not None and alone.shape == (2, 2) and (alone[1] > alone[0]).all()
    asked: list[int] = []

    def together(frames: list[np.ndarray], actions: list[np.ndarray], *rest: object, first: int) -> np.ndarray:
        asked.append(first)
        return np.stack([10 * env.surprise(f, a, *rest) for f, a in zip(frames, actions)])

    monkeypatch.setattr(env, "surprises", together, raising=False)
    assert np.array_equal(candidate.surprises(films, [turns, turns], 0, 1), 10 * alone)
    candidate.surprises(films, [turns, turns], 0, 1, 1)
    assert asked == [0, 1]


def test_the_same_seed_gives_the_same_rows(tmp_path: Path) -> None:
    assert ran(tmp_path / "a", "")[1] == ran(tmp_path / "b", "")[1]


def test_selfcheck_finds_the_faulty_observers(tmp_path: Path) -> None:
    suite = replace(SUITE, mutants={m: tasks for m, tasks in SUITE.mutants.items() if "vanish_away" not in tasks})
    candidates = {name: CandidateSpec(name) for name in ("true", *suite.mutants)}
    assert set(candidates) == {"true", "mirror_minded", "coarse_minded"}
    lines, holds = proof.prove(suite, replace(session(tmp_path), candidates=candidates), lambda _: None)
    found = {line.what.partition(",")[0]: line for line in lines}
    assert found["mirror_minded: headline -0.50"].ok
    assert found["mirror_minded: caught by mirrored_turn"].ok
    assert found["coarse_minded: caught by wrong_gain"].ok
    assert found["coarse_minded: caught by wrong_gain"].value.startswith("1.000")
    assert holds


def test_an_environment_without_surprise_is_told_so(tmp_path: Path) -> None:
    def reasons(env: str, **kwargs: Any) -> set[str]:
        tasks = requirements.missing_for([suite], session(tmp_path, env, **kwargs))["surprise"]
        return {reason for found in tasks.values() for reason in found}

    suite = SUITE
    assert "toy/Model-v0 offers no surprise" in reasons("toy/Model-v0")
    assert not any("surprise" in r for r in reasons("toy/Foreseeing-v0"))
    assert "mirrored offers no surprise" in reasons("mirrored")
    assert not any("surprise" in r for r in reasons("true"))
