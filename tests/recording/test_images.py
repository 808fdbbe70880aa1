"""Frames of any size at the size of a recording."""

from __future__ import annotations

import numpy as np

from worldsim.recording.images import fit_frame


def test_frames_are_fitted_without_distortion() -> None:
    y, x = np.mgrid[0:64, 0:64]
    round_thing = ((y - 32) ** 2 + (x - 32) ** 2 < 12**2)[..., None] * np.full(3, 255)
    for size in ((64, 96), (96, 64), (32, 32), (128, 128)):
        fitted = fit_frame(round_thing.astype(np.uint8), size)
        assert fitted.shape == (*size, 3)
        rows, columns = (np.ptp(np.flatnonzero(fitted[..., 0].max(axis) > 127)) + 1 for axis in (1, 0))
        assert abs(int(rows) - int(columns)) <= 2
    frame = np.zeros((64, 64, 3), np.uint8)
    same = fit_frame(frame, (64, 64))
    assert not np.shares_memory(same, frame)


def test_what_shrinks_is_a_mean_over_areas_of_the_centre() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (36, 64), np.uint8)
    fitted = fit_frame(grey[..., None].repeat(3, 2), (9, 9))
    areas = grey[:, 14:50].reshape(9, 4, 9, 4).mean((1, 3))
    assert np.abs(fitted[..., 0] - areas).max() <= 0.5
