"""Reads prompts: finds the world that a text names and the facts that it states.

Every caption that the grammar makes is read back to exactly the facts it states, and free prompts ("RED
walls!!", "two green balls on the left, dark") are read as far as they are understood. What is not understood
is returned, never an error. The texts for the model are then worded anew from the facts, so that a prompt in
unfamiliar words still meets the text encoder in words that it was trained on; ``understood`` says to the user
what was.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from worldsim.captions import grammar
from worldsim.captions.facts import CUT, EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.captions.lexicon import WORLD_SYNONYMS, known
from worldsim.captions.phrases import BREAKS, Item, read_items
from worldsim.captions.scan import Findings, Scanner, scan_event
from worldsim.captions.styles import stated_events, stated_scene, stated_view
from worldsim.captions.vocabulary import MAX_TOKENS, split_words
from worldsim.worlds import WORLDS, world_named


@dataclass(frozen=True)
class ParsedPrompt:
    """What a prompt says.

    ``world`` is a name in ``WORLDS`` or None. ``scene``, ``view`` and ``events`` are the facts, and
    ``scene_text`` (without the world's title), ``view_text`` and ``event_text`` their canonical captions, ""
    where nothing is stated: these go to the model. ``unknown`` lists the words that were not understood, and
    ``understood`` is one canonical caption of all that was.
    """

    world: str | None
    scene: SceneFacts
    view: ViewFacts
    events: tuple[EventFact, ...]
    scene_text: str
    view_text: str
    event_text: str
    unknown: tuple[str, ...]
    understood: str


@cache
def _world_patterns() -> tuple[tuple[int, re.Pattern[str], str], ...]:
    """Patterns that name worlds, each with a rank: 0 the surest."""
    ranked: list[tuple[int, str, str]] = []
    gap, start, end = r"[\s_-]*", r"(?<![a-z0-9])", r"(?![a-z0-9])\s*:?"
    for spec in WORLDS.values():
        words = [word.lower() for word in re.findall(r"[A-Z][a-z0-9]*", spec.name)]
        name, prefix, version = gap.join(words), r"worldsim\s*[/:]\s*", rf"{gap}v\d+"
        if len(words) > 1:
            ranked.append((0, rf"{start}(?:{prefix})?{name}(?:{version})?{end}", spec.name))
            ranked.append((2, rf"{start}{words[0]}{end}", spec.name))
        else:  # "table" alone is a thing: such a name is an id, stands before a colon, or is the whole text
            ranked.append((0, rf"{start}(?:{prefix}{name}(?:{version})?|{name}{version}){end}", spec.name))
            ranked.append((0, rf"^\s*{name}\s*(?::|$)", spec.name))
        if len(words) > 2:
            ranked.append((1, rf"{start}{gap.join(words[1:])}{end}", spec.name))
        if spec.title.lower() != " ".join(words):
            ranked.append((0, rf"{start}{gap.join(map(re.escape, split_words(spec.title)))}{end}", spec.name))
        for synonym in WORLD_SYNONYMS[spec.name]:
            ranked.append((3, rf"{start}{gap.join(map(re.escape, split_words(synonym)))}{end}", spec.name))
    return tuple((rank, re.compile(pattern), name) for rank, pattern, name in ranked)


def find_world(text: str) -> tuple[str | None, str]:
    """The world that ``text`` names (``worlds.WORLDS``; the first if several), and the text without that
    name.

    Names are ids ("worldsim/DoomBasic-v0"), class names ("DoomBasic"), titles ("doom take cover") and their
    distinctive part ("health gathering"); "doom" alone is the first world of that family. Without one, what
    else people call a world counts (``WORLD_SYNONYMS``).
    """
    lower = text.lower()
    found = [
        (rank, match.start(), i, match.end(), name)
        for i, (rank, pattern, name) in enumerate(_world_patterns())
        if (match := pattern.search(lower))
    ]
    if not found:
        return None, lower
    _, begin, _, end, name = min(found)
    return name, f"{lower[:begin]} , {lower[end:]}"


def _sentences(items: Sequence[Item]) -> list[list[Item]]:
    """Items between stops. What a cut leads to is a view of its own, so the cut is a sentence."""
    sentences: list[list[Item]] = [[]]
    for item in items:
        if item.kind == "stop":
            sentences.append([])
        elif item.kind == "event" and item.value == CUT:
            sentences += [[item], []]
        else:
            sentences[-1].append(item)
    return [sentence for sentence in sentences if sentence]


def _part(sentence: Sequence[Item]) -> str:
    if _is_event(sentence):
        return "event"
    return "scene" if any(item.kind in ("mark", "setting") for item in sentence) else "view"


def _chunks(sentence: Sequence[Item]) -> list[list[Item]]:
    """Parts of a sentence with an event: each event, and what lies between them."""
    chunks: list[list[Item]] = [[]]
    for item in sentence:
        if item.kind in BREAKS:
            chunks.append([])
        chunks[-1].append(item)
    merged: list[list[Item]] = []
    for chunk in chunks:
        if merged and not _is_event(chunk) and not _is_event(merged[-1]):
            merged[-1] += chunk
        else:
            merged.append(chunk)
    return merged


def _is_event(items: Sequence[Item]) -> bool:
    return any(item.kind == "event" for item in items)


def _check_length(sentences: Sequence[Sequence[Item]]) -> None:
    tokens: Counter[str] = Counter()
    for sentence in sentences:
        tokens[_part(sentence)] += sum(len(split_words(item.text)) for item in sentence)
    for part, count in tokens.items():
        if count > MAX_TOKENS:
            raise ValueError(
                f"the {part} part of the prompt has {count} tokens (words and punctuation marks); the limit "
                f"is {MAX_TOKENS} tokens for each part (scene, view, event). Shorten it: text is never cut"
            )


def _read(sentences: Sequence[Sequence[Item]]) -> tuple[Findings, Findings]:
    """Findings that hold for the whole map, and all others."""
    of_map, here = Findings(), Findings()
    for sentence in sentences:
        if _is_event(sentence):
            for chunk in _chunks(sentence):
                if _is_event(chunk):
                    scan_event(chunk, here)
                else:
                    Scanner(here).scan(chunk)
        else:
            marked = any(item.kind == "mark" for item in sentence)
            Scanner(of_map if marked else here).scan(sentence)
    return of_map, here


def parse_prompt(text: str, default_world: str | None = None) -> ParsedPrompt:
    """The world and the facts of a prompt or caption; ``default_world`` is assumed where ``text`` names none.

    Things and walls "of the map" ("the map has ...", "throughout", "somewhere") are scene facts, others
    belong to the view. Raises ``ValueError`` for something that is no text, for an empty text, and for one
    with a part of more than ``MAX_TOKENS`` words and punctuation marks.
    """
    if not isinstance(text, str):
        raise ValueError(f"a prompt must be a str, got {type(text).__name__} {text!r}")
    if not text.strip():
        raise ValueError("the prompt is empty; describe a world or its walls, floor and things, or pass None")
    if default_world is not None:
        default_world = world_named(default_world).name
    world, rest = find_world(text)
    sentences = _sentences(list(read_items(split_words(rest))))
    _check_length(sentences)
    of_map, here = _read(sentences)
    unknown = of_map.unknown + here.unknown

    setting, *more = [*of_map.settings, *here.settings] or [""]
    unknown += [other for other in more if other != setting]
    if world is None:
        meant = {spec.name: (spec.prompt, *spec.settings) for spec in WORLDS.values()}
        named = (name for name, texts in meant.items() if setting and setting in (known("setting", t) for t in texts))
        world = next(named, default_world)
    walls_here = [wall for wall in here.walls if wall != Surface()]
    walls_of_map = [wall for wall in of_map.walls if wall != Surface()]
    scene = SceneFacts(
        world=world or "",
        setting=setting,
        rooms=of_map.rooms or here.rooms,
        walls=tuple(walls_of_map + (walls_here if len(set(walls_here)) > 1 else [])),
        things=tuple(of_map.things),
    )
    light, *more_lights = [*of_map.lights, *here.lights] or [""]
    unknown += [other for other in more_lights if other != light]
    view = ViewFacts(
        wall=walls_here[0] if walls_here else Surface(),
        floor=here.floor if here.floor != Surface() else of_map.floor,
        ceiling=here.ceiling if here.ceiling != Surface() else of_map.ceiling,
        light=light,
        doors=(*of_map.doors, *here.doors),
        things=tuple(here.things),
    )
    return _assemble(world, scene, view, tuple(here.events), unknown)


def _assemble(
    world: str | None, scene: SceneFacts, view: ViewFacts, events: tuple[EventFact, ...], unknown: list[str]
) -> ParsedPrompt:
    """Bounds the facts to what a caption can state, reports the rest, and words the texts."""
    kept_scene = stated_scene(scene, "descriptive")
    kept_view = stated_view(view, "descriptive")
    kept_events = stated_events(events, "descriptive")
    unknown += _left_out(scene.things, kept_scene.things, place=False) + _left_out(view.things, kept_view.things)
    unknown += [f"{wall.colour} {wall.pattern}".strip() for wall in scene.walls if wall not in kept_scene.walls]
    unknown += [f"{colour} door" for colour in dict.fromkeys(view.doors) if colour not in kept_view.doors]
    unknown += [event.kind.replace("_", " ") for event in events if event not in kept_events]
    scene_text = grammar.scene_caption(kept_scene, "descriptive")
    view_text = grammar.view_caption(kept_view, "descriptive")
    event_text = grammar.happening_caption(kept_view, kept_events, "descriptive")
    shown = "" if any(event.kind == CUT for event in kept_events) else view_text  # a cut tells the view
    named = grammar.prompt_text(WORLDS[world], scene_text) if world else scene_text
    return ParsedPrompt(
        world, kept_scene, kept_view, kept_events, scene_text, view_text, event_text,
        tuple(dict.fromkeys(unknown)), ". ".join(part for part in (named, shown, event_text) if part),
    )  # fmt: skip


def _left_out(given: Sequence[Thing], kept: Sequence[Thing], place: bool = True) -> list[str]:
    def key(thing: Thing) -> Thing:
        return replace(thing, count=1) if place else Thing(thing.shape, thing.colour)

    known = {key(thing) for thing in kept}
    return [f"{thing.colour} {thing.shape}".strip() for thing in given if key(thing) not in known]
