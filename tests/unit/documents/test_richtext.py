"""A note in its three forms: what is in the document is in them, and nothing else."""

from __future__ import annotations

import html
import random
import re
from typing import Any

import lxml.html  # type: ignore[import-untyped]
import orjson
import pycrdt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prosemirror.model import DOMParser, Node

from heliograph.documents.fragment import Json, fill_fragment, fragment_to_json
from heliograph.documents.from_markdown import markdown_to_json
from heliograph.documents.normal import normalise, safe_address
from heliograph.documents.richtext import content_of, derive
from heliograph.documents.schema import SCHEMA
from heliograph.documents.updates import BadUpdate, UpdateGate
from tests.unit.documents.prose import ORDINARY, Doc, note_of, notes
from tests.unit.documents.yjs import copy, edits, mutate

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def paragraph(*texts: str, **attrs: object) -> Json:
    return {"type": "paragraph", "content": [{"type": "text", "text": text} for text in texts]}


def doc_of(*blocks: Json) -> Json:
    return {"type": "doc", "content": list(blocks)}


def test_ordinary_markdown_comes_back_as_it_was() -> None:
    assert derive(note_of(ORDINARY)).md == ORDINARY


@pytest.mark.parametrize(
    "markdown",
    [
        "- a\n\n* b\n\n1. c\n\n1) d",
        "- # heading\n\n-\n\n- ```\n  x\n  ```",
        "- ___",
        "````\n```\n````",
        "\\# no heading\n\n1\\. no list\n\n\\- no item\n\n\\> no quote",
        "snake_case and C:\\\\dir and 2 * 3 and a < b & c",
        "\\<b>no HTML\\</b> \\&amp;",
        "**bold**, ***both*** and *it*__bo__",
        "- [ ]\n- [x] done\n  - inner",
        "a\\\nb\\\n\\\nc",
        "``a`b`` and `` ` ``",
        "[`code`](https://example.org)",
    ],
)
def test_markdown_with_a_catch_comes_back_as_it_was(markdown: str) -> None:
    assert derive(note_of(markdown)).md == markdown


@many
@given(notes)
def test_markdown_of_any_note_reads_back_as_the_same_text(note: Json) -> None:
    first = content_of(note)
    second = content_of(markdown_to_json(first.md))
    assert second.md == first.md

    def text(content: str) -> str:
        return re.sub(r"\s", "", html.unescape(re.sub(r"<[^>]*>", "", content)))

    assert text(second.html) == text(first.html)


@pytest.mark.parametrize("name", ["bold", "italic", "strike"])
def test_a_mark_that_goes_on_behind_a_link_begins_at_the_next_word(name: str) -> None:
    mark, link = {"type": name}, {"type": "link", "attrs": {"href": "https://x.y"}}
    texts = [("one", [link]), ("two ", [mark, link]), ("three", [mark]), ("four", [])]
    nodes = [{"type": "text", "text": text, "marks": marks} for text, marks in texts]
    first = content_of(doc_of({"type": "paragraph", "content": nodes})).md
    sign = {"bold": "**", "italic": "*", "strike": "~~"}[name]
    assert first == f"[one{sign}two{sign}](https://x.y) {sign}three{sign}four"
    assert content_of(markdown_to_json(first)).md == first


def test_marks_cut_at_a_space_nest_as_they_do_when_read_again() -> None:
    link = {"type": "link", "attrs": {"href": "https://x.y"}}
    strike, italic = {"type": "strike"}, {"type": "italic"}
    texts = [("one ", [link]), ("two", [link, italic, strike]), (" three", [strike])]
    nodes = [{"type": "text", "text": text, "marks": marks} for text, marks in texts]
    first = content_of(doc_of({"type": "paragraph", "content": nodes})).md
    assert first == "[one *~~two~~*](https://x.y) ~~three~~"
    assert content_of(markdown_to_json(first)).md == first


@many
@given(st.text(st.sampled_from("ab *_`~[]()!<>&#-+=|.:1\\\n\n\n  >x"), max_size=60))
def test_any_text_as_markdown_settles_after_one_reading(markdown: str) -> None:
    once = content_of(markdown_to_json(markdown)).md
    assert content_of(markdown_to_json(once)).md == once


