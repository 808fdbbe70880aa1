"""Makes ``paint_world`` importable here and, because spawned workers inherit the path, in them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
