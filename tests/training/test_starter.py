"""Training of the starter: it learns what words mean from moments that are kept, and resumes exactly."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from painted import COLOURS, paint_episode, without_facts
from shades import make_episode

from worldsim.cli.train import main
from worldsim.model.debug import debug_simulator
from worldsim.model.starter import Starter
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.recording.facts_json import read_facts
from worldsim.recording.words import word_episode
from worldsim.training.openings import Arriving, Openings, read_openings
from worldsim.training.pipeline import train_starter
from worldsim.training.pool import Feeder
from worldsim.training.presets import smoke
from worldsim.training.sources import SourceConfig
from worldsim.training.starter import StarterTraining, openings_of
from worldsim.worlds import WORLDS

CONFIG = smoke().starter
CONFIG = replace(CONFIG, run=replace(CONFIG.run, bf16=False, device="cpu"))


def training(out, config=CONFIG) -> StarterTraining:
    begin = debug_simulator(1)
    episodes = [paint_episode(i, world) for i in range(4) for world in ("DoomRooms", "Scene")]
    held = [paint_episode(100, world, "val") for world in ("DoomRooms", "Scene")]
    return StarterTraining(config, out, begin, *openings_of(config, begin, episodes, lambda: held, out / "openings"))


def test_moments_are_pictures_beside_their_own_words() -> None:
    codec = debug_simulator().codec
    episode = paint_episode(3, steps=20)
    read = read_openings([episode, without_facts(paint_episode(4))], codec, every=4, most=100, seed=0)
    assert 0 < len(read) < 8 and read.world.eq(WORLDS["DoomRooms"].index).all()
    pictures = codec.encode(torch.from_numpy(episode.observations[:, None]))
    near = [(z.float() - pictures).abs().mean((1, 2, 3)).argmin().item() for z in read.z]
    assert near[0] == 0 and all(np.diff(near)[1:] == 4)  # the reset frame, then every fourth
    words = word_episode(episode.world, episode.facts, episode.map_seed)
    assert np.array_equal(read.view, words.view[near])
    assert all((scene == torch.from_numpy(words.scene)).all(1).any() for scene in read.scene)
    other = replace(words, view=words.view[::-1].copy())  # given by whoever played it
    given = read_openings([replace(episode, words=other)], codec, every=4, most=100, seed=0)
    assert np.array_equal(given.view, other.view[near])
    many = read_openings([paint_episode(i, steps=20) for i in range(9)], codec, every=1, most=50, seed=0)
    assert len(many) == 63  # whole episodes, until there are enough of a world


def test_what_was_seen_is_a_part_of_the_picture_where_cameras_turn() -> None:
    codec = debug_simulator().codec
    read = read_openings([paint_episode(1, steps=20), paint_episode(2, "Scene", steps=20)], codec, 1, 100, 0)
    rooms = read.world == WORLDS["DoomRooms"].index
    share = read.seen[:, 4].float().mean((1, 2))
    assert not read.seen[~rooms].any()
    assert (share[rooms] < 0.999).all() and share[rooms].min() < 0.6 and share[rooms].max() > 0.8
    whole = read.seen[:, 4] == 1
    inner = torch.nn.functional.avg_pool2d(whole[:, None].float(), 5, 1, 2)[:, 0] == 1  # what is far from the unseen
    apart = (read.seen[:, :4].float() - read.z.float()).abs().mean(1)
    assert apart[inner].mean() < 0.25 * apart[whole & ~inner].mean() or apart[inner].mean() < 0.1


def test_there_must_be_something_that_is_said() -> None:
    with pytest.raises(ValueError, match="nothing to learn starts from: no episode of the source"):
        read_openings([without_facts(paint_episode(4))], debug_simulator().codec, 1, 10, 0)


def test_frames_of_several_sizes_are_refused() -> None:
    small = make_episode(steps=5)
    with pytest.raises(ValueError, match=r"latents of several sizes, \[\(8, 8\), \(16, 16\)\] cells"):
        read_openings([small, paint_episode(1)], debug_simulator().codec, 1, 10, 0)


def plain_episode(seed: int, split: str = "train") -> Episode:
    """Every picture is of the one colour that its view gives to the walls."""
    episode = paint_episode(seed, split=split)
    shades = [COLOURS[read_facts(line)[1].wall.colour] for line in episode.facts]
    frames = np.broadcast_to(np.array(shades, np.uint8)[:, None, None], (len(shades), 64, 64, 3)).copy()
    return replace(episode, first=frames[0], blocks=np.repeat(frames[1:, None], 4, axis=1))


def test_it_learns_what_the_words_say(tmp_path) -> None:
    """Nearly all is noise, so that only the text tells the colour: told another one, it is wrong."""
    optim = replace(CONFIG.optim, steps=300, lr=1e-2, batch=32)
    config = replace(CONFIG, optim=optim, moments=4000, every=1, level_mean=2.0, drop_view=0.0)
    held = [plain_episode(100, "val")]
    episodes = map(plain_episode, range(50))
    begin = debug_simulator(1)
    run = StarterTraining(config, tmp_path, begin, *openings_of(config, begin, episodes, lambda: held, tmp_path / "o"))
    run.run()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    probes = [row for row in rows if "probe/loss" in row]
    assert probes[-1]["probe/loss"] < 0.5 * probes[0]["probe/loss"]
    assert probes[-1]["probe/swapped_over_true"] > 1.2 and probes[-1]["probe/silent_over_true"] > 1.05
    assert probes[-1]["probe/loss_of_DoomRooms"] == probes[-1]["probe/loss"]
    assert (tmp_path / "sheets" / "starter-000300.png").is_file()


def test_a_resumed_run_is_an_uninterrupted_one(tmp_path) -> None:
    whole = training(tmp_path / "whole").run()
    half = training(tmp_path / "half")
    half.loop.train(half._loss, half._probe, half._export, 20)
    half.loop.save()
    again = training(tmp_path / "half")
    assert again.loop.resume() and again.loop.step == 20
    resumed = again.run()
    assert whole.starter is not None and resumed.starter is not None
    assert whole.starter.digest == resumed.starter.digest


def test_the_model_stays_as_it_is_and_gets_the_starter(tmp_path) -> None:
    run = training(tmp_path)
    made = run.run(10)
    again = WorldSimulator.from_pretrained(tmp_path / "model")
    assert again.digest == run.begin.digest == made.digest
    assert again.starter is not None and again.starter.config.worlds == ("DoomRooms", "Scene")
    assert again.starter.digest == Starter.from_pretrained(tmp_path / "model" / "starter").digest
    about = (tmp_path / "model" / "starter" / "README.md").read_text()
    assert (
        f"digest `{again.starter.digest}`" in about
        and f"| DoomRooms | 1 | {(run.moments.world == 0).sum()} | " in about
    )
    assert (again.starter.config.steps, again.starter.config.guidance) == (CONFIG.steps, CONFIG.guidance)


def test_moments_are_kept_and_those_of_others_refused(tmp_path) -> None:
    run = training(tmp_path)
    kept = Openings.kept(tmp_path / "openings", {}, {"moments": lambda: pytest.fail("made again")})[0]
    assert torch.equal(kept.z, run.moments.z)
    with pytest.raises(ValueError, match=r"are of every 3, where every 5 is asked for; give another --out"):
        training(tmp_path, replace(CONFIG, every=5))
    with pytest.raises(ValueError, match="encoder"):
        openings_of(CONFIG, debug_simulator(2), [], list, tmp_path / "openings")


def test_shares_of_a_world_that_is_not_there_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="shares of Table: there are episodes of DoomRooms, Scene only"):
        training(tmp_path, replace(CONFIG, shares={"Table": 2.0}))


def test_what_is_held_out_must_be_of_worlds_that_are_learned(tmp_path) -> None:
    begin, held = debug_simulator(1), [paint_episode(100, "Scene", "val")]
    made = openings_of(CONFIG, begin, [paint_episode(0)], lambda: held, tmp_path / "openings")
    with pytest.raises(ValueError, match="held-out moments are of none of the worlds that are learned"):
        StarterTraining(CONFIG, tmp_path, begin, *made)
    with pytest.raises(ValueError, match="none of those held out, has facts"):
        openings_of(CONFIG, begin, [paint_episode(0)], list, tmp_path / "none")


def test_moments_without_views_are_learned_too(tmp_path) -> None:
    begin, silent = debug_simulator(1), paint_episode(0)
    words = word_episode(silent.world, silent.facts, 0)
    silent = replace(silent, words=replace(words, view=np.zeros_like(words.view)))
    run = StarterTraining(
        CONFIG, tmp_path, begin, *openings_of(CONFIG, begin, [silent], lambda: [silent], tmp_path / "openings")
    )
    assert run.longest[1] == 1 and torch.isfinite(run._loss(0)[0])


def test_completing_is_learned_beside_it_where_cameras_turn(tmp_path) -> None:
    run = training(tmp_path)
    assert run.run(2).starter.config.completes == ("DoomRooms",)
    with torch.no_grad():
        figures = run._figures()
    assert figures["loss_completing"] > 0
    without = training(tmp_path / "without", replace(CONFIG, complete=0.0))
    assert without.run(2).starter.config.completes == ()


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"completes=.*Scene.*worlds with a lens: DoomRooms"):
        replace(CONFIG, completes=("Scene",))
    with pytest.raises(ValueError, match="moments, every, start_steps, steps and complete_steps are at least 1"):
        replace(CONFIG, every=0)
    with pytest.raises(ValueError, match="at most 1 together"):
        replace(CONFIG, drop_scene=0.6, drop_view=0.6)


def test_moments_that_arrive_while_it_trains_are_learned_from(tmp_path) -> None:
    begin = debug_simulator(1)
    feeder = Feeder(map(paint_episode, range(60)), keep=10_000)
    feeder.wait_for(10_000)
    arriving = Arriving(feeder, begin.codec, CONFIG.every, 0)
    arriving.feeder.keep = 0
    waiting = feeder.take(1000)
    assert len(waiting) == 60
    parts = [read_openings(some, begin.codec, 3, 10_000, 0) for some in (waiting[:20], waiting[20:21], waiting[21:])]
    others = read_openings([paint_episode(70, "Scene")], begin.codec, 3, 10_000, 0)
    coming = iter([None, parts[1], None, Openings.joined([parts[2], others])])
    held = read_openings([paint_episode(100, split="val")], begin.codec, 3, 100, 0)
    config = replace(CONFIG, moments=10_000)
    run = StarterTraining(config, tmp_path, begin, parts[0], held, lambda: next(coming, None))
    assert run.longest == (parts[0].scene.shape[1], parts[0].view.shape[1])  # nobody knows what will be said
    lengths = []
    for step in range(5):
        run._loss(step)
        lengths.append(len(run.moments))
    first = len(parts[0])
    assert lengths == [first] * 3 + [sum(map(len, [*parts, others]))] * 2  # a twentieth more waits for others
    assert set(run.rows) == {"DoomRooms", "Scene"}
    full = StarterTraining(replace(CONFIG, moments=first), tmp_path, begin, parts[0], held, lambda: parts[2])
    full._loss(0)
    assert len(full.moments) == first and torch.equal(full.moments.z[-10:], parts[2].z[-10:])  # the latest


def test_arriving_episodes_are_encoded_once_there_are_enough(tmp_path) -> None:
    codec = debug_simulator().codec
    feeder = Feeder(
        iter([paint_episode(1, steps=8), without_facts(paint_episode(2)), paint_episode(3, steps=8)]), keep=99
    )
    while not feeder.finished:
        time.sleep(0.01)
    arriving = Arriving(feeder, codec, every=2, seed=0)
    assert arriving(least=100) is None
    found = arriving(least=1)
    assert found is not None and 8 <= len(found) <= 12 and arriving(least=1) is None


def test_worlds_that_never_end_are_played_beside_it(tmp_path) -> None:
    source = SourceConfig(worlds=("Table",), workers=0, max_steps=8, held_out=1)
    config = replace(CONFIG, optim=replace(CONFIG.optim, steps=4), start_steps=20)
    train_starter(config, source, debug_simulator(), tmp_path)
    starter = WorldSimulator.from_pretrained(tmp_path / "model").starter
    assert starter is not None and starter.config.worlds == ("Table",) and starter.config.completes == ()


def test_the_command_line_trains_one(tmp_path) -> None:
    """Worlds play live, the model is a folder, and it is begun from text by what was trained."""
    debug_simulator().save_pretrained(tmp_path / "begin")
    main(
        ["starter", "--preset", "smoke", "--out", str(tmp_path / "run"), "--model", str(tmp_path / "begin")]
        + ["--source.worlds", "Table", "--source.steps", "40", "--source.workers", "0", "--source.max-steps", "20"]
    )
    starter = WorldSimulator.from_pretrained(tmp_path / "run" / "model").starter
    assert starter is not None and starter.config.worlds == ("Table",)
