"""Evaluation: the same episodes for everybody, no preference for short ones, and a table that says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("vizdoom")
pytest.importorskip("stable_baselines3")

from stable_baselines3.common.vec_env import DummyVecEnv
from worldsim_agents.evaluate import (
    EvaluateConfig,
    Evaluation,
    Row,
    always,
    at_random,
    evaluate,
    play,
    write_evaluation,
)
from worldsim_agents.places import Place
from worldsim_agents.ppo import PPOConfig
from worldsim_agents.show import Recording, record, write_recordings
from worldsim_agents.train import Agent, TrainConfig, load_agent, train

from worldsim.cli.main import main


class Walk(gym.Env):
    """An episode of a drawn length; each step pays 1 under action 1, and 0 under action 0."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = int(self.np_random.choice([2, 40]))
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> Any:
        self.left -= 1
        return np.zeros(1, np.float32), float(action), self.left == 0, False, {}


def test_play_gives_every_policy_the_same_episodes_without_bias() -> None:
    env = DummyVecEnv([Walk] * 4)
    returns, lengths = play(env, always(1), 200, seed=5)
    zeros, same_lengths = play(env, always(0), 200, seed=5)
    np.testing.assert_array_equal(lengths, same_lengths)
    np.testing.assert_array_equal(returns, lengths)
    assert not zeros.any()
    assert set(lengths) == {2, 40} and abs((lengths == 40).mean() - 0.5) < 0.1, "short ones are not preferred"
    singles = []
    lane = Walk()
    lane.reset(seed=5)
    for _ in range(50):
        singles.append(lane.left)
        lane.reset()
    assert lengths[::4].tolist() == singles, "lane i plays the episodes i, i + N, ..."
    with pytest.raises(ValueError, match="4 lanes do not divide 6 episodes"):
        play(env, always(0), 6, seed=0)


def test_at_random_is_uniform_and_seeded() -> None:
    draw, again = at_random(4, 1), at_random(4, 1)
    drawn = draw(np.zeros((4000, 1)))
    np.testing.assert_array_equal(drawn, again(np.zeros((4000, 1))))
    np.testing.assert_allclose(np.bincount(drawn) / 4000, 0.25, atol=0.03)


def row(policy: str, value: float, trained_in: str = "", seeds: tuple[int, ...] = ()) -> Row:
    returns = np.full((max(1, len(seeds)), 10), value)
    return Row(policy, trained_in, "rgb", 1000, seeds, returns, returns, folders=tuple(map(str, seeds)))


def test_table_and_json_hold_the_comparisons(tmp_path: Path) -> None:
    rows = (
        row("random", 10), row("best constant", 20), row("PPO in the dream, rgb", 40, "dream", (0, 1)),
        row("PPO in truth, rgb", 70, "truth", (0,)),
    )  # fmt: skip
    evaluation = Evaluation(EvaluateConfig("worldsim/DoomBasic-v0"), rows)
    write_evaluation(evaluation, tmp_path)
    content = json.loads((tmp_path / "evaluation.json").read_text())
    dream = content["rows"][2]
    assert dream["estimates"]["minus random"]["value"] == 30
    assert dream["estimates"]["minus best constant"]["low"] == 20
    assert dream["estimates"]["transfer"]["value"] == pytest.approx(0.5)
    assert dream["seed_means"] == [40, 40] and content["schema_version"] == 1
    assert content["rows"][3]["estimates"]["transfer"] is None
    table = (tmp_path / "table.md").read_text().splitlines()
    assert len(table) == 6 and len({line.count("|") for line in table}) == 1
    assert "0.50 [0.50, 0.50]" in table[4] and "30.0 [30.0, 30.0]" in table[4]


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Agent]]:
    folder = tmp_path_factory.mktemp("agents")
    ppo = PPOConfig(batch_steps=64, minibatch=32, epochs=1)
    config = TrainConfig(Place("worldsim/DoomBasic-v0"), steps=64, num_envs=2, ppo=ppo)
    yield [load_agent(train(replace(config, seed=s), folder / str(s), quiet=True)) for s in (0, 1)]


SHORT = EvaluateConfig("worldsim/DoomBasic-v0", episodes=4, constant_episodes=2)


def test_agents_are_deployed_beside_the_baselines(agents: list[Agent]) -> None:
    said: list[str] = []
    first = evaluate(SHORT, agents, said.append)
    assert [r.policy for r in first.rows] == ["random", "best constant", "PPO in truth, rgb"]
    assert first.rows[2].seeds == (0, 1) and first.rows[2].returns.shape == (2, 4)
    assert set(first.constants) == {"noop", "strafe_left", "strafe_right", "attack"}
    assert first.constants["noop"] == first.constants["strafe_left"] == -300 != first.constants["attack"]
    assert (first.rows[2].lengths <= 75).all() and said[-1].startswith("PPO in truth")
    again = evaluate(SHORT, agents, said.append)
    for a, b in zip(first.rows, again.rows):
        np.testing.assert_array_equal(a.returns, b.returns)


def test_an_agent_of_another_world_is_refused(agents: list[Agent]) -> None:
    with pytest.raises(ValueError, match=r"was trained in worldsim/DoomBasic-v0, not in DoomTakeCover"):
        evaluate(replace(SHORT, world="DoomTakeCover"), agents)


def test_recording_leaves_out_padding_and_is_shown(tmp_path: Path) -> None:
    env = Place("worldsim/DoomBasic-v0").make(1)
    recording = record(env, always(1), 4)
    assert recording.frames.shape == (1 + 75 * 4, 64, 64, 3) and recording.rewards.sum() == -300
    shot = next(r for r in (record(env, at_random(4, s), s) for s in range(9)) if len(r.rewards) < 75)
    # the last block ends with the tic that killed the monster
    assert 4 * (len(shot.rewards) - 1) + 1 < len(shot.frames) <= 4 * len(shot.rewards) + 1
    env.close()
    short = Recording(recording.frames[:60], recording.rewards[:15])
    paths = write_recordings({"dream": short, "truth": shot}, tmp_path / "agent", 35.0, "dream")
    assert [p.name for p in paths] == ["agent.mp4", "agent.png"] and all(p.stat().st_size > 1000 for p in paths)


def test_command_line(tmp_path: Path, agents: list[Agent], capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(agent.folder) for agent in agents]
    options = ["--world", "DoomBasic", "--episodes", "2", "--constant-episodes", "1", "--out", str(tmp_path)]
    assert main(["agent", "evaluate", "--agents", *folders, *options]) == 0
    assert "| PPO in truth, rgb | 64 |" in capsys.readouterr().out
    assert (tmp_path / "evaluation.json").exists()
    assert main(["agent", "train", "--in", "truth", "--world", "DoomNowhere", "--out", str(tmp_path / "a")]) == 2
    assert "unknown world 'DoomNowhere'" in capsys.readouterr().err
    assert main(["agent", "train", "--in", "truth", "--entropy", "-1", "--out", str(tmp_path / "a")]) == 2
    assert "entropy=-1.0" in capsys.readouterr().err
    assert main(["agent", "evaluate", "--agents", str(tmp_path), "--world", "DoomBasic"]) == 2
    assert "not the folder of an agent" in capsys.readouterr().err
    assert main(["agent", "evaluate", "--agents", folders[0], "--video"]) == 2
    assert "--out" in capsys.readouterr().err
