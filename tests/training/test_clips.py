"""Alignment of clips: the action that produced a latent, its reward and its end stand at that latent."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from shades import SPEC, clips_from, make_episode, with_cut

from worldsim.actions import KEY_BIT, multi_hot
from worldsim.captions.facts import SceneFacts, Surface, ViewFacts
from worldsim.model.codec import Codec, CodecConfig
from worldsim.model.conditioning import ACTED, FIRST, NO_VIEW, UNKNOWN
from worldsim.recording.facts_json import facts_to_json
from worldsim.training.clips import ClipConfig
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.latents import LatentStore, encode_episode
from worldsim.training.probes import _shuffle_within_worlds
from worldsim.training.sampling import ClipSampler
from worldsim.training.shares import check_held

KEEP = ClipConfig(length=12, drop_text=0.0, drop_action=0.0, no_view=0.0)


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    config = CodecConfig(fine_width=8, coarse_width=8, fine_depth=1, coarse_depth=1, decoder_fine_depth=1)
    return Codec(config).eval().requires_grad_(False)


@pytest.fixture
def store(codec, episodes):
    store = LatentStore()
    store.extend(episodes, codec, image_every=5)
    return store


def test_controls_and_targets_belong_to_the_action_that_made_the_latent(codec):
    episode = make_episode(steps=30, dies=True)
    encoded = encode_episode(episode, codec)
    clips = clips_from([(encoded, 0), (encoded, 7)], KEEP)
    assert clips.controls.known[0].tolist() == [FIRST] + [ACTED] * 11
    assert clips.controls.known[1].tolist() == [ACTED] * 12
    for row, start in ((0, 0), (1, 7)):
        for t in range(1 if start == 0 else 0, 12):
            step = start + t - 1
            assert float(clips.reward[row, t]) == float(episode.actions[step])
            assert torch.equal(clips.controls.keys[row, t], torch.from_numpy(multi_hot(episode.keys[step])))
            shade = torch.from_numpy(episode.blocks[step][None])
            assert torch.allclose(clips.z[row, t], codec.encode(shade)[0].half().float(), atol=2e-2)
    assert clips.paid[0].tolist() == [False] + [True] * 11
    assert clips.paid[1].all()
    assert torch.allclose(clips.seconds[0, :3], torch.arange(3) * SPEC.step_seconds)


def test_no_action_leads_across_a_cut_and_the_view_before_it_is_no_longer_told(codec):
    encoded = encode_episode(with_cut(make_episode(steps=30), 4), codec)
    assert encoded.cuts == (4,)
    clips = clips_from([(encoded, 0), (encoded, 3), (encoded, 5)], replace(KEEP, drop_action=1.0))
    assert clips.controls.known[0].tolist() == [FIRST, *[UNKNOWN] * 4, FIRST, *[UNKNOWN] * 6]
    assert clips.controls.known[1].tolist() == [UNKNOWN] * 2 + [FIRST] + [UNKNOWN] * 9
    assert clips.controls.known[2].tolist() == [FIRST] + [UNKNOWN] * 11
    assert clips.paid[1].tolist() == [True] * 2 + [False] + [True] * 9
    found = set()
    for seed in range(30):
        age = clips_from([(encoded, 3)], KEEP, seed).words.view_age[0]
        told = {t for t in range(12) if age[t] != NO_VIEW}
        before, after = bool(told & {0, 1}), bool(told & {*range(2, 12)})
        assert not (before and after)
        found.add((before, after))
    assert {(True, False), (False, True)} <= found


def test_a_cache_keeps_cuts_and_reads_one_that_knows_none(codec, tmp_path):
    encoded = encode_episode(make_episode(steps=9), codec)
    LatentStore([replace(encoded, cuts=(2, 5)), encoded]).append_to(tmp_path)
    assert [e.cuts for e in LatentStore.open(tmp_path).episodes] == [(2, 5), ()]
    path = next(tmp_path.glob("*.json"))
    texts = json.loads(path.read_text())["texts"]
    old = [{name: value for name, value in text.items() if name != "cuts"} for text in texts]
    path.write_text(json.dumps({"format_version": 1, "texts": old}))
    assert [e.cuts for e in LatentStore.open(tmp_path).episodes] == [(), ()]


def test_a_clip_past_the_end_is_masked_and_holds_the_termination(codec):
    episode = make_episode(steps=15, dies=True)
    clips = clips_from([(encode_episode(episode, codec), 8)], KEEP)
    assert clips.valid[0].tolist() == [True] * 8 + [False] * 4
    assert clips.done[0].tolist() == [False] * 7 + [True] + [False] * 4
    assert not clips.paid[0, 8:].any()


def test_view_ages_count_from_the_moment_that_the_view_describes(codec):
    encoded = encode_episode(make_episode(steps=40), codec)
    ages = set()
    for seed in range(40):
        clips = clips_from([(encoded, 9)], replace(KEEP, length=4), seed)
        age = clips.words.view_age[0]
        ages.add(int(age[0]))
        begun = age >= 0
        assert torch.all(age[~begun] == NO_VIEW)
        assert torch.all(age[begun].diff() == 1)
        assert begun.any()
        assert begun.diff().sum() <= 1
    assert {NO_VIEW, 0} <= ages
    assert max(ages) > 4
    blind = clips_from([(encoded, 9)], ClipConfig(length=4, no_view=1.0))
    assert torch.all(blind.words.view_age == NO_VIEW)
    assert not blind.words.view.any()


def test_events_stand_at_their_step(codec):
    encoded = encode_episode(make_episode(steps=30), codec)
    clips = clips_from([(encoded, 0)], KEEP)
    assert [t for t in range(12) if clips.words.event_index[0, t]] == [3, 10]


def test_events_told_alone_come_without_the_key_that_does_them(codec):
    held = sum(1 << KEY_BIT[name] for name in ("forward", "use", "attack"))
    episode = make_episode(steps=30)
    encoded = encode_episode(replace(episode, keys=np.full(30, held, np.uint32)), codec)
    both, walks = (torch.from_numpy(multi_hot(np.uint32(k))) for k in (held, 1 << KEY_BIT["forward"]))
    clips = clips_from([(encoded, 1)], replace(KEEP, told_alone=1.0))
    for t in range(12):
        told = bool(clips.words.event_index[0, t])
        assert told == ((1 + t) % 7 == 3)  # latent 1 + t
        assert torch.equal(clips.controls.keys[0, t], walks if told else both)
    assert clips.controls.known[0].tolist() == [ACTED] * 12
    # where the text is dropped, the deed must be told
    silent = clips_from([(encoded, 1)], replace(KEEP, told_alone=1.0, drop_text=1.0))
    assert torch.equal(silent.controls.keys[0], both.expand(12, -1))
    usual = clips_from([(encoded, 1)], KEEP)
    assert torch.equal(usual.controls.keys[0], both.expand(12, -1))


def test_dropped_actions_are_marked_unknown(codec):
    encoded = encode_episode(make_episode(steps=30), codec)
    config = ClipConfig(length=6, drop_action=1.0)
    clips = clips_from([(encoded, 0)], config)
    assert clips.controls.known[0].tolist() == [FIRST] + [UNKNOWN] * 5


def test_sampler_is_repeatable_and_finds_rare_steps(store):
    sampler = ClipSampler(store, ClipConfig(length=12, rare=1.0))
    first, again = (sampler.clips(8, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(first.z, again.z)
    assert torch.equal(first.words.scene, again.words.scene)
    unusual = (first.done | (first.reward.abs() > 0.5)) & first.valid
    assert unusual.any(1).all()


@pytest.mark.parametrize(
    ("shares", "expected"), [({}, 0.5), ({"DoomBasic": 3.0}, 0.25), ({"worldsim/DoomBasic-v0": 3.0}, 0.25)]
)
def test_worlds_are_drawn_by_their_shares(store, shares, expected):
    store = LatentStore([*store.episodes, *(replace(e, world="DoomBasic") for e in store.episodes)])
    sampler = ClipSampler(store, replace(KEEP, rare=0.0, shares=shares))
    worlds = sampler.clips(1000, np.random.default_rng(0)).words.world
    assert abs(float((worlds == SPEC.index).float().mean()) - expected) < 0.05


@pytest.mark.parametrize("shares", [{"DoomBasic": 0.0}, {"DoomBasic": float("nan")}, {"Quake": 1.0}])
def test_shares_that_mean_nothing_are_refused(shares):
    with pytest.raises(ValueError, match=next(iter(shares))):
        ClipConfig(shares=shares)


def test_shares_are_by_name_and_of_worlds_that_there_are_episodes_of():
    config = ClipConfig(shares={"worldsim/Table-v0": 9, "DoomRooms": 2})
    assert config.shares == {"Table": 9, "DoomRooms": 2} and replace(config, length=4).shares == config.shares
    check_held(config.shares, {"DoomRooms", "Table", "Crafter"})
    with pytest.raises(ValueError, match="shares of Table: there are episodes of Crafter, DoomRooms only"):
        check_held(config.shares, {"DoomRooms", "Crafter"})
    with pytest.raises(ValueError, match="name a world twice"):
        ClipConfig(shares={"worldsim/Table-v0": 9, "Table": 2})


def test_a_probe_takes_clips():
    for few in (-1, 0, 3):
        with pytest.raises(ValueError, match=f"probe_clips={few}: a probe takes 4"):
            WorldTrainConfig(probe_clips=few)


def test_singles_are_image_latents_without_history(store, codec):
    singles = ClipSampler(store, KEEP).singles(5, np.random.default_rng(0))
    assert singles.z.shape[1] == 1
    assert torch.all(singles.controls.known == FIRST)
    assert not singles.paid.any()
    held = torch.from_numpy(np.concatenate([e.images for e in store.episodes])).float()
    for z in singles.z[:, 0]:
        assert (held - z).abs().amax((1, 2, 3)).min() == 0


def test_singles_are_drawn_more_from_worlds_of_many_scenes(codec):
    """Eight scenes of Rooms against one of Basic: weights 1 + log2(8) = 4 against 1."""
    rooms = [encode_episode(make_episode(steps=20, seed=i), codec) for i in range(8)]
    colours = ("red", "green", "blue", "yellow", "purple", "orange", "cyan", "white")
    store = LatentStore(
        [
            replace(
                e,
                facts=[facts_to_json(SceneFacts("DoomRooms", walls=(Surface(c, "brick"),)), ViewFacts(), ())] * 21,
                given_words=None,
            )
            for e, c in zip(rooms, colours)
        ]
    )
    store.episodes += [replace(e, world="DoomBasic") for e in rooms]
    worlds = ClipSampler(store, KEEP).singles(1000, np.random.default_rng(0)).words.world
    assert abs(float((worlds == SPEC.index).float().mean()) - 0.8) < 0.04


def test_cache_on_disk_returns_what_was_stored_and_appends(tmp_path, store, codec):
    store.append_to(tmp_path)
    again = LatentStore.open(tmp_path)
    late = LatentStore()
    late.extend([make_episode(steps=25, seed=9)], codec)
    late.append_to(tmp_path)
    again.refresh(tmp_path)
    again.refresh(tmp_path)
    store.episodes += late.episodes
    assert [e.map_seed for e in again.episodes] == [e.map_seed for e in store.episodes]
    for a, b in zip(again.episodes, store.episodes):
        for name in ("z", "images", "keys", "camera", "reward", "done"):
            assert np.array_equal(getattr(a, name), getattr(b, name))
        assert a.facts == b.facts
    with pytest.raises(FileNotFoundError, match="no latent cache"):
        LatentStore.open(tmp_path / "nothing")


def test_shuffling_keeps_worlds_and_moves_every_clip():
    worlds = torch.tensor([0, 1, 0, 1, 0, 2, 2])
    order = _shuffle_within_worlds(worlds, torch.Generator().manual_seed(0))
    assert torch.equal(worlds[order], worlds)
    assert torch.all(order != torch.arange(7))
