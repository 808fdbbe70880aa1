"""A model folder made ready to ship: weights of a run, a bank of true starts, a card that says how it was trained.

The card is written from what the runs left behind (``config.json``, ``metrics.jsonl``), so that it cannot say anything
else than what happened; figures measured afterwards are appended by hand with the command that prints them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worldsim.bank import build_bank
from worldsim.model.weights import WorldSimulator
from worldsim.worlds import WORLDS

_CARD = """# {name}: a world model of {worlds}

{parameters:.1f} million parameters ({codec:.1f} codec, {world:.1f} transformer with text encoder and heads), digest
`{digest}`, stored in {storage}. Latents are {channels} x H/{cell} x W/{cell} for 4 frames; time window {window} latents
({seconds:.1f} s); 64x64 pixels in training.

## Training

| | codec | world model |
|---|---|---|
| steps | {codec_steps} | {world_steps} |
| batch | {codec_batch} blocks, {codec_images} images | {world_batch} clips of {clip} latents, {singles} single images |
| hours | {codec_hours:.2f} | {world_hours:.2f} |
| seed | {codec_seed} | {world_seed} |
| commit | `{codec_commit}` | `{world_commit}` |
| torch | {codec_torch} | {world_torch} |

Hardware: {hardware}

Data: {data}

No pretrained network was used. Map seeds are of the training split; the bank's starts are of the validation split.

## Held-out figures at the end of training (validation maps)

| probe | value |
|---|---|
{probes}

`shuffled_over_true`: squared error of the next latent with actions shuffled, over that with the true ones, given a
clean context and nothing else, on the tokens that change most. `over_copy_last`: the same error over that of copying
the last latent; `sampled_*` with four denoising steps, `tempered_*` with the noise scaled by `temperature`, which is
what the environment does.

## The same while training

{codec_curve}

{world_curve}
"""
CODEC_CURVE = ("psnr", "psnr_mean_of_blocks", "psnr_image")
WORLD_CURVE = ("next_mse", "over_copy_last", "shuffled_over_true", "sampled_over_copy_last", "tempered_over_copy_last")
CURVE_ROWS = 10


def release(
    model: Path, codec_run: Path, out: Path, hardware: str, data: str, starts: int = 24, name: str = "doom"
) -> WorldSimulator:
    """Writes the model folder ``out`` from an exported ``model`` of a world run and the run of its codec.

    ``model`` lies in its run's folder, whose records make the card. ``starts`` true starts per world go into the bank.
    """
    simulator = WorldSimulator.from_pretrained(model)
    simulator.bank = build_bank(simulator.config.worlds, starts)
    world_run = model.parent
    codec_card, world_card = _run_card(codec_run), _run_card(world_run)
    codec_last, world_last = _last_rows(codec_run), _last_rows(world_run)
    codec_config, world_config = codec_card["config"], world_card["config"]
    count = {part: sum(p.numel() for p in getattr(simulator, part).parameters()) / 1e6 for part in ("codec", "world")}
    probes = {k: v for rows in (codec_last, world_last) for k, v in rows.items() if k.startswith("probe/")}
    batch = world_config["optim"]["batch"]
    card = _CARD.format(
        name=name,
        worlds=", ".join(WORLDS[world].title for world in simulator.config.worlds),
        parameters=sum(count.values()),
        **count,
        digest=simulator.digest,
        storage=simulator.config.storage,
        channels=simulator.config.codec.latent_channels,
        cell=simulator.config.codec.stride,
        window=simulator.config.world.window,
        seconds=simulator.config.world.window * 4 / 35,
        codec_steps=codec_last["step"],
        world_steps=world_last["step"],
        codec_batch=codec_config["optim"]["batch"],
        codec_images=codec_config["images"],
        world_batch=batch,
        clip=world_config["clips"]["length"],
        singles=round(world_config["singles"] * batch),
        codec_hours=codec_last["elapsed"] / 3600,
        world_hours=world_last["elapsed"] / 3600,
        codec_seed=codec_config["optim"]["seed"],
        world_seed=world_config["optim"]["seed"],
        codec_commit=codec_card["commit"] or "not recorded",
        world_commit=world_card["commit"] or "not recorded",
        codec_torch=codec_card["versions"]["torch"],
        world_torch=world_card["versions"]["torch"],
        hardware=hardware,
        data=data,
        probes="\n".join(f"| `{name.removeprefix('probe/')}` | {value:.4g} |" for name, value in probes.items()),
        codec_curve=_curve("codec", codec_run, CODEC_CURVE),
        world_curve=_curve("world model", world_run, WORLD_CURVE),
    )
    simulator.save_pretrained(out, card)
    return simulator


def _curve(title: str, run: Path, names: Sequence[str]) -> str:
    """Table of held-out figures at about ``CURVE_ROWS`` moments of a run, the last one among them."""
    rows = [row for row in _rows(run) if f"probe/{names[0]}" in row]
    every = -(-len(rows) // CURVE_ROWS) if rows else 1
    head = f"| {title}, step | minutes | " + " | ".join(f"`{name}`" for name in names) + " |"
    lines = [head, "|" + "---|" * (2 + len(names))]
    for row in rows[::-1][::every][::-1]:
        values = " | ".join(_number(row.get(f"probe/{name}")) for name in names)
        lines.append(f"| {row['step']} | {row['elapsed'] / 60:.1f} | {values} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _run_card(run: Path) -> dict[str, Any]:
    return json.loads((run / "config.json").read_text())


def _last_rows(run: Path) -> dict[str, Any]:
    """The last value of everything that a run logged."""
    last: dict[str, Any] = {}
    for row in _rows(run):
        last.update(row)
    return last


def _rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
