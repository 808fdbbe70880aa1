"""Typed facts about a world: what captions are made from, and what a prompt is parsed back to.

Text has three parts. The *scene* holds for a whole episode, the *view* is what is seen at one moment, an
*event* is what happens during one step. Worlds fill these records from their own state; the grammar words
them; because the facts are known, every caption can be parsed back in tests. Imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Surface:
    """A wall, floor or ceiling: a named colour and a pattern (``brick``, ``check``, ``stripe``, ``dots``,
    ``plain``, or a material such as ``metal`` for stock textures). An empty string is "not known"."""

    colour: str = ""
    pattern: str = ""


@dataclass(frozen=True)
class Thing:
    """``count`` equal objects. ``place`` is ``left``, ``ahead``, ``right`` or ``""``; ``near`` is None if
    unknown."""

    shape: str
    colour: str = ""
    count: int = 1
    place: str = ""
    near: bool | None = None


@dataclass(frozen=True)
class SceneFacts:
    """What holds for the whole episode.

    ``world`` is a name of ``worldsim.worlds.WORLDS``, ``setting`` a short noun phrase of the world ("a maze
    of rooms"), ``rooms`` a count (0 if not known), ``walls`` the most common surfaces, ``things`` the objects
    in the whole map.
    """

    world: str
    setting: str = ""
    rooms: int = 0
    walls: tuple[Surface, ...] = ()
    things: tuple[Thing, ...] = ()


@dataclass(frozen=True)
class ViewFacts:
    """What is seen at one moment: the surfaces of the room that fills the view, the light (``dark``, ``dim``,
    ``bright`` or ``""``), door colours in sight (``()`` if none) and visible objects."""

    wall: Surface = Surface()
    floor: Surface = Surface()
    ceiling: Surface = Surface()
    light: str = ""
    doors: tuple[str, ...] = ()
    things: tuple[Thing, ...] = ()


@dataclass(frozen=True)
class EventFact:
    """One thing that happens during a step. ``kind`` is one of ``EVENT_KINDS``, or ``CUT``."""

    kind: str
    colour: str = ""
    shape: str = ""


EVENT_KINDS: tuple[str, ...] = (
    "door_opens", "door_closes", "pick_up", "push", "shoot", "hit", "destroy", "damage", "heal", "death",
    "goal", "paint", "bite", "eat", "shatter", "switch_on", "switch_off", "plant", "sprout", "slide",
    "place", "craft", "dig",
)  # fmt: skip

CUT = "cut"
"""Kind of the event that the picture is cut to another view: no world does it, a recording of several shots does. Its
caption says what is seen then, "cut to red walls", so it is worded and read with the view (``grammar.cut_text``)."""
