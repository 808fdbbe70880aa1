"""A model folder made ready to ship: weights of a run, a bank of true starts, a card that says how it was trained.

The card is written from what the runs left behind (``config.json``, ``metrics.jsonl``), so that it cannot say anything
else than what happened; figures measured afterwards are appended by hand with the command that prints them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsim.bank import build_bank
from worldsim.model.player import Player
from worldsim.model.starter import Starter
from worldsim.model.weights import WorldSimulator
from worldsim.worlds import WORLDS

_CARD = """# {name}: a world model of {worlds}

{parameters:.1f} million parameters ({codec:.1f} codec, {world:.1f} transformer with text encoder and heads), digest
`{digest}`, stored in {storage}. Latents are {channels} x H/{cell} x W/{cell} for 4 frames; time window {window} latents
({seconds}); 64x64 pixels in training.

## Training

{stages}

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
{about_memory}{about_heads}{about_referee}
## The same while training

{curves}
"""
_ABOUT_MEMORY = """
`out_N`, `drawn_N`: median PSNR in dB, on steps that move, of the N-th frame after a true one, with the memory and drawn
from the latent alone; pictures feed on themselves, each latent is predicted from the true past. `carried_1` is the true
frame before moved along the flow, `copy_1` unmoved.
"""
_ABOUT_HEADS = """
`free_reward`, `free_done`: cross-entropies of reward and termination over free-running rollouts of held-out episodes.
"""
_ABOUT_REFEREE = """
`recorded_reward`, `recorded_done`: the same, of the referee alone over recorded moments; where it learned on rollouts,
`reward`, `done` over these with the referee, and `heads_reward`, `heads_done` of the heads alone.
"""
MEMORY_CURVE = ("carried_1", "out_1", "out_4", "out_8", "drawn_1", "drawn_8")
HEADS_CURVE = ("free_reward", "free_done")
REFEREE_CURVE = ("reward", "heads_reward", "done", "heads_done", "recorded_reward", "recorded_done")
CODEC_CURVE = ("psnr", "psnr_mean_of_blocks", "psnr_image")
WORLD_CURVE = ("next_mse", "over_copy_last", "shuffled_over_true", "sampled_over_copy_last", "tempered_over_copy_last")
CURVES = {
    "codec": CODEC_CURVE,
    "world model": WORLD_CURVE,
    "memory": MEMORY_CURVE,
    "heads": HEADS_CURVE,
    "referee": REFEREE_CURVE,
}
CURVE_ROWS = 10


def release(
    model: Path,
    codec_run: Path,
    out: Path,
    hardware: str,
    data: str,
    starts: int = 24,
    more_starts: Mapping[str, int] | None = None,
    name: str | None = None,
    world_run: Path | None = None,
    memory_run: Path | None = None,
    heads_run: Path | None = None,
    player: Path | None = None,
    starter: Path | None = None,
) -> WorldSimulator:
    """Writes the model folder ``out`` from an exported ``model``, whose runs' records make the card.

    ``model`` lies in the folder of the last run: that of the world model, of a memory, of heads or of a referee.
    ``world_run``, for heads and referee of a model with a memory ``memory_run``, and for a referee ``heads_run`` are
    those before it (``ValueError`` without). ``player`` is a model folder whose player is taken over; it must be of
    the same world, that is have the same digest (``ValueError``). ``starter`` is a starter's folder (``model/starter``
    of its run), which is taken over with its card. ``starts`` true starts per world go into the bank, ``more_starts``
    of single ones.
    """
    simulator = WorldSimulator.from_pretrained(model)
    if player is not None:
        simulator = simulator.with_player(_player_of(player, simulator))
    if starter is not None:
        simulator = simulator.with_starter(Starter.from_pretrained(starter))
    given = {"world model": world_run, "memory": memory_run, "heads": heads_run}
    runs = _runs(model.parent, simulator.codec.memory is not None, codec_run, given)
    simulator.bank = build_bank(simulator.config.worlds, starts, more=more_starts)
    count = {part: sum(p.numel() for p in getattr(simulator, part).parameters()) / 1e6 for part in ("codec", "world")}
    probes = {
        k.removeprefix("probe/"): v
        for run in runs.values()
        for k, v in _last_rows(run).items()
        if k.startswith("probe/")
    }
    card = _CARD.format(
        name=name or out.resolve().name,
        worlds=", ".join(WORLDS[world].title for world in simulator.config.worlds),
        parameters=sum(count.values()),
        **count,
        digest=simulator.digest,
        storage=simulator.config.storage,
        channels=simulator.config.codec.latent_channels,
        cell=simulator.config.codec.stride,
        window=simulator.config.world.window,
        seconds=_spans(simulator.config.worlds, simulator.config.world.window),
        stages=_stages(runs),
        hardware=hardware,
        data=data,
        probes="\n".join(f"| `{name}` | {value:.4g} |" for name, value in probes.items()),
        about_memory=_ABOUT_MEMORY if "memory" in runs else "",
        about_heads=_ABOUT_HEADS if "heads" in runs else "",
        about_referee=_ABOUT_REFEREE if "referee" in runs else "",
        curves="\n\n".join(_curve(part, run, CURVES[part]) for part, run in runs.items()),
    )
    simulator.save_pretrained(out, card)
    return simulator


def _player_of(folder: Path, simulator: WorldSimulator) -> Player:
    playing = WorldSimulator.from_pretrained(folder)
    if playing.player is None or playing.digest != simulator.digest:
        has = "no player" if playing.player is None else f"the player of another world, {playing.digest}"
        raise ValueError(
            f"{folder} has {has}; to release {simulator.digest} its own is needed: `worldsim train player`"
        )
    return playing.player


def _runs(last: Path, has_memory: bool, codec_run: Path, given: Mapping[str, Path | None]) -> dict[str, Path]:
    """The runs that made a model, in their order, by what they trained. Raises ``ValueError`` where one before the
    ``last`` is not ``given``, or one is that was not before it."""
    kind = _kind(_run_card(last)["config"])
    order = ["world model", *["memory"] * has_memory, "heads", "referee"]
    before = order[: order.index(kind)] if kind in order else []
    runs = {"codec": codec_run}
    for part, run in given.items():
        if (run is not None) != (part in before):
            problem = (
                "give the run of the {} before it too ({})"
                if run is None
                else "there was no run of a {} before it ({})"
            )
            option = f"{part.split()[0]}_run"
            raise ValueError(f"{last} trained the {kind}: {problem.format(part, option)}")
        if run is not None:
            runs[part] = run
    return runs | {kind: last}


def _kind(config: Mapping[str, Any]) -> str:
    """What a run trained, by what only its configuration has."""
    own = {
        "referee": "referee", "horizon": "heads", "depths": "memory", "level_spread": "starter", "hidden": "player",
        "reference_steps": "starter", "nameless": "starter",
    }  # fmt: skip
    kind = next((kind for name, kind in own.items() if name in config), "world model")
    if kind in ("starter", "player"):
        raise ValueError(
            f"this run trained the {kind} of another run's model: give that model, and the {kind} beside it (--{kind})"
        )
    return kind


def _spans(worlds: Sequence[str], window: int) -> str:
    """What a window of latents spans in seconds, by world where worlds differ."""
    spans: dict[str, list[str]] = {}
    for name in worlds:
        spans.setdefault(f"{window * WORLDS[name].step_seconds:.1f} s", []).append(WORLDS[name].title)
    if len(spans) == 1:
        return next(iter(spans))
    return "; ".join(f"{span} in {', '.join(titles)}" for span, titles in spans.items())


def _stages(runs: Mapping[str, Path]) -> str:
    """Table of what each run was."""
    cards, last = [_run_card(run) for run in runs.values()], [_last_rows(run) for run in runs.values()]
    rows = {
        "steps": [str(row["step"]) for row in last],
        "batch": [_batch(card["config"]) for card in cards],
        "hours": [f"{row['elapsed'] / 3600:.2f}" for row in last],
        "seed": [str(card["config"]["optim"]["seed"]) for card in cards],
        "commit": [f"`{card['commit'] or 'not recorded'}`" for card in cards],
        "torch": [card["versions"]["torch"] for card in cards],
    }
    lines = ["| | " + " | ".join(runs) + " |", "|" + "---|" * (1 + len(runs))]
    return "\n".join(lines + [f"| {name} | " + " | ".join(values) + " |" for name, values in rows.items()])


def _batch(config: dict[str, Any]) -> str:
    batch = config["optim"]["batch"]
    if "referee" in config:
        return f"{batch} of {config['moments']} recorded moments and {config['rounds'] * config['lanes']} rollouts"
    if "horizon" in config:
        return f"{batch} lanes of {config['horizon']} steps"
    if "clips" in config:
        singles = round(config["singles"] * batch)
        return f"{batch} clips of {config['clips']['length']} latents, {singles} single images"
    return f"{batch} blocks, {config['images']} images" if "images" in config else f"{batch} blocks"


def _curve(title: str, run: Path, names: Sequence[str]) -> str:
    """Table of held-out figures at about ``CURVE_ROWS`` moments of a run, the last one among them."""
    rows = [row for row in _rows(run) if any(f"probe/{name}" in row for name in names)]
    names = [name for name in names if any(f"probe/{name}" in row for row in rows)]
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
