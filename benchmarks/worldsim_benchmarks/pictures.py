"""Sheets and curves: the worst and best clips beside the truth, and the curves with floors and ceilings.

A number that nobody looked at is not to be trusted; every run leaves its worst clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worldsim_benchmarks.presets import horizons

SCALE = 2
MARGIN = 16


@dataclass(frozen=True)
class Clip:
    """``truth`` and ``made`` uint8 ``(T, H, W, 3)``; ``ssim`` float ``(T,)``; ``known`` as in ``Script``."""

    label: str
    known: bool
    truth: np.ndarray
    made: np.ndarray
    ssim: np.ndarray

    @property
    def score(self) -> float:
        finite = self.ssim[np.isfinite(self.ssim)]
        return float(finite.mean()) if len(finite) else float("nan")


def _strip(frames: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    height, width = frames.shape[1:3]
    big = [cv2.resize(frames[t], (width * SCALE, height * SCALE), interpolation=cv2.INTER_NEAREST) for t in steps]
    return np.concatenate(big, 1)


def _titled(text: str, width: int) -> np.ndarray:
    bar = np.full((MARGIN, width, 3), 255, np.uint8)
    return cv2.putText(bar, text, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)


def sheet(clips: Sequence[Clip], path: Path, steps: Sequence[int] | None = None) -> None:
    """Writes a PNG: per clip a title, the truth (upper row) and the candidate (lower row) at some steps."""
    rows = []
    for clip in clips:
        shown = steps or sorted({h - 1 for h in horizons(len(clip.truth))} | {len(clip.truth) * 3 // 4})
        top, below = _strip(clip.truth, shown), _strip(clip.made, shown)
        score = "" if np.isnan(clip.score) else f"  SSIM {clip.score:.2f}"
        rows += [_titled(f"{clip.label}{score}  (above: truth)", top.shape[1]), top, below]
    if not rows:
        return
    width = max(r.shape[1] for r in rows)
    padded = [np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(padded), cv2.COLOR_RGB2BGR)):
        raise OSError(f"could not write {path}")


def save_clip(clip: Clip, path: Path, most: int = 10) -> None:
    """Writes a WebP: the truth above the candidate, ``most`` steps evenly from the first to the last."""
    steps = np.unique(np.linspace(0, len(clip.truth) - 1, most).round().astype(int))
    both = np.concatenate([np.concatenate(list(frames[steps]), 1) for frames in (clip.truth, clip.made)])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(both, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, 95]):
        raise OSError(f"could not write {path}")


def extremes(clips: Sequence[Clip], count: int = 4) -> tuple[list[Clip], list[Clip]]:
    """The worst and the best clips among those that could be compared on known ground."""
    ranked = sorted((c for c in clips if c.known and np.isfinite(c.score)), key=lambda c: c.score)
    return ranked[:count], ranked[::-1][:count]


def curves(free: dict[str, Any], path: Path) -> None:
    """Writes a PNG with SSIM and PSNR against the horizon, of a summary of ``suites.free``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = [g for g in ("known", "explore") if g in free["groups"]]
    figure, axes = plt.subplots(2, len(shown), figsize=(6 * len(shown), 7), squeeze=False, sharex=True)
    for column, group in enumerate(shown):
        part = free["groups"][group]
        for row, measure in enumerate(("ssim", "psnr")):
            axis = axes[row, column]
            for name, curve in part["curves"].items():
                if name == "true_again":
                    continue
                points = curve[measure]
                x = [int(h) for h in points]
                y, low, high = (np.array([_number(p[k]) for p in points.values()]) for k in ("value", "low", "high"))
                style = {"lw": 2.5} if name == "model" else {"lw": 1.2, "ls": "--"}
                (line,) = axis.plot(x, y, marker="o", ms=3, label=name, **style)
                axis.fill_between(x, low, high, alpha=0.15, color=line.get_color())
            axis.set_xscale("log", base=2)
            axis.set_title(f"{group}: {measure.upper()} on co-visible pixels", fontsize=10)
            axis.grid(alpha=0.3)
        axes[-1, column].set_xlabel("steps after the context")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
