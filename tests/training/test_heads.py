"""Heads trained on own rollouts: on what the engine reads them from, nothing else changes, a run resumes exactly."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from shades import make_episode, with_cut

from worldsim.cli.train import main
from worldsim.model.debug import debug_simulator
from worldsim.model.weights import WorldSimulator
from worldsim.training.heads import HeadsTraining
from worldsim.training.pipeline import train_heads
from worldsim.training.presets import smoke
from worldsim.training.sources import SourceConfig

CONFIG = smoke().heads


def training(tmp_path, count=3, **changes) -> HeadsTraining:
    config = replace(CONFIG, run=replace(CONFIG.run, bf16=False), **changes)
    episodes = [make_episode(seed=i, steps=14 + 3 * i, dies=i == 1) for i in range(count)]
    return HeadsTraining(config, tmp_path, debug_simulator(memory=True, bank=False), iter(episodes), episodes[:1])


def test_heads_are_taught_what_the_engine_reads_them_from(tmp_path):
    run = training(tmp_path)
    episode = make_episode(seed=5, steps=9, dies=True)
    rollouts = run._begin([(episode, 6), (episode, 0), (episode, 8)], np.random.default_rng(0))
    blocks, ends, step = [], [], rollouts.engine.step
    rollouts.engine.step = lambda *controls: blocks.append((controls, step(*controls))) or blocks[-1][1]
    for ahead in range(4):
        read, reward, done, going = rollouts.step()
        logits, ended = run.heads(*read)
        (keys, camera), block = blocks[-1]
        assert torch.allclose(logits[:, 0].softmax(-1), block.reward_distribution, atol=1e-5)
        assert torch.allclose(ended[:, 0].sigmoid(), block.termination, atol=1e-5)
        ends.append(ended)
        steps = [6 + ahead, ahead, 8 + ahead]
        assert going.tolist() == [t < 9 for t in steps]
        for lane, t in enumerate(steps):
            if t < 9:
                assert reward[lane] == episode.reward[t] and done[lane] == episode.terminated[t]
                assert camera[lane].tolist() == episode.camera[t].tolist()
                assert sum(int(bit) << i for i, bit in enumerate(keys[lane])) == episode.keys[t]
    # and it is not what they were read from a step before
    assert all((a - b).abs().max() > 1e-3 for a, b in pairwise(ends))


def test_lanes_are_of_the_worlds_by_their_shares(tmp_path, monkeypatch):
    config = replace(CONFIG, run=replace(CONFIG.run, bf16=False), shares={"DoomBasic": 200.0})
    config = replace(config, optim=replace(config.optim, batch=40))
    episodes = [make_episode(seed=0, steps=14), replace(make_episode(seed=1, steps=14), world="DoomBasic")]
    begin = debug_simulator(memory=True, bank=False)
    run = HeadsTraining(config, tmp_path, begin, iter(episodes), episodes)
    begun = []
    monkeypatch.setattr(run, "_begin", lambda places, rng: begun.extend(places) or Stopped())
    monkeypatch.setattr(run, "_losses", lambda rollouts: (torch.zeros(()), torch.zeros(())))
    run._loss(0)
    assert len(begun) == 40 and sum(episode.world == "DoomBasic" for episode, _ in begun) >= 37
    with pytest.raises(ValueError, match="shares of Table: there are episodes of DoomRooms only"):
        HeadsTraining(replace(config, shares={"Table": 2.0}), tmp_path / "other", begin, iter(episodes[:1]), episodes)


class Stopped:
    def close(self) -> None:
        """Rollouts of which none is made."""


def test_rollouts_begin_and_end_within_a_shot(tmp_path):
    config = replace(CONFIG, run=replace(CONFIG.run, bf16=False))
    episode = with_cut(make_episode(steps=20), 8)
    run = HeadsTraining(config, tmp_path, debug_simulator(memory=True, bank=False), iter([episode]), [episode])
    assert {len(shot) for places in run.starts.values() for shot, _ in places} == {8, 11}
    assert [len(shot) for shot in run.held_out] == [8, 11]
    assert not any(shot.cuts.any() for places in run.starts.values() for shot, _ in places)


def test_rollouts_of_ended_episodes_teach_nothing(tmp_path):
    run = training(tmp_path)
    episode = make_episode(seed=5, steps=9)
    generator = np.random.default_rng(0)
    both = run._begin([(episode, 8), (episode, 2)], generator)
    run._losses(both)
    pair = run._losses(both)
    assert all(torch.isfinite(loss) for loss in pair)
    both.places = [(episode, 9), (episode, 9)]
    assert [float(loss) for loss in run._losses(both)] == [0, 0]


def test_nothing_but_the_heads_is_trained(tmp_path):
    run = training(tmp_path)
    before = {name: value.clone() for name, value in run.begin.world.state_dict().items()}
    codec = {name: value.clone() for name, value in run.begin.codec.state_dict().items()}
    after = run.run(until=8)
    changed = {name for name, value in after.world.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("heads.") for name in changed)
    assert all(torch.equal(value, codec[name]) for name, value in after.codec.state_dict().items())


def test_a_referee_that_stands_alone_is_kept_and_one_that_adds_to_the_heads_is_not(tmp_path):
    run = training(tmp_path)
    for alone in (True, False):
        begin = debug_simulator(memory=True, bank=False, referee=True)
        config = replace(begin.referee.config, alone=alone)
        begin.referee.config = config
        run.begin = begin.with_referee(begin.referee)
        found = run._simulator().referee
        assert (found is begin.referee) if alone else (found is None)


def test_a_starter_is_kept(tmp_path):
    run = training(tmp_path)
    run.begin = debug_simulator(memory=True, bank=False, starter=True)
    assert run._simulator().starter is run.begin.starter is not None


def test_heads_learn_what_a_rollout_pays(tmp_path):
    """The reward of these episodes is the action, which the heads are told; the pictures are the model's own noise."""
    optim = replace(CONFIG.optim, steps=150, batch=16, lr=3e-3, ema=0.5)
    run = training(tmp_path, count=4, optim=optim)
    first = run._probe(0)
    run.run()
    assert run._probe(150)["free_reward"] < 0.7 * first["free_reward"]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = training(tmp_path / "whole")
    whole.run(until=16)
    part = training(tmp_path / "part")
    part.run(until=8)
    again = training(tmp_path / "part")
    assert again.loop.resume() and again.loop.step == 8
    again.run(until=16)
    for (name, a), b in zip(whole.heads.state_dict().items(), again.heads.state_dict().values()):
        assert torch.equal(a, b), name
    probes = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert {"probe/free_reward", "probe/free_done"} <= set(probes[-1])
    exported = WorldSimulator.from_pretrained(tmp_path / "whole" / "model")
    assert exported.config.hallucination_reference == pytest.approx(probes[-1]["probe/hallucination"], rel=1e-4)
    assert exported.config.hallucination_reference > 0


def test_a_source_without_an_end_or_without_episodes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no episodes to start from"):
        training(tmp_path, count=0)
    with pytest.raises(ValueError, match="a source that ends"):
        train_heads(CONFIG, SourceConfig(), debug_simulator(), tmp_path)


@pytest.mark.slow
def test_one_command_trains_heads_on_rollouts_in_true_worlds(tmp_path):
    debug_simulator(memory=True).save_pretrained(tmp_path / "begin")
    options = ["--model", str(tmp_path / "begin"), "--source.worlds", "DoomRooms", "--source.max-steps", "30"]
    options += ["--source.steps", "90", "--source.held-out", "1", "--train.optim.steps", "8"]
    assert main(["heads", "--preset", "smoke", "--out", str(tmp_path / "run"), *options]) == 0
    begin, now = (WorldSimulator.from_pretrained(tmp_path / name) for name in ("begin", "run/model"))
    frames = torch.from_numpy(make_episode(size=64).blocks[:2])
    assert torch.allclose(now.codec.encode(frames), begin.codec.encode(frames), atol=1e-2)
    assert now.digest != begin.digest and now.bank is not None
