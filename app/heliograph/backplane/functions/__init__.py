"""Our server-side functions, as one library for ``FUNCTION LOAD``.

The library's and the functions' names carry a hash of the text, so replicas of two
versions can share one Redis while a new version rolls out.
"""

from __future__ import annotations

import hashlib
from importlib import resources

_FIRST = "rooms.lua"  # what it defines is known to the others


def _compose() -> tuple[str, str]:
    folder = resources.files(__name__)
    texts = {
        item.name: item.read_text("utf-8")
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".lua")
    }
    body = texts.pop(_FIRST) + "".join(f"\ndo\n{text}\nend\n" for text in texts.values())
    version = hashlib.sha256(body.encode()).hexdigest()[:8]
    head = (
        f"#!lua name=heliograph_{version}\n"
        "local function register(name, callback, flags)\n"
        f"  redis.register_function{{function_name='hg_{version}_' .. name, "
        "callback=callback, flags=flags or {}}\nend\n"
    )
    return version, head + body


VERSION, LIBRARY = _compose()


def full_name(function: str) -> str:
    """The name under which the servers know a function."""
    return f"hg_{VERSION}_{function}"
