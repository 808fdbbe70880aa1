"""A referee's training: what it is taught is what the engine will show it, rare steps count as often as they are."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from shades import make_episode

from worldsim.cli.train import main
from worldsim.model.debug import debug_simulator
from worldsim.model.weights import WorldSimulator
from worldsim.training import situations as module
from worldsim.training.presets import smoke
from worldsim.training.referee import RefereeTraining, balance, situations_of
from worldsim.training.situations import Situations, Watcher, rare_steps, usual_rewards

SMOKE = smoke().referee
CONFIG = replace(SMOKE, run=replace(SMOKE.run, bf16=False))


@pytest.fixture(scope="module")
def begin() -> WorldSimulator:
    return debug_simulator(memory=True, bank=False)


def episodes(count: int = 4):
    return [make_episode(seed=i, steps=14 + 3 * i, dies=i == 1) for i in range(count)]


def watcher(begin: WorldSimulator, usual: float = 0.0) -> Watcher:
    return Watcher(begin, CONFIG.referee, {"DoomRooms": usual}, torch.device("cpu"), torch.float32)


def test_rare_is_what_ends_or_pays_otherwise():
    episode = replace(make_episode(steps=6, dies=True), reward=np.array([1, 1, -9, 1, 1, 1], np.float32))
    usual = usual_rewards([episode])
    assert usual == {"DoomRooms": 1.0}
    assert rare_steps(episode, 1.0).tolist() == [False, False, True, False, False, True]


def test_recorded_moments_are_those_of_the_episode(begin):
    episode = make_episode(seed=3, steps=9, dies=True, size=64)
    found = watcher(begin).recorded(episode)
    blocks = begin.codec.encode(torch.from_numpy(episode.blocks))
    first = begin.codec.encode(torch.from_numpy(episode.first)[None, None])
    latents = torch.cat([first, blocks])
    for t in range(9):
        for i in range(2):
            assert torch.allclose(found.shown[t, i].float(), latents[max(t - i, 0)], atol=0.05)
    assert found.past[4, 0, 1:33].nonzero()[:, 0].tolist() == [i for i in range(32) if episode.keys[4] >> i & 1]
    assert torch.equal(found.past[4, 1], found.past[3, 0]) and not found.past[0, 1:].any()
    assert found.reward.tolist() == episode.reward.tolist() and found.done.tolist() == [0.0] * 8 + [1.0]
    assert not found.heard.any()


def test_a_rollout_is_read_as_the_engine_reads_it(begin):
    """What the engine would say with a referee is what that referee says of the situations."""
    episode = make_episode(seed=5, steps=9, size=64)
    judging = debug_simulator(memory=True, bank=False, referee=True)
    made = watcher(begin)
    made.simulator = judging.with_referee(judging.referee)
    blocks = []

    class Kept(module.Rollouts):
        def step(self):
            found = super().step()
            blocks.append(self.block)
            return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Rollouts", Kept)
        places = [(episode, 6), (episode, 0)]
        found = made.rolled_out(places, np.random.default_rng(0), 4, 2, 0.0)
    assert len(found) == 4 * 2 - 1 and found.heard.all()  # the first lane's episode ends after three steps
    assert judging.referee is not None
    reward, done = judging.referee(found.shown, found.past, found.context, found.said_reward, found.said_done)
    going = [(t, lane) for t in range(4) for lane in (0, 1) if not (t == 3 and lane == 0)]
    for row, (t, lane) in enumerate(going):
        assert torch.allclose(blocks[t].termination[lane], done[row].sigmoid(), atol=0.02)
        assert torch.allclose(blocks[t].reward_distribution[lane], reward[row].softmax(-1), atol=0.02)
        assert found.reward[row] == episode.reward[(6, 0)[lane] + t]


def test_half_of_the_rollouts_lead_up_to_something_rare(begin):
    calm = replace(make_episode(seed=0, steps=60), reward=np.zeros(60, np.float32))
    eventful = replace(make_episode(seed=1, steps=60), reward=np.eye(60, dtype=np.float32)[30])
    places = watcher(begin).places([calm, eventful], 40, 4, np.random.default_rng(0))
    assert len(places) == 40
    assert all(episode is eventful and 26 < t <= 30 for episode, t in places[:20])
    assert {id(episode) for episode, _ in places[20:]} == {id(calm), id(eventful)}


def made(heard: list[bool], world: list[int], rare: list[bool]) -> Situations:
    n = len(heard)
    zeros = torch.zeros(n)
    return Situations(
        zeros, zeros, zeros, zeros, zeros, torch.tensor(heard), zeros, zeros, torch.tensor(world), torch.tensor(rare)
    )


def test_drawn_and_weighed_situations_have_the_true_shares():
    rows = made([False] * 10 + [True] * 6, [1] * 8 + [2] * 2 + [1] * 6, [True] + [False] * 9 + [True] * 2 + [False] * 4)
    chance, weight = balance(rows)
    assert torch.allclose(chance.sum(), torch.ones(()))
    for cell, share in ((slice(0, 1), 1 / 8), (slice(1, 8), 1 / 8), (slice(8, 10), 1 / 4), (slice(10, 12), 1 / 4)):
        assert torch.allclose(chance[cell].sum(), torch.tensor(share)), cell
    within = chance * weight  # of a kind and world every moment counts alike
    for group, share in ((slice(0, 8), 1 / 4), (slice(8, 10), 1 / 4), (slice(10, 16), 1 / 2)):
        count = group.stop - group.start
        assert torch.allclose(within[group], torch.full((count,), share / count))


def test_it_learns_what_the_heads_do_not_know(begin, tmp_path):
    """The reward of these episodes is the action; fresh heads know nothing of it."""
    config = replace(CONFIG, optim=replace(CONFIG.optim, steps=250, batch=64, ema=0.9), rounds=3)
    found = situations_of(config, begin, episodes(), lambda: episodes(5)[4:], tmp_path / "situations")
    run = RefereeTraining(config, tmp_path, begin, *found)
    first = run._probe(0)
    assert first["reward"] == pytest.approx(first["heads_reward"], rel=1e-3)
    judged = run.run()
    probe = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert probe["probe/reward"] < 0.7 * first["heads_reward"]
    assert probe["probe/recorded_reward"] < 0.7 * first["recorded_reward"]
    loaded = WorldSimulator.from_pretrained(tmp_path / "model")
    assert loaded.digest == judged.digest != begin.digest
    assert all(torch.equal(a, b) for a, b in zip(judged.world.state_dict().values(), begin.world.state_dict().values()))


def test_a_resumed_run_equals_an_uninterrupted_one(begin, tmp_path):
    whole, part = (
        situations_of(CONFIG, begin, episodes(), lambda: episodes(1), tmp_path / name / "situations")
        for name in ("whole", "part")
    )
    one = RefereeTraining(CONFIG, tmp_path / "whole", begin, *whole)
    one.run(until=20)
    RefereeTraining(CONFIG, tmp_path / "part", begin, *part).run(until=10)
    kept = situations_of(CONFIG, begin, [], list, tmp_path / "part" / "situations")  # nothing is made again
    again = RefereeTraining(CONFIG, tmp_path / "part", begin, *kept)
    assert again.loop.resume() and again.loop.step == 10
    again.run(until=20)
    for (name, a), b in zip(one.referee.state_dict().items(), again.referee.state_dict().values()):
        assert torch.equal(a, b), name


def test_situations_of_another_model_or_none_are_refused(begin, tmp_path):
    situations_of(CONFIG, begin, episodes(2), lambda: episodes(1), tmp_path)
    with pytest.raises(ValueError, match="are of digest"):
        situations_of(CONFIG, debug_simulator(3, memory=True), [], list, tmp_path)
    with pytest.raises(ValueError, match="no episodes to make situations of"):
        situations_of(CONFIG, begin, [], list, tmp_path / "other")
    with pytest.raises(ValueError, match="name none but these"):
        situations_of(replace(CONFIG, turns=("DoomBasic",)), begin, episodes(1), list, tmp_path / "other")


@pytest.mark.slow
def test_one_command_gives_a_model_a_referee(tmp_path: Path):
    debug_simulator(memory=True, player=True).save_pretrained(tmp_path / "begin")
    options = ["--model", str(tmp_path / "begin"), "--source.worlds", "DoomBasic", "--source.max-steps", "30"]
    options += ["--source.steps", "90", "--source.held-out", "1", "--train.optim.steps", "8"]
    assert main(["referee", "--preset", "smoke", "--out", str(tmp_path / "run"), *options]) == 0
    begin, now = (WorldSimulator.from_pretrained(tmp_path / name) for name in ("begin", "run/model"))
    assert now.referee is not None and now.player is not None and now.bank is not None
    assert now.with_referee(None).digest == begin.digest != now.digest
