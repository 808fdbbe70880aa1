"""The table: laws of its physics against formulas, lasting marks, goals, and what is hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pymunk")

from true_episodes import assert_equal, play
from worldsim_envs.table import TableEnv
from worldsim_envs.table.bodies import GROWN, SPROUTS
from worldsim_envs.table.layout import DEPTH, RIM, Item, Pane, TableLayout, generate
from worldsim_envs.table.physics import FPS, SHATTER_SPEED, Control, TablePhysics

from worldsim.actions import ACTION_ID
from worldsim.captions.facts import EventFact, Surface
from worldsim.worlds import WORLDS

EMPTY = TableLayout(
    1.0, Surface("grey", "plain"), Surface("brown", "plain"), 0.0, 0.0, 1.0, "red", hand=(0.1, 0.9), facing=0.0
)
REST = Control()
STRIKE, USE, PLACE, TOOL = (np.int64(ACTION_ID[name]) for name in ("attack", "use", "place", "next_item"))


def table(**changes) -> TablePhysics:
    return TablePhysics(replace(EMPTY, **changes), 0, 0)


def env_on(layout: TableLayout, goal: str = "", **kwargs) -> TableEnv:
    """An environment whose running episode lies on ``layout``."""
    env = TableEnv(goal=goal, **kwargs)
    env.reset(seed=0)
    env.layout = layout
    env.table = TablePhysics(layout, 0, 0)
    env._picture = type(env._picture)(env.frame_size, layout, 0)
    env._painted, env._strokes_seen = np.zeros_like(env._painted), 0
    return env


def momentum(running: TablePhysics) -> np.ndarray:
    return sum((t.mass * np.array(t.body.velocity) for t in running.things), np.zeros(2))


def energy(running: TablePhysics) -> float:
    return sum(0.5 * t.mass * t.body.velocity.length**2 for t in running.things)


def test_an_elastic_collision_keeps_momentum_and_energy():
    running = table(items=(Item("disc", "red", 0.3, 0.5, 0.06), Item("disc", "blue", 0.7, 0.51, 0.05, heavy=True)))
    running.things[0].body.velocity = (0.8, 0.0)
    before, started = momentum(running), energy(running)
    for _ in range(9):
        running.frame(REST)
    assert running.things[1].body.velocity.x > 0.1  # they met
    np.testing.assert_allclose(momentum(running), before, atol=1e-6)
    spun = sum(0.5 * t.body.moment * t.body.angular_velocity**2 for t in running.things)
    assert abs(energy(running) + spun - started) < 0.03 * started


@pytest.mark.parametrize("restitution", [0.2, 0.5, 0.9])
def test_a_bounce_keeps_the_restitutions_share_of_closing_speed(restitution):
    things = (Item("disc", "red", 0.3, 0.5, 0.05), Item("disc", "blue", 0.6, 0.5, 0.05))
    running = table(items=things, restitution=restitution**0.5)  # the engine multiplies the two things' elasticities
    running.things[0].body.velocity = (1.0, 0.0)
    for _ in range(10):
        running.frame(REST)
    first, second = (thing.body.velocity.x for thing in running.things)
    assert abs((second - first) - restitution) < 0.03


def test_a_fall_is_half_g_t_squared_and_friction_is_a_constant_deceleration():
    falling = table(items=(Item("disc", "red", 0.5, 0.85, 0.05),), gravity=1.2)
    for _ in range(10):
        falling.frame(REST)
    fallen = 0.85 - falling.things[0].body.position.y
    assert abs(fallen - 0.5 * 1.2 * (10 / FPS) ** 2) < 0.01
    sliding = table(items=(Item("disc", "red", 0.2, 0.5, 0.05),), friction=0.5)
    sliding.things[0].body.velocity = (0.7, 0.0)
    for _ in range(FPS):
        sliding.frame(REST)
    assert abs(sliding.things[0].body.velocity.x - 0.2) < 1e-6
    for _ in range(FPS):
        sliding.frame(REST)
    assert sliding.things[0].body.velocity.x == 0.0


@pytest.mark.parametrize("speed", [0.9 * SHATTER_SPEED, 1.1 * SHATTER_SPEED])
def test_glass_breaks_above_the_threshold_only_into_pieces_of_its_mass(speed):
    running = table(items=(Item("disc", "red", 0.25, 0.5, 0.05),), panes=(Pane("blue", 0.5, 0.5, np.pi / 2),))
    pane = running.things[1]
    running.things[0].body.velocity = (speed, 0.0)
    for _ in range(12):
        running.frame(REST)
    shards = [thing for thing in running.things if thing.shape == "shard"]
    if speed < SHATTER_SPEED:
        assert not shards and pane in running.things and not running.events
        return
    assert pane not in running.things and 5 <= len(shards) <= 7
    assert abs(sum(shard.mass for shard in shards) - pane.mass) < 1e-9
    assert running.events == [EventFact("shatter", "blue", "pane")]
    for _ in range(60):
        running.frame(REST)
    assert not any(thing.shape == "pane" for thing in running.things)


def test_a_strike_breaks_glass_and_a_push_does_not():
    layout = replace(EMPTY, panes=(Pane("red", 0.5, 0.5, np.pi / 2),), hand=(0.35, 0.5), friction=0.6)
    pushed = env_on(layout)
    for _ in range(6):
        *_, info = pushed.step(np.int64(ACTION_ID["strafe_right"]))
    assert [o["class"] for o in info["truth"]["objects"]] == ["pane"]
    struck = env_on(layout)
    events = [e for _ in range(2) for e in struck.step(STRIKE)[-1]["events"]]
    assert {"kind": "shatter", "colour": "red", "shape": "pane"} in events


def test_every_bite_leaves_less_until_the_apple_is_eaten():
    env = env_on(replace(EMPTY, items=(Item("apple", "green", 0.5, 0.5, 0.09),), hand=(0.35, 0.5), friction=1.0))
    left, masses, rewards, kinds = [], [], [], []
    for _ in range(20):
        _, reward, *_, info = env.step(USE)
        rewards.append(reward)
        kinds += [event["kind"] for event in info["events"]]
        if not info["truth"]["objects"]:
            break
        left.append(info["truth"]["objects"][0]["left"])
        masses.append(info["truth"]["objects"][0]["mass"])
    assert kinds.count("eat") == 1 and kinds[-1] == "eat" and 3 <= len(left) <= 12
    assert np.all(np.diff(left) < 0)
    np.testing.assert_allclose(np.array(masses) / masses[0], np.array(left) / left[0])
    assert rewards == [1.0] * (len(left) + 1)


def test_out_of_reach_nothing_is_bitten():
    env = env_on(replace(EMPTY, items=(Item("apple", "green", 0.5, 0.5, 0.09),)))
    *_, info = env.step(USE)
    assert info["events"] == [] and info["truth"]["objects"][0]["left"] == 1.0


def test_a_stroke_stays_where_the_brush_was_and_nothing_else_changes():
    env = env_on(replace(EMPTY, hand=(0.3, 0.5)))
    before = env.step(np.int64(0))[0]
    env.step(TOOL)
    for name in ("strafe_right", "strafe_right", "strafe_right", "forward", "forward"):
        *_, info = env.step(np.int64(ACTION_ID[name]))
    assert {"kind": "paint", "colour": "red", "shape": "stroke"} in info["events"]
    env.step(TOOL)
    for name in ("forward", "strafe_left", "strafe_left", "strafe_left", "strafe_left"):
        obs, *_, info = env.step(np.int64(ACTION_ID[name]))
        assert not info["events"]
    row, column = 32, round(64 * 0.45)
    assert obs[row, column, 0] > 180 and obs[row, column, 1] < 80  # red, over the grey top
    changed = np.abs(obs.astype(int) - before).max(-1) > 8
    assert not changed[45:, :].any() and changed[31:34, 22:36].any()


def test_a_brush_passes_over_things_and_a_hand_pushes_them():
    layout = replace(EMPTY, items=(Item("box", "red", 0.5, 0.5, 0.05),), hand=(0.35, 0.5), friction=0.6)
    for brush in (False, True):
        env = env_on(layout)
        if brush:
            env.step(TOOL)
        kinds = []
        for _ in range(4):
            *_, info = env.step(np.int64(ACTION_ID["strafe_right"]))
            kinds += [event["kind"] for event in info["events"]]
        moved = info["truth"]["objects"][0]["position"][0] - 0.5
        assert moved == 0 if brush else moved > 0.1
        assert ("push" in kinds) is not brush


def test_the_switch_turns_the_light_off_and_on_again_and_two_toggles_change_nothing():
    env = env_on(replace(EMPTY, switch=(0.5, 0.5), hand=(0.4, 0.5)))
    bright = env.step(np.int64(0))[0]
    dark, *_, info = env.step(USE)
    assert info["events"] == [{"kind": "switch_off", "colour": "", "shape": "lamp"}]
    assert not info["truth"]["light"] and env.facts()[1].light == "dark" and dark.mean() < 0.5 * bright.mean()
    again, *_, info = env.step(USE)
    assert info["events"] == [{"kind": "switch_on", "colour": "", "shape": "lamp"}]
    np.testing.assert_array_equal(again, bright)


def test_a_seed_grows_under_the_panel_as_it_does_in_sight():
    heights = []
    for panel in (None, 0.5):
        env = env_on(replace(EMPTY, seeds=((0.5, 0.35),), panel=panel))
        for _ in range(GROWN // 4 + 2):
            *_, info = env.step(np.int64(0))
        plant = next(o for o in info["truth"]["objects"] if o["class"] == "plant")
        heights.append(plant["state"])
        assert plant["visible"] is (panel is None)
        assert ("plant" in {thing.shape for thing in env.facts()[1].things}) is (panel is None)
    assert heights == [1.0, 1.0]


def test_a_seed_is_called_a_plant_from_the_step_on_in_which_it_sprouts():
    env = env_on(replace(EMPTY, seeds=((0.5, 0.5),)))
    for number in range(1, SPROUTS // 4 + 2):
        *_, info = env.step(np.int64(0))
        sprouts = {"kind": "sprout", "colour": "", "shape": "plant"} in info["events"]
        assert sprouts is (number == SPROUTS // 4)
        assert info["truth"]["objects"][0]["class"] == ("plant" if number >= SPROUTS // 4 else "seed")


def test_visible_is_what_the_picture_shows_of_everything():
    """Under a panel that goes to and fro, ids that cover pixels are visible, and hidden things cover none."""
    env, hidden = TableEnv(truth=("labels",)), 0
    for seed in range(60):
        if generate(seed).panel is None:
            continue
        _, info = env.reset(seed=0, options={"map_seed": seed})
        for _ in range(3):
            *_, info = env.step(np.int64(0))
        ids = set(np.unique(info["truth"]["labels"]).tolist())
        for thing in info["truth"]["objects"]:
            assert thing["visible"] or thing["id"] not in ids
            hidden += not thing["visible"]
        assert ids - {-1, 0} <= {t["id"] for t in info["truth"]["objects"]} | {info["truth"]["hand"]["id"]}
    assert hidden > 3


def test_the_panel_slides_and_shows_what_it_hid():
    layout = replace(EMPTY, items=(Item("disc", "red", 0.3, 0.35, 0.06),), panel=0.3, hand=(0.15, 0.085), friction=0.4)
    env = env_on(layout, truth=("labels",))
    *_, info = env.step(np.int64(0))
    disc = info["truth"]["objects"][0]
    assert not disc["visible"] and disc["id"] not in info["truth"]["labels"]
    kinds = set()
    for _ in range(8):
        *_, info = env.step(np.int64(ACTION_ID["strafe_right"]))
        kinds |= {event["kind"] for event in info["events"]}
    assert "slide" in kinds and info["truth"]["objects"][0]["visible"]
    assert (info["truth"]["labels"] == disc["id"]).sum() > 20


def test_labels_lie_where_the_camera_puts_the_objects():
    env, checked = TableEnv(truth=("labels", "depth"), frame_size=(64, 96)), 0
    for seed in range(4):
        _, info = env.reset(seed=seed)
        truth = info["truth"]
        assert (truth["depth"] == 1.0).all() and truth["labels"].shape == (64, 96)
        seen = 0
        for thing in truth["objects"]:
            if thing["class"] not in ("disc", "box", "ball") or not thing["visible"]:
                continue
            point = np.linalg.inv(truth["camera"]["c2w"]) @ np.append(thing["position"], 1)
            column, row, depth = truth["camera"]["K"] @ point[:3]
            assert depth == pytest.approx(1.0)
            rows, columns = np.nonzero(truth["labels"] == thing["id"])
            if len(rows) > 0.6 * np.pi * (0.05 * 64) ** 2:  # not partly covered
                assert abs(rows.mean() + 0.5 - row) < 1.5 and abs(columns.mean() + 0.5 - column) < 1.5
                seen += 1
        checked += seen
    assert checked > 4


def test_only_balls_move_by_themselves_and_the_dynamics_seed_is_theirs():
    env = TableEnv()
    with_ball = next(s for s in range(50) if any(i.shape == "ball" for i in generate(s).items))
    options = {"map_seed": with_ball}
    plain = play(env, 0, options, steps=20)
    assert_equal(plain, play(env, 0, options, steps=20))
    later = play(env, 0, options | {"dynamics_seed": (5, 8)}, steps=20)
    assert_equal(plain[:9], later[:9])
    assert any((a[0] != b[0]).any() for a, b in zip(plain[9:], later[9:]))
    without = next(s for s in range(50) if not any(i.shape == "ball" for i in generate(s).items))
    options = {"map_seed": without}
    assert_equal(play(env, 0, options), play(env, 0, options | {"dynamics_seed": 9}))


@pytest.mark.parametrize("goal", WORLDS["Table"].goals[1:])
def test_what_a_goal_needs_lies_on_the_table(goal):
    words = goal.split()
    for seed in range(8):
        layout = generate(seed, goal)
        kinds = {(item.shape, item.colour) for item in layout.items} | {("pane", p.colour) for p in layout.panes}
        assert ("target" not in goal) or layout.target is not None
        assert layout.top.colour not in {colour for _, colour in kinds}
        if words[0] in ("push", "break"):
            assert (words[3], words[2]) in kinds
        if words[0] == "eat":
            assert any(shape == "apple" for shape, _ in kinds)


def test_goals_pay_once_and_end_the_episode():
    target = replace(EMPTY, target=(0.6, 0.5), items=(Item("disc", "red", 0.4, 0.5, 0.05),), hand=(0.25, 0.5))
    pushing = env_on(replace(target, friction=0.6), goal="push the red disc to the target")
    outcomes = []
    while not (outcomes and outcomes[-1][1]):
        _, reward, terminated, *_ = pushing.step(np.int64(ACTION_ID["strafe_right"]))
        outcomes.append((reward, terminated))
    assert outcomes[:-1] == [(0.0, False)] * (len(outcomes) - 1) and outcomes[-1] == (1.0, True)

    painting = env_on(replace(target, hand=(0.5, 0.58)), goal="paint the target")
    painting.step(TOOL)
    covered = [0.0]
    for name in ("strafe_right", "strafe_right", "backward", "strafe_left", "strafe_left") * 3:
        _, reward, ended, *_ = painting.step(np.int64(ACTION_ID[name]))
        covered.append(painting.painted)
        if ended:
            break
    assert ended and reward == 1.0 and covered[-1] >= 0.4 > covered[-2]

    panes = (Pane("red", 0.5, 0.7, np.pi / 2), Pane("blue", 0.5, 0.3, np.pi / 2))
    for y, paid in ((0.7, 1.0), (0.3, -1.0)):
        env = env_on(replace(EMPTY, panes=panes, hand=(0.35, y)), goal="break the red pane")
        _, reward, terminated, _, info = env.step(STRIKE)
        assert (reward, terminated) == (paid, True)
        assert ("goal" in {event["kind"] for event in info["events"]}) is (paid > 0)


def test_a_wider_frame_shows_a_wider_table():
    env = TableEnv(frame_size=(64, 128))
    obs, info = env.reset(seed=3)
    assert obs.shape == (64, 128, 3) and env.layout.width == 2 * DEPTH
    assert any(thing["position"][0] > 1.0 for thing in info["truth"]["objects"])


def test_pose_is_the_hands_place_and_must_be_free():
    env = TableEnv()
    env.reset(seed=4)
    item = env.layout.items[0]
    with pytest.raises(ValueError, match="free place of map seed"):
        env.reset(seed=4, options={"pose": (item.x, item.y, 0.0)})
    with pytest.raises(ValueError, match="free place"):
        env.reset(seed=4, options={"pose": (RIM, 0.5, 0.0)})
    hand = env.layout.hand
    env.reset(seed=4, options={"pose": (*hand, 90.0)})
    assert env.pose() == (*hand, 0.0, 90.0)


@pytest.mark.parametrize("kwargs", [{"gravity": -1}, {"friction": 11}, {"restitution": 1.2}])
def test_impossible_physics_are_refused_by_name(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        TableEnv(**kwargs)


def test_given_physics_replace_the_tables_own():
    env = TableEnv(gravity=2.0, friction=0.0, restitution=0.5)
    env.reset(seed=1)
    assert (env.layout.gravity, env.layout.friction, env.layout.restitution) == (2.0, 0.0, 0.5)
    assert env.facts()[0].setting == "coloured things on a tilted table"


def test_things_tell_where_they_were_after_each_frame() -> None:
    env = TableEnv()
    try:
        _, info = env.reset(seed=3, options={"map_seed": 3})
        assert all(o["path"].shape == (0, 2) for o in info["truth"]["objects"] if "path" in o)
        for action in ("forward", "attack", "noop"):
            _, _, _, _, info = env.step(ACTION_ID[action])
            moving = [o for o in info["truth"]["objects"] if "path" in o]
            assert moving and all("mass" in o for o in moving)
            for thing in moving:
                assert 1 <= len(thing["path"]) <= 4
                assert np.allclose(thing["path"][-1], thing["position"][:2])
    finally:
        env.close()
