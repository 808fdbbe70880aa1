"""Revealing: what an act takes away is drawn, in that lane alone, for as long as it is asked; by words as by keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from worldsim.actions import ACTION_ID, multi_hot
from worldsim.engine import RolloutEngine
from worldsim.imagination import Drawing
from worldsim.model.codec import to_pixels
from worldsim.model.debug import debug_simulator
from worldsim.model.memory import smaller
from worldsim.model.panorama import seen_turned
from worldsim.model.revealer import Revealer, RevealerConfig
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import Block, LaneStart, LaneText
from worldsim.revealing import Revealing
from worldsim.screen import Screen
from worldsim.worlds import WORLDS, WorldSpec

ROOMS, MAZE = WORLDS["DoomRooms"], WORLDS["DoomMyWayHome"]
NOOP, USE, FORWARD, LEFT = (ACTION_ID[name] for name in ("noop", "use", "forward", "turn_left"))
PAST = 4
LEFT_HALF = slice(0, 32)


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    """Its revealer takes the left half of a picture away while something was done or told lately."""
    made = debug_simulator(memory=True, starter=True)
    revealer = Revealer(RevealerConfig(width=1, past=PAST), 4)
    with torch.no_grad():
        for parameter in revealer.parameters():
            parameter.zero_()
        revealer.cells.weight[0, 4, 2, 2] = -10.0  # the cell's place, across
        revealer.back_to_cells.weight[0, 0, 1, 1] = 1.0
        revealer.out.weight[0, 0, 1, 1] = 10.0
        revealer.out.bias.fill_(-5.0)
    assert made.starter is not None
    return made.with_starter(made.starter.with_revealer(revealer))


class Revealed:
    """The lanes in which something is revealed, and those for which it is drawn, at each step."""

    def __init__(self, lanes: RolloutEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lanes, self.drawn, self.shown = lanes, list[list[int]](), list[list[int]]()
        revealing = lanes.pictures.revealing
        assert revealing is not None
        made, completed = revealing.step, revealing.imagination.completed

        def shown(*args: Any) -> Any:
            found = made(*args)
            self.shown.append([] if found is None else found[0].tolist())
            return found

        def drawn(view: torch.Tensor, rows: torch.Tensor, *args: Any) -> Any:
            self.drawn[-1] += sorted({row % lanes.lanes for row in rows.tolist()})
            return completed(view, rows, *args)

        monkeypatch.setattr(revealing, "step", shown)
        monkeypatch.setattr(revealing.imagination, "completed", drawn)

    def step(self, actions: Sequence[int]) -> Block:
        self.drawn.append([])
        return step(self.lanes, actions)


def start(seed: int, world: WorldSpec = ROOMS, actions: Sequence[int] = ()) -> LaneStart:
    shape = (1 + 4 * len(actions), 64, 64, 3)
    frames = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return LaneStart(world, seed, LaneText("doom rooms: red walls", "", ""), frames, np.array(actions, np.int64))


def engine(simulator: WorldSimulator, starts: Sequence[LaneStart], **kwargs: Any) -> RolloutEngine:
    lanes = RolloutEngine(simulator, len(starts), device="cpu", dtype=torch.float32, denoising_steps=1, **kwargs)
    lanes.begin(range(len(starts)), starts)
    return lanes


def step(lanes: RolloutEngine, actions: Sequence[int]) -> Block:
    keys, camera = ROOMS.table.keys[list(actions)], ROOMS.table.camera[list(actions)]
    return lanes.step(torch.from_numpy(multi_hot(keys)), torch.from_numpy(camera))


def test_an_act_reveals_in_its_lane_for_some_steps(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1), start(2), start(3, MAZE)])
    revealed = Revealed(lanes, monkeypatch)
    revealed.step([NOOP] * 3)
    revealed.step([NOOP, USE, USE])
    for _ in range(PAST):
        revealed.step([NOOP] * 3)
    assert revealed.shown == [[]] + [[1]] * PAST + [[]]  # nothing is revealed in a maze without doors
    assert revealed.drawn == [[], [1]] + [[]] * PAST


def test_what_is_gone_is_drawn_and_all_else_stays(simulator) -> None:
    told = engine(simulator, [start(1), start(2)])
    quiet = engine(simulator, [start(1), start(2)], imagine=False)
    shown, without = (step(lanes, [USE, NOOP]) for lanes in (told, quiet))
    changed = (shown.frames.int() - without.frames.int()).abs().amax(-1)
    assert changed[1].max() == 0 and changed[0, :3].max() == 0  # another lane, and the frames before the last
    assert changed[0, 3, :, LEFT_HALF].float().mean() > 3 and changed[0, 3, :, 36:].max() <= 1
    screen = told.pictures.screen
    assert screen is not None
    assert torch.allclose(smaller(screen.canvas)[0], to_pixels(shown.frames[0, 3]).permute(2, 0, 1), atol=0.02)
    encoded = told.encode(shown.frames[:1, -1:])
    assert (shown.latent[:1] - encoded).abs().max() < 0.05  # the world goes on from what is shown


@pytest.mark.parametrize(
    ("text", "reveals"),
    [
        ("a red door opens", True), ("you are hurt. the door opens", True), ("a red door closes", False),
        ("you are hurt", False), ("", False),
    ],
)  # fmt: skip
def test_words_reveal_as_an_act_does(simulator, monkeypatch, text, reveals) -> None:
    lanes = engine(simulator, [start(1), start(2)])
    lanes.set_text([1], [text], "event")
    revealed = Revealed(lanes, monkeypatch)
    for _ in range(PAST + 1):
        revealed.step([NOOP, NOOP])
    assert revealed.shown == [[1] if reveals else []] * PAST + [[]]


class Asked:
    """What a starter's revealer is asked: which acts, which texts, and of which colour."""

    def __init__(self, simulator: WorldSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[bool, bool, bool]] = []
        gone = simulator.starter.gone  # type: ignore[union-attr]

        def kept(before: torch.Tensor, *cues: torch.Tensor) -> torch.Tensor:
            self.calls.append(tuple(bool(cue.any()) for cue in cues))  # type: ignore[arg-type]
            return gone(before, *cues)

        monkeypatch.setattr(simulator.starter, "gone", kept)


