"""RSS and Atom, of all versions and qualities: the only file that imports feedparser."""

from __future__ import annotations

import datetime as dt
import html
import html.parser
import io
import re
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import Any
from xml.sax import SAXException

from newsletter.sources import Entry
from newsletter.values import Source

MAX_ENTRIES = 500
"""The newest that are kept: a feed with more is an archive, or a mistake."""
MAX_TITLE = 1_000
MAX_NAME = 200
MAX_NAMES = 100
MAX_URL = 4_000
MAX_GUID = 2_000

Parsed = dict[str, Any]

_HTML_ELEMENTS = frozenset({b"html", b"head", b"body", b"meta", b"script", b"style", b"div", b"main"})
_FEED_ELEMENTS = frozenset({b"rss", b"feed", b"rdf:rdf", b"channel"})
_MARKUP = re.compile(r"</(?:p|div|a|li|em|strong|b|i|h[1-6]|blockquote)>|<br\s*/?>", re.IGNORECASE)
_SUFFIX = re.compile(r"(?:jr|sr|ii|iii|iv|ph\.?\s?d|m\.?d|esq|m\.?sc|b\.?sc)\.?", re.IGNORECASE)
_GROUP = re.compile(r"\b(?:the|team|group|labs?|staff|editors|foundation|institute|university)\b", re.IGNORECASE)
_EMAIL = re.compile(r"[<(\[]?\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\b[>)\]]?")
_NOBODY = frozenset({"", "admin", "administrator", "webmaster", "noreply"})

_LITERAL = {b"<![CDATA[": b"]]>", b"<!--": b"-->"}
_ENTRY_TAG = re.compile(rb"<!\[CDATA\[|\]\]>|<!--|-->|<(?:item|entry)(?=[\s>])|</(?:item|entry)\s*>", re.IGNORECASE)
_MOST_READ = 2_000
"""Entries that are read of a feed; 60,000 take up to 9 s, and of these the newest `MAX_ENTRIES` are kept."""
_LONG_TAG = re.compile(rb"<([a-zA-Z][\w:.-]*)\s([^<>]{10000,})>")
_MOST_ATTRIBUTES = 200
_MOST_AROUND = 20_000
"""Bytes outside the entries up to which each entry is read alone: they are read anew with every one."""
_FEW_ERRORS = 0.1
"""Share of the bytes beyond ASCII that may be wrong in a feed that is still UTF-8."""

