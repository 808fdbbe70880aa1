"""One model of many sizes: its errors at each of them, against floors that need no model."""

from dataclasses import replace

import numpy as np
import pytest
from shades import make_episode

from worldsim.cli.study import sizes_lines
from worldsim.model.debug import debug_simulator
from worldsim.studies.errors import EpisodeErrors
from worldsim.studies.runs import Material
from worldsim.studies.sizes import AtSize, Rollout, best_floor, rollouts, study
from worldsim.training.latents import LatentStore, encode_episode
from worldsim.training.native import PackConfig


def test_one_model_is_asked_at_each_size(tmp_path, config, material):
    sizes = ((32, 32), (32, 48), (48, 32))
    episodes = [make_episode(24, seed, size=size) for size in sizes for seed in range(4)]
    latents = [encode_episode(e, material.codec) for e in episodes]
    held = [i for i, e in enumerate(episodes) if e.map_seed % 2]
    store = LatentStore([z for i, z in enumerate(latents) if i not in held])
    many = Material(material.codec, store, tuple(episodes[i] for i in held), tuple(latents[i] for i in held))
    packed = replace(config, pack=PackConfig(2000, durations=(4, 8)))
    found = study(packed, many, tmp_path, count=2)
    assert [at.size for at in found] == list(sizes)
    for at in found:
        assert [r.map_seed for r in at.rollouts] == [e.map_seed for e in at.following] == [1, 3]
        assert {e.size for e in at.following} == {(at.size[0] // 4, at.size[1] // 4)}
    with pytest.raises(ValueError, match="without packs a run has one size"):
        study(config, many, tmp_path / "unpacked", count=2)


def test_floors_of_a_picture_that_stands_still():
    shades = {0: 51, 1: 153}  # of 255: 0.2 and 0.6
    episodes = [make_episode(24, seed) for seed in shades]
    flat = [
        replace(
            e,
            first=np.full_like(e.first, shades[e.map_seed]),
            blocks=np.full_like(e.blocks, shades[e.map_seed]),
        )
        for e in episodes
    ]
    one, two = rollouts(debug_simulator(bank=False), flat)
    for rollout in (one, two):
        assert rollout.errors["frozen"].tolist() == [0.0] * 16
        assert np.allclose(rollout.errors["grey"], 0, atol=1e-9)
        assert np.allclose(rollout.errors["other"], 0.4**2)
        assert rollout.errors["dream"].shape == (16,) and (rollout.errors["dream"] > 0).all()


def test_episodes_that_are_too_short_are_told():
    with pytest.raises(ValueError, match="1 held-out episodes of 32x32 have the 22 steps of a rollout"):
        rollouts(debug_simulator(bank=False), [make_episode(24), make_episode(21, 1)])


def test_the_table_has_the_skill_over_the_best_floor_in_the_later_half_of_a_horizon():
    ramp = np.arange(16) / 16
    errors = {"dream": ramp, "frozen": 2 * ramp, "grey": np.full(16, 0.9), "other": np.full(16, 3.0)}
    found = [Rollout(seed, errors) for seed in (1, 2)]
    assert best_floor(found, 4) == "frozen" and best_floor(found, 16) == "grey"
    following = [EpisodeErrors("DoomRooms", seed, (16, 16), 1.0, 0.3, 0.4) for seed in (1, 2)]
    over, near, far = sizes_lines([AtSize((64, 64), following, found)])
    assert (over.what, over.value, over.ok) == ("64x64: next latent over copying", "0.750 [0.750, 0.750]", True)
    assert (near.what, near.value) == ("64x64: skill over frozen, 4 steps", "0.500 [0.500, 0.500]")
    later = 1 - ramp[8:].mean() / 0.9
    assert far.value == f"{later:.3f} [{later:.3f}, {later:.3f}]" and far.ok
