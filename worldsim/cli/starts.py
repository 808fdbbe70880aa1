"""``worldsim starts PROMPT...``: pictures that worlds would begin from, drawn from text alone, on one sheet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from worldsim.video import contact_sheet, write_picture

if TYPE_CHECKING:
    from worldsim.predictor import LaneStart


@dataclass(frozen=True)
class Starts:
    """Draw what worlds begin from where they begin from text alone: a row of pictures for each prompt."""

    prompts: tyro.conf.Positional[tuple[str, ...]]
    """What the worlds shall look like; each also says which world."""
    out: Path = Path("starts.png")
    """The sheet, a .png."""
    count: int = 6
    """Pictures for each prompt, of the seeds 0, 1, ...: those that the environment begins with when it is reset with
    these."""
    expand: bool = False
    """Add to each prompt what it leaves open, by the grammar and the seed, as a picture's own label then says."""
    model: str | None = None
    """Name or folder of the weights. Default: the shipped ones."""
    size: tuple[int, int] = (64, 64)
    """Height and width in pixels."""


def main(argv: list[str]) -> int:
    """Entry point of the command."""
    options = tyro.cli(Starts, args=argv, prog="worldsim starts")
    if not options.prompts or options.count < 1:
        raise ValueError("at least one prompt and one picture of each are needed: worldsim starts PROMPT... --count 6")
    if options.out.suffix != ".png":
        raise ValueError(f"--out {options.out}: a sheet is written as .png")
    from worldsim.engine import RolloutEngine
    from worldsim.model.packaged import DEFAULT_MODEL
    from worldsim.model.weights import WorldSimulator
    from worldsim.playing import begin_from_prompt
    from worldsim.worlds import WORLDS

    simulator = WorldSimulator.from_pretrained(options.model or DEFAULT_MODEL)
    worlds, size = [name for name in simulator.config.worlds if name in WORLDS], options.size
    begun = [
        begin_from_prompt(prompt, seed, worlds=worlds, expand=options.expand, frame_size=size)
        for prompt in options.prompts
        for seed in range(options.count)
    ]
    engine = RolloutEngine(simulator, len(begun), frame_size=size)
    frames = engine.begin(range(len(begun)), [b.start for b in begun]).frames[:, -1].cpu().numpy()
    print(write_picture(options.out, contact_sheet(frames, [_label(b.start) for b in begun], columns=options.count)))
    for prompt in dict.fromkeys(b.prompt for b in begun):
        print(prompt)
    return 0


def _label(start: LaneStart) -> str:
    """What stands under a picture: what its text says of it, else which world it is of."""
    return start.text.view or start.world.title
