"""Weights in the layout that oneDNN multiplies in, laid out once.

oneDNN rearranges a bfloat16 matrix at every call, into the blocks that the processor's matrix units read; for one lane
that takes as long as the arithmetic. Frozen modules can be given their weights in this layout for good, as
``torch.compile`` does for whole graphs that it freezes, whose operators these are.
"""

from __future__ import annotations

import copy
import platform
from typing import TypeVar

import torch
from torch import nn

from worldsim.model.convolutions import Conv

M = TypeVar("M", bound=nn.Module)
_OPERATORS = (
    "_is_mkldnn_bf16_supported", "_linear_pointwise", "_reorder_linear_weight", "_convolution_pointwise",
    "_reorder_convolution_weight",
)  # fmt: skip


def can_prepack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether modules of ``dtype`` on ``device`` can gain: in bfloat16 on x86 with oneDNN, whose float32 takes matrices
    nearly as they are."""
    return (
        device.type == "cpu"
        and dtype == torch.bfloat16
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()
        and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def prepack(module: nn.Module) -> None:
    """Lays out the weights of all convolutions and matrices of ``module``, which must not be trained, cast or copied
    from then on. Their ``weight`` stays, to be read. Results differ from those before by rounding."""
    for part in module.modules():
        if type(part) is nn.Linear:
            part.__class__ = _PackedLinear
            part.__dict__["laid_out"] = torch.ops.mkldnn._reorder_linear_weight(part.weight.detach().contiguous())
        elif type(part) is Conv:
            part.__class__ = _PackedConv
            part.__dict__["convolve"] = _Convolution(part.kernels(), part.bias, (part.padding,) * 2, (part.stride,) * 2)
        elif type(part) is nn.Conv2d and _is_plain(part) and not isinstance(part.padding, str):
            part.__class__ = _PackedConv2d
            part.__dict__["convolve"] = _Convolution(part.weight, part.bias, part.padding, part.stride)


def serving_copy(module: M, device: torch.device, dtype: torch.dtype, laid_out: bool) -> M:
    """A copy of ``module`` on ``device`` with parameters of ``dtype``, ``laid_out`` for speed if so.

    Buffers keep float32: rotary frequencies and latent statistics lose too much in 16 bits.
    """
    made = copy.deepcopy(module).to(device)
    for parameter in made.parameters():
        parameter.data = parameter.data.to(dtype)
    if laid_out:
        prepack(made)
    return made


class _PackedLinear(nn.Linear):
    laid_out: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.laid_out, self.bias, "none", [], "")


class _PackedConv2d(nn.Conv2d):
    convolve: _Convolution

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolve(x)


class _PackedConv(Conv):
    convolve: _Convolution

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolve(x)


class _Convolution:
    def __init__(
        self, kernels: torch.Tensor, bias: torch.Tensor | None, padding: tuple[int, ...], stride: tuple[int, ...]
    ) -> None:
        self._kernels = torch.ops.mkldnn._reorder_convolution_weight(kernels.detach().contiguous(), padding, stride)
        self._bias, self._padding, self._stride = bias, padding, stride

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            x, self._kernels, self._bias, self._padding, self._stride, (1, 1), 1, "none", [], ""
        )


def _is_plain(conv: nn.Conv2d) -> bool:
    return conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
