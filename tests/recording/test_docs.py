"""The examples of docs/data.md do what the page says, and its tables and those of docs/minecraft.md are complete."""

import re
from pathlib import Path

import numpy as np

from worldsim.actions import KEY_BIT
from worldsim.recording import minerl, vpt
from worldsim.recording.columns import data_schema, features
from worldsim.recording.reader import Recording

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "data.md").read_text()
HOTBAR = {f"hotbar.{slot}" for slot in range(2, 9)}


def test_the_example_for_own_data_writes_a_recording(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "MyStreet" in code]
    exec(example, {})
    episode = Recording.open("recordings/street", verify=True).episode(0)
    assert (episode.world, len(episode), episode.policy) == ("MyStreet", 10, "human")
    assert episode.keys.tolist() == [1] * 10 and np.isnan(episode.pose).all()
    assert episode.views == [""] + ["a street with parked cars"] * 10


def test_the_table_of_minecrafts_keys_is_that_of_the_readers():
    names = {1 << bit: name for name, bit in KEY_BIT.items()}
    page = (DOCS / "minecraft.md").read_text()
    rows = [[re.findall(r"`([\w.]+)`", cell) for cell in line.split("|")[1:4]] for line in page.splitlines()]
    told = {(name, key) for keys, *sources in filter(None, rows) for cell in sources for name in cell for key in keys}
    items = {item: mask for masks in minerl.CHOSEN.values() for item, mask in masks.items() if item}
    pressed = {name.removeprefix("key.keyboard."): mask for name, mask in vpt.HELD.items()}
    for reads in (minerl.HELD, items, pressed):
        assert {(name, names[mask]) for name, mask in reads.items() if name not in HOTBAR} <= told


def test_every_column_is_documented():
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    documented = {name for cell in rows for name in re.findall(r"`([\w.]+)`", cell)}
    assert set(data_schema(with_images=True).names) <= documented
    assert set(features((64, 64), with_images=True)) == set(data_schema(with_images=True).names)
