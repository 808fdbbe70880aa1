"""One Doom engine behind a small interface: tic by tic, no window, no sound, no files left behind.

ViZDoom (Wydmuch et al. 2018, arXiv:1809.03470) runs its engine as a child process. Here it is stepped one
tic at a time, because every video frame is wanted; it is given a folder of its own, because it writes
``_vizdoom`` into the current one; and its time limits are off, because ours are truncations."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import vizdoom as vzd
from vizdoom import Button, GameVariable

from worldsim.actions import ACTION_MEANINGS, Camera
from worldsim_envs.doom.dynamics import reseed_saved_game

TICS_PER_STEP = 4
LOW_ROWS = 120
"""Frames of at most this many rows render at 120 x 160, larger ones at 240 x 320."""

BUTTONS: tuple[Button, ...] = (
    Button.MOVE_FORWARD, Button.MOVE_BACKWARD, Button.MOVE_LEFT, Button.MOVE_RIGHT, Button.USE, Button.ATTACK,
    Button.TURN_LEFT_RIGHT_DELTA,
)  # fmt: skip
_BUTTON_OF = dict(zip(("forward", "backward", "strafe_left", "strafe_right", "use", "attack"), range(6)))
_TURN = len(BUTTONS) - 1
VARIABLES: tuple[GameVariable, ...] = (
    GameVariable.HEALTH, GameVariable.POSITION_X, GameVariable.POSITION_Y, GameVariable.POSITION_Z,
    GameVariable.CAMERA_POSITION_Z, GameVariable.ANGLE, GameVariable.PITCH, GameVariable.VELOCITY_X,
    GameVariable.VELOCITY_Y, GameVariable.SELECTED_WEAPON_AMMO, GameVariable.HITCOUNT,
)  # fmt: skip
PACKAGE = Path(vzd.__file__).parent
FREEDOOM = PACKAGE / "freedoom2.wad"
_KEYS = ("forward", "back", "moveleft", "moveright", "use", "attack")
STILL: tuple[float, ...] = (0.0,) * len(BUTTONS)
SAVED_GAME = "reseed.zds"
_start_lock = threading.Lock()


@dataclass(frozen=True)
class EngineConfig:
    """What differs between worlds: the name of a stock ``scenario``, or a WAD of ``assets`` of our own.

    ``settle`` tics pass unseen before an episode begins, so that the weapon is up.
    """

    scenario: str = ""
    assets: bytes = b""
    skill: int = 3
    weapon: bool = False
    flashes: bool = False
    settle: int = 1
    depth: bool = False
    sectors: bool = False


@dataclass(frozen=True)
class View:
    """How a rendered screen becomes an observation: a centred crop of the wanted aspect, then a resize."""

    screen: tuple[int, int]
    crop: tuple[int, int, int, int]  # top, left, height, width in screen pixels
    size: tuple[int, int]

    @classmethod
    def fit(cls, size: tuple[int, int]) -> View:
        rows = LOW_ROWS if size[0] <= LOW_ROWS else 2 * LOW_ROWS
        columns = rows * 4 // 3
        height, width = rows, columns
        if size[1] * rows <= size[0] * columns:
            width = max(1, round(rows * size[1] / size[0]))
        else:
            height = max(1, round(columns * size[0] / size[1]))
        return cls((rows, columns), ((rows - height) // 2, (columns - width) // 2, height, width), size)

    def resize(self, screen: np.ndarray, nearest: bool = False) -> np.ndarray:
        """The crop of ``screen`` at the observation's size; area-averaged, or nearest for ids and depths."""
        top, left, height, width = self.crop
        crop = np.ascontiguousarray(screen[top : top + height, left : left + width])
        if (height, width) == self.size:
            return crop
        shrinks = self.size[0] <= height
        method = cv2.INTER_NEAREST if nearest else cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(crop, (self.size[1], self.size[0]), interpolation=method)

    @property
    def intrinsics(self) -> np.ndarray:
        """K, float64 ``(3, 3)``, in pixels of the observation. Doom's horizontal field of view is 90
        degrees over the whole screen, and its pixels are 1.2 times as high as wide in the world."""
        top, left, height, width = self.crop
        focal = self.screen[1] / 2
        scale_x, scale_y = self.size[1] / width, self.size[0] / height
        # the engine looks along the middle of the pixel right of the screen's middle
        centre_x, centre_y = self.screen[1] / 2 + 0.5 - left, self.screen[0] / 2 - top
        return np.array(
            [
                [focal * scale_x, 0, centre_x * scale_x],
                [0, focal * PIXEL_ASPECT * scale_y, centre_y * scale_y],
                [0, 0, 1],
            ]
        )

    @property
    def field_of_view(self) -> float:
        """Horizontal field of view of the observation in degrees."""
        return float(np.degrees(2 * np.arctan(self.crop[3] / self.screen[1])))


PIXEL_ASPECT = 1.2


@dataclass(frozen=True)
class Tic:
    """One rendered tic: screen uint8 ``(rows, columns, 3)``, the engine's state, reward and end."""

    screen: np.ndarray | None
    state: Any  # vzd.GameState, whose buffers are there if asked for; None once the episode is over
    reward: float
    finished: bool
    dead: bool


