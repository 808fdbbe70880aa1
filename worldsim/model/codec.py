"""The video compression network: a block of 4 frames, or a single image, to one latent frame and back.

Each block stands alone. A causal chain through time would give the first latent of a clip another meaning than the
others and break clips that start in the middle; a block of its own can be read in any order. A block is its last frame,
which is the observation of a step, and what moved: the decoder draws that frame, moves it backwards in time along a
flow field per earlier frame, and adds what no motion explains (motion compensation, as in every video standard; learned
as in DVC, Lu et al. 2019). The image of a latent is that last frame, so blocks and single images share the latent space
and the head. Only 2-D convolutions on space-to-depth are used, in a U of two levels, without normalisation layers,
whose statistics would tie a picture's colours to its size: any height and width that are multiples of 8 work. A codec
with a memory (``memory.py``) may also be shown the frame before, and draws what that does not hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from worldsim.model.convolutions import CELL, Conv, pixels_of, stack
from worldsim.model.memory import Carried, PixelMemory, Shown, kept
from worldsim.model.motion import fetched

# B batch, K frames of a block, C latent channels; images are B K H W 3 outside, B (K 3) H W inside

NO_MEMORY = "this codec has no memory to go on from what was shown"


@dataclass(frozen=True)
class CodecConfig:
    """``block_frames`` k frames become one latent of ``latent_channels`` at 1/4 of the size; widths are the channels
    at 1/4 and 1/8 of the size, depths the residual blocks there, those of the decoder under names of their own.
    ``memory``: the decoder may be shown the last frame; ``panorama``: and what was seen all round before it;
    ``geometry``: it knows how a camera's picture moves; ``pictured``: what else moves it depends on the picture too."""

    block_frames: int = 4
    latent_channels: int = 4
    fine_width: int = 96
    coarse_width: int = 160
    fine_depth: int = 2
    coarse_depth: int = 2
    decoder_fine_depth: int = 3
    decoder_coarse_depth: int = 2
    memory: bool = False
    panorama: bool = False
    geometry: bool = False
    pictured: bool = False

    def __post_init__(self) -> None:
        for name in ("panorama", "geometry", "pictured"):
            if getattr(self, name) and not self.memory:
                raise ValueError(f"{name}=True: a codec without a memory has no use for it; give memory=True too")

    @property
    def stride(self) -> int:
        """Pixels per latent cell along each side."""
        return CELL

    @property
    def multiple(self) -> int:
        """Frame sizes are multiples of this many pixels."""
        return 2 * CELL


