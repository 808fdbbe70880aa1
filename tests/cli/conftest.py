"""Makes the synthetic episodes of the training tests importable, and what workers do, by fresh interpreters too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
sys.path.insert(0, str(Path(__file__).parent))
