"""A page or a feed's body to the whole, clean text of the piece: light text (see `newsletter.values`).

Pure functions of strings and bytes. None of them raises, whatever it is given; where no text is, the answer
is empty. `extract` and `light_text` parse HTML and belong into the sandbox; the others only look at strings.

How the article is found on a page. Two things are asked that no single extractor does: find the article on
any page, and keep all of it. trafilatura finds best, but it writes out only the blocks it likes and so loses
lists; so it is asked only *where* the article is. The blocks of the page whose words it returned are marked,
the smallest element that holds nearly all of them is taken for the article, and all that is in it stays,
except what the page itself gives away as something else: navigation, forms, hidden parts, captions, share
bars, sign-up boxes, related links, comments, footnotes.
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


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# --- what is what in HTML -------------------------------------------------------------------------

_HEADINGS = _set("h1 h2 h3 h4 h5 h6")
_CELLS = _set("td th")
_TABLE_PARTS = _CELLS | _set("table thead tbody tfoot tr caption")
_BLOCKS = (
    _HEADINGS
    | _TABLE_PARTS
    | _set(
        "address article aside blockquote body center d-appendix d-article d-title dd details dir div dl dt"
        " fieldset figure footer header hgroup hr html legend li main menu nav ol p pre section summary ul"
    )
)
"""Elements that begin and end a paragraph. Any other is inline, as an unknown element is in a browser."""
_BLOCKS_IN_CELLS = _BLOCKS - _TABLE_PARTS
_FLOW = ("p", "ul", "ol", "table", "blockquote", "pre", "div")
_NEVER_TEXT = _set(
    "applet area audio base button canvas d-bibliography d-byline d-citation-list d-footnote d-footnote-list"
    " d-front-matter d-toc dialog embed figcaption form frame head iframe img input link map meta meter nav"
    " noframes noscript object option progress script select style svg template textarea title video"
)
_MARKS = {"li": "- ", **dict.fromkeys(_HEADINGS, "# ")}
_CELL, _LINE = "\x00", "\x01"
"""Stand for the start of a cell and for a line break until a block is complete. No text holds them."""

# --- what a page gives away as not the article ----------------------------------------------------

_ELSEWHERE_TAGS = _set("nav footer aside")
_ELSEWHERE_ROLES = _set("navigation complementary banner contentinfo search dialog")
_ELSEWHERE = re.compile(
    r"""(?x) (?:^|[_-]) (?:
    nav | navbar | navigation | menu | submenu | breadcrumbs? | sidebar | footer | masthead | topbar | toolbar
    | share\w* | sharing | social | socials | sharedaddy | addtoany | addthis
    | related\w* | recommended | recommendations? | outbrain | taboola | yarpp\w* | teasers?
    | comments? | commentlist | disqus\w* | respond | replies | trackbacks?
    | newsletter\w* | sign-?up | subscribe | subscription | optin | cta | mc4wp\w* | mailchimp
    | cookies? | consent | gdpr | popup | modal | lightbox | login | searchform
    | promo\w* | advert\w* | ads? | adsense | sponsor\w* | banner | widgets?
    | (?:about-)?author-?(?:bio|box|info|card)? | bio | byline | dateline
    | meta | metadata | postmetadata | post-?info
    | tags | tag-?list | tagcloud | categories | cat-links | ratings?
    | pagination | pager | prev-?next | nav-links | pagenav\w* | skip-?link
    | toc | table-?of-?contents | footnotes? | references | reflist | bibliography | citation-?list
    | sr-only | screen-reader(?:-text)? | visually-?hidden | noprint | edit-?link | editsection | copyright
    | caption\w* | credits?
    ) (?=$|[_-])"""
)
"""Words of class names and ids that name what stands around an article, and what hangs on to it."""
_THEME_STATE = re.compile(
    r"^(?:has|no|not|with|without|tag|category|tax|single|layout|template)-|-(?:open|closed|on|off)$"
)
"""A class name that says how a theme is set up (``has-sidebar``, ``comments-open``), not what this is."""
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LINK_BLOCKS = _set("aside div header ol section table td ul")
_MOST_OF_IT = 0.5
"""An element with this share of a page's words is its article, however it is called."""
_LINK_DENSITY = 0.5
"""A block with two links and more than this share of its words in links is a way elsewhere."""

