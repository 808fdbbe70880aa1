"""``worldsim bench speed``: steps per second of an environment beside a pixel U-Net, in turns.

The measuring is done by ``worldsim_benchmarks.speed``; the competitors are made here, because it knows nothing of
this package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldsim.cli.bench_options import candidate, variants
from worldsim.registration import SORA_WORLD

if TYPE_CHECKING:
    import torch
    from worldsim_benchmarks.report import Line
    from worldsim_benchmarks.speed import Contestant
    from worldsim_benchmarks.suites.session import CandidateSpec


@dataclass(frozen=True)
class Speed:
    """Steps per second of the learned environment and of a pixel U-Net of DIAMOND's published size, in
    turns."""

    batch: tuple[int, ...] = (1, 4, 16, 64)
    """Numbers of lanes."""
    denoising_steps: tuple[int, ...] = (4, 2, 1)
    """K of the learned environment; none: it is measured once, as ``env_kwargs`` make it."""
    env: str = SORA_WORLD
    """Gymnasium id, or a model folder."""
    env_kwargs: str = "{}"
    """JSON of further constructor arguments of the environment."""
    beside: tuple[str, ...] = ()
    """NAME=JSON: the environment with other constructor arguments, in the same rounds."""
    rounds: int = 5
    seconds: float = 1.5
    """Least length of one round of one competitor."""
    baseline: bool = True
    """Whether the U-Net takes part."""
    laid_out: bool = True
    """Whether it does so a second time with its weights laid out once, where that helps."""
    startup: bool = True
    """Whether import, first reset and memory are measured too."""
    starts: int = 3
    """Processes in which they are measured."""
    out: Path | None = None
    """Folder for the rows."""


def speed(options: Speed) -> int:
    from worldsim_benchmarks.records import Folder
    from worldsim_benchmarks.report import table
    from worldsim_benchmarks.speed import compete, startup

    spec = candidate(options.env, options.env_kwargs, 1, "")
    rows = compete(contestants(options, spec), options.batch, options.rounds, options.seconds)
    begun = startup("worldsim", spec.env, spec.kwargs, options.starts) if options.startup else None
    print(table(speed_lines(rows, begun)))
    if options.out is not None:
        config = {"env": spec.env, "env_kwargs": spec.kwargs, "beside": options.beside, "batch": options.batch}
        folder = Folder.create(options.out, "speed", config)
        folder.write("speed", rows if begun is None else [*rows, {"name": "startup", **begun}])
        print(f"\nrows are in {options.out}")
    return 0


def contestants(options: Speed, spec: CandidateSpec) -> list[Contestant]:
    """The environment with each K (once where there is none to choose, or its arguments say which), and the U-Net."""
    from worldsim_benchmarks.speed import Contestant, environment

    from worldsim.model.prepacked import can_prepack
    from worldsim.passes import compute_dtype, pick_device

    if not options.denoising_steps or "denoising_steps" in spec.kwargs:
        out = [Contestant(spec.env, environment(spec.env, **spec.kwargs))]
    else:
        out = [
            Contestant(f"{spec.env} K={k}", environment(spec.env, **spec.kwargs, denoising_steps=k))
            for k in options.denoising_steps
        ]
    out += [Contestant(name, environment(v.env, **v.kwargs)) for name, v in variants(spec, options.beside).items()]
    if options.baseline:
        device = pick_device(spec.kwargs.get("device", "auto"))
        out.append(Contestant(BASELINE, partial(unet_stepper, device=device)))
        if options.laid_out and can_prepack(device, compute_dtype(device)):
            out.append(Contestant(PREPACKED, partial(unet_stepper, device=device, prepacked=True)))
    return out


BASELINE = "pixel U-Net, 3 Euler steps"
PREPACKED = "the same, weights laid out once"
TARGETS = {("steps_per_second", 1): (20.0, 5.0), ("lane_steps_per_second", 16): (65.0, 13.0)}
"""(measure, batch) -> the rate to reach with K = 4, and its multiple of the U-Net's."""


def unet_stepper(lanes: int, device: torch.device, prepacked: bool = False) -> Callable[[], None]:
    """The baseline on ``device``, in the faster of float32 and, where that is native there, bfloat16, without an
    environment around it; or ``prepacked``, in bfloat16 with its weights laid out as those of an engine of ours are."""
    import time

    import numpy as np
    import torch

    from worldsim.baselines.predictor import UNetPredictor
    from worldsim.baselines.unet import PixelUNet
    from worldsim.passes import compute_dtype
    from worldsim.predictor import LaneStart
    from worldsim.worlds import WORLDS

    torch.manual_seed(0)
    net = PixelUNet()
    keys, camera = torch.zeros(lanes, 32), torch.zeros(lanes, 2)
    frame = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    formats = [False, True] if compute_dtype(device) == torch.bfloat16 else [False]  # emulated, a step takes a minute

    def begun(bfloat16: bool) -> UNetPredictor:
        predictor = UNetPredictor(net, lanes, device=device, bfloat16=bfloat16, prepacked=prepacked)
        predictor.begin(range(lanes), [LaneStart(WORLDS["DoomRooms"], i, frames=frame) for i in range(lanes)])
        return predictor

    def advance(predictor: UNetPredictor) -> None:
        predictor.step(keys, camera).frames.cpu()  # as an environment hands them out

    def seconds(predictor: UNetPredictor) -> float:
        advance(predictor)  # the first step allocates
        start = time.perf_counter()
        advance(predictor)
        return time.perf_counter() - start

    predictors = [begun(bfloat16) for bfloat16 in ([True] if prepacked else formats)]
    return partial(advance, predictors[0] if len(predictors) == 1 else min(predictors, key=seconds))


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
