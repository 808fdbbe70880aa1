"""What is taken over from the previous latent and from the noisy one, against sums written out."""

import torch

from worldsim.model.carry import all_moves, linear_estimate, mixed, neighbours


def latents(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_move_brings_the_cell_that_it_points_to():
    kernels = torch.zeros(2 * 4, 4, 5, 11)
    # the second move: channel 3 from channel 1, a cell above and two to the right
    kernels[4 + 3, 1, 2 - 1, 5 + 2] = 1
    z = latents(1, 3, 4, 8, 12)
    moves = all_moves(z, kernels)
    assert moves.shape == (3, 2, 4, 8, 12)
    assert torch.allclose(moves[:, 1, 3, 1, 5], z[0, :, 1, 0, 7])
    assert not moves[:, 0].any()


def test_neighbours_are_the_cells_around_row_by_row():
    z = latents(2, 2, 4, 6, 6)
    near = neighbours(z, 3)
    assert near.shape == (4, 9, 4, 6, 6)
    flat = z.flatten(0, 1)
    assert torch.equal(near[:, 4], flat)
    assert torch.equal(near[:, 0, :, 2, 3], flat[:, :, 1, 2])
    assert torch.equal(near[:, 5, :, 2, 3], flat[:, :, 2, 4])
    assert not near[:, 0, :, 0].any()


def test_shares_weigh_maps_per_cell():
    maps, shares = latents(2, 3, 4, 5, 6), latents(2, 3, 5, 6, seed=1)
    expected = torch.einsum("nkchw,nkhw->nchw", maps, shares)
    assert torch.allclose(mixed(maps, shares), expected, atol=1e-5)


def test_the_linear_estimate_has_the_least_error_among_scalings():
    z, eps = latents(1, 1, 4, 256, 256), latents(1, 1, 4, 256, 256, seed=1)
    for level in (0.2, 0.5, 0.8):
        noisy = (1 - level) * eps + level * z
        error = (linear_estimate(noisy, torch.full((1, 1), level)) - z).square().mean()
        for scale in (0.9, 1.1):
            other = linear_estimate(noisy, torch.full((1, 1), level)) * scale
            assert error < (other - z).square().mean()
