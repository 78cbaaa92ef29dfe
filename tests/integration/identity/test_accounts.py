"""Accounts over HTTP."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.support.server import PASSWORD, RunningServer


async def _post(server: RunningServer, path: str, **body: object) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url) as http:
        return await http.post(path, json=body)


async def _get_me(server: RunningServer, token: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
        return await http.get("/api/v1/auths/")


async def test_the_first_account_is_the_administrators(server: RunningServer) -> None:
    assert server.root.role == "admin"
    assert (await server.signup("ann")).role == "user"


async def test_signing_in_gives_a_working_token(server: RunningServer) -> None:
    ann = await server.signup("ann")
    answer = await _post(server, "/api/v1/auths/signin", email="ANN@example.org", password=PASSWORD)
    assert answer.status_code == 200
    assert answer.json()["token_type"] == "Bearer"
    me = await _get_me(server, answer.json()["token"])
    assert me.json() == {
        "id": ann.id, "name": "ann", "email": "ann@example.org", "role": "user",
    }  # fmt: skip


async def test_a_wrong_password_and_an_unknown_address_look_the_same(
    server: RunningServer,
) -> None:
    await server.signup("ann")
    wrong = await _post(server, "/api/v1/auths/signin", email="ann@example.org", password="x" * 9)
    unknown = await _post(server, "/api/v1/auths/signin", email="eve@example.org", password="x")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["code"] == "credentials_invalid"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"), ("email", "a@b@c"), ("email", "x" * 400 + "@example.org"),
        ("name", ""), ("name", "  "), ("name", "x" * 201), ("name", "a\x00b"), ("name", 7),
        ("password", "short"), ("password", "x" * 1001), ("password", None),
    ],
)  # fmt: skip
async def test_a_bad_sign_up_names_the_field(
    server: RunningServer, field: str, value: object
) -> None:
    good: dict[str, object] = {"name": "Eve", "email": "eve@example.org", "password": PASSWORD}
    answer = await _post(server, "/api/v1/auths/signup", **{**good, field: value})
    assert answer.status_code == 422
    assert answer.json()["code"] == "bad_payload"
    assert answer.json()["path"] == field


async def test_an_address_is_taken_once(server: RunningServer) -> None:
    body = {"name": "Ann", "email": "ann@example.org", "password": PASSWORD}
    answers = await asyncio.gather(
        *(_post(server, "/api/v1/auths/signup", **body) for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]


@pytest.mark.settings(ENABLE_SIGNUP=True, AUTH_ATTEMPTS_PER_MINUTE=3)
async def test_attempts_are_limited(server: RunningServer) -> None:
    answers = [
        await _post(server, "/api/v1/auths/signin", email="a@example.org", password="x")
        for _ in range(4)
    ]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["code"] == "rate_limited"


async def test_an_api_key_works_until_the_next_one(server: RunningServer) -> None:
    ann = await server.signup("ann")
    first = (await ann.http.post("/api/v1/auths/api_key")).json()["api_key"]
    assert first.startswith("sk-")
    assert (await _get_me(server, first)).json()["id"] == ann.id
    await ann.http.post("/api/v1/auths/api_key")
    assert (await _get_me(server, first)).status_code == 401


@pytest.mark.parametrize("token", [None, "garbage", "sk-nothing"])
async def test_without_a_good_token_nothing_is_told(
    server: RunningServer, token: str | None
) -> None:
    answer = await _get_me(server, token)
    assert answer.status_code == 401
    assert answer.json()["code"] in ("token_missing", "token_invalid")


async def test_only_administrators_manage_accounts(server: RunningServer) -> None:
    ann, ben = await server.signup("ann"), await server.signup("ben")
    assert (await ann.http.get("/api/v1/users/")).status_code == 403
    assert (await ann.http.delete(f"/api/v1/users/{ben.id}")).status_code == 403
    pages = [
        (await server.root.http.get(f"/api/v1/users/?limit=2&skip={skip}")).json()
        for skip in (0, 2)
    ]
    assert [page["total"] for page in pages] == [3, 3]
    names = [user["name"] for page in pages for user in page["users"]]
    assert sorted(names) == ["ann", "ben", "root"]


async def test_a_pending_account_can_do_nothing(server: RunningServer) -> None:
    ann = await server.signup("ann")
    body = {"role": "pending"}
    await server.root.http.post(f"/api/v1/users/{ann.id}/update", json=body)
    assert (await ann.http.get("/api/v1/auths/")).status_code == 403


async def test_people_are_found_by_name_without_their_address(server: RunningServer) -> None:
    ann, _ = await server.signup("ann"), await server.signup("ben")
    found = (await ann.http.get("/api/v1/users/search?query=BEN")).json()
    assert [user["name"] for user in found["users"]] == ["ben"]
    assert "email" not in found["users"][0]


async def test_a_body_that_is_too_large_is_refused(server: RunningServer) -> None:
    ann = await server.signup("ann")
    answer = await ann.http.post("/api/v1/auths/signin", content=b"x" * (17 << 20))
    assert answer.status_code == 413


async def test_unknown_paths_have_the_shape_of_errors(server: RunningServer) -> None:
    ann = await server.signup("ann")
    answer = await ann.http.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
