"""The direction of time, the loss weight, the size shift, the weight of change."""

import pytest
import torch

from worldsim.diffusion import conditions, flow, sampler


def test_tau_is_signal():
    z, eps = torch.ones(1, 2, 1, 1, 1), torch.zeros(1, 2, 1, 1, 1)
    noisy = flow.add_noise(z, eps, torch.tensor([[1.0, 0.25]]))
    assert noisy.flatten().tolist() == [1.0, 0.25]


def test_velocity_leads_from_the_noisy_to_the_clean_latent():
    z, eps = torch.tensor(3.0), torch.tensor(-1.0)
    tau = 0.25
    noisy = (1 - tau) * eps + tau * z
    assert float(noisy + (1 - tau) * flow.velocity(z, noisy, tau)) == pytest.approx(3.0)


def test_shift_is_the_identity_at_the_native_size_and_noisier_above():
    tau = torch.linspace(0, 1, 9)
    assert torch.allclose(flow.shift(tau, flow.BASE_TOKENS), tau)
    shifted = flow.shift(tau, 4 * flow.BASE_TOKENS)
    assert torch.all(shifted[1:-1] < tau[1:-1])
    assert shifted[[0, -1]].tolist() == [0.0, 1.0]
    noise = torch.tensor(0.5)
    assert float(1 - flow.shift(1 - noise, 64)) == pytest.approx(2 * 0.5 / (1 + 0.5))  # SD3, eq. 23 with a = 2


def test_change_weight_marks_the_token_that_moves():
    z = torch.zeros(1, 3, 2, 4, 4)
    z[0, 2, :, 0:2, 2:4] = 1.0
    weight = flow.change_weights(z, patch=2, most=16)
    assert float(weight.mean()) == pytest.approx(1.0)
    ratio = weight[0, 2, 0, 0, 2] / weight[0, 2, 0, 3, 0]
    assert float(ratio) == pytest.approx(16.0)
    assert torch.all(weight[0, 0] == weight[0, 1])


def test_a_clip_in_which_little_moves_counts_as_much_as_one_in_which_all_does():
    z = torch.zeros(2, 2, 2, 4, 4)
    z[0, 1] = 1.0
    z[1, 1, :, 0:2, 0:2] = 1.0
    weight = flow.change_weights(z, patch=2, most=9)
    assert weight.mean((1, 2, 3, 4)).tolist() == pytest.approx([1.0, 1.0])
    assert float(weight[0, 1, 0, 0, 0]) == pytest.approx(9 / 5)
    assert float(weight[1, 1, 0, 0, 0]) == pytest.approx(9 / 2)


@pytest.mark.parametrize("tokens", [16, 24, 32, 48, 64])
def test_sampling_and_training_shift_their_levels_by_the_same_function(tokens):
    """Levels that the sampler visits are the training levels of its even grid, and larger frames have less signal."""
    grid = torch.linspace(0, 1, 9)
    levels = sampler.signal_levels(8, tokens)
    assert torch.equal(levels, flow.shift(grid, tokens))
    assert torch.all(levels.diff() > 0)
    assert torch.allclose(sampler.signal_levels(8), grid)
    assert torch.all(levels <= sampler.signal_levels(8, max(tokens - 8, flow.BASE_TOKENS)) + 1e-6)
    drawn = [
        conditions.draw_levels(64, 12, conditions.LevelMix(), torch.Generator().manual_seed(0), tokens=n)
        for n in (flow.BASE_TOKENS, tokens)
    ]
    assert torch.equal(drawn[0][1], drawn[1][1])
    assert torch.allclose(flow.shift(drawn[0][0], tokens), drawn[1][0], atol=1e-6)
