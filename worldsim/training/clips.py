"""Training batches of clips: latents, controls, words, targets, drawn from the latent cache.

A clip is ``T`` consecutive latents of one episode. Entry t carries the action that *produced* latent t, and its reward
and termination, so that what the heads predict at latent t + 1 is what step t paid; latent 0 of an episode carries
the "no action" mark and has no targets. Clips that reach past an episode's end are filled up and masked. Texts are
worded anew from the recorded facts at every draw, so that the encoder meets many wordings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from worldsim.actions import multi_hot
from worldsim.captions.facts import EventFact, SceneFacts, ViewFacts
from worldsim.captions.grammar import event_caption, prompt_text, scene_caption, view_caption
from worldsim.captions.styles import STYLES
from worldsim.model.conditioning import ACTED, FIRST, NO_VIEW, UNKNOWN, Controls, TextTokens
from worldsim.model.text import tokenise
from worldsim.model.transformer import WorldModel
from worldsim.recording.facts_json import facts_from_json
from worldsim.training.latents import LatentEpisode, LatentStore
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
        return self.map(lambda name, value: value.to(device, non_blocking=True))

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
    """Draws batches with equal shares of the worlds, whatever their shares of the data.

    Single images, which text alone tells, are drawn more from worlds of many scenes: a world's share grows with the
    logarithm of the number of its different scene captions.
    """

    def __init__(self, store: LatentStore, config: ClipConfig) -> None:
        self.store, self.config = store, config
        self._indexed = 0
        self._by_world: dict[str, list[int]] = {}
        self._rare: dict[str, list[tuple[int, int]]] = {}
        self._scenes: dict[str, set[str]] = {}

    def _index(self) -> None:
        for number in range(self._indexed, len(self.store.episodes)):
            episode = self.store.episodes[number]
            self._by_world.setdefault(episode.world, []).append(number)
            scene = read_facts(episode.facts[0])[0]
            self._scenes.setdefault(episode.world, set()).add(scene_caption(scene, "medium"))
            living = WORLDS[episode.world].living_reward
            unusual = np.flatnonzero(episode.done | (np.abs(episode.reward - living) > 0.5))
            self._rare.setdefault(episode.world, []).extend((number, int(t)) for t in unusual)
        self._indexed = len(self.store.episodes)

    def clips(self, batch: int, rng: np.random.Generator) -> Clips:
        """``batch`` clips of ``config.length`` latents."""
        self._index()
        picks = [self._pick(rng) for _ in range(batch)]
        return assemble(
            [(self.store.episodes[number], start) for number, start in picks],
            self.config.length,
            self.config,
            rng,
        )

    def singles(self, batch: int, rng: np.random.Generator) -> Clips:
        """One-frame samples: image latents of single frames with the text of that moment."""
        self._index()
        worlds = sorted(self._scenes)
        weight = np.array([1 + np.log2(len(self._scenes[w])) for w in worlds])
        picks = []
        for _ in range(batch):
            episode = self.store.episodes[self._episode(rng, worlds[rng.choice(len(worlds), p=weight / weight.sum())])]
            picks.append((episode, int(rng.integers(len(episode.images)))))
        return assemble_images(picks, self.config, rng)

    def _episode(self, rng: np.random.Generator, world: str | None = None) -> int:
        numbers = self._by_world[world or sorted(self._by_world)[rng.integers(len(self._by_world))]]
        for _ in range(4):  # longer episodes hold more clips: rejection by length, bounded
            number = numbers[rng.integers(len(numbers))]
            if rng.random() < len(self.store.episodes[number]) / 150:
                break
        return number

    def _pick(self, rng: np.random.Generator) -> tuple[int, int]:
        length = self.config.length
        if rng.random() < self.config.rare:
            rare = [w for w in sorted(self._rare) if self._rare[w]]
            if rare:
                events = self._rare[rare[rng.integers(len(rare))]]
                number, step = events[rng.integers(len(events))]
                latest = max(0, min(step, len(self.store.episodes[number]) + 1 - length // 2))
                return number, int(rng.integers(max(0, step - length + 2), max(latest, 0) + 1)) if latest > 0 else 0
        number = self._episode(rng)
        if rng.random() < self.config.start:
            return number, 0
        return number, int(rng.integers(0, max(1, len(self.store.episodes[number]) + 2 - length)))


def assemble(
    picks: Sequence[tuple[LatentEpisode, int]], length: int, config: ClipConfig, rng: np.random.Generator
) -> Clips:
    """Clips of ``length`` latents from (episode, first latent) pairs."""
    b = len(picks)
    z = np.zeros((b, length, *picks[0][0].z.shape[1:]), np.float16)
    keys, camera = np.zeros((b, length), np.uint32), np.zeros((b, length, 2), np.float32)
    reward, done = np.zeros((b, length), np.float32), np.zeros((b, length), bool)
    valid, known = np.zeros((b, length), bool), np.full((b, length), ACTED, np.int64)
    seconds = np.zeros((b, length), np.float32)
    for i, (episode, start) in enumerate(picks):
        n = min(length, len(episode) + 1 - start)
        z[i, :n] = episode.z[start : start + n]
        z[i, n:] = z[i, n - 1]
        valid[i, :n] = True
        seconds[i] = np.arange(length) * WORLDS[episode.world].step_seconds
        acted = np.arange(max(start, 1), start + n)  # latent s > 0 was produced by step s - 1
        at = acted - start
        keys[i, at], camera[i, at] = episode.keys[acted - 1], episode.camera[acted - 1]
        reward[i, at], done[i, at] = episode.reward[acted - 1], episode.done[acted - 1]
        if start == 0:
            known[i, 0] = FIRST
        if rng.random() < config.drop_action:
            known[i, known[i] == ACTED] = UNKNOWN
    paid = valid.copy()
    paid[[i for i, (_, start) in enumerate(picks) if start == 0], 0] = False
    controls = Controls(torch.from_numpy(multi_hot(keys)), torch.from_numpy(camera), torch.from_numpy(known))
    return Clips(
        z=torch.from_numpy(z).float(),
        controls=controls,
        words=_words(picks, valid, config, rng),
        seconds=torch.from_numpy(seconds),
        reward=torch.from_numpy(reward),
        done=torch.from_numpy(done),
        valid=torch.from_numpy(valid),
        paid=torch.from_numpy(paid),
    )


def assemble_images(picks: Sequence[tuple[LatentEpisode, int]], config: ClipConfig, rng: np.random.Generator) -> Clips:
    """One-frame clips from (episode, number of its image) pairs: starts without history or action."""
    b = len(picks)
    z = np.stack([episode.images[n] for episode, n in picks])[:, None]
    one = np.ones((b, 1), bool)
    moments = [(episode, int(episode.image_steps[n])) for episode, n in picks]
    controls = Controls(torch.zeros(b, 1, 32), torch.zeros(b, 1, 2), torch.full((b, 1), FIRST))
    return Clips(
        z=torch.from_numpy(z).float(),
        controls=controls,
        words=_words(moments, one, config, rng, events=False, other_views=False),
        seconds=torch.zeros(b, 1),
        reward=torch.zeros(b, 1),
        done=torch.zeros(b, 1, dtype=torch.bool),
        valid=torch.from_numpy(one),
        paid=torch.zeros(b, 1, dtype=torch.bool),
    )


def _words(
    picks: Sequence[tuple[LatentEpisode, int]],
    valid: np.ndarray,
    config: ClipConfig,
    rng: np.random.Generator,
    events: bool = True,
    other_views: bool = True,
) -> Words:
    b, t = valid.shape
    scenes, views, goals = [], [], []
    ages = np.full((b, t), NO_VIEW, np.int64)
    different: dict[str, int] = {"": 0}
    index = np.zeros((b, t), np.int64)
    for i, (episode, start) in enumerate(picks):
        style = STYLES[rng.integers(len(STYLES))]
        dropped = rng.random() < config.drop_text
        moment = _view_moment(start, int(valid[i].sum()), rng) if other_views else start
        scene, view, _ = read_facts(episode.facts[moment])
        scenes.append("" if dropped else prompt_text(WORLDS[episode.world], scene_caption(scene, style, rng)))
        view_text = "" if dropped or rng.random() < config.no_view else view_caption(view, style, rng)
        views.append(view_text)
        goals.append(episode.goal)
        if view_text:
            age = start - moment + np.arange(t)
            ages[i] = np.where(age >= 0, age, NO_VIEW)
        if events and rng.random() >= config.drop_text:
            for j in range(t):
                if valid[i, j]:
                    happened = read_facts(episode.facts[start + j])[2]
                    text = event_caption(happened, style, rng) if happened else ""
                    index[i, j] = different.setdefault(text, len(different))
    return Words(
        scene=tokenise(scenes),
        view=tokenise(views),
        goal=tokenise(goals),
        event=tokenise(list(different)),
        event_index=torch.from_numpy(index),
        view_age=torch.from_numpy(ages),
        world=torch.tensor([WORLDS[episode.world].index for episode, _ in picks]),
    )


def _view_moment(start: int, frames: int, rng: np.random.Generator) -> int:
    """Latent that the view text describes: the clip's first, an earlier one of the episode, or one inside the clip
    (which has no view before it, as when a prompt is set while a world runs)."""
    draw = rng.random()
    if draw < 0.4:
        return start
    if draw < 0.75:
        return int(rng.integers(0, start + 1))
    return start + int(rng.integers(0, max(1, frames // 2)))


_NOTHING = (SceneFacts(world=""), ViewFacts(), ())


def read_facts(line: str) -> tuple[SceneFacts, ViewFacts, tuple[EventFact, ...]]:
    """Facts of one recorded moment; nothing where the line is empty."""
    return facts_from_json(line) if line else _NOTHING
