"""Writes the captions of a captioner into a recording that lies on the disk, in place, without a moment of danger.

Index and data files know each other's sizes, so two of them cannot be replaced one after the other without a moment in
which they contradict each other. But an index that is missing is no fault: data files repeat their entries, and readers
and writers rebuild it from these. So the index is taken away first, last file first; then each data file is replaced as
a whole; then the index is written anew. A process that is killed leaves a recording that opens, some of its episodes
with the new captions and the others as they were, and the next call goes on with these. Only the columns ``scene``,
``view``, ``event`` and ``facts`` change, and of the entry ``scene``, ``notable`` and ``captioned_by``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from worldsim.captions.facts import CUT, EventFact
from worldsim.captions.grammar import cut_text
from worldsim.recording.columns import episode_arrays, observed
from worldsim.recording.episode import is_cut
from worldsim.recording.facts_json import facts_to_json, read_facts
from worldsim.recording.reader import Recording
from worldsim.recording.store import (
    INDEX_FILE,
    Entry,
    RecordingError,
    data_path,
    index_path,
    size_and_sum,
    sync_folder,
    write_durably,
    write_index,
)
from worldsim.recording.writer import RecordingWriter, data_file, notable_steps


@dataclass(frozen=True)
class Captions:
    """What is said of an episode of T steps: its ``scene``, and ``views``, ``events`` and ``facts`` (JSON lines) of its
    T + 1 observations."""

    scene: str
    views: list[str]
    events: list[str]
    facts: list[str]


def has_captions(recording: Recording, number: int) -> bool:
    """Whether anything is said of an episode."""
    if recording.entries[number].scene:
        return True
    table = recording.columns(number, ["view", "event", "facts"])
    return any(any(column.to_pylist()) for column in table.columns)


def uncaptioned(recording: Recording, by: str, replace_truth: bool = False) -> list[int]:
    """Episodes that captioner ``by`` may caption and has not: those that nothing is said of and those of another
    captioner; with ``replace_truth`` also those whose captions are of the world itself."""
    return [
        entry.episode_index
        for entry in recording.entries
        if entry.captioned_by != by
        and (entry.captioned_by or replace_truth or not has_captions(recording, entry.episode_index))
    ]


def write_captions(
    folder: str | os.PathLike[str],
    numbers: Iterable[int],
    caption: Callable[[Recording, int], Captions],
    by: str,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Captions the episodes ``numbers`` of the recording in ``folder`` by calling ``caption`` for each; returns how
    many were written until ``stopped()``. ``by`` names the captioner.

    Raises ``RecordingError`` where another process writes to the folder or a file of it is damaged; then nothing is
    changed that was not whole.
    """
    numbers = list(numbers)
    recording = Recording.open(folder, verify=True)  # what is damaged must not be rebuilt from
    done = 0
    with RecordingWriter(folder) as writer:
        if len(writer) != len(recording):
            raise RecordingError(f"{folder} was written to while it was opened; try again")
        if not numbers:
            return 0
        _drop_index(writer.folder, len(writer))
        try:
            for number in numbers:
                if stopped():
                    break
                writer.entries[number] = _rewritten(recording, number, caption(recording, number), by)
                done += 1
        finally:
            for first in range(0, len(writer), INDEX_FILE):
                write_index(writer.folder, writer.entries, first)
    return done


def _rewritten(recording: Recording, number: int, captions: Captions, by: str) -> Entry:
    """Replaces the data file of an episode; returns its entry."""
    table, before = recording.columns(number), recording.entries[number]
    k = before.frames_per_step
    if any(len(texts) != before.steps + 1 for texts in (captions.views, captions.events, captions.facts)):
        raise ValueError(f"episode {number} has {before.steps + 1} observations, and not as many captions")
    captions = _with_cuts(captions, table, k)
    columns = {"view": captions.views, "event": captions.events, "facts": captions.facts}
    texts = {name: observed(np.array(values, object), k, "") for name, values in columns.items()}
    texts["scene"] = np.array([captions.scene] * len(table), object)
    for name, values in texts.items():
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), pa.array(values, pa.string()))
    reward, ended = (table.column(name).to_numpy()[::k][1:] for name in ("reward", "terminated"))
    notable = notable_steps(before.world, captions.events, reward, ended)
    entry = replace(before, scene=captions.scene, notable=notable, captioned_by=by, files={})
    path = recording.folder / data_path(number)
    write_durably(path, data_file(table, entry, recording.info.with_images))
    entry.files.update(before.files | {data_path(number): size_and_sum(path)})
    return entry


def _with_cuts(captions: Captions, table: pa.Table, k: int) -> Captions:
    """The captions, in which each cut is told with its new view: a cut is known from its action, whoever captions."""
    arrays = episode_arrays(table, k)
    events, facts = list(captions.events), list(captions.facts)
    for t in np.flatnonzero(is_cut(arrays["actions"], arrays["keys"], arrays["camera"])) + 1:
        scene, view, _ = read_facts(facts[t])
        events[t], facts[t] = cut_text(captions.views[t]), facts_to_json(scene, view, (EventFact(CUT),))
    return replace(captions, events=events, facts=facts)


def _drop_index(folder: Path, episodes: int) -> None:
    for first in reversed(range(0, episodes, INDEX_FILE)):
        path = folder / index_path(first)
        path.unlink()
        sync_folder(path.parent)
