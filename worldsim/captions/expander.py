"""Expands a short prompt to the long caption that the model was trained on.

Following DALL-E 3 and Sora, training captions are long and users' prompts are short, so a prompt is expanded before
anything is drawn: the parser reads what it says, the world is found, and what it leaves open is filled by chance, from
the way that maps of this world begin in training. What the user said stays; the seed decides the rest. The expansion
is always shown, and says itself what was understood, what was added and what was left out.

``GrammarExpander`` needs nothing but this package. ``written`` holds expanders that ask a language model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from worldsim.captions import grammar
from worldsim.captions.facts import EventFact, SceneFacts, ViewFacts
from worldsim.captions.filling import Absent, additions, complete, draw_like
from worldsim.captions.parse import ParsedPrompt, find_world, parse_prompt
from worldsim.captions.phrases import read_items
from worldsim.captions.samples import Moment, known_words, samples
from worldsim.captions.styles import stated_scene, stated_view
from worldsim.captions.vocabulary import MAX_TOKENS, VOCABULARY, split_words
from worldsim.worlds import DEFAULT_WORLD, WORLDS, WorldSpec, world_named


@dataclass(frozen=True)
class Expansion:
    """A prompt and what became of it.

    ``scene_text`` (without the world's title), ``view_text`` and ``event_text`` are canonical descriptive captions of
    ``scene``, ``view`` and ``events``, each at most ``MAX_TOKENS`` tokens. ``chosen_by`` says how the world was found:
    ``"argument"``, ``"name"``, ``"words"``, ``"answer"`` (of a language model) or ``"default"``. ``understood`` is a
    caption of what the prompt says, ``filled`` captions of what was added to it. ``kept`` are words that the parser
    does not know and the vocabulary does, at the end of ``scene_text``; ``unknown`` was left out. ``notes`` are
    sentences for the user: a choice that was overruled, an answer that could not be used.
    """

    prompt: str
    world: WorldSpec
    chosen_by: str
    scene: SceneFacts
    view: ViewFacts
    events: tuple[EventFact, ...]
    scene_text: str
    view_text: str
    event_text: str
    understood: str
    filled: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole as one caption, which is itself a prompt that says the same."""
        return grammar.whole_text(self.world, self.scene_text, self.view_text, self.event_text)


class Expander(Protocol):
    """Whatever expands prompts."""

    def expand(self, prompt: str, seed: int, world: str | None = None) -> Expansion:
        """``prompt`` for ``world`` (None: the one that it names). Equal arguments give equal expansions.

        Raises ``ValueError`` for an empty prompt, one longer than the text encoder takes, and an unknown world.
        """
        ...


def choose_world(parsed: ParsedPrompt, among: Sequence[str] = tuple(WORLDS)) -> tuple[WorldSpec, str]:
    """The world that a prompt means, and how it was found.

    That is the one it names (``"name"``), else the one of ``among`` that has most of the things and patterns it speaks
    of (``"words"``: a cow is of Crafter), else ``DEFAULT_WORLD`` (``"default"``), which is meant too where it has as
    many as the best.
    """
    if parsed.world is not None:
        return WORLDS[parsed.world], "name"
    words = _words(parsed)
    has = Counter({name: len(words & known_words(name)) for name in among}) if words else Counter()
    best = max(has.values(), default=0)
    if best == has[DEFAULT_WORLD]:
        return WORLDS[DEFAULT_WORLD], "default"
    return WORLDS[next(name for name in among if has[name] == best)], "words"


def _words(parsed: ParsedPrompt) -> set[tuple[str, str]]:
    shapes = {thing.shape for thing in (*parsed.scene.things, *parsed.view.things)}
    shapes = (shapes | {event.shape for event in parsed.events}) - {"", "thing"}
    view = parsed.view
    patterns = {surface.pattern for surface in (*parsed.scene.walls, view.wall, view.floor, view.ceiling)} - {""}
    return {("shape", shape) for shape in shapes} | {("pattern", pattern) for pattern in patterns}


class GrammarExpander:
    """Reads the prompt by the parser and fills open slots from true starts of the world, offline.

    ``worlds`` are those that words may point to; a name or an argument may be of any other.
    """

    def __init__(self, worlds: Sequence[str] = tuple(WORLDS)) -> None:
        self.worlds = tuple(world_named(name).name for name in worlds)

    def expand(self, prompt: str, seed: int, world: str | None = None) -> Expansion:
        """See ``Expander.expand``."""
        return self.expand_with(prompt, seed, world)

    def expand_with(
        self,
        prompt: str,
        seed: int,
        world: str | None = None,
        answer: ParsedPrompt | None = None,
        notes: tuple[str, ...] = (),
    ) -> Expansion:
        """``expand``, with what ``answer`` states taken before chance fills the rest; ``notes`` are passed on."""
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"seed={seed!r}; expected an integer of at least 0")
        parsed = parse_prompt(prompt)
        spec, chosen_by = self._world(parsed, world, answer)
        if parsed.world not in (None, spec.name):
            notes += (f"the prompt means {WORLDS[parsed.world].title}, and {spec.title} was asked for",)
        said, absent = said_of(parsed, spec, prompt), _absent(parsed)
        full = said
        if answer is not None:
            full = complete(full, absent.strip(said_of(answer, spec, answer.understood)))
        start = draw_like(full, samples(spec.name), np.random.default_rng(seed))
        full = complete(full, absent.strip(start))
        return _worded(prompt, parsed, spec, chosen_by, said, full, notes)

    def _world(self, parsed: ParsedPrompt, world: str | None, answer: ParsedPrompt | None) -> tuple[WorldSpec, str]:
        if world is not None:
            return world_named(world), "argument"
        spec, chosen_by = choose_world(parsed, self.worlds)
        if chosen_by == "default" and answer is not None and answer.world in self.worlds:
            return WORLDS[answer.world], "answer"
        return spec, chosen_by


