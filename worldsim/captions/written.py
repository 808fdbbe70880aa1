"""Expanders that ask a language model, and trust it no further than the parser does.

A language model has taste that a grammar lacks, but it writes what the world model was never trained on. So its answer
is no caption yet: the parser reads it, and what it states fills the open slots of the prompt before chance fills the
rest. What the user said is never replaced, and an answer that cannot be read is reported and the grammar used.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Sequence
from typing import Any
from urllib import error, request

from worldsim.captions import lexicon as lex
from worldsim.captions.expander import Expansion, GrammarExpander, choose_world
from worldsim.captions.facts import ViewFacts
from worldsim.captions.grammar import whole_text
from worldsim.captions.parse import ParsedPrompt, parse_prompt
from worldsim.captions.samples import captions_of
from worldsim.captions.vocabulary import MAX_TOKENS
from worldsim.worlds import WORLDS, world_named

Messages = list[dict[str, str]]
"""Chat messages, each with ``role`` and ``content``."""

URL, MODEL, KEY = "WORLDSIM_EXPANDER_URL", "WORLDSIM_EXPANDER_MODEL", "WORLDSIM_EXPANDER_KEY"
"""Environment variables of the endpoint. The key has no flag on the command line, where others could read it."""

MAX_ANSWER = 1 << 20
"""Bytes that are read of an endpoint's answer."""

EXAMPLES = 3
ANSWER_TOKENS = 200

INSTRUCTIONS = """\
You expand short prompts to captions of a simulated world, from which a video model draws it. Answer with one caption
in exactly the form of the examples, and nothing else. Begin with the title of the world and a colon. Keep everything
that the prompt says; invent what it leaves open: walls, floor, ceiling, light, and a few things in sight.
State what there is, not what there is not. At most {limit} words for what holds for the whole map, and as many for
what is seen. Use only these words:
colours: {colours}
patterns: {patterns}
things: {things}
light: {lights}
places: {places}

Examples:
{examples}"""


