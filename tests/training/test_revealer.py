"""A revealer's training: what it is taught is what was truly uncovered, and it follows keys and words alike."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from painted import COLOURS

from worldsim.actions import ACTION_ID
from worldsim.captions.facts import EventFact, SceneFacts, Surface, ViewFacts
from worldsim.cli.train import main
from worldsim.model.debug import debug_simulator
from worldsim.model.revealer import Revealer, RevealerConfig
from worldsim.model.starter import Starter
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.recording.facts_json import facts_to_json
from worldsim.training.presets import smoke
from worldsim.training.revealer import RevealerTraining, chances, figures, told_alone, told_of_another, untold
from worldsim.training.reveals import Reveals, moments_of, read_reveals, returned, returns_of
from worldsim.worlds import WORLDS

PAST = 5
CONFIG = replace(smoke().revealer, revealer=RevealerConfig(width=8, past=PAST))
RISE = 4
"""Steps in which a painted door opens."""
NAMES = list(COLOURS)


def door_episode(
    seed: int, split: str = "train", steps: int = 12, uses: int = 4, opens: bool = True, closes: int = -1
) -> Episode:
    """Before a door of one colour, in the right half of the picture, that rises when it is used; where it is none
    (``opens`` False) the wall stays. The camera stands still from the second step on. In step ``closes`` an event tells
    that it has closed."""
    rng = np.random.default_rng(seed)
    name, wall, behind = rng.choice(NAMES, 3, replace=False)
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:] = COLOURS[wall]
    frame[16:32, 8:24] = 255 - np.array(COLOURS[wall])
    if opens:
        frame[:, 32:] = COLOURS[name]
        frame[:, 40:44] = 0
    frames, motion = [frame], np.zeros((steps, 2, 16, 16), np.float16)
    motion[0] = np.nan  # the camera moves
    facts = [facts_to_json(scene(), ViewFacts(Surface(str(wall)), doors=(str(name),) if opens else ()))]
    for t in range(steps):
        frame = frame.copy()
        raised = min(RISE, t - uses + 1) if opens else 0
        if raised > 0:
            top = 64 - 16 * raised
            if t - uses < RISE:
                motion[t, :, top // 4 : top // 4 + 4, 8:] = np.nan
            frame[top:, 32:] = COLOURS[behind]
        frames.append(frame)
        told = (("door_opens", uses), ("door_closes", closes))
        events = tuple(EventFact(kind, str(name), "door") for kind, at in told if opens and t == at)
        facts.append(facts_to_json(scene(), ViewFacts(doors=(str(name),) if opens else ()), events))
    stack, last = np.stack(frames), np.arange(steps) == steps - 1
    use = np.arange(steps) == uses
    pose = np.zeros((steps + 1, 4), np.float32)
    pose[0, 0] = -1.0
    return Episode(
        world="DoomRooms", map_seed=seed, split=split, goal="", policy="explorer", first=stack[0],
        blocks=np.repeat(stack[1:, None], 4, axis=1), n_frames=np.full(steps, 4, np.int8),
        actions=np.where(use, ACTION_ID["use"], 0).astype(np.int16),
        keys=np.where(use, WORLDS["DoomRooms"].table.keys[ACTION_ID["use"]], 0).astype(np.uint32),
        camera=np.zeros((steps, 2), np.float32), reward=np.zeros(steps, np.float32), terminated=np.zeros(steps, bool),
        truncated=last, pose=pose, scene="", views=[""] * (steps + 1), events=[""] * (steps + 1), facts=facts,
        motion=motion,
    )  # fmt: skip


def scene() -> SceneFacts:
    return SceneFacts("DoomRooms", WORLDS["DoomRooms"].prompt)


def doors(count: int, first: int = 0, split: str = "train") -> list[Episode]:
    return [door_episode(first + i, split, opens=i % 4 != 3) for i in range(count)]


@pytest.fixture(scope="module")
def begin() -> WorldSimulator:
    return debug_simulator(1, starter=True)


@pytest.fixture(scope="module")
def made(begin) -> tuple[Reveals, Reveals]:
    return read_reveals(doors(80), begin.codec, CONFIG.revealer), read_reveals(
        doors(24, 500, "val"), begin.codec, CONFIG.revealer
    )


def test_moments_are_those_of_the_episode(begin) -> None:
    episode = door_episode(3)
    found = moments_of(episode, begin.codec, CONFIG.revealer, np.random.default_rng(0))
    assert found is not None
    plain, mirrored = found.rows(torch.arange(len(found) // 2)), found.rows(torch.arange(len(found) // 2, len(found)))
    steps = [4 + int(row.nonzero()[0, 0]) for row in plain.acted]  # the door is used in step 4
    assert set(steps) == set(range(4, 4 + PAST)) and torch.equal(plain.acted, plain.told)
    latents = begin.codec.encode(torch.from_numpy(episode.observations)[:, None])
    colour = json.loads(episode.facts[5])["events"][0]["colour"]
    for i, t in enumerate(steps):
        s = t + 1 - int(plain.lag[i])
        assert 1 <= s <= t and torch.allclose(plain.z[i].float(), latents[s], atol=0.02)
        high, low = (16 - 4 * min(RISE, max(0, step - 4)) for step in (t + 1, s))
        wanted = torch.zeros(16, 16, dtype=torch.bool)
        wanted[high:low, 8:] = True
        assert torch.equal(plain.gone[i], wanted)
        assert plain.colour[i].tolist() == plain.doors[i].tolist() == CONFIG.revealer.one_hot(colour)
        assert bool(plain.fresh[i]) == (s <= 4)
    assert torch.equal(mirrored.gone, plain.gone.flip(2)) and torch.equal(mirrored.acted, plain.acted)
    turned = begin.codec.encode(torch.from_numpy(episode.observations[:, :, ::-1].copy())[:, None])
    assert torch.allclose(mirrored.z[0].float(), turned[steps[0] + 1 - int(plain.lag[0])], atol=0.02)


def test_steps_in_which_the_camera_moves_are_left_out(begin) -> None:
    moving = door_episode(3)
    pose = moving.pose.copy()
    pose[6:, 3] += 14
    found = moments_of(replace(moving, pose=pose), begin.codec, CONFIG.revealer, np.random.default_rng(0))
    assert found is not None
    steps = torch.tensor([4 + int(row.nonzero()[0, 0]) for row in found.acted])
    assert 5 not in steps  # the step that turns
    assert (found.lag[steps > 5] <= steps[steps > 5] - 5).all()  # none reaches back beyond it
    unknown = replace(moving, pose=np.full_like(pose, np.nan))
    assert moments_of(unknown, begin.codec, CONFIG.revealer, np.random.default_rng(0)) is None


def test_a_trained_one_knows_what_is_gone_by_keys_and_by_words(begin, made, tmp_path) -> None:
    config = replace(CONFIG, optim=replace(CONFIG.optim, steps=500, batch=48, lr=1e-2, ema=0.98))
    config = replace(config, run=replace(config.run, bf16=False, probe_every=500, log_every=100, save_every=500))
    result = RevealerTraining(config, tmp_path, begin, *made).run()
    assert result.starter is not None and begin.starter is not None
    revealer = result.starter.revealer
    assert revealer is not None
    found = figures(revealer, made[1])
    assert min(found["recall"], found["precision"]) > 0.9, found
    assert min(found["recall_told"], found["precision_told"]) > 0.85, found
    assert found["alarms"] < 0.1 and found["alarms_another"] < 0.25, found
    assert result.digest == begin.digest and result.starter.digest != begin.starter.digest
    assert "\n## Revealer\n" in result.starter.card and result.starter.digest in result.starter.card
    loaded = Starter.from_pretrained(tmp_path / "model" / "starter")
    assert loaded.digest == result.starter.digest
    columns = (made[1].z.float(), made[1].acted, made[1].told, made[1].colour)
    for one in (result.starter, loaded):
        far = (chances(revealer, made[1]) - 0.5).abs() > 0.05  # weights are kept in half precision
        assert torch.equal(one.gone(*columns)[:, 0][far], (chances(revealer, made[1]) >= 0.5)[far])
    assert (tmp_path / "sheets" / "revealer-000500.png").exists()


def test_a_run_that_goes_on_is_one_that_was_never_interrupted(begin, made, tmp_path) -> None:
    run = replace(CONFIG.run, bf16=False)
    config = replace(CONFIG, optim=replace(CONFIG.optim, steps=12), run=replace(run, save_every=4, probe_every=12))
    whole = RevealerTraining(config, tmp_path / "whole", begin, *made).run()
    RevealerTraining(config, tmp_path / "parts", begin, *made).run(until=5)
    again = RevealerTraining(config, tmp_path / "parts", begin, *made)
    assert again.loop.resume()
    assert again.run().starter.digest == whole.starter.digest  # type: ignore[union-attr]


def test_what_moments_are_told(made) -> None:
    moments, rng = made[1], np.random.default_rng(0)
    assert not untold(moments).told.any() and not untold(moments).colour.any()
    assert torch.equal(untold(moments).gone, moments.gone)
    alone = told_alone(moments, rng, 0.5)
    assert not alone.acted.any() and torch.equal(alone.told, moments.told) and torch.equal(alone.gone, moments.gone)
    assert 0.3 < alone.colour[moments.colour.any(1)].any(1).float().mean() < 0.7
    other = told_of_another(moments, rng)
    assert (other.told.sum(1) == 1).all() and (other.colour.sum(1) == 1).all() and not other.gone.any()
    assert not (other.colour * moments.doors).any() and not other.acted.any()


def test_what_nothing_can_be_learned_from_is_refused(begin, made, tmp_path) -> None:
    codec, config = begin.codec, CONFIG.revealer
    with pytest.raises(ValueError, match="true motion of the picture, which worlds tell that play live"):
        read_reveals([replace(door_episode(1), motion=None)], codec, config)
    for nothing in ([], [door_episode(3, opens=False)]):
        with pytest.raises(ValueError, match="nothing is taken away by use in the episodes of DoomRooms"):
            read_reveals(nothing, codec, config)
    blind = begin.with_starter(None)
    with pytest.raises(ValueError, match="no starter that completes DoomRooms"):
        RevealerTraining(CONFIG, tmp_path, blind, *made)
    with pytest.raises(ValueError, match="shares are at least 0"):
        replace(CONFIG, acted=-1.0)
    with pytest.raises(ValueError, match=r"and only .* are completed"):
        assert begin.starter is not None
        begin.starter.with_revealer(Revealer(RevealerConfig(worlds=("Crafter",)), 4))


def test_how_long_what_is_taken_away_is_gone_is_read_off_events() -> None:
    config, closes = CONFIG.revealer, ("door_closes",)

    def found(*acts: int, **given: int) -> list[int]:
        episode = door_episode(3, steps=30, **given)
        keys = episode.keys.copy()
        keys[list(acts)] = keys[4]
        return returned(replace(episode, keys=keys), config, closes)

    assert found(closes=20) == [17]  # 16 steps later it is closed but for the last of it
    assert found() == found(closes=3) == []
    assert found(5, closes=20) == [17]  # held on: one act
    assert found(8, closes=20) == []  # who uses an open door closes it
    assert found(8, 25, closes=7) == [4]
    assert returned(replace(door_episode(3, steps=30, closes=20), world="Scene"), config, closes) == []
    late = [replace(door_episode(i, steps=30, closes=20), keys=np.zeros(30, np.uint32)) for i in range(2)]
    assert [returned(episode, config, closes) for episode in late] == [[], []]  # opened by nobody


def test_how_long_it_is_gone_is_kept_with_what_was_learned_from(tmp_path) -> None:
    played = [door_episode(i, steps=30, closes=20 + i) for i in range(3)]
    made = partial(returns_of, CONFIG.revealer, ("door_closes",))
    assert made(lambda: played, tmp_path, "here").steps.tolist() == [17, 18, 19]
    assert made(list, tmp_path, "here").steps.tolist() == [17, 18, 19]
    with pytest.raises(ValueError, match="are of source here"):
        made(lambda: played, tmp_path, "elsewhere")
    with pytest.raises(ValueError, match=r"nothing that use takes away returns \(door_closes\)"):
        made(lambda: [door_episode(1)], tmp_path / "other", "here")
    for wrong in ({"returns": ("shut",)}, {"watch": -1}, {"watch_max": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(CONFIG, **wrong)
    with pytest.raises(ValueError, match="lasts=40 is given and watch=9 would measure it"):
        replace(CONFIG, watch=9, revealer=replace(CONFIG.revealer, lasts=40))


@pytest.mark.slow
def test_the_command_exports_the_model_with_its_revealer(begin, tmp_path) -> None:
    begin.save_pretrained(tmp_path / "model")
    out = tmp_path / "out"
    command = ["revealer", "--preset", "smoke", "--model", str(tmp_path / "model"), "--out", str(out)]
    command += ["--train.watch", "1200", "--train.revealer.past", "12"]
    played = ["--source.worlds", "DoomRooms", "--source.policies", "explorer", "--source.max-steps", "24"]
    played += ["--source.steps", "500", "--source.held-out", "16", "--source.workers", "0"]
    assert main(command + played) == 0
    result = WorldSimulator.from_pretrained(out / "model")
    assert result.digest == begin.digest and result.starter is not None and begin.starter is not None
    assert result.starter.config.revealer is not None and result.starter.digest != begin.starter.digest
    assert result.starter.config.revealer.lasts == 59
    with pytest.raises(ValueError, match="a revealer needs a source that ends"):
        main(command)
    with pytest.raises(ValueError, match="are of source"):
        main([*command, *played, "--source.seed", "5"])


def test_who_uses_an_open_door_closes_it_and_tells_nothing(begin) -> None:
    episode = door_episode(3, steps=14)
    keys = episode.keys.copy()
    keys[5] = keys[4]  # held on: one act
    found = moments_of(replace(episode, keys=keys), begin.codec, CONFIG.revealer, np.random.default_rng(0))
    assert found is not None and (found.acted.sum(1) == 1).all()
    keys[7] = keys[4]
    again = moments_of(replace(episode, keys=keys), begin.codec, CONFIG.revealer, np.random.default_rng(0))
    assert again is not None and again.acted.shape[0] < found.acted.shape[0]
    assert {int(row.nonzero()[0, 0]) for row in again.acted} == {0, 1, 2}  # until it is used again


def test_acts_in_vain_and_where_no_door_is_take_nothing(begin) -> None:
    wall = door_episode(4, steps=60, opens=False)
    pose = wall.pose.copy()
    pose[6:20, 0] = np.arange(14)  # walks while it was used not long ago
    found = moments_of(replace(wall, pose=pose), begin.codec, CONFIG.revealer, np.random.default_rng(0))
    assert found is not None and not found.gone.any() and not found.told.any() and (found.acted.sum(1) == 1).all()
    ages = found.acted.int().argmax(1)
    assert len(ages) > 2 * (PAST + 4) and set(ages.tolist()) == set(
        range(PAST)
    )  # some are of steps in which nobody acted
    opened = moments_of(
        replace(door_episode(3, steps=40), pose=pose[:41]), begin.codec, CONFIG.revealer, np.random.default_rng(0)
    )
    assert opened is not None and opened.told.any(1).all()  # a door is in sight all the time, and none was used in vain
