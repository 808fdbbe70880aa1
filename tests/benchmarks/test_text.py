"""The suite of text on a toy world whose models do as they are told, or are deaf, or mix things up."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from painted_world import FULL, HURT, RGB, SIZE, WORLD, painted
from worldsim_benchmarks import offers, requirements, runner
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.probes import cues, starts
from worldsim_benchmarks.probes.cues import Bar, Cue, Event, Looks, bar, cue_of, observations
from worldsim_benchmarks.probes.plan import Check, Plan
from worldsim_benchmarks.probes.starts import Reader, Start, hue_pixels
from worldsim_benchmarks.report import probe_lines
from worldsim_benchmarks.suites import text_starts, text_worlds
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.suites.text import Text
from worldsim_benchmarks.suites.text_starts import QUESTIONS, paired
from worldsim_benchmarks.tasks import Episode, Outcome
from worldsim_benchmarks.truth import Reference, Rollout

# what a start shows


def start(wall: str, floor: str, left: str = "", right: str = "", seed: int = 0) -> Start:
    things = tuple(("disc", colour, side) for colour, side in ((left, "left"), (right, "right")) if colour)
    return Start(seed, painted(wall, floor, left, right), wall, floor, things, False)


def every(count: int, first: int = 0) -> list[Start]:
    rng = np.random.default_rng(first)
    return [start(*rng.permutation(tuple(RGB))[:4].tolist()) for _ in range(count)]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.fit(every(120), every(60, 1))


def test_hues_are_counted_on_their_own_side_at_any_size() -> None:
    frame = np.full((64, 96, 3), 128, np.uint8)
    frame[10:14, 4:9] = RGB["purple"]
    frame[10:12, -6:] = RGB["cyan"]
    left, right = hue_pixels(frame, "left"), hue_pixels(frame, "right")
    share = 64 * 64 / (64 * 96)
    assert left == {hue: 20 * share if hue == "purple" else 0.0 for hue in starts.HUES}
    assert right == {hue: 12 * share if hue == "cyan" else 0.0 for hue in starts.HUES}
    assert hue_pixels(frame.repeat(2, 0).repeat(2, 1), "left") == left


def test_a_start_names_only_things_that_can_be_told_from_the_rest() -> None:
    things = (("disc", "orange", "left"), ("box", "cyan", "left"), ("disc", "red", "left"), ("disc", "red", "right"))
    several = Start(0, np.zeros((8, 8, 3), np.uint8), "brown", "grey", things, False)
    # orange is that of the brown wall, red stands on both sides
    assert several.colours("left") == [("box", "cyan")]
    assert several.lacks("left", "blue")
    assert not several.lacks("left", "orange")
    assert not several.lacks("right", "cyan")
    assert several.lacks("wall", "blue")
    assert not several.lacks("wall", "brown")


def test_the_reader_reads_walls_floors_and_things(reader: Reader) -> None:
    assert {*reader.asked["wall"]} == {*RGB} == {*reader.asked["floor"]}
    assert {*reader.asked["left"]} == {*RGB}
    frame = painted("red", "blue", "green", "yellow")
    assert reader.shows(frame, {"wall": "red", "floor": "blue", "left": "green", "right": "yellow"})
    assert not reader.shows(frame, {"wall": "blue", "floor": "red"})
    assert not reader.shows(frame, {"left": "yellow"})
    assert reader.detailed(frame)
    assert not reader.detailed(np.full_like(frame, 90))


def test_colours_that_look_alike_are_not_asked() -> None:
    # half of the red walls are called green: neither name can be read off the picture
    lies = [replace(s, wall="green") if s.wall == "red" and i % 2 else s for i, s in enumerate(every(200))]
    asked = Reader.fit(lies[:140], lies[140:]).asked["wall"]
    assert "red" not in asked
    assert {"blue", "yellow", "purple", "cyan"} <= {*asked}


def test_pairs_differ_in_what_is_asked_alone(reader: Reader) -> None:
    wall, _, thing, surfaces, things = QUESTIONS
    red, blue = start("red", "green", "cyan", "purple"), start("blue", "yellow", "purple", "cyan")
    found = paired(wall, reader, [red, blue])
    assert found is not None
    assert found.texts == ("red walls and a green floor", "blue walls and a green floor")
    assert found.answers == ({"wall": "red"}, {"wall": "blue"})
    assert found.truth == (red.frame, blue.frame)
    found = paired(thing, reader, [red, blue])
    assert found is None  # cyan and purple are in both, on some side
    found = paired(thing, reader, [red, start("blue", "green", "yellow", "red")])
    assert found is not None
    assert found.texts == (
        "red walls and a green floor, a cyan disc on the left",
        "red walls and a green floor, a yellow disc on the left",
    )  # fmt: skip
    found = paired(things, reader, [red, blue])
    assert found is not None
    assert found.texts[1] == "red walls and a green floor, a purple disc on the left and a cyan disc on the right"
    assert found.answers[1] == {"left": "purple", "right": "cyan"}
    assert paired(surfaces, reader, [red, blue]) is None
    found = paired(surfaces, reader, [red, blue, start("green", "red")])
    assert found is not None
    assert found.texts == ("red walls and a green floor", "green walls and a red floor")


# events


def test_the_bar_is_read_in_widths_of_the_picture() -> None:
    assert bar(painted("red", "red", health=FULL)) == FULL / SIZE
    assert bar(painted("blue", "green", health=0)) == 0.0


def test_a_wound_counts_only_after_the_words() -> None:
    full, hurt = painted("blue", "green"), painted("blue", "green", health=HURT)
    assert Bar(-1)(np.stack([full, full, hurt]), at=1)
    assert not Bar(-1)(np.stack([full, hurt, hurt]), at=1)
    assert not Bar(1)(np.stack([full, full, hurt]), at=1)
    assert Bar(1)(np.stack([hurt, hurt, full]), at=1)
    least = painted("blue", "green", health=FULL - 1)
    assert not Bar(-1)(np.stack([full, full, least]), at=1)


def take(event: int | None, steps: int = 5, kind: str = "bite", prefix: int = 2) -> Rollout:
    """Black pictures that turn white with the event."""
    blocks = np.stack([np.full((4, 8, 8, 3), 255 * (event is not None and t >= event), np.uint8) for t in range(steps)])
    truth = {"labels": np.zeros((8, 8), int), "objects": []}
    events = tuple(({"kind": kind, "colour": "red"},) if t == event else () for t in range(steps))
    first, nothing = np.zeros((8, 8, 3), np.uint8), np.zeros(steps)
    names, truths = ("noop",) * steps, (truth,) * (steps + 1)
    return Rollout(0, "", prefix, first, blocks, names, nothing, nothing.astype(bool), truths, events, steps)


def deed(acted: Rollout, twin: Rollout) -> Plan:
    mask = np.ones((8, 8), bool)
    at = acted.prefix
    looks = tuple(Check(s, mask, acted.frame(at + s), twin.frame(at + s)) for s in range(1, 4))
    return Plan(acted, twin, (), (), looks)


def test_the_words_come_right_before_the_step_in_which_the_event_happens() -> None:
    found = cue_of(deed(take(3), take(None)), ("bite",), lambda kind, colour: (f"{kind} {colour}", "else"))
    assert found is not None
    assert (found.at, found.text, found.swapped) == (1, "bite red", "else")
    assert [c.step for c in found.detector.checks] == [2, 3]  # the look before the words is none
    assert found.detector(found.happened, found.at)
    assert not found.detector(found.calm, found.at)
    assert cue_of(deed(take(3), take(4)), ("bite",), lambda *_: ("", "")) is None
    assert cue_of(deed(take(3, kind="push"), take(None)), ("bite",), lambda *_: ("", "")) is None


def test_looks_before_the_words_do_not_count() -> None:
    mask, white, black = np.ones((8, 8), bool), np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)
    detector = Looks((Check(1, mask, white, black), Check(2, mask, white, black)))
    frames = np.stack([black, white, black])
    assert detector(frames, at=0)
    assert not detector(frames, at=1)


# the whole suite


def wound(stage: Reference, map_seed: int) -> Cue:
    calm, hurt = (stage.play(("noop",) * 4 + (last,) * 3, map_seed, 3) for last in ("noop", "use"))
    plan = Plan(calm, calm, (), ())
    return Cue(plan, 1, "you are hurt", "you are healed", Bar(-1), observations(hurt, 3, 4))


SUITE = Text(
    tuple(replace(q, worlds=(WORLD,)) for q in QUESTIONS),
    (Event("event_hurt", WORLD, "hurt", ("noop",), wound),), (),
)  # fmt: skip
PRESET = replace(PRESETS["quick"], seeds=3)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_starts, "read_world", lambda reference: starts.read_world(reference, 120, 60))


def asked(out: Path, fault: str = "", lanes: int = 2) -> Session:
    spec = CandidateSpec("toy/Painter-v0", {"fault": fault}, lanes, "")
    return Session(WORLD, {"model": spec}, PRESET, out, (SIZE, SIZE))


SCORES = {
    "": {"wall": 1, "floor": 1, "thing": 1, "bind_surfaces": 1, "bind_things": 1, "event_hurt": 1},
    "deaf": dict.fromkeys(("wall", "floor", "thing", "bind_surfaces", "bind_things", "event_hurt"), 0),
    "nervous": {"event_hurt": 0, "wall": 1},
    "haze": {"wall": 0, "event_hurt": 1},
    "mixed": {"wall": 0, "bind_surfaces": 0, "bind_things": 0, "event_hurt": 1},
}


@pytest.mark.parametrize("fault", SCORES)
def test_what_follows_text_scores_all_and_what_does_not_scores_nothing(fault: str, tmp_path: Path) -> None:
    session = asked(tmp_path, fault)
    rows = [o.row(r.episode) for r in SUITE.run(session, SUITE.episodes(session)) for o in r.outcomes]
    score = SUITE.score(rows)
    tasks = {n: t.score.value for n, t in score.candidates["model"].tasks.items()}
    assert {name: tasks[name] for name in SCORES[fault]} == SCORES[fault]
    assert score.candidates["true"].headline.value == 1.0
    assert score.candidates["codec"].headline.value == 1.0
    for floor in ("grey", "other"):
        assert score.candidates[floor].headline.value == 0.0
    rates = {r.what: r for r in score.rates}
    found = rates["model: wall, named and found"]
    assert found.value.value == {"": 1.0, "nervous": 1.0, "haze": 1.0}.get(fault, found.value.value)
    assert found.ok is (found.value.value >= 0.75)
    happens = {"deaf": (0, 0, 0), "nervous": (1, 1, 0)}.get(fault, (1, 0, 0))
    whats = ("happens after its text", "after another text", "after none")
    assert tuple(rates[f"model: event_hurt, {what}"].value.value for what in whats) == happens
    assert rates["true: wall, named and found"].bar == ""


def test_a_question_of_ones_own_is_scored_as_what_it_asks() -> None:
    binding = replace(next(q for q in QUESTIONS if len(q.slots) == 2), name="mixed_up", worlds=(WORLD,))
    rows = [Outcome("model", True, True, True).row(Episode("mixed_up", 0))]
    rates = Text((binding,), (), ()).score(rows).rates
    assert [r.what for r in rates] == ["model: mixed_up, both starts right"]


def test_a_run_is_printed_with_its_readers_and_goes_on_after_a_crash(tmp_path: Path) -> None:
    session = asked(tmp_path / "run", "crash", lanes=3)
    said: list[str] = []
    folder = runner.run(SUITE, session, said.append)
    result, rows = runner.load(folder.path)
    failed = [r for r in rows if r["failed"]]
    assert failed
    assert all(r["candidate"] == "model" and "no blue paint" in r["failed"] and not r["score"] for r in failed)
    assert any(r["candidate"] == "model" and r["score"] for r in rows)
    lines = {line.what: line for line in probe_lines(result)}
    assert lines["wall: reader of wall, true starts right"].value.startswith("1.00")
    assert lines["model: event_hurt, after none"].target == "< 0.15"


def test_what_takes_no_text_is_told_so(tmp_path: Path) -> None:
    found = requirements.missing_for([SUITE], asked(tmp_path))["text"]
    assert found == {t.name: [] for t in SUITE.tasks if t.name != "world"} | {"world": found["world"]}
    deaf = Session(WORLD, {"model": CandidateSpec("toy/Model-v0", {}, 1, "")}, PRESET, tmp_path, (SIZE, SIZE))
    lacks = requirements.missing_for([SUITE], deaf)["text"]
    assert all(reasons for reasons in lacks.values())
    true = Session(WORLD, {"model": CandidateSpec("true")}, PRESET, tmp_path, (SIZE, SIZE))
    assert requirements.missing_for([SUITE], true)["text"]["wall"] == ["true is played on true maps: it takes no text"]


PANORAMA = "toy/Panorama-v0"


@pytest.mark.parametrize(("fault", "right"), [("", 1.0), ("deaf", 0.0)])
def test_the_world_is_that_whose_name_was_given(
    fault: str, right: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {WORLD: "Painted rooms", PANORAMA: "Panorama", "toy/Missing-v0": "Nowhere"}
    for module in (offers, text_worlds):
        monkeypatch.setattr(module, "TITLES", names)
    monkeypatch.setattr(text_worlds, "FITTED", 12)
    monkeypatch.setattr(text_worlds, "RATED", 6)
    suite, session = Text((), (), (WORLD, PANORAMA)), asked(tmp_path, fault)
    assert offers.worlds_named(session) == [WORLD, PANORAMA]  # nothing else is installed here
    assert requirements.missing_for([suite], session)["text"] == {"world": []}
    del names[WORLD]
    names["toy/Foreseeing-v0"] = "Painted rooms"
    (why,) = requirements.missing_for([suite], session)["text"]["world"]
    assert why.endswith(f"does not start in {WORLD} by its name; in {PANORAMA}, toy/Foreseeing-v0 it does")
    names[WORLD] = names.pop("toy/Foreseeing-v0")
    rows = [o.row(r.episode) for r in suite.run(session, suite.episodes(session)) for o in r.outcomes]
    score = suite.score(rows)
    assert score.candidates["model"].headline.value == right
    assert score.candidates["true"].headline.value == 1.0
    assert score.candidates["other"].headline.value == 0.0
    rates = {r.what: r for r in score.rates}
    assert rates["model: world, the named world"].value.value == (1 + right) / 2
    assert rates["model: world, the named world"].ok is bool(right)
    assert rates["world: reader of world, true starts right"].value.value == 1.0


def test_worlds_that_the_shipped_net_knows_are_read_by_it(tmp_path: Path) -> None:
    """In whatever order, without playing anything; and runs that are read by another net cannot be compared."""
    worlds = ("worldsim/Table-v0", "worldsim/DoomBasic-v0")
    read, ratings = text_worlds.reader_of(asked(tmp_path), worlds)
    net = text_worlds.world_net()
    assert net is not None
    assert read(np.zeros((64, 64, 3), np.uint8)) in worlds
    sharp, hazy = (np.sum([net.rated[w][look] for w in worlds], 0).tolist() for look in ("true", "blurred"))
    assert ratings == {"world": [*sharp, 0, 0], "world, blurred": [*hazy, 0, 0]}
    assert net.digest in next(t.criterion for t in Text().tasks if t.name == "world")


@pytest.mark.slow
@pytest.mark.parametrize("event", [e for e in cues.EVENTS if "Doom" in e.world], ids=lambda e: e.name)
def test_true_events_are_seen_and_true_calm_is_calm(event: Event) -> None:
    pytest.importorskip("vizdoom")
    importlib.import_module("worldsim")  # registers the true worlds
    stage = Reference(event.world, depth=False, labels=True)
    try:
        cue = next(c for seed in range(2_000_000, 2_000_100) if (c := event.find(stage, seed)) is not None)
    finally:
        stage.close()
    assert cue.detector(cue.happened, cue.at)
    assert not cue.detector(cue.calm, cue.at)
    assert cue.text != cue.swapped
