"""The stock ViZDoom scenarios behind one class: engine, map, monsters and rewards are the scenario's own.

Their map is fixed, so ``map_seed`` seeds the engine: where things appear and what monsters do. Rewards are
those of the scenario, summed over the four tics of a step. The engine's own timeouts are off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from vizdoom import GameVariable

from worldsim.captions.facts import EventFact, SceneFacts, Thing, ViewFacts
from worldsim.worlds import WORLDS
from worldsim_envs.base import Facts, Start
from worldsim_envs.doom import stock
from worldsim_envs.doom.game import DoomEngine, EngineConfig, Tic
from worldsim_envs.doom.world import DoomWorld, Snapshot


class StockScenarioEnv(DoomWorld):
    """A scenario that ships with ViZDoom; subclasses are data."""

    scenario: ClassVar[stock.Scenario]
    pick_ups: ClassVar[tuple[str, ...]] = ()
    """Engine classes whose disappearance is a pick-up."""
    success: ClassVar[EventFact | None] = None
    """Event of the task's own end, in worlds that have one: a tic that pays at least ``success_reward``."""
    success_reward: ClassVar[float] = float("inf")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        layout = self.layout = self.scenario.layout
        self._scene = SceneFacts(
            self.spec_world.name,
            self.spec_world.prompt,
            len(layout.rooms),
            layout.common_walls(3),
            self._scene_things(),
        )

    def _engine_config(self) -> EngineConfig:
        return EngineConfig(
            scenario=self.scenario.name,
            skill=self.scenario.skill,
            weapon=True,
            flashes=self.can_kill,
            settle=self.scenario.settle,
            depth="depth" in self.truth_buffers,
        )

    def _start_episode(self, engine: DoomEngine, start: Start) -> None:
        engine.new_episode(start.map_seed)

    def _outcome(self, before: Snapshot, after: Snapshot, tics: Sequence[Tic]) -> tuple[float, list[EventFact]]:
        events = []
        was, now = before.variables, after.variables
        if now[GameVariable.SELECTED_WEAPON_AMMO] < was[GameVariable.SELECTED_WEAPON_AMMO]:
            events.append(EventFact("shoot"))
        if now[GameVariable.HEALTH] < was[GameVariable.HEALTH]:
            events.append(EventFact("damage"))
        if now[GameVariable.HEALTH] > was[GameVariable.HEALTH]:
            events.append(EventFact("heal"))
        for number, thing in before.objects.items():
            if thing.name in self.pick_ups and number not in after.objects:
                shape, colour = self.scenario.kinds[thing.name]
                events.append(EventFact("pick_up", colour, shape))
        if tics[-1].dead:
            events.append(EventFact("death"))
        if self.success is not None and any(tic.reward >= self.success_reward for tic in tics):
            events.append(self.success)
        return sum(tic.reward for tic in tics), events

    def _describe(self) -> Facts:
        x, y, _, yaw = self.pose()
        space, _ = self.layout.look(x, y, yaw, self.view.field_of_view, frozenset())
        view = ViewFacts(space.wall, space.floor, space.ceiling, things=self._things_seen())
        return self._scene, view, self._events

    def _scene_things(self) -> tuple[Thing, ...]:
        return ()

    def _kind_of(self, name: str) -> tuple[str, str] | None:
        return self.scenario.kinds.get(name)


class DoomTakeCoverEnv(StockScenarioEnv):
    """Dodge the fireballs of monsters at the far wall (the dream task of Ha and Schmidhuber, 2018).

    ## Action space
    ``Discrete(32)`` (``actions="keyboard"``) or ``Discrete(3)`` (``"world"``): noop, strafe_left,
    strafe_right.

    ## Observation space
    ``Box(0, 255, (H, W, 3), uint8)``; a health bar along the bottom (``hud="bar"``), red flashes when hit.

    ## Rewards
    +1 for every tic survived, so 4 a step.

    ## Start
    In the middle of the near wall, full health, three monsters. ``map_seed`` seeds where further ones appear.

    ## End
    Terminated when dead. Truncated after 525 steps (one minute).

    ## Arguments
    See ``TrueWorld``.

    ## Version history
    v0: first version.
    """

    spec_world = WORLDS["DoomTakeCover"]
    scenario = stock.TAKE_COVER
    can_kill = True


class DoomHealthGatheringEnv(StockScenarioEnv):
    """Stay alive on an acid floor by walking over medkits.

    ## Action space
    ``Discrete(32)`` (``actions="keyboard"``) or ``Discrete(6)`` (``"world"``): noop, forward, turn_left,
    turn_right, forward+turn_left, forward+turn_right. Turns are 14 degrees a step.

    ## Observation space
    ``Box(0, 255, (H, W, 3), uint8)``; a health bar along the bottom (``hud="bar"``), flashes when hurt or
    healed.

    ## Rewards
    +1 for every tic alive, so 4 a step; -100 for death.

    ## Start
    In the middle of the hall. ``map_seed`` seeds where medkits appear.

    ## End
    Terminated when dead. Truncated after 525 steps (one minute).

    ## Arguments
    See ``TrueWorld``.

    ## Version history
    v0: first version.
    """

    spec_world = WORLDS["DoomHealthGathering"]
    scenario = stock.HEALTH_GATHERING
    can_kill = True
    pick_ups = ("Medikit",)


class DoomMyWayHomeEnv(StockScenarioEnv):
    """Find the green armour vest in a maze of rooms.

    ## Action space
    ``Discrete(32)`` (``actions="keyboard"``) or ``Discrete(6)`` (``"world"``): noop, forward, turn_left,
    turn_right, forward+turn_left, forward+turn_right. Turns are 14 degrees a step.

    ## Observation space
    ``Box(0, 255, (H, W, 3), uint8)``.

    ## Rewards
    +1 for the vest, -0.0001 for every tic.

    ## Start
    In any of 17 rooms and corridors at any yaw, drawn by ``map_seed``.

    ## End
    Terminated at the vest. Truncated after 525 steps (one minute).

    ## Arguments
    See ``TrueWorld``.

    ## Version history
    v0: first version.
    """

    spec_world = WORLDS["DoomMyWayHome"]
    scenario = stock.MY_WAY_HOME
    success_reward = 0.5
    success = EventFact("pick_up", "green", "armour vest")

    def _scene_things(self) -> tuple[Thing, ...]:
        return (Thing("armour vest", "green"),)


class DoomBasicEnv(StockScenarioEnv):
    """Shoot the monster at the far wall.

    ## Action space
    ``Discrete(32)`` (``actions="keyboard"``) or ``Discrete(4)`` (``"world"``): noop, strafe_left,
    strafe_right, attack.

    ## Observation space
    ``Box(0, 255, (H, W, 3), uint8)``.

    ## Rewards
    -1 for every tic, -5 for every shot, +106 for the hit (so 101 for a hit with the first shot, less the
    tics).

    ## Start
    In the middle of the near wall. ``map_seed`` seeds where the monster stands.

    ## End
    Terminated when the monster is hit. Truncated after 75 steps.

    ## Arguments
    See ``TrueWorld``.

    ## Version history
    v0: first version.
    """

    spec_world = WORLDS["DoomBasic"]
    scenario = stock.BASIC
    success_reward = 50.0
    success = EventFact("destroy", "", "monster")
