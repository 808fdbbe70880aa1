"""Level patterns of training."""

import pytest
import torch

from worldsim.diffusion.conditions import CAUSAL, FULL, LevelMix, draw_levels


def draw(mix, batch=2000, frames=12):
    return draw_levels(batch, frames, mix, torch.Generator().manual_seed(0))


def test_shared_levels_are_equal_within_a_clip():
    tau, _ = draw(LevelMix(shared=1.0, independent=0.0))
    assert torch.equal(tau, tau[:, :1].expand_as(tau))
    assert tau.min() < 0.02 and tau.max() > 0.98


def test_independent_levels_differ_and_hold_clean_contexts():
    tau, _ = draw(LevelMix(shared=0.0, independent=1.0))
    assert (tau[:, 0] != tau[:, 1]).float().mean() > 0.99
    clean = (tau > 0.8).float().mean(1)
    assert clean.min() < 0.3 and clean.max() > 0.95


def test_a_share_of_the_frames_that_are_not_context_is_blind():
    tau, _ = draw(LevelMix(shared=0.0, independent=1.0, blind=0.3))
    noisy = tau[tau < 0.5]  # context is never that noisy; half of the other levels would be above
    assert abs(float((noisy == 0).float().mean()) - 0.3 / (0.3 + 0.7 / 2)) < 0.02


def test_every_noisy_frame_follows_a_nearly_clean_one():
    tau, mode = draw(LevelMix(shared=0.0, independent=0.0, following=1.0, context_noise=0.1, blind=0.5))
    noisy = tau < 0.9
    assert not (noisy[:, 1:] & noisy[:, :-1]).any()
    assert 0.25 < noisy[:, 1:].float().mean() < 0.5
    assert abs(float((tau[noisy] == 0).float().mean()) - 0.5 / (0.5 + 0.5 * 0.9)) < 0.02
    assert (mode == CAUSAL).all()


def test_share_of_full_attention():
    _, mode = draw(LevelMix(full_attention=0.3))
    assert abs(float((mode == FULL).float().mean()) - 0.3) < 0.04


def test_frames_given_after_wanted_ones_need_full_attention():
    mix = LevelMix(shared=0.0, independent=0.0, context_noise=0.0)
    tau, mode = draw(mix)
    given = tau == 1.0
    given_after_wanted = (given[:, 1:] & ~given[:, :-1]).any(1)
    assert given_after_wanted[mode == FULL].float().mean() > 0.5
    assert not given_after_wanted[mode == CAUSAL].any()


def test_shares_above_one_are_refused():
    with pytest.raises(ValueError, match="more than 1"):
        LevelMix(shared=0.7, independent=0.7)