# --- where the article is -------------------------------------------------------------------------

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
_FAR_MORE = 3
"""So many times the located words in prose that the page shows: what was located is not the article."""
_LONG_BLOCK = 10
"""Words from which a block is taken for prose on a page where nothing was located."""
_MOST_ELEMENTS = 50_000
"""No article comes near it, and trafilatura takes 20 s for 300,000."""
_SAME_TEXT = 0.3
"""Below this share of the located words found on the page, they were not taken from its visible text."""

# --- characters -----------------------------------------------------------------------------------


def _character_table() -> dict[int, str | None]:
    """What becomes of each character that is no text: control, bidirectional, invisible, unassigned."""
    gone = [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F]
    gone += [*range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xD800, 0xE000), *range(0xFDD0, 0xFDF0)]
    gone += [0xFEFF, *range(0xFFF9, 0xFFFD), 0xFFFE, 0xFFFF, *range(0xE0000, 0xE0080)]
    table: dict[int, str | None] = dict.fromkeys(gone)
    for byte in range(0x80, 0xA0):
        # Pages that were written in Windows-1252 and labelled otherwise: U+0092 is meant to be an apostrophe.
        table[byte] = bytes([byte]).decode("cp1252", "ignore") or None
    return table | {ord(space): " " for space in "\t\n\v\f\r"}


_CHARACTERS = _character_table()
_SPACE_AS_IS = {code: text for code, text in _CHARACTERS.items() if code not in (0x09, 0x0A, 0x0D)}
_STRAY_JOINER = re.compile(r"(?<![^\x00-\u05ff])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\u05ff])")
"""The zero-width joiners have a use in Persian, in Indic scripts and in emoji, and none elsewhere."""


def _clean(text: str) -> str:
    return _STRAY_JOINER.sub("", text.translate(_CHARACTERS))


# --- from bytes to characters ---------------------------------------------------------------------

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.I)
_META_WITHIN = 4096
_READ_AS_CP1252 = frozenset(("ascii", "iso8859-1"))
"""What the WHATWG's encoding standard reads as Windows-1252, as every browser does."""


_REPLACED = "\ufffd"
_FEW_ERRORS = 0.1
"""Share of the bytes beyond ASCII that may be wrong in a page that is still read by that encoding."""


def _decode(page: bytes, charset: str) -> str:
    """The characters of a page.

    A byte order mark decides. Then UTF-8 does when the bytes are valid in it beyond ASCII, which never
    happens by accident, while headers and metas are often wrong. Then the header's ``charset``, then the
    page's own.
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


_NO_PAGE = re.compile(r"\s*(?:%PDF-|%!PS|\{\s*[\"}]|\[\s*[\"{\[\]]|\{\\rtf)")
"""How PDF, PostScript, JSON and RTF begin, which may hold hardly a byte that is no letter."""
_CONTROLS = dict.fromkeys((*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20)))
_MOST_CONTROLS = 0.01
"""Share of the characters up to which control characters are mistakes in text. (ESC is none: ISO-2022 begins so.)"""


def _is_no_page(source: str) -> bool:
    """Whether what was served for a page is data for some other program."""
    controls = len(source) - len(source.translate(_CONTROLS))
    return bool(_NO_PAGE.match(source)) or controls > _MOST_CONTROLS * len(source)


# --- tree -----------------------------------------------------------------------------------------

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
    """The class names and the id, in lower case with hyphens between words.

    The id of a heading or section is made from its title ("related-work") and says nothing of what it is.
    """
    names = element.get("class", "")
    if element.tag not in _HEADINGS and element.tag != "section" and "section" not in names:
        names += " " + element.get("id", "")
    return _CAMEL.sub("-", names).lower().split()


# --- formulas -------------------------------------------------------------------------------------

_FORMULAS = _set("katex mathjax mathjax_chtml mathjax_svg mjpage mjx-chtml mwe-math-element")
_FORMULA_TAGS = _set("math mjx-container")
_FORMULA_COPIES = _set("mathjax_preview mathjax_display_preview")
_FORMULA_STYLE = re.compile(r"(?:[.@][\w.@ >-]{0,80}(?:mjx|MJX|MathJax|font-face)[^{}]{0,300}\{[^{}]{0,500}\}\s*)+")
"""The style sheet of MathJax, which stays behind as text where a feed was stripped of its tags."""


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


# --- notes ----------------------------------------------------------------------------------------

_NOTE_MARK = re.compile(r"\[[\w*†‡§]{1,4}\]")
_BARE_NOTE_MARK = re.compile(r"\d{1,3}(?:[,;]\s?\d{1,3})*|[*†‡§¶]+")
_AFTER_A_WORD = re.compile("(?:[^\\W\\d_]{3}|[.,;:!?)\\]\"'\u201d\u2019])\\Z")
_POWER = re.compile("[+\\-\u2212\u2013]?\\d+(?:[.,/]\\d+)?|[a-zA-Z]")


def _is_link_to_a_note(link: _Element) -> bool:
    """A mark like [1] that leads to a place on the same page, or a sign like # or ¶ that leads to its own."""
    text = "".join(link.itertext()).strip()
    is_on_page = link.get("href", "").startswith("#")
    return is_on_page and (bool(_NOTE_MARK.fullmatch(text)) or not any(char.isalnum() for char in text))


