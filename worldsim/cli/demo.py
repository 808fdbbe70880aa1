"""``worldsim demo``: the shortest way to see a world. A prompt and a list of actions become a video.

Makes the learned environment through Gymnasium as any program would, walks through it, and writes
``rollout.mp4`` and the contact sheet ``sheet.png``. ``--true`` walks the same way through the true world
instead; ``--beside`` walks through both, the dream from the true world's first frame on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from worldsim.captions.expander import GrammarExpander
from worldsim.nearest import PromptedStart
from worldsim.play.worlds import DREAM, TRUE, action_names, open_world, video_fps
from worldsim.video import real_frames, rollout_sheet, side_by_side, write_animation, write_mp4, write_picture

WALK = "turn_right*4 turn_left*8 turn_right*4 turn_left*26 forward*6 backward*6 turn_right*9 turn_left*9"


@dataclass(frozen=True)
class Demo:
    """Walk through a world and write what was seen as a video and a contact sheet."""

    prompt: str | None = None
    """What the world shall look like. Default: a start of the bank, a true frame with its caption as the prompt."""
    start: PromptedStart = "prompt"
    """With a prompt: begin from a picture that the model draws from it alone, or from the true start of the bank that
    agrees with it most."""
    expand: bool = True
    """With --start prompt: add to it what it leaves open, by the grammar and --seed; both are printed."""
    actions: str = WALK
    """Action names, each with an optional *count; repeated until --steps are done."""
    steps: int = 72
    """Steps to take (a Doom step is 4 video frames at 35 per second)."""
    world: str | None = None
    """A registered world, such as DoomTakeCover. Default: the one that the prompt names or else speaks
    of, else DoomRooms."""
    seed: int = 0
    """Seed of the environment: the same seed, prompt and actions give the same video."""
    size: tuple[int, int] = (64, 64)
    """Height and width in pixels."""
    denoising_steps: int = 4
    """Denoising steps per environment step; fewer are faster."""
    model: str | None = None
    """Name or folder of the weights. Default: the shipped ones."""
    true: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Walk through the true world instead of the learned one."""
    beside: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Walk through a true test map and, from its first frame on, the dream; writes beside.mp4 and beside.webp."""
    out: Path = Path("demo")
    """Folder to write rollout.mp4 and sheet.png into."""


def parse_actions(text: str, names: Sequence[str]) -> list[int]:
    """Action ids of ``"forward*8 turn_left"`` (commas may stand for blanks), by the names of the space.

    Raises ``ValueError`` for an unknown name, a count that is not a positive integer, and an empty list.
    """
    ids: list[int] = []
    for word in text.replace(",", " ").split():
        name, _, count = word.partition("*")
        if name not in names:
            raise ValueError(f"unknown action {name!r} in --actions; actions are {', '.join(names)}")
        if "*" in word and not (count.isdecimal() and int(count) > 0):
            raise ValueError(f"{word!r} in --actions: the count after * is a positive integer")
        ids += [names.index(name)] * int(count or 1)
    if not ids:
        raise ValueError("--actions is empty; give action names such as 'forward*8 turn_left*6'")
    return ids


@dataclass(frozen=True)
class Walk:
    """What a walk showed: ``info`` of the reset and every step, action names, rewards, how it ended.

    ``step_seconds`` has one entry per step; the first is longer, because much is made ready at first use.
    """

    infos: list[dict[str, Any]]
    actions: list[str]
    rewards: list[float]
    ending: str
    reset_seconds: float
    step_seconds: list[float]


def walk(env: Any, actions: Sequence[int], seed: int, options: dict[str, Any] | None = None) -> Walk:
    """Resets ``env`` and takes ``actions`` until they are done or the episode ends."""
    names = action_names(env)
    begun = time.perf_counter()
    infos = [env.reset(seed=seed, options=options)[1]]
    reset_seconds = time.perf_counter() - begun
    taken: list[str] = []
    rewards: list[float] = []
    seconds: list[float] = []
    ending = ""
    for action in actions:
        begun = time.perf_counter()
        _, reward, terminated, truncated, info = env.step(action)
        seconds.append(time.perf_counter() - begun)
        infos.append(info)
        taken.append(names[action])
        rewards.append(float(reward))
        if terminated or truncated:
            ending = "terminated" if terminated else "truncated"
            break
    return Walk(infos, taken, rewards, ending, reset_seconds, seconds)


def sheet_of(walked: Walk, title: str) -> np.ndarray:
    """A contact sheet of what a walk showed, under ``title``."""
    observations = np.stack([info["frames"][int(info["n_frames"]) - 1] for info in walked.infos])
    return rollout_sheet(observations, walked.actions, title)


def run(options: Demo) -> None:
    """Walks, writes the two files and prints what a user wants to know."""
    if options.steps < 1:
        raise ValueError(f"--steps {options.steps}: expected at least 1")
    if options.true and (options.prompt or options.model):
        raise ValueError("--true walks through the true world, which takes neither --prompt nor --model")
    if options.beside and (options.true or options.prompt):
        raise ValueError("--beside begins from a true frame and takes neither --true nor --prompt")
    if options.beside:
        run_beside(options)
        return
    if options.true:
        env = open_world(TRUE, options.world, frame_size=options.size)
    else:
        env = open_world(
            DREAM,
            options.world,
            model=options.model,
            prompt=options.prompt,
            start=options.start if options.prompt else None,
            frame_size=options.size,
            denoising_steps=options.denoising_steps,
        )
        env.unwrapped.expander = GrammarExpander() if options.expand else None  # type: ignore[attr-defined]
    try:
        actions = list(islice(cycle(parse_actions(options.actions, action_names(env))), options.steps))
        walked = walk(env, actions, options.seed)
        per_step = max(int(info["n_frames"]) for info in walked.infos)
        fps = video_fps(env, per_step)
        near = getattr(env.unwrapped, "nearest", None)
    finally:
        env.close()
    report(options, walked, fps, per_step, f" ({near.agreement})" if near else "")


def run_beside(options: Demo) -> None:
    """The same actions in truth (a test map) and in the dream, which is given the true world's reset frame."""
    world = options.world or "DoomRooms"
    truth = open_world(TRUE, world, frame_size=options.size, split="test")
    dream = open_world(
        DREAM, world, model=options.model, frame_size=options.size, denoising_steps=options.denoising_steps
    )
    try:
        actions = list(islice(cycle(parse_actions(options.actions, action_names(truth))), options.steps))
        true_walk = walk(truth, actions, options.seed)
        first = true_walk.infos[0]
        prompt = f"{first['caption']['scene']}. {first['caption']['view']}"
        begin = {"init_frames": first["frames"], "prompt": prompt}
        dream_walk = walk(dream, actions[: len(true_walk.actions)], options.seed, begin)
        fps = video_fps(truth, int(true_walk.infos[-1]["n_frames"]))
    finally:
        truth.close()
        dream.close()
    frames = side_by_side({"true world": real_frames(true_walk.infos), "dream": real_frames(dream_walk.infos)})
    print(f"video    {write_mp4(options.out / 'beside.mp4', frames, fps)}")
    small = frames[::2, ::2, ::2]
    print(f"picture  {write_animation(options.out / 'beside.webp', small, fps / 2, short_side=small.shape[1])}")


