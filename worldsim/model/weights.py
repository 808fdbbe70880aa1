"""The folder that holds a trained world simulator, and the object that it loads to: ``WorldSimulator``.

A folder is ``config.json`` (everything that is not a tensor, with the size and SHA-256 of every weight file), weight
files in safetensors (those of a referee or a player only where there is one), a model card ``README.md``, ``bank/``
with true starts, and ``starter/`` where starts from text are drawn by another starter than the package's. There is no
pickle anywhere: a folder from a stranger can be wrong but cannot run code. Loading is strict: unknown configuration
keys, a newer format, missing, unexpected or misshapen tensors, truncated or altered files are errors that say so.
Saving is atomic: the folder appears complete or not at all. Weight files hold at most 15 MiB each, so that they fit
wherever files are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import save as save_tensors
from torch import nn

from worldsim.bank import Bank
from worldsim.model.codec import Codec, CodecConfig
from worldsim.model.files import WeightsError, from_dict, load_strictly, read_files, replaced_when_whole, shards, write
from worldsim.model.format import FORMAT_VERSION, KIND, read_config, without_absent
from worldsim.model.packaged import DEFAULT_MODEL, model_folder
from worldsim.model.player import Player, PlayerConfig
from worldsim.model.prepacked import can_prepack, serving_copy
from worldsim.model.referee import Referee, RefereeConfig
from worldsim.model.starter import STARTER, Starter, starter_for
from worldsim.model.transformer import WorldModel, WorldModelConfig
from worldsim.worlds import WORLDS

CacheMode = Literal["renoise", "reuse"]
_STORAGE = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
_PARTS = ("codec", "world", "referee", "player")


@dataclass(frozen=True)
class SimulatorConfig:
    """What a world simulator is, apart from its tensors.

    ``worlds`` are the names of the world embedding's rows that were trained. ``latent_low`` and ``latent_high`` are the
    range per channel that latents keep in training; the engine clamps to it (empty: no clamp).
    ``hallucination_reference`` is the RMS change of the prediction between the last two denoising steps on true
    validation data (without noise: see ``RolloutEngine``). ``context_noise`` is the default noise of context frames,
    ``temperature`` the default scale of the noise that a step begins with (1: samples; 0: what is likeliest, blurred
    where the model is unsure), ``cache_mode`` what a step's keys and values are by default: those of a pass over the
    re-noised latent ("renoise"), or those of the pass that expected it ("reuse"). ``shortcut`` says that step sizes
    were trained, so that few denoising steps may name theirs. ``drawn`` are worlds whose every picture is drawn from
    its latent alone, though the codec has a memory: where what is carried over was farther from the truth
    (``training.carrying``). ``referee`` and ``player`` hold the sizes of these, None without one.
    ``storage`` is the type of the stored parameters.
    """

    codec: CodecConfig = field(default_factory=CodecConfig)
    world: WorldModelConfig = field(default_factory=WorldModelConfig)
    worlds: tuple[str, ...] = tuple(WORLDS)
    latent_low: tuple[float, ...] = ()
    latent_high: tuple[float, ...] = ()
    hallucination_reference: float = 1.0
    context_noise: float = 0.1
    temperature: float = 1.0
    cache_mode: str = "renoise"
    shortcut: bool = False
    drawn: tuple[str, ...] = ()
    referee: RefereeConfig | None = None
    player: PlayerConfig | None = None
    storage: str = "float16"

    def __post_init__(self) -> None:
        if self.storage not in _STORAGE:
            raise ValueError(f"storage={self.storage!r}; accepted are {', '.join(_STORAGE)}")
        for name in ("latent_low", "latent_high"):
            if len(getattr(self, name)) not in (0, self.codec.latent_channels):
                raise ValueError(f"{name} needs one value per latent channel ({self.codec.latent_channels}), or none")
        if self.world.pixel_stride != self.codec.stride or self.world.pixel_stride * self.world.patch % (
            self.codec.multiple
        ):
            raise ValueError(
                f"pixel_stride {self.world.pixel_stride} and patch {self.world.patch} of the world model: the codec "
                f"has cells of {self.codec.stride} pixels, and tokens must be multiples of {self.codec.multiple} pixels"
            )
        if not 0 <= self.temperature <= 1:
            raise ValueError(f"temperature={self.temperature}; accepted is 0 to 1")
        if self.cache_mode not in get_args(CacheMode):
            raise ValueError(f"cache_mode={self.cache_mode!r}; accepted are {', '.join(get_args(CacheMode))}")
        if strange := [name for name in self.drawn if name not in self.worlds]:
            raise ValueError(f"drawn={self.drawn}: {', '.join(strange)} is none of the worlds that are simulated")
        if self.drawn and not self.codec.memory:
            raise ValueError(f"drawn={self.drawn}: a codec without a memory draws in all worlds; name none")
        if self.codec.latent_channels != self.world.latent_channels:
            raise ValueError(
                f"the codec makes {self.codec.latent_channels} latent channels, the world model takes "
                f"{self.world.latent_channels}"
            )


class WorldSimulator:
    """Codec, world model, referee, player and bank of starts, with the configuration that they were made with.

    Networks are float32 modules in evaluation mode; ``bank``, ``referee``, ``player`` and ``starter`` are None where
    there is none. Raises ``ValueError`` where the configuration and the referee or the player are not of each other, or
    the starter is of another codec.
    """

    def __init__(
        self,
        config: SimulatorConfig,
        codec: Codec,
        world: WorldModel,
        bank: Bank | None = None,
        player: Player | None = None,
        referee: Referee | None = None,
        starter: Starter | None = None,
    ) -> None:
        for name, wanted, given in (("referee", config.referee, referee), ("player", config.player, player)):
            if wanted != (None if given is None else given.config):
                raise ValueError(f"the configuration is of {name}={wanted}, given was {given and given.config}")
        self.config = config
        self.codec = codec.eval().requires_grad_(False)
        self.world = world.eval().requires_grad_(False)
        self.referee = None if referee is None else referee.eval().requires_grad_(False)
        self.player = None if player is None else player.eval().requires_grad_(False)
        self.bank = bank
        if starter is not None:
            starter.check(self.codec)
        self.starter = starter
        self._cast: dict[tuple[torch.device, torch.dtype, bool], tuple[Codec, WorldModel]] = {}

    @classmethod
    def create(cls, config: SimulatorConfig, seed: int = 0, bank: Bank | None = None) -> WorldSimulator:
        """A simulator with freshly drawn weights; the global random state stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            codec, world = Codec(config.codec), WorldModel(config.world)
            return cls(config, codec, world, bank, _new_player(config), _new_referee(config))

    def with_world(self, world: WorldModel) -> WorldSimulator:
        """The same simulator, whose other modules it shares, with another transformer for the same latents."""
        return self._but(replace(self.config, world=world.config), world=world)

    def with_drawn(self, drawn: Sequence[str]) -> WorldSimulator:
        """The same simulator, whose modules it shares, that draws each picture anew in the worlds ``drawn`` and carries
        pictures over in the others. Raises ``ValueError`` for a world that is not simulated, or without a memory."""
        return self._but(replace(self.config, drawn=tuple(drawn)))

    def with_player(self, player: Player | None) -> WorldSimulator:
        """The same simulator, whose modules it shares, with another player, or none."""
        return self._but(replace(self.config, player=None if player is None else player.config), player=player)

    def with_referee(self, referee: Referee | None) -> WorldSimulator:
        """The same simulator, whose modules it shares, with another referee, or none."""
        return self._but(replace(self.config, referee=None if referee is None else referee.config), referee=referee)

    def with_starter(self, starter: Starter | None) -> WorldSimulator:
        """The same simulator, whose modules it shares, with another starter, or none (until it is saved and loaded
        again, where the package has one for its encoder). Raises ``ValueError`` for the starter of another codec."""
        return self._but(self.config, starter=starter)

    def untrained(self, seed: int = 0) -> WorldSimulator:
        """A simulator with this one's codec and bank and a freshly drawn network, and nothing else: the control of what
        training gave."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = replace(self.config, referee=None, player=None)
            return WorldSimulator(config, self.codec, WorldModel(self.config.world), self.bank)

    def _but(self, config: SimulatorConfig, **parts: Any) -> WorldSimulator:
        """This simulator's parts, but for those given, under another configuration."""
        names = ("codec", "world", "bank", "player", "referee", "starter")
        return WorldSimulator(config, **{name: parts.get(name, getattr(self, name)) for name in names})

    @cached_property
    def digest(self) -> str:
        """12 hex digits over the configuration and all weights as they are stored, but for the player, which proposes
        actions and draws nothing, and the starter, which is asked before the first step as the bank is: the same world
        with another player, or begun otherwise, is the same world. Computed once: a simulator's
        tensors are not to be changed."""
        config = without_absent(asdict(replace(self.config, player=None)))
        sha = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
        for part, tensors in _stored_parts(self.with_player(None)).items():
            for name, tensor in sorted(tensors.items()):
                sha.update(f"{part}.{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                sha.update(tensor.contiguous().view(torch.uint8).numpy().data if tensor.numel() else b"")
        return sha.hexdigest()[:12]

    def __getstate__(self) -> dict[str, Any]:
        """Without what engines were given, which is made again: weights laid out for a processor cannot be copied."""
        return self.__dict__ | {"_cast": {}}

    def modules(self, device: torch.device, dtype: torch.dtype, prepacked: bool = False) -> tuple[Codec, WorldModel]:
        """Codec and world model with parameters of ``dtype`` on ``device``, shared by all who ask for the
        same; ``prepacked`` for speed where that is possible (see ``prepacked.serving_copy``)."""
        prepacked = prepacked and can_prepack(torch.device(device), dtype)
        key = (torch.device(device), dtype, prepacked)
        if key not in self._cast:
            self._cast[key] = (
                serving_copy(self.codec, key[0], dtype, prepacked),
                serving_copy(self.world, key[0], dtype, prepacked),
            )
        return self._cast[key]

    def save_pretrained(self, folder: str | Path, card: str | None = None) -> Path:
        """Writes the folder, which appears complete or not at all; an older model there is replaced.

        ``card`` is the text of the model card. Raises ``ValueError`` where ``folder`` holds something else
        than a model, or where weights do not fit the storage type (bfloat16: an encoder with a starter).
        """
        folder = Path(folder)
        if self.starter is not None and self.config.storage == "bfloat16":
            raise ValueError(
                "storage='bfloat16' rounds the encoder, and a starter knows it as float16 or float32 keep it"
            )
        if folder.exists() and (
            not folder.is_dir() or (any(folder.iterdir()) and not (folder / "config.json").is_file())
        ):
            raise ValueError(f"{folder} exists and holds no model; choose another folder")
        with replaced_when_whole(folder) as partial:
            files: dict[str, dict[str, Any]] = {}
            for part, tensors in _stored_parts(self).items():
                groups = shards(tensors)
                for i, shard in enumerate(groups, start=1):
                    suffix = f"-{i:05}-of-{len(groups):05}" if len(groups) > 1 else ""
                    data = save_tensors({name: tensor.contiguous() for name, tensor in shard.items()})
                    files[f"{part}{suffix}.safetensors"] = {
                        "part": part, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
                    }  # fmt: skip
                    write(partial / f"{part}{suffix}.safetensors", data)
            content = {"format_version": FORMAT_VERSION, "kind": KIND, **asdict(self.config), "files": files}
            write(partial / "config.json", (json.dumps(content, indent=2) + "\n").encode())
            write(partial / "README.md", (card or self._default_card()).encode())
            if self.bank is not None:
                self.bank.save(partial / "bank")
            if self.starter is not None and not self.starter.packaged:
                self.starter.save_pretrained(partial / STARTER)
        return folder

    @classmethod
    def from_pretrained(cls, model: str | Path = DEFAULT_MODEL) -> WorldSimulator:
        """Loads a packaged model by its name (see ``list_models``) or any model folder by its path.

        Raises ``FileNotFoundError`` where there is no such model and ``WeightsError`` where its files are not
        right.
        """
        folder = model_folder(model)
        content = read_config(folder)
        files = content.pop("files")
        config = from_dict(SimulatorConfig, content, f"{folder / 'config.json'}")
        stored = read_files(folder, files, _PARTS)
        with torch.random.fork_rng(devices=[]):
            codec, world, player = Codec(config.codec), WorldModel(config.world), _new_player(config)
            referee = _new_referee(config)
        bank = Bank.load(folder / "bank") if (folder / "bank").is_dir() else None
        simulator = cls(config, codec, world, bank, player, referee)
        for part, module in _modules(simulator).items():
            load_strictly(module, stored.pop(part), f"{folder}: {part}")
        unforeseen = [part for part, tensors in stored.items() if tensors]
        if unforeseen:
            raise WeightsError(
                f"{folder}: there are weights of a {unforeseen[0]}, and config.json says that there is none"
            )
        return simulator.with_starter(starter_for(folder, codec))

    def _default_card(self) -> str:
        count = sum(p.numel() for module in _modules(self).values() for p in module.parameters())
        return (
            "# World simulator\n\n"
            f"Digest `{self.digest}`, {count / 1e6:.1f} million parameters in {self.config.storage}.\n\n"
            f"Worlds: {', '.join(self.config.worlds)}.\n\n"
            'Load it with `gym.make("SoraWorld-v0", model="PATH OF THIS FOLDER")`.\n'
        )


def _new_player(config: SimulatorConfig) -> Player | None:
    return None if config.player is None else Player(config.player, config.world)


def _new_referee(config: SimulatorConfig) -> Referee | None:
    return None if config.referee is None else Referee(config.referee, config.world)


def _modules(simulator: WorldSimulator) -> dict[str, nn.Module]:
    """The modules that there are, by their part."""
    return {part: module for part in _PARTS if (module := getattr(simulator, part)) is not None}


def _stored_parts(simulator: WorldSimulator) -> dict[str, dict[str, torch.Tensor]]:
    """CPU tensors of each part as they are stored: parameters in the storage type, buffers as they are."""
    kind = _STORAGE[simulator.config.storage]
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for part, module in _modules(simulator).items():
        parameters = {name for name, _ in module.named_parameters()}
        parts[part] = {}
        for name, tensor in module.state_dict().items():
            tensor = tensor.detach().cpu()
            stored = tensor.to(kind) if name in parameters else tensor
            if not torch.isfinite(stored).all():
                raise ValueError(f"{part}.{name} holds values that are not finite as {stored.dtype}")
            parts[part][name] = stored
    return parts
