"""The reading of commands on a toy world that turns: a perfect model, models with a fault each, and the floors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panorama import NAMES, view
from worldsim_benchmarks import selfcheck
from worldsim_benchmarks.behaviour import Play, read_back
from worldsim_benchmarks.nets import actions
from worldsim_benchmarks.nets.actions import ActionReader, chains_of
from worldsim_benchmarks.nets.corpus import record
from worldsim_benchmarks.nets.eyes import Motion
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.records import plain
from worldsim_benchmarks.report import fidelity_lines, table
from worldsim_benchmarks.suites import reading
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.truth import Reference

WORLD = "toy/Panorama-v0"
COMMANDS = ("noop", "turn_left", "turn_right", "turn_left_small", "turn_right_small")
MEANS = {**{c: c for c in COMMANDS}, **{c: "noop" for c in NAMES if c not in COMMANDS}}


@pytest.fixture(scope="module")
def reader() -> ActionReader:
    """Trained on 40 maps of the toy world's training split, in seconds."""
    made = [
        record(WORLD, split, maps, 8, COMMANDS, frame_size=(48, 48)) for split, maps in (("train", 40), ("val", 12))
    ]
    eyes = Motion(pairs=((3, 5), (5, 7)))
    return actions.train(*made, MEANS, eyes, ((16, 1, 1), (16, 3, 2)), 16, 150)


def rows(reader: ActionReader, out: Path, **fault: Any) -> dict[str, Any]:
    spec = CandidateSpec("toy/Model-v0", fault, lanes=2, world_keyword="")
    session = Session(
        WORLD, {"model": spec}, replace(PRESETS["tiny"], hold=4), out, frame_size=(48, 48), bottom=0
    )  # fmt: skip
    return reading.summarise(plain(reading.run(session, reader)))


def test_a_perfect_model_is_read_like_the_truth_and_the_floors_are_not(reader: ActionReader, tmp_path: Path) -> None:
    made = rows(reader, tmp_path)
    assert list(made) == ["truth", "frozen", "model", "action_shuffled", "codec"]
    assert made["truth"]["f1"]["value"] > 0.95
    assert made["model"]["f1"]["value"] == pytest.approx(made["truth"]["f1"]["value"], abs=0.02)
    assert made["codec"]["f1"]["value"] > 0.95
    assert made["frozen"]["f1"]["value"] < 0.15  # standing still is read, and nothing else
    assert made["action_shuffled"]["f1"]["value"] < 0.5
    assert made["model"]["above"]["frozen"]["low"] > 0.5
    assert made["model"]["above"]["action_shuffled"]["low"] > 0.3
    printed = table(fidelity_lines({"parts": {"reading": plain(made)}, "config": {"frame_size": [48, 48]}}))
    assert "reading, model: F1 of the commands read" in printed
    assert "reading, model: F1 above action_shuffled" in printed
    assert "reading, codec: F1 above the model's" in printed
    gap = made["model"]["below_codec"]
    assert gap["value"] == pytest.approx(made["codec"]["f1"]["value"] - made["model"]["f1"]["value"])


def test_what_turns_the_other_way_is_read_wrong_and_what_never_turns_as_still(
    reader: ActionReader, tmp_path: Path
) -> None:
    other_way = rows(reader, tmp_path, gain=-1.0)["model"]
    assert other_way["classes"]["noop"] > 0.9
    assert max(other_way["classes"][c] for c in COMMANDS[1:]) < 0.05
    deaf = rows(reader, tmp_path, gain=0.0)["model"]
    assert deaf["f1"]["value"] < 0.15
    assert deaf["coverage"]["value"] > 0.9  # it does not abstain: it reads that nothing moves


def test_a_world_without_a_reader_is_not_asked(tmp_path: Path) -> None:
    spec = CandidateSpec("toy/Model-v0", {}, lanes=2, world_keyword="")
    session = Session(WORLD, {"model": spec}, PRESETS["tiny"], tmp_path, frame_size=(48, 48), bottom=0)
    assert reading.run(session) == []
    assert reading.summarise([]) == {}


def test_a_command_that_cannot_be_read_is_named(reader: ActionReader) -> None:
    assert reader.encode(("noop", "use", "turn_left")).tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="the reader knows no command fly; it reads noop, turn_left"):
        reader.encode(("fly",))
    assert reader.commands == COMMANDS


def test_a_chain_is_the_block_before_and_the_block_after() -> None:
    blocks = np.arange(3 * 4).reshape(3, 4, 1, 1, 1).repeat(3, -1).astype(np.uint8)
    chains = chains_of(np.full((1, 1, 3), 99, np.uint8), blocks)
    assert chains[..., 0, 0, 0].tolist() == [
        [99, 99, 99, 99, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 8, 9, 10, 11],
    ]  # fmt: skip


def test_a_class_that_is_read_and_never_told_is_wrong_and_not_left_open() -> None:
    row = {"candidate": "model", "script": "even_0", "map_seed": 1, "told": ["a", "a"], "read": ["b", None]}
    found = reading.summarise([row])["model"]
    assert found["coverage"]["value"] == 0.5
    assert found["accuracy"]["value"] == 0.0
    assert found["classes"] == {"a": 0.0}


