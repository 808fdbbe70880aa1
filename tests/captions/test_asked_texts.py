"""What the benchmark of text says is what captions say: the parser understands all of it."""

from __future__ import annotations

import pytest
from worldsim_benchmarks.offers import TITLES
from worldsim_benchmarks.probes import cues
from worldsim_benchmarks.suites.text_starts import wording

from worldsim.captions.parse import parse_prompt
from worldsim.worlds import WORLDS, world_named

EVENT_TEXTS = {
    cues.HURT: "damage", cues.HEALED: "heal", "you shoot": "shoot", "a red door opens": "door_opens",
    "an orange door closes": "door_closes", "you turn off a lamp": "switch_off", "you turn on a lamp": "switch_on",
    "a red glass pane shatters": "shatter", "you bite a blue apple": "bite",
}  # fmt: skip


@pytest.mark.parametrize("text", EVENT_TEXTS)
def test_event_texts_are_canonical_captions(text: str) -> None:
    parsed = parse_prompt(text)
    assert [e.kind for e in parsed.events] == [EVENT_TEXTS[text]]
    assert parsed.event_text == text
    assert not parsed.unknown


def test_starts_are_worded_as_the_parser_reads_them() -> None:
    parsed = parse_prompt(wording("red", "orange", {"left": ("disc", "cyan"), "right": ("box", "blue")}))
    assert (parsed.view.wall.colour, parsed.view.floor.colour) == ("red", "orange")
    assert [(t.shape, t.colour, t.place) for t in parsed.view.things] == [
        ("disc", "cyan", "left"), ("box", "blue", "right"),
    ]  # fmt: skip
    assert not parsed.unknown


def test_every_world_is_named_by_its_title() -> None:
    assert {world_named(env_id).name: title for env_id, title in TITLES.items()} == {
        name: spec.title for name, spec in WORLDS.items()
    }
    assert {parse_prompt(title).world for title in TITLES.values()} == {*WORLDS}
