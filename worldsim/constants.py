"""Tensors that depend on sizes and a device alone, made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def constant(make: Callable[P, R]) -> Callable[P, R]:
    """``make``, which gives tensors by hashable arguments, remembering what it gave: nobody may write to it.

    A step of one lane is some sixteen hundred small operations; those that always give the same need not be among them.
    What is asked for by keyword, or while a graph is compiled, is made each time.
    """

    @lru_cache(maxsize=64)
    def kept(*args: Any) -> R:
        with torch.inference_mode(False), torch.no_grad():  # what is made in inference mode cannot be trained with
            return make(*args)  # type: ignore[call-arg]

    @wraps(make)
    def given(*args: P.args, **kwargs: P.kwargs) -> R:
        compiling = kwargs or torch.compiler.is_compiling()
        return make(*args, **kwargs) if compiling else kept(*args)

    return given
