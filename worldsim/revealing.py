"""What an act takes away uncovers what nobody has seen: it is drawn once, and shown as far as it is uncovered.

Where a key that opens is pressed, or a text tells of it, a starter with a revealer is asked what of the picture will be
gone, step by step. What lies behind is drawn at once, whole, and of it each step shows what is gone by then, in place
of what is there. A camera that turns sees it where it is; after a step of walking the picture of then is asked about.

What an act took away returns by itself where the revealer's ``lasts`` says after how many steps: what was seen before
is shown again, where it was, be it in sight or not, and what went last comes first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from worldsim.cues import Cues
from worldsim.imagination import Drawing, Imagination, Redrawn
from worldsim.model.conditioning import Controls
from worldsim.model.memory import smaller
from worldsim.model.revealer import RevealerConfig
from worldsim.screen import Screen

# B lanes, M of them, P last steps, C h w latent, H W frame

RIM = 2
"""Cells round what will be gone that a starter is not shown: the rest of a door would be continued as a wall."""
LEAST = 1 / 20
"""Share of a picture that an act must take away, at the most, to take anything."""
NEVER = -1
"""Steps until all is back where nothing is to return."""


class Layer:
    """For each lane a ``picture (B, 3, H, W)``, where it is seen from, ``stood (B, 4)`` (see ``Panorama.stood``), and
    which of its cells an act changes: ``cells (B, P, h, w)``, those that are gone so many steps after it."""

    def __init__(self, lanes: int, past: int, cells: tuple[int, int], size: tuple[int, int], device: torch.device):
        self.picture = torch.zeros(lanes, 3, *size, device=device)
        self.stood = torch.zeros(lanes, 4, device=device)
        self.cells = torch.zeros(lanes, past, *cells, dtype=torch.bool, device=device)

    def put(self, rows: torch.Tensor, picture: torch.Tensor, stood: torch.Tensor, cells: torch.Tensor) -> None:
        """That of lanes ``rows``."""
        self.picture[rows], self.stood[rows], self.cells[rows] = picture, stood, cells


class Revealing:
    """What ``lanes`` lanes, frames of ``size`` (H, W), reveal by ``imagination``, whose starter has the revealer of
    ``config``. While something is going, ``hides (B,)``, what is ``behind`` the picture that was asked about is shown
    by and by; it began ``age (B,)`` steps ago, by words where ``worded (B,)``. ``front`` is the picture before it,
    where it began in a step of the lane's own and returns, and ``left (B,)`` the steps until all of it is back; then
    ``NEVER``. ``new (B,)`` lanes have shown no step yet."""

    def __init__(
        self, imagination: Imagination, config: RevealerConfig, lanes: int, size: tuple[int, int], device: torch.device
    ) -> None:
        self.imagination, self.device, self.cues = imagination, device, Cues(config, lanes, device)
        self.past, self.lasts = config.past, config.lasts
        self.new = torch.zeros(lanes, dtype=torch.bool, device=device)
        self.hides, self.worded = torch.zeros_like(self.new), torch.zeros_like(self.new)
        self.age = torch.zeros(lanes, dtype=torch.int64, device=device)
        self.left = torch.full_like(self.age, NEVER)
        stride = imagination.codec.config.stride
        cells = size[0] // stride, size[1] // stride
        self.behind, self.front = (Layer(lanes, config.past, cells, size, device) for _ in range(2))

    def begin(self, rows: torch.Tensor, given: Controls) -> None:
        """Lanes ``rows`` begin after the actions ``given``."""
        self.cues.begin(rows, given)
        self.new[rows], self.hides[rows], self.left[rows] = True, False, NEVER

    def tell(self, lanes: Sequence[int], texts: Sequence[str]) -> None:
        """Event ``texts`` hold from the next step on."""
        self.cues.tell(lanes, texts)

    def step(self, screen: Screen, controls: Controls, drawing: Drawing) -> Redrawn | None:
        """After ``screen`` has shown a step under ``controls (B, 1)``: lanes in which something is gone, or returns,
        and the pictures ``(M, 3, H, W)`` that they show now, None without any."""
        cues = self.cues
        able = cues.able(drawing.worlds) & drawing.may
        self.age += 1
        self.hides &= able & (self.age < self.past)
        self.left = torch.where(self.left == NEVER, NEVER, self.left - 1)
        cues.step(controls, self.hides)
        shown: dict[int, torch.Tensor] = {}
        begun = able & (cues.acted[:, 0] | (self.new & cues.acted.any(1)))
        self.new = torch.zeros_like(self.new)
        walked = self.hides & screen.walks
        for told, which in ((False, begun), (True, able & cues.told[:, 0])):
            if (rows := torch.nonzero(which)[:, 0]).numel():
                shown |= self._begin(rows, told, screen, drawing)
        if (rows := torch.nonzero(walked & (self.age > 0))[:, 0]).numel():
            self._go_on(rows, screen, drawing)
        if (rows := torch.nonzero(self.hides)[:, 0]).numel():
            shown |= _lay(screen, self.behind, rows, self.behind.cells[rows, self.age[rows]])
        shown |= self._return(screen)
        if not shown:
            return None
        return torch.tensor(list(shown), device=self.device), torch.stack(list(shown.values()))

    def _begin(self, rows: torch.Tensor, told: bool, screen: Screen, drawing: Drawing) -> dict[int, torch.Tensor]:
        """An act, or what is ``told``, begins in lanes ``rows``. Where it takes something away, what the one before it
        took is back at once: the lanes that see that, and their pictures."""
        since = (self.cues.told if told else self.cues.acted)[rows].int().argmax(1)
        rows, since, looked = self._look(rows, torch.full_like(rows, told, dtype=torch.bool), since, screen, drawing)
        if not len(rows):
            return {}
        self.hides[rows], self.worded[rows], self.age[rows] = True, told, since
        self.behind.put(rows, *looked)
        before = rows[self.left[rows] != NEVER]
        shown = _lay(screen, self.front, before, self.front.cells[before, -1]) if len(before) else {}
        self.left[rows] = NEVER
        if self.lasts is not None:
            own = since == 0  # what was there before an act of the given steps nobody asked about
            rows, (_, stood, cells) = rows[own], (part[own] for part in looked)
            self.front.put(rows, smaller(screen.canvas[rows]), stood, cells)
            self.left[rows] = self.lasts
        return shown

    def _go_on(self, rows: torch.Tensor, screen: Screen, drawing: Drawing) -> None:
        """What lies behind the pictures that lanes ``rows`` show takes the place of what lay behind those before."""
        found, _, looked = self._look(rows, self.worded[rows], self.age[rows], screen, drawing)
        self.hides[rows] = False
        self.hides[found] = True
        self.behind.put(found, *looked)

    def _look(
        self, rows: torch.Tensor, told: torch.Tensor, since: torch.Tensor, screen: Screen, drawing: Drawing
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Those of lanes ``rows`` of whose pictures something goes, by what is ``told (M,)`` or else done, their
        ``since (M,)``, and a ``Layer`` of what lies behind them."""
        pictures = smaller(screen.canvas[rows])
        before = self.imagination.codec.encode_normalised(pictures.permute(0, 2, 3, 1)[:, None]).float()
        gone = self._gone(before, told, self.cues.colour[rows], since)
        hidden = gone[:, -1:]
        some = hidden.flatten(1).float().mean(1) >= LEAST
        rows, pictures, hidden, gone, since = (of[some] for of in (rows, pictures, hidden.float(), gone, since))
        if len(rows):
            pictures, finite = self._draw(pictures, hidden, rows, drawing)
            rows, pictures, gone, since = (of[finite] for of in (rows, pictures, gone, since))
        return rows, since, (pictures, screen.stood(rows), gone)

    def _draw(
        self, pictures: torch.Tensor, hidden: torch.Tensor, rows: torch.Tensor, drawing: Drawing
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What lies behind ``pictures (M, 3, H, W)`` where they are ``hidden (M, 1, h, w)``, whole pictures, and
        whether they are finite ``(M,)``. What lies behind a thing is something else than it, and one draw in eight or
        so is much like it: of two, that which differs the more is taken."""
        unseen = F.max_pool2d(hidden, 2 * RIM + 1, stride=1, padding=RIM)
        where, left = (F.interpolate(x, size=pictures.shape[2:], mode="nearest") for x in (hidden, 1 - unseen))
        view = torch.cat([pictures, left], dim=1)
        drawn, finite = self.imagination.completed(view.repeat(2, 1, 1, 1), *drawing.twice(rows))
        apart = ((drawn - pictures.repeat(2, 1, 1, 1)) * where.repeat(2, 1, 1, 1)).abs().mean((1, 2, 3))
        one, other = torch.where(finite[:, 0, 0, 0] > 0, apart, -1.0).chunk(2)
        first, then = drawn.chunk(2)
        return torch.where((one >= other)[:, None, None, None], first, then), torch.maximum(one, other) >= 0

    def _gone(
        self, before: torch.Tensor, told: torch.Tensor, colour: torch.Tensor, since: torch.Tensor
    ) -> torch.Tensor:
        """bool ``(M, P, h, w)``: cells of pictures, latents ``before (M, C, h, w)``, whose content is gone by so many
        steps after something was done, or ``told (M,)`` of that ``colour (M, N)``; pictures are of ``since (M,)`` steps
        after it."""
        steps = torch.eye(self.past, dtype=torch.bool, device=self.device).repeat(len(before), 1)
        before, told, colour = (of.repeat_interleave(self.past, 0) for of in (before, told[:, None], colour))
        # as it was taught: of what is done no words tell, and of what is told nobody has done it
        gone = self.imagination.starter.gone(before, steps & ~told, steps & told, colour * told)
        later = torch.arange(self.past, device=self.device) >= since[:, None]
        gone = gone[:, 0].unflatten(0, (-1, self.past)) & later[..., None, None]
        return gone.cumsum(1) > 0  # what is gone stays gone as long as it goes

    def _return(self, screen: Screen) -> dict[int, torch.Tensor]:
        """What acts took away returns in the last steps that they last: lanes that see it, and their pictures."""
        rows = torch.nonzero((self.left != NEVER) & (self.left <= self.past))[:, 0]
        if not len(rows):
            return {}
        age = self.left[rows] - 1  # as when it went, the other way round
        cells, over = self.front.cells[rows], age < 0
        gone = cells[torch.arange(len(rows), device=self.device), age.clamp(min=0)] & ~over[:, None, None]
        shown = _lay(screen, self.front, rows, cells[:, -1] & ~gone)
        self.left[rows[over]] = NEVER
        return shown

    def get_lane(self, lane: int) -> dict[str, torch.Tensor]:
        """What a lane reveals, on the CPU."""
        return {name: of[lane].cpu().clone() for name, of in self._kept().items()} | self.cues.get_lane(lane)

    def set_lane(self, lane: int, kept: dict[str, torch.Tensor]) -> None:
        """Puts what ``get_lane`` gave into ``lane``."""
        for name, of in self._kept().items():
            of[lane] = kept[name].to(self.device)
        self.cues.set_lane(lane, kept)

    def _kept(self) -> dict[str, torch.Tensor]:
        layers = {f"{at}_{name}": of for at in ("behind", "front") for name, of in vars(getattr(self, at)).items()}
        return {name: getattr(self, name) for name in ("new", "hides", "worded", "age", "left")} | layers


def _lay(screen: Screen, layer: Layer, rows: torch.Tensor, cells: torch.Tensor) -> dict[int, torch.Tensor]:
    """``cells (M, h, w)`` of a layer are what lanes ``rows`` have there: those that see some of it, and their
    pictures."""
    some = cells.flatten(1).any(1)
    if not some.any():
        return {}
    rows = rows[some]
    seen, pictures = screen.lay(rows, layer.picture[rows], cells[some][:, None], layer.stood[rows])
    return dict(zip(rows[seen].tolist(), pictures))
