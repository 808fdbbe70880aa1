"""A captioner learns what is painted; a resumed run is an uninterrupted one; F1 is counted alike in two ways."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import WORLDS_PAINTED, paint_episode, without_facts
from shades import with_cut

from worldsim.captioning.captioner import Captioner, Thresholds, answered, beliefs_of
from worldsim.captioning.describe import caption_episode, episode_facts, facts_in_order
from worldsim.captions.slots import Answers, Slots
from worldsim.captions.statements import Score, statements
from worldsim.model.factnet import FactNet, Logits
from worldsim.recording.facts_json import read_facts
from worldsim.recording.reader import Recording
from worldsim.recording.recaption import uncaptioned, write_captions
from worldsim.recording.writer import RecordingWriter
from worldsim.training.captioner import (
    CaptionerTraining,
    agreement,
    best_thresholds,
    losses,
    strange_clip,
    train_captioner,
)
from worldsim.training.configs import OptimConfig, RunConfig
from worldsim.training.glances import read_glances
from worldsim.training.presets import preset

SMOKE = replace(preset("smoke").captioner, run=RunConfig(device="cpu", threads=1, bf16=False, log_every=100))


def record(folder: Path, seeds: range, split: str = "train", facts: bool = True) -> Path:
    with RecordingWriter(folder) as writer:
        for seed in seeds:
            episode = paint_episode(seed, WORLDS_PAINTED[seed % 2], split)
            writer.write(episode if facts else without_facts(episode))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("painted")
    return [record(folder / "train", range(20)), record(folder / "val", range(1_000_000, 1_000_004), "val")]


def test_moments_are_spread_over_episodes_and_equal_for_equal_seeds(data):
    glances = read_glances(data, "train", 100, seed=0)
    assert [glances.worlds.count(world) for world in WORLDS_PAINTED] == [100, 100]
    again, other = read_glances(data, "train", 100, seed=0), read_glances(data, "train", 100, seed=1)
    assert np.array_equal(again.frames, glances.frames) and again.facts == glances.facts
    assert not np.array_equal(other.frames, glances.frames)
    assert len(read_glances(data, "train", 100_000, seed=0)) == 20 * 41  # all that there are
    episode = paint_episode(0)
    shown = {frame.tobytes(): read_facts(line) for frame, line in zip(episode.observations, episode.facts)}
    pairs = [(f[-1].tobytes(), facts) for f, facts in zip(glances.frames, glances.facts) if f[-1].tobytes() in shown]
    assert len(pairs) >= 5 and all(shown[frame] == facts for frame, facts in pairs)


def test_cuts_are_no_moments_to_learn_from(tmp_path):
    with RecordingWriter(tmp_path) as writer:
        writer.write(with_cut(paint_episode(3), 10))
    glances = read_glances([tmp_path], "train", 100, seed=0)
    assert len(glances) == 40  # of 41 observations
    assert all(event.kind != "cut" for _, _, events in glances.facts for event in events)


def test_recordings_without_facts_teach_nothing(tmp_path, data):
    nameless = record(tmp_path / "nameless", range(2), facts=False)
    with pytest.raises(ValueError, match=r"no episode of the train split with facts in .*nameless"):
        read_glances([nameless], "train", 10, seed=0)
    with pytest.raises(ValueError, match="no episode of the val split with facts"):
        train_captioner(SMOKE, data[:1], tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train_captioner(SMOKE, [tmp_path / "nowhere"], tmp_path / "run")


def begun(out: Path, data: list[Path], steps: int = 12) -> CaptionerTraining:
    config = replace(SMOKE, optim=OptimConfig(steps=steps, batch=8, warmup=2, ema=0.9, muon=True), moments=60)
    glances = [read_glances(data, split, 60, seed=0) for split in ("train", "val")]
    return CaptionerTraining(config, out, *glances)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, data):
    whole = begun(tmp_path / "whole", data)
    whole.run()
    begun(tmp_path / "parts", data).run(until=5)
    rest = begun(tmp_path / "parts", data)
    assert rest.loop.resume() and rest.loop.step == 5
    rest.run()
    assert all(torch.equal(a, b) for a, b in zip(whole.net.parameters(), rest.net.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(whole.loop.average.mean, rest.loop.average.mean))


def random_logits(slots: Slots, moments: int, scale: float) -> Logits:
    net = FactNet(slots, SMOKE.net)
    frames = torch.randint(0, 256, (moments, 3, 16, 16, 3), dtype=torch.uint8)
    with torch.no_grad():
        return Logits(*(part + scale * torch.randn_like(part) for part in net(frames)))


def painted_answers(moments: int = 30) -> tuple[Slots, Answers, list]:
    facts = [read_facts(line) for line in paint_episode(0, steps=moments - 1).facts]
    slots = Slots.of(facts)
    return slots, slots.answers(facts), facts


def test_f1_over_slots_is_f1_over_statements():
    torch.manual_seed(0)
    slots, true, facts = painted_answers()
    beliefs = beliefs_of(random_logits(slots, len(true), 2.0), slots)
    for least in (0.05, 0.2, 0.5):
        said = answered(beliefs, slots, Thresholds(**dict.fromkeys(vars(Thresholds()), least)))
        pairs = [(statements(*slots.facts(said, row)), statements(*facts[row])) for row in range(len(true))]
        assert agreement(said, true, slots) == sum((Score.of(*pair) for pair in pairs), Score())
    chosen = best_thresholds(beliefs, true, slots)
    assert agreement(answered(beliefs, slots, chosen), true, slots).f1 >= agreement(said, true, slots).f1


def test_the_loss_is_zero_for_certain_truth_and_asks_no_place_of_what_is_not_there():
    slots, true, _ = painted_answers()
    logits = random_logits(slots, len(true), 0.0)
    sure = [torch.full_like(part, -50.0) for part in logits]
    for part, wanted in zip(sure, (true.choices, true.counts, true.places, true.distances)):
        part.scatter_(-1, torch.from_numpy(wanted)[..., None], 50.0)
    sure[-1][torch.from_numpy(true.events)] = 50.0
    assert all(float(part) < 1e-6 for part in losses(Logits(*sure), true).values())
    wrong = [part.clone() for part in sure]
    absent = torch.from_numpy(true.counts == 0)
    wrong[2][absent] = wrong[2][absent].flip(-1)
    assert float(losses(Logits(*wrong), true)["places"]) < 1e-6
    wrong[2] = wrong[2].flip(-1)
    assert float(losses(Logits(*wrong), true)["places"]) > 1


def test_strange_clips_hold_the_pixels_of_the_clip_in_another_order_or_noise():
    clip = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    made = [strange_clip(clip, np.random.default_rng(seed)) for seed in range(20)]
    assert all(a.shape == clip.shape and a.dtype == np.uint8 and not np.array_equal(a, clip) for a in made)
    values = np.sort(clip[0].ravel())
    same = [np.array_equal(np.sort(a[0].ravel()), values) for a in made]
    assert 5 < sum(same) < 15


@pytest.mark.slow
def test_painted_facts_are_learned_and_written_back(tmp_path, data):
    """To F1 1 on maps never seen; then a recording without facts gets the captions that it lacks."""
    config = replace(
        SMOKE,
        optim=OptimConfig(steps=450, batch=32, lr=3e-3, warmup=10, decay=0.6, ema=0.9, muon=True),
        run=replace(SMOKE.run, bf16=True),
        moments=2000,
        held_out=100,
    )
    captioner = train_captioner(config, data, tmp_path / "run")
    exported = Captioner.from_pretrained(tmp_path / "run" / "captioner")
    assert exported.digest == captioner.digest
    card = (tmp_path / "run" / "captioner" / "README.md").read_text()
    assert captioner.digest in card and "| Scene | 410 | 82 | 100.0 |" in card
    held_out = record(tmp_path / "held", range(1_000_010, 1_000_012), "val")
    nameless = record(tmp_path / "nameless", range(1_000_010, 1_000_012), "val", facts=False)
    recording = Recording.open(nameless)
    for number, true in enumerate(Recording.open(held_out).episodes()):
        facts = [read_facts(line) for line in true.facts]
        found = episode_facts(captioner, recording, number)
        first = [(scene, view, events if t else ()) for t, (scene, view, events) in enumerate(facts)]
        score = sum((Score.of(statements(*a), statements(*b)) for a, b in zip(found, first)), Score())
        assert score.f1 == 1, score
    # what shows no world is not captioned, unless the world is told
    noise = np.random.default_rng(5).integers(0, 256, (20, 3, 64, 64, 3), np.uint8)
    assert {scene.world for scene, *_ in facts_in_order(captioner, captioner.beliefs(noise))} == {""}
    assert {scene.world for scene, *_ in captioner.facts(noise, "worldsim/Scene-v0")} == {"Scene"}

    write_captions(
        nameless, uncaptioned(recording, captioner.digest),
        lambda opened, number: caption_episode(captioner, opened, number, "descriptive", 0), captioner.digest,
    )  # fmt: skip
    written = Recording.open(nameless, verify=True).episode(0)
    for line, true_line in list(zip(written.facts, Recording.open(held_out).episode(0).facts))[1:]:
        assert read_facts(line)[1:] == read_facts(true_line)[1:]
    assert all(written.views) and written.scene
