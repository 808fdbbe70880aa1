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
"""Steps since nothing was taken away."""


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
    ``config``. ``hides (B,)`` is True where there is something ``behind`` the picture that was asked about, and ``new
    (B,)`` where a lane has shown no step yet; ``front`` is the picture before the act, whose steps ago are ``since
    (B,)``, until what was taken has returned; then ``NEVER``."""

    def __init__(
        self, imagination: Imagination, config: RevealerConfig, lanes: int, size: tuple[int, int], device: torch.device
    ) -> None:
        self.imagination, self.device, self.cues = imagination, device, Cues(config, lanes, device)
        self.past, self.lasts = config.past, config.lasts
        self.new = torch.zeros(lanes, dtype=torch.bool, device=device)
        self.hides = torch.zeros_like(self.new)
        self.since = torch.full((lanes,), NEVER, device=device)
        stride = imagination.codec.config.stride
        cells = size[0] // stride, size[1] // stride
        self.behind, self.front = (Layer(lanes, config.past, cells, size, device) for _ in range(2))

    def begin(self, rows: torch.Tensor, given: Controls) -> None:
        """Lanes ``rows`` begin after the actions ``given``."""
        self.cues.begin(rows, given)
        self.new[rows], self.hides[rows], self.since[rows] = True, False, NEVER

    def tell(self, lanes: Sequence[int], texts: Sequence[str]) -> None:
        """Event ``texts`` hold from the next step on."""
        self.cues.tell(lanes, texts)

    def step(self, screen: Screen, controls: Controls, drawing: Drawing) -> Redrawn | None:
        """After ``screen`` has shown a step under ``controls (B, 1)``: lanes in which something is gone, or returns,
        and the pictures ``(M, 3, H, W)`` that they show now, None without any."""
        cues = self.cues
        cues.step(controls, self.hides & cues.lately(drawing.worlds))
        self.since = torch.where(self.since == NEVER, NEVER, self.since + 1)
        asked = cues.lately(drawing.worlds) & drawing.may
        begins = asked & (cues.begins | self.new)
        anew = begins | (asked & self.hides & screen.walks)  # an act that took nothing away is over
        self.new = torch.zeros_like(self.new)
        shown: dict[int, torch.Tensor] = {}
        if (rows := torch.nonzero(anew)[:, 0]).numel():
            shown |= self._look(rows, begins[rows], screen, drawing)
        rows = torch.nonzero(asked & self.hides)[:, 0]
        if len(rows):
            gone = self.behind.cells[rows, cues.age[rows]]
            shown |= _lay(screen, self.behind, rows, gone)
        if self.lasts is not None:
            shown |= self._return(screen)
        if not shown:
            return None
        return torch.tensor(list(shown), device=self.device), torch.stack(list(shown.values()))

    def _look(
        self, rows: torch.Tensor, begins: torch.Tensor, screen: Screen, drawing: Drawing
    ) -> dict[int, torch.Tensor]:
        """What lies behind the pictures of lanes ``rows`` is drawn, where something of them is gone in any step. Where
        an act ``begins (M,)`` to, what one before it took returns at once: lanes that see it, and their pictures."""
        pictures, made = smaller(screen.canvas[rows]), self.imagination
        gone = self._gone(rows, made.codec.encode_normalised(pictures.permute(0, 2, 3, 1)[:, None]).float())
        hidden = gone.any(1, keepdim=True)
        self.hides[rows] = some = hidden.flatten(1).float().mean(1) >= LEAST
        if not some.any():
            return {}
        drawn, finite = self._draw(pictures[some], hidden[some].float(), rows[some], drawing)
        self.hides[rows[some]] = finite
        stood = screen.stood(rows)
        self.behind.put(rows[some], drawn, stood[some], gone[some])
        acts = begins & self.hides[rows]
        before = rows[acts & (self.since[rows] != NEVER)]
        shown = _lay(screen, self.front, before, self.front.cells[before].any(1)) if len(before) else {}
        self.front.put(rows[acts], pictures[acts], stood[acts], gone[acts])
        self.since[rows[acts]] = self.cues.age[rows[acts]]
        return shown

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

    def _gone(self, rows: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """bool ``(M, P, h, w)``: cells of pictures, latents ``before (M, C, h, w)``, of lanes ``rows`` whose content is
        taken away so many steps after what was done, or told, lately."""
        steps = torch.eye(self.past, dtype=torch.bool, device=self.device)
        each = torch.arange(len(rows), device=self.device).repeat_interleave(self.past)
        acted, told = (
            of[rows][each].any(1, keepdim=True) & steps.repeat(len(rows), 1) for of in (self.cues.acted, self.cues.told)
        )
        latents, colour, none = before[each], self.cues.colour[rows][each], torch.zeros_like(acted)
        gone = torch.zeros_like(latents[:, :1], dtype=torch.bool)
        # as it was taught: of what is done no words tell, and of what is told nobody has done it
        for done, said, of in ((acted, none, torch.zeros_like(colour)), (none, told, colour)):
            if (some := (done | said).any(1)).any():
                gone[some] |= self.imagination.starter.gone(latents[some], done[some], said[some], of[some])
        return gone[:, 0].unflatten(0, (len(rows), self.past))

    def _return(self, screen: Screen) -> dict[int, torch.Tensor]:
        """What acts took away returns in the last steps that they last: lanes that see it, and their pictures."""
        assert self.lasts is not None
        rows = torch.nonzero(self.since >= self.lasts - self.past)[:, 0]
        if not len(rows):
            return {}
        age = self.lasts - 1 - self.since[rows]
        over, cells = age < 0, self.front.cells[rows]
        gone = cells[torch.arange(len(rows), device=self.device), age.clamp(min=0)] & ~over[:, None, None]
        shown = _lay(screen, self.front, rows, cells.any(1) & ~gone)
        self.since[rows[over]] = NEVER
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
        return {name: getattr(self, name) for name in ("new", "hides", "since")} | layers


def _lay(screen: Screen, layer: Layer, rows: torch.Tensor, cells: torch.Tensor) -> dict[int, torch.Tensor]:
    """``cells (M, h, w)`` of a layer are what lanes ``rows`` have there: those that see some of it, and their
    pictures."""
    some = cells.flatten(1).any(1)
    if not some.any():
        return {}
    rows = rows[some]
    seen, pictures = screen.lay(rows, layer.picture[rows], cells[some][:, None], layer.stood[rows])
    return dict(zip(rows[seen].tolist(), pictures))
