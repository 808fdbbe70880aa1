"""One running Luanti game: its folder, its two programs, and the conversation with its mod, tick by tick.

The mod (``game/mods/worldsim``) waits for each command and answers it with one line of JSON; then the client draws, and
the mark on its screen says so. Between steps the game is stopped (SIGSTOP): it costs no processor time, however long
an agent thinks, and many games share a machine. Nothing depends on the clock but how long a tick takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.engines import find_program
from worldsim_envs.blocks.processes import Keeper, offline
from worldsim_envs.blocks.screen import Screen, Window
from worldsim_envs.blocks.textures import write_textures

SETTINGS = """\
screen_w = {columns}
screen_h = {rows}
worldsim_fov = {fov}
fullscreen = false
video_driver = opengl
vsync = false
fps_max = 1000
fps_max_unfocused = 1000
pause_on_lost_focus = false
enable_shaders = false
enable_sound = false
enable_clouds = false
enable_fog = true
smooth_lighting = true
viewing_range = 47
view_bobbing_amount = 0
fall_bobbing_amount = 0
camera_smoothing = 0
node_highlighting = none
show_debug = false
menu_clouds = false
enable_minimap = false
enable_client_modding = false
autosave_screensize = false
free_move = true
noclip = true
enable_damage = false
creative_mode = false
time_speed = 0
mg_name = singlenode
fixed_map_seed = 0
bind_address = 127.0.0.1
server_announce = false
disable_anticheat = true
dedicated_server_step = 0.01
max_block_send_distance = 0
max_simultaneous_block_sends_per_client = 4000
max_packets_per_iteration = 8192
emergequeue_limit_total = 4096
emergequeue_limit_generate = 4096
num_emerge_threads = 1
map_save_interval = 1000000
server_unload_unused_data_timeout = 20
client_unload_unused_data_timeout = 20000
client_mapblock_limit = 1500
mesh_generation_interval = 0
"""
WORLD = "gameid = worldsim\nbackend = sqlite3\nplayer_backend = sqlite3\nauth_backend = sqlite3\n"

START_TIMEOUT, BEGIN_TIMEOUT, TICK_TIMEOUT = 60.0, 60.0, 20.0
"""Seconds after which a game is taken for broken."""
CALM_MAP, CALM_CHANGE = 12, 3
"""Drawings in a row that must be equal while the client builds nothing: after a new map, after a change of the land."""
BUILDERS = ("MeshUpdate", "Emerge")
"""Beginnings of the names of the engine's threads that bring land into the picture."""


class GameError(RuntimeError):
    """The game ended or does not answer."""


