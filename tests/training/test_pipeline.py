"""``worldsim train`` as a user runs it: live worlds to a model folder that the environment opens."""

import json

import gymnasium as gym
import numpy as np
import pytest

import worldsim  # noqa: F401
from worldsim.cli.train import main
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


def test_a_cache_needs_a_source_that_ends(tmp_path):
    from worldsim.training.pipeline import fill_cache
    from worldsim.training.sources import SourceConfig

    with pytest.raises(ValueError, match="source that ends"):
        fill_cache(SourceConfig(), None, tmp_path, 6)  # type: ignore[arg-type]


def test_unknown_presets_are_named():
    from worldsim.training.presets import preset

    with pytest.raises(ValueError, match="smoke, cpu, gpu"):
        preset("tpu")
