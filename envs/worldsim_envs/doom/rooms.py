"""DoomRooms: seeded maps of rooms and corridors in which every wall, door and thing is known by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from vizdoom import GameVariable

from worldsim.captions.facts import EventFact, SceneFacts, ViewFacts
from worldsim.worlds import COLLECTIBLES, WORLDS
from worldsim_envs.base import Facts, Start
from worldsim_envs.doom.game import FREEDOOM, DoomEngine, EngineConfig, Tic
from worldsim_envs.doom.layout import light_name
from worldsim_envs.doom.maps import generate, to_wad
from worldsim_envs.doom.wad import ACTORS, asset_wad
from worldsim_envs.doom.world import DoomWorld, Snapshot

PUSHED = 0.5
"""Map units that a box must move within a block to count as pushed."""
DOOR_SEEN_OPEN = 16.0
"""Map units that a door must be raised to let sight through."""


@cache
def _assets() -> bytes:
    return asset_wad(FREEDOOM.read_bytes())


class DoomRoomsEnv(DoomWorld):
    """Rooms and corridors with coloured walls, doors, pillars, and things to pick up, push and shoot.

    ## Action space
    ``Discrete(32)`` (``actions="keyboard"``) or ``Discrete(13)`` (``"world"``): noop, forward, backward,
    strafe_left, strafe_right, turn_left, turn_right, use (opens doors), attack, forward+turn_left,
    forward+turn_right, turn_left_small, turn_right_small. Turns are 14 degrees a step, small ones 3.5.
    Other ids are noop.

    ## Observation space
    ``Box(0, 255, (H, W, 3), uint8)``: the last of the step's four frames (35 Hz), a centre crop of the
    screen.

    ## Rewards
    +1 for every ball or diamond picked up; with the goal "collect the <colour> <shape>" +1 for that kind
    only.

    ## Start
    A map drawn by ``map_seed``: 3 to 7 rooms, start in any room at any yaw. A goal that is given when the
    map is drawn makes sure that the map holds one such thing.

    ## End
    Nothing terminates. Truncated after ``time_limit`` steps, 525 (one minute) by default.

    ## Arguments
    ``split, frame_size, actions, hud, goal, time_limit, truth, render_mode``: see ``TrueWorld``. No health
    bar is drawn, because nothing here can kill.

    ## Version history
    v0: first version.
    """

    spec_world = WORLDS["DoomRooms"]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._door_sectors: dict[int, int] = {}
        self._scene = SceneFacts(self.spec_world.name)

    def _engine_config(self) -> EngineConfig:
        return EngineConfig(assets=_assets(), settle=14, depth="depth" in self.truth_buffers, sectors=True)

    def _start_episode(self, engine: DoomEngine, start: Start) -> None:
        self.layout = generate(start.map_seed, start.goal)
        file = to_wad(self.layout)
        self._door_sectors = file.doors
        self._scene = SceneFacts(
            self.spec_world.name,
            self.spec_world.prompt,
            len(self.layout.rooms),
            self.layout.common_walls(),
            self.layout.inventory(),
        )
        engine.new_episode(start.map_seed, file.wad)

    def _outcome(self, before: Snapshot, after: Snapshot, tics: Sequence[Tic]) -> tuple[float, list[EventFact]]:
        reward = 0.0
        events = [*self._door_events(before, after), *_shots(before, after)]
        for number, thing in before.objects.items():
            if thing.name not in ACTORS:
                continue
            colour, shape = ACTORS[thing.name]
            later = after.objects.get(number)
            if later is None:
                events.append(EventFact("destroy" if shape == "cone" else "pick_up", colour, shape))
                if shape in COLLECTIBLES and self.goal in ("", f"collect the {colour} {shape}"):
                    reward += 1.0
                    events += [EventFact("goal", colour, shape)] if self.goal else []
            elif shape == "box":
                moved = abs(later.position_x - thing.position_x) + abs(later.position_y - thing.position_y)
                if moved > PUSHED:
                    events.append(EventFact("push", colour, shape))
        return reward, events

    def _door_events(self, before: Snapshot, after: Snapshot) -> list[EventFact]:
        events = []
        for passage, sector in self._door_sectors.items():
            was, now = before.sectors[sector].ceiling_height, after.sectors[sector].ceiling_height
            colour = self.layout.passages[passage].colour
            if was <= 0 < now:
                events.append(EventFact("door_opens", colour, "door"))
            elif now <= 0 < was:
                events.append(EventFact("door_closes", colour, "door"))
        return events

    def open_doors(self) -> frozenset[int]:
        """Passages whose door is raised enough to be seen through."""
        sectors = self._state.sectors
        return frozenset(p for p, s in self._door_sectors.items() if sectors[s].ceiling_height > DOOR_SEEN_OPEN)

    def _describe(self) -> Facts:
        x, y, _, yaw = self.pose()
        space, doors = self.layout.look(x, y, yaw, self.view.field_of_view, self.open_doors())
        light = light_name(space.light)
        view = ViewFacts(space.wall, space.floor, space.ceiling, light, doors, self._things_seen())
        return self._scene, view, self._events

    def _kind_of(self, name: str) -> tuple[str, str] | None:
        if name not in ACTORS:
            return None
        colour, shape = ACTORS[name]
        return shape, colour


def _shots(before: Snapshot, after: Snapshot) -> list[EventFact]:
    """``shoot`` where ammunition went down, ``hit`` where the player's shots hit something alive."""
    ammo, hits = GameVariable.SELECTED_WEAPON_AMMO, GameVariable.HITCOUNT
    events = []
    if after.variables[ammo] < before.variables[ammo]:
        events.append(EventFact("shoot"))
    if after.variables[hits] > before.variables[hits]:
        events.append(EventFact("hit"))
    return events
