"""Training of the small nets, the one place of the benchmarks that needs PyTorch, which is imported when it is called.

AdamW under one cycle of the learning rate, cross-entropy, batch normalisation after each convolution (folded into it
afterwards, so that evaluation has none). On one CPU thread the same seed gives the same net.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from worldsim_benchmarks.nets.net import Conv, Dense, Layer, Net, Shape

Batch = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Indices ``(B,)``, randomness -> inputs float32 ``(B, C, H, W)`` and classes int64 ``(B,)`` or ``(B, h, w)``."""
DROPPED = 0.1
"""Share of the numbers before a dense layer that training leaves out."""


def fit(
    shape: Shape,
    batch: Batch,
    samples: int,
    steps: int,
    seed: int = 0,
    size: int = 64,
    rate: float = 3e-3,
    weights: np.ndarray | None = None,
    say: Callable[[str], None] = print,
) -> Net:
    """A net of ``shape``, trained for ``steps`` batches of ``size`` drawn from ``samples``, as NumPy will evaluate it.

    ``weights`` float ``(classes,)`` of the loss. Raises ``RuntimeError`` where the loss is not finite.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rng = np.random.default_rng((seed, 19))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = _built(shape)
            optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=1e-3)
            plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.1)
            given = None if weights is None else torch.as_tensor(weights, dtype=torch.float32)
            loss_of = torch.nn.CrossEntropyLoss(given)
            running = 0.0
            for step in range(steps):
                x, y = batch(rng.integers(samples, size=size), rng)
                loss = loss_of(net(torch.from_numpy(x)), torch.from_numpy(y))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                plan.step()
                running += (loss.item() - running) * (0.02 if step else 1.0)
                if not np.isfinite(running):
                    raise RuntimeError(f"the loss of a net is {running} after {step + 1} steps; lower the rate")
                if (step + 1) % max(1, steps // 8) == 0:
                    say(f"  step {step + 1} of {steps}: loss {running:.3f}")
            return Net.of_arrays(folded(net).arrays())  # as it will be read: rounded to half precision
    finally:
        torch.set_num_threads(threads)


def _built(shape: Shape) -> Any:
    from torch import nn

    layers: list[Any] = []
    channels, side = shape.channels, shape.size
    for i, (outputs, kernel, stride) in enumerate(shape.convs):
        last = not shape.dense and i == len(shape.convs) - 1
        layers.append(nn.Conv2d(channels, outputs, kernel, stride, kernel // 2))
        layers += [] if last else [nn.BatchNorm2d(outputs), nn.ReLU()]
        channels, side = outputs, (side - 1) // stride + 1
    width = channels * side * side
    layers += [nn.Flatten(), nn.Dropout(DROPPED)] if shape.dense else []
    for i, outputs in enumerate(shape.dense):
        layers.append(nn.Linear(width, outputs))
        layers += [] if i == len(shape.dense) - 1 else [nn.ReLU(), nn.Dropout(DROPPED)]
        width = outputs
    return nn.Sequential(*layers)


def folded(net: Any) -> Net:
    """A trained ``nn.Sequential`` of this module as NumPy evaluates it."""
    from torch import nn

    modules = [m for m in net if not isinstance(m, nn.ReLU | nn.Dropout | nn.Flatten)]
    layers: list[Layer] = []
    for i, module in enumerate(modules):
        if isinstance(module, nn.BatchNorm2d):
            continue
        weight, bias = (p.detach().double().numpy() for p in (module.weight, module.bias))
        follows = modules[i + 1] if i + 1 < len(modules) else None
        if isinstance(follows, nn.BatchNorm2d):
            held = {name: value.detach().double().numpy() for name, value in follows.state_dict().items()}
            scale = held["weight"] / np.sqrt(held["running_var"] + follows.eps)
            weight = weight * scale[:, None, None, None]
            bias = (bias - held["running_mean"]) * scale + held["bias"]
        weight, bias = weight.astype(np.float32), bias.astype(np.float32)
        if isinstance(module, nn.Conv2d):
            layers.append(Conv(weight, bias, module.stride[0], follows is None))
        else:
            layers.append(Dense(weight, bias, follows is None))
    return Net(tuple(layers))
