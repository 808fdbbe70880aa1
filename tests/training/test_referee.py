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
from worldsim.training.situations import Situations, Watcher, outcomes, places_before

SMOKE = smoke().referee
CONFIG = replace(SMOKE, run=replace(SMOKE.run, bf16=False))


@pytest.fixture(scope="module")
def begin() -> WorldSimulator:
    return debug_simulator(memory=True, bank=False)


def episodes(count: int = 4):
    return [make_episode(seed=i, steps=14 + 3 * i, dies=i == 1) for i in range(count)]


def watcher(begin: WorldSimulator) -> Watcher:
    return Watcher(begin, CONFIG.referee, torch.device("cpu"), torch.float32)


def test_outcomes_tell_what_ends_and_rewards_of_other_size():
    episode = replace(make_episode(steps=7, dies=True), reward=np.array([-4, -9, 99, 101, -4, 0, -4], np.float32))
    usual, miss, hit, better, again, nothing, end = outcomes(episode).tolist()
    assert usual == again and hit == better and len({usual, miss, hit, nothing, end}) == 5


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


def test_half_of_the_rollouts_lead_up_to_something_rare_each_kind_as_often():
    calm = replace(make_episode(seed=0, steps=60), reward=np.zeros(60, np.float32))
    eventful = replace(make_episode(seed=1, steps=60), reward=100 * np.eye(60, dtype=np.float32)[30])
    misses = replace(make_episode(seed=2, steps=60), reward=np.where(np.arange(60) % 3, 0, -9).astype(np.float32))
    places = places_before([calm, eventful, misses], 40, 4, np.random.default_rng(0))
    assert len(places) == 40
    assert [episode for episode, _ in places[:20]] == [misses, eventful] * 10
    assert all(26 < t <= 30 for episode, t in places[:20] if episode is eventful)
    assert {id(episode) for episode, _ in places[20:]} == {id(calm), id(eventful), id(misses)}
    assert all(episode is calm for episode, _ in places_before([calm], 6, 4, np.random.default_rng(0)))


def made(heard: list[bool], world: list[int], outcome: list[int]) -> Situations:
    zeros = torch.zeros(len(heard))
    columns = dict.fromkeys(("shown", "past", "context", "said_reward", "said_done", "reward", "done"), zeros)
    return Situations(**columns, heard=torch.tensor(heard), world=torch.tensor(world), outcome=torch.tensor(outcome))


def test_drawn_and_weighed_situations_have_the_true_shares():
    rows = made([False] * 19 + [True] * 6, [1] * 17 + [2] * 2 + [1] * 6, [5] + [-1] * 16 + [-1] * 2 + [5] * 3 + [7] * 3)
    chance, weight = balance(rows, {1: 3.0})
    assert torch.allclose(chance.sum(), torch.ones(()))
    cells = {(0, 1): 3 / 16, (1, 17): 3 / 16, (17, 19): 1 / 8, (19, 22): 1 / 4, (22, 25): 1 / 4}
    for (start, stop), share in cells.items():
        assert torch.allclose(chance[start:stop].sum(), torch.tensor(share)), (start, stop)
    within = chance * weight  # of a kind and world every moment counts alike
    for (start, stop), share in {(0, 17): 3 / 8, (17, 19): 1 / 8, (19, 25): 1 / 2}.items():
        assert torch.allclose(within[start:stop], torch.full((stop - start,), share / (stop - start)))


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


def test_one_that_is_alone_learns_from_true_pictures_without_rollouts(begin, tmp_path):
    """It never hears the heads, neither in its loss nor in its probes; without rollouts none is probed."""
    alone = replace(CONFIG, rounds=0, referee=replace(CONFIG.referee, alone=True))
    found = situations_of(alone, begin, episodes(), lambda: episodes(1), tmp_path / "situations")
    run = RefereeTraining(alone, tmp_path, begin, *found)
    assert set(run._probe(0)) == {"recorded_reward", "recorded_done"}
    judged = run.run(until=2)
    assert judged.referee is not None and judged.referee.config.alone
    rollouts = replace(alone, rounds=1)
    found = situations_of(rollouts, begin, episodes(), lambda: episodes(1), tmp_path / "others")
    heard = RefereeTraining(rollouts, tmp_path / "heard", begin, *found)
    said = heard._probe(0)
    said_reward = heard.held_out.said_reward
    heard.held_out = replace(heard.held_out, said_reward=said_reward + 3 * torch.randn(said_reward.shape[1]))
    changed = heard._probe(0)
    assert changed["reward"] == said["reward"] and changed["heads_reward"] != said["heads_reward"]


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
    with pytest.raises(ValueError, match="no training episodes to make situations of"):
        situations_of(CONFIG, begin, [], lambda: episodes(1), tmp_path / "other")
    with pytest.raises(ValueError, match="no held-out episodes"):
        situations_of(CONFIG, begin, episodes(1), list, tmp_path / "other")
    with pytest.raises(ValueError, match="name none but these"):
        situations_of(
            replace(CONFIG, turns=("DoomBasic",)), begin, episodes(1), lambda: episodes(1), tmp_path / "other"
        )
    elsewhere = replace(CONFIG, referee=replace(CONFIG.referee, worlds=("DoomBasic",)))
    with pytest.raises(ValueError, match=r"were made|are of"):
        situations_of(elsewhere, begin, [], list, tmp_path)
    with pytest.raises(ValueError, match="no training episodes of DoomBasic"):
        situations_of(elsewhere, begin, episodes(1), lambda: episodes(1), tmp_path / "other")
    sizes = [make_episode(steps=9, size=64), make_episode(steps=9, size=32)]
    with pytest.raises(ValueError, match="one size at a time"):
        situations_of(CONFIG, begin, sizes, lambda: episodes(1), tmp_path / "sizes")
    with pytest.raises(ValueError, match="unknown world 'Doom'"):
        replace(CONFIG, shares={"Doom": 2.0})
    for wrong in ({"shares": {"DoomBasic": 0.0}}, {"weighed_from": 0.0}, {"unheard": 2.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(CONFIG, **wrong)


@pytest.mark.slow
def test_one_command_gives_a_model_a_referee(tmp_path: Path):
    debug_simulator(memory=True, player=True).save_pretrained(tmp_path / "begin")
    options = ["--model", str(tmp_path / "begin"), "--source.worlds", "DoomBasic", "--source.max-steps", "30"]
    options += ["--source.steps", "90", "--source.held-out", "1", "--train.optim.steps", "8"]
    assert main(["referee", "--preset", "smoke", "--out", str(tmp_path / "run"), *options]) == 0
    begin, now = (WorldSimulator.from_pretrained(tmp_path / name) for name in ("begin", "run/model"))
    assert now.referee is not None and now.player is not None and now.bank is not None
    assert now.with_referee(None).digest == begin.digest != now.digest
