"""Expanders that ask a language model: a real HTTP server on this machine, and a tiny model where transformers is."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worldsim.captions.expander import GrammarExpander
from worldsim.captions.facts import Surface
from worldsim.captions.parse import parse_prompt
from worldsim.captions.vocabulary import MAX_TOKENS
from worldsim.captions.written import EndpointExpander, TransformersExpander, messages_for
from worldsim.worlds import WORLDS

ANSWER = "Doom rooms: three rooms. green walls and an orange checked floor, it is dark, a blue ball ahead"


@dataclass
class Server:
    """A chat-completions endpoint that answers ``content``, or ``raw`` with ``status``, after ``delay`` seconds."""

    url: str
    content: str = ANSWER
    raw: bytes | None = None
    status: int = 200
    delay: float = 0.0
    location: str = ""
    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)

    def answer(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return json.dumps({"choices": [{"message": {"role": "assistant", "content": self.content}}]}).encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("URL", "MODEL", "KEY"):
        monkeypatch.delenv(f"WORLDSIM_EXPANDER_{name}", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.asked.append((self.path, dict(self.headers), json.loads(body)))
            time.sleep(made.delay)
            self.send_response(made.status)
            if made.location:
                self.send_header("Location", made.location)
            self.end_headers()
            self.wfile.write(made.answer())

        def do_GET(self) -> None:
            made.asked.append((self.path, dict(self.headers), {}))

        def log_message(self, *_: Any) -> None:
            pass

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Server(f"http://127.0.0.1:{http_server.server_port}/v1")
    thread = threading.Thread(target=http_server.serve_forever)
    thread.start()
    yield made
    http_server.shutdown()
    thread.join()
    http_server.server_close()


def endpoint(server: Server, **given: Any) -> EndpointExpander:
    return EndpointExpander(server.url, "tiny", **given)


def test_the_answer_fills_what_was_open_and_chance_the_rest(server: Server) -> None:
    full = endpoint(server).expand("red walls", 5)
    assert full.view.wall.colour == "red"  # said by the user
    assert (full.scene.rooms, full.view.floor, full.view.light) == (3, Surface("orange", "check"), "dark")
    assert full.view.things[0].colour == "blue"
    assert full.view.ceiling != Surface() and full.scene.things  # filled by the grammar
    assert full.notes == () and parse_prompt(full.text).view == full.view
    assert full == endpoint(server).expand("red walls", 5)


def test_it_asks_as_the_protocol_says(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDSIM_EXPANDER_URL", server.url + "/")
    monkeypatch.setenv("WORLDSIM_EXPANDER_MODEL", "small")
    monkeypatch.setenv("WORLDSIM_EXPANDER_KEY", "secret")
    EndpointExpander().expand("two cows", 7)
    ((path, headers, body),) = server.asked
    assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer secret"
    assert (body["model"], body["seed"]) == ("small", 7)
    assert body["messages"] == messages_for("two cows", ["Crafter"])
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert "Crafter: grassland" in body["messages"][0]["content"]
    endpoint(server, key="").expand("red walls", 0)
    assert "Authorization" not in server.asked[-1][1]
    assert all(spec.title in server.asked[-1][2]["messages"][0]["content"] for spec in WORLDS.values())


def test_the_answer_may_choose_a_world_only_where_the_prompt_does_not(server: Server) -> None:
    server.content = "Physics table: a red disc"
    assert (endpoint(server).expand("blue walls", 0).world.name) == "Table"
    assert endpoint(server).expand("blue walls", 0).chosen_by == "answer"
    assert endpoint(server).expand("doom, blue walls", 0).world.name == "DoomRooms"
    assert endpoint(server).expand("two cows", 0).world.name == "Crafter"
    assert endpoint(server).expand("blue walls", 0, "DoomBasic").world.name == "DoomBasic"
    of_doom = GrammarExpander(["DoomRooms"])
    assert endpoint(server, grammar=of_doom).expand("blue walls", 0).world.name == "DoomRooms"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("", "cannot be used, so the grammar filled everything .the prompt is empty"),
        ("red walls " * MAX_TOKENS, "cannot be used, so the grammar filled everything .*limit is 64"),
        ("I am sorry, I cannot.", "states nothing that is understood, so the grammar filled everything"),
        ("a green floor under a dragon", "of the model's answer, not understood: .*dragon"),
    ],
)
def test_an_answer_that_cannot_be_read_is_reported_and_the_grammar_fills(
    server: Server, content: str, note: str
) -> None:
    server.content = content
    full = endpoint(server).expand("red walls", 5)
    (said,) = full.notes
    assert re.search(note, said), said
    if "everything" in note:
        grammar = GrammarExpander().expand("red walls", 5)
        assert (full.text, full.filled) == (grammar.text, grammar.filled)
    else:
        assert full.view.floor.colour == "green" and "dragon" not in full.text


def test_what_the_prompt_rules_out_is_not_taken_from_the_answer(server: Server) -> None:
    server.content = "red walls, two blue doors"
    assert endpoint(server).expand("no doors", 0).view.doors == ()
    assert endpoint(server).expand("dark", 0).view.doors == ("blue", "blue")


@pytest.mark.parametrize(
    ("setting", "kind", "message"),
    [
        ({"status": 401, "raw": b'{"error": "bad key"}'}, ConnectionError, "answered 401 Unauthorized: .*bad key"),
        ({"status": 500}, ConnectionError, "answered 500"),
        ({"delay": 1.0}, ConnectionError, "cannot be asked: no answer within 0.2 seconds"),
        ({"raw": b"<html>"}, ValueError, "answered no chat completion"),
        ({"raw": b'{"choices": []}'}, ValueError, "answered no chat completion"),
        ({"raw": b'{"choices": [{"message": {"content": null}}]}'}, ValueError, "a message without text"),
        ({"raw": b"\xff\xfe"}, ValueError, "answered no chat completion"),
    ],
)
def test_faults_of_the_endpoint_are_named(
    server: Server, setting: dict[str, Any], kind: type[Exception], message: str
) -> None:
    for name, value in setting.items():
        setattr(server, name, value)
    with pytest.raises(kind, match=message) as raised:
        endpoint(server, timeout=0.2 if server.delay else 30.0, key="secret").expand("red walls", 0)
    assert server.url in str(raised.value) and "secret" not in str(raised.value)


def test_the_key_is_not_carried_to_another_address(server: Server) -> None:
    server.status, server.location = 302, server.url + "/elsewhere"
    with pytest.raises(ConnectionError, match="answered 302"):
        endpoint(server, key="secret").expand("red walls", 0)
    assert [path for path, _, _ in server.asked] == ["/v1/chat/completions"]


def test_an_endpoint_that_is_not_there_or_not_named_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "MODEL", "KEY"):
        monkeypatch.delenv(f"WORLDSIM_EXPANDER_{name}", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:9/chat/completions cannot be asked"):
        EndpointExpander("http://127.0.0.1:9", "tiny").expand("red walls", 0)
    with pytest.raises(ValueError, match="needs a url: pass it, or set WORLDSIM_EXPANDER_URL"):
        EndpointExpander()
    with pytest.raises(ValueError, match="needs a model: pass it, or set WORLDSIM_EXPANDER_MODEL"):
        EndpointExpander("http://127.0.0.1")
    with pytest.raises(ValueError, match="expected http://"):
        EndpointExpander("file:///etc/passwd", "tiny")
    with pytest.raises(ValueError, match="timeout=0"):
        EndpointExpander("http://127.0.0.1", "tiny", timeout=0)


class Pipeline:
    """What a text-generation pipeline is to its caller, with a fixed answer."""

    def __init__(self, template: str | None) -> None:
        self.tokenizer = SimpleNamespace(
            chat_template=template,
            apply_chat_template=lambda messages, **_: "|".join(message["content"] for message in messages),
        )
        self.given: list[str] = []

    def __call__(self, text: str, **options: Any) -> list[dict[str, str]]:
        assert options["return_full_text"] is False
        self.given.append(text)
        return [{"generated_text": ANSWER}]


@pytest.mark.parametrize(("template", "end"), [(None, "Prompt: red walls\nCaption:"), ("{{ x }}", "|red walls")])
def test_a_pipeline_is_given_the_messages_and_its_answer_is_read(template: str | None, end: str) -> None:
    pipeline = Pipeline(template)
    full = TransformersExpander(pipeline).expand("red walls", 5)
    assert pipeline.given[0].endswith(end) and "Doom rooms: " in pipeline.given[0]
    assert (full.scene.rooms, full.view.wall.colour, full.view.light) == (3, "red", "dark")


def test_a_tiny_model_of_random_weights_answers_and_equal_seeds_agree(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra [transformers] is not installed")
    tokenizers = pytest.importorskip("tokenizers", reason="the extra [transformers] is not installed")
    plain = ["<unk>", "<eos>", "red", "blue", "walls", "a", "floor", "it", "is", "dim"]
    words = {word: i for i, word in enumerate(plain)}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=model, unk_token="<unk>", eos_token="<eos>")
    config = transformers.GPT2Config(
        vocab_size=len(words), n_positions=2048, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=1
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    expander = TransformersExpander(str(tmp_path))
    full = expander.expand("red walls", 3)
    assert full == expander.expand("red walls", 3) and full.view.wall.colour == "red"
    assert parse_prompt(full.text).view == full.view


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"worldsim-gym\[transformers\]"):
        TransformersExpander("tiny")
