"""The bank of true starts: lossless on disk, and refused where something was altered."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldsim.bank import Bank, StartFacts, build_bank
from worldsim.model.debug import debug_bank


def test_a_saved_bank_loads_back_equal(tmp_path: Path) -> None:
    bank = debug_bank(starts=19, frame_size=(32, 48))
    bank.save(tmp_path / "bank")
    loaded = Bank.load(tmp_path / "bank")
    assert loaded.worlds == bank.worlds and loaded.facts == bank.facts
    assert all(np.array_equal(loaded.frames[w], bank.frames[w]) for w in bank.worlds)


def test_a_bank_of_the_first_version_holds_png_sheets(tmp_path: Path) -> None:
    bank = debug_bank(starts=5)
    bank.save(tmp_path)
    index = tmp_path / "bank.json"
    content = json.loads(index.read_text())
    for entry in content["worlds"].values():
        sheet = (tmp_path / entry["sheet"]).with_suffix(".png")
        Image.open(tmp_path / entry["sheet"]).save(sheet)
        (tmp_path / entry["sheet"]).unlink()
        entry |= {"sheet": sheet.name, "sha256": hashlib.sha256(sheet.read_bytes()).hexdigest()}
    index.write_text(json.dumps(content | {"format_version": 1}))
    loaded = Bank.load(tmp_path)
    assert all(np.array_equal(loaded.frames[w], bank.frames[w]) for w in bank.worlds)


def test_starts_are_counted_and_wrap_around() -> None:
    bank = debug_bank(starts=3)
    assert bank.count("DoomRooms") == 3 and bank.count("Nowhere") == 0
    assert np.array_equal(bank.start("DoomRooms", 4).frame, bank.frames["DoomRooms"][1])
    with pytest.raises(ValueError, match="no starts of Nowhere; it has DoomRooms"):
        bank.start("Nowhere", 0)


def test_altered_banks_are_refused(tmp_path: Path) -> None:
    debug_bank(starts=2).save(tmp_path)
    sheet, index = tmp_path / "DoomRooms.webp", tmp_path / "bank.json"
    good, listed = sheet.read_bytes(), json.loads(index.read_text())
    sheet.write_bytes(good[:-20])
    with pytest.raises(ValueError, match=r"DoomRooms\.webp is not the sheet that was saved"):
        Bank.load(tmp_path)
    sheet.unlink()
    with pytest.raises(ValueError, match=r"lacks .*DoomRooms\.webp"):
        Bank.load(tmp_path)
    sheet.write_bytes(good)

    def refused(message: str, **changes: object) -> None:
        entry = listed["worlds"]["DoomRooms"] | changes
        index.write_text(json.dumps(listed | {"worlds": {"DoomRooms": entry}}))
        with pytest.raises(ValueError, match=message):
            Bank.load(tmp_path)

    refused("not a file of this folder", sheet="../DoomRooms.webp")
    refused("tiles of 32x64", frame_size=[32, 64])
    refused("not a bank of starts", starts=[{"map_seed": 1}])
    index.write_text(json.dumps(listed | {"format_version": 9}))
    with pytest.raises(ValueError, match=r"format version 9.*Update worldsim"):
        Bank.load(tmp_path)
    index.write_text("[")
    with pytest.raises(ValueError, match="is not a bank of starts"):
        Bank.load(tmp_path)


def test_a_sheet_that_no_webp_can_hold_is_refused(tmp_path: Path) -> None:
    wide = Bank({"DoomRooms": np.zeros((1, 16, 1040, 3), np.uint8)}, {"DoomRooms": [StartFacts(0, "", "", "")]})
    with pytest.raises(ValueError, match="would be 16x16640 pixels, and a WebP has at most 16383"):
        wide.save(tmp_path)


def test_frames_and_facts_must_agree() -> None:
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"2, 8, 8, 3.*with 1 facts"):
        Bank({"DoomRooms": frames}, {"DoomRooms": [StartFacts(0, "", "", "")]})


def test_a_bank_is_not_made_of_test_maps() -> None:
    with pytest.raises(ValueError, match="not made of test maps"):
        build_bank(["DoomRooms"], 1, split="test")


def test_more_starts_are_of_the_worlds_of_the_bank() -> None:
    with pytest.raises(ValueError, match=r"the bank is of \['DoomRooms'\], not of \['Table'\]"):
        build_bank(["DoomRooms"], 1, more={"Table": 3})


def test_starts_come_from_distinct_validation_maps() -> None:
    pytest.importorskip("vizdoom")
    bank = build_bank(["DoomRooms", "DoomBasic"], 3)
    rooms = bank.facts["DoomRooms"]
    assert len({facts.map_seed for facts in rooms}) == 3
    assert all(1_000_000 <= facts.map_seed < 1_100_000 and facts.scene for facts in rooms)
    assert bank.frames["DoomBasic"].shape == (3, 64, 64, 3)
    again = build_bank(["DoomRooms", "DoomBasic"], 3, more={"worldsim/DoomBasic-v0": 5})
    assert again.frames["DoomBasic"].shape == (5, 64, 64, 3)
    assert np.array_equal(again.frames["DoomRooms"], bank.frames["DoomRooms"])