def button_values(action: int, camera: Camera) -> list[list[float]]:
    """Button values of an action id, a row per tic; turns are exact degrees, positive to the right."""
    rows = [[0.0] * len(BUTTONS) for _ in range(TICS_PER_STEP)]
    for part in ACTION_MEANINGS[action].split("+"):
        for tic, row in enumerate(rows):
            if part in _BUTTON_OF:
                # use acts when it is pressed, so it is let go in time to be pressed again in the next step
                row[_BUTTON_OF[part]] = float(part != "use" or tic < 2)
            elif part in ("turn_left", "turn_right", "turn_left_small", "turn_right_small"):
                degrees = (camera.turn_small if part.endswith("small") else camera.turn) / TICS_PER_STEP
                row[_TURN] = -degrees if "left" in part else degrees
    return rows


def _shut_down(game: vzd.DoomGame, folder: Path, owner: int) -> None:
    """Ends the engine before its folder goes, or it complains; a forked child leaves both to their owner."""
    if os.getpid() == owner:
        game.close()
        shutil.rmtree(folder, ignore_errors=True)


class DoomEngine:
    """A running engine. ``close`` ends its process and removes its folder."""

    def __init__(self, config: EngineConfig, view: View) -> None:
        self.view = view
        self.config = config
        self.folder = Path(tempfile.mkdtemp(prefix="worldsim-doom-"))
        game = vzd.DoomGame()
        self._finalizer = weakref.finalize(self, _shut_down, game, self.folder, os.getpid())
        if config.scenario:
            scenario = PACKAGE / "scenarios" / config.scenario
            game.load_config(f"{scenario}.cfg")
            game.set_doom_scenario_path(f"{scenario}.wad")
        else:
            (self.folder / "assets.wad").write_bytes(config.assets)
            game.set_doom_scenario_path(str(self.folder / "assets.wad"))
        game.set_doom_game_path(str(FREEDOOM))
        game.set_doom_skill(config.skill)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_screen_format(vzd.ScreenFormat.RGB24)
        low = view.screen[0] == LOW_ROWS
        game.set_screen_resolution(vzd.ScreenResolution.RES_160X120 if low else vzd.ScreenResolution.RES_320X240)
        game.set_render_hud(False)
        game.set_render_crosshair(False)
        game.set_render_messages(False)
        game.set_render_corpses(True)
        game.set_render_weapon(config.weapon)
        game.set_render_screen_flashes(config.flashes)
        game.set_render_decals(False)
        game.set_render_particles(False)
        game.set_labels_buffer_enabled(True)
        game.set_objects_info_enabled(True)
        game.set_depth_buffer_enabled(config.depth)
        game.set_sectors_info_enabled(config.sectors)
        game.set_available_buttons(list(BUTTONS))
        game.set_button_max_value(Button.TURN_LEFT_RIGHT_DELTA, 0)
        game.set_available_game_variables(list(VARIABLES))
        game.set_episode_timeout(0)
        game.set_episode_start_time(config.settle)
        game.set_mode(vzd.Mode.PLAYER)
        game.add_game_args("+sv_cheats 1 +movebob 0")
        self.game = game
        self._loading = self._released = False
        with _start_lock:  # the engine's working folder is the one of this process while it starts
            before = os.getcwd()
            os.chdir(self.folder)
            try:
                game.init()
            finally:
                os.chdir(before)

    def new_episode(self, seed: int, map_wad: bytes | None = None) -> None:
        """Starts an episode from the engine seed ``seed``, on ``map_wad`` where one is given.

        A first ``tic`` must follow: it yields the picture that the episode begins with.
        """
        if map_wad is not None:
            path = self.folder / "map.wad"
            path.write_bytes(map_wad)
            self.game.set_doom_map(f"file:{path}")
        self.game.set_seed(seed)
        self.game.new_episode()

    def tic(self, buttons: Sequence[float]) -> Tic:
        """Plays one tic of 1/35 s."""
        if self._released:  # loading let go of all keys after its tic, and the engine does not know
            for name, value in zip(_KEYS, buttons):
                if value:
                    self.command(f"+{name}")
        self._released, self._loading = self._loading, False
        reward = self.game.make_action(list(buttons), 1)
        return self._tic(reward)

    def prepare_reseed(self) -> None:
        """Must precede the last tic before ``reseed``: the engine saves one tic after it is told to."""
        self.command(f"save {self.folder / SAVED_GAME}")

    def reseed(self, seed: int) -> Tic:
        """Replaces the random streams of the running episode from the next tic on; see ``dynamics.py``.

        Saving takes a tic, which loading undoes, unless it ended the episode: it is returned.
        """
        path = self.folder / SAVED_GAME
        undone = self.tic(STILL)  # saves
        path.write_bytes(reseed_saved_game(path.read_bytes(), seed))
        self.command(f"load {path}")
        self._loading = True
        return undone

    def command(self, text: str) -> None:
        """Runs a console command at the next tic."""
        self.game.send_game_command(text)

    def variable(self, name: GameVariable) -> float:
        """A game variable, read now."""
        return self.game.get_game_variable(name)

    def close(self) -> None:
        """Ends the engine's process and removes its folder; harmless when repeated."""
        self._finalizer()

    def _tic(self, reward: float) -> Tic:
        state = self.game.get_state()
        screen = None if state is None else state.screen_buffer
        return Tic(screen, state, reward, self.game.is_episode_finished(), self.game.is_player_dead())