def test_acts_are_asked_about_without_words_and_words_without_acts(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1)])
    asked = Asked(simulator, monkeypatch)
    lanes.set_text([0], ["a red door opens"], "event")
    step(lanes, [NOOP])
    assert set(asked.calls) == {(False, True, True)}
    asked.calls.clear()
    for _ in range(PAST):
        step(lanes, [NOOP])
    asked.calls.clear()
    step(lanes, [USE])  # the colour of a text of long ago is no matter
    assert set(asked.calls) == {(True, False, False)}
    lanes.set_text([0], ["a blue door opens"], "event")
    asked.calls.clear()
    step(lanes, [NOOP])
    assert set(asked.calls) == {(False, True, True)}


def test_a_text_that_is_taken_back_before_a_step_reveals_nothing(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1)])
    for text in ("a red door opens", "you are hurt"):
        lanes.set_text([0], [text], "event")
    revealed = Revealed(lanes, monkeypatch)
    revealed.step([NOOP])
    assert revealed.shown == [[]]


def test_who_presses_again_and_again_opens_as_if_once(simulator, monkeypatch) -> None:
    often, once = engine(simulator, [start(1)]), engine(simulator, [start(1)])
    revealed = Revealed(often, monkeypatch)
    for i in range(PAST):
        revealed.step([USE if i % 2 == 0 else NOOP])
        step(once, [USE if i == 0 else NOOP])
    cues = often.pictures.revealing.cues, once.pictures.revealing.cues  # type: ignore[union-attr]
    assert torch.equal(cues[0].acted, cues[1].acted) and cues[0].acted.sum() == 1
    assert revealed.drawn == [[0], *[[]] * (PAST - 1)]


def test_the_colour_of_what_is_told_is_the_latest(simulator) -> None:
    lanes = engine(simulator, [start(1)])
    assert lanes.pictures.revealing is not None
    cues = lanes.pictures.revealing.cues
    for text, colour in (("a red door opens", "red"), ("a blue door closes", "red"), ("a blue door opens", "blue")):
        lanes.set_text([0], [text], "event")
        step(lanes, [NOOP])
        assert cues.colour[0].tolist() == cues.config.one_hot(colour)
    lanes.set_text([0], ["doom rooms: a green door"], "scene")
    lanes.begin([0], [start(1)])
    assert not cues.told.any() and not cues.colour.any() and not cues.due.any()


def test_acts_of_given_steps_count(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1, actions=[NOOP, USE, NOOP]), start(2, actions=[USE, NOOP, NOOP])])
    revealed = Revealed(lanes, monkeypatch)
    for _ in range(3):
        revealed.step([NOOP, NOOP])
    assert revealed.shown == [[0, 1], [0], []]


