"""Training batches of clips: latents, controls, words, targets, drawn from the latent cache.

A clip is ``T`` consecutive latents of one episode. Entry t carries the action that *produced* latent t, and its reward
and termination, so that what the heads predict at latent t + 1 is what step t paid; latent 0 of an episode carries
the "no action" mark and has no targets, and so does the latent after a cut, to which no action led. A clip may hold
several shots: the event of a cut tells the new view, and view texts of the shot before are no longer told. Clips that
reach past an episode's end are filled up and masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from worldsim.actions import KEY_BIT, multi_hot
from worldsim.model.conditioning import ACTED, FIRST, NO_VIEW, UNKNOWN, Controls, TextTokens
from worldsim.model.text import PARTS, trimmed
from worldsim.model.transformer import WorldModel
from worldsim.training.arena import Arena
from worldsim.training.shares import draw_weighed, named_shares
from worldsim.training.transfer import send

# B clips, T latent frames, L words, U different events of the batch

MOVING = sum(1 << KEY_BIT[k] for k in ("forward", "backward", "strafe_left", "strafe_right", "jump", "sneak", "sprint"))
"""Keys that move the player; the others do something, which an event then tells of."""


@dataclass(frozen=True)
class Words:
    """Word ids of a batch: ``scene``, ``view``, ``goal`` ``(B, L)``, the different events ``event (U, L)`` with
    ``event_index (B, T)`` into them, ``view_age (B, T)`` in steps, ``world (B,)``."""

    scene: torch.Tensor
    view: torch.Tensor
    goal: torch.Tensor
    event: torch.Tensor
    event_index: torch.Tensor
    view_age: torch.Tensor
    world: torch.Tensor

    def encode(self, model: WorldModel) -> TextTokens:
        return encode_all(model, [self])[0]


def encode_all(model: WorldModel, words: Sequence[Words]) -> list[TextTokens]:
    """Encoded texts of several batches, each part of all of them in one pass of the text encoder."""

    def encoded(part: str) -> Sequence[torch.Tensor]:
        rows = [getattr(w, part) for w in words]
        longest = max(r.shape[1] for r in rows)
        joined = torch.cat([F.pad(r, (0, longest - r.shape[1])) for r in rows])
        return model.text(joined, part).split([len(r) for r in rows])

    return [
        TextTokens(scene, view, w.view_age, event[w.event_index], goal[:, 0], w.world)
        for w, scene, view, event, goal in zip(words, *(encoded(part) for part in PARTS))
    ]


@dataclass(frozen=True)
class Clips:
    """A batch of clips.

    ``z (B, T, C, h, w)`` clean latents, ``seconds (B, T)``, ``reward (B, T)``, ``done (B, T)``; ``valid (B, T)`` is
    False past the end of an episode, ``paid (B, T)`` True where reward and termination are targets.
    """

    z: torch.Tensor
    controls: Controls
    words: Words
    seconds: torch.Tensor
    reward: torch.Tensor
    done: torch.Tensor
    valid: torch.Tensor
    paid: torch.Tensor

    def to(self, device: torch.device) -> Clips:
        return self.map(lambda name, value: send(value, device))

    def rows(self, rows: slice | torch.Tensor) -> Clips:
        """Some of the clips, by number (all different events are kept, since rows index into them)."""
        return self.map(lambda name, value: value if name == "event" else value[rows])

    def map(self, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Clips:
        """A batch with ``change(name, tensor)`` applied to every tensor, nested ones included."""

        def over(record: Any) -> dict[str, Any]:
            return {
                name: change(name, value) if isinstance(value, torch.Tensor) else type(value)(**over(value))
                for name, value in vars(record).items()
            }

        return Clips(**over(self))


@dataclass(frozen=True)
class ClipConfig:
    """What clips are drawn.

    ``length`` is in latents. ``rare`` is the share of clips that hold a termination or unusual reward, ``start`` of
    those that begin at a reset, ``no_view`` of those without view text; ``drop_text`` and ``drop_action`` replace all
    text, or all actions, by their learned nulls. In a share ``told_alone`` of the steps with an event text, the keys
    that do something are told as not pressed: true play never has an event without the deed that causes it, so
    otherwise nothing teaches that the text alone, said while the player stands there, makes it happen.

    ``shares`` weighs worlds by their names (or ids), those that it does not name by 1: a world that is learned later
    than others needs more of the clips for a while. Raises ``ValueError`` for a weight that is not above 0, a world
    unknown, or one that is weighed twice.
    """

    length: int = 48
    rare: float = 0.15
    start: float = 0.2
    no_view: float = 0.3
    drop_text: float = 0.12
    drop_action: float = 0.12
    told_alone: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", named_shares(self.shares))

    def draw_worlds(self, held: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
        """``count`` worlds, drawn from those ``held`` by their ``shares``."""
        return [held[i] for i in draw_weighed(held, self.shares, count, rng)]


def assemble(
    arena: Arena, numbers: np.ndarray, starts: np.ndarray, config: ClipConfig, rng: np.random.Generator
) -> Clips:
    """Clips of ``config.length`` latents from episodes ``numbers (B,)``, each from its latent ``starts (B,)`` on."""
    b, t = len(numbers), config.length
    begin, index = torch.from_numpy(starts)[:, None], torch.arange(t)
    first, lengths = arena.first.rows[numbers][:, None], arena.lengths.rows[numbers][:, None]
    valid = begin + index < lengths
    rows = first + torch.minimum(begin + index, lengths - 1)
    reset = (begin + index) == 0
    shot = arena.shot.rows
    unled = reset | (shot[rows] != shot[(rows - 1).clamp(min=0)])  # a cut, or a reset
    known = torch.where(unled, FIRST, ACTED)
    unknown = torch.from_numpy(rng.random(b) < config.drop_action)[:, None] & ~unled
    keys = arena.keys.rows[rows] * valid
    words = _words(arena, numbers, starts, valid, config, rng)
    if config.told_alone:
        told = words.event.any(1)[words.event_index] & torch.from_numpy(rng.random((b, t)) < config.told_alone)
        keys = torch.where(told, keys & MOVING, keys)
    return Clips(
        z=arena.z.take(rows).float(),
        controls=Controls(
            torch.from_numpy(multi_hot(keys.numpy().astype(np.uint32))),
            arena.camera.rows[rows] * valid[..., None],
            torch.where(unknown, UNKNOWN, known),
        ),
        words=words,
        seconds=index * arena.seconds.rows[numbers][:, None],
        reward=arena.reward.rows[rows] * valid,
        done=arena.done.rows[rows] & valid,
        valid=valid,
        paid=valid & ~unled,
    )


def assemble_images(
    arena: Arena, numbers: np.ndarray, images: np.ndarray, config: ClipConfig, rng: np.random.Generator
) -> Clips:
    """One-frame clips of images ``images (B,)`` of episodes ``numbers (B,)``: starts without history or action."""
    b = len(numbers)
    rows = arena.first_image.rows[numbers] + torch.from_numpy(images)
    one, none = torch.ones(b, 1, dtype=torch.bool), torch.zeros(b, 1)
    moments = arena.image_steps.rows[rows].numpy()
    return Clips(
        z=arena.images.take(rows)[:, None].float(),
        controls=Controls(torch.zeros(b, 1, 32), torch.zeros(b, 1, 2), torch.full((b, 1), FIRST)),
        words=_words(arena, numbers, moments, one, config, rng, images=True),
        seconds=none,
        reward=none,
        done=~one,
        valid=one,
        paid=~one,
    )


def _words(
    arena: Arena,
    numbers: np.ndarray,
    starts: np.ndarray,
    valid: torch.Tensor,
    config: ClipConfig,
    rng: np.random.Generator,
    images: bool = False,
) -> Words:
    """Texts of clips. An image's view is of its moment, and nothing happens in it."""
    b, t = valid.shape
    moment = torch.from_numpy(starts if images else _view_moments(starts, valid.sum(1).numpy(), rng))[:, None]
    first = arena.first.rows[numbers][:, None]
    dropped = torch.from_numpy(rng.random(b) < config.drop_text)
    no_view = dropped | torch.from_numpy(rng.random(b) < config.no_view)
    no_event = torch.from_numpy(rng.random(b) < config.drop_text)
    if arena.scenes is None:
        raise ValueError("there are no words to draw from: the arena is empty")
    scene = arena.scenes.rows[numbers, rng.integers(arena.scenes.rows.shape[1], size=b)]
    view = arena.view.rows[(first + moment)[:, 0]]
    age = torch.from_numpy(starts)[:, None] - moment + torch.arange(t)
    rows = (first + torch.from_numpy(starts)[:, None] + torch.arange(t)).clamp(max=len(arena.event) - 1)
    same_shot = arena.shot.rows[rows] == arena.shot.rows[first + moment]
    seen = (age >= 0) & ~no_view[:, None] & view.any(1, keepdim=True) & same_shot
    happens = valid & ~no_event[:, None] & (not images)
    events = torch.where(happens, arena.event.rows[rows], 0)
    different, index = torch.unique(events, return_inverse=True)
    texts = arena.texts.words.rows
    return Words(
        scene=trimmed(scene.masked_fill(dropped[:, None], 0)),
        view=trimmed(view.masked_fill(no_view[:, None], 0)),
        goal=trimmed(texts[arena.goals.rows[numbers]]),
        event=trimmed(texts[different]),
        event_index=index,
        view_age=torch.where(seen, age, NO_VIEW),
        world=arena.worlds.rows[numbers],
    )


def _view_moments(starts: np.ndarray, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Latents that the view texts describe: a clip's first, an earlier one of its episode, or one inside the clip
    (which has no view before it, as when a prompt is set while a world runs)."""
    draw = rng.random(len(starts))
    earlier, inside = rng.integers(0, starts + 1), starts + rng.integers(0, np.maximum(1, frames // 2))
    return np.where(draw < 0.4, starts, np.where(draw < 0.75, earlier, inside))
