"""Parts of a batch, of many sizes and durations, as packs, and their loss taken pack by pack.

The objective is that of equal clips: the same levels, modes, own context and expectations, the same sums over frames.
What the sums are divided by belongs to the whole batch, so that neither the loss nor its gradient depends on how the
batch falls into packs; these only bound the memory of a pass. The gradients of all packs but the last are taken here,
that of the last is left to the caller, as with a batch of one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from worldsim.model.layouts import Packed, Padded
from worldsim.model.packing import Budget, Samples, Shape, pack
from worldsim.model.transformer import Prediction, WorldModel
from worldsim.training.clips import encode_all
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.objective import Counts, Part, loss_of
from worldsim.training.transfer import send

Layouts = type[Packed] | type[Padded]


def shape_of(sample: Sequence[int], model: WorldModel) -> Shape:
    """What a sample of ``(T, h, w)`` latent frames, rows and columns costs."""
    frames, rows, columns = sample
    patch, registers = model.config.patch, model.config.registers
    return Shape(frames, (rows // patch) * (columns // patch) + registers)


def packs_of(parts: Sequence[Part], model: WorldModel, budget: Budget) -> list[list[tuple[int, Part]]]:
    """Parts fallen into packs: of each pack, which part of the batch it has samples of, and these.

    Samples of one attention mode lie side by side, where attention takes them as one batch.
    """
    samples = [(number, row) for number, part in enumerate(parts) for row in range(len(part.clips.z))]
    shapes = [shape_of([part.clips.z.shape[i] for i in (1, 3, 4)], model) for part in parts]
    modes = [part.draw.mode.tolist() for part in parts]
    found = []
    for members in pack([shapes[number] for number, _ in samples], budget):
        rows: dict[int, list[int]] = {}
        for number, row in sorted((samples[i] for i in members), key=lambda s: (s[0], modes[s[0]][s[1]], s[1])):
            rows.setdefault(number, []).append(row)
        found.append([(number, parts[number].rows(_index(chosen, parts[number]))) for number, chosen in rows.items()])
    return found


def _index(rows: list[int], part: Part) -> torch.Tensor:
    return send(torch.tensor(rows), part.clips.z.device)


def predict_together(model: WorldModel, parts: Sequence[Part], layout: Layouts = Packed) -> list[Prediction]:
    texts = encode_all(model, [part.clips.words for part in parts])
    groups = [
        Samples(
            part.noisy, part.draw.tau, part.clips.controls, text,
            part.clips.seconds, part.draw.mode, part.draw.step_size, part.draw.past,
        )
        for part, text in zip(parts, texts)
    ]  # fmt: skip
    return model.together(groups, layout)


def packed_loss(
    model: WorldModel,
    clips: Sequence[Part],
    singles: Sequence[Part],
    config: WorldTrainConfig,
    autocast: Callable[[], AbstractContextManager[Any]],
    layout: Layouts = Packed,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss of clips and one-frame samples together, and its metrics. Its gradient is what calling this leaves on the
    parameters plus what ``backward`` of the loss adds."""
    counts = [Counts.of(some) if some else None for some in (clips, singles)]
    packs = packs_of([*clips, *singles], model, config.pack.budget)
    taken = loss = torch.zeros((), device=clips[0].clips.z.device)
    metrics: dict[str, torch.Tensor] = {"packs": torch.tensor(float(len(packs)))}
    for members in packs:
        if loss.requires_grad:
            loss.backward()
        taken, loss = taken + loss.detach(), torch.zeros_like(taken)
        with autocast():
            predictions = predict_together(model, [part for _, part in members], layout)
            for count, weight, still in zip(counts, (1.0, config.singles_weight), (False, True)):
                chosen = [i for i, (of, _) in enumerate(members) if (of >= len(clips)) == still]
                if count is None or not chosen:
                    continue
                found, told = loss_of([members[i][1] for i in chosen], [predictions[i] for i in chosen], count, config)
                loss = loss + weight * found
                for name, value in [("image_mse", told["mse"])] if still else told.items():
                    metrics[name] = metrics.get(name, torch.zeros_like(taken)) + value
    return taken + loss, metrics
