"""``worldsim generate PROMPT``: the model plays the game that the prompt names, and a video of it is written."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro

from worldsim.actions import ACTION_MEANINGS
from worldsim.nearest import PromptedStart
from worldsim.video import rollout_sheet, write_mp4, write_picture

if TYPE_CHECKING:
    from worldsim.playing import Played


@dataclass(frozen=True)
class Generate:
    """Let the model play: no actions are given, its player proposes them. Writes a video."""

    prompt: tyro.conf.Positional[str]
    """What the world shall look like; it also says which world."""
    out: Path = Path("played.mp4")
    """The video, an .mp4."""
    sheet: Path | None = None
    """A picture (.png) of two dozen moments, each with its step and action."""
    steps: int = 72
    """Steps to play at most; the world may end before."""
    seed: int = 0
    """The same prompt and seed give the same video."""
    world: str | None = None
    """A registered world, such as DoomTakeCover. Default: the one that the prompt means, else DoomRooms."""
    model: str | None = None
    """Name or folder of the weights, which need a player. Default: the shipped ones."""
    start: PromptedStart = "prompt"
    """Begin from a picture that the model draws from the prompt alone, or from the true start of its bank that agrees
    with the prompt most."""
    expand: bool = True
    """With --start prompt: add to it what it leaves open, by the grammar and --seed; both are printed."""
    size: tuple[int, int] = (64, 64)
    """Height and width in pixels."""
    denoising_steps: int = 4
    """Denoising steps per step at most; fewer are faster."""


def sheet_of(played: Played) -> np.ndarray:
    """A contact sheet of what was played."""
    observations = played.frames[:: played.world.frames_per_step]
    names = [ACTION_MEANINGS[i] for i in played.actions]
    return rollout_sheet(observations, names, f"played by the model: {played.prompt}", "start")


def report(options: Generate, played: Played) -> list[str]:
    """What is printed: the world, the prompt and what became of it, what was done, and where the video is."""
    counts = Counter(ACTION_MEANINGS[i] for i in played.actions)
    done = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    ending = "; then the world ended" if played.ended else ""
    understood = "nearest" if options.start == "nearest" else "expanded" if options.expand else "understood"
    near = "" if played.nearest is None else f" ({played.nearest.agreement})"
    return [
        f"world    {played.world.env_id}, seed {options.seed}",
        f"prompt   {options.prompt}",
        f"{understood:<8} {played.prompt}{near}",
        f"played   {len(played.actions)} steps{ending}",
        f"actions  {done}",
        f"video    {options.out} ({len(played.frames) / played.world.fps:.1f} s at {played.world.fps:g} frames/s)",
    ]


def main(argv: list[str]) -> int:
    """Entry point of the command."""
    from worldsim.playing import generate

    options = tyro.cli(Generate, args=argv, prog="worldsim generate")
    if options.out.suffix != ".mp4":
        raise ValueError(f"--out {options.out}: a video is written as .mp4")
    played = generate(
        options.prompt,
        options.steps,
        options.world,
        options.model,
        options.seed,
        options.start,
        options.expand,
        options.size,
        options.denoising_steps,
    )
    write_mp4(options.out, played.frames, played.world.fps)
    print("\n".join(report(options, played)))
    if options.sheet is not None:
        print(f"sheet    {write_picture(options.sheet, sheet_of(played))}")
    sys.stdout.flush()
    return 0
