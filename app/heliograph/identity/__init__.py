"""Identity: accounts, tokens and API keys."""

from heliograph.identity.repository import Users
from heliograph.identity.service import PENDING, Identity, SignedIn
from heliograph.identity.tokens import create_verifier

__all__ = ["PENDING", "Identity", "SignedIn", "Users", "create_verifier"]
