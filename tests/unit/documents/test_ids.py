"""One canonical form per document."""

from __future__ import annotations

import pytest

from heliograph.documents.ids import canonical, note_of, rooms_of
from heliograph.errors import BadPayload


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("note:x", "note:x"),
        ("note_x", "note:x"),
        ("note:a_b", "note:a_b"),
        ("note_a-b.c", "note:a-b.c"),
        ("board", "board"),
        ("a:b", "a:b"),
        ("a_b", "a_b"),
        ("notebook", "notebook"),
        ("0", "0"),
        ("x" * 128, "x" * 128),
    ],
)
def test_an_id_has_one_form(given: str, expected: str) -> None:
    assert canonical(given) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize(
    "bad", ["", "note", "note:", "note_", "Note:x", "NOTE_x", "note-x", "notes:x", "note.x",
            "note::x", "note:x:y", "note:x/y", " note:x", "note:x ", "note:x\n", "a b", "-a",
            ".", "..", "/", "é", "x" * 129, "note:" + "x" * 65]
)  # fmt: skip
def test_what_is_no_id_is_refused(bad: str) -> None:
    with pytest.raises(BadPayload) as refusal:
        canonical(bad)
    assert refusal.value.path == "document_id"


def test_a_notes_document_has_two_rooms() -> None:
    assert rooms_of("note:x") == ["doc_note:x", "note:x"]
    assert rooms_of("board") == ["doc_board"]
    assert note_of("note:x") == "x"
    assert note_of("board") is None
