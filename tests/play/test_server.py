"""The server over a real application and a small world: who is let in, what is said, what is limited."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from starlette.datastructures import Headers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have its own HTTP client than httpx
    from starlette.testclient import TestClient, WebSocketTestSession

from starlette.websockets import WebSocketDisconnect

from worldsim.actions import ACTION_ID
from worldsim.play import server
from worldsim.play.player import Player
from worldsim.play.protocol import MAX_MESSAGE, unpack_frames
from worldsim.play.server import create_app, refusal
from worldsim.play.session import Limits

HOST = "127.0.0.1:8765"
HERE = {"host": HOST, "origin": f"http://{HOST}"}
START = {"type": "start", "source": "dream", "world": None, "prompt": "", "seed": 1, "drawn": False}


def client(opener: Any, **limits: Any) -> TestClient:
    app = create_app(limits=Limits(**limits), new_player=lambda: Player(opener))
    return TestClient(app, base_url=f"http://{HOST}")


@pytest.fixture
def socket(opener: Any) -> Iterator[WebSocketTestSession]:
    with client(opener).websocket_connect("/play", headers=HERE) as session:
        assert session.receive_json()["type"] == "hello"
        yield session


def receive(session: WebSocketTestSession) -> tuple[str, Any]:
    """The next message: ("frames", (header, frames)) or (its type, the message)."""
    message = session.receive()
    if message["type"] == "websocket.close":
        raise WebSocketDisconnect(message["code"], message.get("reason"))
    if message.get("bytes") is not None:
        return "frames", unpack_frames(message["bytes"])
    parsed = json.loads(message["text"])
    return parsed["type"], parsed


def frames_where(session: WebSocketTestSession, wanted: Any) -> tuple[dict[str, Any], Any]:
    """Acknowledges frames until a header satisfies ``wanted``; returns it with its frames."""
    for _ in range(300):
        kind, content = receive(session)
        if kind == "frames":
            session.send_json({"type": "ack", "step": content[0]["step"]})
            if wanted(content[0]):
                return content
    raise AssertionError("the frames that were waited for did not come")


def until_closed(opener: Any) -> None:
    end = time.monotonic() + 10
    while not opener.worlds[0].closed:
        assert time.monotonic() < end, "the world was left open"
        time.sleep(0.01)


def closing(session: WebSocketTestSession) -> WebSocketDisconnect:
    with pytest.raises(WebSocketDisconnect) as caught:
        for _ in range(300):
            receive(session)
    return caught.value


# Who is let in


@pytest.mark.parametrize("host", [HOST, "localhost:1", "localhost", "127.0.0.1", "[::1]:8765"])
def test_this_machine_by_any_of_its_names(host: str) -> None:
    assert refusal(Headers({"host": host, "origin": f"http://{host}"}), websocket=True) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example:8765", "127.0.0.1.evil.example", "", "localhost@evil.example", "127.0.0.1:x", "0.0.0.0"],
)
def test_another_host_is_refused(host: str) -> None:
    assert "is not this machine" in str(refusal(Headers({"host": host, "origin": f"http://{host}"}), websocket=True))
    assert "is not this machine" in str(refusal(Headers({"host": host}), websocket=False))


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:3000", "null", f"file://{HOST}", ""])
def test_another_origin_is_refused(origin: str) -> None:
    assert "is not this page" in str(refusal(Headers({"host": HOST, "origin": origin}), websocket=True))


@pytest.mark.parametrize(
    "headers", [{"host": HOST}, {**HERE, "origin": "http://evil.example"}, {**HERE, "host": "evil.example"}]
)
def test_a_refused_socket_is_never_accepted_and_opens_no_world(opener: Any, headers: dict[str, str]) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        client(opener).websocket_connect("/play", headers=headers),
    ):
        pass
    assert caught.value.code == 1008
    assert opener.opened == []


def test_the_page_and_its_headers(opener: Any) -> None:
    page = client(opener).get("/", headers={"host": HOST})
    assert page.status_code == 200 and "<canvas" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert client(opener).get("/static/play.js").status_code == 200
    assert client(opener).get("/", headers={"host": "evil.example"}).status_code == 403
    assert client(opener).get("/static/../server.py").status_code == 404
    assert client(opener).get("/static/%2e%2e/server.py").status_code == 404


# What is said


def test_hello_names_what_can_be_chosen(opener: Any) -> None:
    with client(opener).websocket_connect("/play", headers=HERE) as session:
        hello = session.receive_json()
    assert list(hello["worlds"]) == ["dream", "true"]
    assert hello["worlds"]["true"]["Table"] == "Physics table" and hello["keys"]["KeyW"] == "forward"


def test_only_what_runs_here_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "missing", lambda spec: () if spec.name == "Table" else ("engine",))
    offered = server.Choices.here("dream", None, "", ["DoomBasic"]).worlds
    assert offered == {"dream": {"DoomBasic": "Doom basic"}, "true": {"Table": "Physics table"}}
    monkeypatch.setattr(server, "missing", lambda spec: ("engine",))
    assert list(server.Choices.here("dream", None, "", ["DoomBasic"]).worlds) == ["dream"]


def test_held_keys_become_actions_and_frames(socket: WebSocketTestSession, opener: Any) -> None:
    socket.send_json(START)
    header, frames = frames_where(socket, lambda h: h["step"] == 0)
    assert frames.shape == (1, 32, 32, 3) and header["prompt"] == "an empty stage" and header["hallucination"] is None
    socket.send_json({"type": "keys", "held": ["KeyW"]})
    header, frames = frames_where(socket, lambda h: h["action"] == "forward")
    assert frames.shape == (4, 32, 32, 3)
    assert frames[:, :, 20].mean((1, 2)) == pytest.approx([0, 40, 80, 120], abs=4), "four frames, in order"
    red = frames[0, 16].astype(int)
    assert (red[:, 0] - red[:, 2]).argmax() == ACTION_ID["forward"]
    assert header["total"] == header["step"] * 0.5


def test_a_tap_is_never_lost(socket: WebSocketTestSession, opener: Any) -> None:
    socket.send_json(START)
    frames_where(socket, lambda h: h["step"] == 1)
    socket.send_json({"type": "keys", "held": ["KeyE"]})
    socket.send_json({"type": "keys", "held": []})
    frames_where(socket, lambda h: ACTION_ID["use"] in opener.worlds[0].taken)
    assert opener.worlds[0].taken.count(ACTION_ID["use"]) == 1


def test_at_most_two_messages_are_in_flight_and_the_world_goes_on(socket: WebSocketTestSession, opener: Any) -> None:
    socket.send_json(START)
    assert [receive(socket)[0] for _ in range(3)] == ["opening", "frames", "frames"]
    while len(opener.worlds[0].taken) < 12:  # nothing is acknowledged, the world goes on
        time.sleep(0.01)
    socket.send_json({"type": "ack", "step": 0})
    kind, (header, _) = receive(socket)
    assert kind == "frames" and header["step"] >= 12, "frames were dropped: the newest comes next"


def test_a_paused_world_stands_still(socket: WebSocketTestSession, opener: Any) -> None:
    socket.send_json(START)
    frames_where(socket, lambda h: h["step"] == 2)
    socket.send_json({"type": "pause", "paused": True})
    time.sleep(0.1)
    taken = len(opener.worlds[0].taken)
    time.sleep(0.2)
    assert len(opener.worlds[0].taken) == taken
    socket.send_json({"type": "pause", "paused": False})
    frames_where(socket, lambda h: h["step"] > taken)


def test_an_episode_ends_and_starts_again(short_opener: Any) -> None:
    with client(short_opener).websocket_connect("/play", headers=HERE) as session:
        session.send_json(START)
        assert frames_where(session, lambda h: h["truncated"])[0]["step"] == 3
        session.send_json({**START, "seed": 9})
        assert frames_where(session, lambda h: h["step"] == 0)[0]["seed"] == 9


def test_what_a_person_can_put_right_is_shown_and_play_goes_on(socket: WebSocketTestSession, opener: Any) -> None:
    socket.send_json({**START, "prompt": "impossible"})
    assert receive(socket)[0] == "opening"
    says = "the prompt 'impossible' names no world"
    assert receive(socket) == ("error", {"type": "error", "text": says, "stopped": True})
    socket.send_json(START)
    frames_where(socket, lambda h: h["step"] == 1)
    socket.send_json({"type": "prompt", "text": "a door opens", "kind": "event"})
    frames_where(socket, lambda h: opener.worlds[0].last_prompt is not None)
    assert opener.worlds[0].last_prompt == ("a door opens", "event")


def test_a_world_that_fails_in_a_step_is_closed_and_another_can_be_started(
    socket: WebSocketTestSession, opener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket.send_json(START)
    frames_where(socket, lambda h: h["step"] == 1)

    def broken(action: object) -> None:
        raise RuntimeError("the engine is gone")

    monkeypatch.setattr(opener.worlds[0], "step", broken)
    while (received := receive(socket))[0] == "frames":
        socket.send_json({"type": "ack", "step": received[1][0]["step"]})
    assert received[0] == "error" and received[1]["text"] == "the engine is gone"
    until_closed(opener)
    socket.send_json(START)
    frames_where(socket, lambda h: h["step"] == 2)
    assert len(opener.worlds) == 2


def test_leaving_closes_the_world(opener: Any) -> None:
    with client(opener).websocket_connect("/play", headers=HERE) as session:
        session.send_json(START)
        frames_where(session, lambda h: h["step"] == 1)
    until_closed(opener)


# What is limited


@pytest.mark.parametrize(
    ("message", "code"),
    [("x" * (MAX_MESSAGE + 1), 1009), ("{}", 1008), ('{"type": "keys", "held": 1}', 1008)],
)
def test_messages_that_break_a_rule_end_the_session(socket: WebSocketTestSession, message: str, code: int) -> None:
    socket.send_text(message)
    assert closing(socket).code == code


def test_binary_messages_end_the_session(socket: WebSocketTestSession) -> None:
    socket.send_bytes(b"RIFF")
    assert closing(socket).code == 1008


def test_too_many_messages_end_the_session(opener: Any) -> None:
    with client(opener, messages_per_second=20).websocket_connect("/play", headers=HERE) as session:
        for _ in range(40):
            session.send_json({"type": "ack", "step": 1})
        assert "messages per second" in closing(session).reason


def test_an_idle_tab_is_let_go_though_it_acknowledges_frames(opener: Any) -> None:
    with client(opener, idle_seconds=0.5).websocket_connect("/play", headers=HERE) as session:
        session.send_json(START)
        with pytest.raises(WebSocketDisconnect) as caught:
            frames_where(session, lambda h: False)
    assert "idle" in caught.value.reason
    until_closed(opener)


def test_one_tab_too_many_is_told_so(opener: Any) -> None:
    browser = client(opener, sessions=1)
    with browser.websocket_connect("/play", headers=HERE) as first:
        assert first.receive_json()["type"] == "hello"
        with browser.websocket_connect("/play", headers=HERE) as second:
            refused = closing(second)
        assert refused.code == 1013 and "playing already" in refused.reason
    with browser.websocket_connect("/play", headers=HERE) as third:
        assert third.receive_json()["type"] == "hello"