def _raised(element: _Element, before: str) -> str | None:
    """What stands for a superscript: nothing for a note's mark, ``^2`` for a power, None for its own text."""
    text = _text(element)
    leads_away = element.find(".//a[@href]") is not None
    is_mark = _NOTE_MARK.fullmatch(text) or _BARE_NOTE_MARK.fullmatch(text)
    if is_mark and (leads_away or "[" in text or _AFTER_A_WORD.search(before)):
        return ""
    return f"^{text}" if _POWER.fullmatch(text) else None


def _lowered(element: _Element) -> str | None:
    text = _text(element)
    return f"_{text}" if text[:1].isalpha() else None


# --- from a tree to blocks ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    """One block of light text. ``home``: the element its words begin in. ``is_link``: it is all links."""

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
        if element.tag in _HEADINGS:
            # A heading that holds paragraphs was never closed.
            return next(element.iterdescendants(*_FLOW), None) is None
        return bool(element.tag == "pre")


def _is_layout(table: _Element) -> bool:
    """Whether a table arranges a page: it holds tables, has one column, or more blocks than two a cell."""
    cells = sum(1 for _ in table.iterdescendants(*_CELLS))
    rows = (sum(1 for cell in row if cell.tag in _CELLS) for row in table.iterdescendants("tr"))
    columns = max(rows, default=0)
    inner = sum(1 for element in table.iterdescendants() if element.tag in _BLOCKS_IN_CELLS)
    return columns < 2 or inner > 2 * cells or next(table.iterdescendants("table"), None) is not None


_BLANK_LINE = re.compile(rf"{_LINE}[ {_LINE}]*{_LINE}")
_DASH = "\u2013"
_BULLET = re.compile(rf"[•‣◦·∙▪●*{_DASH}-]\s+(?=\S)")
_SPACE_BEFORE_STOP = re.compile(r"(?<=\w) (?=[.,](?:\s|$))")


def _paragraphs(text: str, mark: str = "") -> Iterator[str]:
    """The blocks of light text in a run of text: a row, or what blank lines and bullets make of its lines."""
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
        text = _DASH + text[1:]
    elif text.startswith("# "):
        text = f"#{text[2:].lstrip()}"
    if text.strip("#-•‣◦·∙▪● "):
        yield mark + text


# --- what is not the article ----------------------------------------------------------------------


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