class _Trunk(nn.Module):
    """Residual blocks at 1/4 of the size, round others at 1/8 that see further for a quarter of the cost."""

    def __init__(self, config: CodecConfig, before: int, deep: int, after: int) -> None:
        super().__init__()
        fine, coarse = config.fine_width, config.coarse_width
        self.before = stack(fine, before)
        self.down = Conv(fine, coarse, 2, stride=2)
        self.coarse = stack(coarse, deep)
        self.up = Conv(coarse, 4 * fine, 1)
        self.after = stack(fine, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.before(x)
        deep = self.up(F.silu(self.coarse(self.down(x))))
        return F.silu(self.after(x + F.pixel_shuffle(deep, 2)))


class Codec(nn.Module):
    """Encoder and decoder with the statistics that normalise latents to zero mean and unit variance per channel."""

    latent_mean: torch.Tensor
    latent_std: torch.Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        fine, c, k = config.fine_width, config.latent_channels, config.block_frames
        pixels = 3 * CELL**2
        self.stems = nn.ModuleDict({str(n): nn.Conv2d(n * pixels, fine, 3, padding=1) for n in (1, k)})
        self.encoder = _Trunk(config, config.fine_depth, config.coarse_depth, 1)
        self.to_latent = nn.Conv2d(fine, c, 1)
        self.from_latent = nn.Conv2d(c, fine, 3, padding=1)
        self.decoder = _Trunk(config, 1, config.decoder_coarse_depth, config.decoder_fine_depth)
        self.image = nn.Conv2d(fine, pixels, 3, padding=1)
        self.flow = nn.Conv2d(fine, 2 * (k - 1), 3, padding=1)
        self.residual = nn.Conv2d(fine, (k - 1) * pixels, 3, padding=1)
        self.memory = PixelMemory(config.fine_width, config.geometry, config.pictured) if config.memory else None
        with torch.no_grad():
            self.flow.weight.mul_(0.1)  # nothing moves much at first
        self.register_buffer("latent_mean", torch.zeros(c))
        self.register_buffer("latent_std", torch.ones(c))

    def check_size(self, height: int, width: int) -> None:
        """Raises ``ValueError`` unless both sides are multiples of ``config.multiple``."""
        multiple = self.config.multiple
        if height % multiple or width % multiple or height < multiple or width < multiple:
            raise ValueError(f"frame size {height}x{width} (H x W): both sides must be multiples of {multiple}")

    def encode_pixels(self, x_BKHWC: torch.Tensor) -> torch.Tensor:
        """Latents before normalisation, ``(B, C, H/4, W/4)``, of pixels in [-1, 1]."""
        k, h, w = x_BKHWC.shape[1:4]
        if str(k) not in self.stems:
            raise ValueError(f"a block holds {k} frames; accepted are {sorted(int(n) for n in self.stems)}")
        self.check_size(h, w)
        x = rearrange(x_BKHWC, "b k (h p) (w q) c -> b (k c p q) h w", p=CELL, q=CELL)
        x = self.stems[str(k)](x.contiguous(memory_format=torch.channels_last))
        return self.to_latent(self.encoder(x))

    def decode_pixels(self, z_BCHW: torch.Tensor, frames: int, shown: Shown | None = None) -> torch.Tensor:
        """Pixels ``(B, frames, H, W, 3)``, about [-1, 1] and not clamped, of latents before normalisation; ``frames``
        is k, or 1 for the last frame alone. A codec with a memory takes over what was ``shown`` before."""
        return self.decode_with(z_BCHW, frames, shown)[0]

    def decode_with(
        self, z_BCHW: torch.Tensor, frames: int, shown: Shown | None = None
    ) -> tuple[torch.Tensor, Carried | None]:
        """``decode_pixels``, and what was carried over from what was shown, for whoever trains it."""
        x, carried = self._features(z_BCHW, shown), None
        if shown is None or self.memory is None:
            last = pixels_of(self.image(x), 1)[:, 0]
        else:
            drawn = pixels_of(self.image(x), 1)[:, 0]
            carried = self.memory(x, shown, drawn)
            blended = torch.lerp(drawn, carried.frame.float(), carried.share).add_(carried.rest)
            last = torch.where(shown.known[:, None, None, None], blended, drawn)
        if frames == 1:
            return rearrange(last, "b c h w -> b 1 h w c"), carried
        earlier = fetched(last, self.flow(x)) + pixels_of(self.residual(x), frames - 1)
        return rearrange(torch.cat([earlier, last[:, None]], dim=1), "b k c h w -> b k h w c"), carried

    def _features(self, z_BCHW: torch.Tensor, shown: Shown | None) -> torch.Tensor:
        """What the decoder makes of latents before normalisation, and of what was ``shown`` where there is a memory."""
        x = self.from_latent(z_BCHW.contiguous(memory_format=torch.channels_last))
        if shown is not None and self.memory is not None:
            x = x + self.memory.look(shown).to(x.dtype)
        return cast(torch.Tensor, self.decoder(x))

    def normalise(self, z_BCHW: torch.Tensor) -> torch.Tensor:
        return (z_BCHW - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def denormalise(self, z_BCHW: torch.Tensor) -> torch.Tensor:
        return z_BCHW * self.latent_std[:, None, None] + self.latent_mean[:, None, None]

    def _stored(self, z_BCHW: torch.Tensor) -> torch.Tensor:
        """Normalised latents as the decoder takes them."""
        return self.denormalise(z_BCHW.float()).to(self.to_latent.weight.dtype)

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised float32 latents ``(B, C, h, w)`` of uint8 frames ``(B, k or 1, H, W, 3)``."""
        return self.encode_normalised(to_pixels(frames))

    def encode_normalised(self, x_BKHWC: torch.Tensor) -> torch.Tensor:
        """Normalised float32 latents of pixels in [-1, 1]."""
        return self.normalise(self.encode_pixels(x_BKHWC.to(self.to_latent.weight.dtype)).float())

    def decode(self, z_BCHW: torch.Tensor, frames: int) -> torch.Tensor:
        """uint8 frames ``(B, frames, H, W, 3)`` of normalised latents; ``frames`` is k, or 1 for an image."""
        return to_uint8(self.decode_normalised(z_BCHW, frames))

    def decode_normalised(self, z_BCHW: torch.Tensor, frames: int) -> torch.Tensor:
        """float32 pixels in [-1, 1] of normalised latents."""
        return self.decode_pixels(self._stored(z_BCHW), frames).float().clamp(-1, 1)

    def show(self, z_BCHW: torch.Tensor, frames: int, shown: Shown) -> tuple[torch.Tensor, torch.Tensor, Carried]:
        """``decode_normalised`` of a codec with a memory, which takes over what was ``shown``; the next canvas; what
        was carried."""
        pixels, carried = self.decode_with(self._stored(z_BCHW), frames, shown)
        if carried is None:
            raise ValueError(NO_MEMORY)
        pixels = pixels.float().clamp(-1, 1)
        return pixels, kept(pixels[:, -1].permute(0, 3, 1, 2), carried, shown.known), carried

    def went(self, z_BCHW: torch.Tensor, shown: Shown) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """What ``show`` would say of ``Carried.travel`` and ``Carried.ahead``; no frame is drawn."""
        if self.memory is None:
            raise ValueError(NO_MEMORY)
        return self.memory.flow_of(self._features(self._stored(z_BCHW), shown), shown)[1:]


def to_pixels(frames: torch.Tensor) -> torch.Tensor:
    """float32 in [-1, 1] of uint8 frames."""
    return frames.float() / 127.5 - 1


def to_uint8(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 frames of pixels, clamped to [-1, 1] and rounded."""
    levels = pixels.float().clamp(-1, 1).add_(1).mul_(127.5)  # in place: this is a copy by now
    return levels.round_().to(torch.uint8)


_ENCODES = ("stems.", "encoder.", "to_latent.", "latent_")


def codec_digest(codec: Codec, encoder_alone: bool = False) -> str:
    """12 hex digits over a codec's weights, or over those that latents depend on."""
    return _digest(
        {name: x for name, x in codec.state_dict().items() if not encoder_alone or name.startswith(_ENCODES)}
    )


def latents_digest(codec: Codec) -> str:
    """``codec_digest`` of the encoder alone as float16 keeps it: the same before and after the codec was stored."""
    stored = {name for name, _ in codec.named_parameters()}
    encodes = {name: x for name, x in codec.state_dict().items() if name.startswith(_ENCODES)}
    return _digest({name: x.half().float() if name in stored else x for name, x in encodes.items()})


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(name.encode() + tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:12]
