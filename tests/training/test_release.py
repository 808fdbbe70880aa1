"""The card of a release says what its runs left behind, whichever stages there were."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from worldsim.model.debug import debug_simulator, debug_starter
from worldsim.model.weights import WorldSimulator
from worldsim.training.presets import smoke
from worldsim.training.release import CURVES, _spans, release

STAGES = {"codec": "codec", "world": "world model", "memory": "memory", "heads": "heads", "referee": "referee"}


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """What runs of all stages leave behind, with figures that tell them apart."""
    found = {}
    for number, (stage, part) in enumerate(STAGES.items(), start=1):
        run = found[stage] = tmp_path / stage
        run.mkdir()
        card = {"config": asdict(getattr(smoke(), stage)), "commit": f"c{number}", "versions": {"torch": "2"}}
        (run / "config.json").write_text(json.dumps(card))
        rows = [
            {"step": step, "elapsed": 60.0 * step} | {f"probe/{name}": number + step / 10 for name in CURVES[part]}
            for step in (1, 2)
        ]
        (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    debug_simulator(memory=True, bank=False, referee=True).save_pretrained(found["referee"] / "model")
    debug_simulator(memory=True, bank=False).save_pretrained(found["heads"] / "model")
    debug_simulator(memory=True, bank=False).save_pretrained(found["memory"] / "model")
    return found


def card_of(runs: dict[str, Path], last: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("worldsim.training.release.build_bank", lambda worlds, starts, more: None)
    order = ("world", "memory", "heads", "referee")
    before = {f"{name}_run": runs[name] for name in order[: order.index(last)]}
    release(runs[last] / "model", runs["codec"], out, "a test", "made up", **before)  # type: ignore[arg-type]
    assert WorldSimulator.from_pretrained(out).codec.memory is not None
    return (out / "README.md").read_text()


def test_every_stage_is_a_column_and_a_curve(runs, tmp_path, monkeypatch):
    card = card_of(runs, "heads", tmp_path / "out", monkeypatch)
    assert "| | codec | world model | memory | heads |" in card
    assert "| commit | `c1` | `c2` | `c3` | `c4` |" in card and "4 lanes of 4 steps" in card
    assert "| `free_done` | 4.2 |" in card and "| `out_4` | 3.2 |" in card and "| `psnr` | 1.2 |" in card
    assert "| heads, step | minutes | `free_reward` |" in card and "| 2 | 2.0 | 4.2 |" in card
    assert "referee" not in card
    longer = card_of(runs, "referee", tmp_path / "longer", monkeypatch)
    assert "| | codec | world model | memory | heads | referee |" in longer
    assert "32 of 400 recorded moments and 4 rollouts" in longer and "| `heads_done` | 5.2 |" in longer
    rows = [{"step": 7, "elapsed": 60.0, "probe/recorded_reward": 8.25, "probe/recorded_done": 9.0}]
    (runs["referee"] / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    true_pictures = card_of(runs, "referee", tmp_path / "true", monkeypatch)
    assert "| referee, step | minutes | `recorded_reward` | `recorded_done` |" in true_pictures
    assert "| 7 | 1.0 | 8.25 | 9 |" in true_pictures
    shorter = card_of(runs, "memory", tmp_path / "shorter", monkeypatch)
    assert "| | codec | world model | memory |\n" in shorter and "free_" not in shorter


def test_a_run_before_the_last_must_be_named(runs, tmp_path):
    with pytest.raises(ValueError, match=r"give the run of the memory before it too \(memory_run"):
        release(runs["heads"] / "model", runs["codec"], tmp_path / "out", "", "", world_run=runs["world"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=r"there was no run of a memory before it \(memory_run"):
        both = {"world_run": runs["world"], "memory_run": runs["heads"]}
        release(runs["memory"] / "model", runs["codec"], tmp_path / "out", "", "", **both)


@pytest.mark.parametrize(
    ("stage", "kind"),
    [("starter", "starter"), ("solvers", "starter"), ("revealer", "starter"), ("player", "player")],
)
def test_a_run_that_made_no_model_is_refused(runs, tmp_path, stage, kind):
    """It trained a part that lies beside another run's model."""
    card = {"config": asdict(getattr(smoke(), stage)), "commit": None, "versions": {"torch": "2"}}
    (runs["referee"] / "config.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=rf"trained the {kind} of another run's model: .* beside it \(--{kind}\)"):
        release(runs["referee"] / "model", runs["codec"], tmp_path / "out", "a test", "made up")


def test_the_card_says_what_the_window_spans_in_each_world():
    assert _spans(("DoomRooms", "DoomBasic"), 24) == "2.7 s"
    assert _spans(("DoomRooms", "Table", "Scene"), 24) == "2.7 s in Doom rooms; 4.8 s in Physics table, Toy scene"


def test_a_starter_is_taken_over_with_its_card(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("worldsim.training.release.build_bank", lambda worlds, starts, more: None)
    begun = debug_starter(WorldSimulator.from_pretrained(runs["memory"] / "model"))
    begun.save_pretrained(tmp_path / "starter", "# Made by hand\n")
    before = {"world_run": runs["world"], "starter": tmp_path / "starter"}
    released = release(runs["memory"] / "model", runs["codec"], tmp_path / "out", "", "", **before)
    found = WorldSimulator.from_pretrained(tmp_path / "out").starter
    assert found is not None and found.digest == begun.digest and released.starter is not None
    assert (tmp_path / "out" / "starter" / "README.md").read_text() == "# Made by hand\n"


def test_a_player_of_the_same_world_is_taken_over(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("worldsim.training.release.build_bank", lambda worlds, starts, more: None)
    playing = debug_simulator(memory=True, bank=False, player=True)
    playing.save_pretrained(tmp_path / "playing")
    before = {"world_run": runs["world"], "player": tmp_path / "playing"}
    released = release(runs["memory"] / "model", runs["codec"], tmp_path / "out", "", "", **before)
    found = WorldSimulator.from_pretrained(tmp_path / "out")
    assert found.digest == released.digest == playing.digest and found.config.player == playing.config.player
    assert torch.equal(found.player.seen.weight, playing.player.seen.weight)
    for other, says in (
        (debug_simulator(memory=True), "no player"),
        (debug_simulator(1, player=True), "another world"),
    ):
        other.save_pretrained(tmp_path / "other")
        with pytest.raises(ValueError, match=says):
            release(
                runs["memory"] / "model", runs["codec"], tmp_path / "none", "", "", world_run=runs["world"],
                player=tmp_path / "other",
            )  # fmt: skip
    assert not (tmp_path / "none").exists()
