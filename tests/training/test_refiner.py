"""Training of the refiner: it corrects a transformer that foresees nothing, and nothing else changes."""

import json
from dataclasses import replace

import pytest
import torch
from shades import make_episode, with_cut

from worldsim.cli.train import main
from worldsim.model.debug import debug_simulator
from worldsim.model.transformer import tiny_config
from worldsim.model.weights import WorldSimulator
from worldsim.training.configs import RefinerTrainConfig
from worldsim.training.pipeline import train_refiner
from worldsim.training.presets import smoke
from worldsim.training.refiner import Foreseen, RefinerTraining, foreseen_of, without_refiner
from worldsim.training.sources import SourceConfig

CONFIG = smoke().refiner
CONFIG = replace(CONFIG, run=replace(CONFIG.run, bf16=False, device="cpu"))


def begin(refiner: bool = False) -> WorldSimulator:
    return debug_simulator(2, world=tiny_config() if refiner else replace(tiny_config(), refiner=None), memory=True)


def training(out, model: WorldSimulator, **changes) -> RefinerTraining:
    config = replace(CONFIG, **changes)
    made = foreseen_of(config, model, map(seeded, range(6)), lambda: [seeded(50)], out / "foreseen")
    return RefinerTraining(config, out, model, *made)


def seeded(seed: int):
    return make_episode(30, seed)


def test_latents_before_are_those_of_the_same_shot(tmp_path) -> None:
    episode = with_cut(make_episode(20, 3), 8)
    moments, _ = foreseen_of(CONFIG, begin(), [episode], lambda: [episode], tmp_path)
    assert moments.before.tolist() == [*range(9), *range(12)]  # the cut's own step belongs to no shot
    rows = moments.learnable
    assert rows.tolist() == [*range(1, 9), *range(10, 21)]
    past = moments.past(rows)
    assert torch.equal(past[:, 0], moments.true[rows - 1].float())
    assert torch.equal(past[1:8, 1], moments.true[rows[1:8] - 2].float())
    assert not past[[0, 8], 1].any()


def test_it_learns_what_the_transformer_does_not_know_and_changes_nothing_else(tmp_path) -> None:
    model = begin()
    optim = replace(CONFIG.optim, steps=150, batch=32, lr=5e-3)
    made = training(tmp_path, model, optim=optim).run()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    probes = [row for row in rows if "probe/over_foreseen" in row]
    assert probes[-1]["probe/over_foreseen"] < 0.5  # the shade of a block is told by its action alone
    assert probes[-1]["probe/over_foreseen_of_DoomRooms"] == probes[-1]["probe/over_foreseen"]
    kept = made.world.state_dict()
    for name, value in model.world.state_dict().items():
        assert torch.equal(kept[name], value), name
    assert made.config.world.refiner == CONFIG.refiner and made.digest != model.digest
    assert WorldSimulator.from_pretrained(tmp_path / "model").config == made.config


def test_it_goes_on_with_the_refiner_of_a_model_that_has_one(tmp_path) -> None:
    model = begin(refiner=True)
    run = training(tmp_path / "same", model)
    assert all(map(torch.equal, run.refiner.state_dict().values(), model.world.refiner.state_dict().values()))  # type: ignore[union-attr]
    other = training(tmp_path / "other", model, refiner=replace(CONFIG.refiner, width=24))
    assert other.refiner.out.weight.shape[1] == 24 * 9 and not other.refiner.out.weight.any()
    plain = without_refiner(model.world)
    assert torch.equal(plain.patch_out.weight, model.world.patch_out.weight) and plain.refiner is None


def test_a_run_that_goes_on_is_as_one_that_was_never_interrupted(tmp_path) -> None:
    whole, halves = training(tmp_path / "whole", begin()), training(tmp_path / "halves", begin())
    whole.loop.train(whole._loss, whole._probe)
    halves.loop.train(halves._loss, halves._probe, until=17)
    again = training(tmp_path / "halves", begin())
    assert again.loop.resume() and again.loop.step == 17
    again.loop.train(again._loss, again._probe)
    for name, value in whole.refiner.state_dict().items():
        assert torch.equal(value, again.refiner.state_dict()[name]), name


def test_moments_of_another_model_and_none_at_all_are_refused(tmp_path) -> None:
    foreseen_of(CONFIG, begin(), [seeded(0)], lambda: [seeded(1)], tmp_path)
    with pytest.raises(ValueError, match="digest"):
        foreseen_of(CONFIG, debug_simulator(5), [seeded(0)], lambda: [seeded(1)], tmp_path)
    with pytest.raises(ValueError, match="there are no episodes to learn from"):
        foreseen_of(CONFIG, begin(), [], lambda: [seeded(1)], tmp_path / "none")
    with pytest.raises(ValueError, match="there are no episodes held out"):
        foreseen_of(CONFIG, begin(), [seeded(0)], list, tmp_path / "blind")
    with pytest.raises(ValueError, match="digest"):  # what was made before that failed is kept, and is of its model
        foreseen_of(CONFIG, debug_simulator(5), [seeded(0)], lambda: [seeded(1)], tmp_path / "blind")
    kept, _ = foreseen_of(CONFIG, begin(), [], lambda: [seeded(1)], tmp_path / "blind")
    assert len(kept) == len(seeded(0)) + 1
    with pytest.raises(ValueError, match="frames of several sizes"):
        foreseen_of(CONFIG, begin(), [seeded(0), make_episode(9, size=48)], list, tmp_path / "sizes")
    with pytest.raises(ValueError, match="shares of Table: there are episodes of DoomRooms only"):
        training(tmp_path / "shares", begin(), shares={"Table": 2.0})
    with pytest.raises(ValueError, match="own 0 to 1"):
        RefinerTrainConfig(own=1.5)
    with pytest.raises(ValueError, match="a refiner needs a source that ends"):
        train_refiner(CONFIG, SourceConfig(), begin(), tmp_path)


def test_one_command_gives_a_model_a_refiner(tmp_path) -> None:
    folder = begin().save_pretrained(tmp_path / "begin")
    main(
        ["refiner", "--preset", "smoke", "--model", str(folder), "--out", str(tmp_path / "run"), "--train.optim.steps",
         "4", "--source.worlds", "DoomBasic", "--source.steps", "60", "--source.max-steps", "20", "--source.held-out",
         "1", "--source.workers", "0"]
    )  # fmt: skip
    made = WorldSimulator.from_pretrained(tmp_path / "run" / "model")
    assert made.config.world.refiner == CONFIG.refiner
    assert len(Foreseen.load(tmp_path / "run" / "foreseen" / "moments.safetensors", {})) >= 60
