"""``worldsim train`` as a user runs it: live worlds to a model folder that the environment opens."""

import json
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from shades import make_episode

import worldsim  # noqa: F401
from worldsim.cli.train import codec_of, main
from worldsim.model.debug import debug_simulator
from worldsim.model.transformer import WorldModel
from worldsim.model.weights import WorldSimulator
from worldsim.training.codec import CodecTraining, without_memory
from worldsim.training.configs import CodecTrainConfig
from worldsim.training.pipeline import train_both
from worldsim.training.presets import preset
from worldsim.training.release import release

LIVE = ["--source.workers", "1", "--source.max-steps", "40", "--source.held-out", "2"]


@pytest.mark.slow
def test_one_command_trains_both_while_worlds_play_and_the_result_is_an_environment(tmp_path):
    options = ["--world.optim.steps", "10", "--codec.optim.steps", "20", *LIVE, "--source.worlds", "DoomRooms"]
    assert main(["all", "--preset", "smoke", "--out", str(tmp_path / "run"), *options]) == 0
    run = tmp_path / "run" / "world"
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1] == 10
    assert (run / "compact" / "state.json").is_file()
    codec_index = (tmp_path / "run" / "codec" / "codec" / "state.json").stat().st_mtime_ns
    assert main(["all", "--preset", "smoke", "--out", str(tmp_path / "run"), *options]) == 0  # nothing is left to do
    assert (tmp_path / "run" / "codec" / "codec" / "state.json").stat().st_mtime_ns == codec_index
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1] == 10
    simulator = release(run / "model", tmp_path / "run" / "codec", tmp_path / "shipped", "a test", "a test", starts=2)
    card = (tmp_path / "shipped" / "README.md").read_text()
    assert simulator.digest in card
    assert "| steps | 20 | 10 |" in card
    last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines() if "shuffled" in line][-1]
    row = next(line for line in card.splitlines() if line.startswith("| 10 | "))
    assert row.split(" | ")[4] == f"{last['probe/shuffled_over_true']:.4g}"
    env = gym.make("SoraWorld-v0", model=str(tmp_path / "shipped"), disable_env_checker=True)
    first, _ = env.reset(seed=0)
    again, reward, *_ = env.step(1)
    assert first.shape == again.shape == (64, 64, 3)
    assert np.isfinite(reward)
    env.close()


@pytest.mark.slow
def test_a_world_model_trains_beside_live_worlds_without_a_cache(tmp_path):
    debug_simulator().save_pretrained(tmp_path / "begin")
    options = ["--codec", str(tmp_path / "begin"), "--begin", str(tmp_path / "begin"), *LIVE]
    options += ["--source.worlds", "DoomRooms", "--train.optim.steps", "6", "--train.run.log-every", "1"]
    assert main(["world", "--preset", "smoke", "--out", str(tmp_path / "run"), *options]) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 6 and rows[-1]["probe/cached_latents"] >= 60
    begin, now = (WorldSimulator.from_pretrained(tmp_path / name) for name in ("begin", "run/model"))
    for name, tensor in begin.codec.state_dict().items():
        assert torch.allclose(now.codec.state_dict()[name], tensor, atol=1e-3)


@pytest.mark.slow
def test_both_go_on_from_a_model_whose_memory_is_left_out_and_which_had_no_gate(tmp_path):
    made = debug_simulator(memory=True)
    config = replace(made.config, world=replace(made.config.world, stays=False))
    begin = WorldSimulator.create(config)
    begin.save_pretrained(tmp_path / "begin")
    folder, few = str(tmp_path / "begin"), ["--world.optim.steps", "1", "--codec.optim.steps", "1"]
    options = ["--begin", folder, "--begin-world", folder, *few, *LIVE, "--source.worlds", "DoomRooms"]
    assert main(["all", "--preset", "smoke", "--out", str(tmp_path / "run"), *options]) == 0
    now, begin = (WorldSimulator.from_pretrained(tmp_path / name) for name in ("run/world/model", "begin"))
    assert now.codec.memory is None and now.config.world.stays
    plain = without_memory(begin.codec).state_dict()
    for name in ("encoder.down.weight", "image.weight"):
        assert torch.allclose(now.codec.state_dict()[name], plain[name], atol=0.01)
    kept = begin.world.state_dict()
    assert all(torch.allclose(now.world.state_dict()[name], kept[name], atol=0.01) for name in kept)


def test_what_is_wrong_with_a_model_to_go_on_from_is_told_before_anything_is_trained(tmp_path):
    smoke, held = preset("smoke"), [make_episode(steps=5)]
    wide = WorldModel(replace(smoke.world.world, width=64))
    with pytest.raises(ValueError, match="the model to go on from has width 64, this run has 32"):
        train_both(smoke.codec, smoke.world, iter(()), held, tmp_path, begin_world=wide)
    plain = replace(smoke.world, world=replace(smoke.world.world, stays=False))
    with pytest.raises(ValueError, match="has stays True, this run has False"):
        train_both(smoke.codec, plain, iter(()), held, tmp_path, begin_world=WorldModel(smoke.world.world))
    strange = replace(smoke.world, clips=replace(smoke.world.clips, shares={"Table": 2.0}))
    with pytest.raises(ValueError, match="shares of Table: there are episodes of"):
        train_both(smoke.codec, strange, iter(()), held, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_is_named_or_is_a_folder_which_comes_first(tmp_path, monkeypatch):
    packaged, own = WorldSimulator.from_pretrained("worlds").codec, debug_simulator(bank=False)
    monkeypatch.chdir(tmp_path)
    assert torch.equal(codec_of(Path("worlds")).latent_mean, packaged.latent_mean)
    own.save_pretrained(tmp_path / "worlds")
    assert codec_of(Path("worlds")).config == own.codec.config != packaged.config
    with pytest.raises(FileNotFoundError, match="neither a packaged model"):
        codec_of("worldz")


def test_a_codec_goes_on_from_one_with_a_memory_whatever_the_preset_says(tmp_path):
    begin = debug_simulator(memory=True).codec
    stage = CodecTraining(preset("smoke").codec, tmp_path, iter(()), [], begin=begin)
    stage.feeder.close()
    assert stage.codec.config == begin.config
    for name, tensor in begin.state_dict().items():
        assert torch.equal(stage.codec.state_dict()[name], tensor)


def test_a_pool_that_never_holds_enough_is_refused():
    with pytest.raises(ValueError, match="a pool of 10 blocks never holds as many"):
        CodecTrainConfig(pool_blocks=10, start_blocks=11)


def test_a_cache_needs_a_source_that_ends(tmp_path):
    from worldsim.training.pipeline import fill_cache
    from worldsim.training.sources import SourceConfig

    for endless in (SourceConfig(), SourceConfig(data=(tmp_path,), live=True)):
        with pytest.raises(ValueError, match="source that ends"):
            fill_cache(endless, None, tmp_path, 6)  # type: ignore[arg-type]
    for ending in (SourceConfig(data=(tmp_path,)), SourceConfig(data=(tmp_path,), live=True, steps=5)):
        ending.check_ends("a cache")


def test_unknown_presets_are_named():
    with pytest.raises(ValueError, match="smoke, cpu, gpu"):
        preset("tpu")