def _elsewhere(root: _Element, *, on_page: bool) -> set[_Element]:
    """The elements that are not part of the article, by what their page says of them.

    What holds most of the words is not doubted for its name, nor on a page for being hidden: scripts show it
    later. A feed has no scripts; nor has it navigation, so there a list of links is text.
    """
    sizes = _sizes(root)
    most = _MOST_OF_IT * sizes[root].own
    found = set()
    walk = etree.iterwalk(root, events=("start",))
    for _, element in walk:
        if element is root or element.tag in ("html", "body"):
            continue
        size = sizes[element]
        is_minor = size.own < most
        is_hidden = (is_minor or not on_page) and _is_hidden(element)
        is_way_elsewhere = is_minor and on_page and _is_link_block(element, size)
        if is_hidden or is_way_elsewhere or (is_minor and _is_named_elsewhere(element)):
            found.add(element)
            walk.skip_subtree()
    return found


def _is_hidden(element: _Element) -> bool:
    if element.get("hidden") is not None or element.get("aria-hidden") == "true":
        return True
    return bool(_HIDDEN_STYLE.search(element.get("style", "")))


def _is_named_elsewhere(element: _Element) -> bool:
    if element.tag in _ELSEWHERE_TAGS or element.get("role") in _ELSEWHERE_ROLES:
        return True
    return any(_ELSEWHERE.search(name) and not _THEME_STATE.search(name) for name in _names(element))


def _is_link_block(element: _Element, size: _Size) -> bool:
    return element.tag in _LINK_BLOCKS and size.links > 1 and size.linked > _LINK_DENSITY * size.words


# --- where the article is -------------------------------------------------------------------------

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
"""A word, or one character of the scripts that put no space between words."""


def _locate(root: _Element) -> str:
    """The text that trafilatura takes for the article's; nothing of a page too large for it."""
    # Imported here: it takes a third of a second, and only the child that reads pages needs it.
    import trafilatura

    if sum(1 for _ in root.iter()) > _MOST_ELEMENTS:
        return ""
    return trafilatura.extract(deepcopy(root), include_comments=False, include_tables=True) or ""


def _article(body: _Element, blocks: list[_Block], located: str) -> list[_Block]:
    """The blocks of the article: all that stand in the element that holds nearly all of the located words.

    A located block that stands elsewhere (a lead above, a heading) stays too, unless the page itself declares
    where its article begins and ends.
    """
    words = _WORD.findall(located)
    runs = set(_runs(words))
    weights = {block: n for block in blocks if (n := _weight(block, runs))}
    if not words or sum(weights.values()) < _SAME_TEXT * len(words):
        weights = {block: n for block in blocks if (n := _count(block.text)) >= _LONG_BLOCK}
        if sum(weights.values()) < _FAR_MORE * len(words):
            # Some pages draw their text by script and carry it in JSON-LD, which trafilatura reads.
            return _typed(located.replace("\n", "\n\n"))
    container, is_declared = _container(body, weights)
    span = _span(container, blocks)
    return [b for at, b in enumerate(blocks) if at in span or (b in weights and not is_declared)]


def _span(container: _Element, blocks: list[_Block]) -> range:
    """Which blocks the container holds, and after or before them the elements of the same make.

    Some magazines cut a text into several equal elements around their advertisements. Nothing may stand
    between: posts of a forum are of one make too, but each has its author between.
    """
    inside = set(container.iter())
    held = [at for at, block in enumerate(blocks) if block.home in inside]
    if not held:
        return range(0)
    start, end = held[0], held[-1] + 1
    if container.tag in ("div", "section") and container.get("class"):
        make = _make(container)
        while end < len(blocks) and _is_of_make(blocks[end].home, make):
            end += 1
        while start > 0 and _is_of_make(blocks[start - 1].home, make):
            start -= 1
    return range(start, end)


def _make(element: _Element) -> tuple[str, str | None, int]:
    return element.tag, element.get("class"), sum(1 for _ in element.iterancestors())


def _is_of_make(home: _Element, make: tuple[str, str | None, int]) -> bool:
    tag, name, depth = make
    line = [home, *home.iterancestors()][::-1]
    return len(line) > depth and line[depth].tag == tag and line[depth].get("class") == name


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
    """The smallest element with nearly all of the weight, and whether the page declares it the article."""
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
    if bounds and not _has_another(declared, bounds):
        return bounds[-1], True
    while container is not body and container.tag not in ("article", "div", "main", "section", "td"):
        container = container.getparent()
    return container, False


