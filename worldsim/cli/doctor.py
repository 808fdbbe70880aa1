"""``worldsim doctor``: what is installed, what works here, and how to add what does not.

Each check runs the real part for a moment (a matrix product, a video of a few frames, one step of a true world for each
engine, the shipped weights), because "installed" and "works" are two things. Ends with code 1 if something that the
base needs is broken; a missing extra is no fault.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tyro

from worldsim.engines import find_program, install_command, missing
from worldsim.worlds import WORLDS, WorldSpec

BASE = (
    "numpy",
    "torch",
    "gymnasium",
    "einops",
    "opencv-python-headless",
    "safetensors",
    "pyarrow",
    "av",
    "pillow",
    "tyro",
)
EXTRAS: dict[str, tuple[str, ...]] = {
    **{spec.package: (spec.engine,) for spec in WORLDS.values() if spec.engine},
    "rl": ("stable-baselines3",),
    "play": ("starlette", "uvicorn", "websockets"),
    "transformers": ("transformers",),
    "bench": ("scikit-image", "scipy", "matplotlib"),
}
"""Extra of the distribution -> packages that it installs."""

OK, ABSENT, WARNING, BROKEN = "ok", "--", "!!", "XX"


@dataclass(frozen=True)
class Finding:
    """One line of the report: a mark, what was looked at, what was found, and what to do about it."""

    mark: str
    what: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, what works on this machine, and how to add what does not."""

    quick: bool = False
    """Only list packages; start nothing."""


def installed(package: str) -> str | None:
    """Version of an installed distribution, None if there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def packages() -> list[Finding]:
    """Base packages, extras, and the one combination that breaks others."""
    findings = []
    for package in BASE:
        have = installed(package)
        advice = "" if have else "pip install worldsim-gym (or, in a checkout: make setup)"
        findings.append(Finding(OK if have else BROKEN, package, have or "not installed", advice))
    for extra, names in EXTRAS.items():
        missing = [name for name in names if not installed(name)]
        have = ", ".join(f"{name} {installed(name)}" for name in names if name not in missing)
        absent = f"without {', '.join(missing)}" if missing else ""
        advice = f'pip install "worldsim-gym[{extra}]"' if missing else ""
        found = "; ".join(part for part in (have, absent) if part)
        findings.append(Finding(ABSENT if missing else OK, f"[{extra}]", found, advice))
    findings += [programs(spec) for spec in WORLDS.values() if spec.programs]
    findings.append(minerl())
    if both := installed("opencv-python"):
        advice = (
            "two builds overwrite each other's files: pip uninstall opencv-python opencv-python-headless, "
            "then pip install opencv-python-headless"
        )
        findings.append(Finding(WARNING, "opencv-python", f"{both} beside opencv-python-headless", advice))
    return findings


def programs(spec: WorldSpec) -> Finding:
    """The programs of a true world whose engine is no package of Python."""
    lacking = missing(spec)
    have = [path for name in spec.programs if (path := find_program(name))]
    found = "; ".join([*have, *([f"without {', '.join(lacking)}"] if lacking else [])])
    advice = f"{install_command(spec)} (for {spec.env_id})" if lacking else ""
    return Finding(ABSENT if lacking else OK, spec.package, found, advice)


def minerl() -> Finding:
    """Whether a MineRL of the user's own is there, which no extra installs."""
    have = installed("minerl")
    if have:
        return Finding(OK, "minerl", f"{have}: worldsim_envs.minerl.MineRLWorld plays it with the shared actions")
    advice = (
        "optional: it needs a Java runtime and builds Minecraft from the network; for those who have it, see "
        "docs/minecraft.md"
    )
    return Finding(ABSENT, "minerl", "not installed", advice)


