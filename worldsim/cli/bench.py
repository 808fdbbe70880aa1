"""``worldsim bench``: measure an environment against the true world that it imitates, and how fast it is.

Thin: the measuring is done by ``worldsim_benchmarks``, which knows nothing of this package; only the
competitors of the speed comparison are made here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from worldsim.cli.packing import Packing, packing
from worldsim.registration import SORA_WORLD

if TYPE_CHECKING:
    from worldsim_benchmarks.report import Line

ROOMS = "worldsim/DoomRooms-v0"
EVENT_WORLDS = {
    "tiny": ("DoomTakeCover",),
    "quick": ("DoomRooms", "DoomTakeCover", "DoomBasic"),
    "default": ("DoomRooms", "DoomTakeCover", "DoomBasic", "DoomHealthGathering", "DoomMyWayHome"),
}
EVENT_WORLDS["publish"] = EVENT_WORLDS["default"]
Parts = Literal["free", "onestep", "control", "events", "prompts", "minute"]
Amount = Literal["tiny", "quick", "default", "publish"]


@dataclass(frozen=True)
class Fidelity:
    """Twin rollouts against the true world: free running, one step, control, reward and end, prompts, one
    minute.

    Writes rows, a summary, sheets of the worst and best clips and curves to --out, and prints the table.
    """

    out: Path
    """Folder of the run; a run that was interrupted is continued."""
    n: Amount = "quick"
    """How much: quick (12 maps, under ten minutes) is a smoke test, default 50 maps, publish 200."""
    env: str = SORA_WORLD
    """Gymnasium id of the candidate, or "true", or a mutant of the true world ("mirrored", "gain_0.8",
    ...)."""
    world: str = ROOMS
    """Id of the true world that is the truth."""
    env_kwargs: str = "{}"
    """JSON of further constructor arguments of the candidate, such as {"model": "runs/my-model"}."""
    world_keyword: str = "world"
    """Constructor argument that tells the candidate its world ("" if it has none)."""
    parts: tuple[Parts, ...] = ("free", "onestep", "control", "events", "prompts", "minute")
    """Which parts to run."""
    event_worlds: tuple[str, ...] | None = None
    """Worlds of the reward and termination part (default: by --n)."""
    lanes: int = 16
    """Episodes that run at once."""
    seed: int = 0


@dataclass(frozen=True)
class Score:
    """The summary and table of a folder that a run has left; the model is not run."""

    folder: tyro.conf.Positional[Path]


@dataclass(frozen=True)
class Selfcheck:
    """Runs the true world and its mutants as candidates and proves that they are ranked and flagged."""

    out: Path
    n: Amount = "quick"
    world: str = ROOMS
    seed: int = 0


@dataclass(frozen=True)
class Speed:
    """Steps per second of the learned environment and of a pixel U-Net of DIAMOND's published size, in
    turns."""

    batch: tuple[int, ...] = (1, 4, 16, 64)
    """Numbers of lanes."""
    denoising_steps: tuple[int, ...] = (4, 2, 1)
    """K of the learned environment."""
    env: str = SORA_WORLD
    env_kwargs: str = "{}"
    """JSON of further constructor arguments of the environment."""
    rounds: int = 5
    seconds: float = 1.5
    """Least length of one round of one competitor."""
    baseline: bool = True
    """Whether the U-Net takes part."""
    startup: bool = True
    """Whether import, first reset and memory are measured too."""
    out: Path | None = None
    """Folder for the rows."""


def main(argv: list[str]) -> int:
    """Runs ``worldsim bench <argv>``: 0, or 1 where a check of ``selfcheck`` or ``packing`` fails."""
    commands: dict[str, Callable[..., Any]] = {
        "fidelity": Fidelity,
        "speed": Speed,
        "score": Score,
        "selfcheck": Selfcheck,
        "packing": Packing,
    }
    chosen = tyro.extras.subcommand_cli_from_dict(
        commands,
        prog="worldsim bench",
        description="Measure fidelity and speed of an environment.",
        args=argv,
    )
    run: dict[type, Callable[[Any], int]] = {
        Fidelity: fidelity,
        Speed: speed,
        Score: score,
        Selfcheck: selfcheck,
        Packing: packing,
    }
    return run[type(chosen)](chosen)


def _arguments(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--env-kwargs {text!r} is not JSON ({error})") from error
    if not isinstance(given, dict):
        raise ValueError(f'--env-kwargs {text!r} is no JSON object like {{"model": "runs/my-model"}}')
    return given


def fidelity(options: Fidelity) -> int:
    import worldsim_envs  # noqa: F401  (so that a broken installation is told at once)
    from worldsim_benchmarks.presets import preset_named
    from worldsim_benchmarks.suites import fidelity as suite
    from worldsim_benchmarks.suites.session import CandidateSpec, Session

    from worldsim.worlds import world_named

    worlds = options.event_worlds or EVENT_WORLDS[options.n]
    session = Session(
        world=world_named(options.world).env_id,
        candidates={
            "model": CandidateSpec(options.env, _arguments(options.env_kwargs), options.lanes, options.world_keyword)
        },
        preset=preset_named(options.n),
        out=options.out,
        seed=options.seed,
        event_worlds=tuple(world_named(w).env_id for w in worlds),
    )
    folder = suite.run(session, options.parts)
    _show(folder.path, suite.score(folder))
    return 0


def score(options: Score) -> int:
    from worldsim_benchmarks.records import Folder
    from worldsim_benchmarks.suites import fidelity as suite

    folder = Folder(options.folder)
    found = folder.header()["suite"]
    if found != suite.SUITE:
        raise ValueError(f"{options.folder} holds a {found} run; score reads {suite.SUITE} runs")
    _show(folder.path, suite.score(folder))
    return 0


def _show(path: Path, summary: dict[str, Any]) -> None:
    from worldsim_benchmarks.records import plain
    from worldsim_benchmarks.report import fidelity_lines, table

    print(table(fidelity_lines(plain(summary))))
    print(f"\nrows, summary.json, curves.png and sheets are in {path}")


def selfcheck(options: Selfcheck) -> int:
    from worldsim_benchmarks import selfcheck as check
    from worldsim_benchmarks.presets import preset_named
    from worldsim_benchmarks.report import table

    from worldsim.worlds import world_named

    session = check.session_for(world_named(options.world).env_id, preset_named(options.n), options.out, options.seed)
    lines, holds = check.run(session)
    print(table(lines))
    print("\nall checks hold" if holds else "\nSOME CHECKS FAIL: do not believe this benchmark's numbers")
    return 0 if holds else 1


def speed(options: Speed) -> int:
    from worldsim_benchmarks.records import Folder
    from worldsim_benchmarks.report import table
    from worldsim_benchmarks.speed import Contestant, compete, environment, startup

    kwargs = _arguments(options.env_kwargs)
    contestants = [
        Contestant(f"{options.env} K={k}", environment(options.env, **kwargs, denoising_steps=k))
        for k in options.denoising_steps
    ]
    if options.baseline:
        contestants.append(Contestant(BASELINE, unet_stepper))
    rows = compete(contestants, options.batch, options.rounds, options.seconds)
    begun = startup("worldsim", options.env, kwargs) if options.startup else None
    print(table(speed_lines(rows, begun)))
    if options.out is not None:
        config = {"env": options.env, "env_kwargs": kwargs, "batch": options.batch}
        folder = Folder.create(options.out, "speed", config)
        folder.write("speed", rows if begun is None else [*rows, {"name": "startup", **begun}])
        print(f"\nrows are in {options.out}")
    return 0


BASELINE = "pixel U-Net, 3 Euler steps"
TARGETS = {("steps_per_second", 1): (20.0, 5.0), ("lane_steps_per_second", 16): (65.0, 13.0)}
"""(measure, batch) -> the rate to reach with K = 4, and its multiple of the U-Net's."""


