"""``worldsim study WHAT``: small models that differ in one thing, trained equally long and scored on held-out episodes.

``joint`` compares one model of several worlds with a model of each; ``sizes`` asks one model that was trained in packs
on several sizes at each of them; ``captions`` compares models that were taught with short, descriptive and mixed
captions. Trained models stay in folders under OUT and are not trained again: the same command goes on where it was, and
prints the same table. The scale is a matter of options (``--train.optim.steps``, ``--train.world.width``,
``--source.data``); figures in the documentation say theirs.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from worldsim.studies.presets import PRESETS
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.sources import SourceConfig

if TYPE_CHECKING:
    from worldsim_benchmarks.report import Line

    from worldsim.recording.episode import Episode
    from worldsim.studies.captions import Findings
    from worldsim.studies.joint import Compared
    from worldsim.studies.runs import Material
    from worldsim.studies.sizes import AtSize


@dataclass(frozen=True)
class Joint:
    """One model of several worlds against a model of each world alone, with equal steps for every world.

    ``train.optim.steps`` is of each world: the joint model takes as many for all of its worlds together.
    """

    out: Path
    """Folder of the trained models and of joint.json; the same command goes on where it was."""
    train: WorldTrainConfig
    worlds: tuple[str, ...]
    """Names of worlds, two or more, such as Table Crafter DoomRooms."""
    codec: str = "worlds"
    """Frozen codec of all: a packaged model, a model folder, or an exported codec."""
    cache: Path | None = None
    """Latents of the training episodes (default: OUT/cache), filled from the source where there are none."""
    clips: int = 8
    """Clips of each held-out episode."""
    source: SourceConfig = field(default_factory=lambda: SourceConfig(steps=60_000, held_out=8))
    """Recordings, or else the worlds themselves, playing live for this many steps together."""


def _joint(options: Joint) -> None:
    from worldsim.studies.joint import check, study
    from worldsim.studies.runs import check_held_out

    worlds = check(options.train, options.worlds)
    material = _material(
        options, worlds, lambda held_out: check_held_out(options.train, [e for e in held_out if e.world in worlds])
    )
    found = study(options.train, material, worlds, options.out, options.clips)
    rows = [asdict(pair) for of_world in found.values() for pair in of_world]
    _show(options.out / "joint.json", rows, joint_lines(found))


def joint_lines(found: dict[str, list[Compared]]) -> list[Line]:
    """The table: for each world the joint model's loss over the single one's, and the same of the next latent."""
    from worldsim_benchmarks.report import Line
    from worldsim_benchmarks.statistics import cluster_ratio

    from worldsim.studies.joint import WITHIN

    lines = []
    for world, pairs in found.items():
        seeds = [pair.joint.map_seed for pair in pairs]
        loss = cluster_ratio([pair.joint.loss for pair in pairs], [pair.single.loss for pair in pairs], seeds)
        both = " / ".join(
            f"{sum(getattr(pair, name).loss for pair in pairs) / len(pairs):.4f}" for name in ("joint", "single")
        )
        value = f"{both} = {loss}"
        lines.append(Line(f"{world}: loss, joint / single", value, f"<= {WITHIN}", loss.high <= WITHIN))
        following = [
            cluster_ratio(
                [getattr(pair, name).next_mse for pair in pairs], [getattr(pair, name).copied for pair in pairs], seeds
            )
            for name in ("joint", "single")
        ]
        shown = " / ".join(f"{ratio.value:.3f}" for ratio in following)
        lines.append(Line(f"{world}: next latent over copying, joint / single", shown))
    return lines


@dataclass(frozen=True)
class Sizes:
    """One model trained in packs on frames of several sizes, asked at each of them: the next latent against copying,
    free-running rollouts against a frozen picture, a grey one, and another episode's."""

    out: Path
    """Folder of the trained model and of sizes.json; the same command goes on where it was."""
    train: WorldTrainConfig
    codec: str = "worlds"
    """Frozen codec: a packaged model, a model folder, or an exported codec."""
    cache: Path | None = None
    """Latents of the training episodes (default: OUT/cache), filled from the source where there are none."""
    clips: int = 8
    """Clips of each held-out episode."""
    source: SourceConfig = field(
        default_factory=lambda: SourceConfig(
            worlds=("DoomRooms",), sizes=("64x64", "96x128", "128x96", "128x128"), steps=20_000, held_out=8
        )
    )


def _sizes(options: Sizes) -> None:
    from worldsim.studies.runs import check_budget
    from worldsim.studies.sizes import check, study

    check_budget(options.train)
    material = _material(options, options.source.worlds, lambda held_out: check(options.train, held_out))
    found = study(options.train, material, options.out, options.clips)
    rows = [
        {"size": at.size, "map_seed": rollout.map_seed, **{name: e.tolist() for name, e in rollout.errors.items()}}
        for at in found
        for rollout in at.rollouts
    ]
    _show(options.out / "sizes.json", [*rows, *(asdict(e) for at in found for e in at.following)], sizes_lines(found))


