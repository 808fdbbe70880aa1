"""Fitting the solvers of a starter: they end nearer to many steps than as few of the sampler, and all else stays."""

from dataclasses import replace

import pytest
import torch
from painted import paint_episode

from worldsim.cli.train import main
from worldsim.model.debug import debug_simulator
from worldsim.model.starter import Starter
from worldsim.model.weights import WorldSimulator
from worldsim.recording.writer import RecordingWriter
from worldsim.training.openings import Openings, read_openings
from worldsim.training.presets import smoke
from worldsim.training.solvers import magnified, with_solvers

CONFIG = smoke().solvers


@pytest.fixture(scope="module")
def begin() -> WorldSimulator:
    simulator = debug_simulator(1, starter=True)
    assert simulator.starter is not None
    config = replace(simulator.starter.config, completes=("DoomRooms",), complete_guidance=1.0)
    return simulator.with_starter(Starter(config, simulator.starter.net, card="# Mine\n"))


@pytest.fixture(scope="module")
def moments(begin) -> tuple[Openings, Openings]:
    episodes = [paint_episode(i, world, steps=12) for i in range(6) for world in ("DoomRooms", "Scene")]
    held = [paint_episode(100 + i, "DoomRooms", "val", steps=8) for i in range(2)]
    return tuple(read_openings(each, begin.codec, 1, 100, 0) for each in (episodes, held))


def fit(begin, moments, **changes) -> tuple[WorldSimulator, list[str]]:
    said = list[str]()
    made = with_solvers(replace(CONFIG, **changes), begin, *moments, told=said.append)
    return made, said


def figures(line: str) -> tuple[float, float]:
    """Of what ``with_solvers`` tells: how far the fitted steps end from many, and as many of the sampler."""
    return float(line.split(" end ")[1].split()[0]), float(line.split(" of the sampler ")[2].split(",")[0])


def test_they_end_nearer_to_many_steps_than_as_few_of_the_sampler(begin, moments) -> None:
    made, said = fit(begin, moments, steps=60)
    assert [line.split(":")[0] for line in said] == ["complete", "redraw"]
    for line in said:
        after, before = figures(line)
        assert after < 0.8 * before, line
    assert made.starter is not None and begin.starter is not None
    config = made.starter.config
    assert config.complete_solver is not None and config.redraw_solver is not None
    assert (config.complete_solver.steps, config.redraw_solver.steps) == (2, 2)
    assert (config.complete_solver.levels[0], config.redraw_solver.levels[0]) == (0.0, 0.2)
    assert replace(config, complete_solver=None, redraw_solver=None) == begin.starter.config
    assert made.digest == begin.digest and made.starter.net is begin.starter.net


def test_the_card_says_what_came_of_it_once(begin, moments) -> None:
    once, said = fit(begin, moments)
    twice, again = fit(once, moments, seed=1)
    assert once.starter is not None and twice.starter is not None
    assert once.starter.card.startswith("# Mine\n") and all(line in once.starter.card for line in said)
    assert twice.starter.card.count("## Solvers") == 1 and all(line in twice.starter.card for line in again)
    assert twice.starter.digest != once.starter.digest


def test_one_seed_gives_one_fit(begin, moments) -> None:
    first, second = fit(begin, moments)[0].starter, fit(begin, moments)[0].starter
    assert first is not None and second is not None and first.digest == second.digest


def test_magnified_pictures_are_parts_of_pictures(begin) -> None:
    """Of a picture that is dark on its left and bright on its right, a part holds both or one of them."""
    frames = torch.full((24, 1, 64, 64, 3), 40, dtype=torch.uint8)
    frames[:, :, :, 32:] = 200
    z = begin.codec.encode(frames)
    whole = magnified(z, begin.codec, (1.0, 1.0), torch.Generator().manual_seed(0))
    pictures = begin.codec.decode_normalised(z, 1)[:, 0]
    assert torch.allclose(whole, begin.codec.encode_normalised(pictures[:, None]), atol=1e-3)
    parts = magnified(z, begin.codec, (2.0, 4.0), torch.Generator().manual_seed(0))
    assert parts.shape == z.shape and (parts - whole).abs().mean((1, 2, 3)).min() > 1e-3
    assert len({round(float(part.sum()), 3) for part in parts}) == 24  # each another part


def test_a_starter_that_completes_nothing_or_is_guided_is_refused(begin, moments) -> None:
    with pytest.raises(ValueError, match="no starter that completes pictures; train one first"):
        fit(begin.with_starter(None), moments)
    assert begin.starter is not None
    config = replace(begin.starter.config, complete_guidance=2.0)
    guided = begin.with_starter(Starter(config, begin.starter.net))
    with pytest.raises(ValueError, match=r"complete_guidance=2\.0"):
        fit(guided, moments)


def test_moments_of_other_worlds_are_refused(begin, moments) -> None:
    other = read_openings([paint_episode(3, "Scene")], begin.codec, 1, 100, 0)
    with pytest.raises(ValueError, match="no moments held out are of DoomRooms: give the source these"):
        fit(begin, (moments[0], other))


def test_the_command_exports_the_model_with_its_solvers(begin, tmp_path) -> None:
    begin.save_pretrained(tmp_path / "model")
    with RecordingWriter(tmp_path / "recording") as writer:
        for seed in range(4):
            writer.write(paint_episode(seed))
        for seed in (100, 101):
            writer.write(paint_episode(seed, split="val"))
    model, out = str(tmp_path / "model"), str(tmp_path / "out")
    data = ["--source.data", str(tmp_path / "recording")]
    assert main(["solvers", "--preset", "smoke", "--model", model, "--out", out, *data]) == 0
    made = WorldSimulator.from_pretrained(tmp_path / "out" / "model")
    assert made.digest == begin.digest and made.starter is not None and begin.starter is not None
    assert made.starter.config.complete_solver is not None and made.starter.digest != begin.starter.digest
    assert made.starter.digest == Starter.from_pretrained(tmp_path / "out" / "model" / "starter").digest
    with pytest.raises(ValueError, match="solvers needs a source that ends"):
        main(["solvers", "--preset", "smoke", "--model", model, "--out", out])
