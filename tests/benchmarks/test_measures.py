"""Picture measures against values worked out by hand, and in the order that they must come in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from panorama import view
from worldsim_benchmarks import measures


def test_psnr_of_a_constant_difference() -> None:
    a = np.full((8, 8, 3), 100, np.uint8)
    b = np.full((8, 8, 3), 110, np.uint8)
    assert measures.psnr(a, b) == pytest.approx(20 * np.log10(25.5), abs=1e-5)
    assert measures.psnr(a, a) == measures.PSNR_CAP


def test_only_the_mask_counts() -> None:
    a = view(0, 0.0)
    b = a.copy()
    b[:, :24] = 0
    mask = np.zeros(a.shape[:2], bool)
    mask[:, 30:] = True
    assert measures.psnr(a, b, mask) == measures.PSNR_CAP
    assert measures.ssim(a, b, mask) == pytest.approx(1.0)
    assert measures.ssim(a, b) < 0.7


def test_frames_with_a_small_mask_are_not_compared() -> None:
    frames = np.stack([view(0, 0.0)] * 2)
    mask = np.zeros(frames.shape[:3], bool)
    mask[1, :4] = True
    scores = measures.compare(frames, frames, mask)
    assert np.isnan(scores.ssim[0])
    assert scores.ssim[1] == pytest.approx(1.0)


def test_ssim_puts_blur_above_another_world_and_psnr_likes_grey_too_much() -> None:
    truth = np.kron(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    other = np.kron(np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    blurred = cv2.GaussianBlur(truth, (0, 0), 1.5)
    grey = np.full_like(truth, 128)
    assert measures.ssim(truth, truth) > measures.ssim(blurred, truth) > measures.ssim(other, truth)
    assert measures.psnr(grey, truth) > measures.psnr(other, truth)


def test_moved_and_patch_errors() -> None:
    a = np.zeros((32, 32, 3), np.uint8)
    b = a.copy()
    b[:16, 16:] = 60
    assert measures.moved(a, b)
    assert not measures.moved(a, a)
    assert measures.patch_error(a, b, 16).tolist() == [[0, 3600], [0, 0]]


def test_sharpness_falls_with_blur_and_colours_are_named_right() -> None:
    frame = np.kron(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    sharp = dict(zip(measures.FRAME_STATISTICS, measures.frame_statistics(frame)))
    soft = dict(zip(measures.FRAME_STATISTICS, measures.frame_statistics(cv2.GaussianBlur(frame, (0, 0), 2))))
    assert soft["sharpness"] < 0.8 * sharp["sharpness"]
    assert soft["red"] == pytest.approx(sharp["red"], abs=6)
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    plain = dict(zip(measures.FRAME_STATISTICS, measures.frame_statistics(red)))
    assert (plain["red"], plain["green"], plain["sharpness"], plain["saturation"]) == (200, 0, 0, 200)
