"""What the edge delegates to: the features of one running application."""

from __future__ import annotations

from dataclasses import dataclass

from heliograph.backplane import Backplane
from heliograph.channels import Channels
from heliograph.chat import Chat
from heliograph.cluster import Cluster
from heliograph.delivery import Calls, Drain, Hub, Lifecycle
from heliograph.documents import Documents, Notes
from heliograph.identity import Identity
from heliograph.live import Live
from heliograph.sessions import Sessions
from heliograph.settings import Settings
from heliograph.store import Database
from heliograph.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Services:
    """One application's parts, by name.

    :ivar backplane: Redis; ``None`` for a single process.
    """

    settings: Settings
    live: Live
    database: Database
    backplane: Backplane | None
    cluster: Cluster
    hub: Hub
    lifecycle: Lifecycle
    calls: Calls
    drain: Drain
    identity: Identity
    sessions: Sessions
    tasks: Tasks
    chat: Chat
    channels: Channels
    documents: Documents
    notes: Notes
