"""Weights in the layout that oneDNN multiplies in, laid out once.

oneDNN rearranges a bfloat16 matrix at every call, into the blocks that the processor's matrix units read; for one lane
that takes as long as the arithmetic. Frozen modules can be given their weights in this layout for good, as
``torch.compile`` does for whole graphs that it freezes, whose operators these are.
"""

from __future__ import annotations

import platform

import torch
from torch import nn

from worldsim.model.convolutions import Conv

_OPERATORS = ("_linear_pointwise", "_reorder_linear_weight", "_convolution_pointwise", "_reorder_convolution_weight")


def can_prepack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether modules of ``dtype`` on ``device`` can gain: in bfloat16 on x86 with oneDNN, whose float32 takes matrices
    nearly as they are."""
    return (
        device.type == "cpu"
        and dtype == torch.bfloat16
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()
        and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)
    )


def prepack(module: nn.Module) -> None:
    """Lays out the weights of all convolutions and matrices of ``module``, which must not be trained, cast or copied
    from then on. Their ``weight`` stays, to be read. Results differ from those before by rounding."""
    for part in module.modules():
        if type(part) in _KINDS:
            part.__class__ = _KINDS[type(part)]
            part.lay_out()


class _PackedLinear(nn.Linear):
    def lay_out(self) -> None:
        self._laid_out = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach().contiguous(), None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self._laid_out, self.bias, "none", [], "")


class _PackedConv2d(nn.Conv2d):
    def lay_out(self) -> None:
        self._convolve = _Convolution(self.weight, self.bias, self.padding, self.stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._convolve(x)


class _PackedConv(Conv):
    def lay_out(self) -> None:
        self._convolve = _Convolution(self.kernels(), self.bias, self.padding, self.stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._convolve(x)


class _Convolution:
    def __init__(
        self, kernels: torch.Tensor, bias: torch.Tensor | None, padding: int | tuple[int, ...] | str, stride: int | tuple[int, ...]
    ) -> None:
        self.kernels = torch.ops.mkldnn._reorder_convolution_weight(kernels.detach().contiguous(), padding, stride)
        self.bias, self.padding, self.stride = bias, _pair(padding), _pair(stride)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.kernels, self.bias, self.padding, self.stride, (1, 1), 1, "none", [], ""
        )


def _pair(x):
    return (x, x) if isinstance(x, int) else tuple(x)


_KINDS = {nn.Linear: _PackedLinear, nn.Conv2d: _PackedConv2d, Conv: _PackedConv}
