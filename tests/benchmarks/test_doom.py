"""The measures on true Doom frames: yaw, co-visibility, colours, walks, and broken worlds below the truth."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("vizdoom")

from worldsim_benchmarks import selfcheck
from worldsim_benchmarks.colours import ColourDetector
from worldsim_benchmarks.motion import chained, yaw_between
from worldsim_benchmarks.mutants import Amnesic
from worldsim_benchmarks.presets import Preset
from worldsim_benchmarks.records import plain
from worldsim_benchmarks.scripts import LOOK_AROUND
from worldsim_benchmarks.suites import events, free, prompts
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.truth import Reference

import worldsim  # noqa: F401  (registers the worlds)

ROOMS = "worldsim/DoomRooms-v0"
SMALL = Preset(
    seeds=4,
    horizon=4,
    samples=1,
    others=3,
    one_step=1,
    hold=2,
    episodes=6,
    negatives=2,
    prompts=2,
    minutes=2,
    true_minutes=2,
)

pytestmark = pytest.mark.slow


def test_yaw_is_read_off_true_frames() -> None:
    reference = Reference(ROOMS)
    gaps = []
    for seed in (2_000_000, 2_000_001, 2_000_002):
        rollout = reference.play(LOOK_AROUND, seed)
        video = rollout.video(0, len(LOOK_AROUND))
        for t in range(1, len(LOOK_AROUND)):
            found = chained(yaw_between, video[4 * t - 1 : 4 * t + 4], rollout.views[0].K, bottom=3)
            gaps.append(found - (rollout.yaw[t + 1] - rollout.yaw[t] + 180) % 360 + 180)
    assert np.isfinite(gaps).mean() > 0.9
    assert abs(np.nanmean(gaps)) < 0.5
    assert np.nanmedian(np.abs(gaps)) < 0.8


def test_what_was_seen_is_co_visible_on_return_and_not_behind_the_back() -> None:
    rollout = Reference(ROOMS).play(("turn_left",) * 13 + ("turn_right",) * 13, 2_000_001, prefix=0)
    masks = rollout.masks(bottom=3)
    assert masks[-1].mean() > 0.9  # back where the episode began
    assert masks[12].mean() < 0.02  # 182 degrees away


def test_truth_ranks_above_mutants_and_floors(tmp_path: Path) -> None:
    run = selfcheck.session_for(ROOMS, SMALL, tmp_path)
    gaps = selfcheck.below_truth(plain(free.run(run)[0]))
    assert all(gap.low > 0 for gap in gaps.values()), {k: str(v) for k, v in gaps.items()}


def test_the_colour_detector_knows_the_walls_of_new_maps(tmp_path: Path) -> None:
    session = Session(ROOMS, {"model": CandidateSpec("true")}, SMALL, tmp_path)
    detector = ColourDetector.fit(*prompts.true_frames(session, range(1_000_000, 1_000_200)))
    hits, total = detector.accuracy(*prompts.true_frames(session, range(2_001_000, 2_001_040)))
    assert hits / total > 0.7


def test_walks_to_collectibles_pay_for_the_goal_only(tmp_path: Path) -> None:
    session = Session(ROOMS, {"model": CandidateSpec("true")}, SMALL, tmp_path)
    walks = events.episodes(session, ROOMS)
    paid = [w for w in walks if w.reward.sum() > 0]
    picked = [w for w in walks if any(e["kind"] == "pick_up" for step in w.events for e in step)]
    assert len(paid) >= 2
    assert len(picked) > len(paid)
    for walk in paid:
        found = [e for step in walk.events for e in step if e["kind"] == "pick_up"]
        assert any(walk.goal == f"collect the {e['colour']} {e['shape']}" for e in found)


def test_an_amnesic_world_begins_where_the_other_map_has_a_wall() -> None:
    options = {"map_seed": 2_012_400, "pose": (16.75, 1.8125, 90.0)}
    env = gym.make(ROOMS)
    with pytest.raises(ValueError, match="not free floor"):
        env.reset(options={**options, "map_seed": options["map_seed"] + Amnesic.other_map})
    forgetful = Amnesic(env)
    assert (forgetful.reset(options=options)[0] == env.reset(options=options)[0]).all()
    forgetful.close()
