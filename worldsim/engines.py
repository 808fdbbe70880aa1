"""Which engines of true worlds are on this machine: packages of Python, or programs of the system.

Nothing is imported or started to find out, so this is cheap; whether an engine works, ``worldsim doctor`` tries.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

from worldsim.worlds import WorldSpec

DEBIAN: dict[str, str] = {"minetest": "minetest", "Xvfb": "xvfb"}
"""Program -> Debian package that holds it."""
GAMES = "/usr/games"
"""Where Debian puts games, which is not in every path."""


def find_program(name: str) -> str | None:
    """Path of a program, None where it is not installed."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), GAMES)))


def missing(spec: WorldSpec) -> tuple[str, ...]:
    """Packages and programs that the true world needs and this machine lacks."""
    packages = [spec.engine] if spec.engine and find_spec(spec.engine) is None else []
    return (*packages, *(name for name in spec.programs if find_program(name) is None))


def install_command(spec: WorldSpec) -> str:
    """What installs the true world's engine."""
    if spec.programs:
        return f"apt-get install {' '.join(DEBIAN[name] for name in spec.programs)}"
    return f'pip install "worldsim-gym[{spec.package}]"'
