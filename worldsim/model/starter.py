"""A starter with what its numbers mean: it draws the first latent of a world from its text, and what a turn uncovers.

A starter knows the latents of one codec, those that its encoder makes, and no transformer. It is therefore kept in a
folder of its own (``starter/`` in a model's folder, or with the package) and begins worlds for every model with that
encoder. As a bank of true starts, it is no part of what a model is: the digest leaves both out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from worldsim.diffusion import noise, sampler
from worldsim.diffusion.sampler import Sampled
from worldsim.diffusion.solver import Solver
from worldsim.model.codec import Codec, latents_digest
from worldsim.model.files import WeightsError, from_dict, load_strictly
from worldsim.model.memory import DOUBTED
from worldsim.model.netfolder import NET, NetFolder, net_digest
from worldsim.model.packaged import PACKAGED
from worldsim.model.prepacked import can_prepack, serving_copy
from worldsim.model.revealer import SURE, Revealer, RevealerConfig
from worldsim.model.starternet import StarterNet, StarterNetConfig, Told
from worldsim.model.text import tokenise

# B frames, L words, C h w latent

TOKEN = 16
"""Pixels of a side of the world model's tokens, of which frames have a whole number."""
STARTER = "starter"
"""Name of the folder in a model's folder, and of the one with the package."""
REVEALER = "revealer"
"""Name of its network in a folder."""
REDRAWN = 0.2
"""Signal level from which pictures that have lost their detail are drawn again."""
SOLVED = (64, 64)
"""Height and width of the frames that solvers are fitted to. Larger ones, noised alike, hide less (``flow.shift``)."""
_FOLDER = NetFolder("starter", version=5)


@dataclass(frozen=True)
class StarterConfig:
    """What a starter is, apart from its tensors.

    ``encoder`` is the one whose latents it draws (``latents_digest``), ``worlds`` names those that it knows. It is
    sampled in ``steps`` denoising steps, with ``guidance`` the weight of what the text says against nothing said (1:
    none). What has been seen in part (in the worlds of ``completes``) is completed in ``complete_steps`` with
    ``complete_guidance``, and what has lost its detail drawn again in as many, unless solvers were fitted for either,
    which serve frames of ``SOLVED`` pixels alone. With a ``revealer`` it also knows what of a picture is gone after an
    act, in worlds that it completes.
    """

    encoder: str
    worlds: tuple[str, ...]
    steps: int = 16
    guidance: float = 3.0
    completes: tuple[str, ...] = ()
    complete_steps: int = 8
    complete_guidance: float = 1.0
    net: StarterNetConfig = field(default_factory=StarterNetConfig)
    complete_solver: Solver | None = None
    redraw_solver: Solver | None = None
    revealer: RevealerConfig | None = None

    def __post_init__(self) -> None:
        for name, solver, since in (("complete", self.complete_solver, 0.0), ("redraw", self.redraw_solver, REDRAWN)):
            if solver is not None and solver.levels[0] != since:
                raise ValueError(f"{name}_solver begins at the level {solver.levels[0]}: it must at {since}")
        if min(self.steps, self.complete_steps) < 1:
            raise ValueError(f"steps={self.steps}, complete_steps={self.complete_steps}: a starter takes at least one")
        if strange := set(self.completes) - set(self.worlds):
            raise ValueError(f"completes={self.completes}: {', '.join(sorted(strange))} is none of its worlds")
        if self.revealer is not None and (strange := set(self.revealer.worlds) - set(self.completes)):
            raise ValueError(f"a revealer of {', '.join(sorted(strange))}, and only {self.completes} are completed")
        if TOKEN % self.net.stride:
            raise ValueError(
                f"patches of {self.net.patch} cells of {self.net.pixel_stride} pixels: frames are multiples of {TOKEN} "
                "pixels, and so must the patches divide"
            )


