"""``worldsim bench play``: a model that plays by itself, beside true play of the same world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldsim.nearest import PromptedStart

if TYPE_CHECKING:
    from worldsim_benchmarks.behaviour import Play as Rollout

    from worldsim.model.weights import WorldSimulator
    from worldsim.worlds import WorldSpec


@dataclass(frozen=True)
class Play:
    """A model that plays by itself, from prompts, against true play: its actions, whether the picture follows them,
    and that nothing freezes. Exit code 1 where it does not."""

    model: str | None = None
    """Name or folder of the weights, which need a player (default: the shipped ones of the world)."""
    world: str = "DoomRooms"
    policy: str = "explorer"
    """Who plays the true world, on validation maps."""
    start: PromptedStart = "prompt"
    """What the model's rollouts begin from: pictures that it draws from the world's default prompt, or the true starts
    of its bank that are nearest to that."""
    rollouts: int = 16
    steps: int = 64
    seed: int = 0
    sheet: Path | None = None
    """A picture (.png) of the first rollout, if wanted."""


def play(options: Play) -> int:
    from worldsim_benchmarks.behaviour import behaviour, behaviour_lines, read_back
    from worldsim_benchmarks.nets.shipped import reader_of
    from worldsim_benchmarks.report import table

    from worldsim.lane_player import NO_PLAYER
    from worldsim.model.packaged import packaged_model
    from worldsim.model.weights import WorldSimulator
    from worldsim.video import rollout_sheet, write_picture
    from worldsim.worlds import world_named

    if min(options.rollouts, options.steps) < 1:
        raise ValueError(f"--rollouts {options.rollouts} --steps {options.steps}: at least one of each is needed")
    spec = world_named(options.world)
    simulator = WorldSimulator.from_pretrained(options.model or packaged_model(spec.name))
    if simulator.player is None:
        raise ValueError(NO_PLAYER)
    made, true = dreamed(simulator, spec, options), truly_played(spec, options)
    if options.sheet is not None:
        first = made[0]
        write_picture(options.sheet, rollout_sheet(first.frames[:: first.k], first.actions, spec.prompt, "start"))
    K = camera_matrix(spec, made[0].frames.shape[1:3])
    sets = {"model": made, "true play": true, "frozen": [each.frozen() for each in true]}
    found = behaviour_lines(*(behaviour(plays, K) for plays in sets.values()))
    reader = reader_of(spec.env_id)
    if reader is not None:
        found.append(read_back(sets, reader))
    print(table(found))
    return 1 if any(line.ok is False for line in found) else 0


def dreamed(simulator: WorldSimulator, spec: WorldSpec, options: Play) -> list[Rollout]:
    """Rollouts that the model plays, from the world's default prompt, by the seeds; each until it ends."""
    import torch
    from worldsim_benchmarks.behaviour import Play as Rollout

    from worldsim.actions import ACTION_MEANINGS
    from worldsim.engine import RolloutEngine
    from worldsim.playing import bank_of, begin_from_prompt

    n, k = options.rollouts, spec.frames_per_step
    engine = RolloutEngine(simulator, n)
    bank = bank_of(simulator) if options.start == "nearest" else None
    starts = [begin_from_prompt(spec.prompt, options.seed + i, spec.name, bank=bank).start for i in range(n)]
    frames, actions = [engine.begin(range(n), starts).frames[:, :1]], []
    ended = torch.zeros(n, dtype=torch.bool)
    lengths = torch.full((n,), options.steps)
    for step in range(options.steps):
        ids, block = engine.play()
        frames.append(block.frames[:, :k])
        actions.append(ids.cpu())
        ends = (block.terminated | ~block.valid).cpu() & ~ended
        lengths[ends], ended = step + 1, ended | ends
    video, names = torch.cat(frames, 1).cpu().numpy(), torch.stack(actions, 1).numpy()
    return [
        Rollout(video[i, : 1 + k * length], tuple(ACTION_MEANINGS[a] for a in names[i, :length]))
        for i, length in enumerate(lengths.tolist())
    ]


def truly_played(spec: WorldSpec, options: Play) -> list[Rollout]:
    """As many rollouts of the true world, up to as long, from the resets of validation maps."""
    from worldsim_benchmarks.behaviour import Play as Rollout

    from worldsim.actions import ACTION_MEANINGS
    from worldsim.recording.generate import GenerateConfig, generate_episodes

    config = GenerateConfig(
        worlds=spec.name, policies=options.policy, split="val", seed=options.seed, episodes=options.rollouts, workers=0,
        max_steps=options.steps,
    )  # fmt: skip
    return [Rollout(e.video, tuple(ACTION_MEANINGS[a] for a in e.actions)) for e in generate_episodes(config)]


def camera_matrix(spec: WorldSpec, size: tuple[int, ...]) -> np.ndarray | None:
    """Intrinsics 3x3 in pixels of frames of ``size`` (H, W), None where the world's lens is not known."""
    height, width = size
    if spec.lens is None:
        return None
    focal = width / 2 / spec.reach(height, width)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