@many
@given(notes)
def test_what_is_written_into_a_document_is_read_from_it(note: Json) -> None:
    doc: Doc = pycrdt.Doc()
    fill_fragment(doc, note)
    again: Doc = pycrdt.Doc()
    fill_fragment(again, fragment_to_json(doc))
    assert fragment_to_json(again) == fragment_to_json(doc)
    assert derive(doc).md == content_of(note).md


@many
@given(notes)
def test_any_note_is_brought_into_the_schema(note: Json) -> None:
    Node.from_json(SCHEMA, normalise(note)).check()


def test_html_of_a_note_parses_back_into_the_same_note() -> None:
    normal = normalise(markdown_to_json(ORDINARY))
    rendered = content_of(normal).html
    page = lxml.html.fragment_fromstring(rendered, create_parent="div")
    parsed: Any = DOMParser.from_schema(SCHEMA).parse(page).to_json()
    assert content_of(parsed).md == ORDINARY


def test_an_empty_document_is_empty_in_every_form() -> None:
    content = derive(pycrdt.Doc())
    assert (content.md, content.html, content.json) == ("", "", {"type": "doc", "content": []})


def test_seeding_nothing_leaves_the_document_empty() -> None:
    assert note_of("").get_update() == b"\x00\x00"


def test_hostile_text_is_text_in_html() -> None:
    content = content_of(doc_of(paragraph('<script>alert("1")</script>&amp;')))
    assert content.html == ("<p>&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;</p>")
    assert content_of(markdown_to_json(content.md)).html == content.html


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        " JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "java\u200bscript:alert(1)",
        "vbscript:x",
        "data:text/html,<script>",
        "file:///etc/passwd",
        "blob:x",
        7,
        None,
        {"x": 1},
    ],
)
def test_a_dangerous_link_leaves_its_text_in_html_and_markdown(href: object) -> None:
    mark = {"type": "link", "attrs": {"href": href}}
    text = {"type": "text", "text": "click", "marks": [mark]}
    content = content_of(doc_of({"type": "paragraph", "content": [text]}))
    assert (content.html, content.md) == ("<p>click</p>", "click")


@pytest.mark.parametrize("markdown", ["[x](javascript:a)", "![x](data:text/html,y)", "<file:///x>"])
def test_a_dangerous_link_in_markdown_makes_no_link(markdown: str) -> None:
    content = derive(note_of(markdown))
    assert "<a" not in content.html
    assert "<img" not in content.html


@pytest.mark.parametrize(
    "address", ["https://x.y", "mailto:a@b.c", "/rel", "#part", "a/b?c:d", "//host/x", "TEL:1"]
)
def test_ordinary_addresses_are_kept(address: str) -> None:
    assert safe_address(address) == address


def test_an_inline_picture_is_kept_and_an_inline_page_is_not() -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    assert safe_address(picture, image=True) == picture
    assert safe_address("data:image/svg+xml;base64,AAAA", image=True) is None
    assert safe_address(picture) is None


def test_attributes_out_of_range_become_what_the_schema_says() -> None:
    heading = {"type": "heading", "attrs": {"level": '1 onclick="x"'}, "content": []}
    big = {"type": "heading", "attrs": {"level": 99}}
    numbers = {"type": "orderedList", "attrs": {"start": "x"}, "content": [{"type": "listItem"}]}
    content = content_of(doc_of(heading, big, numbers))
    assert content.html == "<h1></h1><h1></h1><ol><li><p></p></li></ol>"


def test_unknown_nodes_and_marks_stay_in_json_and_show_their_text_elsewhere() -> None:
    note = doc_of(
        {
            "type": "callout",
            "attrs": {"kind": "info"},
            "content": [paragraph("one"), paragraph("two")],
        },
        {
            "type": "paragraph",
            "content": [
                {
                    "type": "text",
                    "text": "three ",
                    "marks": [{"type": "highlight", "attrs": {"c": 1}}],
                },
                {"type": "mention", "content": [{"type": "text", "text": "@ada"}]},
            ],
        },
    )
    doc: Doc = pycrdt.Doc()
    fill_fragment(doc, note)
    content = derive(doc)
    assert content.json == note
    assert content.md == "one\n\ntwo\n\nthree @ada"
    assert content.html == "<p>one</p><p>two</p><p>three @ada</p>"