def _has_another(declared: list[_Element], bounds: list[_Element]) -> bool:
    """Whether located words stand in a declared article next to the innermost of ``bounds`` too."""
    within = set(bounds[-1].iter())
    return any(element not in within and element not in bounds for element in declared)


# --- what a feed hangs on to a text ---------------------------------------------------------------

_FIRST_LINE_OF_FEED = re.compile(r"Published on .{6,40} (?:GMT|UTC)")
_LAST_LINE_OF_FEED = re.compile(
    r"(?:[#-] )?(?:Discuss|Comments|Leave a comment|Permalink"
    r"|The post .{1,300} (?:first appeared|appeared first) on .{1,200})"
)
_LONGEST_WAY_OUT = 12


def _without_feed_lines(blocks: list[_Block]) -> list[_Block]:
    start, end = 0, len(blocks)
    if blocks and _FIRST_LINE_OF_FEED.fullmatch(blocks[0].text):
        start = 1
    while end > start and _LAST_LINE_OF_FEED.fullmatch(blocks[end - 1].text):
        end -= 1
    return blocks[start:end]


def _without_ways_out(blocks: list[_Block]) -> list[_Block]:
    """The blocks without short links alone on a line at either end: back, print, next."""
    start, end = 0, len(blocks)
    while start < end and _is_way_out(blocks[start]):
        start += 1
    while end > start and _is_way_out(blocks[end - 1]):
        end -= 1
    return blocks[start:end]


def _is_way_out(block: _Block) -> bool:
    is_marked = block.text.startswith(("# ", "- "))
    return block.is_link and not is_marked and _count(block.text) <= _LONGEST_WAY_OUT


# --- markup in short strings ----------------------------------------------------------------------

_INLINE_TAGS = _set(
    "a abbr b big cite code del em font i img ins kbd mark q s small span strike strong sub sup time tt u var"
)
_ATTRIBUTES = r"""(?:\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))*"""


def _tags(names: Iterable[str]) -> re.Pattern[str]:
    """Matches a tag of these names. What only looks like one (``vector<int>``, ``a<b``) is text."""
    return re.compile(rf"</?(?:{'|'.join(sorted(names))}){_ATTRIBUTES}\s*/?>", re.I)


_INLINE_TAG, _BLOCK_TAG = _tags(_INLINE_TAGS), _tags(_BLOCKS | {"br"})
_ANY_TAG = _tags(_INLINE_TAGS | _BLOCKS | _NEVER_TEXT | {"br", "math", "[a-z]+-[a-z-]+"})
_ESCAPED_TAG = re.compile(r"</(?:p|div|ul|ol|li|a|em|strong|h[1-6]|blockquote)>|<br ?/?>", re.I)
_CODE = re.compile(r"<(script|style)\b[^<>]*>.*?</\1\s*>|<!--.*?-->", re.I | re.S)
_BROKEN_TAG = re.compile(r"<[a-z]+\s+[\w-]+\s*=[^<>]*\Z", re.I)
_LONGEST_STRING = 10_000


def _plain(text: str) -> str:
    """A short string without its markup; a line for each block."""
    text = _BLOCK_TAG.sub("\n", _CODE.sub(" ", text))
    return entities.unescape(_INLINE_TAG.sub("", text))


def _typed(text: str) -> list[_Block]:
    """The blocks of plain text, typed with blank lines between paragraphs, or of light text."""
    blocks = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = [_clean(line).strip() for line in paragraph.split("\n")]
        mark = lines[0][:2] if len(lines) == 1 and lines[0].startswith(("# ", "- ")) else ""
        blocks += [_Block(block, None) for block in _paragraphs(_LINE.join(lines), mark)]
    return blocks


# --- public ---------------------------------------------------------------------------------------

