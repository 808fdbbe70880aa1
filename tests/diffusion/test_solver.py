"""Fitted solvers: what the sampler does is one of them, followed exactly; what is none is refused."""

import pytest
import torch

from worldsim.diffusion import sampler
from worldsim.diffusion.solver import Solver


def denoise(z: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
    """Of independent values of variance 1 the mean is known; a cubic makes it change along the way."""
    level = tau[..., None, None, None]
    mean = level / (level.square() + (1 - level).square()) * z
    return mean + 0.2 * (1 - level) * mean**3


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("since", [0.0, 0.2])
def test_what_the_sampler_does_is_a_solver(steps, since) -> None:
    noise = torch.randn(3, 2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    found = Solver.of_sampler(steps, 64, since).sample(denoise, noise)
    wanted = sampler.sample(denoise, noise, steps, tokens=64, order=2, since=since)
    assert torch.allclose(found.x, wanted.x, atol=1e-5)
    assert torch.allclose(found.change, wanted.change, atol=1e-5, equal_nan=True)


def test_each_row_sums_where_it_began_and_all_answers() -> None:
    solver = Solver((0.0, 0.5), ((2.0, -1.0), (0.5, 3.0, 0.25)))
    asked = []

    def constant(z: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
        asked.append((z.flatten()[0].item(), tau.flatten()[0].item(), steps))
        return torch.full_like(z, 10.0 * len(asked))

    drawn = solver.sample(constant, torch.full((1, 1, 1, 1, 1), 4.0))
    assert asked == [(4.0, 0.0, 2), (2 * 4 - 10, 0.5, 2)]
    assert drawn.x.item() == 0.5 * 4 + 3 * 10 + 0.25 * 20 and drawn.change.item() == 10


@pytest.mark.parametrize(
    ("levels", "weights", "message"),
    [
        ((), (), r"rows of \[\] weights for 0 levels"),
        ((0.0, 0.5), ((1.0, 1.0),), r"rows of \[2\] weights for 2 levels: row i has i \+ 2"),
        ((0.0,), ((1.0, 1.0, 1.0),), r"rows of \[3\] weights for 1 levels"),
        ((0.0,), ((1.0, float("nan")),), "finite numbers"),
        ((0.0,), ((1.0, "a"),), "finite numbers"),
        ((0.0,), ((1.0, True),), "finite numbers"),
        ((0.0,), ((1.0, 10**400),), "finite numbers"),
        ((False,), ((1.0, 1.0),), "finite numbers"),
        ((0.0,), (1.0, 2.0), "1.0: a solver lists its levels, and its weights in rows"),
        ((0.0,), None, "None: a solver lists"),
        ((1.0,), ((1.0, 1.0),), "accepted are 0 to below 1"),
    ],
)
def test_what_is_no_solver_is_refused(levels, weights, message) -> None:
    with pytest.raises(ValueError, match=message):
        Solver(levels, weights)


def test_lists_and_whole_numbers_are_taken_as_they_are_read() -> None:
    read = Solver([0, 0.5], [[2, -1], [0.5, 3, 0.25]])  # type: ignore[arg-type]
    assert read == Solver((0.0, 0.5), ((2.0, -1.0), (0.5, 3.0, 0.25))) and hash(read)
    assert type(read.levels[0]) is float
