"""``worldsim caption``: what a captioner sees in recordings and videos, shown, scored, or written into a recording."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from worldsim.captions.statements import GROUPS, Score, scores_by_group, statements
from worldsim.captions.styles import check_style
from worldsim.cli.collect import stop_on_signals
from worldsim.cli.inspect import table
from worldsim.recording.facts_json import facts_to_json, read_facts
from worldsim.recording.reader import Recording
from worldsim.worlds import WORLDS, world_named

if TYPE_CHECKING:
    from worldsim.captioning.captioner import Captioner
    from worldsim.captioning.describe import Told


@dataclass(frozen=True)
class Caption:
    """Caption the episodes of a recording, or a video."""

    clips: Path
    """Folder of a recording, or an .mp4 file."""
    model: Path | None = None
    """Folder of a captioner. Default: the one that comes with the package."""
    style: str = "descriptive"
    """short, medium or descriptive."""
    seed: int = 0
    """Wordings of a seed differ from those of another."""
    episodes: tuple[int, ...] = ()
    """Numbers of the episodes. Default: the first three to show, all to score or to write."""
    every: int = 40
    """Show every so many observations of an episode, or frames of a video."""
    world: str | None = None
    """The world of a video, such as DoomRooms. Default: the captioner finds out."""
    score: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compare with the recording's own facts, moment by moment, and print the F1 of each world."""
    write: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write the captions and facts into the recording, for episodes that have none."""
    replace_truth: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """With --write: also into episodes that have captions of the world itself, which are lost."""


def main(argv: list[str]) -> int:
    """Runs the command; returns 0. Raises ``ValueError`` or ``OSError`` naming what cannot be used."""
    run = tyro.cli(Caption, args=argv, prog="worldsim caption")
    check_style(run.style)
    if run.every < 1:
        raise ValueError(f"--every {run.every} must be at least 1")
    if run.replace_truth and not run.write:
        raise ValueError("--replace-truth is for --write")
    if run.score and run.write:
        raise ValueError("--score compares with what --write would replace: give one of them")
    video = run.clips.suffix == ".mp4"
    if video and (run.score or run.write or run.episodes):
        raise ValueError("--score, --write and --episodes are for recordings, not for a video")
    if not video and run.world is not None:
        raise ValueError("--world is for a video; episodes of a recording say which world they are of")
    world = None if run.world is None else world_named(run.world).name
    recording = None if video else Recording.open(run.clips)

    from worldsim.captioning.captioner import Captioner

    captioner = Captioner.from_pretrained(run.model)
    if recording is None:
        print("\n".join(_video_lines(captioner, run, world)))
    elif run.score:
        print(score_table(captioner, recording, _chosen(recording, run.episodes, len(recording))))
    elif run.write:
        print(_write(captioner, recording, run))
    else:
        for number in _chosen(recording, run.episodes, 3):
            print("\n".join(_episode_lines(captioner, recording, number, run)))
    return 0


def _chosen(recording: Recording, numbers: Sequence[int], most: int) -> list[int]:
    """The episodes that are asked for, by default the first ``most``."""
    beyond = [number for number in numbers if not 0 <= number < len(recording)]
    if beyond:
        raise ValueError(f"there is no episode {beyond[0]}: {recording.folder} holds {len(recording)}, counted from 0")
    return list(numbers) or list(range(min(most, len(recording))))


def _video_lines(captioner: Captioner, run: Caption, world: str | None) -> Iterator[str]:
    from worldsim.captioning.describe import video_facts, word_facts

    found = video_facts(captioner, run.clips, run.every, world)
    told = word_facts([facts for _, facts in found], run.style, (run.seed,))
    yield _head(str(run.clips), told[0])
    for (number, _), moment in zip(found, told):
        yield from _moment_lines(f"frame {number}", moment)


def _episode_lines(captioner: Captioner, recording: Recording, number: int, run: Caption) -> Iterator[str]:
    from worldsim.captioning.describe import episode_facts, word_facts

    told = word_facts(episode_facts(captioner, recording, number), run.style, (run.seed, number))
    yield _head(f"episode {number} ({recording.entries[number].world})", told[0])
    for t in range(0, len(told), run.every):
        yield from _moment_lines(f"step {t}", told[t])


def _head(name: str, told: Told) -> str:
    world = told.facts[0].world
    return f"{name}: {WORLDS[world].title}: {told.scene}" if world else f"{name}: no world that the captioner knows"


def _moment_lines(name: str, told: Told) -> Iterator[str]:
    yield f"  {name:<10} view   {told.view or '(nothing)'}"
    if told.event:
        yield f"  {'':<10} event  {told.event}"
    scene, view, events = told.facts
    facts = json.loads(facts_to_json(scene, view, events))
    yield f"  {'':<10} facts  {json.dumps({name: facts[name] for name in ('view', 'events') if facts[name]})}"


def _write(captioner: Captioner, recording: Recording, run: Caption) -> str:
    from worldsim.captioning.describe import caption_episode
    from worldsim.recording.recaption import uncaptioned, write_captions

    digest, asked = captioner.digest, set(_chosen(recording, run.episodes, len(recording)))
    numbers = [number for number in uncaptioned(recording, digest, run.replace_truth) if number in asked]
    done_before = sum(recording.entries[number].captioned_by == digest for number in asked)
    true = len(asked) - len(numbers) - done_before
    if true and not numbers and not done_before:
        raise ValueError(
            f"all {true} episodes have captions of the world itself, which are better than a captioner's; "
            "--replace-truth replaces them"
        )
    with stop_on_signals() as stopped:
        done = write_captions(
            recording.folder,
            numbers,
            lambda opened, number: caption_episode(captioner, opened, number, run.style, run.seed),
            digest,
            stopped,
        )
    left = f"; {true} with captions of the world itself were left as they are" if true else ""
    before = f"; {done_before} had been captioned by it before" if done_before else ""
    return f"captioned {done} of {len(numbers)} episodes by {digest}{before}{left}"


def score_table(captioner: Captioner, recording: Recording, numbers: Sequence[int]) -> str:
    """F1, precision and recall over all statements of every world, and F1 of each group of statements, in percent.

    The captioner is not told the world. Raises ``ValueError`` where the episodes hold no facts.
    """
    from worldsim.recording.glimpses import read_glimpses

    scores: dict[str, dict[str, Score]] = {}
    moments: Counter[str] = Counter()
    for number in numbers:
        entry = recording.entries[number]
        frames, lines = read_glimpses(recording, number, range(entry.steps + 1))
        known = [i for i, line in enumerate(lines) if line]
        if not known or entry.captioned_by:
            continue
        moments[entry.world] += len(known)
        sums = scores.setdefault(entry.world, dict.fromkeys(GROUPS, Score()))
        for said, i in zip(captioner.facts(frames[known]), known):
            for group, score in scores_by_group(statements(*said), statements(*read_facts(lines[i]))).items():
                sums[group] += score
    if not scores:
        raise ValueError(f"{recording.folder} holds no facts of the worlds themselves to compare with")
    shown = [group for group in GROUPS if any(_made(sums[group]) for sums in scores.values())]
    rows = [["world", "moments", "F1", "precision", "recall", *shown]]
    for world in sorted(scores, key=lambda name: list(WORLDS).index(name) if name in WORLDS else len(WORLDS)):
        total = sum(scores[world].values(), Score())
        groups = [f"{100 * scores[world][g].f1:.1f}" if _made(scores[world][g]) else "-" for g in shown]
        rows.append([world, str(moments[world]), *_percent(total), *groups])
    return table(rows)


def _made(score: Score) -> int:
    return score.right + score.wrong + score.missing


def _percent(score: Score) -> list[str]:
    return [f"{100 * value:.1f}" for value in (score.f1, score.precision, score.recall)]