class Starter:
    """A trained network that draws first latents, float32 and in evaluation mode, and the ``revealer`` that its
    configuration may tell of (``ValueError`` where they are not of each other). ``packaged``: it is the one that comes
    with the package, which no model's folder needs to hold; ``card`` is the text that its folder has."""

    def __init__(
        self,
        config: StarterConfig,
        net: StarterNet,
        revealer: Revealer | None = None,
        packaged: bool = False,
        card: str = "",
    ) -> None:
        if config.revealer != (given := None if revealer is None else revealer.config):
            raise ValueError(f"the configuration is of revealer={config.revealer}, given was {given}")
        self.config, self.packaged, self.card = config, packaged, card
        self.net = net.eval().requires_grad_(False)
        self.revealer = None if revealer is None else revealer.eval().requires_grad_(False)
        self._cast: dict[tuple[torch.device, torch.dtype], StarterNet] = {}
        self._revealers: dict[torch.device, Revealer] = {}

    @classmethod
    def create(cls, config: StarterConfig, seed: int = 0) -> Starter:
        """A starter with freshly drawn weights; the global random state stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = StarterNet(config.net)
            revealer = None if config.revealer is None else Revealer(config.revealer, config.net.latent_channels)
            return cls(config, net, revealer)

    @cached_property
    def digest(self) -> str:
        """12 hex digits over configuration and weights as they are stored."""
        return net_digest(self.config, *self._nets.values())

    @property
    def _nets(self) -> dict[str, nn.Module]:
        return {NET: self.net} | ({} if self.revealer is None else {REVEALER: self.revealer})

    def save_pretrained(self, folder: str | Path, card: str | None = None) -> Path:
        """Writes the folder, which appears complete or not at all. Raises ``ValueError`` where ``folder`` holds
        something else than a starter."""
        about = card or self.card or f"# Starter\n\nDigest `{self.digest}`.\n"
        return _FOLDER.save(folder, self.config, self._nets, about)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Starter:
        """Loads the starter in ``folder``; one of version 1 completes nothing, one of version 2 has no solvers, of
        version 3 no revealer, and of version 4 none that lets return what it takes away. Raises ``FileNotFoundError``
        where there is none and ``WeightsError`` where its files are not right."""
        content, stored = _FOLDER.read(folder, (NET, REVEALER))
        version = content.pop("format_version")
        if of_version_1 := version == 1:
            content |= {"completes": [], "complete_steps": 1, "complete_guidance": 1.0}
        if version < 4:
            content = {"complete_solver": None, "redraw_solver": None, "revealer": None} | content
        if version < 5 and isinstance(content["revealer"], dict):
            content["revealer"] = {"lasts": None} | content["revealer"]
        starter = cls.create(from_dict(StarterConfig, content, str(Path(folder) / "config.json")))
        if of_version_1:
            stored[NET]["seen_in.weight"] = torch.zeros_like(starter.net.seen_in.weight)
        for name, net in starter._nets.items():
            load_strictly(net, stored.pop(name), f"{folder}: {name}")
        if any(stored.values()):
            raise WeightsError(f"{folder}: there are weights of a revealer, and config.json says that there is none")
        about = Path(folder) / "README.md"
        starter.card = about.read_text(encoding="utf-8") if about.is_file() else ""
        return starter

    def check(self, codec: Codec) -> None:
        """Raises ``ValueError`` unless it draws latents of ``codec``."""
        net, sizes = self.config.net, (codec.config.latent_channels, codec.config.stride)
        if (net.latent_channels, net.pixel_stride) != sizes:
            raise ValueError(
                f"the starter draws {net.latent_channels} channels of cells of {net.pixel_stride} pixels, this codec "
                f"has {sizes[0]} of {sizes[1]}"
            )
        if (encoder := latents_digest(codec)) != self.config.encoder:
            raise ValueError(
                f"the starter draws latents of the encoder {self.config.encoder}, this codec's is {encoder}; train one "
                "for it: `worldsim train starter`"
            )

    def __getstate__(self) -> dict[str, object]:
        """Without what was cast, which is made again: weights laid out for a processor cannot be copied."""
        return self.__dict__ | {"_cast": {}, "_revealers": {}}

    def with_revealer(self, revealer: Revealer) -> Starter:
        """The same starter with this revealer."""
        return Starter(replace(self.config, revealer=revealer.config), self.net, revealer)

    @torch.inference_mode()
    def gone(
        self, latents: torch.Tensor, acted: torch.Tensor, told: torch.Tensor, colour: torch.Tensor
    ) -> torch.Tensor:
        """bool ``(B, 1, h, w)``: cells of pictures whose content an act has taken away; arguments as of ``Revealer``.
        Needs a revealer."""
        device = latents.device
        if device not in self._revealers:
            assert self.revealer is not None
            self._revealers[device] = serving_copy(self.revealer, device, torch.float32, False)
        return self._revealers[device](latents, acted, told, colour).sigmoid() >= SURE

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
        eps = noise.gaussian(seeds, torch.zeros_like(seeds), "start", shape)
        return guided(net, eps, _told(net, scenes, views, worlds), self.config.steps, self.config.guidance)

    @torch.inference_mode()
    def complete(
        self,
        seen: torch.Tensor,
        scenes: Sequence[str],
        worlds: torch.Tensor,
        seeds: torch.Tensor,
        numbers: torch.Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> torch.Tensor:
        """Latents float32 ``(B, C, h, w)`` of whole pictures of which ``seen (B, C + 1, h, w)`` was seen: its latent,
        and which share of each cell that is. Each is a function of its row alone, and of the ``numbers (B,)`` of its
        lane's step; cells that were seen whole come out about as they are."""
        net, config = self._on(seeds.device, dtype), self.config
        eps = noise.gaussian(seeds, numbers, "complete", (seen.shape[1] - 1, *seen.shape[2:]))
        told = _told(net, scenes, [""] * len(scenes), worlds, config.complete_guidance != 1)
        steps = self._steps(config.complete_solver, eps)
        return guided(net, eps, told, steps, config.complete_guidance, seen).x[:, 0]

    @torch.inference_mode()
    def redraw(
        self,
        latents: torch.Tensor,
        scenes: Sequence[str],
        worlds: torch.Tensor,
        seeds: torch.Tensor,
        numbers: torch.Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> torch.Tensor:
        """Latents like ``latents (B, C, h, w)``, of pictures that have lost their detail, with detail again: noised to
        ``REDRAWN`` and drawn from there (SDEdit, Meng et al. 2022). The other arguments are those of ``complete``."""
        net = self._on(seeds.device, dtype)
        eps = noise.gaussian(seeds, numbers, "redraw", latents.shape[1:])
        told = _told(net, scenes, [""] * len(scenes), worlds, twice=False)
        steps = self._steps(self.config.redraw_solver, eps)
        return guided(net, faded(latents, eps), told, steps, 1.0, since=REDRAWN).x[:, 0]

    def _steps(self, solver: Solver | None, latents: torch.Tensor) -> int | Solver:
        """The solver, where there is one and ``latents (B, C, h, w)`` are of frames of its size."""
        size = tuple(cells * self.config.net.pixel_stride for cells in latents.shape[2:])
        return self.config.complete_steps if solver is None or size != SOLVED else solver

    def _on(self, device: torch.device, dtype: torch.dtype) -> StarterNet:
        key = (device, dtype)
        if key not in self._cast:
            self._cast[key] = serving_copy(self.net, device, dtype, can_prepack(device, dtype))
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
    if _FOLDER.read_config(packaged)["encoder"] != latents_digest(codec):
        return None
    starter = Starter.from_pretrained(packaged)
    starter.packaged = True
    return starter


def known(view: torch.Tensor) -> torch.Tensor:
    """Which pixels of a ``Panorama.view (B, 4, H, W)`` count as seen: ``(B, 1, H, W)``, 1 or 0."""
    return (view[:, 3:] > DOUBTED).float()


def seen_of(view: torch.Tensor, codec: Codec) -> torch.Tensor:
    """What ``Starter.complete`` is shown of views ``(B, 4, H, W)``: the latents ``(B, C, h, w)`` of their known pixels
    beside grey, and the known share of each cell."""
    there = known(view)
    latent = codec.encode_normalised((view[:, :3] * there).permute(0, 2, 3, 1)[:, None])
    share = F.avg_pool2d(there, codec.config.stride)
    return torch.cat([latent.float() * (share > 0), share], dim=1)


def faded(latents: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
    """``latents`` with noise ``eps``, at the level from which ``Starter.redraw`` draws them again."""
    return (1 - REDRAWN) * eps + REDRAWN * latents


def guided(
    net: StarterNet,
    eps: torch.Tensor,
    told: Told,
    steps: int | Solver,
    guidance: float,
    seen: torch.Tensor | None = None,
    since: float = 0.0,
) -> Sampled:
    """Samples ``(B, 1, C, h, w)`` from noise ``eps (B, C, h, w)``, or latents at the signal level ``since``, given what
    was ``seen`` of each; ``told`` is of 2 B frames, what each is told and then as many times nothing (classifier-free
    guidance, Ho and Salimans 2022), or of B, which are not guided, whatever ``guidance`` is. ``steps`` are those of the
    sampler, or a solver, which begins at ``since``."""
    tokens = eps.shape[2] * eps.shape[3] // net.config.patch**2
    times = len(told.vector) // len(eps)
    seen = None if seen is None else seen.repeat(times, 1, 1, 1)

    def denoise(z: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
        x = net(z[:, 0].repeat(times, 1, 1, 1), tau[:, 0].repeat(times), told, seen)
        if times == 1:
            return x[:, None]
        given, without = x.chunk(2)
        return (without + guidance * (given - without))[:, None]

    if isinstance(steps, Solver):
        return steps.sample(denoise, eps[:, None])
    return sampler.sample(denoise, eps[:, None], steps, tokens=tokens, order=2, since=since)


def _told(
    net: StarterNet, scenes: Sequence[str], views: Sequence[str], worlds: torch.Tensor, twice: bool = True
) -> Told:
    """What frames are told, and, ``twice``, then as many times nothing."""
    silent = [""] * len(scenes) if twice else []
    scene, view = (tokenise([*texts, *silent]).to(worlds.device) for texts in (scenes, views))
    return net.read(scene, view, worlds.repeat(1 + twice))
