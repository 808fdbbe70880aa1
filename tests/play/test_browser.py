"""The page in a real browser: headless Chromium walks the true rooms by keyboard, through Debian's
chromedriver.

Speaks the WebDriver protocol itself (a handful of HTTP calls), so that no browser package is needed.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("vizdoom")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="needs Chromium: apt-get install chromium chromium-driver",
    ),
]


class Browser:
    """The few WebDriver commands that the test needs."""

    def __init__(self, port: int, profile: Path) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        arguments += [f"--user-data-dir={profile}", "--window-size=1120,860"]
        options = {"args": arguments, "binary": shutil.which("chromium")}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        self._session = ""
        self._session = "/session/" + self("", {"capabilities": wanted}, root="/session")["sessionId"]

    def __call__(self, path: str, body: dict[str, Any] | None = None, root: str = "") -> Any:
        url = root or self._session + path
        answer = self._http.get(url) if body is None else self._http.post(url, json=body)
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        return value

    def run(self, script: str) -> Any:
        return self("/execute/sync", {"script": script, "args": []})

    def key(self, kind: str, value: str) -> None:
        actions = [{"type": "key", "id": "keyboard", "actions": [{"type": kind, "value": value}]}]
        self("/actions", {"actions": actions})

    def complaints(self) -> list[str]:
        log = self("/se/log", {"type": "browser"})
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self("/screenshot")))

    def close(self) -> None:
        self._http.delete(self._session)
        self._http.close()


def until(true: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value


def started(command: list[str], pattern: str) -> tuple[subprocess.Popen[str], str]:
    """The process, and what ``pattern`` finds in what it prints first."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(pattern, line):
            return process, found[1]
    raise AssertionError(f"{command[0]} ended with code {process.wait()}")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = [sys.executable, "-m", "worldsim.cli.main", "play", "--true", "--port", "0"]
    process, found = started(command, r"(http://127\.0\.0\.1:\d+/)")
    yield found
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    process, port = started(["chromedriver", "--port=0"], r"started successfully on port (\d+)")
    page = Browser(int(port), tmp_path_factory.mktemp("profile"))
    yield page
    page.close()
    process.terminate()
    process.wait(20)


def step_of(browser: Browser) -> int:
    return int(browser.run("return Number(document.body.dataset.step || -1)"))


def text_of(browser: Browser, name: str) -> str:
    return str(browser.run(f"return document.getElementById('{name}').textContent"))


def test_walking_by_keyboard(browser: Browser, address: str, tmp_path: Path) -> None:
    browser("/url", {"url": address})
    until(lambda: step_of(browser) > 5)
    pixels = "return [...document.getElementById('canvas').getContext('2d').getImageData(0, 0, 64, 64).data]"
    before = browser.run(pixels)
    assert len(set(before)) > 20, "the canvas shows a picture"

    browser.key("keyDown", "\ue012")  # left arrow
    until(lambda: text_of(browser, "action") == "turn_left")
    browser.key("keyDown", "w")
    until(lambda: text_of(browser, "action") == "forward+turn_left")
    held = browser.run("return [...document.querySelectorAll('#keys .held')].map(key => key.dataset.control)")
    assert sorted(held) == ["forward", "turn_left"]
    browser.screenshot(Path(os.environ.get("WORLDSIM_SCREENSHOT", tmp_path / "page.png")))
    browser.key("keyUp", "\ue012")
    browser.key("keyUp", "w")
    until(lambda: text_of(browser, "action") == "noop")
    assert browser.run(pixels) != before

    reached = step_of(browser)
    browser.key("keyDown", "r")
    browser.key("keyUp", "r")
    until(lambda: step_of(browser) < reached)
    assert browser.complaints() == []


def test_keys_typed_into_the_prompt_do_not_walk(browser: Browser, address: str) -> None:
    browser("/url", {"url": address})
    until(lambda: step_of(browser) > 2)
    browser.run("document.getElementById('seed').focus()")
    browser.key("keyDown", "w")
    reached = step_of(browser)
    until(lambda: step_of(browser) > reached + 2)
    assert text_of(browser, "action") == "noop"
    browser.key("keyUp", "w")


def test_the_seed_box_and_the_switch_between_dream_and_truth(browser: Browser, address: str) -> None:
    browser("/url", {"url": address})
    until(lambda: step_of(browser) > 2)
    browser.run("document.querySelector('#sources input[value=dream]').click()")
    assert browser.run("return document.getElementById('prompt').disabled") is False
    browser.run("document.querySelector('#sources input[value=true]').click()")
    assert browser.run("return document.getElementById('prompt').disabled") is True
    browser.run("document.getElementById('seed').value = 7; document.getElementById('start').requestSubmit()")
    until(lambda: text_of(browser, "used") == "7")
