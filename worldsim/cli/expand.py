"""``worldsim expand``: what becomes of a prompt before anything is drawn. Needs no model and no world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from worldsim.captions.expander import Expander, Expansion, GrammarExpander
from worldsim.captions.grammar import prompt_text
from worldsim.captions.written import EndpointExpander, TransformersExpander

CHOSEN_BY = {
    "argument": "as asked",
    "name": "the prompt means it",
    "words": "it has most of what the prompt speaks of",
    "answer": "the language model's choice",
    "default": "the default",
}


@dataclass(frozen=True)
class Expand:
    """Show how a prompt is expanded: its world, the texts for the model, what was understood and what was added."""

    prompt: tyro.conf.Positional[str]
    """What the world shall look like."""
    world: str | None = None
    """A registered world, such as DoomTakeCover. Default: the one that the prompt means, else DoomRooms."""
    seed: int = 0
    """The same prompt and seed give the same expansion."""
    by: Annotated[Literal["grammar", "endpoint", "transformers"], tyro.conf.arg(name="with")] = "grammar"
    """Who fills what the prompt leaves open: the grammar (offline), a chat-completions endpoint, or a local model of
    transformers. The key of an endpoint comes from WORLDSIM_EXPANDER_KEY."""
    url: str | None = None
    """Base address of the endpoint, up to /v1. Default: WORLDSIM_EXPANDER_URL."""
    model: str | None = None
    """Model of the endpoint (default: WORLDSIM_EXPANDER_MODEL), or name or folder of a transformers model."""
    timeout: float = 30.0
    """Seconds to wait for the endpoint."""


def expander_of(options: Expand) -> Expander:
    """The expander that the options ask for; ``ValueError`` for options that it does not take."""
    if options.by == "endpoint":
        return EndpointExpander(options.url, options.model, timeout=options.timeout)
    if options.url is not None:
        raise ValueError(f"--url is for --with endpoint, not for --with {options.by}")
    if options.by == "transformers":
        if options.model is None:
            raise ValueError("--with transformers needs --model, a name or a folder of a model that generates text")
        return TransformersExpander(options.model)
    if options.model is not None:
        raise ValueError("--model is for --with endpoint or --with transformers; the grammar needs none")
    return GrammarExpander()


def lines(expansion: Expansion) -> list[str]:
    """The expansion as it is printed; parts without content are left out."""
    rows = [
        ("prompt", [expansion.prompt]),
        ("world", [f"{expansion.world.env_id} ({CHOSEN_BY[expansion.chosen_by]})"]),
        ("scene", [prompt_text(expansion.world, expansion.scene_text)]),
        ("view", [expansion.view_text]),
        ("event", [expansion.event_text]),
        ("understood", [expansion.understood]),
        ("added", expansion.filled),
        ("kept", [", ".join(expansion.kept)]),
        ("left out", [", ".join(expansion.unknown)]),
        ("note", expansion.notes),
    ]
    return [f"{name:<10} {text}" for name, texts in rows for text in texts if text]


def main(argv: list[str]) -> int:
    """Entry point of the command."""
    options = tyro.cli(Expand, args=argv, prog="worldsim expand")
    print("\n".join(lines(expander_of(options).expand(options.prompt, options.seed, options.world))))
    return 0
