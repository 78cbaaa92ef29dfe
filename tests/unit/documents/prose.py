"""Random notes, and notes of the tests that share them."""

from __future__ import annotations

from typing import Any

import pycrdt
from hypothesis import strategies as st

from heliograph.documents.fragment import Json, fill_fragment
from heliograph.documents.from_markdown import markdown_to_json

Doc = pycrdt.Doc[Any]

ORDINARY = """\
# Plan for *spring*

Some **bold**, *italic*, ~~struck~~ and `code`, a [link](https://example.org/a_(b) "title") 😀.\\
A second line.

## Lists

- first
- second
  1. one
  2. two
- third

3. three
4. four

> quoted
>
> > deeper

```js
let x = 1;

  y();
```

- [ ] to do
- [x] done

| name | count |
| :--- | ---: |
| a \\| b | **2** |

![alt](https://example.org/a.png "picture")

---

The end."""


def note_of(markdown: str, client_id: int | None = None) -> Doc:
    """A document seeded from Markdown."""
    doc: Doc = pycrdt.Doc(client_id=client_id)
    fill_fragment(doc, markdown_to_json(markdown))
    return doc


_signs = st.sampled_from("ab *_`~[]()!<>&#-+=|.:1\\\"'é😀\u00a0/x;\n\t")
signs = st.text(_signs, min_size=1, max_size=12)
_marks: st.SearchStrategy[Json] = st.sampled_from(
    [
        *({"type": name} for name in ("bold", "italic", "strike", "code", "underline")),
        {"type": "link", "attrs": {"href": "https://x.y/(a b"}},
    ]
)


def _node(kind: str, content: list[Json], **attrs: object) -> Json:
    return {"type": kind, "content": content, **({"attrs": attrs} if attrs else {})}


def _text(text: str, marks: list[Json]) -> Json:
    return {"type": "text", "text": text, **({"marks": marks} if marks else {})}


_texts = st.builds(
    _text, signs, st.lists(_marks, max_size=3, unique_by=lambda mark: str(mark["type"]))
)
_breaks: st.SearchStrategy[Json] = st.just({"type": "hardBreak"})
_inline = st.lists(_texts | _breaks, max_size=5)
_rule: st.SearchStrategy[Json] = st.just({"type": "horizontalRule"})
_leaves = st.one_of(
    st.builds(lambda content: _node("paragraph", content), _inline),
    st.builds(
        lambda content, level: _node("heading", content, level=level), _inline, st.integers(1, 6)
    ),
    st.builds(lambda text: _node("codeBlock", [_text(text, [])], language="py"), signs),
    _rule,
)


def _nested(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    blocks = st.lists(inner, max_size=3)

    def items(kind: str, **attrs: object) -> st.SearchStrategy[list[Json]]:
        item = st.builds(lambda content: _node(kind, content, **attrs), blocks)
        return st.lists(item, min_size=1, max_size=3)

    row = st.builds(lambda cells: _node("tableRow", cells), items("tableCell"))
    return st.one_of(
        st.builds(lambda content: _node("blockquote", content), blocks),
        st.builds(lambda content: _node("bulletList", content), items("listItem")),
        st.builds(
            lambda content, start: _node("orderedList", content, start=start),
            items("listItem"),
            st.integers(0, 12),
        ),
        st.builds(lambda content: _node("taskList", content), items("taskItem", checked=True)),
        st.builds(lambda rows: _node("table", rows), st.lists(row, max_size=3)),
    )


notes: st.SearchStrategy[Json] = st.builds(
    lambda content: _node("doc", content),
    st.lists(st.recursive(_leaves, _nested, max_leaves=6), max_size=4),
)
"""`doc` nodes with everything the editor has, much of it hard to say in Markdown."""
