"""Where the tests of this folder find what ships with the project."""

from pathlib import Path

import firmware_bridge

PORTRAIT = Path(firmware_bridge.__file__).parent / "simulator" / "portraits" / "holder-chip.jpg"