def test_a_lane_reveals_as_it_would_alone(simulator) -> None:
    actions = [[USE, NOOP, USE], [NOOP, USE, FORWARD], [NOOP, NOOP, NOOP]]
    together = engine(simulator, [start(i) for i in range(3)])
    shown = [step(together, row).frames for row in actions]
    for i in range(3):
        alone = engine(simulator, [start(i)])
        for row, frames in zip(actions, shown):
            assert (step(alone, [row[i]]).frames[0].int() - frames[i].int()).abs().max() <= 1


def test_a_state_goes_on_with_what_is_being_revealed(simulator) -> None:
    lanes = engine(simulator, [start(1), start(2)])
    step(lanes, [NOOP, USE])
    lanes.set_text([0], ["a red door opens"], "event")
    for lane in (0, 1):
        other = engine(simulator, [start(5)])
        other.set_state(0, lanes.get_state(lane))
        mine = engine(simulator, [start(6), start(7)])
        for i in (0, 1):
            mine.set_state(i, lanes.get_state(i))
        for _ in range(PAST + 1):
            shown, again = step(mine, [NOOP, NOOP]), step(other, [NOOP])
            assert (shown.frames[lane].int() - again.frames[0].int()).abs().max() <= 1


def test_without_imagination_nothing_is_revealed(simulator) -> None:
    for kwargs in ({"imagine": False}, {"memory": "window"}):
        lanes, usual = (engine(of, [start(1)], **kwargs) for of in (simulator, simulator.with_starter(None)))
        assert lanes.pictures.revealing is None
        for one in (lanes, usual):
            one.set_text([0], ["a red door opens"], "event")
        assert torch.equal(step(lanes, [USE]).frames, step(usual, [USE]).frames)


def test_a_key_that_is_held_acts_once(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1), start(2, actions=[NOOP, USE])])
    revealed = Revealed(lanes, monkeypatch)
    for _ in range(PAST + 1):
        revealed.step([USE, USE])
    assert revealed.shown == [[0, 1]] * (PAST - 1) + [[0], []]
    revealed.step([NOOP, NOOP])
    revealed.step([USE, NOOP])
    assert revealed.shown[-2:] == [[], [0]]


def test_what_lies_behind_is_drawn_once_and_again_when_the_camera_walked(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1), start(2)])
    revealed = Revealed(lanes, monkeypatch)
    shown = [revealed.step(row) for row in ([USE, USE], [NOOP, FORWARD])]
    assert revealed.drawn == [[0, 1], [1]] and revealed.shown == [[0, 1]] * 2
    behind = [block.frames[:, 3, :, :24].int() for block in shown]  # the inner half of what is taken away
    assert (behind[0][0] - behind[1][0]).abs().max() <= 1  # however the model goes on from what it shows
    assert (behind[0][1] - behind[1][1]).abs().float().mean() > 3


def test_of_two_drawings_that_which_differs_more_from_what_was_there_is_taken(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1), start(2)])
    revealing, screen = lanes.pictures.revealing, lanes.pictures.screen
    assert revealing is not None and screen is not None
    finite = torch.ones(4, 1, 1, 1)

    def completed(view: torch.Tensor, rows: torch.Tensor, drawing: Drawing) -> tuple[torch.Tensor, torch.Tensor]:
        scenes, worlds, seeds, steps = drawing.told(rows)
        assert torch.equal(view[:2], view[2:]) and scenes == ["doom rooms: red walls"] * 4
        assert torch.equal(worlds[:2], worlds[2:]) and seeds.tolist() == [1, 2, 1, 2]
        assert not {*steps[:2].tolist()} & {*steps[2:].tolist()}
        far, near = torch.full_like(view[0, :3], -2.0), view[:, :3] + 0.1
        near[..., 40:] = 9.0  # where nothing is taken away nothing is compared
        return torch.stack([far, near[1], near[2], far]), finite

    monkeypatch.setattr(revealing.imagination, "completed", completed)
    step(lanes, [USE, USE])
    assert (revealing.behind.picture == -2).all() and revealing.hides.all()
    finite[[0, 2]] = 0
    lanes.begin([0, 1], [start(1), start(2)])
    step(lanes, [USE, USE])
    assert revealing.hides.tolist() == [False, True]  # what is not finite is not shown


