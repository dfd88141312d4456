"""A page or a feed's body to the whole, clean text of the piece: light text, as `newsletter.values` defines it.

Pure functions of strings and bytes. None of them raises, whatever it is given; where no text is, the answer is
empty. `extract` and `light_text` parse HTML and belong into the sandbox; the others look at short strings only.

How the article is found on a page. Two things are asked that no single extractor does: find the article on any
page, and keep all of it. trafilatura finds best, but it writes out only the blocks it likes and so loses lists;
so it is asked only *where* the article is. The blocks of the page whose words it returned are marked, the
smallest element that holds nearly all of them is taken for the article, and all that is in it stays, except
what the page itself gives away as something else: navigation, forms, hidden parts, captions, share bars, sign-up
boxes, related links, comments, footnotes. Issue 2 has the figures that decided this.
"""

from __future__ import annotations

import codecs
import html as entities
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from lxml import etree
from lxml import html as lxml_html

_Element = Any
"""An element of lxml, which has no types."""

# --- what is what in HTML -----------------------------------------------------------------------------------------

_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_CELLS = frozenset(("td", "th"))
_TABLE_PARTS = _CELLS | {"table", "thead", "tbody", "tfoot", "tr", "caption"}
_BLOCKS = (
    _HEADINGS
    | _TABLE_PARTS
    | frozenset(
        "address article aside blockquote body center d-appendix d-article d-title dd details dir div dl dt fieldset "
        "figure footer header hgroup hr html legend li main menu nav ol p pre section summary ul".split()
    )
)
"""Elements that begin and end a paragraph. Every other one is inline, as an unknown element is in a browser."""
_FLOW = ("p", "ul", "ol", "table", "blockquote", "pre", "div")
_NEVER_TEXT = frozenset(
    "applet area audio base button canvas d-bibliography d-byline d-citation-list d-footnote d-footnote-list "
    "d-front-matter d-toc dialog embed figcaption form frame head iframe img input link map meta meter nav noframes "
    "noscript object option progress script select style svg template textarea title video".split()
)
_MARKS = {"li": "- ", **dict.fromkeys(_HEADINGS, "# ")}
_CELL, _LINE = "\x00", "\x01"
"""Stand for the start of a cell and for a line break until a block is complete. No text holds them."""

# --- what a page gives away as not the article --------------------------------------------------------------------

_ELSEWHERE_TAGS = frozenset(("nav", "footer", "aside"))
_ELSEWHERE_ROLES = frozenset(("navigation", "complementary", "banner", "contentinfo", "search", "dialog"))
_ELSEWHERE = re.compile(
    r"""(?x) (?:^|[_-]) (?:
    nav | navbar | navigation | menu | submenu | breadcrumbs? | sidebar | footer | masthead | topbar | toolbar
    | share\w* | sharing | social | socials | sharedaddy | addtoany | addthis
    | related\w* | recommended | recommendations? | outbrain | taboola | yarpp\w* | teasers?
    | comments? | commentlist | disqus\w* | respond | replies | trackbacks?
    | newsletter\w* | sign-?up | subscribe | subscription | optin | cta | mc4wp\w* | mailchimp
    | cookies? | consent | gdpr | popup | modal | lightbox | login | searchform
    | promo\w* | advert\w* | ads? | adsense | sponsor\w* | banner | widgets?
    | (?:about-)?author-?(?:bio|box|info|card)? | bio | byline | dateline | meta | metadata | postmetadata | post-?info
    | tags | tag-?list | tagcloud | categories | cat-links | ratings?
    | pagination | pager | prev-?next | nav-links | pagenav\w* | skip-?link
    | toc | table-?of-?contents | footnotes? | references | reflist | bibliography | citation-?list
    | sr-only | screen-reader(?:-text)? | visually-?hidden | noprint | edit-?link | editsection | copyright
    | caption\w* | credits?
    ) (?=$|[_-])"""
)
"""Words of class names and ids that name what stands around an article, and what hangs on to it."""
_THEME_STATE = re.compile(r"^(?:has|no|not|with|without|tag|category|tax|single|layout|template)-|-(?:open|closed|on|off)$")
"""A class name that says how a theme is set up (``has-sidebar``, ``comments-open``), not what an element is."""
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LINK_BLOCKS = frozenset("aside div header ol section table td ul".split())
_MOST_OF_IT = 0.5
"""An element with this share of a page's words is its article, however it is called."""
_LINK_DENSITY = 0.5
"""A block with two links and more than this share of its words in links is a way elsewhere."""

