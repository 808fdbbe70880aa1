"""The physics of a table: pymunk, and what it does not have: a hand, shattering, bites, paint, growth, a switch.

One frame is ``SUBSTEPS`` steps of ``DT`` seconds. Everything is deterministic: equal layouts and controls give equal
states bit for bit. Chance (cuts of glass, the balls' kicks) comes from generators of the map and of the dynamics seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pymunk

from worldsim.captions.facts import EventFact
from worldsim_envs.table.bodies import EATEN, SPROUTS, Moving, Plant
from worldsim_envs.table.glass import area, pieces
from worldsim_envs.table.layout import (
    DEPTH,
    HAND_RADIUS,
    HANDLE_SIZE,
    PANEL,
    PANEL_LOW,
    RAIL,
    RIM,
    SWITCH_SIZE,
    Item,
    Pane,
    TableLayout,
)

FPS = 20
SUBSTEPS = 5
DT = 1 / (FPS * SUBSTEPS)
HAND_SPEED, HAND_FORCE = 0.6, 60.0
STRIKE_SPEED, STRIKE_FORCE = 2.2, 300.0
HAND_MASS = 4.0
SHATTER_SPEED = 1.0
"""m/s: a pane that something meets faster than this breaks."""
REACH = 0.06
"""Metres from the hand's edge at which it can bite and switch."""
KICK_EVERY = 12
SPIN_RADIUS = 0.05
"""Metres from its middle at which friction slows a thing's spin."""
STROKE_RADIUS = 0.03
_GLASS, _HAND, _HANDLE, _THING = 1, 2, 3, 4
_THINGS = pymunk.ShapeFilter(categories=0b0001)
_RAIL = pymunk.ShapeFilter(categories=0b0010, mask=0b0100)
_TOUCHING = pymunk.ShapeFilter(categories=0b0100)
_LIFTED = pymunk.ShapeFilter(categories=0b0100, mask=0)


@dataclass(frozen=True)
class Control:
    """What the hand does for a frame: a direction (0, 0 to rest), or a strike along where it faces."""

    x: float = 0.0
    y: float = 0.0
    strike: bool = False


