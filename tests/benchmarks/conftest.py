"""Makes the toy world importable and registers it (tests are imported by path)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import foreseeing
import panorama
import probes

panorama.register()
probes.register()
foreseeing.register()
