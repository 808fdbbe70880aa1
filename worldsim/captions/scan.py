"""Reads noun phrases: collects the words before a noun, and those after it that still belong to it.

"Two dark green balls on the left", "the walls are red", "walls of red brick" and "red, blue and white walls"
are all nouns with modifiers before or behind them. A run of modifiers belongs to the noun that follows it
directly, else to the noun before it, else it is put aside for the next walls ("red, blue and white walls").
What fits nowhere is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from worldsim.captions.facts import EventFact, Surface, Thing
from worldsim.captions.phrases import BREAKS, HEADS, MODIFIERS, Item

SHADES = frozenset({"dark", "light", "bright", "pale", "deep", "dim"})


@dataclass
class Findings:
    """What a text states, before it is sorted into facts. ``doors`` hold one colour for each door."""

    settings: list[str] = field(default_factory=list)
    rooms: int = 0
    walls: list[Surface] = field(default_factory=list)
    floor: Surface = field(default_factory=Surface)
    ceiling: Surface = field(default_factory=Surface)
    lights: list[str] = field(default_factory=list)
    doors: list[str] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    events: list[EventFact] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class _Noun:
    """The noun phrase that is being read: modifiers that wait for their noun."""

    def __init__(self) -> None:
        self.clear()
        self.place, self.near = "", None

    def clear(self) -> None:
        self.colour: Item | None = None
        self.pattern: Item | None = None
        self.count: Item | None = None
        self.negation: Item | None = None

    @property
    def surface(self) -> Surface:
        return Surface(self.colour.value if self.colour else "", self.pattern.value if self.pattern else "")

    def take(self, unknown: list[str], *names: str) -> None:
        """Reports the waiting modifiers of ``names`` as not understood and forgets them."""
        for name in names:
            item = getattr(self, name)
            if item is not None:
                unknown.append(item.text)
                setattr(self, name, None)

    place: str
    near: bool | None


class Scanner:
    """Reads the items of one sentence into ``findings``."""

    def __init__(self, findings: Findings) -> None:
        self.found = findings
        self.noun = _Noun()
        self.aside: list[tuple[Surface, str]] = []  # surfaces that wait for "walls"
        self.last = ""  # the noun before: a surface's name, "thing", "door" or ""
        self.same_chunk = False  # no comma or "and" since that noun
        self.shared = Surface()  # "blue walls and floor": what the second one shares

    def scan(self, items: Sequence[Item]) -> None:
        for at, item in enumerate(items):
            following = next((i for i in items[at + 1 :]), None)
            if item.kind in MODIFIERS:
                self._modifier(item, items[at + 1 :])
            elif item.kind == "unknown":
                self._unknown(item, following)
            elif item.kind == "light" or item.text == "light":
                self._light(item, following)
            elif item.kind in ("place", "near"):
                self._where(item)
            elif item.kind == "number":
                self.noun.take(self.found.unknown, "count")
                self.noun.count = item
            elif item.kind == "negation":
                self.noun.negation = item
            elif item.kind == "setting":
                self.found.settings.append(item.value)
            elif item.kind in HEADS:
                listed = at > 0 and items[at - 1].kind in BREAKS and self.noun.surface == Surface()
                shared = self._last_surface() if listed else Surface()
                self._head(item)
                self.shared = shared if item.kind == "surface" else Surface()
            elif item.kind in BREAKS:
                self._break()
        self._break()
        self.found.unknown += [text for _, text in self.aside]

    def _modifier(self, item: Item, rest: Sequence[Item]) -> None:
        behind = next((i.kind for i in rest if i.kind not in MODIFIERS and i.kind != "unknown"), "")
        if behind not in HEADS and self.same_chunk:
            if not self._attach(item):
                self.found.unknown.append(item.text)
            return
        self.noun.take(self.found.unknown, item.kind)
        setattr(self.noun, item.kind, item)

    def _last_surface(self) -> Surface:
        """The surface before, nothing known if that was no surface."""
        if self.last == "wall":
            return self.found.walls[-1]
        return getattr(self.found, self.last) if self.last in ("floor", "ceiling") else Surface()

    def _set_last_surface(self, surface: Surface) -> None:
        if self.last == "wall":
            self.found.walls[-1] = surface
        else:
            setattr(self.found, self.last, surface)

    def _attach(self, item: Item) -> bool:
        """Gives a colour or pattern to the noun before it, where that has none yet."""
        found = self.found
        if self.last == "room":  # "the room is blue"
            found.walls.append(Surface())
            self.last = "wall"
        if self.last in ("wall", "floor", "ceiling"):
            old = self._last_surface()
        elif item.kind == "colour" and self.last == "thing" and not found.things[-1].colour:
            found.things[-1] = replace(found.things[-1], colour=item.value)
            return True
        elif item.kind == "colour" and self.last == "door" and not found.doors[-1]:
            found.doors[-1] = item.value
            return True
        else:
            return False
        if getattr(old, item.kind):
            return False
        self._set_last_surface(replace(old, **{item.kind: item.value}))
        return True

    def _unknown(self, item: Item, following: Item | None) -> None:
        adjective = following is not None and following.kind in (MODIFIERS | HEADS | {"unknown"})
        if not adjective:  # a noun that is not known takes its modifiers with it
            self.noun.take(self.found.unknown, "negation", "count", "colour", "pattern")
        self.found.unknown.append(item.text)

    def _light(self, item: Item, following: Item | None) -> None:
        if item.text in SHADES and following is not None and following.kind == "colour":
            self.found.unknown.append(item.text)  # a shade: "dark blue" is blue
        elif item.kind == "light":
            self.found.lights.append(item.value)

    def _where(self, item: Item) -> None:
        waiting = self.noun.colour or self.noun.count or self.noun.pattern
        if self.last == "thing" and not waiting:
            thing = self.found.things[-1]
            if getattr(thing, item.kind) in ("", None):
                self.found.things[-1] = replace(thing, **{item.kind: item.value})
                return
        if self.last and self.same_chunk and not waiting:
            self.found.unknown.append(item.text)
        else:
            setattr(self.noun, item.kind, item.value)

    def _head(self, item: Item) -> None:
        noun, found = self.noun, self.found
        if noun.negation is not None:  # facts state what there is, not what there is not
            found.unknown.append(f"{noun.negation.text} {item.text}")
            noun.clear()
            return
        if item.kind == "room":
            self._room(item)
        elif item.kind == "surface":
            self._surface(item)
        else:
            noun.take(found.unknown, "pattern")
            plural = item.value if item.kind == "door" else item.value[1]
            count = noun.count.value if noun.count else 1 + plural
            colour = noun.colour.value if noun.colour else ""
            if count == 0:
                noun.take(found.unknown, "count")
                found.unknown.append(item.text)
            elif item.kind == "door":
                found.doors += [colour] * count
                self.last, self.same_chunk = "door", True
            else:
                found.things.append(Thing(item.value[0], colour, count, noun.place, noun.near))
                noun.place, noun.near = "", None
                self.last, self.same_chunk = "thing", True
        noun.clear()

    def _room(self, item: Item) -> None:
        """ "Seven rooms" is a count, "a red room" has red walls, "a room" says nothing."""
        noun = self.noun
        if noun.surface != Surface():
            self._surface(replace(item, value="wall"))
        elif noun.count and not self.found.rooms:
            self.found.rooms = noun.count.value
            self.last = ""
        else:
            self.last, self.same_chunk = "room", True

    def _surface(self, item: Item) -> None:
        noun, found = self.noun, self.found
        if item.value == "wall":
            found.walls += [surface for surface, _ in self.aside]
            found.walls.append(noun.surface)
            self.aside = []
        else:
            old = getattr(found, item.value)
            if old != Surface() and noun.surface != Surface():
                noun.take(found.unknown, "colour", "pattern")
            elif noun.surface != Surface():
                setattr(found, item.value, noun.surface)
        self.last, self.same_chunk = item.value, True

    def _break(self) -> None:
        noun = self.noun
        if self.shared != Surface() and self._last_surface() == Surface():
            self._set_last_surface(self.shared)
        self.shared = Surface()
        if noun.surface != Surface():
            text = " ".join(i.text for i in (noun.colour, noun.pattern) if i)
            if self.last == "wall":
                self.found.walls.append(noun.surface)  # "the walls are red and blue"
            else:
                self.aside.append((noun.surface, text))
            noun.colour = noun.pattern = None
        noun.take(self.found.unknown, "count", "negation")
        self.same_chunk = False


def scan_event(items: Sequence[Item], findings: Findings) -> None:
    """Reads one event ("you pick up a red ball") with the colour and shape of its object."""
    kind = next(item.value for item in items if item.kind == "event")
    colour = shape = ""
    for item in items:
        if item.kind == "colour" and not colour:
            colour = item.value
        elif item.kind == "shape" and not shape and not kind.startswith("door_"):
            shape = item.value[0]
        elif item.kind not in ("event", "filler", "door", "comma", "and", "room"):
            findings.unknown.append(item.text)
    findings.events.append(EventFact(kind, colour, "" if shape == "thing" else shape))
