"""Deeds in the block world: what is dug stays gone, what is put down stays, and without Luanti the suite says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deeds import NOISE, check_deed, continued
from worldsim_benchmarks import requirements
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.probes import blocks
from worldsim_benchmarks.probes.judge import judged
from worldsim_benchmarks.suites import twins
from worldsim_benchmarks.suites.registry import suite_named
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.truth import Reference

from worldsim import engines
from worldsim.engines import missing
from worldsim.worlds import WORLDS

BY_NAME = {deed.name: deed for deed in blocks.DEEDS}


@pytest.fixture(scope="module")
def stage() -> Iterator[Reference]:
    if missing(WORLDS["Blocks"]):
        pytest.skip("Luanti is not installed")
    opened = Reference(blocks.WORLD, depth=False)
    yield opened
    opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_truth_is_right_and_what_reverts_is_wrong(name: str, stage: Reference) -> None:
    plan = twins.planned(BY_NAME[name], stage, 2_000_000)
    check_deed(plan)
    assert {c["kind"] for t in plan.acted.truths for c in t["changes"]} == {name}
    assert plan.acted.truths[0]["light"] == "bright"
    undone = judged("undo", plan, continued(blocks.WORLD, "undo", plan), NOISE, 0)
    assert (undone.moved, undone.correct) == (True, False)


def test_without_luanti_the_suite_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(engines, "GAMES", "/nowhere")
    suite = suite_named("interaction")
    asked = Session(blocks.WORLD, {"model": CandidateSpec("true")}, PRESETS["tiny"], tmp_path)
    found = requirements.missing_for([suite], asked)["interaction"]
    for name in BY_NAME:
        assert "apt-get install minetest xvfb" in found[name][0]
