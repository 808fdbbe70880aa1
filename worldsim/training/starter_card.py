"""The card of a starter: what it was trained on, for how long, and what texts tell it of maps that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from worldsim.model.starter import Starter
from worldsim.training.configs import StarterTrainConfig
from worldsim.training.openings import Openings
from worldsim.worlds import WORLDS

_CARD = """# A starter of {worlds}

{parameters:.2f} million parameters in float16, digest `{digest}`. It draws first frames from text alone, as
latents of the encoder `{encoder}`, in {steps} denoising steps with text guidance {guidance:g}; every model with
that encoder is begun by it (`docs/training.md`, *The starter*). {completing}

## Training

| steps | batch | hours | seed | torch |
|---|---|---|---|---|
| {done} | {batch} of {moments} moments | {hours:.2f} | {seed} | {torch} |

Data: single frames of the true worlds, recorded or played live, of maps of the training split; figures on moments of
maps of the validation split. No pretrained network was used.

| world | share | moments to learn from | held-out moments | loss |
|---|---|---|---|---|
{rows}

The loss is the squared error of what the network puts out, over the levels of noise of training; told what is said
of another moment of the same world, it is {swapped:.3f} times as large, told nothing {silent:.3f} times.{completed}
"""


def with_section(old: Starter, new: Starter, title: str, text: str) -> str:
    """The card of ``old`` with a section of this title, in place of one that it has, and the digest of ``new``."""
    about = old.card or f"# Starter\n\nDigest `{old.digest}`.\n"
    before, _, after = about.replace(old.digest, new.digest).partition(f"\n## {title}\n")
    _, mark, others = after.partition("\n## ")
    return f"{before.rstrip()}\n\n## {title}\n\n{text.rstrip()}\n{mark}{others}"


def card(
    starter: Starter,
    config: StarterTrainConfig,
    train: Openings,
    held_out: Openings,
    probes: Mapping[str, float],
    steps: int,
    seconds: float,
) -> str:
    """``probes`` as of ``StarterTraining``; ``steps`` in ``seconds`` were made so far."""

    made = starter.config

    def row(world: str) -> str:
        learned, held = (int((of.world == WORLDS[world].index).sum()) for of in (train, held_out))
        loss = f"{probes[f'loss_of_{world}']:.3f}" if f"loss_of_{world}" in probes else ""
        return f"| {world} | {config.shares.get(world, 1.0):g} | {learned} | {held} | {loss} |"

    return _CARD.format(
        worlds=", ".join(starter.config.worlds),
        parameters=sum(p.numel() for p in starter.net.parameters()) / 1e6,
        digest=starter.digest,
        encoder=starter.config.encoder,
        steps=starter.config.steps,
        guidance=starter.config.guidance,
        done=steps,
        batch=config.optim.batch,
        moments=f"{len(train):,}",
        hours=seconds / 3600,
        seed=config.optim.seed,
        torch=torch.__version__,
        rows="\n".join(row(world) for world in starter.config.worlds),
        completing=(
            f"In {', '.join(made.completes)} it also completes pictures of which a part was seen, in "
            f"{made.complete_steps} steps of the sampler; {config.complete:.0%} of the moments there were learned so."
            if made.completes
            else "It completes nothing."
        ),
        completed=(
            f" Shown a part of the picture, the loss is {probes['loss_completing']:.3f}."
            if "loss_completing" in probes
            else ""
        ),
        swapped=probes["swapped_over_true"],
        silent=probes["silent_over_true"],
    )
