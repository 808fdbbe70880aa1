"""Which worlds are drawn: the measure is that of scikit-image, and the choice is that of the rollouts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from shades import make_episode
from skimage.metrics import structural_similarity

from worldsim.cli.train import main
from worldsim.model.debug import debug_simulator
from worldsim.model.weights import WorldSimulator
from worldsim.training import carrying
from worldsim.training.carrying import similarity, with_choice


def test_similarity_is_that_of_scikit_image_inside_of_the_border() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (2, 32, 48, 3), np.uint8)
    b = np.clip(a + rng.normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    wanted = []
    for x, y in zip(a, b):
        _, values = structural_similarity(x, y, channel_axis=-1, full=True)
        wanted.append(values[3:-3, 3:-3].mean())
    assert float(similarity(torch.from_numpy(a), torch.from_numpy(b))) == pytest.approx(np.mean(wanted), abs=1e-9)
    assert float(similarity(torch.from_numpy(a), torch.from_numpy(a))) == pytest.approx(1)


def test_a_world_is_drawn_where_that_is_nearer_to_the_truth(monkeypatch) -> None:
    """Both worlds are asked both ways; what is found decides, and nothing but the choice changes."""
    model = debug_simulator(memory=True, player=True, referee=True)
    episodes = [make_episode(20, 1), replace(make_episode(20, 2), world="DoomBasic"), make_episode(9, 3)]
    chosen, found = with_choice(model, episodes, horizon=4)
    assert set(found) == {"DoomRooms", "DoomBasic"}
    assert all(0 < value < 1 for pair in found.values() for value in pair)
    assert all(carried != drawn for carried, drawn in found.values())
    assert set(chosen.config.drawn) == {world for world, (carried, drawn) in found.items() if drawn > carried}
    assert chosen.world is model.world and chosen.player is model.player and chosen.referee is model.referee
    monkeypatch.setattr(
        carrying, "_similarity", lambda simulator, *_, imagine: 0.5 + 0.1 * ("DoomBasic" in simulator.config.drawn)
    )
    assert with_choice(model, episodes, horizon=4)[0].config.drawn == ("DoomBasic",)
    assert with_choice(model, episodes, horizon=4, keep=["worldsim/DoomBasic-v0"])[0].config.drawn == ()


def test_what_is_carried_is_completed_and_what_is_drawn_is_not() -> None:
    model = debug_simulator(memory=True, starter=True)
    episodes = [make_episode(20, 1)]
    with_starter, without = (with_choice(some, episodes, horizon=4)[1] for some in (model, model.with_starter(None)))
    assert with_starter["DoomRooms"][1] == without["DoomRooms"][1] != without["DoomRooms"][0]


def test_rollouts_begin_all_over_the_episodes(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(carrying, "_similarity", lambda _, places, *rest, imagine: asked.append(places) or 0.5)
    with_choice(debug_simulator(memory=True), [make_episode(40, seed) for seed in range(9)], horizon=4, most=5)
    seeds = [episode.map_seed for episode, _ in asked[0]]
    assert len(seeds) == 5 and seeds[0] == 0 and seeds[-1] == 8 and len(set(seeds)) == 5


def test_without_memory_or_long_episodes_there_is_no_choice() -> None:
    with pytest.raises(ValueError, match="no memory"):
        with_choice(debug_simulator(), [make_episode(20)])
    with pytest.raises(ValueError, match="has the 20 steps"):
        with_choice(debug_simulator(memory=True), [make_episode(19)])
    doom = debug_simulator(memory=True)
    few = WorldSimulator(replace(doom.config, worlds=("DoomRooms",)), doom.codec, doom.world)
    with pytest.raises(ValueError, match="Table is none of the worlds"):
        with_choice(few, [make_episode(30)], keep=["Table"])
    with pytest.raises(ValueError, match="a codec without a memory draws in all worlds"):
        replace(debug_simulator().config, drawn=("DoomRooms",))


def test_one_command_chooses(tmp_path, capsys) -> None:
    folder = debug_simulator(memory=True).save_pretrained(tmp_path / "begin")
    main(
        ["carrying", "--model", str(folder), "--out", str(tmp_path / "run"), "--horizon", "3", "--source.worlds",
         "DoomBasic", "--source.held-out", "1", "--source.max-steps", "12", "--source.workers", "0"]
    )  # fmt: skip
    made = WorldSimulator.from_pretrained(tmp_path / "run" / "model")
    printed = capsys.readouterr().out
    assert printed.startswith("DoomBasic") and made.digest in printed
    assert printed.split()[5] == ("drawn" if made.config.drawn else "carried")
