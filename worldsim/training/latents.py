"""The latent cache: episodes after the codec, which is all that the transformer trains on.

A latent frame of 64x64 is 2 KB in half precision against 49 KB of pixels, so hours of play fit into memory and
training never decodes an image. The store is saved as safetensors shards with a JSON file of texts; shards are
read whole when it is opened. Beside each episode's chain of latents (the reset frame as an image latent, then one
latent per step) it keeps image latents of single frames every few steps, for starts without history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from worldsim.model.codec import Codec
from worldsim.passes import native_autocast
from worldsim.recording.episode import Episode
from worldsim.recording.words import EpisodeWords, word_episode
from worldsim.training.transfer import send

FORMAT_VERSION = 2


@dataclass(frozen=True)
class LatentEpisode:
    """One encoded episode of T steps.

    ``z`` float16 ``(T + 1, C, h, w)`` normalised latents, entry 0 the reset frame's; ``images`` float16 ``(I, C, h,
    w)`` image latents of the observations ``image_steps`` int32 ``(I,)``; both lie where the codec does. ``keys``,
    ``camera``, ``reward``, ``done`` have T entries, as in ``Episode``; ``done`` is termination, not truncation.
    ``facts`` has T + 1 JSON lines; ``given_words`` are their words where they came with the episode. ``cuts`` are the
    numbers of the steps that are cuts.
    """

    world: str
    goal: str
    map_seed: int
    z: torch.Tensor
    images: torch.Tensor
    image_steps: np.ndarray
    keys: np.ndarray
    camera: np.ndarray
    reward: np.ndarray
    done: np.ndarray
    facts: list[str]
    given_words: EpisodeWords | None = None
    cuts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.reward)

    @cached_property
    def words(self) -> EpisodeWords:
        return self.given_words or word_episode(self.world, self.facts, self.map_seed)


_ARRAYS = ("z", "images", "image_steps", "keys", "camera", "reward", "done")
_TEXTS = ("world", "goal", "map_seed", "facts", "cuts")


@torch.no_grad()
def encode_frames(frames: np.ndarray, codec: Codec) -> torch.Tensor:
    """Latents in half precision of uint8 blocks or single images ``(B, K, H, W, 3)``, where the codec lies."""
    device = codec.latent_mean.device
    chunk = 64 if device.type == "cpu" else 512  # a CPU's cache, a GPU's width
    parts = torch.from_numpy(np.ascontiguousarray(frames)).split(chunk)
    with native_autocast(device):
        return torch.cat([codec.encode(send(part, device)) for part in parts]).half()


def encode_episode(episode: Episode, codec: Codec, image_every: int = 6) -> LatentEpisode:
    """Encodes an episode; blocks cut short by its end are encoded as padded, as they are rendered."""
    observations = episode.observations
    steps = np.arange(0, len(episode) + 1, image_every, dtype=np.int32)
    images = encode_frames(observations[steps][:, None], codec)
    blocks = episode.blocks[:, : episode.frames_per_step] if episode.frames_per_step > 1 else observations[1:][:, None]
    chain = encode_frames(blocks, codec)
    return LatentEpisode(
        episode.world, episode.goal, episode.map_seed, torch.cat([images[:1], chain]), images, steps,
        episode.keys, episode.camera, episode.reward, episode.terminated, list(episode.facts), episode.words,
        tuple(np.flatnonzero(episode.cuts).tolist()),
    )  # fmt: skip


def by_size(episodes: Iterable[LatentEpisode]) -> list[list[LatentEpisode]]:
    """The episodes of each size, smaller sizes first."""
    groups: dict[tuple[int, ...], list[LatentEpisode]] = {}
    for episode in episodes:
        groups.setdefault(tuple(episode.z.shape[2:]), []).append(episode)
    return [groups[size] for size in sorted(groups, key=lambda size: (size[0] * size[1], size))]


def size_name(z: torch.Tensor, pixels: int) -> str:
    """``HxW`` of the frames behind latents ``(..., h, w)`` with cells of ``pixels``."""
    return f"{z.shape[-2] * pixels}x{z.shape[-1] * pixels}"


@dataclass
class LatentStore:
    """Encoded episodes. ``shards`` are the files that were read."""

    episodes: list[LatentEpisode] = field(default_factory=list)
    shards: list[Path] = field(default_factory=list)

    @property
    def latents(self) -> int:
        return sum(len(e) + 1 for e in self.episodes)

    def extend(self, episodes: Iterable[Episode], codec: Codec, image_every: int = 6) -> None:
        self.episodes.extend(encode_episode(e, codec, image_every) for e in episodes)

    def append_to(self, folder: Path) -> None:
        """Writes all episodes as one more shard of ``folder``, renamed into place when whole: a killed run leaves
        whole shards."""
        if not self.episodes:
            return
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"latents-{len(_shard_paths(folder)):05d}.safetensors"
        tensors = {
            f"{i}/{name}": value.cpu().numpy() if isinstance(value, torch.Tensor) else value
            for i, e in enumerate(self.episodes)
            for name, value in ((name, getattr(e, name)) for name in _ARRAYS)
        }
        texts = [{name: getattr(e, name) for name in _TEXTS} for e in self.episodes]
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path.with_suffix(".tmp"))
        path.with_suffix(".json").write_text(json.dumps({"format_version": FORMAT_VERSION, "texts": texts}))
        path.with_suffix(".tmp").rename(path)

    @classmethod
    def open(cls, folder: Path) -> LatentStore:
        """All whole shards of ``folder``. Raises ``FileNotFoundError`` where there is none."""
        paths = _shard_paths(folder)
        if not paths:
            raise FileNotFoundError(f"no latent cache in {folder}; `worldsim train world` makes one from --source.data")
        store = cls()
        store.refresh(folder)
        return store

    def refresh(self, folder: Path) -> None:
        """Takes up the shards that came to ``folder`` since the last look (another process may be encoding)."""
        for path in _shard_paths(folder):
            if path not in self.shards:
                self.episodes.extend(_read_shard(path))
                self.shards.append(path)


def _shard_paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("latents-*.safetensors"))


def _shard_texts(path: Path) -> dict[str, Any]:
    header = json.loads(path.with_suffix(".json").read_text())
    if header["format_version"] > FORMAT_VERSION:
        raise ValueError(f"{path} has format version {header['format_version']}, this version reads {FORMAT_VERSION}")
    return header


def _read_shard(path: Path) -> Iterator[LatentEpisode]:
    tensors, header = load_file(path), _shard_texts(path)
    for i, text in enumerate(header["texts"]):
        arrays: dict[str, Any] = {name: tensors[f"{i}/{name}"] for name in _ARRAYS}
        arrays |= {name: torch.from_numpy(arrays[name]) for name in ("z", "images")}
        cuts = tuple(text.pop("cuts", ()))  # shards of version 1 know none
        yield LatentEpisode(**text, **arrays, cuts=cuts)
