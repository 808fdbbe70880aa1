"""True motion of the picture, for cameras whose motion is known."""

import numpy as np
import pytest

from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.recording.motion import CELL, motion_field

SIZE, FOCAL = 64, 32.0
K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1.0]])
OFFSET = np.arange(CELL // 2, SIZE, CELL) + 0.5 - SIZE / 2  # of the places from the middle, in pixels


def seen(depth: float, x: float = 0.0, z: float = 0.0, turn: float = 0.0) -> dict:
    """A wall of one depth in front of a camera at (x, 0, z), turned right by ``turn`` degrees."""
    a = np.radians(turn)
    c2w = np.eye(4)
    c2w[:3, :3] = [[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]
    c2w[:3, 3] = x, 0, z
    return {"depth": np.full((SIZE, SIZE), depth), "camera": {"K": K, "c2w": c2w}}


def test_a_camera_that_rests_moves_nothing():
    assert np.abs(motion_field(seen(3.0), seen(3.0))).max() < 1e-3


def test_a_step_forward_fetches_from_nearer_to_the_middle():
    field = motion_field(seen(4.0), seen(3.0, z=1.0)).astype(float)
    assert field[0] == pytest.approx(np.tile(OFFSET * (3 / 4 - 1) / CELL, (16, 1)), abs=0.01)
    assert field[1] == pytest.approx(np.tile(OFFSET[:, None] * (3 / 4 - 1) / CELL, (1, 16)), abs=0.01)


def test_a_step_to_the_right_fetches_from_the_right_and_not_from_outside():
    field = motion_field(seen(2.0), seen(2.0, x=0.5)).astype(float)
    outside = OFFSET + 0.5 * FOCAL / 2 >= SIZE / 2
    assert np.isnan(field[:, :, outside]).all()
    assert field[0][:, ~outside] == pytest.approx(0.5 * FOCAL / 2 / CELL, abs=0.01)


def test_a_turn_follows_the_angle_whatever_the_depth():
    turned = np.degrees(np.arctan(OFFSET / FOCAL)) + 10.0
    expected = (FOCAL * np.tan(np.radians(turned)) - OFFSET) / CELL
    before, after = seen(5.0), seen(5.0, turn=10.0)
    before["depth"] = np.full((SIZE, SIZE), np.nan)
    assert np.isnan(motion_field(before, after).astype(float)).all()  # nothing is known to have been seen
    before["depth"] = np.tile(np.linspace(4.0, 6.2, SIZE), (SIZE, 1))
    after["depth"] = np.full((SIZE, SIZE), 5.0)
    field = motion_field(before, after).astype(float)[0, 8]
    known = np.isfinite(field)
    assert known.sum() >= 4
    assert field[known] == pytest.approx(expected[known], abs=0.02)


def test_what_was_hidden_is_unknown():
    near = seen(3.0)
    near["depth"][:, : SIZE // 2] = 1.0  # a pillar stood in front of the left half
    field = motion_field(near, seen(3.0)).astype(float)
    assert np.isnan(field[:, :, :6]).all() and np.isfinite(field[:, :, 9:]).all()


def test_worlds_tell_a_motion_that_explains_the_picture():
    config = GenerateConfig("DoomRooms", motion=True, workers=0, episodes=2, max_steps=20, split="val")
    gains = []
    for episode in generate_episodes(config):
        assert episode.motion is not None and episode.motion.shape == (len(episode), 2, 16, 16)
        for t, field in enumerate(episode.motion.astype(np.float64)):
            before, after = episode.observations[t : t + 2].astype(float)
            rows, columns = np.nonzero(np.isfinite(field).all(0))
            v, u = CELL * rows + CELL // 2, CELL * columns + CELL // 2
            x, y = (np.rint(p + CELL * f[rows, columns]).astype(int) for p, f in ((u, field[0]), (v, field[1])))
            here = after[v, u]
            error = np.abs(here - before[y.clip(0, 63), x.clip(0, 63)]).mean()
            copied = np.abs(here - before[v, u]).mean()
            if copied > 5:
                gains.append(error / copied)
    assert len(gains) > 5 and np.median(gains) < 0.7
