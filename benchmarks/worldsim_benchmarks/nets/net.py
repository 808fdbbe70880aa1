"""A small convolutional net that NumPy evaluates: no framework is needed to use a benchmark.

Nets are trained in PyTorch (``training``), with batch normalisation folded into the convolutions, and kept as float16
arrays in one safetensors file. NumPy was chosen over OpenCV's reader of ONNX since that needs an exporter to write and
a file format between; a stack of convolutions is twenty lines, and a test holds both to the same numbers. Shapes: B
pictures, C channels, H x W pixels, O outputs, K kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

PART = 64
"""Pictures that are evaluated at once."""


@dataclass(frozen=True)
class Conv:
    """A convolution with zeros around the picture, then ReLU unless ``last``; ``weight`` ``(O, C, K, K)`` with odd K,
    ``bias`` ``(O,)``."""

    weight: np.ndarray
    bias: np.ndarray
    stride: int = 1
    last: bool = False

    def __call__(self, x_BCHW: np.ndarray) -> np.ndarray:
        pad = self.weight.shape[-1] // 2
        padded = np.pad(x_BCHW, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = sliding_window_view(padded, self.weight.shape[2:], (2, 3))[:, :, :: self.stride, :: self.stride]
        made = np.tensordot(windows, self.weight, ((1, 4, 5), (1, 2, 3))) + self.bias
        made = np.moveaxis(made, -1, 1)
        return made if self.last else np.maximum(made, 0)


@dataclass(frozen=True)
class Dense:
    """A linear layer on the flattened picture, then ReLU unless ``last``; ``weight`` ``(O, C * H * W)``."""

    weight: np.ndarray
    bias: np.ndarray
    last: bool = False

    def __call__(self, x_B: np.ndarray) -> np.ndarray:
        made = x_B.reshape(len(x_B), -1) @ self.weight.T + self.bias
        return made if self.last else np.maximum(made, 0)


Layer = Conv | Dense


@dataclass(frozen=True)
class Net:
    """Layers in turn: float32 ``(B, C, H, W)`` -> scores ``(B, O)``, or ``(B, O, h, w)`` without dense layers."""

    layers: tuple[Layer, ...]

    def __call__(self, x_BCHW: np.ndarray) -> np.ndarray:
        return np.concatenate([self._part(x_BCHW[i : i + PART]) for i in range(0, len(x_BCHW), PART)])

    def _part(self, x: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            x = layer(x)
        return x

    def arrays(self) -> dict[str, np.ndarray]:
        """What ``of_arrays`` reads: float16 weights and biases, and the layers' strides (0: dense)."""
        out: dict[str, np.ndarray] = {
            "strides": np.array([layer.stride if isinstance(layer, Conv) else 0 for layer in self.layers], np.int8)
        }
        for i, layer in enumerate(self.layers):
            out[f"weight_{i}"], out[f"bias_{i}"] = layer.weight.astype(np.float16), layer.bias.astype(np.float16)
        return out

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Net:
        """The net of ``arrays``; ``ValueError`` where they hold numbers that are not finite."""
        strides = [int(s) for s in arrays["strides"]]
        layers: list[Layer] = []
        for i, stride in enumerate(strides):
            weight, bias = (arrays[f"{kind}_{i}"].astype(np.float32) for kind in ("weight", "bias"))
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ValueError(f"layer {i} of a net holds numbers that are not finite; train it again")
            last = i == len(strides) - 1
            layers.append(Conv(weight, bias, stride, last) if stride else Dense(weight, bias, last))
        return cls(tuple(layers))

    @property
    def parameters(self) -> int:
        return sum(layer.weight.size + layer.bias.size for layer in self.layers)


@dataclass(frozen=True)
class Shape:
    """A net to be trained on pictures of ``size`` rows and columns. ``convs`` are (outputs, kernel, stride); the last
    layer is plain: the last of the ``dense`` widths, or of the ``convs`` where there are none."""

    channels: int
    size: int
    convs: tuple[tuple[int, int, int], ...]
    dense: tuple[int, ...] = ()


def softmax(scores: np.ndarray, axis: int = 1) -> np.ndarray:
    """Probabilities along ``axis``."""
    raised = np.exp(scores - scores.max(axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis, keepdims=True))


def least_threshold(sure: Sequence[float] | np.ndarray, right: Sequence[bool] | np.ndarray, accuracy: float) -> float:
    """The least threshold such that of the answers with ``sure >= threshold`` at least ``accuracy`` are ``right``.

    Infinity (nothing is ever answered) where no threshold reaches it.
    """
    sure, right = np.asarray(sure, float), np.asarray(right, bool)
    order = np.argsort(-sure, kind="stable")
    ranked, hits = sure[order], np.cumsum(right[order])
    ends = np.append(ranked[1:] < ranked[:-1], True)[: len(ranked)]  # equal ones are answered together
    good = ends & (hits >= accuracy * np.arange(1, len(ranked) + 1))
    return float(ranked[np.flatnonzero(good)[-1]]) if good.any() else float("inf")
