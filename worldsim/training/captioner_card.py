"""The card of a captioner: what it was trained on, for how long, and what it knew of maps that it had not seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch

from worldsim.captioning.captioner import Captioner
from worldsim.training.configs import CaptionerTrainConfig
from worldsim.training.glances import Glances

_CARD = """# A captioner of {worlds}

{parameters:.2f} million parameters in float16 ({megabytes:.1f} MB), digest `{digest}`. It looks at three
frames of a step at 64 pixels along the shorter side and names {choices} words of worlds, settings, surfaces and light,
{kinds} kinds of doors and things with their count, place and distance, and {events} events (`docs/captions.md`).

## Training

| steps | batch | minutes | seed | torch |
|---|---|---|---|---|
| {steps} | {batch} | {minutes:.1f} | {seed} | {torch} |

Data: moments of recordings of the true worlds, of maps of the training split; thresholds and figures on moments of maps
of the validation split. No pretrained network was used.

| world | moments to learn from | held-out moments | F1 |
|---|---|---|---|
{rows}

F1 is over all statements of a moment, in percent, with the thresholds below, which were chosen on the same held-out
moments: `worldsim caption --clips RECORDING --score` measures on others.

| {names} |
|{rules}|
| {values} |
"""


def card(
    captioner: Captioner,
    config: CaptionerTrainConfig,
    train: Glances,
    held_out: Glances,
    f1: Mapping[str, float],
    steps: int,
    seconds: float,
) -> str:
    """Markdown; ``f1`` is of each world."""
    learned, held = Counter(train.worlds), Counter(held_out.worlds)
    slots, thresholds = captioner.config.slots, vars(captioner.config.thresholds)
    parameters = sum(p.numel() for p in captioner.net.parameters())
    rows = [
        f"| {world} | {count} | {held[world]} | {f'{100 * f1[world]:.1f}' if world in f1 else '-'} |"
        for world, count in learned.items()
    ]
    return _CARD.format(
        worlds=", ".join(captioner.worlds),
        parameters=parameters / 1e6,
        megabytes=parameters * 2 / 1e6,
        digest=captioner.digest,
        choices=len(slots.choices),
        kinds=len(slots.kinds),
        events=len(slots.events),
        steps=steps,
        batch=config.optim.batch,
        minutes=seconds / 60,
        seed=config.optim.seed,
        torch=torch.__version__,
        rows="\n".join(rows),
        names=" | ".join(thresholds),
        rules="|".join("---" for _ in thresholds),
        values=" | ".join(str(value) for value in thresholds.values()),
    )
