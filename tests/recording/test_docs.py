"""The examples of docs/data.md do what the page says."""

import re
from pathlib import Path

import numpy as np

from worldsim.recording.columns import data_schema, features
from worldsim.recording.reader import Recording

PAGE = (Path(__file__).parents[2] / "docs/data.md").read_text()


def test_the_example_for_own_data_writes_a_recording(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "MyStreet" in code]
    exec(example, {})
    episode = Recording.open("recordings/street", verify=True).episode(0)
    assert (episode.world, len(episode), episode.policy) == ("MyStreet", 10, "human")
    assert episode.keys.tolist() == [1] * 10 and np.isnan(episode.pose).all()
    assert episode.views == [""] + ["a street with parked cars"] * 10


def test_every_column_is_documented():
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    documented = {name for cell in rows for name in re.findall(r"`([\w.]+)`", cell)}
    assert set(data_schema(with_images=True).names) <= documented
    assert set(features((64, 64), with_images=True)) == set(data_schema(with_images=True).names)