def torch_speed() -> Finding:
    """Threads and devices, and whether bf16 pays here: a product of transformer size in both types."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(1024, 512, device=device, dtype=dtype)
        b = torch.randn(512, 2048, device=device, dtype=dtype)
        best = float("inf")
        for _ in range(6):
            begun = time.perf_counter()
            (a @ b).sum().item()
            best = min(best, time.perf_counter() - begun)
        seconds[dtype] = best
    gain = seconds[torch.float32] / seconds[torch.bfloat16]
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    found = f"{where}; bf16 is {gain:.1f} x as fast as fp32"
    if gain >= 1:
        return Finding(OK, "torch", found)
    return Finding(WARNING, "torch", found, "this processor has no bf16 units: stepping is slower than published")


def video_codec() -> Finding:
    """Writes and reads a short H.264 file."""
    import av
    import numpy as np

    from worldsim.video import write_mp4

    with tempfile.TemporaryDirectory() as folder:
        path = write_mp4(Path(folder) / "check.mp4", np.full((4, 64, 64, 3), 128, np.uint8), fps=35)
        with av.open(str(path)) as container:
            frames = sum(1 for _ in container.decode(video=0))
    return Finding(OK if frames == 4 else BROKEN, "video", f"H.264 written and read, {frames} of 4 frames")


def true_world(spec: WorldSpec) -> Finding:
    """One step of a true world, in a process of its own: an engine that crashes must not take the report along."""
    code = (
        f"import gymnasium as gym, worldsim; env = gym.make({spec.env_id!r}); env.reset(seed=0); "
        "print(env.step(0)[0].shape); env.close()"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
    if done.returncode == 0:
        return Finding(OK, spec.name, f"starts and steps: frames {done.stdout.strip()}")
    last = (done.stderr.strip().splitlines() or [f"ended by signal {-done.returncode}"])[-1]
    remedy = "" if "apt-get" in last else f"to install it again: {install_command(spec)}"
    return Finding(BROKEN, spec.name, last[:200], remedy)


def learned_world() -> Finding:
    """Opens the learned environment with the shipped weights and takes a few steps."""
    import gymnasium as gym

    import worldsim  # noqa: F401  (registers the environments)

    begun = time.perf_counter()
    env = gym.make("SoraWorld-v0", disable_env_checker=True)
    _, info = env.reset(seed=0)
    opened = time.perf_counter() - begun
    env.step(env.action_space.sample())
    begun, steps = time.perf_counter(), 10
    for _ in range(steps):
        env.step(env.action_space.sample())
    rate = steps / (time.perf_counter() - begun)
    env.close()
    return Finding(OK, "SoraWorld-v0", f"model {info.get('model')}; opens in {opened:.1f} s, {rate:.0f} steps/s")


def attempt(what: str, check: Callable[[], Finding]) -> Finding:
    """The finding of ``check``; whatever stops it is itself the finding."""
    try:
        return check()
    except Exception as error:
        return Finding(BROKEN, what, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def checks() -> list[Finding]:
    """Runs what is installed."""
    findings = []
    if installed("torch"):
        findings.append(attempt("torch", torch_speed))
    if installed("av"):
        findings.append(attempt("video", video_codec))
    first_of = {spec.package: spec for spec in reversed(WORLDS.values())}  # one world for each engine
    for spec in first_of.values():
        if not missing(spec):
            findings.append(attempt(spec.name, partial(true_world, spec)))
    if installed("torch"):
        findings.append(attempt("SoraWorld-v0", learned_world))
    return findings


def show(findings: list[Finding]) -> None:
    """Prints the findings, each with its advice under it."""
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        print(f"  {finding.mark}  {finding.what:<{width}}  {finding.found}")
        if finding.advice:
            print(f"      {'':<{width}}  -> {finding.advice}")


def main(argv: list[str]) -> int:
    """Entry point of the command: 0 if the base works, else 1."""
    options = tyro.cli(Doctor, args=argv, prog="worldsim doctor")
    from worldsim import __version__

    machine = f"{platform.platform()}, {os.cpu_count()} cores"
    print(f"worldsim {__version__}, Python {platform.python_version()}, {machine}")
    print(f"\nPackages ({sys.prefix})")
    findings = packages()
    show(findings)
    if not options.quick:
        print("\nWhat works")
        tried = checks()
        show(tried)
        findings += tried
    broken = [finding.what for finding in findings if finding.mark == BROKEN]
    print("\n" + (f"Broken: {', '.join(broken)}" if broken else "All is well."))
    return 1 if broken else 0
