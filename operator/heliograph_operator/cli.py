"""The command ``heliograph-operator``: it has no options but help; settings are variables."""

from __future__ import annotations

import argparse
import asyncio
import sys

from heliograph_operator import __version__
from heliograph_operator.control import check
from heliograph_operator.logs import configure_logging
from heliograph_operator.process import serve_until_signal
from heliograph_operator.settings import ConfigurationError, Settings, load_settings


def main() -> None:
    """Entry point. A bad setting exits with 2 and a sentence."""
    parser = argparse.ArgumentParser(
        prog="heliograph-operator",
        description="Looks after one Heliograph fleet on Kubernetes: settings of running "
        "replicas, drains, moving load. It runs until SIGTERM.",
        epilog="Settings are environment variables:\n" + _table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.parse_args()
    try:
        settings = load_settings()
        check(settings)
        configure_logging(settings.log_format, settings.log_level)
        asyncio.run(serve_until_signal(settings))
    except ConfigurationError as error:
        print(f"heliograph-operator: {error}", file=sys.stderr)
        sys.exit(2)


def _table() -> str:
    return "\n".join(
        f"  {name.upper():<28} {(field.description or '').replace('`', '')}"
        + (" Required." if field.is_required() else "")
        for name, field in Settings.model_fields.items()
    )