def test_who_turns_sees_what_lies_behind_where_it_is(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1)])
    revealed = Revealed(lanes, monkeypatch)
    monkeypatch.setattr(lanes.pictures._imagination, "complete", lambda panorama, around, *_: around)
    revealed.step([NOOP])
    before = to_pixels(revealed.step([NOOP]).frames[:, 3]).permute(0, 3, 1, 2)
    for action in (USE, LEFT):
        block = revealed.step([action])
    assert revealed.drawn[2:] == [[0], []] and revealed.shown[2:] == [[0], [0]]
    revealing = lanes.pictures.revealing
    assert revealing is not None
    behind = revealing.behind.picture
    turned, _ = seen_turned(behind, behind[:, :1], torch.tensor([ROOMS.table.camera[LEFT][0]]), rooms_reach())
    shown = to_pixels(block.frames[:, 3]).permute(0, 3, 1, 2)
    assert (shown - turned)[:, :, 16:48, 20:36].abs().max() < 0.02  # the left half has come on by some 12 pixels
    screen = lanes.pictures.screen
    assert screen is not None and screen.panorama is not None
    go(screen, turn=-float(ROOMS.table.camera[LEFT][0]))
    view = screen.panorama.view()[:, :3]
    near, far = ((view - of)[..., 4:-4, 4:26].abs().mean() for of in (behind, before))
    assert near < far / 2


@torch.inference_mode()
def go(screen: Screen, ahead: float = 0.0, turn: float = 0.0) -> None:
    """The camera is led by metres, or turned by degrees, without a step."""
    assert screen.panorama is not None
    screen.panorama.turn(torch.tensor([[turn, 0.0]]))
    screen.panorama.go(torch.tensor([[0.0, 0.0, ahead, 1.0]]))


def finds_front(screen: Screen, revealing: Revealing) -> bool:
    """Whether the panorama of the first lane holds what was there before the act, blurred as all on it is."""
    assert screen.panorama is not None
    view = screen.panorama.view()[0, :3]
    near, far = ((view - at.picture[0])[:, 4:-4, 4:26].abs().mean() for at in (revealing.front, revealing.behind))
    return bool(near < far / 2)


def rooms_reach() -> torch.Tensor:
    return torch.tensor([ROOMS.reach(64, 64)])


LASTS = 2 * PAST + 2


