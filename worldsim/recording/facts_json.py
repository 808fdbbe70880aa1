"""Facts of one moment as one line of JSON, so that a recording can be captioned again in another style later.

A line holds the three parts ``{"scene": ..., "view": ..., "events": [...]}`` with the fields of the records
in ``worldsim.captions.facts``; a field that holds its default is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from functools import lru_cache
from typing import Any

from worldsim.captions.facts import EventFact, SceneFacts, Surface, Thing, ViewFacts

Facts = tuple[SceneFacts, ViewFacts, tuple[EventFact, ...]]


def facts_to_json(scene: SceneFacts, view: ViewFacts, events: tuple[EventFact, ...] = ()) -> str:
    """One line of JSON that ``facts_from_json`` reads back to equal records."""
    view_json = json.dumps(_plain(view), separators=(",", ":"))
    events_json = json.dumps([_plain(event) for event in events], separators=(",", ":"))
    return f'{{"scene":{_scene_json(scene)},"view":{view_json},"events":{events_json}}}'


def facts_from_json(text: str) -> Facts:
    """The records of a line of ``facts_to_json``. Raises ``ValueError`` for text that is not such a line."""
    try:
        data = json.loads(text)
        scene = SceneFacts(**_typed(data["scene"]))
        view = ViewFacts(**_typed(data["view"]))
        return scene, view, tuple(EventFact(**event) for event in data["events"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"not a line of facts (scene, view, events as JSON): {text[:80]!r}: {error}") from error


NOTHING: Facts = (SceneFacts(world=""), ViewFacts(), ())
"""The facts of a moment of which nothing is known."""


def read_facts(line: str) -> Facts:
    """The facts of one recorded moment; nothing where the line is empty."""
    return facts_from_json(line) if line else NOTHING


@lru_cache(maxsize=64)
def _scene_json(scene: SceneFacts) -> str:
    return json.dumps(_plain(scene), separators=(",", ":"))


def _plain(record: Any) -> Any:
    """``record`` as dicts and lists, without the fields that hold their defaults."""
    if isinstance(record, tuple):
        return [_plain(item) for item in record]
    if not hasattr(record, "__dataclass_fields__"):
        return record
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {f.name: _plain(values[f.name]) for f in fields(record) if values[f.name] != _default(f)}


def _default(field: Field) -> Any:
    return field.default if field.default is not MISSING else MISSING


def _typed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The nested records of scene or view facts, and tuples where JSON has lists."""
    typed: dict[str, Any] = {}
    for name, value in data.items():
        if name in ("wall", "floor", "ceiling"):
            typed[name] = Surface(**value)
        elif name == "walls":
            typed[name] = tuple(Surface(**item) for item in value)
        elif name == "things":
            typed[name] = tuple(Thing(**item) for item in value)
        else:
            typed[name] = tuple(value) if isinstance(value, list) else value
    return typed
