"""The starter: what it draws depends on text, world and seed of a start alone; it is kept, and begins what it fits."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from worldsim.captions.vocabulary import FIRST_WORD, VOCABULARY
from worldsim.diffusion import noise
from worldsim.diffusion.solver import Solver
from worldsim.engine import RolloutEngine
from worldsim.model.codec import latents_digest
from worldsim.model.debug import debug_simulator
from worldsim.model.files import WeightsError
from worldsim.model.netfolder import stored as stored_net
from worldsim.model.packaged import PACKAGED
from worldsim.model.revealer import Revealer, RevealerConfig
from worldsim.model.starter import Starter, StarterConfig, starter_for
from worldsim.model.text import tokenise
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import LaneStart, LaneText
from worldsim.worlds import WORLDS

TEXTS = ["doom rooms: red walls", "", "doom rooms: a green door and a blue floor, two yellow boxes on the left"]
VIEWS = ["", "a red wall", "blue walls and a red floor"]
SEEDS, WORLD = torch.tensor([3, 4, 2**61]), torch.tensor([0, 5, 0])


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return debug_simulator(starter=True)


@pytest.fixture(scope="module")
def starter(simulator) -> Starter:
    assert simulator.starter is not None
    return simulator.starter


def draw(starter: Starter, rows, shape=(4, 16, 16)) -> torch.Tensor:
    rows = list(rows)
    scenes, views = [TEXTS[i] for i in rows], [VIEWS[i] for i in rows]
    return starter.draw(scenes, views, WORLD[rows], SEEDS[rows], shape).x


def test_a_draw_depends_on_its_own_text_world_and_seed_alone(starter) -> None:
    """Padding by longer texts of other lanes included."""
    together = draw(starter, range(3))
    assert together.shape == (3, 1, 4, 16, 16) and together.dtype == torch.float32
    for i in range(3):
        assert torch.allclose(together[i], draw(starter, [i])[0], atol=1e-5)
    assert torch.allclose(together.flip(0), draw(starter, [2, 1, 0]), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "value"),
    [("scenes", ["doom rooms: blue walls"]), ("views", ["red walls"]), ("worlds", [7]), ("seeds", [4])],
)
def test_everything_that_is_told_counts(starter, change, value) -> None:
    told = {"scenes": TEXTS[:1], "views": VIEWS[:1], "worlds": WORLD[:1], "seeds": SEEDS[:1]}
    other = told | {change: value if isinstance(value[0], str) else torch.tensor(value)}
    found = [starter.draw(**words, shape=(4, 16, 16)).x for words in (told, other)]
    assert (found[0] - found[1]).abs().mean() > 1e-3


def test_who_has_which_colour_is_told_by_the_order_of_the_words(starter) -> None:
    views = tokenise(["red walls and a blue floor", "blue walls and a red floor"])
    found = starter.net(
        torch.zeros(2, 4, 8, 8), torch.zeros(2), starter.net.read(tokenise(["", ""]), views, WORLD[[0, 0]])
    )
    assert (found[0] - found[1]).abs().mean() > 1e-4


def test_a_clean_latent_is_left_as_it_is_and_noise_tells_nothing_at_level_0(starter) -> None:
    told = starter.net.read(tokenise(TEXTS), tokenise(VIEWS), WORLD)
    z = torch.randn(3, 4, 8, 8)
    assert torch.allclose(starter.net(z, torch.ones(3), told), z, atol=1e-6)
    blind = torch.zeros(3)
    assert torch.equal(starter.net(z, blind, told), starter.net(torch.randn(3, 4, 8, 8), blind, told))


def test_any_size_of_whole_patches_is_drawn(starter) -> None:
    assert draw(starter, [0, 2], (4, 8, 24)).shape == (2, 1, 4, 8, 24)
    with pytest.raises(ValueError, match="7x8 cells: both must be multiples of the patch"):
        draw(starter, [0], (4, 7, 8))


def test_it_is_kept_and_read_again(starter, tmp_path: Path) -> None:
    starter.save_pretrained(tmp_path / "starter")
    again = Starter.from_pretrained(tmp_path / "starter")
    assert (again.config, again.digest) == (starter.config, starter.digest)
    assert (draw(again, range(3)) - draw(starter, range(3))).abs().max() < 0.05  # float16 on the disk
    data = bytearray((tmp_path / "starter" / "net.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "starter" / "net.safetensors").write_bytes(bytes(data))
    with pytest.raises(WeightsError, match="SHA-256 differs"):
        Starter.from_pretrained(tmp_path / "starter")


def test_one_of_version_1_is_read_and_completes_nothing(starter, tmp_path: Path) -> None:
    with torch.no_grad():
        starter = copy.deepcopy(starter)
        starter.net.seen_in.weight.zero_()
    folder = starter.save_pretrained(tmp_path / "starter")
    tensors = load_file(folder / "net.safetensors")
    del tensors["seen_in.weight"]
    save_file(tensors, folder / "net.safetensors")
    data, content = (folder / "net.safetensors").read_bytes(), json.loads((folder / "config.json").read_text())
    for name in ("completes", "complete_steps", "complete_guidance"):
        del content[name]
    content["format_version"] = 1
    content["files"]["net.safetensors"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "config.json").write_text(json.dumps(content))
    again = Starter.from_pretrained(folder)
    assert again.config.completes == ()
    assert (draw(again, range(3)) - draw(starter, range(3))).abs().max() < 0.05


def test_what_was_seen_counts_and_no_more_than_its_own(starter) -> None:
    seen = torch.zeros(2, 5, 16, 16)
    seen[0, :, :, :8] = torch.randn(5, 16, 8, generator=torch.Generator().manual_seed(0))
    told = (TEXTS[:2], WORLD[:2], SEEDS[:2], torch.tensor([3, 3]))
    together = starter.complete(seen, *told)
    assert together.shape == (2, 4, 16, 16) and together.dtype == torch.float32
    alone = [starter.complete(seen[i : i + 1], *(part[i : i + 1] for part in told)) for i in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    assert (starter.complete(torch.zeros_like(seen), *told)[0] - together[0]).abs().mean() > 1e-3
    assert torch.equal(starter.complete(torch.zeros_like(seen), *told)[1], together[1])


COMPLETING = Solver((0.0, 0.4), ((0.5, 0.5), (0.1, -0.2, 1.1)))
REDRAWING = Solver((0.2,), ((0.1, 0.9),))


def with_solvers(starter: Starter) -> Starter:
    config = replace(starter.config, complete_guidance=1.0, complete_solver=COMPLETING, redraw_solver=REDRAWING)
    return Starter(config, starter.net)


def test_solvers_say_how_it_completes_and_draws_again_and_are_kept(starter, tmp_path: Path) -> None:
    solved = with_solvers(starter)
    seen, latents = torch.ones(2, 5, 16, 16), torch.zeros(2, 4, 16, 16)
    told = (TEXTS[:2], WORLD[:2], SEEDS[:2], torch.tensor([3, 3]))
    completed, redrawn = solved.complete(seen, *told), solved.redraw(latents, *told)

    net, words = starter.net, starter.net.read(tokenise(TEXTS[:2]), tokenise(["", ""]), WORLD[:2])
    eps = noise.gaussian(SEEDS[:2], torch.tensor([3, 3]), "complete", (4, 16, 16))
    first = net(eps, torch.zeros(2), words, seen)
    second = net(0.5 * eps + 0.5 * first, torch.full((2,), 0.4), words, seen)
    assert torch.allclose(completed, 0.1 * eps - 0.2 * first + 1.1 * second, atol=1e-5)
    worn = 0.8 * noise.gaussian(SEEDS[:2], torch.tensor([3, 3]), "redraw", (4, 16, 16))
    assert torch.allclose(redrawn, 0.1 * worn + 0.9 * net(worn, torch.full((2,), 0.2), words), atol=1e-5)

    assert torch.equal(draw(solved, range(3)), draw(starter, range(3)))  # first frames are not theirs
    assert solved.digest != starter.digest
    again = Starter.from_pretrained(solved.save_pretrained(tmp_path / "starter"))
    assert again.config == solved.config and again.digest == solved.digest


def test_solvers_serve_frames_of_the_size_that_they_were_fitted_to_alone(starter) -> None:
    solved, plain = with_solvers(starter), replace(starter.config, complete_guidance=1.0)
    usual = Starter(plain, starter.net)
    told = (TEXTS[:1], WORLD[:1], SEEDS[:1], torch.tensor([3]))
    for size, same in (((16, 16), False), ((16, 32), True), ((8, 32), True)):
        seen, latents = torch.ones(1, 5, *size), torch.zeros(1, 4, *size)
        assert torch.equal(solved.complete(seen, *told), usual.complete(seen, *told)) == same
        assert torch.equal(solved.redraw(latents, *told), usual.redraw(latents, *told)) == same


def test_with_solvers_rows_are_their_own_in_bfloat16_too(starter) -> None:
    solved = with_solvers(starter)
    told = (TEXTS, WORLD, SEEDS, torch.tensor([1, 2, 3]))
    seen = torch.randn(3, 5, 16, 16, generator=torch.Generator().manual_seed(0))
    together = solved.complete(seen, *told)
    alone = [solved.complete(seen[i : i + 1], *(part[i : i + 1] for part in told)) for i in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    assert (solved.complete(seen, *told, torch.bfloat16) - together).abs().max() < 0.2


LATER = {2: ("complete_solver", "redraw_solver", "revealer"), 3: ("revealer",)}
"""What starters of a version know nothing of."""


@pytest.mark.parametrize("version", LATER)
def test_one_of_an_older_version_has_nothing_that_came_since(starter, tmp_path: Path, version) -> None:
    path = starter.save_pretrained(tmp_path / "starter") / "config.json"
    content = json.loads(path.read_text())
    assert all(content.pop(name, 1) is None for name in LATER[version])
    path.write_text(json.dumps(content | {"format_version": version}))
    again = Starter.from_pretrained(tmp_path / "starter")
    assert again.config == starter.config
    content = {name: value for name, value in asdict(again.config).items() if name not in LATER[2]}
    named = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    assert again.digest == hashlib.sha256(named + stored_net(again.net)).hexdigest()[:12]  # as it was then


def test_a_revealer_is_kept_with_it_and_changes_nothing_else(starter, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = starter.with_revealer(Revealer(RevealerConfig(width=8), 4))
    made.save_pretrained(tmp_path / "starter")
    again = Starter.from_pretrained(tmp_path / "starter")
    assert again.config == made.config and again.digest == made.digest != starter.digest
    written = tmp_path / "starter" / "config.json"
    older = json.loads(written.read_text())
    assert older["revealer"].pop("lasts") is None
    written.write_text(json.dumps(older | {"format_version": 4}))
    four = Starter.from_pretrained(tmp_path / "starter")
    assert four.config == made.config and four.digest == made.digest
    returns = Revealer(RevealerConfig(width=8, lasts=59), 4)
    returns.load_state_dict(made.revealer.state_dict())
    assert starter.with_revealer(returns).digest != made.digest
    assert torch.equal(draw(made, range(3)), draw(starter, range(3)))
    columns = (torch.randn(2, 4, 16, 16), *(torch.ones(2, n) for n in (12, 12, len(RevealerConfig().colours))))
    assert torch.equal(made.gone(*columns), copy.deepcopy(made).gone(*columns))
    path = starter.save_pretrained(tmp_path / "other") / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"revealer": asdict(made.config)["revealer"]}))
    with pytest.raises(WeightsError, match="revealer"):  # the configuration tells of one, and there are no weights
        Starter.from_pretrained(tmp_path / "other")
    path = tmp_path / "starter" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"revealer": None}))
    with pytest.raises(WeightsError, match=r"weights of a revealer, and .* says that there is none"):
        Starter.from_pretrained(tmp_path / "starter")
    with pytest.raises(ValueError, match="the configuration is of revealer=RevealerConfig"):
        Starter(made.config, made.net)


def test_a_solver_that_does_not_fit_is_refused(starter, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"redraw_solver begins at the level 0.0: it must at 0.2"):
        replace(starter.config, redraw_solver=COMPLETING)
    path = with_solvers(starter).save_pretrained(tmp_path / "starter") / "config.json"
    content = json.loads(path.read_text())
    content["complete_solver"]["weights"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"complete_solver: rows of \[2\] weights for 2 levels"):
        Starter.from_pretrained(tmp_path / "starter")


def test_it_draws_the_same_in_bfloat16_and_when_it_was_copied_since(starter) -> None:
    told = (TEXTS, VIEWS, WORLD, SEEDS, (4, 16, 16), torch.bfloat16)
    drawn = starter.draw(*told).x
    assert drawn.dtype == torch.float32 and (drawn - draw(starter, range(3))).abs().max() < 0.1
    assert torch.equal(copy.deepcopy(starter).draw(*told).x, drawn)  # its laid out weights cannot be copied


def test_a_card_is_kept(starter, tmp_path: Path) -> None:
    starter.save_pretrained(tmp_path / "one", "# Mine\n")
    Starter.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
    assert (tmp_path / "two" / "README.md").read_text() == "# Mine\n"


def test_a_starter_knows_its_encoder_as_it_is_stored(simulator, starter, tmp_path: Path) -> None:
    """Weights are float32 here; in float16 they are rounded when they are saved, and the digest is of what is kept."""
    config = replace(simulator.config, storage="float16")
    WorldSimulator(config, simulator.codec, simulator.world, starter=starter).save_pretrained(tmp_path / "half")
    assert WorldSimulator.from_pretrained(tmp_path / "half").starter is not None
    coarse = WorldSimulator(replace(config, storage="bfloat16"), simulator.codec, simulator.world, starter=starter)
    with pytest.raises(ValueError, match="storage='bfloat16' rounds the encoder"):
        coarse.save_pretrained(tmp_path / "coarse")


@pytest.mark.parametrize(
    ("net", "says"),
    [({"patch": 8}, "so must the patches divide"), ({"latent_channels": 3}, "draws 3 channels of cells of 4 pixels")],
)
def test_a_network_that_fits_no_frame_of_the_codec_is_refused(simulator, starter, net, says) -> None:
    with pytest.raises(ValueError, match=says):
        config = replace(starter.config, net=replace(starter.config.net, **net))
        simulator.with_starter(Starter.create(config))


def test_a_model_keeps_its_own_starter_and_its_digest(simulator, starter, tmp_path: Path) -> None:
    without = simulator.with_starter(None)
    assert without.digest == simulator.digest
    simulator.save_pretrained(tmp_path / "with")
    without.save_pretrained(tmp_path / "without")
    again = WorldSimulator.from_pretrained(tmp_path / "with")
    assert again.starter is not None and again.starter.digest == starter.digest
    assert again.digest == simulator.digest
    assert WorldSimulator.from_pretrained(tmp_path / "without").starter is None


def test_the_starter_of_another_codec_is_refused(simulator, tmp_path: Path) -> None:
    other = debug_simulator(seed=1)
    with pytest.raises(ValueError, match=r"draws latents of the encoder \w+, this codec's is \w+; train one"):
        other.with_starter(simulator.starter)
    other.save_pretrained(tmp_path / "model")
    simulator.starter.save_pretrained(tmp_path / "model" / "starter")
    with pytest.raises(WeightsError, match="starter: the starter draws latents of the encoder"):
        WorldSimulator.from_pretrained(tmp_path / "model")


def test_the_packaged_starter_serves_every_model_with_its_encoder(tmp_path: Path) -> None:
    packaged = WorldSimulator.from_pretrained("worlds")
    assert packaged.starter is not None and packaged.starter.packaged
    assert packaged.starter.config.encoder == latents_digest(packaged.codec)
    assert set(packaged.starter.config.worlds) == set(packaged.config.worlds)
    assert packaged.starter.config.net.text.vocabulary >= FIRST_WORD + len(VOCABULARY.words)
    found = starter_for(tmp_path, packaged.codec)  # a folder without one
    assert found is not None and found.digest == packaged.starter.digest
    assert starter_for(tmp_path, debug_simulator().codec) is None
    packaged.save_pretrained(tmp_path / "copy")
    assert not (tmp_path / "copy" / "starter").exists()
    assert sum(path.stat().st_size for path in (PACKAGED / "starter").iterdir()) <= 14e6


def test_only_worlds_that_it_knows_can_be_completed() -> None:
    with pytest.raises(ValueError, match="Scene is none of its worlds"):
        StarterConfig("0" * 12, ("DoomRooms",), completes=("DoomRooms", "Scene"))


def test_steps_must_be_taken() -> None:
    with pytest.raises(ValueError, match="steps=0, complete_steps=8: a starter takes at least one"):
        StarterConfig("0" * 12, ("DoomRooms",), steps=0)


def test_the_engine_begins_with_what_the_starter_draws(simulator, starter) -> None:
    """In its worlds; in others, and from frames, as without it. A mixture of all begins as each alone."""
    few = simulator.with_starter(Starter(replace(starter.config, worlds=("DoomRooms",), completes=()), starter.net))
    text = LaneText("doom rooms: red walls", "a green floor")
    starts = [
        LaneStart(WORLDS["DoomRooms"], 5, text),
        LaneStart(WORLDS["Table"], 6, text),
        LaneStart(WORLDS["DoomRooms"], 7, text, np.full((1, 64, 64, 3), 90, np.uint8)),
        LaneStart(WORLDS["DoomRooms"], 8, text),
    ]

    def begin(model: WorldSimulator, some: list[LaneStart]) -> torch.Tensor:
        engine = RolloutEngine(model, len(some), device="cpu", dtype=torch.float32)
        return engine.begin(range(len(some)), some).latent

    mixed, without = begin(few, starts), begin(few.with_starter(None), starts)
    for i, start in enumerate(starts):
        assert torch.allclose(mixed[i], begin(few, [start])[0], atol=1e-5)
    assert torch.allclose(mixed[1:3], without[1:3], atol=1e-5)
    assert (mixed[[0, 3]] - without[[0, 3]]).abs().mean() > 0.1
    own = starter.draw([text.scene], [text.view], torch.tensor([0]), torch.tensor([5]), (4, 16, 16)).x[:, 0]
    assert torch.allclose(mixed[0], own[0].clamp(-4, 4), atol=1e-5)