def sizes_lines(found: list[AtSize]) -> list[Line]:
    """The table: for each size the next latent's error over copying, and the skill over the best floor, which is 1
    where the rollout is the truth and 0 where it is no better than the floor."""
    from worldsim_benchmarks.report import Line
    from worldsim_benchmarks.statistics import cluster_ratio

    from worldsim.studies.sizes import HORIZONS, best_floor

    lines = []
    for at in found:
        name, seeds = "x".join(map(str, at.size)), [errors.map_seed for errors in at.following]
        over = cluster_ratio([e.next_mse for e in at.following], [e.copied for e in at.following], seeds)
        lines.append(Line(f"{name}: next latent over copying", str(over), "< 1", over.high < 1))
        for horizon in HORIZONS:
            floor, rows = best_floor(at.rollouts, horizon), [rollout.at(horizon) for rollout in at.rollouts]
            skill = cluster_ratio(
                [row[floor] - row["dream"] for row in rows],
                [row[floor] for row in rows],
                [rollout.map_seed for rollout in at.rollouts],
            )
            what = f"{name}: skill over {floor}, {horizon} steps"
            lines.append(Line(what, str(skill), "> 0", skill.low > 0))
    return lines


@dataclass(frozen=True)
class Captions:
    """Models of one world that are taught with short, with descriptive and with mixed captions, at equal steps: are the
    facts of a prompt found in the picture that they draw, and are the pictures like true ones?"""

    out: Path
    """Folder of the trained models and of captions.json; the same command goes on where it was."""
    train: WorldTrainConfig
    world: str = "Table"
    codec: str = "worlds"
    """Frozen codec of all: a packaged model, a model folder, or an exported codec."""
    cache: Path | None = None
    """Latents of the training episodes (default: OUT/cache), filled from the source where there are none."""
    moments: int = 200
    """Held-out moments that each model draws, in each style of prompts."""
    source: SourceConfig = field(default_factory=lambda: SourceConfig(steps=20_000, held_out=24))
    """Recordings, or else the world itself, playing live for this many steps."""


def _captions(options: Captions) -> None:
    from worldsim.studies.captions import check, study
    from worldsim.studies.runs import check_budget
    from worldsim.worlds import world_named

    check_budget(options.train)
    world = world_named(options.world).name
    material = _material(
        options,
        (world,),
        lambda held_out: check([episode for episode in held_out if episode.world == world], options.moments),
    )
    found = study(options.train, material, world, options.out, options.moments)
    rows = [asdict(drawn) for drawn in found.drawn]
    _show(options.out / "captions.json", rows, captions_lines(found))


def captions_lines(found: Findings) -> list[Line]:
    """The table: for each way of teaching and style of prompts the share of the prompts' facts that are found,
    beside what is found by chance, and the kernel distance."""
    from worldsim_benchmarks.report import Line, interval
    from worldsim_benchmarks.statistics import cluster_ratio

    def distance(name: str, value: Any) -> Line:
        return Line(f"{name}: kernel distance", interval(asdict(value), 3))

    lines = [distance("true pictures through the codec", found.codec), distance("grey pictures", found.grey)]
    for drawn in found.drawn:
        name = f"taught {drawn.taught}, asked {drawn.asked}"
        share = cluster_ratio(drawn.found, drawn.named, drawn.maps)
        chance = sum(drawn.by_chance) / max(1, sum(drawn.named))
        value = f"{share}, by chance {chance:.3f}, of {sum(drawn.named)}"
        lines += [Line(f"{name}: facts found", value), distance(name, drawn.distance)]
    return lines


def _material(options: Any, live: tuple[str, ...], check: Callable[[Sequence[Episode]], None]) -> Material:
    """Of the recordings that are given; without any, of the worlds ``live``. ``check`` may refuse the held-out episodes
    before the training ones are played."""
    from worldsim.cli.train import codec_of
    from worldsim.studies.runs import Material

    cache = options.cache or options.out / "cache"
    source = options.source if options.source.data else replace(options.source, worlds=live)
    return Material.gather(codec_of(options.codec), source, cache, options.train, check)


def _show(path: Path, rows: list[dict[str, Any]], lines: list[Line]) -> None:
    """Keeps what was measured, and prints the table of it."""
    from worldsim_benchmarks.report import table

    content = _without_nan({"rows": rows, "lines": [asdict(line) for line in lines]})
    path.write_text(json.dumps(content, indent=1, allow_nan=False))
    print(table(lines))
    print(f"\nwhat was measured is in {path}")


def _without_nan(value: Any) -> Any:
    """The same with None for numbers that are not finite, which JSON knows not (intervals of one map have no ends)."""
    if isinstance(value, dict):
        return {name: _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_STUDIES: dict[str, tuple[type, Callable[[Any], None]]] = {
    "joint": (Joint, _joint),
    "captions": (Captions, _captions),
    "sizes": (Sizes, _sizes),
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="worldsim study",
        description="Train small models that differ in one thing, and compare them on held-out episodes.",
        epilog="More options: worldsim study WHAT --help",
        add_help=not argv or argv[0] in ("-h", "--help"),
    )
    parser.add_argument("what", choices=list(_STUDIES))
    parser.add_argument("--preset", choices=list(PRESETS), default="small")
    known, rest = parser.parse_known_args(argv)
    kind, act = _STUDIES[known.what]
    default = _defaults(kind, PRESETS[known.preset]())
    act(tyro.cli(kind, default=default, args=rest, prog=f"worldsim study {known.what}"))
    return 0


def _defaults(kind: type, train: WorldTrainConfig) -> Any:
    """The options of a study, with what must be given left open."""
    if kind is Sizes:
        return Sizes(tyro.MISSING, replace(train, pack=replace(train.pack, tokens=16_000)))
    if kind is Captions:
        return Captions(tyro.MISSING, train)
    return Joint(tyro.MISSING, train, tyro.MISSING)