# --- where the article is -----------------------------------------------------------------------------------------

_BODY_OF_TEXT = (
    'descendant::*[self::article or self::main or self::d-article or @itemprop="articleBody" or @role="main"'
    ' or @role="article"]'
)
_SAME_BLOCK = 0.7
"""Share of a block's runs of three words that must be in what was located, for the block to be part of it."""
_NEARLY_ALL = 0.95
_DECLARED = 0.7
"""A ``main`` or ``article`` with this share of the located words bounds the article: its page says so."""
_SHORTEST_MATCH = 5
_SAME_TEXT = 0.3
"""Below this share of the located words found on the page, they were not taken from its visible text."""

# --- characters ---------------------------------------------------------------------------------------------------


def _character_table() -> dict[int, str | None]:
    """What becomes of each character that is no text: control, bidirectional, invisible, not a character at all."""
    gone = [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F)]
    gone += [*range(0x2060, 0x2070), *range(0xD800, 0xE000), *range(0xFDD0, 0xFDF0), 0xFEFF, *range(0xFFF9, 0xFFFD)]
    table: dict[int, str | None] = dict.fromkeys([*gone, 0xFFFE, 0xFFFF, *range(0xE0000, 0xE0080)])
    for byte in range(0x80, 0xA0):
        # Pages that were written in Windows-1252 and labelled otherwise: U+0092 is meant to be an apostrophe.
        table[byte] = bytes([byte]).decode("cp1252", "ignore") or None
    return table | {ord(space): " " for space in "\t\n\v\f\r"}


_CHARACTERS = _character_table()
_SPACE_AS_IS = {code: text for code, text in _CHARACTERS.items() if code not in (0x09, 0x0A, 0x0D)}
_STRAY_JOINER = re.compile(r"(?<![^\x00-\u05ff])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\u05ff])")
"""The zero-width joiners have a use in Persian, in Indic scripts and in emoji, and none next to anything else."""


def _clean(text: str) -> str:
    return _STRAY_JOINER.sub("", text.translate(_CHARACTERS))


# --- from bytes to characters -------------------------------------------------------------------------------------

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.I)
_META_WITHIN = 4096
_READ_AS_CP1252 = frozenset(("ascii", "iso8859-1"))
"""What the WHATWG's encoding standard reads as Windows-1252, as every browser does."""


_REPLACED = "\ufffd"
_FEW_ERRORS = 0.1
"""Share of the bytes beyond ASCII that may be wrong in a page that is still taken to be in an encoding."""


