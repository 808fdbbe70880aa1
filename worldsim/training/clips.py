"""Training batches of clips: latents, controls, words, targets, drawn from the latent cache.

A clip is ``T`` consecutive latents of one episode. Entry t carries the action that *produced* latent t, and its reward
and termination, so that what the heads predict at latent t + 1 is what step t paid; latent 0 of an episode carries
the "no action" mark and has no targets. Clips that reach past an episode's end are filled up and masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from worldsim.actions import multi_hot
from worldsim.model.conditioning import ACTED, FIRST, NO_VIEW, UNKNOWN, Controls, TextTokens
from worldsim.model.text import trimmed
from worldsim.model.transformer import WorldModel
from worldsim.training.arena import Arena
from worldsim.training.latents import LatentStore
from worldsim.training.transfer import send
from worldsim.worlds import WORLDS

# B clips, T latent frames, L words, U different events of the batch


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
        return TextTokens(
            scene=model.text(self.scene, "scene"),
            view=model.text(self.view, "view"),
            view_age=self.view_age,
            event=model.text(self.event, "event")[self.event_index],
            goal=model.text(self.goal, "goal")[:, 0],
            world=self.world,
        )


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

    def rows(self, n: int) -> Clips:
        """The first ``n`` clips (all different events are kept, since rows index into them)."""
        return self.map(lambda name, value: value if name == "event" else value[:n])

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
    text, or all actions, by their learned nulls.
    """

    length: int = 48
    rare: float = 0.15
    start: float = 0.2
    no_view: float = 0.3
    drop_text: float = 0.12
    drop_action: float = 0.12


class ClipSampler:
    """Draws batches with equal shares of the worlds, whatever their shares of the data, from a store that may grow.

    Longer episodes are drawn more, up to 150 steps. Single images, which text alone tells, are drawn more from worlds
    of many scenes: a world's share grows with the logarithm of the number of its different scene captions. ``device``
    is where the latents are kept and the batches are made.
    """

    def __init__(self, store: LatentStore, config: ClipConfig, device: torch.device | None = None) -> None:
        self.store, self.config, self.device = store, config, device
        self.arena: Arena | None = None
        self._indexed = 0
        self._numbers: dict[str, list[int]] = {}
        self._share: dict[str, list[int]] = {}
        self._rare: dict[str, list[tuple[int, int]]] = {}
        self._scenes: dict[str, set[str]] = {}

    def _index(self) -> Arena:
        """Takes up the episodes that came to the store."""
        for number in range(self._indexed, len(self.store.episodes)):
            episode = self.store.episodes[number]
            if self.arena is None:
                self.arena = Arena(episode.z.shape[1:], self.device)
            self.arena.add(episode)
            self._numbers.setdefault(episode.world, []).append(number)
            self._share.setdefault(episode.world, []).append(min(len(episode), 150))
            self._scenes.setdefault(episode.world, set()).add(episode.words.plain)
            living = WORLDS[episode.world].living_reward
            unusual = np.flatnonzero(episode.done | (np.abs(episode.reward - living) > 0.5))
            self._rare.setdefault(episode.world, []).extend((number, int(t)) for t in unusual)
            self._indexed += 1
        if self.arena is None:
            raise ValueError("there are no latents to draw from: the store is empty")
        return self.arena

    def clips(self, batch: int, rng: np.random.Generator) -> Clips:
        """``batch`` clips of ``config.length`` latents."""
        arena, length = self._index(), self.config.length
        worlds = sorted(self._numbers)
        numbers = self._episodes([worlds[i] for i in rng.integers(len(worlds), size=batch)], rng)
        last = np.maximum(arena.lengths.rows.numpy()[numbers] - length, 0)
        starts = np.where(rng.random(batch) < self.config.start, 0, rng.integers(0, last + 1))
        rare = [w for w in worlds if self._rare[w]]
        for row in np.flatnonzero(rng.random(batch) < self.config.rare) if rare else ():
            events = self._rare[rare[rng.integers(len(rare))]]
            numbers[row], step = events[rng.integers(len(events))]
            latest = min(step, int(arena.lengths.rows[numbers[row]]) - length // 2)
            starts[row] = rng.integers(max(0, step - length + 2), latest + 1) if latest > 0 else 0
        return assemble(arena, numbers, starts, self.config, rng)

    def singles(self, batch: int, rng: np.random.Generator) -> Clips:
        """One-frame samples: image latents of single frames with the text of that moment."""
        arena, worlds = self._index(), sorted(self._scenes)
        weight = np.array([1 + np.log2(len(self._scenes[w])) for w in worlds])
        drawn = rng.choice(len(worlds), size=batch, p=weight / weight.sum())
        numbers = self._episodes([worlds[i] for i in drawn], rng)
        images = rng.integers(0, arena.image_counts.rows.numpy()[numbers])
        return assemble_images(arena, numbers, images, self.config, rng)

    def _episodes(self, worlds: Sequence[str], rng: np.random.Generator) -> np.ndarray:
        """An episode's number for each of ``worlds``."""
        draw, numbers, wanted = rng.random(len(worlds)), np.zeros(len(worlds), np.int64), np.array(worlds)
        for world in set(worlds):
            rows, shares = np.flatnonzero(wanted == world), np.cumsum(self._share[world])
            at = np.searchsorted(shares, draw[rows] * shares[-1], side="right")
            numbers[rows] = np.array(self._numbers[world])[at]
        return numbers


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
    known = torch.where(reset, FIRST, ACTED)
    unknown = torch.from_numpy(rng.random(b) < config.drop_action)[:, None] & ~reset
    keys = arena.keys.rows[rows] * valid
    return Clips(
        z=arena.z.take(rows).float(),
        controls=Controls(
            torch.from_numpy(multi_hot(keys.numpy().astype(np.uint32))),
            arena.camera.rows[rows] * valid[..., None],
            torch.where(unknown, UNKNOWN, known),
        ),
        words=_words(arena, numbers, starts, valid, config, rng),
        seconds=index * arena.seconds.rows[numbers][:, None],
        reward=arena.reward.rows[rows] * valid,
        done=arena.done.rows[rows] & valid,
        valid=valid,
        paid=valid & ~reset,
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
    seen = (age >= 0) & ~no_view[:, None] & view.any(1, keepdim=True)
    rows = first + torch.from_numpy(starts)[:, None] + torch.arange(t)
    happens = valid & ~no_event[:, None] & (not images)
    events = torch.where(happens, arena.event.rows[rows.clamp(max=len(arena.event) - 1)], 0)
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
