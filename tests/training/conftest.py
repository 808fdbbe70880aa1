"""Makes the synthetic episodes importable and offers them as a fixture."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from shades import episodes  # noqa: F401
