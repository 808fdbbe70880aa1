"""``worldsim <command>``: a table of commands, each imported only when it is asked for.

So that ``worldsim --help`` answers at once and a command fails only for the packages it needs itself. A
command is a module of this package with ``main(argv) -> int``. What a user can put right (a wrong value, a
missing file or package) is printed as one line on standard error with exit code 2; anything else is a fault
of ours and keeps its traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "worldsim.cli.demo",
        "walk through a world by prompt and actions; writes a video and a contact sheet",
    ),
    "generate": ("worldsim.cli.generate", "let the model play the game that a prompt names; writes a video"),
    "starts": ("worldsim.cli.starts", "draw what worlds begin from when only a prompt is given; writes a sheet"),
    "expand": ("worldsim.cli.expand", "show how a prompt is expanded before anything is drawn"),
    "play": ("worldsim.cli.play", "walk through a world in the browser, with the keyboard"),
    "collect": ("worldsim.cli.collect", "record episodes of a true world"),
    "import": ("worldsim.cli.importing", "turn recordings of Minecraft (MineRL, VPT) into a recording"),
    "caption": ("worldsim.cli.caption", "caption recordings and videos by a trained captioner"),
    "inspect": ("worldsim.cli.inspect", "show what a recording holds"),
    "train": (
        "worldsim.cli.train",
        "train codec, world model, memory, heads, referee, player, starter, solvers, revealer, captioner",
    ),
    "study": ("worldsim.cli.study", "compare small models that differ in one thing: worlds, captions, sizes"),
    "bench": ("worldsim.cli.bench", "measure a simulator: probes, fidelity, speed"),
    "agent": ("worldsim.cli.agent", "train an agent in the dream or in truth, and evaluate it in truth"),
    "doctor": ("worldsim.cli.doctor", "say what is installed, what works, and how to add what does not"),
}
"""Command -> (module, one line of help)."""

USER_ERRORS = (ValueError, OSError, ImportError)
"""What ends as one line and exit code 2. Set ``WORLDSIM_TRACEBACK=1`` to see the traceback as well."""


OWN_PACKAGES = ("worldsim", "worldsim_envs", "worldsim_agents", "worldsim_benchmarks")


def usage() -> str:
    """The text of ``worldsim --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: worldsim COMMAND [OPTIONS]",
            "",
            "A learned world simulator that is a Gymnasium environment.",
            "",
            *lines,
            "",
            "worldsim COMMAND --help lists the options of a command; worldsim --version prints the version.",
        ]
    )


def one_line(error: BaseException) -> str:
    """The error as one line. A missing module is named together with how to install what it belongs to."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package in OWN_PACKAGES:
            return f"this installation has no module {error.name!r}; reinstall with: pip install worldsim-gym"
        return f"the package {package!r} is not installed; `worldsim doctor` says how to add it"
    return " ".join(str(error).split()) or type(error).__name__


def show_traceback() -> None:
    """Prints the traceback of the error that is handled, where ``WORLDSIM_TRACEBACK`` asks for it."""
    if os.environ.get("WORLDSIM_TRACEBACK"):
        traceback.print_exc(file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``worldsim <argv>`` and returns its exit code: 0, 2 for a user's error, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from worldsim import __version__

        print(f"worldsim {__version__}")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command not in COMMANDS:
        print(f"worldsim: unknown command {command!r}; commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return int(import_module(COMMANDS[command][0]).main(rest) or 0)
    except BrokenPipeError:  # `worldsim inspect ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except USER_ERRORS as error:
        if os.environ.get("WORLDSIM_TRACEBACK"):
            raise
        print(f"worldsim {command}: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
