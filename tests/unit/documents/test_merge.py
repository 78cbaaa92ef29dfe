"""A new text merged into an open document: it says the text, and others' edits survive."""

from __future__ import annotations

from typing import Any

import pycrdt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.documents.alignment import text_edits
from heliograph.documents.fragment import Json, fill_fragment, fragment_to_json
from heliograph.documents.merge import merge_markdown
from heliograph.documents.richtext import content_of, derive
from heliograph.documents.updates import check_update
from tests.unit.documents.prose import ORDINARY, Doc, note_of, notes, signs
from tests.unit.documents.yjs import copy

many = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
BLOCKS = ["# Title", "first paragraph here", "- one\n- two", "last paragraph here"]
NOTE = "\n\n".join(BLOCKS)


def exchange(one: Doc, other: Doc) -> str:
    """Two replicas learn of each other's changes; the Markdown they agree on."""
    news = one.get_update(other.get_state())
    one.apply_update(other.get_update(one.get_state()))
    other.apply_update(news)
    assert fragment_to_json(one) == fragment_to_json(other)
    return derive(one).md


def text_of(doc: Doc, *path: int) -> pycrdt.XmlText:
    node: Any = doc.get("prosemirror", type=pycrdt.XmlFragment)
    for index in path:
        node = node.children[index]
    assert isinstance(node, pycrdt.XmlText)
    return node


@many
@given(notes, notes)
def test_after_a_merge_the_note_says_the_new_text(before: Json, after: Json) -> None:
    doc: Doc = pycrdt.Doc()
    fill_fragment(doc, before)
    peer = copy(doc)
    markdown = content_of(after).md
    update = merge_markdown(doc, markdown)
    assert derive(doc).md == derive(note_of(markdown)).md
    if update is not None:
        check_update(peer, update)
        peer.apply_update(update)
    assert peer.get_update() == doc.get_update()
    assert merge_markdown(doc, markdown) is None


@many
@given(notes, st.data())
def test_after_a_small_change_of_its_own_text_the_note_says_that(
    note: Json, data: st.DataObject
) -> None:
    doc: Doc = pycrdt.Doc()
    fill_fragment(doc, note)
    markdown = derive(doc).md
    assert merge_markdown(doc, markdown) is None
    start = data.draw(st.integers(0, len(markdown)))
    end = data.draw(st.integers(start, min(len(markdown), start + 5)))
    changed = markdown[:start] + data.draw(signs) + markdown[end:]
    merge_markdown(doc, changed)
    assert derive(doc).md == derive(note_of(changed)).md


def test_a_text_that_says_the_same_changes_nothing() -> None:
    doc = note_of(ORDINARY)
    state = doc.get_update()
    assert merge_markdown(doc, ORDINARY + "\n\n\n") is None
    assert doc.get_update() == state


def test_its_own_text_changes_nothing_where_a_mark_leaves_a_link_at_a_space() -> None:
    bold, link = {"type": "bold"}, {"type": "link", "attrs": {"href": "https://x.y/(a b"}}
    texts = [("1", [link]), ("1 ", [bold, link]), ("1", [bold])]
    nodes = [{"type": "text", "text": text, "marks": marks} for text, marks in texts]
    doc: Doc = pycrdt.Doc()
    fill_fragment(doc, {"type": "doc", "content": [{"type": "paragraph", "content": nodes}]})
    markdown = derive(doc).md
    assert markdown == "[1**1**](https://x.y/%28a%20b) **1**"
    assert merge_markdown(doc, markdown) is None


def test_one_changed_word_makes_a_small_update() -> None:
    doc = note_of("\n\n".join([ORDINARY] * 20))
    update = merge_markdown(doc, derive(doc).md.replace("The end.", "The End.", 1))
    assert update is not None
    assert len(update) < 100


@many
@given(st.integers(0, 3), signs, st.integers(0, 12))
def test_typing_in_an_untouched_block_survives(block: int, typed: str, at: int) -> None:
    doc = note_of(NOTE, client_id=1)
    peer = copy(doc, client_id=2)
    path = (2, 0, 0, 0) if block == 2 else (block, 0)
    text = text_of(peer, *path)
    text.insert(min(at, len(text)), typed)
    changed = [text if n == block else text.replace("a", "A") for n, text in enumerate(BLOCKS)]
    merge_markdown(doc, "\n\n".join(["new first block", *changed, "new last block"]))
    exchange(doc, peer)
    merged = str(doc.get("prosemirror", type=pycrdt.XmlFragment))
    assert str(text) in merged
    assert "new first block" in merged
    assert "new last block" in merged


def test_typing_elsewhere_in_the_same_paragraph_survives() -> None:
    doc = note_of("The quick brown fox jumps over the lazy dog.", client_id=1)
    peer = copy(doc, client_id=2)
    text_of(peer, 0, 0).insert(len("The quick brown fox jumps"), " high")
    merge_markdown(doc, "A quick brown fox jumps over the lazy **cat**.")
    assert exchange(doc, peer) == "A quick brown fox jumps high over the lazy **cat**."


