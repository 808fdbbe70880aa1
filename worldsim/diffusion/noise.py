"""Counter-based Gaussian noise: what a lane draws depends on its seed, the step and the use, and on nothing else.

A conventional generator has a state that moves with every draw, so the noise of one lane would depend on how many
lanes stand beside it. Here every number is a hash of (lane seed, step, use, position) turned into a normal deviate
by Box and Muller's formula: one vectorised draw for all lanes, a state of two integers per lane, the same values for
a lane alone and in a batch, on any device. The hash is the finaliser of splitmix64 (Steele, Lea, Flood 2014),
applied twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

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


def _keys(seeds: torch.Tensor, steps: torch.Tensor, use: str) -> torch.Tensor:
    key = _mix(seeds.to(torch.int64) + _GAMMA)
    key = _mix(key + (steps.to(torch.int64) + 1) * _GAMMA)
    return _mix(key + _signed(USES[use] * _GAMMA))


def uniform(seeds: torch.Tensor, steps: torch.Tensor, use: str, shape: Sequence[int]) -> torch.Tensor:
    """float32 uniform numbers in (0, 1) of shape ``(B, *shape)``.

    ``seeds`` and ``steps`` are int64 ``(B,)``; ``use`` is a key of ``USES``.
    """
    n = math.prod(shape)
    counter = torch.arange(1, n + 1, dtype=torch.int64, device=seeds.device) * _GAMMA
    bits = _shift_right(_mix(_mix(_keys(seeds, steps, use)[:, None] + counter)), 40)  # 24 bits
    return ((bits.to(torch.float32) + 0.5) * 2.0**-24).reshape(-1, *shape)


def gaussian(seeds: torch.Tensor, steps: torch.Tensor, use: str, shape: Sequence[int]) -> torch.Tensor:
    """float32 standard normal numbers of shape ``(B, *shape)``; arguments as in ``uniform``."""
    n = math.prod(shape)
    half = (n + 1) // 2
    u = uniform(seeds, steps, use, (2, half))
    radius = torch.sqrt(-2.0 * torch.log(u[:, 0]))
    angle = 2.0 * math.pi * u[:, 1]
    normal = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    return normal[:, :n].reshape(-1, *shape)
