"""Documents that people edit together, and the notes made of them.

:class:`Documents` serves the editors' events, :class:`Notes` the notes' titles, texts and
lists. The log of updates is behind :class:`DocumentLog`.
"""

from heliograph.documents.access import Grant
from heliograph.documents.log import DocumentLog
from heliograph.documents.notes import Notes
from heliograph.documents.service import Documents
from heliograph.documents.settling import Timing
from heliograph.documents.sql_log import SqlDocumentLog

__all__ = ["DocumentLog", "Documents", "Grant", "Notes", "SqlDocumentLog", "Timing"]