_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What feedparser raises, or leads to, on markup that it did not expect; found by fuzzing."""


def parse(body: bytes, content_type: str = "", url: str = "") -> Parsed:
    """What a feed holds: ``refusal``, ``title``, ``links``, ``entries`` and ``notes``. See
    `sources.Kind.parse`.

    Each entry has ``title``, ``url``, ``guid``, ``authors``, ``published`` (ISO 8601 in UTC, or None),
    ``categories``, ``content``, ``summary`` and ``announced`` (arXiv's announce type, empty elsewhere).
    """
    refusal = _refusal(body, url)
    if refusal:
        return _refused(refusal)
    body, content_type = _in_utf_8(_without_nulls(body), content_type)
    body, notes = _without_the_middle(_without_bad_references(_without_bad_attributes(body)))
    found, lost = _read(body, content_type, url)
    if not found.entries and not found.version:
        return _refused("the answer is neither RSS nor Atom")
    if not found.entries and isinstance(found.get("bozo_exception"), SAXException):
        return _refused("the answer is a damaged feed without a single whole entry")
    return _feed(found, lost, notes)


def certainty(parsed: Parsed) -> int:
    """Any feed can be read as one. See `sources.Kind.certainty`."""
    return 0 if parsed["refusal"] else 1


def entries(parsed: Parsed, source: Source) -> tuple[list[Entry], list[str]]:
    """The entries and notes of a parsed feed. A venue, the feed's or the source's own name, is never an
    author."""
    venues = {_key(parsed["title"]), _key(source.name)}
    return [_entry(raw, source, venues) for raw in parsed["entries"]], list(parsed["notes"])


def adopt(entry: Entry) -> Entry:
    """Nothing to put right: see `sources.Kind.adopt`."""
    return entry


def counted(count: int, what: str) -> list[str]:
    """A note of its own on so many entries, none for 0: ``counted(2, "left out")`` says "2 entries left
    out"."""
    return [f"{count} {'entry' if count == 1 else 'entries'} {what}"] if count else []


def split_authors(text: str) -> list[str]:
    """The names in one author field: "A, B and C" is three, "J. Roe, PhD" one, and so is "The X and Y Team".

    E-mail addresses, and the brackets around what is left, go: "x@example.com (Jane Roe)" is Jane Roe.
    """
    text = _EMAIL.sub(" ", text.replace("mailto:", ""))
    parts = re.split(r";|\n|\|" if ";" in text else r",|\n|\|", text)
    names: list[str] = []
    for part in (_bare(part) for part in parts):
        if names and _SUFFIX.fullmatch(part):
            names[-1] = f"{names[-1]}, {part}"
        else:
            names += _split_at_and(part, is_list=len(parts) > 1)
    return [name for name in names if name.casefold() not in _NOBODY]


def _split_at_and(part: str, is_list: bool) -> list[str]:
    names = [_bare(name) for name in re.split(r"(?:^|\s)(?:and|&)\s", part)]
    several_words = all(" " in name for name in names)
    if _GROUP.search(part) or not (is_list or several_words):
        return [part]
    return names


def _bare(name: str) -> str:
    name = re.sub(r"^by\s+", "", " ".join(name.split()), flags=re.IGNORECASE).strip(" ,;\"'")
    return name[1:-1].strip() if re.fullmatch(r"\([^()]*\)", name) else name


def _read(body: bytes, content_type: str, url: str) -> tuple[Any, int]:
    """What feedparser makes of the body, and how many entries it could not read.

    On some broken markup feedparser raises and would take the whole feed with it, and behind a tag that is never
    closed it finds no further entry. Then each entry is read alone.
    """
    entries = _spans(body)
    try:
        whole = _by_feedparser(body, content_type, url)
    except _MISTAKES:
        if not entries:
            raise
        return _read_alone(body, entries, content_type, url)
    around = len(body) - sum(end - start for start, end in entries)
    if whole.bozo and len(entries) > _told(whole) and around <= _MOST_AROUND:
        alone, lost = _read_alone(body, entries, content_type, url)
        if _told(alone) > _told(whole):
            return alone, lost
    return whole, 0


def _spans(body: bytes) -> list[tuple[int, int]]:
    """Where the entries begin and end, as far as their own tags tell. One that has no end ends at the next.

    What a comment or CDATA holds is no tag, unless nothing ends it: then what looks like one is our best guess.
    """
    last_end = {end: body.rfind(end) for end in _LITERAL.values()}
    found: list[tuple[int, int]] = []
    start, literal_until = -1, b""
    for tag in _ENTRY_TAG.finditer(body):
        mark = tag.group().upper()
        if literal_until:
            literal_until = b"" if mark == literal_until else literal_until
        elif mark in _LITERAL:
            literal_until = _LITERAL[mark] if last_end[_LITERAL[mark]] > tag.start() else b""
        else:
            begins = not mark.startswith(b"</")
            if start >= 0:
                found.append((start, tag.start() if begins else tag.end()))
            start = tag.start() if begins else -1
    return found


def _without_the_middle(body: bytes) -> tuple[bytes, list[str]]:
    """The body with so many entries as can be read in time, and a note when it had more.

    A list of many is in order of time, whichever way: what is new is at one of its ends.
    """
    entries = _spans(body)
    unread = len(entries) - _MOST_READ
    if unread <= 0:
        return body, []
    end, start = entries[_MOST_READ // 2 - 1][1], entries[-_MOST_READ // 2][0]
    return body[:end] + body[start:], counted(unread, f"in the middle, of {len(entries)} in all, left out")


def _told(found: Any) -> int:
    """How many entries have what we need of one."""
    return sum(1 for entry in found.entries if entry.get("title") or entry.get("link"))


def _read_alone(body: bytes, entries: Sequence[tuple[int, int]], content_type: str, url: str) -> tuple[Any, int]:
    """What feedparser makes of each of the first `MAX_ENTRIES` alone, and how many it could not read."""
    head, tail = body[: entries[0][0]], body[entries[-1][1] :]
    tail = tail if len(tail) <= _MOST_AROUND else b""
    found = _by_feedparser(head, content_type, url)
    lost = 0
    for start, end in entries[:MAX_ENTRIES]:
        try:
            found.entries += _by_feedparser(head + body[start:end] + tail, content_type, url).entries
        except _MISTAKES:
            lost += 1
    return found, lost


def _by_feedparser(body: bytes, content_type: str, url: str) -> Any:
    import feedparser  # here and not above: the parent, which needs `entries`, never loads it

    return feedparser.parse(
        io.BytesIO(body),  # bytes as they are would be tried as the name of a file first
        response_headers={"content-type": content_type, "content-location": url},
        # Both only concern HTML, which is cleaned where it is used, and take most of the time.
        resolve_relative_uris=False,
        sanitize_html=False,
    )


def _refused(refusal: str) -> Parsed:
    return {"refusal": refusal, "title": "", "links": [], "entries": [], "notes": []}


def _refusal(body: bytes, url: str) -> str:
    """What the body is when it plainly is no feed; else empty."""
    start = body.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:20_000].replace(b"\0", b"")  # UTF-16 and -32 too
    if not start:
        return "the answer is empty"
    if start[:1] in (b"{", b"["):
        return "the answer is JSON, which is neither RSS nor Atom"
    if _is_html(start):
        return _refusal_of_page(body.replace(b"\0", b"").decode("utf-8", "replace"), url)
    return ""


def _is_html(start: bytes) -> bool:
    """Whether the first element, comments and declarations aside, is one of HTML; feeds with its doctype exist."""
    start = re.sub(rb"<!--.*?-->", b"", start, flags=re.DOTALL)
    rest, doctypes = re.subn(rb"<!doctype\s+html\b[^<>\[]*>", b"", start, flags=re.IGNORECASE)
    first = re.search(rb"<(?:!doctype\s+)?([a-zA-Z][\w:.-]*)", rest, re.IGNORECASE)
    name = first.group(1).lower() if first else b""
    return name in _HTML_ELEMENTS or (doctypes > 0 and name not in _FEED_ELEMENTS)


def _refusal_of_page(page: str, url: str) -> str:
    found = _Page()
    found.feed(page[:500_000])
    if found.asks_password:
        return "the answer is a login page, not a feed"
    links = [_web_url(href, url) for href in found.feeds if href.strip()]
    feeds = [link for link in links if link and link.isascii()]
    return "the answer is a web page, not a feed" + (f"; the page names this feed: {feeds[0]}" if feeds else "")


class _Page(html.parser.HTMLParser):
    """Finds what a web page says of feeds, and whether it asks for a password."""

    def __init__(self) -> None:
        super().__init__()
        self.feeds: list[str] = []
        self.asks_password = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "input" and values.get("type", "").lower() == "password":
            self.asks_password = True
        if tag == "link" and re.search(r"application/(?:rss|atom)\+xml", values.get("type", ""), re.IGNORECASE):
            self.feeds.append(values.get("href", ""))


class _Text(html.parser.HTMLParser):
    """The text of a line of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("br", "p", "div"):
            self.parts.append(" ")


def _in_utf_8(body: bytes, content_type: str) -> tuple[bytes, str]:
    """The body and its content type, both with UTF-8 when it is that beyond doubt, whatever anyone says of it.

    Text of another encoding with letters beyond ASCII is hardly ever valid UTF-8 by chance. A few bad bytes among
    many good ones are U+FFFD: else they would have the whole feed read as Windows-1252.
    """
    if body.isascii():
        return body, content_type
    text = body.decode("utf-8", "replace")
    bad = text.count("\N{REPLACEMENT CHARACTER}") - body.count("\N{REPLACEMENT CHARACTER}".encode())
    foreign = len(body.translate(None, bytes(range(128))))
    if bad > _FEW_ERRORS * foreign:
        return body, content_type
    return text.encode() if bad else body, "application/xml; charset=utf-8"


def _without_nulls(body: bytes) -> bytes:
    """The body without stray null bytes, which end a tag's name; unchanged when it is UTF-16 or UTF-32."""
    is_wide = body.startswith((b"\xff\xfe", b"\xfe\xff")) or body.count(0) > _FEW_ERRORS * len(body)
    return body if is_wide else body.replace(b"\0", b"")


def _without_bad_attributes(body: bytes) -> bytes:
    """The body with far too many attributes of an element gone: Expat takes 9 s for 100,000 of them."""

    def mended(found: re.Match[bytes]) -> bytes:
        name, attributes = found.groups()
        if attributes.count(b"=") <= _MOST_ATTRIBUTES:
            return found.group()
        return b"<%s%s>" % (name, b"/" if attributes.endswith(b"/") else b"")

    return _LONG_TAG.sub(mended, body)


def _without_bad_references(body: bytes) -> bytes:
    """The body with U+FFFD for references to characters that do not exist: one costs feedparser the whole
    feed."""

    def mended(found: re.Match[bytes]) -> bytes:
        digits = found.group(1)
        code = (int(digits[1:], 16) if digits[:1] in b"xX" else int(digits)) if len(digits) < 12 else -1
        exists = 0 < code < 0xD800 or 0xDFFF < code <= 0x10FFFF
        return found.group() if exists else b"&#xFFFD;"

    return re.sub(rb"&#([0-9]+|[xX][0-9a-fA-F]+);?", mended, body)


def _feed(found: Any, lost: int, notes: list[str]) -> Parsed:
    atom = found.version.startswith("atom")
    inherited = _authors(found.feed) if atom else []  # RFC 4287, 4.2.1: entries without an author have the feed's
    kept: list[Parsed] = []
    nameless = 0
    for raw in found.entries:
        try:
            entry = _raw_entry(raw, atom)
        except _MISTAKES:
            lost += 1
            continue
        if not (entry["title"] or entry["url"]):
            nameless += 1
            continue
        kept.append({**entry, "authors": entry["authors"] or inherited})
    newest = _newest(kept)
    return {
        "refusal": "",
        "title": _title(found.feed, atom),
        "links": [_text(found.feed.get(name), MAX_URL) for name in ("id", "link")]
        + [_text(link.get("href"), MAX_URL) for link in found.feed.get("links", [])[:20]],
        "entries": newest,
        "notes": notes
        + counted(nameless, "without title and link left out")
        + counted(lost, "that cannot be read left out")
        + counted(len(kept) - len(newest), f"older than the newest {MAX_ENTRIES} left out"),
    }


def _newest(found: list[Parsed]) -> list[Parsed]:
    """At most `MAX_ENTRIES`, in their order; what has no date counts as oldest."""
    order = sorted(range(len(found)), key=lambda index: found[index]["published"] or "", reverse=True)
    return [found[index] for index in sorted(order[:MAX_ENTRIES])]


def _raw_entry(raw: Any, atom: bool) -> Parsed:
    content = max((_html_of(part, atom) for part in raw.get("content", [])), key=len, default="")
    # Without a summary of its own, feedparser gives an entry its content as one, but no details on it.
    summary = _html_of(raw["summary_detail"], atom) if "summary_detail" in raw else ""
    return {
        "title": _title(raw, atom),
        "url": _web_url(raw.get("feedburner_origlink", "")) or _web_url(raw.get("link", "")),
        "guid": _text(raw.get("id"), MAX_GUID),
        "authors": _authors(raw),
        "published": _published(raw),
        "categories": _distinct(_line(tag.get("label") or tag.get("term")) for tag in raw.get("tags", [])),
        "content": content,
        "summary": summary,
        "announced": _line(raw.get("arxiv_announce_type")),
    }


def _title(raw: Any, atom: bool) -> str:
    """A title as plain text. RSS does not say whether its titles are HTML, so entities are resolved in any
    case."""
    title = _text(raw.get("title"), 4 * MAX_TITLE)
    if (raw.get("title_detail") or {}).get("type", "text/plain") != "text/plain":
        text = _Text()
        text.feed(title)
        text.close()
        title = "".join(text.parts)
    elif not atom:
        title = html.unescape(title)
    return _line(title, MAX_TITLE)


def _html_of(part: Any, atom: bool) -> str:
    """Content as HTML; empty for what is no text."""
    text = _text(part.get("value"))
    kind = part.get("type", "text/html")
    if kind in ("text/html", "application/xhtml+xml") or (kind == "text/plain" and not atom):
        return text
    if kind != "text/plain":
        return ""
    if _MARKUP.search(text):  # HTML without type="html": a common mistake
        return text
    return "".join(f"<p>{html.escape(p, quote=False)}</p>" for p in re.split(r"\n\s*\n", text) if p.strip())


def _authors(raw: Any) -> list[str]:
    fields = [author.get("name") for author in raw.get("authors", [])]
    if not any(fields):
        fields = [raw.get("author")]
    return _distinct(name for field in fields for name in split_authors(html.unescape(_text(field, 20_000))))


def _published(raw: Any) -> str | None:
    for name in ("published_parsed", "updated_parsed", "created_parsed"):
        parsed = raw.get(name)
        if parsed:
            try:
                year, month, day, hour, minute, second = parsed[:6]
                return dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC).isoformat()
            except ValueError:  # a year 0, or a leap second
                continue
    return None


