"""A captioner trained by us: it looks at a clip and says what the grammar could say of it.

Sora's report trains a captioner on descriptive captions and lets it caption all of the training videos anew. Ours is a
classifier of typed facts (``worldsim.model.factnet``) followed by the seeded grammar, since the text encoder reads
nothing but the grammar's words: so each caption is one that training knows, parses back to what was seen, and comes in
every style. What it is not sure enough of is left unsaid; how sure is enough was chosen on validation clips, so that
most of what is said is true and most of what is true is said.

A captioner is a folder: ``config.json`` (slots, thresholds, size and SHA-256 of the weights), the weights in float16 as
safetensors, and a card.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from worldsim.captions.slots import CHOICES, DOOR, Answers, Facts, Slots
from worldsim.model.factnet import MULTIPLE, FactNet, FactNetConfig, Logits
from worldsim.model.files import from_dict, load_strictly
from worldsim.model.netfolder import NET, NetFolder, net_digest
from worldsim.recording.images import fit_frame
from worldsim.worlds import world_named

# N moments, S choices, K kinds, E events

_FOLDER = NetFolder("captioner", version=1)
PACKAGED = Path(__file__).parent.parent / "weights" / "captioner"
"""The captioner that comes with the package."""
SHORT_SIDE = 64
"""Pixels along the shorter side of the frames that are looked at: what the network was trained on."""
BATCH = 64


@dataclass(frozen=True)
class Thresholds:
    """How sure a captioner must be, as a probability, to say something of a group of statements.

    ``world`` is about all that it says of a moment: below it, the picture is of no world that it knows.
    """

    world: float = 0.5
    setting: float = 0.5
    surface: float = 0.5
    light: float = 0.5
    door: float = 0.5
    thing: float = 0.5
    place: float = 0.5
    near: float = 0.5
    event: float = 0.5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < 1:
                raise ValueError(f"threshold {name}={value!r}; accepted is above 0 and below 1")


@dataclass(frozen=True)
class CaptionerConfig:
    """What a captioner is, apart from its tensors."""

    slots: Slots
    net: FactNetConfig = field(default_factory=FactNetConfig)
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class Beliefs:
    """Probabilities of N moments, in the order of the slots: ``choices`` is one ``(N, V)`` array for each choice,
    ``counts (N, K, MOST + 1)``, ``places (N, K, 4)`` and ``distances (N, K, 3)``, ``events (N, E)``."""

    choices: tuple[np.ndarray, ...]
    counts: np.ndarray
    places: np.ndarray
    distances: np.ndarray
    events: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def present(self) -> np.ndarray:
        """Probability that a kind is in sight, ``(N, K)``."""
        return 1 - self.counts[..., 0]


def answered(beliefs: Beliefs, slots: Slots, thresholds: Thresholds, world: str | None = None) -> Answers:
    """What is said on such beliefs: the likeliest value of each slot, where it is likely enough.

    ``world`` says which world it is, instead of finding out. Where no world is likely enough nothing is said at all.
    """
    least = asdict(thresholds)
    names = [name if name in least else "surface" for name in CHOICES]
    choices = np.stack([_likeliest(p, least[name]) for p, name in zip(beliefs.choices, names)], axis=1)
    if world is not None:
        if world not in slots.values[0]:
            raise ValueError(f"this captioner knows nothing of {world}; it knows {', '.join(slots.values[0][1:])}")
        choices[:, 0] = slots.values[0].index(world)
    is_door = np.array([shape == DOOR for _, shape in slots.kind_names], bool)
    seen = beliefs.present >= np.where(is_door, thresholds.door, thresholds.thing)
    counts = np.where(seen, 1 + beliefs.counts[..., 1:].argmax(-1), 0)
    places = np.where(seen, _likeliest(beliefs.places, thresholds.place), 0)
    distances = np.where(seen, _likeliest(beliefs.distances, thresholds.near), 0)
    answers = Answers(choices, counts, places, distances, beliefs.events >= thresholds.event)
    return answers.silenced(choices[:, 0] > 0)


def _likeliest(probabilities: np.ndarray, least: float) -> np.ndarray:
    """The likeliest value other than 0 (nothing) along the last axis; 0 where it is less likely than ``least``."""
    if probabilities.shape[-1] == 1:
        return np.zeros(probabilities.shape[:-1], np.int64)
    best = 1 + probabilities[..., 1:].argmax(-1)
    likely = np.take_along_axis(probabilities, best[..., None], -1)[..., 0] >= least
    return np.where(likely, best, 0)


class Captioner:
    """A trained network with what its numbers mean. Raises ``ValueError`` where a clip is none."""

    def __init__(self, config: CaptionerConfig, net: FactNet) -> None:
        self.config = config
        self.net = net.eval().requires_grad_(False)

    @classmethod
    def create(cls, config: CaptionerConfig, seed: int = 0) -> Captioner:
        """A captioner with freshly drawn weights; the global random state stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config, FactNet(config.slots, config.net))

    @property
    def worlds(self) -> tuple[str, ...]:
        """Names of the worlds that it knows."""
        return self.config.slots.values[0][1:]

    @cached_property
    def digest(self) -> str:
        """12 hex digits over configuration and weights as they are stored."""
        return net_digest(self.config, self.net)

    @torch.no_grad()
    def beliefs(self, clips: np.ndarray) -> Beliefs:
        """What the network thinks of clips uint8 ``(N, T, H, W, 3)`` of any T and size, or three frames of each."""
        parts = [self.net(looked) for looked in self._batches(clips)]
        return beliefs_of(Logits(*(torch.cat(part) for part in zip(*parts))), self.config.slots)

    @torch.no_grad()
    def features(self, clips: np.ndarray) -> np.ndarray:
        """What the network sees on the whole in clips as those of ``beliefs``, before any question: float32 ``(N, D)``,
        for distances between sets of clips."""
        return torch.cat([self.net.look(looked)[1].float() for looked in self._batches(clips)]).cpu().numpy()

    def _batches(self, clips: np.ndarray) -> Iterator[torch.Tensor]:
        """What is looked at in clips, on the network's device."""
        device = next(self.net.parameters()).device
        for first in range(0, len(clips), BATCH):
            looked = np.stack([looks(clip) for clip in clips[first : first + BATCH]])
            yield torch.from_numpy(looked).to(device)

    def facts(self, clips: np.ndarray, world: str | None = None) -> list[Facts]:
        """Facts of each of the clips ``(N, T, H, W, 3)`` at its last frame, and of what happened since the first.

        ``world`` is a name of ``worldsim.worlds.WORLDS`` where it is known. Scenes name their world and its setting;
        a moment that looks like no world that the captioner knows has no facts at all (its world is "").
        """
        return self.said(self.beliefs(clips), world)

    def said(self, beliefs: Beliefs, world: str | None = None) -> list[Facts]:
        """The facts that are stated on such beliefs."""
        world = None if world is None else world_named(world).name
        answers = answered(beliefs, self.config.slots, self.config.thresholds, world)
        return [self.config.slots.facts(answers, row, beliefs.present[row]) for row in range(len(answers))]

    def save_pretrained(self, folder: str | Path, card: str | None = None) -> Path:
        """Writes the folder, which appears complete or not at all. Raises ``ValueError`` where ``folder`` holds
        something else than a captioner."""
        return _FOLDER.save(folder, self.config, {NET: self.net}, card or f"# Captioner\n\nDigest `{self.digest}`.\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path | None = None) -> Captioner:
        """Loads the captioner that comes with the package, or the one in ``folder``.

        Raises ``FileNotFoundError`` where there is none and ``WeightsError`` where its files are not right.
        """
        path = PACKAGED if folder is None else Path(folder)
        content, stored = _FOLDER.read(path)
        del content["format_version"]  # the only one so far
        captioner = cls.create(from_dict(CaptionerConfig, content, str(path / "config.json")))
        load_strictly(captioner.net, stored[NET], f"{path}: net")
        return captioner


def beliefs_of(logits: Logits, slots: Slots) -> Beliefs:
    """Probabilities of the network's scores."""
    choices = logits.choices.float().softmax(-1).cpu().numpy()
    counts, places, distances = (
        part.float().softmax(-1).cpu().numpy() for part in (logits.counts, logits.places, logits.distances)
    )
    per_slot = tuple(choices[:, i, : len(words)] for i, words in enumerate(slots.values))
    return Beliefs(per_slot, counts, places, distances, logits.events.float().sigmoid().cpu().numpy())


def looks(clip: np.ndarray) -> np.ndarray:
    """The three frames of a clip uint8 ``(T, H, W, 3)`` that are looked at, at the size that they are looked at.

    Raises ``ValueError`` for something that is no clip.
    """
    clip = np.asarray(clip)
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[-1] != 3 or not clip.size:
        raise ValueError(f"a clip is uint8 (T, H, W, 3) with T > 0; got {clip.dtype} {clip.shape}")
    frames = clip[[0, len(clip) // 2, len(clip) - 1]]
    height, width = clip.shape[1:3]
    scale = SHORT_SIDE / min(height, width)
    size = tuple(max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in (height, width))
    if size == (height, width):
        return frames
    return np.stack([fit_frame(frame, (size[0], size[1])) for frame in frames])
