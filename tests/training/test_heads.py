"""Heads trained on own rollouts: these are the engine's, nothing but the heads changes, a run resumes exactly."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from shades import make_episode

from worldsim.actions import multi_hot
from worldsim.captions.grammar import prompt_text, scene_caption, view_caption
from worldsim.cli.train import main
from worldsim.engine import RolloutEngine
from worldsim.model.debug import debug_simulator
from worldsim.model.memory import smaller
from worldsim.model.transformer import Prediction
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import LaneStart, LaneText
from worldsim.recording.facts_json import read_facts
from worldsim.training.heads import HeadsTraining
from worldsim.training.pipeline import train_heads
from worldsim.training.presets import smoke
from worldsim.training.sources import SourceConfig
from worldsim.worlds import WORLDS

CONFIG = smoke().heads


def quiet_simulator() -> WorldSimulator:
    """A model with a memory in which nothing is random."""
    made = debug_simulator(memory=True, bank=False)
    config = replace(made.config, context_noise=0.0, temperature=0.0, latent_low=(), latent_high=())
    simulator = WorldSimulator.create(config)
    simulator.codec.load_state_dict(made.codec.state_dict())
    simulator.world.load_state_dict(made.world.state_dict())
    return simulator


def training(tmp_path, simulator=None, count=3, **changes) -> HeadsTraining:
    config = replace(CONFIG, run=replace(CONFIG.run, bf16=False), **changes)
    episodes = [make_episode(seed=i, steps=14 + 3 * i, dies=i == 1) for i in range(count)]
    return HeadsTraining(config, tmp_path, simulator or quiet_simulator(), iter(episodes), episodes[:1])


@pytest.mark.parametrize("prefix", [1, 3])
def test_its_rollouts_are_those_of_the_engine(tmp_path, prefix):
    simulator = quiet_simulator()
    run = training(tmp_path, simulator, drop_text=0.0)
    rows = torch.tensor([4, 17, 20, 33])  # near a reset too, and near an end
    lanes = run._begin_lanes(run.moments, rows, prefix)
    episodes = [make_episode(seed=i, steps=14 + 3 * i, dies=i == 1) for i in range(3)]
    spec, starts, plans = WORLDS["DoomRooms"], [], []
    for row in lanes.rows.tolist():
        episode = episodes[int(run.moments.episode.rows[row])]
        t = int(run.moments.before.rows[row])
        known = min(prefix - 1, t)
        scene, view, _ = read_facts(episode.facts[t])
        text = LaneText(prompt_text(spec, scene_caption(scene, "medium")), view_caption(view, "medium"), "")
        blocks = episode.blocks[t - known : t].reshape(-1, 32, 32, 3)
        frames = np.concatenate([episode.observations[t - known][None], blocks])
        starts.append(LaneStart(spec, 0, text, frames, episode.actions[t - known : t].astype(np.int64)))
        plans.append((episode, t))
    engine = RolloutEngine(simulator, len(starts), "cpu", frame_size=(32, 32), dtype=torch.float32)
    engine.begin(range(len(starts)), starts)
    for ahead in range(4):
        with torch.no_grad():
            run._roll(lanes)
        going = [t + ahead < len(episode) for episode, t in plans]
        acted = [(e, min(t + ahead, len(e) - 1)) for e, t in plans]
        keys = multi_hot(np.array([e.keys[t] for e, t in acted], np.uint32))
        block = engine.step(torch.from_numpy(keys), torch.from_numpy(np.stack([e.camera[t] for e, t in acted])))
        ours = (smaller(lanes.canvas).permute(0, 2, 3, 1) + 1) * 127.5
        difference = (ours - block.frames[:, -1].float()).abs()[torch.tensor(going)]
        assert any(going) and ours[torch.tensor(going)].std() > 3
        assert (difference > 1).float().mean() < 2e-3  # the engine's are rounded; at the rim a last bit decides


def test_nothing_but_the_heads_is_trained(tmp_path):
    run = training(tmp_path)
    before = {name: value.clone() for name, value in run._simulator().world.state_dict().items()}
    codec = {name: value.clone() for name, value in run.codec.state_dict().items()}
    after = run.run(until=8)
    changed = {name for name, value in after.world.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("heads.") for name in changed)
    assert all(torch.equal(value, codec[name]) for name, value in after.codec.state_dict().items())


def test_heads_learn_what_a_rollout_pays(tmp_path):
    """The reward of these episodes is the action, which the heads are told; the pictures are the model's own noise."""
    optim = replace(CONFIG.optim, steps=150, batch=16, lr=3e-3, ema=0.5)
    run = training(tmp_path, count=4, optim=optim)
    first = run._probe(0)
    run.run()
    assert run._probe(150)["free_reward"] < 0.7 * first["free_reward"]


def test_lanes_stand_still_where_their_episode_has_ended(tmp_path):
    run = training(tmp_path, count=1, horizon=12)
    last = len(run.moments) - 1
    lanes = run._begin_lanes(run.moments, torch.tensor([last - 1, 3, last]), 1)
    _, rows, going = run._roll(lanes)
    assert rows.tolist() == [last, 4, last] and going.tolist() == [True, True, False]
    prediction, rows, going = run._roll(lanes)
    assert rows.tolist() == [last, 5, last] and going.tolist() == [False, True, False]
    reward, _ = run._losses(run.moments, prediction, rows, going)
    alone, _ = run._losses(run.moments, replace_rows(prediction, 1), rows[1:2], going[1:2])
    assert torch.allclose(reward, alone)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = training(tmp_path / "whole")
    whole.run(until=16)
    part = training(tmp_path / "part")
    part.run(until=8)
    again = training(tmp_path / "part")
    assert again.loop.resume() and again.loop.step == 8
    again.run(until=16)
    for (name, a), b in zip(whole.loop.model.state_dict().items(), again.loop.model.state_dict().values()):
        assert torch.equal(a, b), name
    probes = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert {"probe/free_reward", "probe/free_done"} <= set(probes[-1])


def replace_rows(prediction: Prediction, row: int) -> Prediction:
    return Prediction(*(getattr(prediction, name)[row : row + 1] for name in ("x", "reward", "done")))


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(ValueError, match="worldsim train memory"):
        training(tmp_path, debug_simulator())
    with pytest.raises(ValueError, match="no episodes to start from"):
        training(tmp_path, count=0)
    single = make_episode()
    single = replace(single, frames_per_step=1, n_frames=np.ones_like(single.n_frames))
    with pytest.raises(ValueError, match="shows one frame per step"):
        HeadsTraining(CONFIG, tmp_path, quiet_simulator(), iter([single]), [])
    with pytest.raises(ValueError, match="a source that ends"):
        train_heads(CONFIG, SourceConfig(), quiet_simulator(), tmp_path)


@pytest.mark.slow
def test_one_command_trains_heads_on_rollouts_in_true_worlds(tmp_path):
    debug_simulator(memory=True).save_pretrained(tmp_path / "begin")
    options = ["--model", str(tmp_path / "begin"), "--source.worlds", "DoomRooms", "--source.max-steps", "30"]
    options += ["--source.steps", "90", "--source.held-out", "1", "--train.optim.steps", "8"]
    assert main(["heads", "--preset", "smoke", "--out", str(tmp_path / "run"), *options]) == 0
    begin, now = (WorldSimulator.from_pretrained(tmp_path / name) for name in ("begin", "run/model"))
    frames = torch.from_numpy(make_episode(size=64).blocks[:2])
    assert torch.allclose(now.codec.encode(frames), begin.codec.encode(frames), atol=1e-2)
    assert now.digest != begin.digest
