"""Tools on servers that the user configured: offered to the model, run by the user's page.

The page reads what a server offers and names it in the completion request (``tool_servers``,
Open WebUI's shape). A call of such a tool is the call ``execute:tool`` on the session that
asked; what its page acknowledges is the result. This server never connects to those servers
and never sees their keys.

Limit: arguments are checked to be an object, no more; the page knows the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from heliograph.chat.api import Call, Emit
from heliograph.chat.info import RequestInfo
from heliograph.chat.requests import MAX_TOOL_SPECS, ToolServer
from heliograph.chat.text import clean_json, clean_text
from heliograph.chat.tools import ToolError, as_text
from heliograph.chat.turn import error_text
from heliograph.errors import BadPayload, HeliographError

MAX_TOOL_BYTES = 1024 * 1024
"""All tool servers of one request as JSON text."""

_NO_PARAMETERS = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool that the user's page runs.

    :ivar parameters: its JSON schema.
    :ivar url: the address of its server, as the page named it.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    url: str

    def as_dict(self) -> dict[str, Any]:
        """The tool as OpenAI describes it: ``{type: "function", function: {…}}``."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}

    async def run(self, arguments: str, *, emit: Emit, call: Call, info: RequestInfo) -> str:
        """Have the page call it with JSON arguments; the result as text.

        :raises ToolError: bad arguments, no answer, or an answer ``{error}``.
        """
        try:
            params = json.loads(arguments.strip() or "{}")
        except (ValueError, RecursionError) as error:
            raise ToolError(f"bad arguments: {error}") from None
        if not isinstance(params, dict):
            raise ToolError("bad arguments: an object is needed")
        data = {"name": self.name, "params": params, "server": {"url": self.url}}
        try:
            answer = await call({"type": "execute:tool", "data": data})
        except HeliographError as error:
            raise ToolError(f"{error.message} ({error.code})") from error
        if isinstance(answer, dict) and answer.get("error"):
            raise ToolError(clean_text(error_text(answer["error"])))
        return clean_text(as_text(answer))


def remote_tools(servers: Iterable[ToolServer] | None) -> dict[str, RemoteTool]:
    """The tools of a request's servers by name; of two with one name the first.

    :raises BadPayload: more than :data:`MAX_TOOL_SPECS` tools, or what has no JSON form.
    :raises TooLarge: over :data:`MAX_TOOL_BYTES`.
    """
    asked = [server.model_dump() for server in servers or ()]
    if sum(len(server["specs"]) for server in asked) > MAX_TOOL_SPECS:
        raise BadPayload(
            f"tool_servers: more than {MAX_TOOL_SPECS} tools together", path="tool_servers"
        )
    found: dict[str, RemoteTool] = {}
    for server in clean_json(asked, path="tool_servers", limit=MAX_TOOL_BYTES):
        for spec in server["specs"]:
            tool = RemoteTool(
                spec["name"],
                spec["description"] or "",
                spec["parameters"] or _NO_PARAMETERS,
                server["url"],
            )
            found.setdefault(tool.name, tool)
    return found
