"""Makes the toy world importable and registers it (tests are imported by path)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import foreseeing
import painted_world
import panorama
import probes

painted_world.register()
panorama.register()
probes.register()
foreseeing.register()
