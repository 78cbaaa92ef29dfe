"""The store: what has settled, in SQL (SQLite or PostgreSQL)."""

from heliograph.store.database import Database, now_ns, now_s
from heliograph.store.schema import current_revision, migrate, require_current
from heliograph.store.search import contains

__all__ = [
    "Database",
    "contains",
    "current_revision",
    "migrate",
    "now_ns",
    "now_s",
    "require_current",
]