def messages_for(prompt: str, worlds: Sequence[str]) -> Messages:
    """What a language model is told: the task, the words, true captions of ``worlds``, and the prompt."""
    each = max(1, EXAMPLES // len(worlds))
    examples = [whole_text(WORLDS[name], scene, view) for name in worlds for _, scene, view in captions_of(name)[:each]]
    instructions = INSTRUCTIONS.format(
        limit=MAX_TOKENS - 14,
        colours=", ".join(lex.COLOURS),
        patterns=", ".join(wordings[0] for wordings in lex.PATTERNS.values()),
        things=", ".join(wordings[0] for wordings in lex.SHAPES.values()),
        lights=", ".join(lex.LIGHTS),
        places=", ".join(wordings[0] for wordings in (*lex.PLACES.values(), *lex.DISTANCES.values())),
        examples="\n".join(examples),
    )
    return [{"role": "system", "content": instructions}, {"role": "user", "content": prompt}]


def read_answer(text: str) -> tuple[ParsedPrompt | None, tuple[str, ...]]:
    """What an answer states (None: nothing that can be used), and what the user should know of it."""
    lines = [line.strip(" \t\"'`*") for line in text.splitlines()]
    try:
        answer = parse_prompt(". ".join(line for line in lines if line))
    except ValueError as reason:
        return None, (f"the model's answer cannot be used, so the grammar filled everything ({reason})",)
    if not (answer.view != ViewFacts() or answer.scene_text):
        return None, ("the model's answer states nothing that is understood, so the grammar filled everything",)
    if answer.unknown:
        return answer, (f"of the model's answer, not understood: {', '.join(answer.unknown)}",)
    return answer, ()


class _WrittenExpander:
    """An expander by ``_ask``, which sends messages to a language model."""

    def __init__(self, grammar: GrammarExpander | None) -> None:
        self.grammar = grammar or GrammarExpander()

    def expand(self, prompt: str, seed: int, world: str | None = None) -> Expansion:
        """See ``Expander.expand``; equal arguments give equal expansions as far as the language model's do.

        Raises ``ConnectionError`` where the model cannot be reached, ``ValueError`` for an answer of another form.
        """
        parsed = parse_prompt(prompt)
        spec, chosen_by = (world_named(world), "argument") if world else choose_world(parsed, self.grammar.worlds)
        worlds = self.grammar.worlds if chosen_by == "default" else (spec.name,)
        answer, notes = read_answer(self._ask(messages_for(prompt, worlds), seed))
        return self.grammar.expand_with(prompt, seed, world, answer, notes)

    def _ask(self, messages: Messages, seed: int) -> str:
        raise NotImplementedError


class EndpointExpander(_WrittenExpander):
    """Asks any server that speaks the chat-completions protocol of OpenAI's API.

    ``url`` is its base, such as ``http://127.0.0.1:11434/v1``, ``model`` the name of a model there, ``key`` what is
    sent as bearer token ("" for none); each defaults to the environment variable ``WORLDSIM_EXPANDER_URL``,
    ``..._MODEL``, ``..._KEY``. ``timeout`` is in seconds without a sign of the server. The key is sent to this address
    only: redirections are refused.
    """

    def __init__(
        self,
        url: str | None = None,
        model: str | None = None,
        key: str | None = None,
        timeout: float = 30.0,
        grammar: GrammarExpander | None = None,
    ) -> None:
        super().__init__(grammar)
        base = _setting("url", url, URL).rstrip("/")
        if not base.startswith(("http://", "https://")):
            raise ValueError(f"the endpoint's url is {base!r}; expected http://... or https://..., up to /v1")
        if not timeout > 0:
            raise ValueError(f"timeout={timeout!r}; expected seconds above 0")
        self.url, self.model, self.timeout = f"{base}/chat/completions", _setting("model", model, MODEL), timeout
        self._key = os.environ.get(KEY, "") if key is None else key
        self._opener = request.build_opener(_NoRedirection)

    def _ask(self, messages: Messages, seed: int) -> str:
        body = {"model": self.model, "messages": messages, "seed": seed, "max_tokens": ANSWER_TOKENS}
        return _content(self._post(json.dumps(body).encode()), self.url)

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            with self._opener.open(request.Request(self.url, body, headers), timeout=self.timeout) as response:
                return bytes(response.read(MAX_ANSWER))
        except error.HTTPError as failed:
            said = failed.read(500).decode("utf-8", "replace")
            raise ConnectionError(f"{self.url} answered {failed.code} {failed.reason}: {said}") from failed
        except (OSError, http.client.HTTPException) as failed:
            reason = getattr(failed, "reason", None) or failed
            if isinstance(reason, TimeoutError):
                reason = f"no answer within {self.timeout:g} seconds"
            raise ConnectionError(f"{self.url} cannot be asked: {reason}") from failed


class _NoRedirection(request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _setting(name: str, given: str | None, variable: str) -> str:
    value = os.environ.get(variable, "") if given is None else given
    if not value:
        raise ValueError(f"the endpoint needs a {name}: pass it, or set {variable}")
    return value


def _content(data: bytes, url: str) -> str:
    """The text of a chat completion; ``ValueError`` where ``data`` is none."""
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as reason:
        raise ValueError(f"{url} answered no chat completion ({reason!r}): {data[:200]!r}") from reason
    if not isinstance(content, str):
        raise ValueError(f"{url} answered a message without text: {data[:200]!r}")
    return content


class TransformersExpander(_WrittenExpander):
    """Asks a model of ``transformers`` on this machine (the extra ``[transformers]``).

    ``model`` is the name or folder of a model that generates text, or a ``text-generation`` pipeline. Where its
    tokenizer has no chat template, it is given the messages one below the other. Raises ``ImportError`` where
    ``transformers`` is not installed, ``OSError`` for a model that is not there.
    """

    def __init__(self, model: Any, device: str = "cpu", grammar: GrammarExpander | None = None) -> None:
        super().__init__(grammar)
        self.pipeline = _pipeline(model, device) if isinstance(model, str | os.PathLike) else model

    def _ask(self, messages: Messages, seed: int) -> str:
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            answers = self.pipeline(
                self._text(messages), max_new_tokens=ANSWER_TOKENS, do_sample=True, return_full_text=False
            )
        return str(answers[0]["generated_text"])

    def _text(self, messages: Messages) -> str:
        tokenizer = self.pipeline.tokenizer
        if getattr(tokenizer, "chat_template", None):
            return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        instructions, prompt = (message["content"] for message in messages)
        return f"{instructions}\n\nPrompt: {prompt}\nCaption:"


def _pipeline(model: str | os.PathLike[str], device: str) -> Any:
    try:
        from transformers import pipeline
    except ImportError as reason:
        raise ImportError("transformers is not installed: pip install 'worldsim-gym[transformers]'") from reason
    return pipeline("text-generation", model=os.fspath(model), device=device)
