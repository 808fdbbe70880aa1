"""What a captioner says on what it believes; its folder; its captions read back."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from worldsim.captioning.captioner import Beliefs, Captioner, CaptionerConfig, Thresholds, answered, looks
from worldsim.captions.facts import EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.captions.grammar import event_caption, scene_caption, view_caption, whole_text
from worldsim.captions.parse import parse_prompt
from worldsim.captions.slots import Slots
from worldsim.captions.statements import statements
from worldsim.captions.styles import STYLES, stated_view
from worldsim.model.factnet import FactNetConfig
from worldsim.model.files import WeightsError
from worldsim.worlds import WORLDS

TINY = FactNetConfig(fine_width=8, coarse_width=16, fine_depth=1, coarse_depth=1, width=16)
SCENE = SceneFacts("DoomRooms", "rooms and corridors with coloured walls", walls=(Surface("red"),))
FACTS = [
    (SCENE, ViewFacts(Surface("red", "brick"), light="dim", doors=("blue",), things=(Thing("ball", "red", 2),)), ()),
    (SCENE, ViewFacts(Surface("blue"), things=(Thing("box", "red", 1, "left", True),)), (EventFact("damage"),)),
    (SceneFacts("Table", "coloured things on a table"), ViewFacts(floor=Surface("grey", "stone")), ()),
]
SLOTS = Slots.of(FACTS)


def certain(share: float = 1.0) -> Beliefs:
    """Beliefs in ``FACTS``: each true value has probability ``share``, "nothing" the rest."""
    answers = SLOTS.answers(FACTS)

    def spread(values: np.ndarray, size: int) -> np.ndarray:
        one = np.eye(size)[values]
        rest = np.eye(size)[np.zeros_like(values)]
        return share * one + (1 - share) * rest

    return Beliefs(
        tuple(spread(answers.choices[:, i], len(words)) for i, words in enumerate(SLOTS.values)),
        spread(answers.counts, 13), spread(answers.places, 4), spread(answers.distances, 3), share * answers.events,
    )  # fmt: skip


@pytest.fixture
def captioner() -> Captioner:
    return Captioner.create(CaptionerConfig(SLOTS, TINY, Thresholds(thing=0.3)), seed=1)


@pytest.fixture
def clips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 5, 64, 64, 3), np.uint8)


def said(beliefs: Beliefs, thresholds: Thresholds, world: str | None = None) -> list[frozenset]:
    answers = answered(beliefs, SLOTS, thresholds, world)
    return [statements(*SLOTS.facts(answers, row)) for row in range(len(answers))]


def test_what_is_believed_is_said():
    assert said(certain(), Thresholds()) == [statements(*facts) for facts in FACTS]
    assert said(certain(0.6), Thresholds()) == said(certain(), Thresholds())


@pytest.mark.parametrize("group", ["light", "door", "thing", "place", "near", "event", "setting", "surface"])
def test_what_is_not_sure_enough_is_left_unsaid_and_nothing_else(group):
    hidden = {"thing": {"thing", "count", "place", "near"}, "surface": {"wall", "floor", "ceiling"}}.get(group, {group})
    wanted = [frozenset(s for s in statements(*facts) if s[0] not in hidden) for facts in FACTS]
    assert said(certain(0.6), Thresholds(**{group: 0.7})) == wanted


def test_a_picture_of_no_known_world_has_no_facts_unless_the_world_is_told():
    assert said(certain(0.6), Thresholds(world=0.7)) == [frozenset()] * 3
    told = said(certain(0.6), Thresholds(world=0.7), "DoomRooms")
    assert told[:2] == [statements(*facts) for facts in FACTS[:2]] and ("world", "DoomRooms") in told[2]
    with pytest.raises(ValueError, match="knows nothing of Crafter; it knows DoomRooms, Table"):
        said(certain(), Thresholds(), "Crafter")


def test_thresholds_are_probabilities():
    with pytest.raises(ValueError, match=r"threshold light=1; accepted is above 0 and below 1"):
        Thresholds(light=1)


@pytest.mark.parametrize("style", STYLES)
def test_captions_of_predicted_facts_are_read_back(captioner, clips, style):
    rng = np.random.default_rng(3)
    captioner = Captioner(
        replace(captioner.config, thresholds=Thresholds(**dict.fromkeys(vars(Thresholds()), 0.05))), captioner.net
    )
    for scene, view, events in captioner.facts(clips):
        assert scene.world and view.things
        for wording in (None, rng):
            texts = scene_caption(scene, style, wording), view_caption(view, style, wording)
            parsed = parse_prompt(whole_text(WORLDS[scene.world], *texts, event_caption(events, style, wording)))
            stated = stated_view(view, style)
            assert statements(parsed.scene, parsed.view, parsed.events) == statements(scene, stated, events)
            assert not parsed.unknown


def test_three_frames_are_seen_at_the_size_that_was_trained_on(captioner, clips):
    large = clips.repeat(2, axis=2).repeat(2, axis=3)
    np.testing.assert_array_equal(looks(large[0]), clips[0][[0, 2, 4]])
    assert captioner.facts(large) == captioner.facts(clips) == captioner.facts(clips[:, [0, 2, 4]])
    assert looks(np.zeros((1, 96, 128, 3), np.uint8)).shape == (3, 64, 88, 3)
    assert looks(np.zeros((2, 64, 64, 3), np.uint8)).shape == (3, 64, 64, 3)
    for bad in (np.zeros((5, 64, 64, 3)), np.zeros((64, 64, 3), np.uint8), np.zeros((0, 64, 64, 3), np.uint8)):
        with pytest.raises(ValueError, match="a clip is uint8"):
            looks(bad)


def test_features_are_of_each_clip_alone_and_differ_between_clips(captioner, clips, monkeypatch):
    whole = captioner.features(clips)
    assert whole.shape == (3, TINY.width)
    monkeypatch.setattr("worldsim.captioning.captioner.BATCH", 2)
    assert np.allclose(captioner.features(clips), whole, atol=1e-5)
    assert np.allclose(captioner.features(clips[2:]), whole[2:], atol=1e-5)
    assert np.abs(whole[0] - whole[1]).max() > 1e-3


def test_a_folder_gives_back_what_was_saved(tmp_path, captioner, clips):
    state = torch.get_rng_state()
    loaded = Captioner.from_pretrained(captioner.save_pretrained(tmp_path / "captioner", "# A card\n"))
    assert torch.equal(state, torch.get_rng_state())
    assert loaded.config == captioner.config and loaded.digest == captioner.digest
    assert all(torch.equal(a, b.half().float()) for a, b in zip(loaded.net.parameters(), captioner.net.parameters()))
    again = loaded.save_pretrained(tmp_path / "captioner")  # a captioner may be replaced
    assert Captioner.from_pretrained(again).facts(clips) == loaded.facts(clips)
    assert Captioner.create(captioner.config, seed=2).digest != captioner.digest


def test_only_a_captioner_is_overwritten(tmp_path, captioner):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no captioner; choose another folder"):
        captioner.save_pretrained(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "config.json").write_text("[broken")
    with pytest.raises(ValueError, match="holds no captioner; choose another folder"):
        captioner.save_pretrained(tmp_path)


def test_what_is_wrong_with_a_folder_is_said(tmp_path, captioner):
    folder = captioner.save_pretrained(tmp_path / "captioner")
    weights, config = folder / "net.safetensors", folder / "config.json"
    whole, content = weights.read_bytes(), json.loads(config.read_text())

    with pytest.raises(FileNotFoundError, match=r"no captioner in .*nowhere.*worldsim train captioner"):
        Captioner.from_pretrained(tmp_path / "nowhere")
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WeightsError, match="SHA-256 differs"):
        Captioner.from_pretrained(folder)
    weights.write_bytes(whole[:-9])
    with pytest.raises(WeightsError, match="truncated"):
        Captioner.from_pretrained(folder)
    weights.unlink()
    with pytest.raises(WeightsError, match=r"net.safetensors is missing"):
        Captioner.from_pretrained(folder)
    weights.write_bytes(whole)
    for change, message in (
        ({"kind": "worldsim.transformer"}, "is not the configuration of a captioner"),
        ({"format_version": 99}, "reads up to 1. Update worldsim"),
        ({"speed": 1}, r"unknown keys \['speed'\]"),
        ({"slots": {**content["slots"], "kinds": ["red|ball"]}}, "colours has shape"),
        ({"files": {}}, "missing tensors"),
    ):
        config.write_text(json.dumps({**content, **change}))
        with pytest.raises(WeightsError, match=message):
            Captioner.from_pretrained(folder)
    config.write_text("[]")
    with pytest.raises(WeightsError, match="is not the configuration of a captioner"):
        Captioner.from_pretrained(folder)
