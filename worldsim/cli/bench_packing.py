"""``worldsim bench packing``: a training step on packs against padded batches of the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldsim_benchmarks.report import Line

    from worldsim.training.packing_speed import Comparison

PACKING_TARGET = 3.0
"""How many times as long a padded step takes at least."""


@dataclass(frozen=True)
class Packing:
    """A training step on packs of samples of many sizes against the same samples padded, with the same loss."""

    model: str | None = None
    """Folder of the model whose transformer is trained (default: the shipped one)."""
    clips: int = 4
    singles: int = 8
    rounds: int = 5
    threads: int = 2
    """Threads of PyTorch."""
    bf16: bool = True
    """Whether steps are timed under autocast, as training runs."""


def packing(options: Packing) -> int:
    import torch
    from worldsim_benchmarks.report import table

    from worldsim.model.packaged import DEFAULT_MODEL
    from worldsim.model.weights import WorldSimulator
    from worldsim.training.packing_speed import compare

    torch.set_num_threads(options.threads)
    simulator = WorldSimulator.from_pretrained(options.model or DEFAULT_MODEL)
    found = compare(simulator.world.requires_grad_(True), options.clips, options.singles, options.rounds, options.bf16)
    print(table(packing_lines(found)))
    if not found.equal:
        print("\nTHE LOSSES DIFFER: the times compare different work")
    return 0 if found.equal else 1


def packing_lines(found: Comparison) -> list[Line]:
    """The table: seconds of a step, tokens that it computes, its loss, multiples of the packed step's time."""
    from statistics import median

    from worldsim_benchmarks.report import Line

    lines = []
    for name, seconds in found.seconds.items():
        value = f"{median(seconds):.2f} s a step, {found.tokens[name]} tokens, loss {found.losses[name]:.6f}"
        if name == "packed":
            lines.append(Line(name, value, "", None))
            continue
        times = found.times(name)
        bar = name == "padded"
        target = f">= {PACKING_TARGET:.0f}x the packed step" if bar else ""
        lines.append(Line(name, f"{value}, {times:.1f}x", target, times >= PACKING_TARGET if bar else None))
    return lines
