"""What every lane shows, for a decoder that goes on from it: the canvas, the panorama, the action before.

The pixel half of a lane's memory; the ring holds the other, keys and values. One of it serves an engine whose codec has
a memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

from worldsim.model.codec import Codec, to_pixels
from worldsim.model.conditioning import ACTED, Controls
from worldsim.model.contact import Room
from worldsim.model.detail import blended_detail, carried_detail
from worldsim.model.memory import Shown, larger, smaller
from worldsim.model.motion import ACTION, TRAVEL, describe
from worldsim.model.panorama import STILL, STRIDE, WALKED, Panorama, seen_turned
from worldsim.worlds import WorldSpec

# B lanes, M lanes that begin, K frames of a block, H W frame


Memory = Literal["window", "panorama", "places"]
"""What a lane keeps of what is out of view, beside the window of latents: nothing; one cylinder, which is believed less
after each step of walking; several, each of a place that dead reckoning finds again."""
PLACES = 4
"""Cylinders of a lane, of 0.9 MB each for frames of 64x64."""
HOLD = 0.95
"""What is left after a step of the least share of what was drawn again: the transformer, which draws the rest, comes to
know it by and by."""
SETTLED = 4
"""Given steps whose travel is asked: of what went before them a fifth goes on after four."""
_KEPT = ("canvas", "action", "reach", "travel", "known", "detail", "held", "ahead", "body")


def memories(codec: Codec) -> tuple[Memory, ...]:
    """The memories that a codec can serve, the farthest-reaching last."""
    if not codec.config.panorama:
        return ("window",)
    return ("window", "panorama", "places") if codec.config.geometry else ("window", "panorama")


class Screen:
    """The screens of ``lanes`` lanes of frames of ``size`` (H, W), with a ``memory`` that the codec can serve. In the
    worlds that are ``drawn`` nothing is carried over: ``known (B,)`` is False there. ``detail (B, 1, h, w)`` is what is
    left of it, where that is noted (see ``carried_detail``), ``held (B, 1, h, w)`` the least share of the last picture
    in the next, ``walks (B,)`` whether the last step led elsewhere or was to, and ``ahead (B,)`` and ``body (B,)`` are
    those of a ``Room``."""

    def __init__(
        self,
        codec: Codec,
        lanes: int,
        size: tuple[int, int],
        device: torch.device,
        memory: Memory,
        drawn: Sequence[str] = (),
    ) -> None:
        self.codec, self.size, self.device, self.drawn = codec, size, device, drawn
        self.reckons = memory == "places"
        self.canvas = torch.zeros(lanes, 3, 2 * size[0], 2 * size[1], device=device)
        self.action = torch.zeros(lanes, ACTION, device=device)
        self.reach = torch.zeros(lanes, device=device)
        self.travel = torch.zeros(lanes, TRAVEL, device=device)
        self.count = PLACES if self.reckons else 1
        blind = torch.zeros(lanes, device=device)
        self.panorama = None if memory == "window" else Panorama(blind, *size, self.count)
        self.known = torch.ones(lanes, dtype=torch.bool, device=device)
        cells = (lanes, 1, *(n // codec.config.stride for n in size))
        self.held, self.detail = torch.zeros(cells, device=device), torch.ones(cells, device=device)
        self.walks = torch.zeros(lanes, dtype=torch.bool, device=device)
        self.ahead, self.body = torch.full((lanes,), torch.nan, device=device), torch.zeros(lanes, device=device)

    def begin(
        self,
        rows: torch.Tensor,
        worlds: Sequence[WorldSpec],
        frames: torch.Tensor,
        k: int,
        given: Controls,
        latents: Sequence[torch.Tensor],
    ) -> None:
        """Lanes ``rows`` of ``worlds`` have shown uint8 ``frames (M, F, H, W, 3)``, k for each action of ``given``, and
        ``latents (M, C, h, w)`` are those of their steps."""
        count = given.keys.shape[1]
        acted = (given.known[:, -1:] == ACTED).float()
        self.action[rows] = acted * describe(given.keys[:, -1], given.camera[:, -1])
        self.canvas[rows] = larger(_picture(frames[:, -1]))
        self.detail[rows] = 1.0
        self.held[rows] = 0.0
        reach = torch.tensor([world.reach(*self.size) for world in worlds], device=self.device)
        self.reach[rows] = reach
        body = torch.tensor([world.body for world in worlds], device=self.device)
        self.body[rows] = body
        self.known[rows] = torch.tensor([world.name not in self.drawn for world in worlds], device=self.device)
        self.travel[rows], self.ahead[rows] = self._travelled(frames, k, given, latents, reach, body)
        if self.panorama is None:
            return
        seen = Panorama(reach, *self.size, self.count)
        for t in range(count):
            seen.turn(given.camera[:, t])
            seen.walk(given.keys[:, t])
            seen.show(_picture(frames[:, -1 - (count - 1 - t) * k]))
        self.panorama.put(rows, seen)

    def _travelled(
        self,
        frames: torch.Tensor,
        k: int,
        given: Controls,
        latents: Sequence[torch.Tensor],
        reach: torch.Tensor,
        body: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """How far cameras went in the last of given steps, ``(M, 4)``, and the metres ``(M,)`` to what is ahead then,
        as the flow of the last few of them tells; not known where nothing tells. An episode begins at rest."""
        acted = given.known == ACTED
        first = max(1, len(latents) - SETTLED)
        travel = torch.zeros(len(frames), TRAVEL, device=self.device)
        travel[:, -1] = (~acted[:, first - 1]).float()
        ahead = torch.full_like(reach, torch.nan)
        if not self.codec.config.geometry or not (reach > 0).any():
            travel[:, -1] = (~acted[:, -1]).float()
            return travel, ahead
        actions = [describe(given.keys[:, t], given.camera[:, t]) * acted[:, t : t + 1] for t in range(len(latents))]
        for t in range(first, len(latents)):
            before = _picture(frames[:, -1 - (len(latents) - t) * k])
            known, both = torch.ones_like(reach, dtype=torch.bool), torch.cat([actions[t], actions[t - 1]], dim=1)
            shown = Shown(larger(before), known, both, None, reach, travel, None, Room(ahead, body))
            went, left = self.codec.went(latents[t], shown)
            if went is not None and left is not None:
                travel, ahead = went, left
        return travel, ahead

    def turn(self, controls: Controls) -> torch.Tensor | None:
        """The cameras turn; what the panorama holds of the views after it, ``(B, 4, H, W)``, None without one."""
        if self.panorama is None:
            return None
        self.panorama.turn(controls.camera[:, 0])
        if not self.reckons:
            self.panorama.walk(controls.keys[:, 0])
        return self.panorama.view()

    def show(
        self,
        latent: torch.Tensor,
        frames: int,
        controls: Controls,
        around: torch.Tensor | None,
        notes_detail: bool = False,
    ) -> torch.Tensor:
        """Pixels ``(B, frames, H, W, 3)`` in [-1, 1] of all lanes' next latents, which are what they show from now.
        ``around`` is what ``turn`` gave, or that completed; ``notes_detail``: what detail is left is kept up."""
        action = describe(controls.keys[:, 0], controls.camera[:, 0])
        actions = torch.cat([action, self.action], dim=1)
        held = self.held if notes_detail else None
        room = Room(self.ahead, self.body)
        before = Shown(self.canvas, self.known, actions, around, self.reach, self.travel, held, room)
        pixels, self.canvas, carried = self.codec.show(latent, frames, before)
        travel = carried.travel
        self.action, self.travel = action, self.travel if travel is None else travel
        self.ahead = self.ahead if carried.ahead is None else carried.ahead
        if carried.held is not None:
            self.held = HOLD * carried.held
            walked = _distance(self.travel) >= STILL
            self.walks = walked | controls.keys[:, 0, WALKED].any(1)  # what is pushed against washes out, too
            moved = walked | (controls.camera[:, 0] != 0).any(1)
            detail = torch.where(_of_lanes(moved), carried_detail(self.detail, carried.flow), self.detail)
            self.detail = blended_detail(detail, carried.share)
        if self.panorama is not None:
            if travel is not None and self.reckons:
                self.panorama.go(travel)
            shown = pixels[:, -1].permute(0, 3, 1, 2)
            self.panorama.show(shown, forget=self.count > 1)  # one holds nothing else than this
        return pixels

    def replace(self, rows: torch.Tensor, pictures: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Lanes ``rows`` show ``pictures (M, 3, H, W)`` in ``cells (M, 1, h, w)``, which have their detail then: the
        whole pictures."""
        where = F.interpolate(cells.float(), size=self.size, mode="bilinear", align_corners=False)
        canvas = self.canvas[rows]
        shown = torch.lerp(smaller(canvas), pictures, where)
        inside = F.interpolate(where, scale_factor=2, mode="nearest")
        self.canvas[rows] = torch.lerp(canvas, larger(pictures), inside)
        self.detail[rows] = torch.where(cells, 1.0, self.detail[rows])
        self.held[rows] = torch.where(cells, 1.0, self.held[rows])
        if self.panorama is not None:
            part = self.panorama.some(rows)
            part.show(shown, where=where)
            self.panorama.put(rows, part)
        return shown

    def stood(self, rows: torch.Tensor) -> torch.Tensor:
        """Where lanes ``rows`` stand and look, ``(M, 4)``, for ``lay``. Needs a panorama."""
        assert self.panorama is not None
        return self.panorama.stood()[rows]

    def lay(
        self, rows: torch.Tensor, pictures: torch.Tensor, cells: torch.Tensor, stood: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``cells (M, 1, h, w)`` of ``pictures (M, 3, H, W)``, seen from where lanes ``rows`` ``stood (M, 4)`` once,
        are what is there: which of the lanes ``(M,)`` see some of them now, and the whole pictures that these show.
        Lanes that stand elsewhere by now see none; they find it when they return, where several places are kept. Needs
        a panorama."""
        panorama = self.panorama
        assert panorama is not None
        now = panorama.stood()[rows]
        yaw = (now[:, 0] - stood[:, 0] + 180) % 360 - 180
        near = panorama.apart(now, stood) < STRIDE / 2
        where = F.interpolate(cells.float(), size=self.size, mode="nearest")
        turned, visible = seen_turned(pictures, where, yaw, panorama.reach[rows])
        visible = (F.avg_pool2d(visible, self.codec.config.stride) > 0.5) & _of_lanes(near)
        seen = visible.flatten(1).any(1)
        shown = self.replace(rows[seen], turned[seen], visible[seen]) if seen.any() else turned[seen]
        off = (~near | (yaw != 0)) & (near | (self.count > 1))  # one cylinder holds what was seen from here
        if off.any():  # after what it sees itself, which is not as sharp
            panorama.lay(rows[off], pictures[off], where[off], stood[off])
        return seen, shown

    def get_lane(self, lane: int) -> dict[str, torch.Tensor]:
        """What a lane shows, on the CPU."""
        own = {name: getattr(self, name)[lane].cpu().clone() for name in _KEPT}
        return own | ({} if self.panorama is None else self.panorama.get_lane(lane))

    def set_lane(self, lane: int, shown: dict[str, torch.Tensor]) -> None:
        """Puts what ``get_lane`` gave into ``lane``."""
        for name in _KEPT:
            getattr(self, name)[lane] = shown[name].to(self.device)
        if self.panorama is not None:
            self.panorama.set_lane(lane, shown)


def _distance(travel: torch.Tensor) -> torch.Tensor:
    """Metres ``(B,)`` of ``travel (B, 4)``; a step that nobody knows of counts as a stride."""
    return torch.where(travel[:, 3] > 0, torch.hypot(travel[:, 0], travel[:, 2]), STRIDE)


def _of_lanes(x: torch.Tensor) -> torch.Tensor:
    return x[:, None, None, None]


def _picture(frames: torch.Tensor) -> torch.Tensor:
    """float ``(M, 3, H, W)`` in [-1, 1] of uint8 frames ``(M, H, W, 3)``."""
    return to_pixels(frames).permute(0, 3, 1, 2)
