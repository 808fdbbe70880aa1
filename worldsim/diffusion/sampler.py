"""The sampler: from noise to clean latents in K steps, with a noise ceiling per frame.

It serves the environment, the generator, the samples drawn while training and the benchmarks of speed. (A solver that
was fitted to one network has a loop of its own, ``solver.py``.) The network is a callable that predicts clean latents;
how its context is kept (cached keys and values, or a whole clip) is not the sampler's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from worldsim.diffusion import flow

Denoise = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""``denoise(z_BTCHW, tau_BT, steps) -> x_BTCHW``: clean prediction at per-frame signal levels; ``steps`` is K."""


@dataclass(frozen=True)
class Sampled:
    """``x`` is the sample; ``change`` float32 ``(B, T)`` is the RMS change of the clean prediction between the last
    two steps (NaN with one step), a cheap signal of how unsure the model is."""

    x: torch.Tensor
    change: torch.Tensor


def signal_levels(steps: int, tokens: int = flow.BASE_TOKENS, since: float = 0.0) -> torch.Tensor:
    """float32 ``(steps + 1,)`` rising from ``since`` to 1; from 0 shifted for the frame's token count."""
    if steps < 1:
        raise ValueError(f"denoising steps must be at least 1, got {steps}")
    return flow.shift(torch.linspace(0, 1, steps + 1), tokens) if not since else torch.linspace(since, 1, steps + 1)


def sample(
    denoise: Denoise,
    noise: torch.Tensor,
    steps: int,
    given: torch.Tensor | None = None,
    ceiling: torch.Tensor | None = None,
    tokens: int = flow.BASE_TOKENS,
    order: int = 1,
    since: float = 0.0,
) -> Sampled:
    """Integrates the flow from ``noise`` ``(B, T, C, H, W)`` with ``steps`` Euler steps, or, ``order`` 2, with as many
    of DPM-Solver++ (2M, Lu et al. 2022), in which the clean prediction goes on changing; all frames are generated then.
    The first two of these and the last are Euler's. They begin at the signal level ``since``, which ``noise`` then has.

    ``given`` are clean latents of the same shape and ``ceiling`` their noise ceilings ``(B, T)`` in [0, 1]: 0 = given,
    never written; 1 = generate; between = start from the given latent at that noise level (SDEdit, Meng et al. 2022).
    Every frame has the noise level ``min(s, ceiling)``, and only frames with ``s <= ceiling`` move. Overwriting known
    frames under one global level would be wrong: it does not sample the conditional distribution.
    """
    b, t = noise.shape[:2]
    if order not in (1, 2) or (order == 2 and ceiling is not None):
        raise ValueError(f"order={order}: accepted are 1, and 2 where all frames are generated")
    if not 0 <= since < 1 or (since and ceiling is not None):
        raise ValueError(f"since={since}: accepted is 0 to below 1, and 0 with a ceiling")
    if ceiling is None:
        ceiling = torch.ones(b, t, device=noise.device)
        z = noise
    else:
        if given is None:
            raise ValueError("a noise ceiling needs the given latents it belongs to")
        z = flow.add_noise(given, noise, 1 - ceiling)
    levels = signal_levels(steps, tokens, since)
    ratios = levels.logit().tolist()
    levels = levels.to(noise.device)
    change = torch.full((b, t), torch.nan, device=noise.device)
    previous: torch.Tensor | None = None
    x = z
    for i in range(steps):
        tau = torch.maximum(levels[i], 1 - ceiling)
        tau_next = torch.maximum(levels[i + 1], 1 - ceiling)
        x = denoise(z, tau, steps)
        remaining = (1 - tau).clamp(min=1e-6)
        fraction = ((tau_next - tau) / remaining)[..., None, None, None].to(z.dtype)
        towards = x
        if order == 2 and previous is not None and 1 < i < steps - 1:
            before, here, after = ratios[i - 1 : i + 2]
            towards = x + (after - here) / (here - before) / 2 * (x - previous)
        z = z + fraction * (towards - z)
        if previous is not None and i == steps - 1:
            change = (x - previous).float().square().mean((2, 3, 4)).sqrt()
        previous = x
    return Sampled(z, change)