def unet_stepper(lanes: int) -> Callable[[], None]:
    """The baseline in the faster of its two number formats on this machine, without an environment around
    it."""
    import time

    import numpy as np
    import torch

    from worldsim.baselines.predictor import UNetPredictor
    from worldsim.baselines.unet import PixelUNet
    from worldsim.predictor import LaneStart
    from worldsim.worlds import WORLDS

    torch.manual_seed(0)
    net = PixelUNet()
    keys, camera = torch.zeros(lanes, 32), torch.zeros(lanes, 2)
    frame = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    fastest: tuple[float, UNetPredictor] | None = None
    for bfloat16 in (False, True):
        predictor = UNetPredictor(net, lanes, bfloat16=bfloat16)
        predictor.begin(range(lanes), [LaneStart(WORLDS["DoomRooms"], i, frames=frame) for i in range(lanes)])
        predictor.step(keys, camera)
        begun = time.perf_counter()
        predictor.step(keys, camera)
        spent = time.perf_counter() - begun
        if fastest is None or spent < fastest[0]:
            fastest = (spent, predictor)
    assert fastest is not None
    chosen = fastest[1]

    def step() -> None:
        chosen.step(keys, camera)

    return step


def speed_lines(rows: list[dict[str, Any]], begun: dict[str, float] | None) -> list[Line]:
    """The table: rates, multiples of the U-Net's, and the numbers to reach."""
    from statistics import median

    from worldsim_benchmarks.report import Line

    baseline = {r["batch"]: r["rounds"] for r in rows if r["name"] == BASELINE}
    lines = []
    for row in rows:
        # the median of the ratios, round by round: what else the machine does slows both down
        pairs = zip(row["rounds"], baseline.get(row["batch"], []))
        ratios = [ours / theirs for ours, theirs in pairs]
        times = median(ratios) if ratios else None
        value = f"{row['steps_per_second']:.2f} steps/s, {row['lane_steps_per_second']:.1f} lane-steps/s"
        target, ok = "", None
        for (measure, batch), (rate, multiple) in TARGETS.items():
            if row["batch"] == batch and row["name"].endswith("K=4"):
                target = f">= {rate:.0f} {measure.replace('_per_second', '/s').replace('_', '-')}"
                ok = row[measure] >= rate
                if times is not None:
                    target, ok = f"{target}, {multiple:.0f}x", ok and times >= multiple
        if times is not None and row["name"] != BASELINE:
            value += f", {times:.1f}x the U-Net"
        lines.append(Line(f"batch {row['batch']:>2}: {row['name']}", value, target, ok))
    if begun is not None:
        seconds, reset, peak = begun["import_seconds"], begun["make_and_reset_seconds"], begun["peak_gib"]
        lines += [
            Line("import worldsim, over gymnasium's own", f"{seconds:.2f} s", "<= 0.5 s", seconds <= 0.5),
            Line("gym.make and first reset", f"{reset:.2f} s", "<= 5 s", reset <= 5),
            Line("peak memory", f"{peak:.2f} GiB", "<= 1.5 GB", peak * 2**30 <= 1.5e9),
        ]
    return lines
