"""Fourier features of the numbers that condition the world model: levels, camera motion, ages, places."""

from __future__ import annotations

import math

import torch

CAMERA_PERIODS = (10.0, 30.0, 90.0, 360.0)
"""Degrees. Numbers and no tensor: making one on a GPU would wait for its work."""


def waves(x: torch.Tensor, periods: torch.Tensor) -> torch.Tensor:
    """Cosines and sines of ``x (...)`` for each period, ``(..., 2 * periods)``."""
    return _waves(x[..., None].float() * (2 * torch.pi / periods))


def _waves(angle: torch.Tensor) -> torch.Tensor:
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def level(tau: torch.Tensor) -> torch.Tensor:
    """``(..., 64)`` features of signal levels in [-1, 1]."""
    return waves(tau, torch.logspace(-1.3, 0.9, 32, device=tau.device))


def camera(degrees: torch.Tensor) -> torch.Tensor:
    """``(..., 18)`` features of camera motion: the angles themselves, and waves for mouse motion of any size."""
    angle = torch.stack([degrees.float() * (2 * math.pi / period) for period in CAMERA_PERIODS], dim=-1)
    return torch.cat([degrees.float() / 15.0, _waves(angle).flatten(-2)], dim=-1)


def age(age: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``(..., 16)`` features of a view's age in steps, finer for young views."""
    return waves(age.float().log1p(), torch.logspace(-0.3, 1.3, 8, device=age.device)).to(dtype)


def place(height: int, width: int, device: torch.device) -> torch.Tensor:
    """``(N, 32)`` features of patch midpoints as fractions of the frame: what is at the bottom stays at the bottom."""
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    periods = torch.logspace(-0.9, 0.6, 8, device=device)
    waves_y = waves(y, periods)[:, None].expand(height, width, -1)
    waves_x = waves(x, periods)[None].expand(height, width, -1)
    return torch.cat([waves_y, waves_x], dim=-1).flatten(0, 1)
