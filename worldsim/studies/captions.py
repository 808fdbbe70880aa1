"""Do long captions teach more than short ones?

DALL-E 3's report and Sora's say that models trained on descriptive captions follow prompts better. Here three models of
one world are trained equally on the same latents, whose captions were worded short, descriptive, or in all styles, and
asked to draw held-out moments from text alone, prompted in each style. Two answers: are the facts that a prompt names
found in its picture, and are the pictures as a whole like true ones (``kernel.py``)?

The reader of facts is the captioner (``captioning/captioner.py``), which misses things. So only facts are asked that
it reads in the *true* picture of the moment, through the codec: the codec scores 1 by construction, and what a true
picture of another map shows by chance is the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from worldsim.captioning.captioner import Captioner
from worldsim.captions.facts import SceneFacts, ViewFacts
from worldsim.captions.statements import Statement, statements
from worldsim.captions.styles import STYLES, stated_view
from worldsim.engine import RolloutEngine
from worldsim.model.weights import WorldSimulator
from worldsim.passes import pick_device
from worldsim.predictor import LaneStart
from worldsim.recording.episode import Episode
from worldsim.recording.facts_json import read_facts
from worldsim.recording.words import word_episode
from worldsim.studies.kernel import Distance, kernel_distance
from worldsim.studies.runs import Material, check_budget, trained
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.latents import LatentStore
from worldsim.training.recorded import Place, text_at
from worldsim.worlds import WORLDS, world_named

TAUGHT: dict[str, tuple[str, ...]] = {"short": ("short",), "descriptive": ("descriptive",), "mixed": STYLES}
"""Styles of the captions that each model is trained on."""
ASKED: tuple[str, ...] = ("short", "descriptive")
"""Styles of the prompts."""
LANES = 16
"""Pictures that are drawn at once."""


@dataclass(frozen=True)
class Drawn:
    """Pictures of held-out moments by a model that was ``taught`` one way and ``asked`` in one style.

    ``found``, ``by_chance`` and ``named`` count facts of each moment: those that its prompt names and the reader finds
    in the picture, in the true picture of another map, and in its own true one. ``distance`` is of all pictures.
    """

    taught: str
    asked: str
    maps: tuple[int, ...]
    found: tuple[int, ...]
    by_chance: tuple[int, ...]
    named: tuple[int, ...]
    distance: Distance


@dataclass(frozen=True)
class Findings:
    """What each model drew, and the kernel distances of what no model drew: true pictures through the ``codec``, and
    one ``grey`` picture for all."""

    drawn: list[Drawn]
    codec: Distance
    grey: Distance


def study(config: WorldTrainConfig, material: Material, world: str, out: Path, moments: int) -> Findings:
    """Trains the models of one ``world`` in ``out`` that are not there yet, and lets each draw ``moments`` held-out
    moments in each style of prompts. Raises ``ValueError`` for what ``check`` refuses, before anything is trained."""
    check_budget(config)
    world = world_named(world).name
    material = material.only([world])
    check(material.held_out, moments)
    models = {name: trained(out / name, config, taught(material, styles)) for name, styles in TAUGHT.items()}
    places = moments_of(material.held_out, moments)
    reader = Captioner.from_pretrained()
    true = np.stack([episode.observations[t] for episode, t in places])
    maps = tuple(episode.map_seed for episode, _ in places)
    coded = _engine(models["mixed"], places).reconstruct(torch.from_numpy(true)[:, None])[:, 0].cpu().numpy()
    seen, features = read(reader, coded, world), reader.features(true[:, None])
    drawn = []
    for name, model in models.items():
        for style in ASKED:
            pictures = draw(model, places, style)
            said = read(reader, pictures, world)
            named = [prompted(place, style) & shown for place, shown in zip(places, seen)]
            chance = [a & seen[other] for a, other in zip(named, strangers(maps))]
            counts = ([len(a & b) for a, b in zip(named, said)], map(len, chance), map(len, named))
            found, by_chance, asked = (tuple(count) for count in counts)
            distance = kernel_distance(features, reader.features(pictures[:, None]), maps)
            drawn.append(Drawn(name, style, maps, found, by_chance, asked, distance))
    grey = np.full_like(true, np.uint8(true.mean().round()))
    codec, still = (kernel_distance(features, reader.features(other[:, None]), maps) for other in (coded, grey))
    return Findings(drawn, codec, still)


def taught(material: Material, styles: Sequence[str]) -> Material:
    """The same with the training episodes captioned in ``styles`` alone, as many wordings as ever."""
    episodes = [
        replace(e, given_words=word_episode(e.world, e.facts, e.map_seed, styles)) for e in material.store.episodes
    ]
    return replace(material, store=LatentStore(episodes))


def check(held_out: Sequence[Episode], moments: int) -> None:
    """Raises ``ValueError`` where there are not so many held-out moments, or they are of one map."""
    strangers([episode.map_seed for episode, _ in moments_of(held_out, moments)])


def moments_of(held_out: Sequence[Episode], count: int) -> list[Place]:
    """``count`` moments spread evenly over the ``held_out`` episodes.

    Raises ``ValueError`` where there are fewer.
    """
    held = sum(len(episode) + 1 for episode in held_out)
    if not 2 <= count <= held:
        raise ValueError(f"{count} moments: there are {held} held-out ones, and two or more are needed")
    order = [(episode, t) for episode in held_out for t in range(len(episode) + 1)]
    return [order[int((i + 0.5) * held / count)] for i in range(count)]


def strangers(maps: Sequence[int]) -> list[int]:
    """For each moment the number of the next one of another map: one of the same shows the same room.

    Raises ``ValueError`` where all are of one map.
    """
    if len(set(maps)) < 2:
        raise ValueError(f"all {len(maps)} moments are of one map; two maps or more are needed (source.held_out)")
    count = len(maps)
    return [next(j % count for j in range(i + 1, i + count) if maps[j % count] != maps[i]) for i in range(count)]


def draw(model: WorldSimulator, places: Sequence[Place], style: str) -> np.ndarray:
    """The first frame uint8 ``(N, H, W, 3)`` of a start from text alone for each place, prompted in ``style``."""
    pictures = []
    for first in range(0, len(places), LANES):
        some = places[first : first + LANES]
        starts = [
            LaneStart(WORLDS[place[0].world], seed, text_at(place, style)) for seed, place in enumerate(some, first)
        ]
        pictures.append(_engine(model, some).begin(list(range(len(some))), starts).frames[:, 0].cpu().numpy())
    return np.concatenate(pictures)


def _engine(model: WorldSimulator, places: Sequence[Place]) -> RolloutEngine:
    return RolloutEngine(model, lanes=len(places), device=pick_device("auto"), frame_size=places[0][0].frame_size)


def prompted(place: Place, style: str) -> frozenset[Statement]:
    """What a prompt of ``style`` says is to be seen."""
    episode, t = place
    return _seen(stated_view(read_facts(episode.facts[t])[1], style))


def read(reader: Captioner, pictures: np.ndarray, world: str) -> list[frozenset[Statement]]:
    """What the reader finds in pictures uint8 ``(N, H, W, 3)`` of a ``world``."""
    return [_seen(view) for _, view, _ in reader.facts(pictures[:, None], world)]


def _seen(view: ViewFacts) -> frozenset[Statement]:
    return statements(SceneFacts(world=""), view)
