"""Counter-based noise: independent of the batch, normal, different for every seed, step and use."""

import torch

from worldsim.diffusion import noise


def draw(seeds, steps, use="latent", shape=(16, 8, 8)):
    return noise.gaussian(torch.tensor(seeds), torch.tensor(steps), use, shape)


def test_a_lane_draws_the_same_alone_and_in_any_batch():
    batch = draw([5, 7, 2**40], [3, 0, 9])
    assert torch.equal(batch[1], draw([7], [0])[0])
    assert torch.equal(batch[2], draw([1, 2**40], [9, 9])[1])


def test_moments_of_a_standard_normal():
    x = draw(list(range(200)), [4] * 200)
    assert abs(float(x.mean())) < 0.01
    assert abs(float(x.var()) - 1) < 0.01
    assert abs(float((x**4).mean()) - 3) < 0.06
    assert float(x.abs().max()) > 4  # tails are there


def test_neighbouring_seeds_steps_and_uses_are_uncorrelated():
    base = draw([1], [1]).flatten()
    for other in (draw([2], [1]), draw([1], [2]), draw([1], [1], "context")):
        correlation = torch.corrcoef(torch.stack([base, other.flatten()]))[0, 1]
        assert abs(float(correlation)) < 0.12


def test_uniform_stays_inside_the_open_interval():
    u = noise.uniform(torch.arange(50), torch.zeros(50, dtype=torch.int64), "reward", (1000,))
    assert float(u.min()) > 0
    assert float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 0.01


def test_odd_sizes():
    assert draw([0], [0], shape=(3, 5)).shape == (1, 3, 5)


def test_uses_drawn_together_are_those_drawn_alone():
    seeds, steps = torch.tensor([5, 7, 2**40]), torch.tensor([3, 0, 9])
    drawn = noise.uniforms(seeds, steps, {"context": noise.needed((3, 5)), "termination": 1, "reward": 2})
    assert torch.equal(noise.normal(drawn["context"], (3, 5)), noise.gaussian(seeds, steps, "context", (3, 5)))
    assert torch.equal(drawn["termination"], noise.uniform(seeds, steps, "termination", (1,)))
    assert torch.equal(drawn["reward"], noise.uniform(seeds, steps, "reward", (2,)))
