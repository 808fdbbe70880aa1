"""Curves of a suite as pictures for the report: one line per candidate with its interval."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np


def chart(curve: dict[str, Any]) -> str:
    """A ``Curve`` (as JSON) as a data URL; the candidate's line is thick, floors and ceilings are dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(7.2, 3.6))
    strong_then_light = (*range(0, 20, 2), *range(1, 20, 2))
    axis.set_prop_cycle(color=[matplotlib.colormaps["tab20"](i) for i in strong_then_light])
    for name, points in curve["lines"].items():
        x, y, low, high = np.array([[np.nan if v is None else v for v in p] for p in points], float).T
        style = {"lw": 2.5} if name == "model" else {"lw": 1.2, "ls": "--"}
        (line,) = axis.plot(x, y, marker="o", ms=3, label=name, **style)
        axis.fill_between(x, low, high, alpha=0.15, color=line.get_color())
    axis.set_title(curve["title"], fontsize=10)
    axis.set_xlabel(curve["x"])
    axis.set_ylabel(curve["y"])
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))  # beside what it would cover
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=110, pil_kwargs={"quality": 60, "method": 6})
    plt.close(figure)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
