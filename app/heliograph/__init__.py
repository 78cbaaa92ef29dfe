"""Heliograph: the real-time layer for AI chat and collaborative apps.

Application code that runs inside the server reports to browsers through the two
factories exported here; everything else is internal.
"""

__version__ = "0.1.0"