def report(options: Demo, walked: Walk, fps: float, per_step: int, near: str = "") -> None:
    """Writes the video and the sheet of a walk, and prints what it showed, how ``near`` to the prompt, and how fast."""
    frames, steps = real_frames(walked.infos), len(walked.actions)
    first = walked.infos[0]
    understood = first.get("prompt") or first.get("caption", {}).get("scene", "")
    name = f"true {options.world or 'DoomRooms'}" if options.true else "learned"
    video = write_mp4(options.out / "rollout.mp4", frames, fps)
    sheet = write_picture(options.out / "sheet.png", sheet_of(walked, f"{name} world: {understood}"))
    steady = walked.step_seconds[1:] or walked.step_seconds
    rate = len(steady) / max(sum(steady), 1e-9)
    ending = f"; the episode {walked.ending}" if walked.ending else ""
    print(f"world    {name}, {frames.shape[1]}x{frames.shape[2]} pixels, seed {options.seed}")
    if options.prompt and (options.start == "nearest" or options.expand):
        print(f"prompt   {options.prompt}")
        print(f"{'nearest ' if options.start == 'nearest' else 'expanded'} {understood}{near}")
    else:
        print(f"prompt   {understood}")
    print(f"speed    {steps} steps: {rate:.1f} steps/s, that is {rate * per_step:.0f} video frames/s,")
    print(f"         {rate * per_step / fps:.1f} x real time")
    print(f"         (reset took {walked.reset_seconds:.2f} s, the first step {walked.step_seconds[0]:.2f} s)")
    print(f"reward   {sum(walked.rewards):g} in total{ending}")
    print(f"video    {video} ({len(frames) / fps:.1f} s at {fps:g} frames/s)")
    print(f"sheet    {sheet}")
    print(TRY_NEXT)


TRY_NEXT = """
Try next:
  worldsim demo --prompt "rooms with green walls and a yellow floor" --actions "turn_left*26"
  worldsim starts "rooms with green walls and a yellow floor"     what the model draws from text alone
  worldsim demo --world DoomTakeCover --actions "strafe_left*10 strafe_right*10"
  worldsim demo --true        the same actions in a true world, on a map of its own; --beside compares the two
  worldsim play               walk yourself, in the browser
  worldsim doctor             what is installed and what works
(where `worldsim` is .venv/bin/worldsim if `make` did the set-up)"""


def main(argv: list[str]) -> int:
    """Entry point of the command."""
    run(tyro.cli(Demo, args=argv, prog="worldsim demo"))
    sys.stdout.flush()
    return 0
