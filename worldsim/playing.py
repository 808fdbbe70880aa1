"""Policy and world at once: a prompt that names a game makes the model play it.

No action is given. The model's player proposes one at every step and the world is stepped under it, so that a video
comes out in which somebody walks through a world that the prompt describes. The rollout is the one that the learned
environment makes of the same prompt, seed and actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from worldsim.bank import Bank
from worldsim.captions.expander import Expansion, GrammarExpander, choose_world
from worldsim.captions.grammar import prompt_text, whole_text
from worldsim.captions.parse import ParsedPrompt, parse_prompt
from worldsim.engine import RolloutEngine
from worldsim.lane_player import NO_PLAYER
from worldsim.model.packaged import packaged_model
from worldsim.model.weights import WorldSimulator
from worldsim.nearest import DRAW_INSTEAD, STARTS, Nearest, nearest_start
from worldsim.predictor import LaneStart, LaneText
from worldsim.starts import lane_draws
from worldsim.told import told
from worldsim.worlds import WORLDS, WorldSpec, world_named

# k frames of a step, n steps, H W frame


@dataclass(frozen=True)
class Played:
    """``frames`` uint8 ``(1 + k*n, H, W, 3)``; ``actions`` int64 ``(n,)`` of the 32 ids, of which ``actions[i]`` made
    frames ``1 + k*i`` to ``k*(i + 1)``. ``prompt`` says what was understood, and added; ``ended`` is True where the
    world ended before the steps were done, as when the player died. ``nearest`` is the true start that was begun from,
    and how near it is to what was asked; None for a drawn one."""

    frames: np.ndarray
    actions: np.ndarray
    world: WorldSpec
    prompt: str
    ended: bool
    nearest: Nearest | None = None


@dataclass(frozen=True)
class Beginning:
    """How an episode begins, with what it was made of: the text of it in one line, and an event to begin with."""

    start: LaneStart
    prompt: str
    event: str
    nearest: Nearest | None = None


def begin_from_prompt(
    prompt: str,
    seed: int,
    world: str | None = None,
    worlds: Sequence[str] = tuple(WORLDS),
    expand: bool = True,
    bank: Bank | None = None,
    frame_size: tuple[int, int] = (64, 64),
) -> Beginning:
    """How an episode begins from ``prompt``: from the true start of ``bank`` that is nearest to it, or without a bank
    from text alone.

    ``world`` None is the world that the prompt means, among ``worlds`` where it names none. ``expand`` fills what the
    prompt of a start from text leaves open, by ``seed``. Raises ``ValueError`` for an unknown world, a negative seed,
    too long a prompt and a bank without that world.
    """
    if seed < 0:
        raise ValueError(f"seed={seed}; expected an integer of at least 0")
    noise_seed, draw = lane_draws(np.random.default_rng(seed))
    spec = world_named(world) if world else choose_world(parse_prompt(prompt), worlds)[0]
    words: ParsedPrompt | Expansion = parse_prompt(prompt, spec.name)
    if bank is not None:
        found = nearest_start(bank, spec, prompt, draw)
        begun = told(found.start, spec, frame_size, event=words.event_text)
        return Beginning(LaneStart(spec, noise_seed, begun.text, begun.frame), begun.shown, words.event_text, found)
    if expand:
        words = GrammarExpander(worlds).expand(prompt, draw, spec.name)
    text = LaneText(prompt_text(spec, words.scene_text), words.view_text)
    shown = whole_text(spec, words.scene_text, words.view_text, words.event_text)
    return Beginning(LaneStart(spec, noise_seed, text), shown, words.event_text)


def generate(
    prompt: str,
    steps: int = 72,
    world: str | None = None,
    model: str | Path | WorldSimulator | None = None,
    seed: int = 0,
    start: str = "prompt",
    expand: bool = True,
    frame_size: tuple[int, int] = (64, 64),
    denoising_steps: int = 4,
    device: str | torch.device = "auto",
) -> Played:
    """Plays ``steps`` steps of the world that ``prompt`` describes, or fewer where it ends before.

    Args:
        prompt: what the world shall look like; it also finds the world where ``world``, a registered one, is None.
        model: a simulator, a name or folder of one, or None for the shipped one of the world. It needs a player.
        seed: decides what the prompt leaves open, the noise and the actions; equal arguments give an equal video.
        start: ``"prompt"``, a picture that the model draws from the prompt alone, or ``"nearest"``, the true start of
            the model's bank that agrees with the prompt most.
        expand: whether the prompt of such a picture is expanded, as `worldsim expand` shows; ``Played.prompt`` says
            what came of it.
        frame_size: ``(H, W)`` in pixels, multiples of 16.
        denoising_steps: network evaluations per step at most.

    Raises ``ValueError`` for a model without a player or without that world, and for arguments that are not accepted.
    """
    if steps < 1:
        raise ValueError(f"steps={steps}; at least one is needed")
    if start not in STARTS:
        raise ValueError(f"start={start!r}; accepted are {', '.join(map(repr, STARTS))}")
    if not isinstance(model, WorldSimulator):
        named = world_named(world).name if world else parse_prompt(prompt).world
        model = WorldSimulator.from_pretrained(packaged_model(*([named] if named else [])) if model is None else model)
    if model.player is None:
        raise ValueError(NO_PLAYER)
    engine = RolloutEngine(model, device=device, frame_size=frame_size, denoising_steps=denoising_steps)
    simulated = [name for name in model.config.worlds if name in WORLDS]
    bank = bank_of(model) if start == "nearest" else None
    beginning = begin_from_prompt(prompt, seed, world, simulated, expand, bank, frame_size)
    first = engine.begin([0], [beginning.start])
    if beginning.event:
        engine.set_text([0], [beginning.event], "event")
    spec, frames, ended = beginning.start.world, [first.frames[0, :1]], False
    actions: list[int] = []
    while len(actions) < steps and not ended:
        ids, block = engine.play()
        frames.append(block.frames[0, : spec.frames_per_step])
        actions.append(int(ids[0]))
        ended = bool(block.terminated[0] | ~block.valid[0])
    video = torch.cat(frames).cpu().numpy()
    return Played(video, np.array(actions, np.int64), spec, beginning.prompt, ended, beginning.nearest)


def bank_of(model: WorldSimulator) -> Bank:
    """The bank of a model; ``ValueError`` where it has none."""
    if model.bank is None:
        raise ValueError(f"this model has no bank of starts to begin from; {DRAW_INSTEAD}")
    return model.bank
