"""Solvers that were fitted to a network: few steps that end where many would.

A rule for every network, such as that of ``sampler.sample``, weighs what a network predicted by its levels alone. Where
steps are few it pays to fit the levels and the weights to the network whose flow is followed (bespoke non-stationary
solvers, Shaul et al. 2024): a few dozen numbers, found by ``worldsim.training.solvers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from worldsim.diffusion import sampler
from worldsim.diffusion.sampler import Denoise, Sampled

# B clips, T frames, K steps

_LARGE = 1e6
"""No solver weighs so much: neither infinity, NaN nor a number that no float holds is below."""


@dataclass(frozen=True)
class Solver:
    """K steps from noise, or latents at the signal level ``levels[0]``, to clean ones.

    ``levels (K,)`` are the signal levels, in [0, 1), at which the network is asked. ``weights`` has a row for each
    answer: after answer i (from 0) the latent is the sum of where it began and of the answers 0 to i, in that order,
    times the ``i + 2`` numbers of row i. After the last it is the sample.
    """

    levels: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        levels, *rows = [_numbers(row) for row in (self.levels, *_listed(self.weights))]
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "weights", tuple(rows))
        sizes = [len(row) for row in rows]
        if not levels or sizes != list(range(2, len(levels) + 2)):
            raise ValueError(f"rows of {sizes} weights for {len(levels)} levels: row i has i + 2, from 0 on")
        if not all(0 <= level < 1 for level in self.levels):
            raise ValueError(f"levels={self.levels}: accepted are 0 to below 1")

    @property
    def steps(self) -> int:
        return len(self.levels)

    @classmethod
    def of_sampler(cls, steps: int, tokens: int, since: float = 0.0) -> Solver:
        """What ``sampler.sample`` does in ``steps`` of its second order, read off what it makes of unit vectors."""
        asked, made = list[float](), list[torch.Tensor]()

        def unit(i: int) -> torch.Tensor:
            return torch.eye(steps + 1, dtype=torch.float64)[i].reshape(1, 1, -1, 1, 1)

        def denoise(z: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
            asked.append(round(float(tau[0, 0]), 7))  # as it was meant, not as float32 has it
            made.append(z)
            return unit(len(asked))

        made.append(sampler.sample(denoise, unit(0), steps, tokens=tokens, order=2, since=since).x)
        return cls(tuple(asked), tuple(tuple(z.flatten()[: i + 1].tolist()) for i, z in enumerate(made) if i))

    def sample(self, denoise: Denoise, start: torch.Tensor) -> Sampled:
        """Clean latents from ``start (B, T, C, H, W)`` at the level ``levels[0]``."""
        z, answers = follow(denoise, start, self.levels, self.weights)
        b, t = start.shape[:2]
        change = torch.full((b, t), torch.nan, device=start.device)
        if self.steps > 1:
            change = (answers[-1] - answers[-2]).float().square().mean((2, 3, 4)).sqrt()
        return Sampled(z, change)


def _listed(given: Any) -> list[Any]:
    """What a configuration lists, which may come from any file."""
    if not isinstance(given, list | tuple):
        raise ValueError(f"{given!r}: a solver lists its levels, and its weights in rows")
    return list(given)


def _numbers(given: Any) -> tuple[float, ...]:
    listed = _listed(given)
    if not all(type(x) in (int, float) and abs(x) < _LARGE for x in listed):
        raise ValueError(f"{given!r}: levels and weights are finite numbers, of less than {_LARGE:g}")
    return tuple(map(float, listed))


def follow(
    denoise: Denoise,
    start: torch.Tensor,
    levels: Sequence[float] | torch.Tensor,
    weights: Sequence[Sequence[float] | torch.Tensor],
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The sample and all answers of a ``Solver`` of these ``levels`` and ``weights``, which may be tensors that are
    being fitted."""
    z, seen = start, [start]
    for level, row in zip(levels, weights):
        tau = torch.as_tensor(level, dtype=torch.float32, device=start.device).expand(start.shape[:2])
        seen.append(denoise(z, tau, len(weights)))
        z = torch.stack([weight * x for weight, x in zip(row, seen)]).sum(0)
    return z, seen[1:]
