"""The edge: what clients talk to. Validates, authorises, delegates; decides nothing."""

from heliograph.edge.api import create_api
from heliograph.edge.gateway import Gateway
from heliograph.edge.page import Page
from heliograph.edge.services import Services
from heliograph.edge.socket import register_events
from heliograph.edge.sticky import StickyCookie

__all__ = ["Gateway", "Page", "Services", "StickyCookie", "create_api", "register_events"]
