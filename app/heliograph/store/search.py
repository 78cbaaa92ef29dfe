"""Looking for a part of a text, the same way on both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func
from sqlalchemy.orm import InstrumentedAttribute


def contains(column: InstrumentedAttribute[str], text: str) -> ColumnElement[bool]:
    """Whether a column contains ``text``, whatever the case of its letters.

    ``%`` and ``_`` are signs like others. Limit: which letters have a case is PostgreSQL's
    locale's business (with ``C``, those of ASCII); on SQLite all have.
    """
    # No database holds NUL, and PostgreSQL refuses to look for it.
    plain = text.replace("\0", "\ufffd")
    escaped = plain.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return func.lower(column).like(func.lower(f"%{escaped}%"), escape="\\")


def lower(value: Any) -> str | None:
    """SQL's ``lower`` for SQLite, whose own knows the letters of ASCII only."""
    return None if value is None else str(value).lower()
