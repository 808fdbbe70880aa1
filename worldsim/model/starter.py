"""A starter with what its numbers mean: it draws the first latent of a world from its text.

A starter knows the latents of one codec, those that its encoder makes, and no transformer. It is therefore kept in a
folder of its own (``starter/`` in a model's folder, or with the package) and begins worlds for every model with that
encoder. As a bank of true starts, it is no part of what a model is: the digest leaves both out.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from worldsim.diffusion import noise, sampler
from worldsim.diffusion.sampler import Sampled
from worldsim.model.codec import Codec, codec_digest
from worldsim.model.files import WeightsError, from_dict, load_strictly
from worldsim.model.netfolder import NetFolder, net_digest
from worldsim.model.packaged import PACKAGED
from worldsim.model.prepacked import can_prepack, prepack
from worldsim.model.starternet import StarterNet, StarterNetConfig, Told
from worldsim.model.text import tokenise

# B frames, L words, C h w latent

CELLS = 16
"""Latent cells of a token of the world model, whose number shifts the noise levels of large frames."""
STARTER = "starter"
"""Name of the folder in a model's folder, and of the one with the package."""
_FOLDER = NetFolder("starter", version=1)


@dataclass(frozen=True)
class StarterConfig:
    """What a starter is, apart from its tensors: the ``encoder`` whose latents it draws (``codec_digest`` of the
    encoder alone), the names of the ``worlds`` that it knows, and how it is sampled: denoising ``steps`` and the
    weight ``guidance`` of what the text says against nothing said (1: none)."""

    encoder: str
    worlds: tuple[str, ...]
    steps: int = 16
    guidance: float = 3.0
    net: StarterNetConfig = field(default_factory=StarterNetConfig)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps={self.steps}: a starter takes at least one")


class Starter:
    """A trained network that draws first latents, float32 and in evaluation mode. ``packaged``: it is the one that
    comes with the package, which no model's folder needs to hold."""

    def __init__(self, config: StarterConfig, net: StarterNet, packaged: bool = False) -> None:
        self.config, self.packaged = config, packaged
        self.net = net.eval().requires_grad_(False)
        self._cast: dict[tuple[torch.device, torch.dtype], StarterNet] = {}

    @classmethod
    def create(cls, config: StarterConfig, seed: int = 0) -> Starter:
        """A starter with freshly drawn weights; the global random state stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config, StarterNet(config.net))

    @cached_property
    def digest(self) -> str:
        """12 hex digits over configuration and weights as they are stored."""
        return net_digest(self.config, self.net)

    def save_pretrained(self, folder: str | Path, card: str | None = None) -> Path:
        """Writes the folder, which appears complete or not at all. Raises ``ValueError`` where ``folder`` holds
        something else than a starter."""
        return _FOLDER.save(folder, self.config, self.net, card or f"# Starter\n\nDigest `{self.digest}`.\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Starter:
        """Loads the starter in ``folder``. Raises ``FileNotFoundError`` where there is none and ``WeightsError`` where
        its files are not right."""
        content, stored = _FOLDER.read(folder)
        starter = cls.create(from_dict(StarterConfig, content, str(Path(folder) / "config.json")))
        load_strictly(starter.net, stored, f"{folder}: net")
        return starter

    def check(self, codec: Codec) -> None:
        """Raises ``ValueError`` unless it draws latents of ``codec``."""
        if (encoder := codec_digest(codec, encoder_alone=True)) != self.config.encoder:
            raise ValueError(
                f"the starter draws latents of the encoder {self.config.encoder}, this codec's is {encoder}; train one "
                "for it: `worldsim train starter`"
            )

    def __getstate__(self) -> dict[str, object]:
        """Without what was cast, which is made again: weights laid out for a processor cannot be copied."""
        return self.__dict__ | {"_cast": {}}

    @torch.inference_mode()
    def draw(
        self,
        scenes: Sequence[str],
        views: Sequence[str],
        worlds: torch.Tensor,
        seeds: torch.Tensor,
        shape: tuple[int, int, int],
        dtype: torch.dtype = torch.float32,
    ) -> Sampled:
        """First latents float32 ``(B, 1, C, h, w)`` of ``shape (C, h, w)``, each a function of its scene, view, world
        (indices ``(B,)``) and seed (``(B,)``) alone; on the device of ``seeds``."""
        net = self._on(seeds.device, dtype)
        scene, view = (tokenise([*texts, *[""] * len(texts)]).to(seeds.device) for texts in (scenes, views))
        told = net.read(scene, view, worlds.repeat(2))
        eps = noise.gaussian(seeds, torch.zeros_like(seeds), "start", shape)
        return guided(net, eps, told, self.config.steps, self.config.guidance)

    def _on(self, device: torch.device, dtype: torch.dtype) -> StarterNet:
        key = (device, dtype)
        if key not in self._cast:
            net = copy.deepcopy(self.net).to(device)
            for parameter in net.parameters():
                parameter.data = parameter.data.to(dtype)
            if can_prepack(device, dtype):
                prepack(net)
            self._cast[key] = net
        return self._cast[key]


def starter_for(folder: Path, codec: Codec) -> Starter | None:
    """The starter of the model in ``folder``, whose codec is ``codec``: its own, else the packaged one where that has
    the same encoder, else none. Raises ``WeightsError`` where its own is not right, or of another codec."""
    if (folder / STARTER).is_dir():
        own = Starter.from_pretrained(folder / STARTER)
        try:
            own.check(codec)
        except ValueError as error:
            raise WeightsError(f"{folder / STARTER}: {error}") from error
        return own
    packaged = PACKAGED / STARTER
    if not (packaged / "config.json").is_file():
        return None
    if _FOLDER.read_config(packaged)["encoder"] != codec_digest(codec, encoder_alone=True):
        return None
    starter = Starter.from_pretrained(packaged)
    starter.packaged = True
    return starter


def guided(net: StarterNet, eps: torch.Tensor, told: Told, steps: int, guidance: float) -> Sampled:
    """Samples ``(B, 1, C, h, w)`` from noise ``eps (B, C, h, w)``; ``told`` is of 2 B frames, what each is told and
    then as many times nothing (classifier-free guidance, Ho and Salimans 2022)."""
    tokens = eps.shape[2] * eps.shape[3] // CELLS

    def denoise(z: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
        both = net(z[:, 0].repeat(2, 1, 1, 1), tau[:, 0].repeat(2), told)
        given, without = both.chunk(2)
        return (without + guidance * (given - without))[:, None]

    return sampler.sample(denoise, eps[:, None], steps, tokens=tokens)
