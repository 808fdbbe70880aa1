"""``worldsim inspect``: what a recording holds, as tables, and as a contact sheet to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from worldsim.actions import ACTION_MEANINGS
from worldsim.captions.grammar import CUT_WORDS
from worldsim.recording.reader import Recording
from worldsim.recording.store import Entry
from worldsim.video import contact_sheet, write_picture

SHEET_COLUMNS = 8


@dataclass(frozen=True)
class Inspect:
    """Show what a recording holds."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the recording."""
    sheet: Path | None = None
    """Write a contact sheet of some episodes to this PNG."""
    episodes: tuple[int, ...] = ()
    """Numbers of the episodes on the sheet. Default: six, spread over worlds and policies."""
    samples: int = 4
    """Captions and events to show."""
    verify: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compare the checksums of all files."""


def main(argv: list[str]) -> int:
    """Runs the command; returns 0. Raises ``ValueError`` or ``OSError`` naming what cannot be read."""
    run = tyro.cli(Inspect, args=argv, prog="worldsim inspect")
    recording = Recording.open(run.folder, verify=run.verify)
    print(report(recording, run.samples))
    if run.verify:
        print("\nall checksums are right")
    if run.sheet is not None:
        numbers = run.episodes or spread(recording.entries, 6)
        write_picture(run.sheet, sheet(recording, numbers))
        print(f"\nwrote {run.sheet}: episodes {', '.join(map(str, numbers))}")
    return 0


def report(recording: Recording, samples: int = 4) -> str:
    """The tables of a recording as text."""
    entries, steps = recording.entries, recording.steps
    if not entries:
        return f"{recording.folder}: no episode yet"
    seconds = sum(entry.length / entry.fps for entry in entries)
    size = recording.size_on_disk()
    height, width = recording.frame_size
    kind = "PNG" if recording.info.with_images else "video"
    head = (
        f"{recording.folder}: {len(entries)} episodes, {steps} steps, {seconds / 60:.1f} minutes at "
        f"{recording.info.fps:g} fps, frames {height}x{width} as {kind}\n"
        f"{size / 2**20:.1f} MiB on disk, {size / steps:.0f} bytes a step"
    )
    parts = [
        head,
        episodes_by("world", entries, lambda entry: entry.world),
        episodes_by("policy", entries, lambda entry: entry.policy),
        episodes_by("split", entries, lambda entry: entry.split),
        goals(entries),
        shots(entries),
        action_table(entries),
        *texts(recording, samples),
    ]
    return "\n\n".join(part for part in parts if part)


def episodes_by(title: str, entries: Sequence[Entry], key: Callable[[Entry], str]) -> str:
    """Episodes, steps, lengths, endings and rewards for every value of ``key``."""
    rows = [[title, "episodes", "steps", "mean length", "terminated", "truncated", "mean return", "notable steps"]]
    for name in sorted({key(entry) for entry in entries}):
        group = [entry for entry in entries if key(entry) == name]
        steps = [entry.steps for entry in group]
        rows.append(
            [
                name,
                str(len(group)),
                str(sum(steps)),
                f"{np.mean(steps):.0f}",
                f"{np.mean([entry.terminated for entry in group]):.0%}",
                f"{np.mean([entry.truncated for entry in group]):.0%}",
                f"{np.mean([entry.reward for entry in group]):.2f}",
                str(sum(len(entry.notable) for entry in group)),
            ]
        )
    return table(rows)


def goals(entries: Sequence[Entry]) -> str:
    """Episodes with and without a goal, and how often a goal was reached."""
    with_goal = [entry for entry in entries if entry.goal]
    if not with_goal:
        return ""
    reached = sum(entry.reward > 0 for entry in with_goal)
    different = len({entry.goal for entry in with_goal})
    share = f"{len(with_goal)} of {len(entries)} episodes"
    return f"goals: {share} have one ({different} different); rewarded in {reached}"


def shots(entries: Sequence[Entry]) -> str:
    """How many episodes have several shots."""
    several = [entry for entry in entries if entry.cuts]
    count = sum(entry.cuts for entry in several)
    return f"shots: {len(several)} of {len(entries)} episodes have several ({count} cuts)" if several else ""


def action_table(entries: Sequence[Entry]) -> str:
    """Share of every action in every world, of steps whose controls are those of none, and of cuts."""
    worlds = sorted({entry.world for entry in entries})
    groups = {world: [entry for entry in entries if entry.world == world] for world in worlds}
    steps = {world: sum(entry.steps for entry in group) for world, group in groups.items()}
    known = {world: np.sum([entry.action_counts for entry in group], axis=0) for world, group in groups.items()}
    cuts = {world: sum(entry.cuts for entry in group) for world, group in groups.items()}
    counts = {w: [*known[w], steps[w] - known[w].sum() - cuts[w], cuts[w]] for w in worlds}
    rows = [["action", *worlds]]
    for action, name in enumerate((*ACTION_MEANINGS, "(none of these)", "(cut)")):
        if any(counts[w][action] for w in worlds):
            shares = [counts[w][action] / steps[w] for w in worlds]
            rows.append([name, *(f"{share:.1%}" if share else "-" for share in shares)])
    return table(rows)


def texts(recording: Recording, samples: int) -> list[str]:
    """Most frequent event words, and samples of captions, out of up to 20 episodes."""
    entries = recording.entries
    chosen = [entries[i] for i in np.unique(np.linspace(0, len(entries) - 1, 20).astype(int))]
    events: Counter[str] = Counter()
    captions: list[str] = []
    for entry in chosen:
        views, said = recording.texts(entry.episode_index)
        events.update(f"{CUT_WORDS} ..." if text.startswith(CUT_WORDS) else text for text in said if text)
        if len(captions) < samples:
            middle = len(views) // 2
            shown = next((text for text in said[middle:] if text), "")
            captions.append(f"  scene: {entry.scene}\n  view:  {views[middle]}\n  event: {shown or '(none)'}")
    shown_events = "\n".join(f"  {count:6} {text}" for text, count in events.most_common(3 * samples))
    return [
        f"events ({sum(events.values())} in {len(chosen)} episodes)\n{shown_events}" if events else "",
        "captions\n" + "\n\n".join(captions) if captions else "",
    ]


def spread(entries: Sequence[Entry], count: int) -> list[int]:
    """Numbers of up to ``count`` episodes, of as many different worlds and policies as there are."""
    groups: dict[tuple[str, str], list[int]] = {}
    for entry in entries:
        groups.setdefault((entry.world, entry.policy), []).append(entry.episode_index)
    chosen: list[int] = []
    while len(chosen) < min(count, len(entries)):
        for numbers in groups.values():
            if numbers and len(chosen) < count:
                chosen.append(numbers.pop(0))
    return sorted(chosen)


def sheet(recording: Recording, numbers: Iterable[int]) -> np.ndarray:
    """A row of eight observations for every episode; under each: episode / step, and the action that
    follows."""
    frames, labels = [], []
    for number in numbers:
        episode = recording.episode(number)
        cuts = [*episode.cuts, False]
        for t in np.linspace(0, len(episode), SHEET_COLUMNS).astype(int):
            frames.append(episode.observations[t])
            follows = "end" if t == len(episode) else "cut" if cuts[t] else action_name(episode.actions[t])
            labels.append(f"{number} / {t} {follows}")
    return contact_sheet(np.stack(frames), labels, title=str(recording.folder), columns=SHEET_COLUMNS)


def action_name(action: int) -> str:
    """Name of a recorded action; "?" for controls that are none's."""
    return ACTION_MEANINGS[action] if action >= 0 else "?"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
