"""Fourier features of the numbers that condition the world model: levels, camera motion, ages, places."""

from __future__ import annotations

import math

import torch

from worldsim.constants import constant

CAMERA_PERIODS = (10.0, 30.0, 90.0, 360.0)
"""Degrees. Numbers and no tensor: making one on a GPU would wait for its work."""


def waves(x: torch.Tensor, shortest: float, longest: float, count: int) -> torch.Tensor:
    """Cosines and sines of ``x (...)``, ``(..., 2 * count)``, for ``count`` periods from ``10**shortest`` to
    ``10**longest``."""
    return _waves(x[..., None].float() * _spectrum(shortest, longest, count, x.device))


@constant
def _spectrum(shortest: float, longest: float, count: int, device: torch.device) -> torch.Tensor:
    return 2 * torch.pi / torch.logspace(shortest, longest, count, device=device)


def _waves(angle: torch.Tensor) -> torch.Tensor:
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def level(tau: torch.Tensor) -> torch.Tensor:
    """``(..., 64)`` features of signal levels in [-1, 1]."""
    return waves(tau, -1.3, 0.9, 32)


def camera(degrees: torch.Tensor) -> torch.Tensor:
    """``(..., 18)`` features of camera motion: the angles themselves, and waves for mouse motion of any size."""
    angle = torch.stack([degrees.float() * (2 * math.pi / period) for period in CAMERA_PERIODS], dim=-1)
    return torch.cat([degrees.float() / 15.0, _waves(angle).flatten(-2)], dim=-1)


def age(age: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``(..., 16)`` features of a view's age in steps, finer for young views."""
    return waves(age.float().log1p(), -0.3, 1.3, 8).to(dtype)


@constant
def place(height: int, width: int, device: torch.device) -> torch.Tensor:
    """``(N, 32)`` features of patch midpoints as fractions of the frame: what is at the bottom stays at the bottom."""
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    waves_y = waves(y, -0.9, 0.6, 8)[:, None].expand(height, width, -1)
    waves_x = waves(x, -0.9, 0.6, 8)[None].expand(height, width, -1)
    return torch.cat([waves_y, waves_x], dim=-1).flatten(0, 1)