@pytest.fixture(scope="module")
def returning(simulator) -> WorldSimulator:
    """What its acts take away, a quarter of the picture's left half more in each step, returns by itself."""
    starter = simulator.starter
    assert starter is not None and starter.revealer is not None
    revealer = Revealer(replace(starter.revealer.config, lasts=LASTS), 4)
    revealer.load_state_dict(starter.revealer.state_dict())
    made = simulator.with_starter(starter.with_revealer(revealer))
    assert made.starter is not None and made.starter.digest != starter.digest

    def gone(latents: torch.Tensor, acted: torch.Tensor, told: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        age = (acted | told).int().argmax(1)
        height, width = latents.shape[2:]
        rows, columns = torch.arange(height)[:, None], torch.arange(width)
        return ((4 * rows >= height * (3 - age[:, None, None])) & (columns < 8))[:, None]

    made.starter.gone = gone  # type: ignore[method-assign]
    return made


def quarters(block: Block, picture: torch.Tensor, lane: int = 0) -> list[bool]:
    """Which quarters of the left half, from the top, show a picture ``(3, H, W)`` in [-1, 1]."""
    shown = to_pixels(block.frames[lane, 3]).permute(2, 0, 1)
    apart = (shown - picture)[:, :, 2:28].abs().unflatten(1, (4, 16))[:, :, 2:-2]
    return [bool(part.mean() < 0.02) for part in apart.unbind(1)]


def test_what_was_taken_away_returns_the_last_first(returning, monkeypatch) -> None:
    lanes = engine(returning, [start(1), start(2)])
    revealed = Revealed(lanes, monkeypatch)
    blocks = [revealed.step([USE if i == 0 else NOOP, NOOP]) for i in range(LASTS + 2)]
    revealing = lanes.pictures.revealing
    assert revealing is not None
    before, behind = revealing.front.picture[0], revealing.behind.picture[0]
    for i in range(PAST):
        assert quarters(blocks[i], behind) == [False] * (3 - i) + [True] * (i + 1)
    assert quarters(blocks[LASTS - PAST - 1], before) == [False] * 4
    for i in range(PAST):
        assert quarters(blocks[LASTS - PAST + i + 1], before) == [True] * (i + 1) + [False] * (3 - i)
    assert revealed.shown == [[0]] * PAST + [[]] * (LASTS - 2 * PAST + 1) + [[0]] * PAST + [[]]
    assert revealed.drawn == [[0]] + [[]] * (LASTS + 1) and revealing.left.tolist() == [-1, -1]


def test_of_a_picture_on_the_way_what_was_gone_before_it_is_no_matter(returning, monkeypatch) -> None:
    whole = returning.starter.gone

    def gone(z: torch.Tensor, acted: torch.Tensor, told: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        return whole(z, acted, told, of) & ~acted[:, 2:, None, None].any(1, keepdim=True)  # in the first two steps

    lanes = engine(returning, [start(1)])
    revealing = lanes.pictures.revealing
    assert revealing is not None
    step(lanes, [USE])
    step(lanes, [NOOP])
    monkeypatch.setattr(returning.starter, "gone", gone)
    step(lanes, [FORWARD])
    assert not revealing.hides[0]


def test_what_is_gone_stays_gone_as_long_as_it_goes(returning, monkeypatch) -> None:
    whole = returning.starter.gone

    def gone(z: torch.Tensor, acted: torch.Tensor, told: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        return whole(z, acted, told, of) & ~acted[:, -1, None, None, None]  # nothing in the last step

    monkeypatch.setattr(returning.starter, "gone", gone)
    lanes = engine(returning, [start(1)])
    blocks = [step(lanes, [USE if i == 0 else NOOP]) for i in range(LASTS + 1)]
    revealing = lanes.pictures.revealing
    assert revealing is not None
    before, behind = revealing.front.picture[0], revealing.behind.picture[0]
    assert quarters(blocks[PAST - 2], behind) == quarters(blocks[PAST - 1], behind) == [False, True, True, True]
    assert quarters(blocks[LASTS - PAST + 1], before)[1:] == [False] * 3  # what went last returns first
    assert quarters(blocks[LASTS], before)[1:] == [True] * 3


def test_what_returns_out_of_sight_is_found_on_the_look_back(returning, monkeypatch) -> None:
    lanes = engine(returning, [start(1), start(2)])
    monkeypatch.setattr(lanes.pictures._imagination, "complete", lambda panorama, around, *_: around)
    for i in range(LASTS + 1):  # the first opens and turns by 180 degrees and back, the second stays
        turn = LEFT if PAST <= i < PAST + 3 else ACTION_ID["turn_right"] if i >= LASTS - 2 else NOOP
        block = step(lanes, [USE if i == 0 else turn, NOOP])
    revealing, screen = lanes.pictures.revealing, lanes.pictures.screen
    assert revealing is not None and screen is not None and screen.panorama is not None
    assert screen.panorama.heading[0] == 0 and revealing.left[0] == -1
    assert finds_front(screen, revealing)
    alone = engine(returning, [start(2)])
    for _ in range(LASTS + 1):
        unturned = step(alone, [NOOP])
    assert (block.frames[1].int() - unturned.frames[0].int()).abs().max() <= 1


def test_one_who_walked_on_finds_it_returned_when_back(returning) -> None:
    lanes = engine(returning, [start(1)])
    screen, revealing = lanes.pictures.screen, lanes.pictures.revealing
    assert revealing is not None and screen is not None and screen.panorama is not None
    for i in range(LASTS):
        step(lanes, [USE if i == 0 else NOOP])
    go(screen, ahead=2.0)
    shown = step(lanes, [NOOP])
    assert quarters(shown, revealing.front.picture[0]) == [False] * 4 and revealing.left[0] == -1
    go(screen, ahead=-2.0)
    assert finds_front(screen, revealing)


def test_another_act_lets_return_what_the_one_before_took(returning) -> None:
    lanes = engine(returning, [start(1)])
    revealing = lanes.pictures.revealing
    assert revealing is not None
    for i in range(PAST + 1):
        step(lanes, [USE if i == 0 else NOOP])
    first = revealing.front.picture[0].clone()
    block = step(lanes, [USE])
    assert quarters(block, first) == [True, True, True, False]  # the last opens again
    for left in range(LASTS, 0, -1):
        assert revealing.left[0] == left
        block = step(lanes, [NOOP])
    assert quarters(block, first) == [True] * 4 and revealing.left[0] == -1  # as before the first act


def test_a_text_of_what_is_not_there_changes_nothing_of_what_goes(returning, monkeypatch) -> None:
    gone = returning.starter.gone
    monkeypatch.setattr(
        returning.starter,
        "gone",
        lambda z, acted, told, of: gone(z, acted, told, of) & acted.any(1)[:, None, None, None],
    )
    lanes, quiet = engine(returning, [start(1)]), engine(returning, [start(1)])
    for i in range(LASTS + 1):
        if i == 2:
            lanes.set_text([0], ["a blue door opens"], "event")
        blocks = [step(one, [USE if i == 0 else NOOP]) for one in (lanes, quiet)]
        revealing = [one.pictures.revealing for one in (lanes, quiet)]
        for name in ("hides", "age", "left"):
            assert torch.equal(*(getattr(one, name) for one in revealing))
    front = revealing[1].front.picture[0]  # type: ignore[union-attr]
    assert [quarters(block, front) for block in blocks] == [[True] * 4] * 2


def test_where_nothing_returns_another_act_closes_nothing(returning) -> None:
    before = torch.empty(0)
    for lasts in (LASTS, None):  # the same up to the second act
        lanes = engine(returning, [start(1)])
        revealing = lanes.pictures.revealing
        assert revealing is not None
        revealing.lasts = lasts
        for i in range(PAST + 1):
            step(lanes, [USE if i == 0 else NOOP])
        before = revealing.front.picture[0].clone() if lasts else before
        block = step(lanes, [USE])
        assert bool(revealing.left[0] != -1) == bool(revealing.front.cells.any()) == bool(lasts)
        assert quarters(block, before)[:3] == [bool(lasts)] * 3  # the second act has taken the last by now


def test_what_acts_of_given_steps_took_does_not_return(returning) -> None:
    lanes = engine(returning, [start(1, actions=[USE, NOOP])])
    step(lanes, [NOOP])
    revealing = lanes.pictures.revealing
    assert revealing is not None and revealing.hides[0] and revealing.age[0] == 2 and revealing.left[0] == -1


def test_one_cylinder_keeps_what_was_seen_from_here(returning) -> None:
    lanes = engine(returning, [start(1)], memory="panorama")
    for i in range(LASTS + 1):
        step(lanes, [USE if i == 0 else FORWARD if PAST <= i < PAST + 2 else NOOP])
    screen, revealing = lanes.pictures.screen, lanes.pictures.revealing
    assert screen is not None and screen.panorama is not None and revealing is not None and revealing.left[0] == -1
    view, shown = screen.panorama.view()[0, :3], smaller(screen.canvas)[0]
    here, before = ((view - of)[:, 4:-4, 4:26].abs().mean() for of in (shown, revealing.front.picture[0]))
    assert here < before


@pytest.mark.parametrize("size", [(48, 80), (80, 48)])
def test_a_lane_lets_return_as_it_would_alone(returning, size) -> None:
    worlds, turns = (ROOMS, WORLDS["Crafter"], ROOMS, MAZE), (NOOP, NOOP, LEFT, LEFT)

    def begun(i: int) -> LaneStart:
        frames = np.random.default_rng(i).integers(0, 256, (1, *size, 3)).astype(np.uint8)
        return LaneStart(worlds[i], i, LaneText("", "", ""), frames, np.zeros(0, np.int64))

    def played(lanes: RolloutEngine, which: Sequence[int]) -> list[Block]:
        table = ROOMS.table
        return [
            lanes.step(torch.from_numpy(multi_hot(table.keys[ids])), torch.from_numpy(table.camera[ids]))
            for i in range(LASTS + 1)
            for ids in [[USE if i == 0 else turns[lane] if i in (2, LASTS - 1) else NOOP for lane in which]]
        ]

    together = played(engine(returning, [begun(i) for i in range(4)], frame_size=size), range(4))
    for i in range(4):
        alone = played(engine(returning, [begun(i)], frame_size=size), [i])
        for one, all_lanes in zip(alone, together):
            assert (one.frames[0].int() - all_lanes.frames[i].int()).abs().max() <= 1


def test_a_state_goes_on_with_what_will_return(returning) -> None:
    lanes = engine(returning, [start(1)])
    for i in range(PAST + 1):
        step(lanes, [USE if i == 0 else NOOP])
    other = engine(returning, [start(5)])
    other.set_state(0, lanes.get_state(0))
    for _ in range(LASTS - PAST):
        shown, again = step(lanes, [NOOP]), step(other, [NOOP])
        assert (shown.frames.int() - again.frames.int()).abs().max() <= 1
