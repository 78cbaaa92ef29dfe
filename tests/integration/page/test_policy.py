"""What browsers are told about the documents of the page."""

from __future__ import annotations

import httpx
import pytest

from heliograph.edge.policy import PYTHON_POLICY, written


def directives(answer: httpx.Response) -> dict[str, str]:
    policy = answer.headers["content-security-policy"]
    return dict(part.strip().split(" ", 1) for part in policy.split(";"))


async def test_the_page_runs_its_own_scripts_only(site: httpx.AsyncClient) -> None:
    for path in ("/", "/chats/c1"):
        told = directives(await site.get(path, headers={"accept": "text/html"}))
        assert told["default-src"] == told["object-src"] == told["base-uri"] == "'none'"
        assert told["script-src"] == told["style-src"] == told["frame-ancestors"] == "'self'"
        assert not [sources for sources in told.values() if "unsafe" in sources]


async def test_documents_say_what_they_are(site: httpx.AsyncClient) -> None:
    headers = (await site.get("/")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "microphone=()" in headers["permissions-policy"]
    assert "access-control-allow-origin" not in headers


async def test_embeds_are_in_a_sandbox_without_connections(site: httpx.AsyncClient) -> None:
    told = directives(await site.get("/frame.html"))
    assert told["sandbox"] == "allow-scripts allow-popups allow-popups-to-escape-sandbox"
    assert told["default-src"] == "'none'"
    assert "connect-src" not in told
    assert told["frame-ancestors"] == "'self'"


async def test_python_is_in_a_sandbox_without_connections(site: httpx.AsyncClient) -> None:
    told = directives(await site.get("/python.html"))
    origin = str(site.base_url).rstrip("/")
    assert told["sandbox"] == "allow-scripts"
    assert told["script-src"] == f"{origin}/assets/ 'wasm-unsafe-eval' blob:"
    assert told["connect-src"] == "'none'"


@pytest.mark.parametrize("host", ["", "a b", "x; script-src *", "evil,*", "*", "x/'unsafe-eval'"])
def test_a_host_that_is_none_allows_nothing(host: str) -> None:
    policy = written(PYTHON_POLICY, scheme="http", host=host)
    assert "script-src 'none'; connect-src 'none'" in policy


@pytest.mark.parametrize("host", ["chat.example.org", "chat.example.org:8443", "[::1]:8080"])
def test_a_host_is_named_with_its_port(host: str) -> None:
    policy = written(PYTHON_POLICY, scheme="https", host=host)
    assert f"script-src https://{host}/assets/ " in policy
