"""The direction of time, the loss weight, the size shift, the weight of change."""

import pytest
import torch

from worldsim.diffusion import flow


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
    weight = flow.change_weight(z, patch=2, most=16)
    assert float(weight.mean()) == pytest.approx(1.0)
    ratio = weight[0, 2, 0, 0, 2] / weight[0, 2, 0, 3, 0]
    assert float(ratio) == pytest.approx(16.0)
    assert torch.all(weight[0, 0] == weight[0, 1])
