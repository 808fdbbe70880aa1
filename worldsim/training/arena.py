"""Encoded episodes laid end to end in a few large tensors, from which whole batches are read by index.

A GPU trains on tens of thousands of latent frames a second; drawing them one by one in Python would be its limit. So
the latents lie on the device that trains, everything else beside them in flat columns on the host, and a batch of clips
is a table of row numbers. Columns grow by doubling while worlds play.
"""

from __future__ import annotations

import numpy as np
import torch

from worldsim.captions.vocabulary import MAX_TOKENS, word_rows
from worldsim.training.latents import LatentEpisode
from worldsim.training.transfer import send
from worldsim.worlds import WORLDS


class Column:
    """Rows of one shape in one tensor that doubles when it is full."""

    def __init__(self, dtype: torch.dtype, shape: tuple[int, ...] = (), device: torch.device | None = None) -> None:
        self._held = torch.empty(0, *shape, dtype=dtype, device=device)
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def extend(self, rows: torch.Tensor) -> None:
        needed = self._rows + len(rows)
        if needed > len(self._held):
            larger = self._held.new_empty(max(needed, 2 * len(self._held)), *self._held.shape[1:])
            larger[: self._rows] = self._held[: self._rows]
            self._held = larger
        self._held[self._rows : needed] = send(rows, self._held.device)
        self._rows = needed

    @property
    def rows(self) -> torch.Tensor:
        """What is held; a view, valid until the next ``extend``."""
        return self._held[: self._rows]

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows of these numbers, a tensor on the host of any shape."""
        return self._held[send(rows, self._held.device)]


class Texts:
    """Different texts, each held once as a row of word ids; row 0 is the empty text."""

    def __init__(self) -> None:
        self._numbers = {"": 0}
        self.words = Column(torch.int16, (MAX_TOKENS,))
        self.words.extend(torch.zeros(1, MAX_TOKENS, dtype=torch.int16))

    def number(self, text: str) -> int:
        if text not in self._numbers:
            self._numbers[text] = len(self._numbers)
            self.words.extend(torch.from_numpy(word_rows([text])))
        return self._numbers[text]


class Arena:
    """Episodes as columns.

    An episode of T steps has T + 1 rows in those from ``z`` to ``event``, in which action, reward and end are of the
    step that produced the latent (zeros for the reset frame's), and one row in those from ``first`` on. ``shot`` counts
    the cuts of an episode up to a latent.
    """

    def __init__(self, latent_shape: tuple[int, ...], device: torch.device | None = None) -> None:
        self.z = Column(torch.float16, latent_shape, device)
        self.keys = Column(torch.int64)
        self.camera = Column(torch.float32, (2,))
        self.reward = Column(torch.float32)
        self.done = Column(torch.bool)
        self.view = Column(torch.int16, (MAX_TOKENS,))
        self.event = Column(torch.int64)
        self.shot = Column(torch.int64)
        self.images = Column(torch.float16, latent_shape, device)
        self.image_steps = Column(torch.int64)
        self.texts = Texts()
        self.first = Column(torch.int64)
        self.lengths = Column(torch.int64)
        self.first_image = Column(torch.int64)
        self.image_counts = Column(torch.int64)
        self.worlds = Column(torch.int64)
        self.seconds = Column(torch.float32)
        self.goals = Column(torch.int64)
        self.scenes: Column | None = None

    def __len__(self) -> int:
        """Episodes."""
        return len(self.first)

    def add(self, episode: LatentEpisode) -> None:
        """Lays an episode behind the others. Raises ``ValueError`` for latents of another shape."""
        shape = tuple(self.z.rows.shape[1:])
        if tuple(episode.z.shape[1:]) != shape:
            raise ValueError(
                f"latents of shape {tuple(episode.z.shape[1:])} beside others of {shape}: without packs a run has one "
                "size; give a pack's budget (--train.pack.tokens 16000) to train on several"
            )
        words, spec = episode.words, WORLDS[episode.world]
        self.first.extend(torch.tensor([len(self.z)]))
        self.lengths.extend(torch.tensor([len(episode) + 1]))
        self.first_image.extend(torch.tensor([len(self.images)]))
        self.image_counts.extend(torch.tensor([len(episode.images)]))
        self.worlds.extend(torch.tensor([spec.index]))
        self.seconds.extend(torch.tensor([spec.step_seconds]))
        self.goals.extend(torch.tensor([self.texts.number(episode.goal)]))
        self.z.extend(episode.z)
        self.keys.extend(torch.from_numpy(_after_none(episode.keys).astype(np.int64)))
        self.camera.extend(torch.from_numpy(_after_none(episode.camera)))
        self.reward.extend(torch.from_numpy(_after_none(episode.reward)))
        self.done.extend(torch.from_numpy(_after_none(episode.done)))
        self.view.extend(torch.from_numpy(words.view))
        self.event.extend(torch.tensor([self.texts.number(text) for text in words.event]))
        self.shot.extend(torch.from_numpy(np.isin(np.arange(len(episode) + 1), np.array(episode.cuts) + 1).cumsum()))
        self.images.extend(episode.images)
        self.image_steps.extend(torch.from_numpy(episode.image_steps.astype(np.int64)))
        if self.scenes is None:
            self.scenes = Column(torch.int16, words.scene.shape)
        self.scenes.extend(torch.from_numpy(words.scene)[None])


def _after_none(per_step: np.ndarray) -> np.ndarray:
    """A row of zeros for the reset frame, then one per step."""
    return np.concatenate([np.zeros_like(per_step[:1]), per_step])
