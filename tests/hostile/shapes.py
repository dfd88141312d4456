"""What a document is made of, but for its words: so that a text that became more than words is seen.

lxml brings libxml2, which from 2.14 on takes HTML apart by the rules of HTML 5 (libxml2's news); how a browser does is
seen in Chromium, in `tests/browser/test_markup.py`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from lxml import etree, html

Node = tuple[int, str, tuple[tuple[str, str], ...]]
"""How deep it stands, what it is, and its attributes."""

_WORDS = frozenset({"alt", "aria-label", "content", "label", "placeholder", "srcdoc", "title", "value"})
"""Attributes that hold words; what a `srcdoc` is made of is looked at by itself."""
_ADDRESSES = frozenset({"action", "formaction", "href", "src"})
_RUNS = re.compile(r"on|srcset|xlink|background|data$|poster|ping")


def of_html(markup: str, depth: int = 0) -> list[Node]:
    """The shape of a page or a mail."""
    # libxml2 would take the newest of many nested elements for a bomb without huge_tree.
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True)
    return list(_nodes(html.document_fromstring(markup.encode("utf-8", "surrogatepass"), parser=parser), depth))


def of_feed(markup: str) -> list[Node]:
    """The shape of an Atom feed, and of the HTML in it. Raises etree.XMLSyntaxError."""
    root = etree.fromstring(markup.encode(), parser=etree.XMLParser(resolve_entities=False, no_network=True))
    nodes = list(_nodes(root, 0))
    for content in root.iter("{http://www.w3.org/2005/Atom}content"):
        nodes += of_html(content.text or "")
    return nodes


def live(nodes: list[Node]) -> list[Node]:
    """What of it runs by itself, loads something, or leads where no link of ours leads."""
    return [node for node in nodes if any(_is_live(name, value) for name, value in node[2])]


@functools.lru_cache(maxsize=8)
def words(markup: str) -> str:
    """All that a document says, in single spaces."""
    return " ".join(html.document_fromstring(markup.encode()).text_content().split())


def _is_live(name: str, value: str) -> bool:
    return bool(_RUNS.match(name)) or (name in _ADDRESSES and value.startswith("elsewhere "))


def _nodes(root: etree._Element, depth: int) -> Iterator[Node]:
    stack = [(root, depth)]
    while stack:
        element, at = stack.pop()
        if not isinstance(element.tag, str):
            yield at, "comment", (("text", element.text or ""),)
            continue
        yield at, element.tag, tuple(sorted((name, _value(name, value)) for name, value in element.attrib.items()))
        if "srcdoc" in element.attrib:
            yield from of_html(element.attrib["srcdoc"], at + 1)
        if element.tag in ("script", "style"):
            yield at + 1, element.text or "", ()
        stack += [(child, at + 1) for child in reversed(element)]


def _value(name: str, value: str) -> str:
    if name in _WORDS:
        return ""
    return _place(value) if name in _ADDRESSES else value


def _place(url: str) -> str:
    """Where a link leads: to a path of ours, which stays, to some address of the web, or elsewhere."""
    scheme = urlsplit(url.strip()).scheme
    if not scheme and not url.startswith("//"):
        return url
    return "web" if scheme in ("http", "https") else scheme if scheme == "mailto" else f"elsewhere {url}"
