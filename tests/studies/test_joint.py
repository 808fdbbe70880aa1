"""One model of two worlds beside a model of each, at equal steps per world."""

import json
from dataclasses import replace

import pytest

from worldsim.cli.study import _show, joint_lines
from worldsim.studies.errors import EpisodeErrors
from worldsim.studies.joint import Compared, check, study
from worldsim.studies.runs import TRAINED


def test_each_world_has_equal_steps_in_both_and_its_own_held_out_episodes(tmp_path, config, material):
    worlds = ("DoomRooms", "DoomBasic")
    found = study(config, material, worlds, tmp_path, count=2)
    steps = {name: json.loads((tmp_path / name / TRAINED).read_text())["steps"] for name in ("joint", *worlds)}
    assert steps == {"joint": 6, "DoomRooms": 3, "DoomBasic": 3}
    for world in worlds:
        held = [episode.map_seed for episode in material.held_out if episode.world == world]
        assert [(p.joint.world, p.joint.map_seed) for p in found[world]] == [(world, seed) for seed in held]
        assert all(p.joint.copied == p.single.copied and p.joint.loss != p.single.loss for p in found[world])
    assert study(config, material, worlds, tmp_path, count=2) == found


def test_one_world_is_no_joint_model(tmp_path, config, material):
    with pytest.raises(ValueError, match="needs two worlds or more; given: DoomRooms"):
        study(config, material, ("DoomRooms", "worldsim/DoomRooms-v0"), tmp_path, count=2)


def test_options_are_checked_before_anything_is_trained(tmp_path, config, material):
    worlds = ("DoomRooms", "worldsim/DoomBasic-v0")
    assert check(config, (*worlds, "DoomBasic")) == ("DoomRooms", "DoomBasic")
    wrong = {
        "optim.minutes=2": replace(config, optim=replace(config.optim, minutes=2)),
        "clips.shares=.*equal shares": replace(config, clips=replace(config.clips, shares={"DoomBasic": 2.0})),
        "shorter than the 25 steps of a clip": replace(config, clips=replace(config.clips, length=26)),
    }
    for message, asked in wrong.items():
        with pytest.raises(ValueError, match=message):
            study(asked, material, worlds, tmp_path, count=2)
    with pytest.raises(ValueError, match="unknown world 'Quake'"):
        check(config, ("DoomRooms", "Quake"))
    assert not list(tmp_path.iterdir())


def test_the_table_divides_sums_and_marks_what_is_within_ten_percent():
    def pairs(joint):
        one = EpisodeErrors("Table", 0, (16, 16), 1.0, 0.25, 0.5)
        single = [one, replace(one, map_seed=1, loss=3.0)]
        return [Compared(replace(e, loss=e.loss * joint, next_mse=0.125), e) for e in single]

    lines = joint_lines({"Table": pairs(1.05), "Scene": pairs(1.2)})
    assert [line.ok for line in lines] == [True, None, False, None]
    assert lines[0].value == "2.1000 / 2.0000 = 1.050 [1.050, 1.050]"
    assert lines[1].value == "0.250 / 0.500"
    assert lines[2].target == "<= 1.1"


def test_a_verdict_is_of_the_end_of_an_interval(tmp_path):
    one = EpisodeErrors("Table", 0, (16, 16), 1.0, 0.25, 0.5)
    pairs = [
        Compared(replace(one, map_seed=i, loss=ratio), replace(one, map_seed=i)) for i, ratio in enumerate((0.9, 1.2))
    ]
    line = joint_lines({"Table": pairs})[0]
    assert line.value.endswith("1.050 [0.900, 1.200]") and line.ok is False
    alone = joint_lines({"Table": [Compared(one, one)]})[0]
    _show(tmp_path / "joint.json", [{"low": float("nan"), "errors": [1.0, float("inf")]}], [alone])
    assert json.loads((tmp_path / "joint.json").read_text())["rows"] == [{"low": None, "errors": [1.0, None]}]
