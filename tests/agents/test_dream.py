"""Training and deployment with a dream: what the two places share, and the whole way on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("vizdoom")
pytest.importorskip("stable_baselines3")

from worldsim_agents.evaluate import EvaluateConfig, evaluate
from worldsim_agents.places import Observation, Place
from worldsim_agents.ppo import PPOConfig
from worldsim_agents.show import beside
from worldsim_agents.train import TrainConfig, load_agent, train

from worldsim.cli.main import main
from worldsim.model.weights import WorldSimulator

PPO = PPOConfig(batch_steps=32, minibatch=16, epochs=1)


def dream(model_folder: Path, obs: Observation = "rgb") -> Place:
    return Place(
        "worldsim/DoomBasic-v0",
        "dream",
        obs,
        stack=2,
        model=str(model_folder),
        denoising_steps=1,
        device="cpu",
    )


@pytest.mark.parametrize("obs", ["rgb", "latent"])
def test_both_places_look_the_same_to_an_agent(model_folder: Path, obs: Observation) -> None:
    place = dream(model_folder, obs)
    envs = [replace(place, kind=kind).make(2) for kind in ("dream", "truth")]
    shapes = {"rgb": (64, 64, 6), "latent": (16, 16, 16)}
    for env in envs:
        env.seed(1)
        assert env.observation_space == envs[0].observation_space and env.action_space == envs[0].action_space
        assert env.observation_space.shape == shapes[obs] and env.action_space.n == 4  # type: ignore[attr-defined]
        for _ in range(76):  # the world's own time limit is 75 steps
            observations = env.reset() if _ == 0 else env.step(np.array([0, 1]))[0]
            assert observations.shape == (2, *shapes[obs])  # type: ignore[union-attr]
            assert observations.dtype == env.observation_space.dtype  # type: ignore[union-attr]
        env.close()


def test_an_agent_of_the_dream_is_deployed_in_truth(model_folder: Path, tmp_path: Path) -> None:
    config = TrainConfig(dream(model_folder, "latent"), steps=32, num_envs=2, ppo=PPO)
    agent = load_agent(train(config, tmp_path / "a", quiet=True))
    assert agent.model_digest == WorldSimulator.from_pretrained(model_folder).digest
    short = EvaluateConfig("DoomBasic", episodes=2, constant_episodes=1, dream_episodes=2)
    row = evaluate(short, [agent], lambda _: None).rows[-1]
    assert row.policy == "PPO in the dream, latent" and row.dream_returns is not None
    assert row.returns.shape == row.dream_returns.shape == (1, 2)


def test_the_dream_beside_the_truth_begins_with_the_same_frame(model_folder: Path, tmp_path: Path) -> None:
    config = TrainConfig(dream(model_folder), steps=32, num_envs=2, ppo=PPO)
    agent = load_agent(train(config, tmp_path / "a", quiet=True))
    recordings = beside(agent, seed=3)
    assert list(recordings) == ["dream", "truth"]
    for recording in recordings.values():
        assert len(recording.rewards) <= 75 and recording.frames.shape[1:] == (64, 64, 3)
    codec = WorldSimulator.from_pretrained(model_folder)
    assert codec.codec.config.stride == 4
    np.testing.assert_array_equal(recordings["dream"].frames[0], recordings["truth"].frames[0])


def test_latents_of_another_model_are_refused(model: WorldSimulator, model_folder: Path, tmp_path: Path) -> None:
    folder = model.save_pretrained(tmp_path / "model")
    config = TrainConfig(replace(dream(folder, "latent"), kind="truth"), steps=32, num_envs=2, ppo=PPO)
    agent = load_agent(train(config, tmp_path / "a", quiet=True))
    WorldSimulator.create(model.config, seed=1, bank=model.bank).save_pretrained(folder)
    with pytest.raises(ValueError, match=f"sees latents of model {agent.model_digest}"):
        evaluate(EvaluateConfig("DoomBasic"), [agent])


@pytest.mark.slow
def test_command_line(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--world", "DoomBasic", "--steps", "1", "--model", str(model_folder), "--denoising-steps", "1"]
    assert main(["agent", "train", "--out", str(tmp_path / "a"), "--entropy", "0.003", *options]) == 0
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["place"]["kind"] == "dream" and config["model_digest"]
    assert config["ppo"]["entropy"] == 0.003
    short = ["--world", "DoomBasic", "--episodes", "1", "--constant-episodes", "1", "--dream-episodes", "1"]
    shown = ["--out", str(tmp_path / "shown"), "--video"]
    assert main(["agent", "evaluate", "--agents", str(tmp_path / "a"), *short, *shown]) == 0
    names = {path.name for path in (tmp_path / "shown").iterdir()}
    assert names == {"evaluation.json", "table.md", "dream-rgb-seed0.mp4", "dream-rgb-seed0.png"}
    assert "PPO in the dream, rgb" in capsys.readouterr().out