def _decode(page: bytes, charset: str) -> str:
    """The characters of a page.

    A byte order mark decides. Then UTF-8 does when the bytes are valid in it beyond ASCII, which never happens by
    accident, while headers and metas are often wrong. Then the header's ``charset``, then the page's own.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if page.startswith(mark):
            return page[len(mark) :].decode(encoding, "replace")
    if not page.isascii():
        try:
            # Not final: a page that was capped may end within a character.
            return codecs.utf_8_decode(page, "strict", False)[0]
        except UnicodeDecodeError:
            pass
    meta = _META_CHARSET.search(page[:_META_WITHIN])
    foreign = len(page.translate(None, bytes(range(128))))
    for name in (charset, meta[1].decode("ascii", "ignore") if meta else "", "utf-8"):
        text = _decode_as(page, name)
        if text is not None and text.count(_REPLACED) <= _FEW_ERRORS * foreign:
            return text
    return page.decode("cp1252", "replace")


def _decode_as(page: bytes, charset: str) -> str | None:
    """The characters by a declared encoding; None when there is none of that name."""
    try:
        name = codecs.lookup(charset.strip(" \t\"'")).name
        return page.decode("cp1252" if name in _READ_AS_CP1252 else name, "replace")
    except (LookupError, ValueError):
        return None


# --- tree ---------------------------------------------------------------------------------------------------------

_TAG = re.compile(r"""<(/?)([a-zA-Z][\w:-]*)(?:[^<>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?+)*+>""")
_LONGEST_TAG = 10_000
_MOST_ATTRIBUTES = 200
_TOO_DEEP = "Excessive depth"


def _parse(source: str) -> _Element | None:
    """The tree of a page or fragment, or None when it holds nothing."""
    source = _TAG.sub(_sane_tag, source.translate(_SPACE_AS_IS))
    root, is_cut = _tree(source)
    return _tree(_TAG.sub(_flat_tag, source))[0] if is_cut else root


def _tree(source: str) -> tuple[_Element | None, bool]:
    """What lxml makes of it, and whether it gave up because elements are nested too deeply."""
    parser = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(source.encode(), parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        root = None
    return root, any(_TOO_DEEP in error.message for error in parser.error_log)


def _sane_tag(tag: re.Match[str]) -> str:
    """The tag without its attributes when there are far too many: libxml2 takes 9 s for 100,000 of them."""
    text = tag.group()
    if len(text) < _LONGEST_TAG or len(text.split(None, _MOST_ATTRIBUTES)) <= _MOST_ATTRIBUTES:
        return text
    return f"<{tag[1]}{tag[2]}>"


def _flat_tag(tag: re.Match[str]) -> str:
    """What stands for a tag in a page nested too deeply to be parsed: only what makes paragraphs."""
    name = tag[2].lower()
    if name in _NEVER_TEXT or name in _MARKS or name in ("br", "p", "pre"):
        return f"<{tag[1]}{name}>"
    return "<p>" if name in _BLOCKS else ""


def _text(element: _Element) -> str:
    return " ".join(_clean("".join(element.itertext())).split())


def _names(element: _Element) -> list[str]:
    """The class names and the id, in lower case with hyphens between words."""
    names = f"{element.get('class', '')} {element.get('id', '')}"
    return _CAMEL.sub("-", names).lower().split()


# --- formulas -----------------------------------------------------------------------------------------------------

_FORMULAS = frozenset("katex mathjax mathjax_chtml mathjax_svg mjpage mjx-chtml mwe-math-element".split())
_FORMULA_TAGS = frozenset(("math", "mjx-container"))
_FORMULA_COPIES = frozenset(("mathjax_preview", "mathjax_display_preview"))
_FORMULA_STYLE = re.compile(r"(?:[.@][\w.@ >-]{0,80}(?:mjx|MJX|MathJax|font-face)[^{}]{0,300}\{[^{}]{0,500}\}\s*)+")


def _formula(element: _Element) -> str | None:
    """A formula once, as TeX when its TeX is there; None when the element is no formula.

    KaTeX and MathJax write each formula two or three times (drawn, for screen readers, as source).
    """
    classes = {name.lower() for name in element.get("class", "").split()}
    if classes & _FORMULA_COPIES:
        return ""
    if element.tag not in _FORMULA_TAGS and not classes & _FORMULAS:
        return None
    source = element.getnext()
    if source is not None and source.tag == "script" and source.get("type", "").startswith("math/tex"):
        return ""
    found = element.xpath(
        '(descendant-or-self::*/@alttext | descendant::annotation[@encoding="application/x-tex"]/text()'
        ' | descendant::*[contains(@class, "mjx-math")]/@aria-label)[1]'
    )
    math = element.find(".//math")
    return _clean(found[0]) if found else _text(element if math is None else math)


# --- notes --------------------------------------------------------------------------------------------------------

_NOTE_MARK = re.compile(r"\[[\w*†‡§]{1,4}\]")
_BARE_NOTE_MARK = re.compile(r"\d{1,3}(?:[,;]\s?\d{1,3})*|[*†‡§¶]+")
_AFTER_A_WORD = re.compile(r"(?:[^\W\d_]{3}|[.,;:!?)\]\"'”’])\Z")
_POWER = re.compile(r"[+\-−–]?\d+(?:[.,/]\d+)?|[a-zA-Z]")  # noqa: RUF001 - pages write the minus in all three ways


def _is_link_to_a_note(link: _Element) -> bool:
    """A mark like [1] that leads to a place on the same page, or a sign like # or ¶ that leads to its own."""
    text = "".join(link.itertext()).strip()
    is_on_page = link.get("href", "").startswith("#")
    return is_on_page and (bool(_NOTE_MARK.fullmatch(text)) or not any(char.isalnum() for char in text))


def _raised(element: _Element, before: str) -> str | None:
    """What stands for a superscript: nothing for the mark of a note, ``^2`` for a power, None for its text."""
    text = _text(element)
    leads_away = element.find('.//a[@href]') is not None
    is_mark = _NOTE_MARK.fullmatch(text) or _BARE_NOTE_MARK.fullmatch(text)
    if is_mark and (leads_away or "[" in text or _AFTER_A_WORD.search(before)):
        return ""
    return f"^{text}" if _POWER.fullmatch(text) else None


def _lowered(element: _Element) -> str | None:
    text = _text(element)
    return f"_{text}" if text[:1].isalpha() else None


# --- from a tree to blocks ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    """One paragraph of light text. ``home`` is the element its words begin in; ``is_link``: it is nothing but links."""

    text: str
    home: _Element
    is_link: bool = False


class _Reader:
    """Reads a tree into blocks, without recursion, passing over the elements of ``skip``."""

    def __init__(self, skip: Collection[_Element]) -> None:
        self._skip = skip
        self._blocks: list[_Block] = []
        self._words: list[str] = []
        self._mark = ""
        self._home: _Element = None
        self._link_depth = 0
        self._is_link = True
        # Headings, rows and code are one block each, whatever elements they hold.
        self._holders: list[_Element] = []
        self._layout_tables: set[_Element] = set()

    def read(self, root: _Element) -> list[_Block]:
        self._layout_tables = {table for table in root.iter("table") if _is_layout(table)}
        passed: _Element = None
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            if event == "start":
                stand_in = None if element is root else self._stand_in(element)
                if stand_in is None:
                    self._open(element)
                    self._write(element.text, element)
                else:
                    passed = element
                    walk.skip_subtree()
                    self._write(stand_in, element)
                    self._break(element)
            else:
                self._break(element) if element is passed else self._close(element)
                if element is not root:
                    self._write(element.tail, element.getparent())
        self._end()
        return self._blocks

    def _stand_in(self, element: _Element) -> str | None:
        """What is written in place of an element; None: it is read."""
        formula = _formula(element)
        if formula is not None:
            return formula
        if element.tag == "script" and element.get("type", "").startswith("math/tex"):
            return element.text or ""
        if element.tag in _NEVER_TEXT or element in self._skip:
            return ""
        if element.tag == "sup":
            return _raised(element, self._words[-1].rstrip() if self._words else "")
        if element.tag == "sub":
            return _lowered(element)
        return "" if element.tag == "a" and _is_link_to_a_note(element) else None

    def _write(self, text: str | None, home: _Element) -> None:
        if not text:
            return
        text = _clean(text)
        if not text.isspace():
            self._is_link = self._is_link and self._link_depth > 0
            self._home = home if self._home is None else self._home
        self._words.append(text)

    def _open(self, element: _Element) -> None:
        tag = element.tag
        if tag == "br":
            self._words.append(" " if self._holders else _LINE)
        elif tag == "a":
            self._link_depth += 1
        elif tag in _CELLS and self._holders:
            self._words.append(_CELL)
        elif tag in _MARKS and not self._holders:
            self._end(_MARKS[tag])
        self._break(element)
        if not self._holders and self._is_one_block(element):
            self._holders.append(element)

    def _close(self, element: _Element) -> None:
        if element.tag == "a":
            self._link_depth -= 1
        if self._holders and element is self._holders[-1]:
            self._holders.pop()
        if element.tag in _MARKS and not self._holders:
            self._end()
        else:
            self._break(element)

    def _break(self, element: _Element) -> None:
        """End the block at the edge of a block element. A mark that has no text yet waits for it."""
        if element.tag in _BLOCKS:
            if self._holders:
                self._words.append(" ")
            else:
                is_waiting = self._home is None
                self._end(self._mark if is_waiting else "")

    def _end(self, next_mark: str = "") -> None:
        if self._home is not None:
            for text in _paragraphs("".join(self._words), self._mark):
                self._blocks.append(_Block(text, self._home, self._is_link))
        self._words, self._home, self._is_link, self._mark = [], None, True, next_mark

    def _is_one_block(self, element: _Element) -> bool:
        if element.tag == "tr":
            return next(element.iterancestors("table"), None) not in self._layout_tables
        # A heading that holds paragraphs was never closed.
        return element.tag == "pre" or (element.tag in _HEADINGS and next(element.iterdescendants(*_FLOW), None) is None)


def _is_layout(table: _Element) -> bool:
    """Whether a table arranges a page: it holds tables, has one column, or more blocks than two a cell."""
    cells = sum(1 for _ in table.iterdescendants(*_CELLS))
    columns = max((sum(1 for cell in row if cell.tag in _CELLS) for row in table.iterdescendants("tr")), default=0)
    inner = sum(1 for element in table.iterdescendants() if element.tag in _BLOCKS - _TABLE_PARTS)
    return columns < 2 or inner > 2 * cells or next(table.iterdescendants("table"), None) is not None


_BLANK_LINE = re.compile(rf"{_LINE}[ {_LINE}]*{_LINE}")
_BULLET = re.compile(r"(?:[•‣◦·∙▪●*-]|–)\s+(?=\S)")  # noqa: RUF001 - lists are typed with dashes too
_SPACE_BEFORE_STOP = re.compile(r"(?<=\w) (?=[.,](?:\s|$))")


def _paragraphs(text: str, mark: str = "") -> Iterator[str]:
    """The blocks of light text in a run of text: of rows, of lines with blank lines or bullets between, or one."""
    if "mjx" in text.lower() or "mathjax" in text.lower():
        text = _FORMULA_STYLE.sub(" ", text)
    if _CELL in text:
        cells = (" ".join(cell.split()) for cell in text.replace(_LINE, " ").split(_CELL))
        yield from _marked(" | ".join(filter(None, cells)), mark)
        return
    for paragraph in _BLANK_LINE.split(text):
        for line_mark, line in _lines(paragraph):
            yield from _marked(line, mark or line_mark)
            mark = ""


def _lines(paragraph: str) -> Iterator[tuple[str, str]]:
    """The list items in a paragraph that was typed line by line, and what stands between them."""
    run: list[str] = []
    mark = ""
    for line in (line.strip() for line in paragraph.split(_LINE)):
        bullet = _BULLET.match(line)
        if bullet and _LINE in paragraph:
            yield mark, " ".join(run)
            run, mark = [line[bullet.end() :]], "- "
        else:
            run.append(line)
    yield mark, " ".join(run)


def _marked(text: str, mark: str) -> Iterator[str]:
    """The block with its mark, if there is any; text that only looks marked is made to look otherwise."""
    text = _SPACE_BEFORE_STOP.sub("", " ".join(text.split()))
    if mark:
        text = re.sub(r"^(?:[#•‣◦·∙▪●*-] )+", "", text)
    elif text.startswith("- "):
        text = f"–{text[1:]}"  # noqa: RUF001 - the dash that opens speech
    elif text.startswith("# "):
        text = f"#{text[2:].lstrip()}"
    if text.strip("#-•‣◦·∙▪● "):
        yield mark + text


# --- what is not the article --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Size:
    """Words in an element, how many of them are in links, and how many links."""

    words: int = 0
    linked: int = 0
    links: int = 0

    @property
    def own(self) -> int:
        return self.words - self.linked


def _sizes(root: _Element) -> dict[_Element, _Size]:
    sizes: dict[_Element, _Size] = {}
    for _, element in etree.iterwalk(root, events=("end",)):
        if element.tag in _NEVER_TEXT:
            sizes[element] = _Size()
            continue
        words, linked, links = _count(element.text), 0, 0
        for child in element:
            size = sizes[child]
            words += size.words + _count(child.tail)
            linked += size.linked
            links += size.links
        sizes[element] = _Size(words, words, 1) if element.tag == "a" else _Size(words, linked, links)
    return sizes


def _count(text: str | None) -> int:
    return len(text.split()) if text else 0


def _elsewhere(root: _Element, *, with_link_blocks: bool) -> set[_Element]:
    """The elements that are not part of the article, by what their page says of them.

    ``with_link_blocks`` counts blocks that are mostly links among them. The body of a feed has no navigation, and
    a piece may be a list of links.
    """
    sizes = _sizes(root)
    most = _MOST_OF_IT * sizes[root].own
    found = set()
    walk = etree.iterwalk(root, events=("start",))
    for _, element in walk:
        if element is root or element.tag in ("html", "body"):
            continue
        size = sizes[element]
        is_named = size.own < most and _is_elsewhere(element)
        if is_named or (with_link_blocks and size.own < most and _is_link_block(element, size)):
            found.add(element)
            walk.skip_subtree()
    return found


def _is_elsewhere(element: _Element) -> bool:
    if element.get("hidden") is not None or element.get("aria-hidden") == "true":
        return True
    if element.tag in _ELSEWHERE_TAGS or element.get("role") in _ELSEWHERE_ROLES:
        return True
    if _HIDDEN_STYLE.search(element.get("style", "")):
        return True
    return any(_ELSEWHERE.search(name) and not _THEME_STATE.search(name) for name in _names(element))


def _is_link_block(element: _Element, size: _Size) -> bool:
    return element.tag in _LINK_BLOCKS and size.links > 1 and size.linked > _LINK_DENSITY * size.words


# --- where the article is -----------------------------------------------------------------------------------------

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
"""A word, or one character of the scripts that put no space between words."""


def _locate(root: _Element) -> str:
    """The text that trafilatura takes for the article's."""
    # Imported here: it takes a third of a second, and only the child that reads pages needs it.
    import trafilatura

    return trafilatura.extract(deepcopy(root), include_comments=False, include_tables=True) or ""


def _article(body: _Element, blocks: list[_Block], located: str) -> list[_Block]:
    """The blocks of the article: all that stand in the element that holds nearly all of the located words."""
    words = _WORD.findall(located)
    runs = set(_runs(words))
    weights = {block: n for block in blocks if (n := _weight(block, runs))}
    if not words:
        weights = {block: n for block in blocks if (n := len(_WORD.findall(block.text))) >= 2 * _SHORTEST_MATCH}
    elif sum(weights.values()) < _SAME_TEXT * len(words):
        # Some pages draw their text by script and carry it in JSON-LD, which trafilatura reads.
        return [_Block(text, body) for text in _paragraphs(located.replace("\n", _LINE * 2))]
    container, is_declared = _container(body, weights)
    inside = set(container.iter())
    return [block for block in blocks if block.home in inside or (block in weights and not is_declared)]


def _runs(words: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    return zip(words, words[1:], words[2:], strict=False)


def _weight(block: _Block, runs: Collection[tuple[str, str, str]]) -> int:
    """The number of words of a block that is part of the located text; 0 for any other."""
    words = _WORD.findall(block.text)
    if len(words) < _SHORTEST_MATCH:
        return 0
    hits = sum(run in runs for run in _runs(words))
    return len(words) if hits >= _SAME_BLOCK * (len(words) - 2) else 0


def _container(body: _Element, weights: dict[_Block, int]) -> tuple[_Element, bool]:
    """The smallest element with nearly all of the weight, and whether its page declares it to be the article."""
    held: Counter[_Element] = Counter()
    for block, weight in weights.items():
        held[block.home] += weight
        for ancestor in block.home.iterancestors():
            held[ancestor] += weight
    total = sum(weights.values())
    container = body
    while (child := next((c for c in container if held[c] >= _NEARLY_ALL * total > 0), None)) is not None:
        container = child
    declared = [element for element in container.xpath(_BODY_OF_TEXT) if held[element] > 0]
    bounds = [element for element in declared if held[element] >= _DECLARED * total]
    if bounds and sum(held[e] for e in declared if e not in set(bounds[-1].iter()) and e not in bounds)==0:
        return bounds[-1], True
    while container is not body and container.tag not in ("article", "div", "main", "section", "td"):
        container = container.getparent()
    return container, False


# --- what a feed hangs on to a text -------------------------------------------------------------------------------

_FIRST_LINE_OF_FEEDS = re.compile(r"Published on .{6,40} (?:GMT|UTC)")
_LAST_LINE_OF_FEEDS = re.compile(
    r"(?:#|-)? ?(?:Discuss|Comments|Leave a comment|Permalink|The post .{1,300} (?:first appeared|appeared first) on .{1,200})"
)
_SHORTEST_LAST_LINK = 12
"""A last line that is one link with fewer words than this leads away from the article."""


def _without_feed_lines(blocks: list[_Block]) -> list[_Block]:
    start, end = 0, len(blocks)
    if blocks and _FIRST_LINE_OF_FEEDS.fullmatch(blocks[0].text):
        start = 1
    while end > start and _LAST_LINE_OF_FEEDS.fullmatch(blocks[end - 1].text):
        end -= 1
    return blocks[start:end]


def _without_ways_out(blocks: list[_Block]) -> list[_Block]:
    """The blocks without links alone on a line at either end: back, print, next."""
    start, end = 0, len(blocks)
    while start < end and _is_way_out(blocks[start]):
        start += 1
    while end > start and _is_way_out(blocks[end - 1]):
        end -= 1
    return blocks[start:end]


def _is_way_out(block: _Block) -> bool:
    return block.is_link and not block.text.startswith(("# ", "- ")) and _count(block.text) < _SHORTEST_LAST_LINK


# --- public -------------------------------------------------------------------------------------------------------

_INLINE_TAGS = "a abbr b big cite code del em font i img ins kbd mark q s small span strong sub sup tt u var"
_SMALL_BLOCK_TAGS = "blockquote br div h1 h2 h3 h4 h5 h6 hr li ol p pre section table tbody td th tr ul"
_ATTRIBUTES = r"""(?:\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))*"""


def _tags(names: str) -> re.Pattern[str]:
    return re.compile(rf"</?(?:{'|'.join(names.split())}){_ATTRIBUTES}\s*/?>", re.I)


_INLINE_TAG, _SMALL_BLOCK_TAG = _tags(_INLINE_TAGS), _tags(_SMALL_BLOCK_TAGS)
_MARKUP = re.compile(r"<(?:!--|!doctype|/?[a-z][a-z0-9]*(?:-[a-z]+)*(?:\s+[\w:-]+\s*=[^<>]*)?\s*/?>)", re.I)
_ESCAPED_MARKUP = re.compile(r"</(?:p|div|ul|ol|li|a|em|strong|h[1-6]|blockquote)>|<br */?>", re.I)
_LONGEST_LINE = 10_000


def light_text(html: str) -> str:
    """The light text of a feed's HTML or plain text, of an article's fragment, or of light text.

    Kept: all prose, headings, lists, tables as rows of cells with ``|`` between, code as one block, formulas once.
    Gone: scripts, styles, forms, captions, hidden parts, share bars and the like, footnotes and their marks,
    control and invisible characters, the lines that forums and blogs hang on to their feeds.
    """
    source = html if _MARKUP.search(html) else _unescaped(html)
    if not _MARKUP.search(source):
        return _joined(_without_feed_lines(_typed(source)))
    root = _parse(source)
    if root is None:
        return ""
    return _joined(_without_feed_lines(_Reader(_elsewhere(root, with_link_blocks=False)).read(root)))


def extract(page: bytes | str, charset: str = "") -> str:
    """The light text of the article on a page; empty when there is none.

    ``charset`` is the one in the header of the answer, if any; see :func:`_decode` for what decides.
    """
    root = _parse(_decode(page, charset) if isinstance(page, bytes) else page)
    if root is None:
        return ""
    body = root.find("body")
    body = root if body is None else body
    blocks = _Reader(_elsewhere(body, with_link_blocks=True)).read(body)
    return _joined(_without_ways_out(_article(body, blocks, _locate(root))))



def _unescaped(text: str) -> str:
    """Plain text with its entities decoded, and HTML that a feed escaped once too often with its tags restored."""
    decoded = entities.unescape(text)
    return decoded


def _typed(text: str) -> list[_Block]:
    return [_Block(t,None) for p in re.split(r"\n\s*\n", _clean2(text)) for t in _paragraphs(p.replace("\n", _LINE))]


def _clean2(t): return "\n".join(_clean(l) for l in t.splitlines())


def _joined(blocks: Iterable[_Block]) -> str:
    return "\n\n".join(block.text for block in blocks)
