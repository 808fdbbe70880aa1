"""The sampler on an AR(1) process, whose exact denoiser and conditional distributions are known in closed form."""

import math

import pytest
import torch

from worldsim.diffusion import sampler

T, PHI = 6, 0.8
COVARIANCE = torch.tensor([[PHI ** abs(i - j) for j in range(T)] for i in range(T)], dtype=torch.float64)


def exact_denoiser(z, tau, steps):
    """Posterior mean of the AR(1) path given each entry at its own signal level (the best possible network)."""
    b = len(z)
    level = tau.expand(b, T)[0].double()
    y = z.reshape(b, T).double()
    given = level > 1 - 1e-9
    gain = COVARIANCE * level[None]  # Cov(x, y) with y = tau x + (1 - tau) eps
    total = level[:, None] * COVARIANCE * level[None] + torch.diag((1 - level).square())
    x = y @ torch.linalg.solve(total + 1e-12 * torch.eye(T, dtype=torch.float64), gain.T)
    x = torch.where(given, y, x)
    return x.float().reshape(z.shape)


def path(values, samples):
    return torch.tensor(values)[None, :, None, None, None].expand(samples, T, 1, 1, 1).contiguous()


def draw(samples, steps, given=None, ceiling=None):
    noise = torch.randn(samples, T, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    return sampler.sample(exact_denoiser, noise, steps, given, ceiling).x.reshape(samples, T).double()


def test_unconditional_samples_have_the_process_covariance():
    x = draw(20_000, 64)
    assert float((torch.cov(x.T) - COVARIANCE).abs().max()) < 0.06


@pytest.mark.parametrize("known", [[0, 1], [0], [4, 5], [0, 5], [0, 2, 4]])
def test_conditional_samples_have_the_exact_conditional_moments(known):
    """Extend forward, animate, extend backward, connect, fill in: each a pattern of ceilings."""
    truth = [1.0, 0.5, -0.5, 0.3, 0.9, -1.2]
    ceiling = torch.ones(20_000, T)
    ceiling[:, known] = 0
    x = draw(20_000, 64, path(truth, 20_000), ceiling)
    free = [i for i in range(T) if i not in known]
    a, b = COVARIANCE[free][:, known], COVARIANCE[known][:, known]
    mean = a @ torch.linalg.solve(b, torch.tensor(truth, dtype=torch.float64)[known])
    spread = COVARIANCE[free][:, free] - a @ torch.linalg.solve(b, a.T)
    assert float((x[:, free].mean(0) - mean).abs().max()) < 0.05
    assert float((torch.cov(x[:, free].T) - spread).abs().max()) < 0.07
    assert torch.equal(x[:, known].float(), path(truth, 20_000).reshape(-1, T)[:, known])


def test_strength_keeps_a_part_of_what_is_given():
    given = path([2.0] * T, 4000)
    weak = draw(4000, 32, given, torch.full((4000, T), 0.2)).mean()
    strong = draw(4000, 32, given, torch.full((4000, T), 0.9)).mean()
    assert 2.0 > float(weak) > float(strong) > 0.0


def test_one_step_gives_the_prediction_and_no_change_signal():
    noise = torch.randn(3, T, 1, 1, 1)
    drawn = sampler.sample(exact_denoiser, noise, 1)
    assert torch.allclose(drawn.x, exact_denoiser(noise, torch.zeros(3, T), 1))
    assert torch.isnan(drawn.change).all()
    assert not torch.isnan(sampler.sample(exact_denoiser, noise, 2).change).any()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="at least 1"):
        sampler.sample(exact_denoiser, torch.zeros(1, T, 1, 1, 1), 0)
    with pytest.raises(ValueError, match="given"):
        sampler.sample(exact_denoiser, torch.zeros(1, T, 1, 1, 1), 2, ceiling=torch.ones(1, T))


def test_levels_rise_from_noise_to_clean():
    levels = sampler.signal_levels(4)
    assert levels.tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert math.isclose(float(sampler.signal_levels(4, 256)[-1]), 1.0)


def test_the_second_order_is_nearer_to_the_exact_flow_in_as_many_steps():
    """All numbers alike and normal with deviation 0.3: the flow scales the noise, by 0.3 in the end."""
    deviation = 0.3
    noise = torch.randn(4000, 1, 1, 1, 1, generator=torch.Generator().manual_seed(0))

    def denoise(z, tau, steps):
        level = tau[..., None, None, None]
        return z * level * deviation**2 / ((1 - level) ** 2 + (level * deviation) ** 2)

    errors = [
        float((sampler.sample(denoise, noise, steps, order=order).x - deviation * noise).abs().mean())
        for order, steps in ((1, 8), (2, 8), (1, 16), (2, 16))
    ]
    assert errors[1] < 0.6 * errors[0] and errors[3] < 0.6 * errors[2]
    assert errors[3] < 0.5 * errors[1]
    half = sampler.sample(denoise, noise, 64, since=0.5).x  # what has the deviation of that level
    assert abs(float(half.std() / noise.std()) / (deviation / (0.25 + (0.5 * deviation) ** 2) ** 0.5) - 1) < 0.03
    for wrong in ({"since": 1.0}, {"since": 0.5, "given": noise, "ceiling": torch.ones(4000, 1)}):
        with pytest.raises(ValueError, match=r"since=.*accepted is 0 to below 1"):
            sampler.sample(denoise, noise, 4, **wrong)
    for wrong in ({"order": 3}, {"order": 2, "given": noise, "ceiling": torch.ones(4000, 1)}):
        with pytest.raises(ValueError, match="accepted are 1, and 2 where all frames are generated"):
            sampler.sample(denoise, noise, 4, **wrong)
