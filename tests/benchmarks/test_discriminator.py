"""Samples that are alike are not told apart, samples that differ are, and maps are never on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from worldsim_benchmarks.discriminator import features, told_apart


def clip(rng: np.random.Generator, blur: int = 0, moves: bool = True) -> np.ndarray:
    """uint8 ``(9, 32, 32, 3)`` of noise that moves by a pixel a frame."""
    noise = rng.integers(0, 256, (32, 48, 3)).astype(float)
    for _ in range(blur):
        noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 3
    return np.stack([noise[:, i * moves : 32 + i * moves] for i in range(9)]).astype(np.uint8)


def sample(count: int, seed: int, **kwargs: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([features(clip(rng, **kwargs)) for _ in range(count)])


def test_samples_of_one_kind_are_not_told_apart() -> None:
    told = [told_apart(sample(30, 2 * i), sample(30, 2 * i + 1), range(30), range(30)).value for i in range(6)]
    assert 0.4 < np.mean(told) < 0.6


@pytest.mark.parametrize("kind", [{"blur": 2}, {"moves": False}])
def test_blur_and_stillness_are_seen(kind: dict[str, int]) -> None:
    told = told_apart(sample(30, 0), sample(10, 1, **kind), range(30), range(10))
    assert told.value > 0.95


def test_equal_clips_answer_half() -> None:
    same = sample(20, 0)
    assert told_apart(same, same, range(20), range(20)).value == pytest.approx(0.5)


def test_what_only_names_its_map_is_no_clue() -> None:
    """Clips of a map are alike, and half of the maps are in both samples."""
    of_map = np.eye(20)[np.repeat(np.arange(20), 2)]
    told = told_apart(
        of_map[:30], of_map[10:], np.repeat(np.arange(15), 2).tolist(), np.repeat(np.arange(5, 20), 2).tolist()
    )
    assert told.low <= 0.5


def test_few_maps_cannot_be_asked() -> None:
    assert np.isnan(told_apart(sample(20, 0), sample(9, 1), range(20), range(9)).value)


def test_features_are_shares_and_energies_of_the_whole_clip() -> None:
    still = features(np.full((3, 32, 32, 3), 100, np.uint8))
    assert still[:24].reshape(3, 8).sum(1) == pytest.approx([1, 1, 1])
    assert not still[24:].any()  # no gradient, no change, no energy


def test_small_pictures_have_fewer_bands() -> None:
    small = features(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8))
    assert np.isfinite(small).all() and len(small) < len(features(clip(np.random.default_rng(0))))