def test_text_where_blocks_belong_gets_a_paragraph() -> None:
    doc: Doc = pycrdt.Doc()
    doc["prosemirror"] = fragment = pycrdt.XmlFragment()
    fragment.children.append(pycrdt.XmlText("stray"))
    assert derive(doc).html == "<p>stray</p>"


def test_numbers_are_whole_again_when_read() -> None:
    (heading,) = fragment_to_json(note_of("### three"))["content"]
    assert heading["attrs"] == {"level": 3}
    assert type(heading["attrs"]["level"]) is int


def test_a_mark_that_overlaps_itself_loses_the_hash_of_its_name() -> None:
    doc = note_of("text")
    text: Any = doc.get("prosemirror", type=pycrdt.XmlFragment).children[0].children[0]
    text.format(0, 4, {"comment--abcdefg=": {"id": 1}})
    (node,) = fragment_to_json(doc)["content"][0]["content"]
    assert node["marks"] == [{"type": "comment", "attrs": {"id": 1}}]


def test_a_very_deep_document_keeps_its_text() -> None:
    doc: Doc = pycrdt.Doc()
    parent: pycrdt.XmlFragment | pycrdt.XmlElement = pycrdt.XmlFragment()
    doc["prosemirror"] = parent
    for _ in range(1_500):
        inner = pycrdt.XmlElement("blockquote")
        parent.children.append(inner)
        parent = inner
    parent.children.append(pycrdt.XmlText("deep"))
    content = derive(doc)
    assert content.md.endswith("> deep")
    assert "deep" in content.html
    orjson.dumps(content.json)


@pytest.mark.parametrize(
    "root", [pycrdt.Map({"a": 1}), pycrdt.Array([1, "x", pycrdt.Map({})]), pycrdt.Text("text")]
)
def test_a_root_of_another_type_is_an_empty_note(root: Any) -> None:
    doc: Doc = pycrdt.Doc()
    doc["prosemirror"] = root
    received: Doc = pycrdt.Doc()
    received.apply_update(doc.get_update())
    assert derive(received).md == ""


def test_deriving_never_raises_on_what_the_gate_lets_in() -> None:
    rnd = random.Random(11)
    base = note_of(ORDINARY, client_id=1)
    corpus = [base.get_update(), *edits(base, 2), *edits(base, 3)]
    gate = UpdateGate(base)
    derived = 0
    for _ in range(1_500):
        update = mutate(rnd, corpus)
        try:
            gate.check(update)
        except BadUpdate:
            continue
        doc = copy(base)
        doc.apply_update(update)
        orjson.dumps(derive(doc).json)
        derived += 1
    assert derived > 5


def test_without_extensions_a_note_holds_only_what_a_plain_editor_knows() -> None:
    markdown = "- [ ] task\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n![alt](https://x.y/z.png)"
    json = markdown_to_json(markdown, extensions=False)
    kinds = set(re.findall(r'"type":"(\w+)"', orjson.dumps(json).decode()))
    assert kinds == {"doc", "paragraph", "text", "bulletList", "listItem", "link"}
    assert content_of(json).md == "- \\[ ] task\n\na | b\n\n1 | 2\n\n[alt](https://x.y/z.png)"


def test_images_stand_between_blocks_and_items_begin_with_a_paragraph() -> None:
    one, image, two = markdown_to_json("one ![a](b.png) two")["content"]
    assert (one["type"], image["type"], two["type"]) == ("paragraph", "image", "paragraph")
    (bullets,) = markdown_to_json("- ![a](b.png)")["content"]
    assert [each["type"] for each in bullets["content"][0]["content"]] == ["paragraph", "image"]


def test_hundreds_of_nested_quotes_are_read_without_an_error() -> None:
    content = derive(note_of(">" * 5_000 + " x"))
    assert content.html.startswith("<blockquote><blockquote>")
