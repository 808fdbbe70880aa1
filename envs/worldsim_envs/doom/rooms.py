"""DoomRooms: seeded maps of rooms and corridors in which every wall, door and thing is known by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import vizdoom as vzd
from vizdoom import GameVariable

from worldsim.captions.facts import EventFact, SceneFacts, Thing, ViewFacts
from worldsim.worlds import COLLECTIBLES, WORLDS
from worldsim_envs.base import Start
from worldsim_envs.doom.game import VARIABLES, DoomEngine, EngineConfig, Tic
from worldsim_envs.doom.layout import UNITS_PER_METRE, MapLayout
from worldsim_envs.doom.maps import generate, to_wad
from worldsim_envs.doom.wad import ACTORS, asset_wad
from worldsim_envs.doom.world import DoomWorld

NEAR = 3.0  # metres
_AMMO = VARIABLES.index(GameVariable.SELECTED_WEAPON_AMMO)
_HITS = VARIABLES.index(GameVariable.HITCOUNT)


@cache
def _assets() -> bytes:
    return asset_wad()


class DoomRoomsEnv(DoomWorld):
    """Rooms and corridors with coloured walls."""

    spec_world = WORLDS["DoomRooms"]
    can_kill: ClassVar[bool] = False
    layout: MapLayout

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._doors: dict[int, int] = {}
        self._open: frozenset[int] = frozenset()
        self._events: tuple[EventFact, ...] = ()
        self._scene: SceneFacts | None = None

    def _engine_config(self) -> EngineConfig:
        import tempfile

        self._asset_folder = tempfile.TemporaryDirectory(prefix="worldsim-doom-")
        path = Path(self._asset_folder.name) / "assets.wad"
        path.write_bytes(_assets())
        return EngineConfig(wad=path, settle=14, depth="depth" in self.truth_buffers, sectors=True)

    def _new_episode(self, engine: DoomEngine, start: Start) -> Tic:
        self.layout = generate(start.map_seed, start.goal)
        self._events = ()
        self._scene = None
        tic = engine.new_episode(start.map_seed, to_wad(self.layout))
        self._open = frozenset()
        return tic

    def _after_block(self, before: vzd.GameState, after: vzd.GameState, tics: Sequence[Tic]) -> float:
        events: list[EventFact] = []
        was = {o.id: o for o in before.objects}
        now = {o.id: o for o in after.objects}
        reward = 0.0
        for id_, thing in was.items():
            if thing.name not in ACTORS:
                continue
            colour, shape = ACTORS[thing.name]
            if id_ not in now:
                events.append(EventFact("pick_up" if shape in COLLECTIBLES else "destroy", colour, shape))
                if shape in COLLECTIBLES:
                    reward += float(self.goal in ("", f"collect the {colour} {shape}"))
            elif shape == "box":
                moved = abs(now[id_].position_x - thing.position_x) + abs(
                    now[id_].position_y - thing.position_y
                )
                if moved > 0.5:
                    events.append(EventFact("push", colour, shape))
        self._events = tuple(events)
        return reward

    def facts(self) -> tuple[SceneFacts, ViewFacts, tuple[EventFact, ...]]:
        if self._scene is None:
            self._scene = SceneFacts(
                self.spec_world.name,
                "",
                len(self.layout.rooms),
                self.layout.common_walls(),
                self.layout.inventory(),
            )
        return self._scene, self._view_facts(), self._events

    def _view_facts(self) -> ViewFacts:
        x, y, _, yaw = self.pose()
        room, doors = self.layout.look(x, y, yaw, self.view.field_of_view, self._open)
        things = self._visible_things()
        if room is None:
            return ViewFacts(doors=doors, things=things)
        seen = self.layout.rooms[room]
        return ViewFacts(seen.wall, seen.floor, seen.ceiling, seen.light_name, doors, things)

    def _visible_things(self) -> tuple[Thing, ...]:
        state = self._state
        assert state is not None
        x, y, _, _ = self.pose()
        _, left, _, width = self.view.crop
        scale = self.view.screen[0] / 120
        found: dict[tuple[str, str], list[tuple[str, bool]]] = {}
        for label in state.labels:
            kind = ACTORS.get(label.object_name)
            if kind is None or label.width < 5 * scale or label.height < 5 * scale:
                continue
            middle = (label.x + label.width / 2 - left) / width
            if not 0 <= middle <= 1:
                continue
            place = "left" if middle < 1 / 3 else "right" if middle > 2 / 3 else "ahead"
            dx, dy = (
                label.object_position_x / UNITS_PER_METRE - x,
                label.object_position_y / UNITS_PER_METRE - y,
            )
            found.setdefault(kind, []).append((place, (dx * dx + dy * dy) ** 0.5 < NEAR))
        things = []
        for (colour, shape), seen in sorted(found.items()):
            places = Counter(place for place, _ in seen)
            place = next(iter(places)) if len(places) == 1 else ""
            things.append(Thing(shape, colour, len(seen), place, any(near for _, near in seen)))
        return tuple(things)

    def _kind_of(self, name: str) -> tuple[str, str] | None:
        if name in ACTORS:
            colour, shape = ACTORS[name]
            return shape, colour
        return None