def test_a_mark_set_elsewhere_in_the_same_paragraph_survives() -> None:
    doc = note_of("one two three", client_id=1)
    peer = copy(doc, client_id=2)
    text_of(peer, 0, 0).format(0, 3, {"bold": {}})
    merge_markdown(doc, "one two *three*")
    assert exchange(doc, peer) == "**one** two *three*"


def test_typing_in_another_item_and_another_cell_survives() -> None:
    doc = note_of("- one\n- two\n- three\n\n| a | b |\n| --- | --- |\n| c | d |", client_id=1)
    peer = copy(doc, client_id=2)
    text_of(peer, 0, 2, 0, 0).insert(5, "!")
    text_of(peer, 1, 1, 1, 0, 0).insert(1, "!")
    merge_markdown(doc, "- ONE\n- two\n- three\n\n| a | b |\n| --- | --- |\n| C | d |")
    assert exchange(doc, peer) == ("- ONE\n- two\n- three!\n\n| a | b |\n| --- | --- |\n| C | d! |")


def test_a_line_typed_into_code_while_another_is_edited_survives() -> None:
    doc = note_of("```py\na = 1\nb = 2\nc = 3\n```", client_id=1)
    peer = copy(doc, client_id=2)
    text_of(peer, 0, 0).insert(len("a = 1\n"), "# note\n")
    merge_markdown(doc, "```python\na = 1\nb = 2\nc = 4\n```")
    assert exchange(doc, peer) == "```python\na = 1\n# note\nb = 2\nc = 4\n```"


@many
@given(signs, st.integers(0, 20))
def test_letters_beyond_ascii_are_counted_right(typed: str, at: int) -> None:
    doc = note_of("héllo wörld 😀 日本語 end", client_id=1)
    peer = copy(doc, client_id=2)
    merge_markdown(peer, "héllo wörld 😀 日本 END")
    text = text_of(doc, 0, 0)
    index = len(str(text)[:at].encode())
    text.insert(index, typed)
    exchange(doc, peer)
    assert str(text).endswith("END") or at > 18
    assert typed in str(text)


def test_what_markdown_cannot_say_stays_in_the_blocks_that_stay() -> None:
    note: Json = {
        "type": "doc",
        "content": [
            {"type": "paragraph", "attrs": {"textAlign": "center"}, "content": [
                {"type": "text", "text": "under", "marks": [{"type": "underline"}]},
                {"type": "text", "text": " here"},
            ]},
            {"type": "paragraph"},
            {"type": "callout", "content": [
                {"type": "paragraph", "content": [{"type": "text", "text": "one"}]},
                {"type": "paragraph", "content": [{"type": "text", "text": "two"}]},
            ]},
            {"type": "paragraph", "content": [{"type": "text", "text": "typing "}]},
            {"type": "paragraph"},
        ],
    }  # fmt: skip
    doc: Doc = pycrdt.Doc()
    fill_fragment(doc, note)
    merge_markdown(doc, "under there\n\none\n\ntwo\n\nstill typing")
    first, *rest = fragment_to_json(doc)["content"]
    assert first["attrs"] == {"textAlign": "center"}
    assert first["content"][0]["marks"] == [{"type": "underline"}]
    assert rest[:2] == note["content"][1:3]
    assert rest[2]["content"][0]["text"] == "still typing "
    assert rest[3] == {"type": "paragraph"}


def test_a_link_keeps_attributes_of_the_editor() -> None:
    doc = note_of("see [here](https://x.y) now")
    text = text_of(doc, 0, 0)
    text.format(4, 8, {"link": {"href": "https://x.y", "target": "_blank"}})
    merge_markdown(doc, "see [here](https://x.y) later")
    link = fragment_to_json(doc)["content"][0]["content"][1]["marks"][0]
    assert link["attrs"] == {"href": "https://x.y", "target": "_blank"}


def test_an_item_always_keeps_a_paragraph_to_begin_with() -> None:
    doc = note_of("- text\n\n  ```\n  code\n  ```")
    merge_markdown(doc, "- ```\n  code\n  ```")
    (item,) = fragment_to_json(doc)["content"][0]["content"]
    assert [block["type"] for block in item["content"]] == ["paragraph", "codeBlock"]


def test_clearing_a_note_leaves_it_empty() -> None:
    doc = note_of(ORDINARY)
    assert merge_markdown(doc, "") is not None
    assert derive(doc).md == ""


def test_a_failing_merge_leaves_no_observer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    doc = note_of("text")

    def fails(*_: object) -> None:
        raise RuntimeError("test")

    monkeypatch.setattr("heliograph.documents.merge._merge_children", fails)
    with pytest.raises(RuntimeError, match="test"):
        merge_markdown(doc, "other")
    assert derive(doc).md == "text"


@pytest.mark.parametrize(
    ("old", "new", "edits"),
    [
        ("same", "same", []),
        ("", "new", [(0, 0, 0, 3)]),
        ("a b c", "a c", [(2, 4, 2, 2)]),
        ("one two three four", "ONE two three FOUR", [(0, 3, 0, 3), (14, 18, 14, 18)]),
        ("nothing alike", "xyz", [(0, 13, 0, 3)]),
    ],
)
def test_only_the_words_that_differ_are_edited(
    old: str, new: str, edits: list[tuple[int, int, int, int]]
) -> None:
    assert text_edits(old, new) == edits
