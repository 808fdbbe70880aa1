"""Shows a table from straight above: everything is drawn at four times the size and averaged down.

The same marks, drawn in object ids instead of colours and picked instead of averaged, make the label picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from worldsim_envs.palette import RGB
from worldsim_envs.table.bodies import SEED_RADIUS, Moving, Plant
from worldsim_envs.table.layout import DEPTH, RIM, SWITCH_SIZE, TARGET_RADIUS, TableLayout
from worldsim_envs.table.physics import STROKE_RADIUS, TablePhysics

OVERSAMPLED = 4
DARK = 0.4
"""Brightness with the lamp off."""
LAMP_ON, LAMP_OFF = (255, 244, 150), (70, 68, 60)
PANEL_COLOUR, RAIL_COLOUR = (88, 92, 104), (60, 60, 66)
SKIN, INK = (250, 222, 190), (18, 18, 20)
LEAF = (40, 140, 40)


@dataclass(frozen=True)
class _Ink:
    """What a mark is drawn in: its colour, or its object's id (and then without outlines)."""

    labels: bool = False

    def __call__(self, number: int, colour: tuple[int, int, int]) -> tuple[int, int, int]:
        return (number % 256, number // 256, 0) if self.labels else colour


class Picture:
    """A table's drawings at one frame size: ``frame`` and ``labels``."""

    def __init__(self, frame_size: tuple[int, int], layout: TableLayout, seed: int) -> None:
        self.height, self.width = frame_size
        self.scale = self.height * OVERSAMPLED / DEPTH
        self.layout = layout
        self.canvas = (self.height * OVERSAMPLED, self.width * OVERSAMPLED)
        self.ground = self._ground(np.random.default_rng([seed, 0x707]))
        self.drawn = 0  # strokes that are on the ground already

    def frame(self, table: TablePhysics) -> np.ndarray:
        """uint8 ``(H, W, 3)``."""
        for (x0, y0, x1, y1), colour in table.strokes[self.drawn :]:
            thickness = round(2 * STROKE_RADIUS * self.scale)
            cv2.line(self.ground, self.at(x0, y0), self.at(x1, y1), RGB[colour], thickness)
        self.drawn = len(table.strokes)
        canvas = self.ground.copy()
        self._paint(canvas, table, _Ink())
        shown = cv2.resize(canvas, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return shown if table.lit else (shown * DARK).astype(np.uint8)

    def labels(self, table: TablePhysics) -> np.ndarray:
        """int32 ``(H, W)``: object id per pixel, 0 for the rim, -1 for the table top."""
        canvas = np.full((*self.canvas, 3), 255, np.uint8)
        rim = round(RIM * self.scale)
        canvas[:rim] = canvas[-rim:] = canvas[:, :rim] = canvas[:, -rim:] = 0
        self._paint(canvas, table, _Ink(labels=True))
        middle = OVERSAMPLED // 2
        picked = canvas[middle::OVERSAMPLED, middle::OVERSAMPLED].astype(np.int32)
        ids = picked[..., 0] + 256 * picked[..., 1]
        return np.where(picked[..., 2] == 255, -1, ids)

    def at(self, x: float, y: float) -> tuple[int, int]:
        """Pixel of the large canvas at a place in metres."""
        return round(x * self.scale), round((DEPTH - y) * self.scale)

    # ----------------------------------------------------------------------------------------------------------------

    def _ground(self, rng: np.random.Generator) -> np.ndarray:
        top = np.array(RGB[self.layout.top.colour], np.float32)
        height, width = self.canvas
        ground = np.tile(top, (height, width, 1)) + _pattern(self.layout.top.pattern, height, width)[..., None]
        grain = rng.normal(0, 2.0, (self.height, self.width, 1))  # one value for each pixel of the frame
        ground += grain.repeat(OVERSAMPLED, 0).repeat(OVERSAMPLED, 1)
        ground = np.ascontiguousarray(ground.clip(0, 255).astype(np.uint8))
        rim = round(RIM * self.scale)
        cv2.rectangle(ground, (0, 0), (width - 1, height - 1), RGB[self.layout.rim.colour], 2 * rim)
        cv2.rectangle(ground, (rim, rim), (width - 1 - rim, height - 1 - rim), INK, 2)
        if self.layout.target is not None:
            ring = RGB["white"] if self.layout.top.colour != "white" else RGB["black"]
            cv2.circle(ground, self.at(*self.layout.target), round(TARGET_RADIUS * self.scale), ring, 5)
        return ground

    def _paint(self, canvas: np.ndarray, table: TablePhysics, ink: _Ink) -> None:
        """Every thing over the ground, lowest first."""
        for plant in table.plants:
            self._plant(canvas, plant, ink)
        for thing in table.things:
            self._thing(canvas, thing, ink)
        if table.layout.switch is not None:
            self._switch(canvas, table, ink)
        if table.panel is not None and table.handle is not None:
            left, low, right, high = table.panel
            colour = ink(table.panel_number, PANEL_COLOUR)
            if not ink.labels:
                rail = table.handle.body.position.y
                cv2.line(canvas, self.at(RIM, rail), self.at(table.layout.width - RIM, rail), RAIL_COLOUR, 4)
            x, y = table.handle.body.position
            cv2.line(canvas, self.at(x, y), self.at(x, low), colour, 8)
            cv2.rectangle(canvas, self.at(left, high), self.at(right, low), colour, -1)
            if not ink.labels:
                cv2.rectangle(canvas, self.at(left, high), self.at(right, low), INK, 3)
            self._disc(canvas, x, y, table.handle.size, ink, ink(table.handle.number, RGB["yellow"]))
        self._hand(canvas, table, ink)

    def _disc(
        self, canvas: np.ndarray, x: float, y: float, size: float, ink: _Ink, colour: tuple[int, int, int]
    ) -> None:
        centre, radius = self.at(x, y), round(size * self.scale)
        cv2.circle(canvas, centre, radius, colour, -1)
        if not ink.labels:
            cv2.circle(canvas, centre, radius, INK, 3)

    def _thing(self, canvas: np.ndarray, thing: Moving, ink: _Ink) -> None:
        x, y = thing.body.position
        colour = ink(thing.number, RGB[thing.colour])
        if thing.shape in ("pane", "shard"):
            corners = self._corners(thing)
            if ink.labels:
                cv2.fillPoly(canvas, [corners], colour)
                return
            glass = canvas.copy()
            cv2.fillPoly(glass, [corners], colour)
            cv2.addWeighted(glass, 0.7, canvas, 0.3, 0, dst=canvas)
            cv2.polylines(canvas, [corners], True, (225, 245, 250), 1)
        elif thing.outline is not None:
            corners = self._corners(thing)
            cv2.fillPoly(canvas, [corners], colour)
            if not ink.labels:
                cv2.polylines(canvas, [corners], True, INK, 3)
        elif thing.bites:
            self._bitten(canvas, thing, ink, colour)
        else:
            self._disc(canvas, x, y, thing.size, ink, colour)
        if ink.labels:
            return
        if thing.heavy:
            cv2.circle(canvas, self.at(x, y), round(0.4 * thing.size * self.scale), INK, -1)
        elif thing.shape == "disc":  # a notch that shows its turning
            notch = thing.body.local_to_world((0.65 * thing.size, 0))
            cv2.line(canvas, self.at(x, y), self.at(*notch), INK, 3)
        elif thing.shape == "ball":
            shine = (x - 0.3 * thing.size, y + 0.3 * thing.size)
            cv2.circle(canvas, self.at(*shine), round(0.3 * thing.size * self.scale), (255, 255, 255), -1)
        elif thing.shape == "apple":
            stalk = thing.body.local_to_world((0, thing.size * 1.25)), thing.body.local_to_world((0, thing.size * 0.8))
            cv2.line(canvas, self.at(*stalk[0]), self.at(*stalk[1]), RGB["brown"], 8)
            leaf = thing.body.local_to_world((0.35 * thing.size, thing.size * 1.05))
            cv2.circle(canvas, self.at(*leaf), round(0.3 * thing.size * self.scale), LEAF, -1)

    def _corners(self, thing: Moving) -> np.ndarray:
        return np.array([self.at(x, y) for x, y in thing.corners], np.int32)

    def _bitten(self, canvas: np.ndarray, thing: Moving, ink: _Ink, colour: tuple[int, int, int]) -> None:
        mask = np.zeros(self.canvas, np.uint8)
        cv2.circle(mask, self.at(*thing.body.position), round(thing.size * self.scale), 255, -1)
        for x, y, radius in thing.bites:
            cv2.circle(mask, self.at(*thing.body.local_to_world((x, y))), round(radius * self.scale), 0, -1)
        canvas[mask > 0] = colour
        if not ink.labels:
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(canvas, contours, -1, INK, 3)

    def _plant(self, canvas: np.ndarray, plant: Plant, ink: _Ink) -> None:
        cv2.circle(
            canvas, self.at(plant.x, plant.y), round(SEED_RADIUS * self.scale), ink(plant.number, RGB["brown"]), -1
        )
        if plant.growth <= 0:
            return
        length = plant.leaf
        for leaf in range(5):
            angle = np.pi / 2 + leaf * 2 * np.pi / 5
            middle = self.at(plant.x + length / 2 * np.cos(angle), plant.y + length / 2 * np.sin(angle))
            axes = (round(length / 2 * self.scale), max(1, round(length / 5 * self.scale)))
            cv2.ellipse(canvas, middle, axes, -np.degrees(angle), 0, 360, ink(plant.number, LEAF), -1)

    def _switch(self, canvas: np.ndarray, table: TablePhysics, ink: _Ink) -> None:
        assert table.layout.switch is not None
        x, y = table.layout.switch
        colour = ink(table.switch_number, RGB["grey"])
        cv2.rectangle(
            canvas, self.at(x - SWITCH_SIZE, y + SWITCH_SIZE), self.at(x + SWITCH_SIZE, y - SWITCH_SIZE), colour, -1
        )
        lamp = ink(table.switch_number, LAMP_ON if table.lit else LAMP_OFF)
        cv2.circle(canvas, self.at(x, y), round(0.024 * self.scale), lamp, -1)

    def _hand(self, canvas: np.ndarray, table: TablePhysics, ink: _Ink) -> None:
        x, y = table.hand.body.position
        size = table.hand.size
        colour = RGB[table.layout.paint] if table.brush else SKIN
        self._disc(canvas, x, y, size, ink, ink(table.hand.number, colour))
        if ink.labels:
            return
        if table.brush:
            cv2.circle(canvas, self.at(x, y), round(0.5 * size * self.scale), SKIN, -1)
        angle = np.radians(table.facing)
        finger = self.at(x + 0.7 * size * np.cos(angle), y + 0.7 * size * np.sin(angle))
        cv2.circle(canvas, finger, round(0.3 * size * self.scale), INK, -1)


@lru_cache(maxsize=32)
def _pattern(pattern: str, height: int, width: int) -> np.ndarray:
    """Brightness of a table top's pattern, float32 ``(height, width)``, to be added to its colour."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    if pattern == "check":
        return np.where(((x * 8).astype(int) + (y * 8).astype(int)) % 2, 16, -16).astype(np.float32)
    if pattern == "stripe":
        return np.where((y * 10).astype(int) % 2, 14, -14).astype(np.float32)
    if pattern == "dots":
        inside = ((x * 8) % 1 - 0.5) ** 2 + ((y * 8) % 1 - 0.5) ** 2 < 0.07
        return np.where(inside, -40, 0).astype(np.float32)
    if pattern == "grid":
        return np.where(((x * 8) % 1 < 0.1) | ((y * 8) % 1 < 0.1), 34, 0).astype(np.float32)
    if pattern == "wood":
        return (12 * np.sin(2 * np.pi * (y * 9 + 0.25 * np.sin(x * 9)))).astype(np.float32)
    if pattern == "stone":
        return (10 * np.sin(x * 23 + 3 * np.sin(y * 17)) * np.sin(y * 29 + 2 * np.sin(x * 13))).astype(np.float32)
    return np.zeros((height, width), np.float32)
