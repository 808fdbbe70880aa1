"""The stock ViZDoom scenarios behind the same class: engine, map, monsters and rewards are the scenario's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import vizdoom as vzd

from worldsim.captions.facts import EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.worlds import WORLDS
from worldsim_envs.base import Start
from worldsim_envs.doom.game import DoomEngine, EngineConfig, Tic
from worldsim_envs.doom.world import DoomWorld


@dataclass(frozen=True)
class Scenario:
    """A stock scenario: its file name, and what it looks like."""

    name: str
    setting: str
    wall: Surface
    floor: Surface
    ceiling: Surface
    skill: int = 3
    weapon: bool = True
    settle: int = 1


class StockScenarioEnv(DoomWorld):
    """A scenario that ships with ViZDoom."""

    scenario: ClassVar[Scenario]

    def _engine_config(self) -> EngineConfig:
        folder = Path(vzd.__file__).parent / "scenarios"
        name = self.scenario.name
        return EngineConfig(
            wad=folder / f"{name}.wad", config=folder / f"{name}.cfg", skill=self.scenario.skill,
            weapon=self.scenario.weapon, flashes=self.can_kill, settle=self.scenario.settle,
            depth="depth" in self.truth_buffers,
        )  # fmt: skip

    def _new_episode(self, engine: DoomEngine, start: Start) -> Tic:
        self._events: tuple[EventFact, ...] = ()
        return engine.new_episode(start.map_seed)

    def _after_block(self, before: vzd.GameState, after: vzd.GameState, tics: Sequence[Tic]) -> float:
        return sum(tic.reward for tic in tics)

    def facts(self) -> tuple[SceneFacts, ViewFacts, tuple[EventFact, ...]]:
        s = self.scenario
        things: tuple[Thing, ...] = ()
        return (
            SceneFacts(self.spec_world.name, s.setting, 0, (s.wall,)),
            ViewFacts(s.wall, s.floor, s.ceiling, "", (), things),
            self._events,
        )

    def _kind_of(self, name: str) -> tuple[str, str] | None:
        return name, ""


class DoomTakeCoverEnv(StockScenarioEnv):
    spec_world = WORLDS["DoomTakeCover"]
    can_kill = True
    scenario = Scenario(
        "take_cover",
        "",
        Surface("brown", "brick"),
        Surface("grey", "plain"),
        Surface("grey", "plain"),
        skill=4,
    )


class DoomHealthGatheringEnv(StockScenarioEnv):
    spec_world = WORLDS["DoomHealthGathering"]
    can_kill = True
    scenario = Scenario(
        "health_gathering", "", Surface("brown", "brick"), Surface("green", "acid"), Surface("grey", "plain")
    )


class DoomMyWayHomeEnv(StockScenarioEnv):
    spec_world = WORLDS["DoomMyWayHome"]
    scenario = Scenario("my_way_home", "", Surface(), Surface(), Surface(), skill=5, settle=10)


class DoomBasicEnv(StockScenarioEnv):
    spec_world = WORLDS["DoomBasic"]
    scenario = Scenario(
        "basic",
        "",
        Surface("brown", "brick"),
        Surface("grey", "plain"),
        Surface("grey", "plain"),
        skill=5,
        settle=14,
    )
