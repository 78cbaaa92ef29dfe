"""Answers that dead replicas left, on both databases: ended once, by whoever comes first."""

from __future__ import annotations

from heliograph.chat.claims import Claims, Fate
from heliograph.chat.hot import StreamRef
from heliograph.chat.messages import MessageRepository
from heliograph.chat.rows import Ending
from tests.integration.chat.support import Feature
from tests.integration.chat.test_store import begin, ended, own


async def test_what_a_dead_process_left_is_interrupted_at_the_next_look(feature: Feature) -> None:
    await own(feature, feature.chat.interruptions._replica.id)
    await feature.chat.interruptions.look()
    assert (await feature.row("m1")).state == "streaming"
    await own(feature, "dead")
    await feature.chat.interruptions.look()
    assert (await feature.row("m1")).state == "interrupted"
    told = [data for _, data in feature.hub.published if data["message_id"] == "m1"]
    assert [event["data"]["type"] for event in told] == ["chat:completion", "chat:active"]
    assert told[0]["data"]["data"] == {"done": True, "state": "interrupted", "content": ""}


async def test_an_end_that_a_dead_process_did_not_tell_is_told(feature: Feature) -> None:
    store = MessageRepository(feature.database)
    for ending, told in (
        (
            Ending("finished"),
            ("chat:completion", {"done": True, "state": "finished", "content": "x"}),
        ),
        (Ending("stopped"), ("chat:tasks:cancel", {"state": "stopped"})),
        (
            Ending("error", error={"content": "no", "code": "internal"}),
            ("chat:message:error", {"error": {"content": "no", "code": "internal"}}),
        ),
    ):
        await own(feature, "dead")
        assert await store.settle("c1", "m1", "x", owner="dead", whole=True, ending=ending)
        feature.hub.published.clear()
        ref = StreamRef(feature.ann.id, "c1", "m1", "run", "dead")
        await feature.chat.interruptions.settle(ref)
        first = feature.hub.published[0][1]["data"]
        assert (first["type"], first["data"]) == told
        assert (await feature.row("m1")).state == ending.state


async def test_an_answer_of_before_there_were_owners_is_interrupted(feature: Feature) -> None:
    await own(feature, "")
    chat = await feature.chat.chats.get(feature.ann, "c1")
    assert chat["chat"]["history"]["messages"]["m1"]["state"] == "interrupted"


async def test_a_message_that_a_dead_process_left_is_answered_again(feature: Feature) -> None:
    await own(feature, "dead")
    await begin(feature, "again", id="m1")
    await ended(feature)
    row = await feature.row("m1")
    assert (row.content, row.state) == ("again", "finished")


async def test_who_lost_an_answer_writes_no_more(feature: Feature) -> None:
    store, claims = MessageRepository(feature.database), Claims(feature.database)
    await own(feature, "r1")
    assert await store.settle("c1", "m1", "one ", owner="r1", whole=False, ending=None)
    assert await claims.interrupt("c1", "m1", "r1", "one two") == Fate("one two")
    assert not await store.settle("c1", "m1", "three", owner="r1", whole=False, ending=None)
    assert not await store.settle("c1", "m1", "", owner="r1", whole=False, ending=None)
    assert not await store.is_owner("c1", "m1", "r1")
    assert await claims.interrupt("c1", "m1", "r1", "other") == Fate("one two")
    assert (await feature.row()).content == "one two"


async def test_an_answer_that_somebody_else_writes_is_left_alone(feature: Feature) -> None:
    claims = Claims(feature.database)
    await own(feature, "r2")
    assert await claims.interrupt("c1", "m1", "r1", "old") == Fate(in_flight=True)
    assert await claims.interrupt("c1", "none", "r1", "old") == Fate()
    assert [claim.owner for claim in await claims.of_chat("c1")] == ["r2"]
    assert await claims.owners() == ["r2"]
    assert await claims.of_owner("r1") == []


async def test_what_was_stored_beyond_the_log_is_kept_unless_it_was_replaced(
    feature: Feature,
) -> None:
    store, claims = MessageRepository(feature.database), Claims(feature.database)
    for only_grew, kept in ((True, "one two"), (False, "one")):
        await own(feature, "r1")
        await store.settle("c1", "m1", "one two", owner="r1", whole=True, ending=None)
        fate = await claims.interrupt("c1", "m1", "r1", "one", only_grew=only_grew)
        assert fate == Fate(kept)
