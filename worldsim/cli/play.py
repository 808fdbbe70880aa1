"""``worldsim play``: serves the page through which a person walks a world, on this machine only."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import gymnasium as gym
import tyro

from worldsim.play.worlds import DREAM, TRUE, open_world
from worldsim.worlds import world_named


@dataclass(frozen=True)
class Play:
    """Walk through a world in the browser. The page is served on 127.0.0.1 only; it stops with Ctrl+C.

    From another machine, forward the port: ssh -L 8765:127.0.0.1:8765 user@server.
    """

    world: str | None = None
    """World to begin with, such as worldsim/DoomRooms-v0. Default: the one that the prompt names."""
    prompt: str = ""
    """Prompt to begin with."""
    true: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Begin in the true world instead of the learned one (the page can switch)."""
    port: int = 8765
    """Port to listen on; 0 takes a free one."""
    size: tuple[int, int] = (64, 64)
    """Height and width in pixels."""
    denoising_steps: int = 4
    """Denoising steps per environment step of the learned world; fewer are faster."""
    model: str | None = None
    """Name or folder of the weights. Default: the shipped ones."""
    sessions: int = 2
    """Tabs that may play at once."""


def listen(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; ``ValueError`` where the port is taken or is none."""
    if not 0 <= port < 65536:
        raise ValueError(f"--port {port}: expected 0 to 65535")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(16)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise ValueError(f"port {port} cannot be had ({error.strerror}); choose another by --port") from error
        raise
    return listener


def main(argv: list[str]) -> int:
    """Entry point of the command."""
    options = tyro.cli(Play, args=argv, prog="worldsim play")
    import uvicorn

    from worldsim.model.packaged import simulated_worlds
    from worldsim.play.player import Player
    from worldsim.play.protocol import MAX_MESSAGE
    from worldsim.play.server import Choices, create_app
    from worldsim.play.session import Limits

    world = world_named(options.world).name if options.world else None
    if options.sessions < 1:
        raise ValueError(f"--sessions {options.sessions}: expected at least 1")

    def opener(source: str, wished: str | None) -> gym.Env[Any, Any]:
        if source == TRUE:
            return open_world(source, wished, frame_size=options.size)
        dream = {"model": options.model, "denoising_steps": options.denoising_steps}
        return open_world(source, wished, frame_size=options.size, **dream)

    source = TRUE if options.true else DREAM
    choices = Choices.here(source, world, options.prompt, simulated_worlds(options.model))
    offered = choices.worlds.get(source, {})
    if not offered or (world and world not in offered):
        asked = f"--world {options.world}" if world and offered else "--true" if source == TRUE else "--model"
        has = ", ".join(offered) or "no world: no engine is installed, `worldsim doctor` says how to add one"
        raise ValueError(f"{asked}: this {'model' if source == DREAM else 'machine'} has {has}")
    app = create_app(
        choices,
        Limits(sessions=options.sessions),
        partial(Player, opener),
    )
    listener = listen(options.port)
    print(
        f"worldsim play: open http://127.0.0.1:{listener.getsockname()[1]}/ in a browser on this machine",
        flush=True,
    )
    print("(Ctrl+C stops it)", flush=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,  # what is sent is JPEG
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0