_ARXIV_HEAD = re.compile(r"(?:arXiv:\S+\s+)?(?:Announce Type:\s*\S+\s+)?(?:Abstract:\s*)?", re.I)
_TAIL = 3_000
_TRAILS_OFF = re.compile('(?:\\.\\.\\.|…|\\. \\. \\.)[\\s\\])}»\u203a>”"]*\\Z')
_MORE = (
    r"(?:(?:read|view|see|show|learn|find out)"
    r" (?:more|on|the rest|(?:the |this )?(?:full|whole|entire|complete|original))"
    r"|(?:continue|keep) reading|click here)\b"
)
_ASKS_TO_GO_ON = re.compile(
    rf"\A[\W_]*(?:more|{_MORE}(?:(?:\s+\S+){{0,8}}|(?:\s+\S+){{9,25}}(?<![.!?])))[\W_]*\Z"
    rf"|\A.*(?:\.\.\.|[…»→\[(])\s*{_MORE}(?:\s+\S+){{0,25}}\s*\Z"
    rf"|\A.*\s{_MORE}(?:\s+\S+){{0,25}}\s*[»→>]\Z",
    re.I,
)


def light_text(html: str) -> str:
    """The light text of a feed's HTML or plain text, of an article's fragment, or of light text.

    Kept: all prose, headings, lists, tables as rows of cells with ``|`` between, code as one block, formulas
    once. Gone: scripts, styles, forms, captions, hidden parts, share bars and the like, footnotes and their
    marks, control and invisible characters, the lines that forums and blogs hang on to their feeds.
    """
    if not _ANY_TAG.search(html):
        html = entities.unescape(html)
        if not _ESCAPED_TAG.search(html):
            return _joined(_without_feed_lines(_typed(html)))
    root = _parse(html)
    if root is None:
        return ""
    return _joined(_without_feed_lines(_Reader(_elsewhere(root, on_page=False)).read(root)))


def extract(page: bytes | str, charset: str = "") -> str:
    """The light text of the article on a page; empty when there is none.

    ``charset`` is the one in the header of the answer, if any. A page is often served with a wrong one: a
    byte order mark and bytes that are UTF-8 beyond doubt are believed first. A PDF, a film, an archive or JSON in
    place of a page has no text, whatever it is called.
    """
    source = _decode(page, charset) if isinstance(page, bytes) else page
    root = None if _is_no_page(source) else _parse(source)
    if root is None:
        return ""
    body = root.find("body")
    body = root if body is None else body
    blocks = _Reader(_elsewhere(body, on_page=True)).read(body)
    return _joined(_without_ways_out(_article(body, blocks, _locate(root))))


def feed_text(body: bytes) -> str:
    """`light_text` of HTML in UTF-8: what the sandbox hands over are bytes."""
    return light_text(body.decode("utf-8", "replace"))


def is_cut_off(html_or_text: str) -> bool:
    """Whether a feed's text ends before the piece does: trailing off, in "Read more", or within a tag.

    Looks at the end only and parses nothing, so it is safe outside the sandbox. Prose that ends in three dots
    counts as cut off too: fetching a page for nothing costs less than telling of half a piece.
    """
    tail = html_or_text[-_TAIL:]
    if _BROKEN_TAG.search(tail):
        return True
    lines = [line for line in (_clean(line).strip() for line in _plain(tail).split("\n")) if line]
    while lines and _LAST_LINE_OF_FEED.fullmatch(lines[-1]):
        lines.pop()
    return bool(lines) and any(pattern.search(lines[-1]) for pattern in (_TRAILS_OFF, _ASKS_TO_GO_ON))


def clean_line(text: str) -> str:
    """One line of plain text from a feed's title, name or category: no markup, entities or controls."""
    return " ".join(_clean(_plain(text[:_LONGEST_STRING])).split())


def abstract(text: str) -> str:
    """The abstract alone, from arXiv's "arXiv:2508.13426v1 Announce Type: cross Abstract: ..."."""
    line = clean_line(text)
    head = _ARXIV_HEAD.match(line)
    return line[head.end() :] if head else line


def _joined(blocks: Iterable[_Block]) -> str:
    return "\n\n".join(block.text for block in blocks)
