"""The benchmarks see environments through Gymnasium only: nothing of worldsim is imported, by text or at
run time. PyTorch is asked for by the training of nets alone, when that is called."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import worldsim_benchmarks

ROOT = Path(worldsim_benchmarks.__file__).parent
TRAINING = ROOT / "nets" / "training.py"
FORBIDDEN = ("worldsim", "worldsim_envs", "worldsim_agents", "torch")


def test_no_module_imports_worldsim() -> None:
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                if path == TRAINING and name.partition(".")[0] == "torch":
                    continue
                assert name.partition(".")[0] not in FORBIDDEN, f"{path.name} imports {name}"


def test_importing_every_module_loads_nothing_of_worldsim() -> None:
    modules = [
        ".".join(("worldsim_benchmarks", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for p in ROOT.rglob("*.py")
    ]
    code = (
        "import importlib, sys\n"
        f"for m in {modules!r}: importlib.import_module(m)\n"
        f"print([m for m in sys.modules if m.partition('.')[0] in {FORBIDDEN!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
