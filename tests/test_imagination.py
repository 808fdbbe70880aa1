"""Imagination: what nobody has seen is completed once, where that is learned and nowhere else, and stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from worldsim.actions import ACTION_ID, multi_hot
from worldsim.engine import RolloutEngine
from worldsim.imagination import AHEAD, COLOURED, PLAIN, WORN, Drawing, Imagination, in_colours_of
from worldsim.model.codec import to_pixels
from worldsim.model.debug import debug_simulator
from worldsim.model.detail import EXPECTED
from worldsim.model.memory import smaller
from worldsim.model.panorama import Panorama
from worldsim.model.starter import Starter, known, seen_of
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import Block, LaneStart, LaneText
from worldsim.screen import HOLD
from worldsim.worlds import WORLDS, WorldSpec

ROOMS, MAZE = WORLDS["DoomRooms"], WORLDS["DoomMyWayHome"]
REACH = ROOMS.lens.reach(64, 64)  # type: ignore[union-attr]
LEFT, RIGHT, FORWARD = ACTION_ID["turn_left"], ACTION_ID["turn_right"], ACTION_ID["forward"]


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return debug_simulator(memory=True, starter=True)


def engine(simulator: WorldSimulator, lanes: int = 1, **kwargs: Any) -> RolloutEngine:
    return RolloutEngine(simulator, lanes, device="cpu", dtype=torch.float32, denoising_steps=1, **kwargs)


def start(seed: int, world: WorldSpec = ROOMS, scene: str = "doom rooms: red walls") -> LaneStart:
    frames = np.random.default_rng(seed).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    return LaneStart(world, seed, LaneText(scene, "", ""), frames)


def steps(engine: RolloutEngine, actions: Sequence[int], world: WorldSpec = ROOMS) -> list[Block]:
    ids = [[action] * engine.lanes for action in actions]
    keys, camera = world.table.keys, world.table.camera
    return [engine.step(torch.from_numpy(multi_hot(keys[row])), torch.from_numpy(camera[row])) for row in ids]


class Counted:
    """How many lanes a starter has completed at each call."""

    def __init__(self, starter: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[int] = []
        complete = starter.complete

        def counted(seen: torch.Tensor, *told: Any) -> torch.Tensor:
            self.calls.append(len(seen))
            return complete(seen, *told)

        monkeypatch.setattr(starter, "complete", counted)


def turned(lanes: int, degrees: Sequence[float]) -> Panorama:
    """A panorama of lanes that have seen one picture and turned since."""
    panorama = Panorama(torch.full((lanes,), REACH), 64, 64)
    pictures = torch.stack([torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(lanes)])
    panorama.show(2 * pictures - 1)
    panorama.turn(torch.tensor([[yaw, 0.0] for yaw in degrees]))
    return panorama


def completed(simulator: WorldSimulator, panorama: Panorama, rows: Sequence[int], **other: Any) -> torch.Tensor:
    """The views of ``panorama``, whose lanes are of the seeds ``rows``, after it was completed."""
    assert simulator.starter is not None
    n, seeds = len(rows), torch.tensor(list(rows))
    told: dict[str, Any] = {
        "may": torch.ones(n, dtype=torch.bool),
        "scene": lambda lane: "doom rooms: red walls",
        "worlds": torch.zeros(n, dtype=torch.int64),
        "seeds": seeds,
        "steps": torch.ones(n, dtype=torch.int64),
    } | other
    imagination = Imagination(
        simulator.starter, simulator.codec, torch.float32, lambda z: (z.nan_to_num(), z.isfinite().flatten(1).all(1))
    )
    return imagination.complete(panorama, panorama.view(), torch.full((n,), 14.0), Drawing(**told))


def test_a_view_is_whole_after_it_was_completed_and_what_was_seen_stays(simulator) -> None:
    panorama = turned(1, [14.0])
    before, seen = panorama.texture.clone(), panorama.view()
    after = completed(simulator, panorama, [0])
    held = before[..., 5, :].isfinite() & before[..., 3:5, :].isfinite().all(-2)
    assert torch.equal(panorama.texture.transpose(-1, -2)[held], before.transpose(-1, -2)[held])
    assert 0.7 < known(seen).mean() < 0.85 and known(after).mean() > 0.97
    where = known(seen).bool().expand(-1, 3, -1, -1)
    assert (after[:, :3][where] - seen[:, :3][where]).abs().mean() < 0.05  # at the rim it is interpolated
    assert panorama.heading.item() == 14.0


def test_what_is_ahead_in_the_turn_is_completed_with_it(simulator) -> None:
    panorama = turned(1, [14.0])
    completed(simulator, panorama, [0])
    panorama.turn(torch.tensor([[AHEAD, 0.0]]))
    assert known(panorama.view()).mean() > 0.99
    panorama.turn(torch.tensor([[AHEAD, 0.0]]))
    assert known(panorama.view()).mean() < 0.7


def test_what_is_drawn_depends_on_its_own_lane_alone(simulator) -> None:
    degrees = [14.0, 28.0, -14.0]
    together = completed(simulator, turned(3, degrees), range(3))
    for i in range(3):
        panorama = turned(3, degrees)
        alone = panorama.some(torch.tensor([i]))
        assert torch.allclose(completed(simulator, alone, [i])[0], together[i], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [("scene", lambda lane: "doom rooms: blue walls"), ("seeds", torch.tensor([9])), ("steps", torch.tensor([5]))],
)
def test_scene_seed_and_step_count(simulator, name, value) -> None:
    found = [completed(simulator, turned(1, [28.0]), [0], **other) for other in ({}, {name: value})]
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_lanes_that_may_not_be_and_views_that_are_known_are_left_alone(simulator, monkeypatch) -> None:
    counted = Counted(simulator.starter, monkeypatch)
    panorama = turned(2, [14.0, 0.0])
    before = panorama.texture.clone()
    completed(simulator, panorama, [0, 1], may=torch.tensor([False, True]))
    assert counted.calls == [] and torch.equal(panorama.texture, before)
    completed(simulator, panorama, [0, 1])
    assert counted.calls == [1]
    assert torch.equal(panorama.texture[1], before[1])


def test_what_a_network_is_shown_is_what_is_known(simulator) -> None:
    view = turned(1, [14.0]).view()
    seen = seen_of(view, simulator.codec)
    share = seen[0, 4]
    assert seen.shape == (1, 5, 16, 16) and share.min() == 0 and share.max() == 1
    assert (seen[0, :4, share == 0] == 0).all()
    other = torch.where(known(view) > 0, view, 7.0)
    other[:, 3] = view[:, 3]
    assert torch.equal(seen_of(other, simulator.codec), seen)  # whatever lies where nothing was seen


def test_a_lane_that_turns_imagines_a_few_turns_at_once_and_nothing_when_it_turns_back(simulator, monkeypatch) -> None:
    counted = Counted(simulator.starter, monkeypatch)
    lanes = engine(simulator, 2)
    lanes.begin([0, 1], [start(1), start(2)])
    steps(lanes, [RIGHT])
    assert counted.calls == [2]
    steps(lanes, [RIGHT] * 8)
    often = len(counted.calls)
    assert 3 <= often <= 5
    steps(lanes, [LEFT] * 9)
    assert len(counted.calls) == often


def test_without_imagination_there_is_none(simulator, monkeypatch) -> None:
    counted = Counted(simulator.starter, monkeypatch)
    lanes = [engine(simulator, imagine=False), engine(simulator.with_starter(None)), engine(simulator, memory="window")]
    for one in lanes:
        one.begin([0], [start(1)])
    shown = [steps(one, [RIGHT] * 3)[-1].frames for one in lanes]
    assert counted.calls == [] and torch.equal(shown[0], shown[1])
    other = engine(simulator)
    other.begin([0], [start(1)])
    assert not torch.equal(steps(other, [RIGHT] * 3)[-1].frames, shown[0]) and counted.calls


def test_worlds_whose_pictures_are_completed_are_carried(simulator) -> None:
    drawn = WorldSimulator(
        replace(simulator.config, drawn=("DoomMyWayHome", "Crafter")), simulator.codec, simulator.world,
        starter=simulator.starter,
    )  # fmt: skip
    for imagine in (True, False):
        lanes = engine(drawn, 2, imagine=imagine)
        lanes.begin([0, 1], [start(1, MAZE), start(2, WORLDS["Crafter"])])
        assert lanes.pictures.screen is not None and lanes.pictures.screen.known.tolist() == [imagine, False]


def test_a_world_that_the_starter_has_not_learned_to_complete_has_none(simulator, monkeypatch) -> None:
    assert simulator.starter is not None
    rooms_alone = Starter(replace(simulator.starter.config, completes=("DoomRooms",)), simulator.starter.net)
    counted = Counted(rooms_alone, monkeypatch)
    lanes = engine(simulator.with_starter(rooms_alone), 2)
    lanes.begin([0, 1], [start(1, MAZE), start(2)])
    steps(lanes, [RIGHT])
    assert counted.calls == [1]


def worn(simulator: WorldSimulator, lanes: int = 2, **kwargs: Any) -> RolloutEngine:
    """An engine whose first lane has little detail left."""
    made = engine(simulator, lanes, **kwargs)
    made.begin(range(lanes), [start(i + 1) for i in range(lanes)])
    assert made.pictures.screen is not None
    with torch.inference_mode():
        made.pictures.screen.detail[0, :, :, :8] = WORN / 2
    return made


def test_what_has_lost_its_detail_is_drawn_again_where_it_has(simulator, monkeypatch) -> None:
    before = steps(worn(simulator, imagine=False), [0])[0]
    calls = list[int]()
    redraw = simulator.starter.redraw
    monkeypatch.setattr(simulator.starter, "redraw", lambda z, *told: calls.append(len(z)) or redraw(z, *told))
    lanes = worn(simulator)
    with monkeypatch.context() as patched:
        patched.setattr("worldsim.screen._distance", lambda travel: torch.ones(len(travel)))  # all walk
        shown = steps(lanes, [0])[0]
    assert calls == [1]
    changed = (shown.frames.int() - before.frames.int()).abs().amax(-1)
    assert changed[1].max() == 0 and changed[0, :3].max() == 0  # another lane, and the frames before the last
    assert changed[0, 3, :, :24].float().mean() > 3 and changed[0, 3, :, 48:].max() <= 1
    screen = lanes.pictures.screen
    assert screen is not None and screen.detail[0].min() > WORN
    assert (screen.held[0, 0, :, :6] == 1).all() and not screen.held[1].any()
    assert torch.allclose(smaller(screen.canvas)[0], to_pixels(shown.frames[0, 3]).permute(2, 0, 1), atol=0.02)
    encoded = lanes.encode(shown.frames[:1, -1:])
    assert (shown.latent[:1] - encoded).abs().max() < 0.05  # the world goes on from what is shown
    steps(lanes, [0] * 3)
    assert calls == [1] and screen.held[0].max().item() == pytest.approx(HOLD**3, abs=1e-3)


def test_what_is_drawn_again_keeps_its_coarse_colours_unless_it_is_a_haze() -> None:
    drawn = (torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5) / 2
    before = torch.zeros(3, 3, 64, 64)
    before[0, :, 32:], before[1, :, 32:], before[2, :, 32:] = 0.3 * PLAIN, 0.6, PLAIN + COLOURED
    made = in_colours_of(before, drawn)
    assert torch.equal(made[0], drawn[0])  # a haze
    means = [F.avg_pool2d(x, 8)[:, :, [0, 1, 2, 5, 6, 7]] for x in (made, before, drawn)]
    assert (means[0] - means[1])[1].abs().max() < 0.06 < (means[2] - means[1])[1].abs().max()
    assert ((made - drawn)[1].diff(dim=2).abs() < 0.11).all()  # what is fine is what was drawn
    some, whole = ((made - drawn)[i, 0, 48:].mean() / (before - drawn)[i, 0, 48:].mean() for i in (2, 1))
    assert 0.4 < some < 0.6 and whole > 0.95
    assert torch.equal(made[1:2], in_colours_of(before[1:2], drawn[1:2]))  # each by itself
    assert in_colours_of(3 * before, drawn).abs().max() == 1


def test_drawing_again_keeps_what_is_left_and_depends_on_its_own_lane(simulator) -> None:
    assert simulator.starter is not None
    z = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    told = (
        ["doom rooms: red walls", "", "doom rooms"],
        torch.zeros(3, dtype=torch.int64),
        torch.arange(3),
        torch.ones(3),
    )
    together = simulator.starter.redraw(z, *told)
    for i in range(3):
        alone = simulator.starter.redraw(z[i : i + 1], *(part[i : i + 1] for part in told))
        assert torch.allclose(alone[0], together[i], atol=1e-5)
    other = simulator.starter.redraw(z + 1, *told)
    assert 0.05 < (other - together).mean() < 1.5


@pytest.mark.parametrize("size", [(96, 64), (64, 32), (128, 32), (128, 128)])
def test_views_of_any_lens_are_completed(simulator, size) -> None:
    reach = ROOMS.lens.reach(*size)  # type: ignore[union-attr]
    panorama = Panorama(torch.tensor([reach]), *size)
    panorama.show(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)))
    for degrees in (14.0, 60.0):  # a turn that leaves the view too
        panorama.turn(torch.tensor([[degrees, 0.0]]))
        assert known(completed(simulator, panorama, [0])).mean() > 0.93


def test_nothing_is_laid_down_of_what_is_not_finite(simulator, monkeypatch) -> None:
    monkeypatch.setattr(simulator.starter, "complete", lambda seen, *_: torch.full_like(seen[:, :-1], torch.nan))
    panorama = turned(1, [14.0])
    before = panorama.texture.clone()
    assert torch.equal(completed(simulator, panorama, [0]), turned(1, [14.0]).view())
    assert torch.equal(panorama.texture, before)


def test_where_nobody_walks_nothing_is_drawn_again_however_much_gives_way(simulator, monkeypatch) -> None:
    monkeypatch.setattr(simulator.starter, "redraw", lambda *_: pytest.fail("drawn again"))
    lanes = worn(simulator)
    screen = lanes.pictures.screen
    assert screen is not None
    steps(lanes, [0] * 3)
    assert (screen.detail[1] < 1).all() and (screen.detail[1] > EXPECTED).all()  # the share of a fresh memory is a half
    assert (screen.detail[0, :, :, :8] < WORN).all()


def test_a_state_is_of_what_imagined(simulator) -> None:
    lanes, without = engine(simulator), engine(simulator, imagine=False)
    assert lanes.imagines == simulator.starter.digest and without.imagines is None
    for one, other in ((lanes, without), (without, lanes)):
        one.begin([0], [start(1)])
        other.begin([0], [start(1)])
        with pytest.raises(ValueError, match="the state is of an engine with imagines="):
            other.set_state(0, one.get_state(0))


def test_what_is_drawn_again_is_no_doubt(simulator) -> None:
    """``hallucination`` compares what was expected with what was shown, before its detail was drawn."""
    lanes = [engine(simulator, 2), worn(simulator)]
    lanes[0].begin([0, 1], [start(1), start(2)])
    for one in lanes:
        one.denoising_steps, one.cache_mode = 2, "reuse"
    shown = [steps(one, [FORWARD])[0] for one in lanes]
    assert not torch.equal(shown[0].frames, shown[1].frames)
    assert torch.allclose(shown[0].hallucination, shown[1].hallucination, atol=1e-5)


def test_a_new_scene_is_imagined_from_then_on(simulator) -> None:
    found = []
    for scene in ("", "doom rooms: blue walls"):
        lanes = engine(simulator)
        lanes.begin([0], [start(1)])
        if scene:
            lanes.set_text([0], [scene], "scene")
        found.append(steps(lanes, [RIGHT] * 2)[-1].frames[..., 40:, :].int())
    assert (found[0] - found[1]).abs().max() > 3


def test_a_lane_that_begins_again_has_all_its_detail(simulator) -> None:
    lanes = worn(simulator)
    steps(lanes, [FORWARD])
    screen = lanes.pictures.screen
    assert screen is not None and screen.held[0].any()
    lanes.begin([0], [start(7)])
    assert (screen.detail[0] == 1).all() and not screen.held[0].any()


def test_a_state_goes_on_with_the_same_imagination(simulator) -> None:
    lanes = engine(simulator, 2)
    lanes.begin([0, 1], [start(1), start(2)])
    steps(lanes, [RIGHT])
    other = engine(simulator)
    other.begin([0], [start(5)])
    other.set_state(0, lanes.get_state(1))
    shown, again = (steps(one, [RIGHT] * 6)[-1].frames for one in (lanes, other))
    assert (shown[1].int() - again[0].int()).abs().max() <= 1
