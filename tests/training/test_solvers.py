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
from worldsim.training.solvers import magnified, windows, with_solvers

CONFIG = smoke().solvers


@pytest.fixture(scope="module")
def begin() -> WorldSimulator:
    simulator = debug_simulator(1, starter=True)
    assert simulator.starter is not None
    config = replace(simulator.starter.config, completes=("DoomRooms",), complete_guidance=1.0)
    starter = Starter(config, simulator.starter.net)
    starter.card = f"# Mine\n\nDigest `{starter.digest}`.\n"
    return simulator.with_starter(starter)


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
    assert once.starter is not None
    assert once.starter.card.startswith("# Mine\n") and all(line in once.starter.card for line in said)
    once.starter.card += "\n## Mine too\n\nText.\n"
    twice, again = fit(once, moments, seed=1)
    assert twice.starter is not None
    assert twice.starter.card.count("## Solvers") == 1 and all(line in twice.starter.card for line in again)
    assert twice.starter.digest != once.starter.digest
    assert f"Digest `{twice.starter.digest}`" in twice.starter.card and once.starter.digest not in twice.starter.card
    assert twice.starter.card.endswith("\n## Mine too\n\nText.\n")


def test_one_seed_gives_one_fit(begin, moments) -> None:
    first, second = fit(begin, moments)[0].starter, fit(begin, moments)[0].starter
    assert first is not None and second is not None and first.digest == second.digest


def test_magnified_pictures_are_parts_of_pictures() -> None:
    """Of a ramp, a part is a ramp less steep by its factor, somewhere inside the whole."""
    ramp = (torch.arange(64) / 63 * 2 - 1).expand(50, 3, 64, 64)
    whole = magnified(ramp, windows(50, (1.0, 1.0), torch.Generator().manual_seed(0)))
    assert torch.allclose(whole, ramp, atol=1e-5)
    parts = magnified(ramp, windows(50, (2.0, 4.0), torch.Generator().manual_seed(0)))[:, 0, :, 4:-4]
    steep = parts.diff(dim=2) / (2 / 63)
    assert torch.allclose(steep, steep[:, :1, :1].expand_as(steep), atol=1e-4)  # one factor for the whole part
    assert 0.249 < steep.min() < 0.27 and 0.45 < steep.max() < 0.501
    assert parts.abs().max() < 1 and parts.mean((1, 2)).min() < -0.4 and parts.mean((1, 2)).max() > 0.4
    upright = magnified(ramp.transpose(2, 3), windows(50, (2.0, 4.0), torch.Generator().manual_seed(0)))
    assert (upright[:, 0, 4:-4].diff(dim=1) > 0).all()


@pytest.mark.parametrize("wrong", [{"moments": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"magnified": (2.0, 1.5)}])
def test_what_cannot_be_fitted_with_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        replace(CONFIG, **wrong)


def test_steps_that_run_away_end_as_a_solver(begin, moments) -> None:
    made = fit(begin, moments, lr=1e3, steps=3)[0].starter
    assert made is not None and made.config.complete_solver is not None
    assert max(made.config.complete_solver.levels) < 1


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


def test_frames_of_another_size_are_refused(begin, moments) -> None:
    wide = replace(moments[0], z=torch.zeros(len(moments[0]), 4, 16, 32))
    with pytest.raises(ValueError, match="moments of 64x128 pixels: solvers are fitted to 64x64"):
        fit(begin, (wide, moments[1]))


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
