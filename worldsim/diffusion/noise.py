"""Counter-based Gaussian noise: what a lane draws depends on its seed, the step and the use, and on nothing else.

A conventional generator has a state that moves with every draw, so the noise of one lane would depend on how many
lanes stand beside it. Here every number is a hash of (lane seed, step, use, position) turned into a normal deviate
by Box and Muller's formula: one vectorised draw for all lanes, a state of two integers per lane, the same values for
a lane alone and in a batch, on any device. The hash is the finaliser of splitmix64 (Steele, Lea, Flood 2014),
applied twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from worldsim.constants import constant

_GAMMA = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB

USES: dict[str, int] = {
    "latent": 1,
    "context": 2,
    "reward": 3,
    "termination": 4,
    "start": 5,
    "context_start": 6,
    "action": 7,
    "complete": 8,
    "redraw": 9,
}
"""What a draw is for. Two uses of the same lane and step give independent numbers."""


def _shift_right(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical right shift of int64 (PyTorch's own keeps the sign)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """``value`` modulo 2**64 as a signed 64-bit integer, which tensors take."""
    return (value + 2**63) % 2**64 - 2**63


def _mix(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def uniforms(seeds: torch.Tensor, steps: torch.Tensor, counts: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """For each use its count of float32 uniform numbers in (0, 1), ``(B, count)``.

    ``seeds`` and ``steps`` are int64 ``(B,)``; the keys of ``counts`` are those of ``USES``. What several uses draw is
    hashed together, in half of the operations of drawing one after the other.
    """
    stem = _mix(_mix(seeds.to(torch.int64) + _GAMMA) + (steps.to(torch.int64) + 1) * _GAMMA)
    uses, each, counters = _keys_and_counters(tuple(counts.items()), seeds.device)
    keys = _mix(stem[:, None] + uses).index_select(1, each)
    bits = _shift_right(_mix(_mix(keys + counters)), 40)  # 24 bits
    drawn = (bits.to(torch.float32) + 0.5) * 2.0**-24
    return dict(zip(counts, drawn.split(list(counts.values()), dim=1)))


@constant
def _keys_and_counters(
    counts: tuple[tuple[str, int], ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of ``counts`` (a use, its count) each: the key offset of each use ``(U,)``; of all N numbers, the index of their
    use and their counter offset ``(N,)``."""
    uses = torch.tensor([_signed(USES[use] * _GAMMA) for use, _ in counts], device=device)
    each = torch.cat([torch.full((n,), i, device=device) for i, (_, n) in enumerate(counts)])
    within = torch.cat([torch.arange(1, n + 1, dtype=torch.int64, device=device) for _, n in counts])
    return uses, each, within * _GAMMA


def uniform(seeds: torch.Tensor, steps: torch.Tensor, use: str, shape: Sequence[int]) -> torch.Tensor:
    """float32 uniform numbers in (0, 1) of shape ``(B, *shape)`` for one ``use``; else as in ``uniforms``."""
    return uniforms(seeds, steps, {use: math.prod(shape)})[use].reshape(-1, *shape)


def gaussian(seeds: torch.Tensor, steps: torch.Tensor, use: str, shape: Sequence[int]) -> torch.Tensor:
    """float32 standard normal numbers of shape ``(B, *shape)``; arguments as in ``uniform``."""
    return normal(uniforms(seeds, steps, {use: needed(shape)})[use], shape)


def needed(shape: Sequence[int]) -> int:
    """How many uniform numbers ``normal`` takes for a shape."""
    return math.prod(shape) + math.prod(shape) % 2


def normal(uniform: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Standard normal numbers ``(B, *shape)`` of uniform ones ``(B, needed(shape))`` (Box and Muller)."""
    u = uniform.unflatten(1, (2, -1))
    radius = torch.sqrt(-2.0 * torch.log(u[:, 0]))
    angle = 2.0 * math.pi * u[:, 1]
    both = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    return both[:, : math.prod(shape)].reshape(-1, *shape)
