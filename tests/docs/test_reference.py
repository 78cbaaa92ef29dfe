"""The tables of the documentation say what the code says: codes, events, endpoints, limits."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from heliograph import errors
from heliograph.channels import limits
from heliograph.chat import remote_tools, requests, stream, text
from heliograph.chat.payloads import _CALLED, _EMITTED, ALIASES
from heliograph.delivery import lifecycle
from heliograph.documents import awareness, copy, cursors, notes, service
from heliograph.edge import api
from heliograph.settings import Settings
from tests.docs.pages import ROOT, codes, fields, read, rows, section
from tests.support.server import RunningServer

PACKAGE = ROOT / "app" / "heliograph"
# Their argument is a code, wherever it stands.
_TAKE_CODES = {"put_out", "on_put_out", "_closed", "_failed"}
_CODE = re.compile(r"[a-z]+(_[a-z]+)*")


def _sources() -> Iterator[ast.Module]:
    for path in PACKAGE.rglob("*.py"):
        if "terminal" not in path.parts:
            yield ast.parse(path.read_text())


def _strings(node: ast.AST) -> set[str]:
    return {
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant)
        and isinstance(each.value, str)
        and _CODE.fullmatch(each.value)
    }


def _results(node: ast.AST) -> set[str]:
    """The strings an expression may give; not those that its condition compares."""
    if isinstance(node, ast.IfExp):
        return _results(node.body) | _results(node.orelse)
    return _strings(node) if isinstance(node, ast.Constant) else set()


def _codes_in(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            given = [word.value for word in node.keywords if word.arg == "code"]
            given += node.args if name in _TAKE_CODES else []
            for value in given:
                found |= _results(value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(each, ast.Name) and each.id == "code" for each in targets):
                found |= _results(node.value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    found |= _results(value)
    return found


def test_every_code_is_listed_and_no_other() -> None:
    used = set(api._CODES.values()) | {"http_error"}
    for tree in _sources():
        used |= _codes_in(tree)
    listed = {codes(cells[0])[0] for cells in rows(section(read("client-guide.md"), "Errors"))}
    assert listed == used


def test_codes_have_the_status_of_their_class() -> None:
    statuses = {cells[0].strip("`"): cells[1] for cells in _error_rows()}
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.HeliographError):
            assert statuses[kind.code] == str(kind.status), kind


def _error_rows() -> list[list[str]]:
    return rows(section(read("client-guide.md"), "Errors"))


def test_reasons_of_closed_transports_are_listed() -> None:
    used = set()
    for tree in _sources():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "end"
                and len(node.args) >= 2
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[1], ast.Constant)
                and isinstance(node.args[0].value, int)
            ):
                used.add((node.args[0].value, str(node.args[1].value).split(":")[0]))
    ends = section(read("client-guide.md"), "When the server ends something")
    listed = {(int(c[0]), c[1].strip("`")) for c in rows(ends) if c[0].isdigit()}
    assert listed == used


async def test_every_event_a_client_may_send_is_listed(server: RunningServer) -> None:
    listed: set[str] = set()
    for cells in rows(section(read("client-guide.md"), "Events a client sends")):
        listed |= set(codes(cells[0]))
    assert listed == set(server.application.gateway._routes)


async def test_payloads_of_events_name_the_fields_of_their_models(server: RunningServer) -> None:
    for cells in rows(section(read("client-guide.md"), "Events a client sends")):
        model = server.application.gateway._routes[codes(cells[0])[0]].model
        told = {name.rstrip("?") for name in fields(codes(cells[1])[0])}
        known = set(model.model_fields)
        # `data` of a document update is the old form, which changes nothing.
        assert told - known == set(), cells[0]
        assert known - told <= {"data"}, cells[0]


def test_types_of_emitter_and_caller_are_listed() -> None:
    page = read("tools.md")
    emitted = {code for cells in rows(section(page, "The emitter")) for code in codes(cells[0])}
    called = {code for cells in rows(section(page, "The caller")) for code in codes(cells[0])}
    assert emitted == set(_EMITTED) | set(ALIASES)
    assert called == set(_CALLED)
    guide = read("client-guide.md")
    told = {code for cells in rows(section(guide, "Calls")) for code in codes(cells[0])}
    assert told == set(_CALLED)
    seen = {
        code for cells in rows(section(guide, "Types of chat events")) for code in codes(cells[0])
    }
    assert seen == emitted


def test_types_of_channel_events_are_listed() -> None:
    used = set()
    for path in (PACKAGE / "channels").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(
                getattr(node, "func", None), "attr", getattr(getattr(node, "func", None), "id", "")
            )
            if isinstance(node, ast.Call) and name in ("envelope", "message"):
                used |= {
                    each.value
                    for each in node.args
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    guide = section(read("client-guide.md"), "Types of channel events")
    assert {code for cells in rows(guide) for code in codes(cells[0])} == used


# -- HTTP ------------------------------------------------------------------------------


def _documented() -> dict[str, list[str]]:
    found = {}
    for cells in rows(read("http-api.md")):
        endpoint = codes(cells[0])
        if endpoint and re.match(r"(GET|POST|DELETE) /", endpoint[0]):
            assert endpoint[0] not in found
            found[endpoint[0]] = cells
    return found


def _endpoints(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            query = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
            shown = f"{method.upper()} {path}{'?' if query else ''}{'&'.join(query)}"
            found[shown] = operation
    return found


def _properties(schema: dict[str, Any], document: dict[str, Any]) -> set[str]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    if schema.get("type") == "array":
        return _properties(schema["items"], document)
    required = set(schema.get("required", []))
    return {name if name in required else f"{name}?" for name in schema.get("properties", {})}


async def test_every_endpoint_is_documented_and_no_other(server: RunningServer) -> None:
    document = (await server.root.http.get("/openapi.json")).json()
    assert set(_documented()) == set(_endpoints(document))


async def test_bodies_and_results_are_those_of_the_description(server: RunningServer) -> None:
    document = (await server.root.http.get("/openapi.json")).json()
    told = _documented()
    for endpoint, operation in _endpoints(document).items():
        _, body, result, _ = told[endpoint]
        content = operation.get("requestBody", {}).get("content", {})
        wanted = _properties(content["application/json"]["schema"], document) if content else set()
        assert fields(codes(body)[0] if body else "") == wanted, endpoint
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        given = _properties(schema, document)
        shapes = [shape for shape in codes(result) if "{" in shape]
        if given and shapes:
            assert fields(shapes[0]) == given, endpoint


async def test_shapes_written_out_are_those_of_the_description(server: RunningServer) -> None:
    document = (await server.root.http.get("/openapi.json")).json()
    page = " ".join(read("http-api.md").split())
    for beginning, schema in {
        "A channel is": "ChannelAnswer",
        "A message is `{id, channel_id": "MessageAnswer",
        "A note is": "NoteAnswer",
        "A task is": "TaskAnswer",
    }.items():
        at = page.index(beginning) + beginning.index("is")
        shape = page[page.index("`", at) + 1 : page.index("`", page.index("`", at) + 1)]
        wanted = _properties({"$ref": schema}, document)
        assert fields(shape) == {name.rstrip("?") for name in wanted}, schema


async def test_facts_of_the_server_have_the_fields_told(server: RunningServer) -> None:
    for endpoint in ("/api/version", "/api/config", "/api/usage", "/health"):
        answer = (await server.root.http.get(endpoint)).json()
        told = codes(_documented()[f"GET {endpoint}"][2])[0]
        assert fields(told) == set(answer), endpoint


# -- limits and metrics ----------------------------------------------------------------


def test_limits_are_those_of_the_code() -> None:
    default = {name: field.default for name, field in Settings.model_fields.items()}
    table = {cells[0]: cells[1] for cells in rows(section(read("client-guide.md"), "Limits"))}
    mib = 1024 * 1024
    told: dict[str, list[str]] = {
        "events of one client": [f"{default['websocket_max_messages_per_second']} a second"],
        "one message from a client": [f"{default['websocket_max_message_bytes'] // mib} MiB"],
        "queue to one client": [
            f"{default['websocket_queue_messages']:,} messages",
            f"{default['websocket_queue_bytes'] // mib} MiB",
        ],
        "time to send CONNECT": [f"{default['websocket_connect_timeout']:g} s"],
        "recovery": [
            f"{default['connection_recovery_seconds']} s",
            f"{lifecycle.MAX_REPLAY:,} missed events",
        ],
        "deadline of a call": [f"{default['websocket_event_caller_timeout']:g} s"],
        "sign-ups and sign-ins of one address": [f"{default['auth_attempts_per_minute']} a minute"],
        "HTTP body": [f"{api.MAX_BODY // mib} MiB"],
        "completion request": [
            f"{requests.MAX_REQUEST_BYTES // mib} MiB",
            f"{requests.MAX_MESSAGES:,} messages",
        ],
        "tool servers of a completion request": [
            f"{requests.MAX_TOOL_SERVERS},",
            f"{requests.MAX_TOOL_SPECS} tools",
            f"{remote_tools.MAX_TOOL_BYTES // mib} MiB",
        ],
        "answer": [f"{stream.MAX_ANSWER:,} characters"],
        "data of one emitted event": [f"{text.MAX_JSON_BYTES // mib} MiB"],
        "channel message": [
            f"{limits.MAX_CONTENT:,} characters",
            f"{limits.MAX_EXTRA_BYTES // 1024} KiB",
        ],
        "different reactions to a message": [str(limits.MAX_REACTIONS)],
        "note": [f"{notes.MAX_MARKDOWN:,} characters"],
        "document": [
            f"{copy.MAX_DOCUMENT_BYTES // mib} MiB",
            f"one update {service.MAX_UPDATE_BYTES // mib} MiB",
            f"awareness {awareness.MAX_AWARENESS_BYTES // 1024} KiB",
        ],
    }
    for what, words in told.items():
        for word in words:
            assert word in table[what], what
    assert f"more than {cursors.MAX_CLIENTS} cursors" in read("client-guide.md")


def test_settings_named_in_the_documentation_exist() -> None:
    known = {name.upper() for name in Settings.model_fields}
    known |= {"HELIOGRAPH_URL", "HELIOGRAPH_TOKEN", "HELIOGRAPH_EMAIL", "HELIOGRAPH_PASSWORD"}
    for page in ("client-guide.md", "http-api.md", "documents.md", "tools.md", "operations.md"):
        named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", read(page)))
        assert named - known <= {"CHAT_ID", "MESSAGE_ID", "SESSION_ID", "NOTE_ID", "NAME_OR_ID",
                                 "URL", "TOKEN"}, page  # fmt: skip


def test_metrics_are_listed() -> None:
    source = (PACKAGE / "telemetry" / "metrics.py").read_text()
    used = set(re.findall(r'"(heliograph_\w+)"', source))
    table = section(read("operations.md"), "Probes and metrics")
    listed = {
        re.sub(r"\{.*\}", "", codes(cells[0])[0]).removesuffix("_total") for cells in rows(table)
    }
    assert listed == used