class TablePhysics:
    """A running table. ``events`` collects what happened, and ``touched`` the numbers of the things that the hand met,
    since they were cleared; ``strokes`` are painted segments ``(x0, y0, x1, y1)`` with their colour."""

    def __init__(self, layout: TableLayout, map_seed: int, dynamics_seed: int) -> None:
        self.layout = layout
        self.space = pymunk.Space()
        self.space.gravity = (0.0, -layout.gravity)
        self.space.iterations = 20
        self.cuts = np.random.default_rng([map_seed, 0x61A55])
        self.reseed(dynamics_seed)
        self.things: list[Moving] = []
        self.plants: list[Plant] = []
        self.strokes: list[tuple[tuple[float, float, float, float], str]] = []
        self.events: list[EventFact] = []
        self.touched: set[int] = set()
        self.lit, self.brush = layout.lit, False
        self.facing = layout.facing
        self.frames = 0
        self._numbers = 0
        self._hits: dict[int, pymunk.Vec2d] = {}
        self._walls()
        for item in layout.items:
            self._add_item(item)
        for pane in layout.panes:
            self._add_pane(pane)
        self.switch_number = self._number()
        self.panel_number = self._number()
        self.hand = self._add_hand()
        self.handle = self._add_handle() if layout.panel is not None else None
        for x, y in layout.seeds:
            self.plants.append(Plant(self._number(), x, y))
        if layout.switch is not None:
            post = pymunk.Circle(self.space.static_body, SWITCH_SIZE, layout.switch)
            post.elasticity, post.filter, post.collision_type = layout.restitution, _THINGS, _THING
            self.space.add(post)
        self.space.on_collision(_GLASS, _HAND, begin=self._glass_is_met)
        self.space.on_collision(_GLASS, _THING, begin=self._glass_is_met)
        self.space.on_collision(_GLASS, _GLASS, begin=self._glass_is_met)

    def reseed(self, dynamics_seed: int) -> None:
        """Draws anew what moves by itself, from now on."""
        self.kicks = np.random.default_rng([dynamics_seed, 0xBA11])

    # building -------------------------------------------------------------------------------------------------------

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _walls(self) -> None:
        low, right, high = RIM, self.layout.width - RIM, DEPTH - RIM
        corners = [(low, low), (right, low), (right, high), (low, high)]
        outwards = [(0, -1), (1, 0), (0, 1), (-1, 0)]
        thickness = 0.2  # thick, and outside of the table: nothing fast gets through
        for (ax, ay), (bx, by), (dx, dy) in zip(corners, corners[1:] + corners[:1], outwards):
            shift = (dx * thickness, dy * thickness)
            wall = pymunk.Segment(
                self.space.static_body,
                (ax + shift[0], ay + shift[1]),
                (bx + shift[0], by + shift[1]),
                thickness,
            )
            wall.elasticity, wall.friction, wall.filter, wall.collision_type = 1.0, 0.3, _THINGS, _THING
            self.space.add(wall)

    def _add(self, moving: Moving, glass: bool = False) -> None:
        moving.collider.elasticity = self.layout.restitution
        moving.collider.friction = 0.3
        moving.collider.filter = _THINGS
        moving.collider.collision_type = _GLASS if glass else _THING
        self.space.add(moving.body, moving.collider)
        self.things.append(moving)

    def _add_item(self, item: Item) -> None:
        outline = None
        collider: pymunk.Shape
        if item.shape == "box":
            side = 2 * item.size
            body = pymunk.Body(item.mass, pymunk.moment_for_box(item.mass, (side, side)))
            collider = pymunk.Poly.create_box(body, (side, side))
            outline = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], float) * item.size
        else:
            body = pymunk.Body(item.mass, pymunk.moment_for_circle(item.mass, 0, item.size))
            collider = pymunk.Circle(body, item.size)
        body.position, body.angle = (item.x, item.y), item.angle
        self._add(Moving(self._number(), item.shape, item.colour, body, collider, item.size, outline, item.heavy))

    def _add_pane(self, pane: Pane) -> None:
        size = (pane.length, pane.thickness)
        body = pymunk.Body(pane.mass, pymunk.moment_for_box(pane.mass, size))
        body.position, body.angle = (pane.x, pane.y), pane.angle
        outline = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], float) * np.array(size) / 2
        collider = pymunk.Poly(body, outline.tolist())
        self._add(Moving(self._number(), "pane", pane.colour, body, collider, outline=outline), glass=True)

    def _add_hand(self) -> Moving:
        body = pymunk.Body(HAND_MASS, float("inf"))
        body.position = self.layout.hand
        collider = pymunk.Circle(body, HAND_RADIUS)
        collider.elasticity, collider.friction, collider.filter = 0.0, 0.2, _TOUCHING
        collider.collision_type = _HAND
        body.velocity_func = _without_gravity
        self.space.add(body, collider)
        return Moving(self._number(), "hand", "", body, collider, HAND_RADIUS)

    def _add_handle(self) -> Moving:
        assert self.layout.panel is not None
        body = pymunk.Body(1.0, float("inf"))
        body.position = (self.layout.panel, RAIL)
        body.velocity_func = _without_gravity
        collider = pymunk.Circle(body, HANDLE_SIZE)
        collider.filter, collider.collision_type = _RAIL, _HANDLE
        low, high = RIM + PANEL[0] / 2, self.layout.width - RIM - PANEL[0] / 2
        rail = pymunk.GrooveJoint(self.space.static_body, body, (low, RAIL), (high, RAIL), (0, 0))
        self.space.add(body, collider, rail)
        return Moving(self.panel_number, "occluder", "", body, collider, HANDLE_SIZE)

    # running --------------------------------------------------------------------------------------------------------

    def frame(self, control: Control) -> None:
        """Advances by one frame, 1/20 s."""
        self._kick_balls()
        before = self.hand.body.position
        for _ in range(SUBSTEPS):
            self._drive(control)
            self.space.step(DT)
            self._keep_in()
            self._rub()
            if self._hits:
                self._shatter()
        self.hand.body.each_arbiter(self._touch)
        if self.brush and (self.hand.body.position - before).length > 1e-4:
            self._paint(before, self.hand.body.position)
        for plant in self.plants:
            plant.age += 1
            if plant.age == SPROUTS:
                self.events.append(EventFact("sprout", "", "plant"))
        self.frames += 1

    def _touch(self, arbiter: pymunk.Arbiter) -> None:
        self.touched.update(thing.number for thing in self.things if thing.body in arbiter.bodies)

    def _drive(self, control: Control) -> None:
        """Pulls the hand towards the velocity asked for, with a bounded force."""
        body = self.hand.body
        direction = pymunk.Vec2d(control.x, control.y)
        speed, force = (STRIKE_SPEED, STRIKE_FORCE) if control.strike else (HAND_SPEED, HAND_FORCE)
        if control.strike:
            direction = pymunk.Vec2d(1, 0).rotated_degrees(self.facing)
        change = direction * speed - body.velocity
        most = force / HAND_MASS * DT
        body.velocity += change if change.length <= most else change.scale_to_length(most)

    def _keep_in(self) -> None:
        """Stops the hand at the rim, whatever it pushes with."""
        body, low = self.hand.body, RIM + HAND_RADIUS
        (x, y), velocity = body.position, body.velocity
        inside = (min(max(x, low), self.layout.width - low), min(max(y, low), DEPTH - low))
        if inside != (x, y):
            body.position = inside
            body.velocity = (velocity.x if inside[0] == x else 0.0, velocity.y if inside[1] == y else 0.0)

    def _rub(self) -> None:
        """Friction with the table top: a constant deceleration of what slides and spins."""
        loss = self.layout.friction * DT
        for thing in [*self.things, *([self.handle] if self.handle else [])]:
            body = thing.body
            grip = 4 * loss if thing.shape in ("pane", "shard", "occluder") else loss
            grip = 0.1 * loss if thing.shape == "ball" else grip
            speed, spin = body.velocity.length, body.angular_velocity
            body.velocity = body.velocity * (1 - min(1.0, grip / max(speed, 1e-9)))
            body.angular_velocity = spin * (1 - min(1.0, grip / max(SPIN_RADIUS * abs(spin), 1e-9)))

    def _kick_balls(self) -> None:
        if self.frames % KICK_EVERY:
            return
        for thing in self.things:
            if thing.shape == "ball":
                angle, speed = self.kicks.uniform(0, 2 * np.pi), self.kicks.uniform(0.2, 0.7)
                thing.body.velocity = (speed * np.cos(angle), speed * np.sin(angle))

    # glass ----------------------------------------------------------------------------------------------------------

    def _glass_is_met(self, arbiter: pymunk.Arbiter, space: pymunk.Space, data: Any) -> None:
        first, second = arbiter.bodies
        point = arbiter.contact_point_set.points[0].point_a
        closing = first.velocity_at_world_point(point) - second.velocity_at_world_point(point)
        if abs(closing.dot(arbiter.contact_point_set.normal)) < SHATTER_SPEED:
            return
        for thing in self.things:
            if thing.shape == "pane" and thing.body in (first, second):
                other = second if thing.body is first else first
                self._hits[thing.number] = other.velocity

    def _shatter(self) -> None:
        """Each pane that was met too fast becomes pieces of the same total mass."""
        for number, blow in self._hits.items():
            pane = next(thing for thing in self.things if thing.number == number)
            assert pane.outline is not None
            self.things.remove(pane)
            self.space.remove(pane.body, pane.collider)
            self.events.append(EventFact("shatter", pane.colour, "pane"))
            for outline in pieces(pane.outline, self.cuts):
                self._add_shard(pane, outline, blow)
        self._hits.clear()

    def _add_shard(self, pane: Moving, outline: np.ndarray, blow: pymunk.Vec2d) -> None:
        middle = outline.mean(0)
        corners = (outline - middle).tolist()
        assert pane.outline is not None
        mass = pane.mass * area(outline) / area(pane.outline)
        body = pymunk.Body(mass, pymunk.moment_for_poly(mass, corners))
        place = pane.body.local_to_world(tuple(middle))
        body.position, body.angle = place, pane.body.angle
        scatter = self.cuts.uniform(-0.25, 0.25, 2)
        body.velocity = pane.body.velocity_at_world_point(place) + blow * 0.25 + pymunk.Vec2d(*scatter.tolist())
        body.angular_velocity = float(self.cuts.uniform(-6, 6))
        shard = Moving(self._number(), "shard", pane.colour, body, pymunk.Poly(body, corners), outline=outline - middle)
        self._add(shard, glass=True)

    # what the hand does ---------------------------------------------------------------------------------------------

    def take_brush(self) -> None:
        """Hand to brush and back: a brush paints where it goes, and passes over things."""
        self.brush = not self.brush
        self.hand.collider.filter = _LIFTED if self.brush else _TOUCHING

    def _paint(self, start: pymunk.Vec2d, end: pymunk.Vec2d) -> None:
        self.strokes.append(((start.x, start.y, end.x, end.y), self.layout.paint))
        fact = EventFact("paint", self.layout.paint, "stroke")
        if fact not in self.events:
            self.events.append(fact)

    def use(self) -> None:
        """Bites the nearest apple in reach, or switches the light."""
        x, y = self.hand.body.position
        reachable: list[tuple[float, Moving | None]] = []
        for thing in self.things:
            if thing.shape == "apple":
                gap = (thing.body.position - (x, y)).length - thing.size - HAND_RADIUS
                reachable.append((gap, thing))
        if self.layout.switch is not None:
            gap = float(np.hypot(x - self.layout.switch[0], y - self.layout.switch[1])) - SWITCH_SIZE - HAND_RADIUS
            reachable.append((gap, None))
        gap, nearest = min(reachable, key=lambda pair: pair[0], default=(np.inf, None))
        if gap > REACH:
            return
        if nearest is None:
            self.lit = not self.lit
            self.events.append(EventFact("switch_on" if self.lit else "switch_off", "", "lamp"))
        else:
            self._bite(nearest)

    def _bite(self, apple: Moving) -> None:
        apple.bite(self.hand.body.position)
        self.events.append(EventFact("bite", apple.colour, "apple"))
        if apple.left < EATEN:
            self.things.remove(apple)
            self.space.remove(apple.body, apple.collider)
            self.events.append(EventFact("eat", apple.colour, "apple"))

    def plant(self) -> None:
        """Plants a seed under the hand, unless one is there or five are on the table."""
        x, y = self.hand.body.position
        if len(self.plants) < 5 and all(np.hypot(p.x - x, p.y - y) > 0.06 for p in self.plants):
            self.plants.append(Plant(self._number(), x, y))
            self.events.append(EventFact("plant", "", "seed"))

    # what is hidden -------------------------------------------------------------------------------------------------

    @property
    def panel(self) -> tuple[float, float, float, float] | None:
        """The hiding panel as left, low, right, high in metres."""
        if self.handle is None:
            return None
        x = self.handle.body.position.x
        return x - PANEL[0] / 2, PANEL_LOW, x + PANEL[0] / 2, PANEL_LOW + PANEL[1]

    def hides(self, footprint: np.ndarray) -> bool:
        """Whether the panel covers all of a footprint ``(N, 2)``."""
        if self.panel is None:
            return False
        left, low, right, high = self.panel
        (x0, y0), (x1, y1) = footprint.min(0), footprint.max(0)
        return bool(left <= x0 and x1 <= right and low <= y0 and y1 <= high)


def _without_gravity(body: pymunk.Body, gravity: tuple[float, float], damping: float, dt: float) -> None:
    pymunk.Body.update_velocity(body, (0, 0), damping, dt)
