"""What every lane shows of its latent, and the latent of what it shows.

A codec with a memory goes on from what the lanes showed (``screen.py``), but in worlds whose pictures are drawn anew at
each step; in those whose pictures a starter completes, what nobody has seen is imagined (``imagination.py``). A world
of one frame per step shows it four times.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from worldsim.imagination import Drawing, Imagination, Redrawn
from worldsim.lane_text import TextMemory
from worldsim.model.codec import Codec
from worldsim.model.conditioning import Controls
from worldsim.predictor import BLOCK_FRAMES
from worldsim.revealing import Revealing
from worldsim.screen import Memory, Screen
from worldsim.worlds import WORLDS, WorldSpec

# B lanes, C h w latent, H W frame


class LanePictures:
    """Pictures of ``lanes`` lanes, frames of ``size`` (H, W), by ``codec`` with ``memory``. In the worlds ``drawn``
    nothing is carried over, but in those that ``imagination`` completes.

    ``screen`` is None where the codec has no memory, ``revealing`` where nothing is; ``all_drawn`` says whether
    nothing is carried over in any lane.
    """

    def __init__(
        self,
        codec: Codec,
        lanes: int,
        size: tuple[int, int],
        device: torch.device,
        memory: Memory,
        imagination: Imagination | None,
        drawn: Sequence[str],
    ) -> None:
        self._codec, self._lanes, self._imagination = codec, lanes, imagination
        self._drawn = tuple(world for world in drawn if not self._imagined(WORLDS.get(world)))
        self.screen = None if codec.memory is None else Screen(codec, lanes, size, device, memory, self._drawn)
        self.all_drawn = codec.memory is None
        self.revealing: Revealing | None = None
        if self.screen is not None and imagination is not None and imagination.starter.config.revealer is not None:
            self.revealing = Revealing(imagination, imagination.starter.config.revealer, lanes, size, device)
        self._single: list[int] = []
        self._imagines = torch.zeros(lanes, dtype=torch.bool, device=device)
        self._imagining = False

    def note(self, specs: Sequence[WorldSpec | None]) -> None:
        """The lanes are in these worlds from now; None has not begun."""
        self._single = [i for i, spec in enumerate(specs) if spec is not None and spec.frames_per_step == 1]
        self.all_drawn = self.screen is None or all(spec is None or spec.name in self._drawn for spec in specs)
        imagined = [self._imagined(spec) for spec in specs]
        self._imagines = torch.tensor(imagined, device=self._imagines.device)
        self._imagining = any(imagined)

    def _imagined(self, world: WorldSpec | None) -> bool:
        return world is not None and self._imagination is not None and self._imagination.knows(world)

    def show(
        self, latent: torch.Tensor, controls: Controls, text: TextMemory, seeds: torch.Tensor, steps: torch.Tensor
    ) -> tuple[torch.Tensor, Redrawn | None]:
        """Pixels ``(B, 4, H, W, 3)`` in [-1, 1] of the step under ``controls (B, 1)`` to ``latent (B, C, h, w)``, and
        what ``Imagination.redraw`` gives. What is drawn is a function of what was seen and told, of the lanes'
        ``seeds (B,)`` and of their ``steps (B,)``."""
        frames, redrawn = 1 if len(self._single) == self._lanes else BLOCK_FRAMES, None
        if self.screen is None or self.all_drawn:
            pixels = self._codec.decode_normalised(latent, frames)
        elif self._imagination is None or not self._imagining:
            pixels = self.screen.show(latent, frames, controls, self.screen.turn(controls))
        else:
            drawing = Drawing(self._imagines, lambda lane: text.words[lane].text.scene, text.world_index, seeds, steps)
            pixels, redrawn = _imagined_frames(
                self._imagination, self.screen, latent, controls, drawing, self.revealing
            )
        if frames == 1:
            return pixels.expand(-1, BLOCK_FRAMES, -1, -1, -1).contiguous(), redrawn
        if self._single:
            pixels[self._single] = pixels[self._single, -1:].expand(-1, BLOCK_FRAMES, -1, -1, -1)
        return pixels, redrawn

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Latents ``(B, C, h, w)`` of what lanes show."""
        if len(self._single) == self._lanes:
            return self._codec.encode_normalised(pixels[:, -1:])
        latent = self._codec.encode_normalised(pixels)
        if self._single:
            latent[self._single] = self._codec.encode_normalised(pixels[self._single, -1:])
        return latent


def _imagined_frames(
    imagination: Imagination,
    screen: Screen,
    latent: torch.Tensor,
    controls: Controls,
    drawing: Drawing,
    revealing: Revealing | None,
) -> tuple[torch.Tensor, Redrawn | None]:
    """Pixels of all lanes where some imagine what they have not seen, and what was drawn again of them."""
    around = screen.turn(controls)
    if around is not None and screen.panorama is not None:
        around = imagination.complete(screen.panorama, around, controls.camera[:, 0, 0], drawing)
    pixels = screen.show(latent, BLOCK_FRAMES, controls, around, notes_detail=True)
    revealed = None if revealing is None else revealing.step(screen, controls, drawing)
    return pixels, _both(revealed, imagination.redraw(screen, drawing))


def _both(first: Redrawn | None, then: Redrawn | None) -> Redrawn | None:
    """What lanes show when some were drawn on, and then some, perhaps the same."""
    if first is None or then is None:
        return first or then
    only = ~torch.isin(first[0], then[0])
    return torch.cat([first[0][only], then[0]]), torch.cat([first[1][only], then[1]])
