"""One model of two worlds beside a model of each, at equal steps per world."""

import json
from dataclasses import replace

import pytest

from worldsim.cli.study import joint_lines
from worldsim.studies.errors import EpisodeErrors
from worldsim.studies.joint import Compared, study
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
        study(config, material, ("DoomRooms", "DoomRooms"), tmp_path, count=2)


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
