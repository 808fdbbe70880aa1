"""Training of the player: it reads what the engine reads, learns how a world was played, and resumes exactly."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from shades import SPEC, make_episode

from worldsim.actions import ACTION_ID, UNKNOWN_ACTION
from worldsim.cli.train import main
from worldsim.engine import RolloutEngine
from worldsim.model.debug import debug_simulator
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.training.latents import encode_episode
from worldsim.training.pipeline import train_player
from worldsim.training.player import PlayerTraining, blind_players, readings_of
from worldsim.training.presets import smoke
from worldsim.training.readings import Reader, Readings
from worldsim.training.recorded import controls_at, start_at
from worldsim.training.sources import SourceConfig

FORWARD, LEFT = ACTION_ID["forward"], ACTION_ID["turn_left"]
CONFIG = smoke().player
CONFIG = replace(CONFIG, run=replace(CONFIG.run, bf16=False, device="cpu"), leave_out=())
CPU = torch.device("cpu")


def reader(simulator: WorldSimulator, length: int = 30, drop_text: float = 1.0, **options) -> Reader:
    return Reader(simulator, 3, length, drop_text, CPU, torch.float32, **options)


def lit_episode(seed: int, steps: int = 40) -> Episode:
    """Each picture is bright or dark by chance; whoever sees a bright one goes forward, else turns left."""
    rng = np.random.default_rng(seed)
    bright = rng.random(steps + 1) < 0.5
    made = make_episode(steps, seed)
    shade = np.where(bright, 200, 40).astype(np.uint8)
    actions = np.where(bright[:-1], FORWARD, LEFT).astype(np.int16)
    return replace(
        made,
        first=np.full_like(made.first, shade[0]),
        blocks=np.broadcast_to(shade[1:, None, None, None, None], made.blocks.shape).copy(),
        actions=actions,
        keys=SPEC.table.keys[actions],
        camera=SPEC.table.camera[actions],
    )


def training(out, **changes) -> PlayerTraining:
    config = replace(CONFIG, **changes)
    begin = debug_simulator(1, memory=True)  # whose random features tell bright from dark
    read = readings_of(config, begin, map(lit_episode, range(12)), lambda: [lit_episode(50)], out / "readings")
    return PlayerTraining(config, out, begin, *read)


def test_readings_are_what_the_engine_reads() -> None:
    made = debug_simulator(player=True)
    simulator = WorldSimulator(replace(made.config, context_noise=0.0), made.codec, made.world, None, made.player)
    episode = make_episode(seed=3, steps=9)
    read = reader(simulator).read(episode, 0)
    engine = RolloutEngine(simulator, device="cpu", frame_size=(32, 32), dtype=torch.float32)
    spread = read.registers.float().std(0).mean()
    for t in (0, 1, 4, 8):  # past the window of 6 too
        engine.begin([0], [start_at((episode, t), t, 0, told_scene=False, told_view=False)])
        player = engine._player
        assert player is not None
        assert (player.registers[0] - read.registers[t].float()).abs().max() < 0.1 * spread  # the cache is in bf16
        assert torch.allclose(player.context[0], read.context[t].float(), atol=1e-2)
        assert torch.equal(player.past[0], read.past[t].float())
        assert (player.registers[0] - read.registers[t - 1].float()).abs().max() > spread


def test_readings_of_a_model_that_keeps_its_expectations_are_of_expecting() -> None:
    """Step by step beside an engine that is shown the truth after each step."""
    made = debug_simulator(player=True)
    config = replace(made.config, context_noise=0.0, temperature=0.0, cache_mode="reuse")
    simulator = WorldSimulator(config, made.codec, made.world, None, made.player)
    episode = make_episode(seed=3, steps=9)
    read = reader(simulator).read(episode, 0)
    encoded = encode_episode(episode, simulator.codec)
    engine = RolloutEngine(simulator, device="cpu", frame_size=(32, 32), dtype=torch.float32)
    engine.begin([0], [start_at((episode, 0), 0, 0, told_scene=False, told_view=False)])
    spread = read.registers.float().std(0).mean()
    for t in range(1, 9):
        engine.step(*controls_at([(episode, t - 1)]))
        player = engine._player
        assert player is not None
        assert (player.registers[0] - read.registers[t].float()).abs().max() < 0.1 * spread
        shown = engine._ring.past.clone()
        shown[:, 0] = encoded.z[t].float()
        engine._ring.past = shown


def test_each_action_is_read_once_with_the_one_before() -> None:
    episode = make_episode(seed=1, steps=23)
    for length in (30, 24, 5, 2):
        read = reader(debug_simulator(), length).read(episode, 0)
        assert read.action.tolist() == episode.actions.tolist()
        assert (read.world == SPEC.index).all() and read.last[0] == UNKNOWN_ACTION
        assert read.last[1:].tolist() == episode.actions[:-1].tolist()
        assert torch.isfinite(read.registers).all()


def test_what_is_read_depends_on_seed_and_number_alone() -> None:
    simulator, episode = debug_simulator(), make_episode(seed=1, steps=12)
    first = reader(simulator, drop_text=0.5).read(episode, 4)
    assert torch.equal(first.registers, reader(simulator, drop_text=0.5).read(episode, 4).registers)
    for other in (reader(simulator, drop_text=0.5, seed=1).read(episode, 4), reader(simulator).read(episode, 5)):
        assert not torch.equal(first.registers, other.registers)


def test_moments_of_unknown_actions_and_episodes_left_out_teach_nothing() -> None:
    episode = make_episode(seed=1, steps=12)
    camera = episode.camera.copy()
    camera[5] = (2.0, 1.0)
    strange = replace(
        episode, camera=camera, actions=np.where(np.arange(12) == 5, -2, episode.actions).astype(np.int16)
    )
    read = reader(debug_simulator()).read(strange, 0)
    assert read.action.tolist() == np.delete(episode.actions, 5).tolist()
    explored = [replace(make_episode(seed=i, steps=10), policy="explorer" if i % 2 else "random") for i in range(6)]
    wanted = reader(debug_simulator(), leave_out=("random",)).read_all(explored)
    assert wanted.action.tolist() == [int(a) for e in explored[1::2] for a in e.actions]
    assert len(reader(debug_simulator()).read_all(explored, most=15)) == 20
    with pytest.raises(ValueError, match="a policy other than random, explorer"):
        reader(debug_simulator(), leave_out=("random", "explorer")).read_all(explored)


def test_a_policy_that_is_known_is_learned(tmp_path) -> None:
    run = training(tmp_path, optim=replace(CONFIG.optim, steps=200), hidden=0.0)
    after = run.run()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    probe = {k.removeprefix("probe/"): v for k, v in rows[-1].items()}
    assert probe["marginal_nats"] == pytest.approx(np.log(2), abs=0.1) and probe["after_last_nats"] > 0.6
    assert probe["nats"] < 0.1 and probe["accuracy"] > 0.97 and probe["nats_DoomRooms"] == probe["nats"]

    exported = WorldSimulator.from_pretrained(tmp_path / "model")
    assert exported.digest == after.digest == run.begin.digest and exported.bank is not None
    episode, moments = lit_episode(60), range(4, 12)
    engine = RolloutEngine(exported, len(moments), device="cpu", frame_size=(32, 32))
    engine.begin(range(len(moments)), [start_at((episode, t), 3, 7, told_scene=False) for t in moments])
    assert len(set(episode.actions[4:12])) == 2 and engine.propose().tolist() == episode.actions[4:12].tolist()


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path) -> None:
    whole = training(tmp_path / "whole")
    whole.run()
    part = training(tmp_path / "part")
    part.run(until=20)
    again = training(tmp_path / "part")
    assert again.loop.resume() and again.loop.step == 20
    again.run()
    for (name, a), b in zip(whole.player.state_dict().items(), again.player.state_dict().values()):
        assert torch.equal(a, b), name
    assert torch.equal(whole.loop.average.mean[0], again.loop.average.mean[0])


def test_readings_are_kept_and_not_read_again(tmp_path) -> None:
    simulator = debug_simulator()
    first = readings_of(CONFIG, simulator, [lit_episode(0)], lambda: [lit_episode(1)], tmp_path)
    again = readings_of(CONFIG, simulator, iter(()), list, tmp_path)
    for one, two in zip(first, again):
        assert vars(one).keys() == vars(two).keys()
        assert all(torch.equal(value, getattr(two, name)) for name, value in vars(one).items())


@pytest.mark.parametrize("change", ["digest", "past", "length", "drop_text", "leave_out", "moments", "seed"])
def test_readings_of_another_model_or_read_otherwise_are_refused(tmp_path, change: str) -> None:
    readings_of(CONFIG, debug_simulator(), [lit_episode(0)], lambda: [lit_episode(1)], tmp_path)
    config = {
        "digest": CONFIG,
        "past": replace(CONFIG, player=replace(CONFIG.player, past=CONFIG.player.past + 1)),
        "length": replace(CONFIG, length=CONFIG.length + 1),
        "drop_text": replace(CONFIG, drop_text=0.9),
        "leave_out": replace(CONFIG, leave_out=("random", "noop")),
        "moments": replace(CONFIG, moments=CONFIG.moments + 1),
        "seed": replace(CONFIG, optim=replace(CONFIG.optim, seed=CONFIG.optim.seed + 1)),
    }[change]
    model = debug_simulator(1 if change == "digest" else 0)
    with pytest.raises(ValueError, match=rf"are of {change} .*; give another --out"):
        readings_of(config, model, iter(()), list, tmp_path)


def test_players_that_see_nothing_count() -> None:
    action = torch.tensor([FORWARD] * 6 + [LEFT] * 2)
    last = torch.tensor([UNKNOWN_ACTION, *action[:-1].tolist()])
    none = torch.zeros(8)
    marginal, after_last = blind_players(Readings(none, none, none, torch.full((8,), SPEC.index), action, last), 16)
    count = len(set(SPEC.reads) | {0})
    shares = torch.zeros(32)
    shares[list(SPEC.reads)] = 1 / (8 + count)
    shares[FORWARD], shares[LEFT] = 7 / (8 + count), 3 / (8 + count)
    assert torch.allclose(marginal[SPEC.index].exp(), shares)
    assert torch.isneginf(marginal[SPEC.index]).sum() == 32 - count
    seen = torch.zeros(32)
    seen[FORWARD], seen[LEFT] = 5, 1
    assert torch.allclose(after_last[SPEC.index, FORWARD].exp(), (seen + 8 * shares) / 14)
    unseen = ACTION_ID["backward"]
    assert torch.allclose(after_last[SPEC.index, unseen].exp(), shares)


def test_sources_without_a_player_are_refused(tmp_path) -> None:
    config = replace(CONFIG, leave_out=("random", "explorer"))
    with pytest.raises(ValueError, match="nobody is left to play"):
        train_player(config, SourceConfig(), debug_simulator(), tmp_path)


@pytest.mark.slow
def test_one_command_trains_a_player_on_true_play(tmp_path) -> None:
    begin = debug_simulator(1, memory=True)  # whose random features tell bright from dark
    begin.save_pretrained(tmp_path / "begin")
    options = ["--model", str(tmp_path / "begin"), "--source.worlds", "DoomRooms", "--source.max-steps", "30"]
    options += ["--source.held-out", "4", "--train.moments", "400", "--source.workers", "0"]
    assert main(["player", "--preset", "smoke", "--out", str(tmp_path / "run"), *options]) == 0
    now = WorldSimulator.from_pretrained(tmp_path / "run" / "model")
    assert now.digest == begin.digest and now.player is not None and now.config.player == smoke().player.player
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["probe/nats"] < np.log(len(SPEC.reads))
