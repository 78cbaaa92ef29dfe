"""The rows of CONTRACT sections 3, 4, 5 and 7 that the suites check, from ``rows.json``."""

from __future__ import annotations

import json
from pathlib import Path

ROWS: dict[str, str] = json.loads((Path(__file__).parent / "rows.json").read_text())

NODE_ONLY = {"5 call again", "7 recovery"}
"""Rows of connection state recovery, which python-socketio's client does not know."""
