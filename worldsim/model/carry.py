"""What a new latent takes over from the previous one and from its own noisy self: linear maps, mixed per cell.

A turn or a step of the camera is nearly one linear map of the neighbourhood, and a network of a few million parameters
cannot copy exactly through its own width. So copying is done here, exactly, and the network only says which maps to use
where: its tokens predict, for every cell, the shares of a few learned convolutions over the previous latent (in the
spirit of dynamic filters, De Brabandere et al. 2016; Finn et al. 2016), and small kernels over the noisy latent.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

# B worlds, T latent frames, C latent channels, H W latent grid, K maps


def linear_estimate(z: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
    """Best linear estimate of clean unit-variance latents from ``z (B, T, C, H, W)`` at levels ``tau (B, T)``.

    ``tau / (tau^2 + (1 - tau)^2) z``: nothing of pure noise, all of a clean latent. The network sees this and corrects
    it, so that noise which carries no information never enters its tokens.
    """
    level = tau[..., None, None, None].float()
    return level / (level.square() + (1 - level).square()) * z


def all_moves(latents_BTCHW: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """What each of K learned convolutions makes of latents: float32 ``(B*T, K, C, H, W)``.

    ``kernels`` is ``(K * C, C, rows, columns)``. Rows and columns are odd; outside of the picture there are zeros.
    """
    channels = latents_BTCHW.shape[2]
    padding = (kernels.shape[2] // 2, kernels.shape[3] // 2)
    moves = F.conv2d(latents_BTCHW.flatten(0, 1), kernels.float(), padding=padding)
    return moves.float().unflatten(1, (-1, channels))


def neighbours(latents_BTCHW: torch.Tensor, size: int) -> torch.Tensor:
    """The ``size * size`` cells around each cell, row by row: ``(B*T, size * size, C, H, W)``."""
    channels, height, width = latents_BTCHW.shape[2:]
    near = F.unfold(latents_BTCHW.flatten(0, 1), size, padding=size // 2)
    return near.unflatten(1, (channels, -1)).transpose(1, 2).unflatten(-1, (height, width))


def mixed(maps: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Sum of ``maps (B*T, K, C, H, W)`` weighted per cell by ``shares (B*T, K, H, W)``: ``(B*T, C, H, W)``."""
    return (maps * shares[:, :, None]).sum(1)
