"""An agent's run: what is written, what is read back, and that learning happens at all."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("vizdoom")
pytest.importorskip("stable_baselines3")

from worldsim_agents.places import Place
from worldsim_agents.ppo import PPOConfig
from worldsim_agents.train import TrainConfig, load_agent, train

BASIC = Place("worldsim/DoomBasic-v0")
TINY = TrainConfig(BASIC, seed=3, steps=128, num_envs=2, ppo=PPOConfig(batch_steps=64, minibatch=32, epochs=1))


def test_a_run_is_written_read_back_and_repeats(tmp_path: Path) -> None:
    first = load_agent(train(TINY, tmp_path / "a", quiet=True))
    again = load_agent(train(TINY, tmp_path / "b", quiet=True))
    assert first.steps_done == 128 and first.config.seed == 3 and first.model_digest is None
    assert first.config.place.stack == TINY.ppo.stack and first.config.ppo == TINY.ppo
    frames = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 12), np.uint8)
    np.testing.assert_array_equal(first.act(frames, True), again.act(frames, True))
    for (name, a), b in zip(first.ppo.policy.state_dict().items(), again.ppo.policy.state_dict().values()):
        assert a.equal(b), f"{name}: equal seeds give equal weights"
    lines = [json.loads(line) for line in (tmp_path / "a" / "progress.jsonl").read_text().splitlines()]
    assert [line["time/total_timesteps"] for line in lines] == [64, 128]
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"config.json", "policy.zip", "progress.jsonl"}


def test_the_lanes_of_other_seeds_meet_other_episodes() -> None:
    env = BASIC.make(2)
    maps = set()
    for seed in (0, 1):
        env.seed(seed * 10_000)
        env.reset()
        maps |= set(env.get_attr("map_seed"))
    env.close()
    assert len(maps) == 4


def test_an_interrupted_run_keeps_what_it_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stable_baselines3 import PPO

    learn_update = PPO.train

    def interrupted(self: PPO) -> None:
        learn_update(self)
        if self.num_timesteps >= 128:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(PPO, "train", interrupted)
    long = TrainConfig(BASIC, steps=10_000_000, num_envs=2, ppo=TINY.ppo)
    agent = load_agent(train(long, tmp_path / "a", quiet=True))
    assert 128 <= agent.steps_done < 200


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 lanes do not divide the 64 steps"):
        train(TrainConfig(BASIC, num_envs=3, ppo=TINY.ppo), tmp_path / "a")
    with pytest.raises(ValueError, match="unknown world"):
        train(TrainConfig(Place("DoomNowhere")), tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="no model 'nowhere'"):
        train(TrainConfig(Place("DoomBasic", "dream", model="nowhere")), tmp_path / "a")
    assert not (tmp_path / "a").exists(), "nothing is written before the run can start"
    with pytest.raises(FileNotFoundError, match="not the folder of an agent"):
        load_agent(tmp_path)
    (tmp_path / "policy.zip").touch()
    with pytest.raises(ValueError, match="already holds an agent"):
        train(TINY, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"format_version": 99}))
    with pytest.raises(ValueError, match="format version 99"):
        load_agent(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)  # 16 thousand true steps, on a busy machine
def test_ppo_learns_basic_in_truth(tmp_path: Path) -> None:
    """After 16 thousand steps the monster is usually shot; random earns about -190, noop -300. In truth little
    entropy is enough, and learns sooner."""
    train(TrainConfig(BASIC, steps=16_384, ppo=PPOConfig(entropy=0.003)), tmp_path / "a", quiet=True)
    last = json.loads((tmp_path / "a" / "progress.jsonl").read_text().splitlines()[-1])
    assert last["rollout/ep_rew_mean"] > -50
