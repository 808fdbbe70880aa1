"""``worldsim bench nets``: train the small nets that read pictures, and print how far they can be believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from worldsim.registration import SORA_WORLD

if TYPE_CHECKING:
    from worldsim_benchmarks.nets.recipes import Recipe

Kind = Literal["actions", "things", "worlds"]
KINDS: tuple[Kind, ...] = ("actions", "things")
"""Of one world each. The third is of all worlds, which must be installed, and is asked for by its name."""
WORLDS = ("DoomRooms",)
"""Worlds whose nets ship; Table has a recipe as well."""


@dataclass(frozen=True)
class Train:
    """Records random play of training and validation maps and trains nets on it."""

    worlds: tuple[str, ...] = WORLDS
    """Whose nets are trained, of the kinds that belong to one world."""
    kinds: tuple[Kind, ...] = KINDS
    """actions (which command was given) and things (which coloured thing is where), of each world; worlds (which world
    a picture is of), one net of all worlds, which must be installed."""
    out: Path = Path("runs/nets")
    """Folder to write the weights to. ``score --weights`` reads it; nets that are to ship are written to the package's
    own folder, by its name."""
    recordings: Path | None = None
    """Folder in which recorded play of one world is kept, and found again."""
    seed: int = 0


@dataclass(frozen=True)
class Score:
    """Accuracy, coverage and agreement with exact detectors on test maps: true, blurred, and coded frames."""

    worlds: tuple[str, ...] = WORLDS
    kinds: tuple[Kind, ...] = KINDS
    weights: Path | None = None
    """Folder of the weights (default: that of the package)."""
    env: str = SORA_WORLD
    """Environment whose codec is used, by its reconstruct ("": no coded frames)."""
    maps: int = 40
    """Test maps of random play."""
    seed: int = 0
    """Which test maps: another seed draws others."""
    recordings: Path | None = None
    """Folder in which recorded play of one world is kept, and found again."""
    out: Path | None = None
    """A JSON file of the numbers, if wanted."""


@dataclass(frozen=True)
class Nets:
    """Small nets that read pictures: which command was given, which coloured thing is where, which world it is."""

    do: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Train, tyro.conf.subcommand("train")] | Annotated[Score, tyro.conf.subcommand("score")]
    ] = field(default_factory=Score)


def nets(options: Nets) -> int:
    import worldsim_envs  # noqa: F401  (so that a broken installation is told at once)

    return train(options.do) if isinstance(options.do, Train) else score(options.do)


def _recipes(worlds: tuple[str, ...]) -> dict[str, Recipe]:
    from worldsim_benchmarks.nets.recipes import RECIPES

    unknown = [w for w in worlds if w not in RECIPES]
    if unknown:
        raise ValueError(f"no nets are known for {', '.join(unknown)}; accepted are {', '.join(RECIPES)}")
    return {w: RECIPES[w] for w in worlds}


def train(options: Train) -> int:
    from worldsim_benchmarks.nets import shipped
    from worldsim_benchmarks.offers import TITLES

    out = options.out

    def told(entry: shipped.Entry) -> None:
        size = (out / entry["file"]).stat().st_size / 1e3
        print(f"{out / entry['file']}: {entry['parameters']} numbers, {size:.0f} KB")

    of_one = tuple(kind for kind in options.kinds if kind != shipped.WORLDS)
    for recipe in _recipes(options.worlds).values() if of_one else ():
        for entry in shipped.train(recipe, out, options.seed, options.recordings, of_one):
            told(entry)
    if shipped.WORLDS in options.kinds:
        told(shipped.train_worlds(out, tuple(TITLES), options.seed))
    return 0


def score(options: Score) -> int:
    from worldsim_benchmarks.nets import shipped
    from worldsim_benchmarks.nets.accuracy import rows_of
    from worldsim_benchmarks.records import plain, write_text
    from worldsim_benchmarks.report import net_lines, table

    found: dict[str, Any] = {}
    folder = options.weights or shipped.WEIGHTS
    of_one = [kind for kind in options.kinds if kind != shipped.WORLDS]
    for name, recipe in _recipes(options.worlds).items() if of_one else ():
        reader = shipped.reader_of(recipe.world, folder) if shipped.ACTIONS in of_one else None
        detector = shipped.detector_of(recipe.world, folder) if shipped.THINGS in of_one else None
        if reader is None and detector is None:
            print(f"{name}: {folder} has no nets of this world; `worldsim bench nets train --out {folder}` makes them")
            continue
        corpus = shipped.corpus_of(recipe, "test", options.maps, options.seed, options.recordings)
        codec, close = _codec(options.env, recipe.world)
        try:
            found[name] = plain(rows_of(reader, detector, corpus, codec))
        finally:
            close()
        print(f"\n{name}, {options.maps} test maps of seed {options.seed}\n{table(net_lines(found[name]))}")
    if shipped.WORLDS in options.kinds:
        found[shipped.WORLDS] = _score_worlds(folder, options)
    if options.out is not None:
        write_text(options.out, json.dumps(found, indent=1) + "\n")
    return 0


def _score_worlds(folder: Path, options: Score) -> dict[str, dict[str, list[int]]]:
    """How many pictures of test maps the net that tells worlds apart reads right, by world and look; printed."""
    from worldsim_benchmarks.nets import shipped, worlds
    from worldsim_benchmarks.report import table, world_net_lines

    net = shipped.world_net(folder)
    if net is None:
        print(
            f"{folder} has no net that tells worlds apart; `worldsim bench nets train --kinds worlds --out {folder}` "
            "makes it"
        )
        return {}
    read, found = net.among(net.worlds), dict[str, dict[str, list[int]]]()
    for world in net.worlds:
        codec, close = _codec(options.env, world)
        try:
            found[world] = worlds.rate(read, world, worlds.record(world, "test", options.maps, options.seed), codec)
        finally:
            close()
    print(f"\nwhich world, {options.maps} test maps of each, seed {options.seed}\n{table(world_net_lines(found))}")
    return found


def _codec(env: str, world: str) -> tuple[Callable[..., Any] | None, Callable[[], None]]:
    """The environment's ``reconstruct`` (None where it has none) and what frees it."""
    from worldsim.cli.bench_options import candidate, pinned
    from worldsim.worlds import world_named

    if not env:
        return None, lambda: None
    spec = pinned(candidate(env, "{}", 1, "world"), world_named(world).name)
    opened = spec.open(world)
    offered = getattr(getattr(opened, "env", None), "unwrapped", None)
    has = offered is not None and hasattr(offered, "reconstruct")
    print(
        f"codec of {spec.kwargs.get('model', env)} {spec.version}".rstrip() if has else f"{env} offers no reconstruct"
    )
    return opened.reconstruct if has else None, opened.close