class BlocksGame:
    """A game whose frames are ``(height, width, 3)``."""

    def __init__(self, height: int, width: int) -> None:
        self.window = Window(height, width)
        self._keeper: Keeper | None = None
        self._region = self._regions = 0

    # What it is asked to do

    def begin(
        self, map_seed: int, want: str = "-", pose: tuple[float, float, float] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Opens the map of ``map_seed`` and returns its first frame and what the mod tells of it.

        ``want`` is a biome that the start should lie in, "-" for any; ``pose`` is x, y in metres and the yaw in
        degrees. Raises ``ValueError`` where nobody can stand at ``pose``, saying why.
        """
        if self._region == self._regions:  # none is left, or none was there yet
            self.close()
            try:
                self._launch()
            except BaseException:
                self.close()
                raise
        with self._running():
            words = [] if pose is None else [repr(pose[0]), repr(pose[1]), repr((pose[2] - 90) % 360)]
            refused = self._ask("begin", self._region, map_seed, want, *words).get("refused")
            if not refused:
                self._region += 1
                return self._arrived()
        raise ValueError(f"pose={pose!r} of map seed {map_seed}: {refused}")

    def step(self, keys: list[str], yaw: float, pitch: float) -> tuple[list[np.ndarray], dict[str, Any]]:
        """One tick for each entry of ``keys`` (letters of held keys, see ``body.lua``), turned by ``yaw`` and ``pitch``
        degrees a tick. Returns the frame of each tick and what the mod tells after the last."""
        frames = []
        answer: dict[str, Any] = {}
        with self._running():
            for number, held in enumerate(keys):
                last = number == len(keys) - 1
                turn = [repr(float(np.radians(angle))) for angle in (yaw, pitch)]
                answer = self._ask("tick", held or "-", *turn, int(last))
                self._ask("draw")  # the client turns its camera a frame after it was told to
                frames.append(self._settled(CALM_CHANGE) if answer["changed"] else self._screen.frame())
        return frames, _told(answer)

    def close(self) -> None:
        """Ends the game and removes its folder; harmless when repeated."""
        if self._keeper is not None:
            self._keeper.close()
            for pipe in (self._commands, self._answers):
                os.close(pipe)
            self._keeper, self._region, self._regions = None, 0, 0

    def __del__(self) -> None:
        self.close()

    # How it is done

    def _arrived(self) -> tuple[np.ndarray, dict[str, Any]]:
        """The first frame of a map that was opened, when its land is there, and what the mod tells of it."""
        for _ in range(2):
            self._ask("draw")
        deadline = time.monotonic() + BEGIN_TIMEOUT
        while not self._ask("wait").get("ready"):
            if time.monotonic() > deadline:
                raise GameError(f"the land was not there after {BEGIN_TIMEOUT:g} seconds\n{self._log()}")
            time.sleep(0.005)
        frame = self._settled(CALM_MAP)
        return frame, _told(self._ask("tell"))

    def _launch(self) -> None:
        programs = {name: str(find_program(name)) for name in ("Xvfb", "minetest")}
        folder = Path(tempfile.mkdtemp(prefix="worldsim-blocks-"))
        keeper = Keeper(folder)
        world, game = folder / "worlds" / "w", folder / ".minetest" / "games" / "worldsim"
        world.mkdir(parents=True)
        shutil.copytree(Path(__file__).with_name("game"), game)
        textures = game / "mods" / "worldsim" / "textures"
        textures.mkdir()
        write_textures(textures)
        rows, columns = self.window.size
        (folder / "conf").write_text(SETTINGS.format(rows=rows, columns=columns, fov=f"{self.window.fov:.6f}"))
        (world / "world.mt").write_text(WORLD)
        for name in ("commands", "answers"):
            os.mkfifo(world / name)
        self._commands = os.open(world / "commands", os.O_RDWR | os.O_CLOEXEC)
        self._answers = os.open(world / "answers", os.O_RDWR | os.O_CLOEXEC)
        self._unread, self._pid = b"", 0
        self._keeper = keeper

        number = folder / "display"
        keeper.start(
            ["sh", "-c", 'exec "$@" 3>"$0"', str(number), programs["Xvfb"], "-displayfd", "3", "-screen", "0",
             f"{columns}x{rows}x24", "-fbdir", str(folder), "-nolisten", "tcp", "-nocursor", "-noreset"],
            ended_by="TERM",
        )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT
        while not (number.exists() and number.read_text().endswith("\n")):
            self._patience(deadline, "the display Xvfb did not start")
        self._screen = Screen(folder / "Xvfb_screen0", self.window)
        self._pid = keeper.start(
            offline([programs["minetest"], "--config", str(folder / "conf"), "--world", str(world), "--gameid",
                     "worldsim", "--go", "--logfile", str(folder / "engine-log")]),
            DISPLAY=f":{number.read_text().strip()}", HOME=str(folder),
            LIBGL_ALWAYS_SOFTWARE="1", LP_NUM_THREADS="1",
            MESA_SHADER_CACHE_DISABLE="true",  # its thread of idle priority keeps a killed game on a busy machine
        )  # fmt: skip
        self._regions = int(self._read(deadline, "the game did not start")["regions"])
        threads = Path(f"/proc/{self._pid}/task").iterdir()
        self._builders = [t for t in threads if t.joinpath("comm").read_text().startswith(BUILDERS)]
        if not self._builders:
            raise GameError(f"no thread of the game is called {' or '.join(BUILDERS)}: Minetest 5.6 was expected")

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """Lets the game run inside of the block. A conversation that is broken off, even by Ctrl-C, ends it: what it
        would answer next belonged to nothing."""
        if self._keeper is None:
            raise GameError("the game has ended; reset() starts another")
        os.kill(self._pid, signal.SIGCONT)
        try:
            yield
        except BaseException:
            self.close()
            raise
        os.kill(self._pid, signal.SIGSTOP)

    def _ask(self, *words: object) -> dict[str, Any]:
        """Sends a command, and returns its answer when the client has drawn what it says."""
        os.write(self._commands, (" ".join(map(str, words)) + "\n").encode())
        deadline = time.monotonic() + TICK_TIMEOUT
        answer = self._read(deadline, "the game does not answer")
        while self._screen.mark() != answer["mark"]:
            self._patience(deadline, "the client does not draw", 0.0005)
        return answer

    def _read(self, deadline: float, complaint: str) -> dict[str, Any]:
        os.set_blocking(self._answers, False)
        while b"\n" not in self._unread:
            try:
                self._unread += os.read(self._answers, 1 << 16)
            except BlockingIOError:
                self._patience(deadline, complaint, 0.0005)
        line, _, self._unread = self._unread.partition(b"\n")
        return dict(json.loads(line))

    def _patience(self, deadline: float, complaint: str, pause: float = 0.01) -> None:
        ended = self._pid and _state(Path(f"/proc/{self._pid}")) in ("Z", "X")
        if ended or time.monotonic() > deadline:
            raise GameError(f"{complaint}\n{self._log()}")
        time.sleep(pause)

    def _log(self) -> str:
        assert self._keeper is not None
        return self._keeper.log()

    def _settled(self, calm: int) -> np.ndarray:
        """The picture, when ``calm`` drawings in a row were equal and the client built nothing meanwhile. It builds in
        a thread of its own; one that waits for a processor counts as running, so on a busy machine this takes longer,
        and that is all."""
        deadline = time.monotonic() + BEGIN_TIMEOUT
        frame, equal = self._screen.frame(), 0
        while equal < calm:
            self._ask("draw")
            new = self._screen.frame()
            equal = equal + 1 if not self._building() and np.array_equal(new, frame) else 0
            frame = new
            if time.monotonic() > deadline:
                raise GameError(f"the picture does not come to rest\n{self._log()}")
        return frame

    def _building(self) -> bool:
        return any(_state(thread) == "R" for thread in self._builders)


def _state(task: Path) -> str:
    """State of a thread: R where it runs or could, Z or X where it has ended."""
    try:
        return task.joinpath("stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """The truth of an answer; Lua has one empty table for lists and records, which becomes null."""
    truth = answer["truth"]
    return truth | {name: truth[name] or [] for name in ("events", "things")}