def test_scripts_ask_every_command_equally_often() -> None:
    """Whole rounds of all commands: of 24 steps and eleven commands two, of 4 and five one."""
    commands = tuple("abcdefghijk")
    first, second = reading.scripts(commands, 24, 0)
    assert (first, second) == reading.scripts(commands, 24, 0)
    assert first.prefix == second.prefix and len(first.prefix) == reading.PREFIX
    assert first.actions != second.actions
    for script in (first, second):
        for each in (script.actions[:11], script.actions[11:]):
            assert sorted(each) == list(commands)
    assert sorted(reading.even(COMMANDS, 4, 0)) == sorted(COMMANDS)


def test_a_map_that_ends_within_the_context_is_left_out_with_the_reason(reader: ActionReader, tmp_path: Path) -> None:
    """``use`` three times in a row ends an episode of the toy world."""
    script = reading.Script("even_0", "control", ("noop",) * 8, ("turn_left", "noop"))
    lasting = ("noop",) * reading.PREFIX
    ending = (*lasting[:3], *("use",) * 3, *lasting[:2])
    reference = Reference(WORLD, (48, 48), depth=False)
    rollouts = [reference.play((*context, *script.actions), 2_000_000, 8) for context in (ending, lasting)]
    reference.close()
    kept, skipped = reading.outlasting(rollouts, script)
    assert kept == rollouts[1:]
    reason = "the true episode ends after 6 steps, within the context of 8"
    assert [row["skipped"] for row in skipped] == [reason]
    row = {"candidate": "model", "script": "even_0", "map_seed": 1, "told": ["a"], "read": ["a"]}
    found = reading.summarise([*skipped, row])
    assert list(found) == ["model", "skipped"]
    assert reading.right_of([*skipped, row]) == {"model": {("even_0", 1): 1.0}}
    printed = table(fidelity_lines({"parts": {"reading": plain(found)}, "config": {"frame_size": [48, 48]}}))
    assert f"map 2000000, even_0: {reason}" in printed
    with pytest.raises(ValueError, match="on no map does the true episode outlast the context of 8 steps"):
        reading.outlasting(rollouts[:1], script)


def test_steps_that_do_not_fill_a_block_are_not_read(reader: ActionReader) -> None:
    three, two = (Play(np.zeros((1 + 2 * k, 8, 8, 3), np.uint8), ("noop",) * 2) for k in (3, 2))
    assert two.chains.shape == (2, 8, 8, 8, 3)
    with pytest.raises(ValueError, match="a step has 3 frames; an action reader takes steps of 1, 2 or 4"):
        three.chains  # noqa: B018


def test_shares_read_right_are_by_script_and_map_and_the_check_wants_truth_above() -> None:
    def row(candidate: str, map_seed: int, read: list[str | None]) -> dict[str, Any]:
        return {"candidate": candidate, "script": "even_0", "map_seed": map_seed, "told": ["a", "b"], "read": read}

    rows = [row("true", m, ["a", "b"]) for m in range(4)] + [row("mirrored", m, ["b", None]) for m in range(4)]
    rows += [row("delayed", m, ["a", "b"]) for m in range(4)]
    assert reading.right_of(rows[:1] + rows[4:5]) == {
        "true": {("even_0", 0): 1.0}, "mirrored": {("even_0", 0): 0.0},
    }  # fmt: skip
    assert [line.ok for line in selfcheck.read_lines(rows)] == [True, False]


def test_broken_controls_are_caught_on_the_toy_world(reader: ActionReader, tmp_path: Path) -> None:
    candidates = {name: CandidateSpec(name) for name in ("true", *selfcheck.CONTROL_MUTANTS)}
    preset = replace(PRESETS["tiny"], hold=4, doses=True)  # as in a self-check; one round tells little of a gain
    session = Session(WORLD, candidates, preset, tmp_path, frame_size=(48, 48), bottom=0)
    shares = reading.right_of(plain(reading.run(session, reader)))
    mean = {name: float(np.mean(list(by.values()))) for name, by in shares.items()}
    assert mean["true"] == mean["truth"] > 0.95
    assert mean["gain_0.8"] < mean["true"] - 0.1
    assert max(mean["mirrored"], mean["delayed"]) < mean["true"] - 0.3


def test_actions_of_play_are_read_back(reader: ActionReader) -> None:
    names = ("turn_left", "turn_left", "turn_right_small", "noop", "turn_right")
    headings = np.cumsum([0.0, *np.repeat([14.0, 14.0, -3.5, 0.0, -14.0], 4) / 4])
    play = Play(np.stack([view(5, heading) for heading in headings]), names)
    assert play.chains.shape == (5, 8, 48, 48, 3)
    assert np.array_equal(play.chains[0, 3], play.frames[0]) and np.array_equal(play.chains[1, 3], play.frames[4])
    line = read_back({"model": [play], "frozen": [play.frozen()]}, reader)
    assert line.value == "model 1.00 (answered 100%), frozen 0.08 (answered 100%)"  # one of four classes: 2/6 of noop