class BareExpander:
    """``GrammarExpander`` for prompts that name a world and nothing that is in it; what another one leaves open, it
    leaves open.

    Worlds are trained on captions that say much, so that of a bare name a mean of all their pictures would be drawn.
    """

    def __init__(self, worlds: Sequence[str] = tuple(WORLDS)) -> None:
        self.grammar = GrammarExpander(worlds)

    def expand(self, prompt: str, seed: int, world: str | None = None) -> Expansion:
        """See ``Expander.expand``."""
        full = self.grammar.expand(prompt, seed, world)
        said = parse_prompt(prompt, full.world.name)
        if is_bare(said):
            return full
        return replace(
            full,
            scene=said.scene,
            view=said.view,
            scene_text=said.scene_text,
            view_text=said.view_text,
            understood=said.understood,
            filled=(),
            kept=(),
            unknown=said.unknown,
        )


def is_bare(said: ParsedPrompt) -> bool:
    """Whether a prompt says of its world at most what kind of place it is: no walls, rooms, things, floor or light,
    nothing that happens, and no word that is not understood."""
    place = SceneFacts(world=said.scene.world, setting=said.scene.setting)
    return said.scene == place and said.view == ViewFacts() and not said.events and not said.unknown


def said_of(parsed: ParsedPrompt, spec: WorldSpec, text: str) -> Moment:
    """What a prompt states of ``spec``. A setting that the parser inferred from a name, or one of another world than
    was asked for, is not."""
    says_setting = any(item.kind == "setting" for item in read_items(split_words(find_world(text)[1])))
    setting = parsed.scene.setting if says_setting and parsed.world in (None, spec.name) else ""
    return Moment(replace(parsed.scene, world=spec.name, setting=setting), parsed.view)


def _absent(parsed: ParsedPrompt) -> Absent:
    """What a prompt denies: the parser reports "no doors" as not understood, since facts cannot state it."""
    shapes, slots = set(), set()
    for entry in parsed.unknown:
        denied, *heads = list(read_items(split_words(entry)))
        if denied.kind == "negation":
            shapes |= {head.value[0] for head in heads if head.kind == "shape"}
            slots |= {head.value for head in heads if head.kind == "surface"}
            slots |= {"doors" for head in heads if head.kind == "door"}
    return Absent(frozenset(shapes), frozenset(slots))


def _worded(
    prompt: str,
    parsed: ParsedPrompt,
    spec: WorldSpec,
    chosen_by: str,
    said: Moment,
    full: Moment,
    notes: tuple[str, ...],
) -> Expansion:
    scene, view = stated_scene(full.scene, "descriptive"), stated_view(full.view, "descriptive")
    scene_text = grammar.scene_caption(scene, "descriptive")
    kept = _kept(parsed.unknown, MAX_TOKENS - len(VOCABULARY.encode(grammar.prompt_text(spec, scene_text))))
    return Expansion(
        prompt=prompt,
        world=spec,
        chosen_by=chosen_by,
        scene=scene,
        view=view,
        events=parsed.events,
        scene_text=". ".join((scene_text, ", ".join(kept))) if kept else scene_text,
        view_text=grammar.view_caption(view, "descriptive"),
        event_text=parsed.event_text,
        understood=parsed.understood,
        filled=additions(said, full),
        kept=kept,
        unknown=tuple(word for word in parsed.unknown if word not in kept),
        notes=notes,
    )


def _kept(unknown: Sequence[str], room: int) -> tuple[str, ...]:
    """Single words that no table of the parser has and the vocabulary does, as many as ``room`` tokens take (each
    one takes two, itself and a mark). Colours and counts of a thing that is not known would fall to another one."""
    new = [word for word in unknown if word in VOCABULARY and [item.kind for item in read_items([word])] == ["unknown"]]
    return tuple(new[: room // 2])