def _distinct(names: Iterable[str]) -> list[str]:
    """Names of a sane length, each once, in order."""
    kept: dict[str, str] = {}
    for name in names:
        if name and len(name) <= MAX_NAME and len(kept) < MAX_NAMES:
            kept.setdefault(name.casefold(), name)
    return list(kept.values())


def _web_url(value: Any, base: str = "") -> str:
    """The absolute http or https URL that a text means; empty when it means none."""
    text = _text(value).strip()
    try:
        text = urllib.parse.urljoin(base, text) if base else text
        parts = urllib.parse.urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return ""
    for bad, good in ((" ", "%20"), ('"', "%22"), ("<", "%3C"), (">", "%3E"), ("\\", "%5C")):
        text = text.replace(bad, good)
    return text if usable and len(text) <= MAX_URL and text.isprintable() else ""


def _line(value: Any, longest: int = 4 * MAX_NAME) -> str:
    return " ".join(_text(value).split())[:longest].rstrip()


def _text(value: Any, longest: int | None = None) -> str:
    """Text that can be stored: no NUL, which PostgreSQL refuses, and no lone surrogates."""
    text = value if isinstance(value, str) else ""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:longest]


def _key(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _entry(raw: Parsed, source: Source, venues: Iterable[str]) -> Entry:
    return Entry(
        title=raw["title"],
        url=raw["url"],
        guid=raw["guid"],
        authors=tuple(name for name in raw["authors"] if _key(name) not in venues),
        published=dt.datetime.fromisoformat(raw["published"]) if raw["published"] else None,
        categories=tuple(raw["categories"]),
        content=raw["content"],
        summary=raw["summary"],
        is_abstract=False,
        source=source,
    )
