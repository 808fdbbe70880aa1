"""Flow matching with a signal level per latent frame: levels, noising, the loss in x-space.

``tau`` is the *signal* level everywhere: 1 is clean, 0 is noise, and ``z_tau = (1 - tau) * eps + tau * z`` (Lipman et
al. 2023, Liu et al. 2023, with time reversed where papers run it the other way). The network predicts the clean
latent and the loss is taken there, weighted by ``0.9 tau + 0.1`` (Dreamer 4, Hafner et al. 2025, eq. 7). Independent
levels per frame are diffusion forcing (Chen et al. 2024): one network then covers next-frame prediction, joint
sampling and every pattern of given and wanted frames.
"""

from __future__ import annotations

import math

import torch

BASE_TOKENS = 16
"""Tokens that share a noise level at the native size (64x64); larger frames shift their levels, see ``shift``."""


def add_noise(z: torch.Tensor, eps: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
    """``z_tau`` for clean ``z`` and noise ``eps`` of shape ``(B, T, C, H, W)`` at signal levels ``tau`` ``(B, T)``."""
    level = tau[..., None, None, None].to(z.dtype)
    return (1 - level) * eps + level * z


def loss_weight(tau: torch.Tensor, floor: float = 0.1) -> torch.Tensor:
    """Ramp of the x-space loss over signal levels, from ``floor`` at noise to 1 at clean (Dreamer 4, eq. 7: 0.1).

    A higher floor favours what can be told from the context alone, motion under an action above all.
    """
    return (1 - floor) * tau + floor


def velocity(x: torch.Tensor, z: torch.Tensor, tau: torch.Tensor | float) -> torch.Tensor:
    """Velocity ``dz/dtau`` implied by the clean prediction ``x`` at the noisy latent ``z`` (singular at tau = 1)."""
    return (x - z) / (1 - tau)


def shift(tau: torch.Tensor, tokens: int) -> torch.Tensor:
    """Signal levels for a frame of ``tokens`` tokens: the shift of SD3 (Esser et al. 2024, eq. 23).

    More tokens carry more redundancy, so equal corruption needs more noise. The identity at ``BASE_TOKENS``.
    """
    a = math.sqrt(tokens / BASE_TOKENS)
    noise = 1 - tau
    return 1 - a * noise / (1 + (a - 1) * noise)


def change_emphasis(z: torch.Tensor, patch: int, most: float = 16.0) -> torch.Tensor:
    """How much each latent cell counts, from how much its token changes since the previous frame.

    ``z`` is the clean clip ``(B, T, C, H, W)``; the result is ``(B, T, 1, H, W)`` and at least 1. Where few pixels
    change, a plain mean is all background and actions are ignored (recipe of several action-conditioned models): a
    static token counts 1, one that changes by the clip's scale or more up to ``most``. Frame 0 counts 1 throughout.
    """
    b, t, _, h, w = z.shape
    change = torch.zeros(b, t, 1, h, w, dtype=torch.float32, device=z.device)
    if t > 1:
        change[:, 1:] = (z[:, 1:] - z[:, :-1]).float().square().mean(2, keepdim=True)
    pooled = torch.nn.functional.avg_pool2d(change.flatten(0, 1), patch)
    token = torch.nn.functional.interpolate(pooled, scale_factor=patch).reshape(b, t, 1, h, w)
    return 1 + (most - 1) * token.clamp(max=1.0)


def change_weights(z: torch.Tensor, patch: int, most: float = 16.0) -> torch.Tensor:
    """``change_emphasis`` scaled to a mean of 1 over the cells of each clip.

    With one mean over a batch of many worlds, the clips in which the whole picture moves would leave next to nothing to
    those in which a hand does.
    """
    weight = change_emphasis(z, patch, most)
    return weight / weight.mean((1, 2, 3, 4), keepdim=True)
