"""Feeds that are not in the encoding they say they are in, or in none at all. Good items must stay readable."""

from __future__ import annotations

import codecs

from newsletter.intake import FAILED
from tests.hostile.publisher import FEED, FIRST, SECOND, Behaviour, good, item, rss, served

_WORDS = "Ångström’s naïve café"
_LATIN = "Ångström and naïve café"
_JAPANESE, _RUSSIAN, _CHINESE = (
    "研究者は新しい結果を発表した",
    "Новые результаты исследований",
    "研究人员发表了新的结果",
)


def _declared(name: str) -> str:
    return f'<?xml version="1.0" encoding="{name}"?>'


def _feed(
    name: str, declared: str, actual: str, title: str, stored: str = "", *, header: str = "", mark: bytes = b""
) -> Behaviour:
    """A feed of two items in an encoding, that says it is another."""
    body = mark + rss(good(0), item(title, 2), head=_declared(declared) if declared else "").encode(actual)
    kind = f"application/rss+xml{f'; charset={header}' if header else ''}"
    return Behaviour(name, {FEED: served(body, kind)}, (FIRST, stored or title))


def _spoiled(name: str, old: bytes, new: bytes, *stored: str) -> Behaviour:
    """A feed in UTF-8 of which some bytes were replaced by others."""
    body = rss(good(0), item("Second ZZ title", 2), good(2), head=_declared("utf-8")).encode()
    return Behaviour(name, {FEED: served(body.replace(old, new))}, stored)


_THIRD = "What the third good piece found"

BEHAVIOURS = (
    _feed("says UTF-8 and is Latin-1", "utf-8", "latin-1", _LATIN),
    _feed("says UTF-8 and is Windows-1252", "utf-8", "cp1252", _WORDS),
    _feed("says Latin-1 and is UTF-8", "iso-8859-1", "utf-8", _WORDS),
    _feed("says Latin-1 and is Windows-1252", "iso-8859-1", "cp1252", _WORDS),
    _feed("says ASCII and is UTF-8", "us-ascii", "utf-8", _WORDS),
    _feed("says UTF-16 and is UTF-8", "utf-16", "utf-8", _WORDS),
    _feed("says UTF-8 and is UTF-16 with a mark", "utf-8", "utf-16", _WORDS),
    _feed("says UTF-8 and is little-endian UTF-16 without a mark", "utf-8", "utf-16-le", _WORDS),
    _feed("says UTF-8 and is big-endian UTF-16 without a mark", "utf-8", "utf-16-be", _WORDS),
    _feed("says UTF-16 and is UTF-16 without a mark", "utf-16", "utf-16-le", _WORDS),
    _feed("is UTF-32 with a mark", "utf-32", "utf-32", _WORDS),
    _feed("is UTF-32 without a mark", "utf-32", "utf-32-be", _WORDS),
    _feed("has the mark of UTF-8 and says Latin-1", "iso-8859-1", "utf-8", _WORDS, mark=codecs.BOM_UTF8),
    _feed("has the mark of UTF-8 twice", "utf-8", "utf-8", _WORDS, mark=codecs.BOM_UTF8 * 2),
    _feed("has the mark of UTF-16 and is UTF-8", "utf-8", "utf-8", _WORDS, mark=codecs.BOM_UTF16_LE),
    _feed("says two things, in header and declaration", "iso-8859-1", "utf-8", _WORDS, header="koi8-r"),
    _feed("names an encoding in its header that nobody knows", "utf-8", "utf-8", _WORDS, header="x-martian"),
    _feed("names an encoding that nobody knows", "x-martian", "utf-8", _WORDS),
    _feed("names a codec of Python that is no encoding", "zip", "utf-8", _WORDS, header="base64"),
    _feed("names no encoding and is Windows-1252", "", "cp1252", _WORDS),
    _feed("names an encoding of 40 lines", "utf-8" + "x" * 3_000, "utf-8", _WORDS),
    _feed("is Shift JIS and says so", "shift_jis", "shift_jis", _JAPANESE),
    _feed("is EUC-JP and says so in its header alone", "", "euc_jp", _JAPANESE, header="euc-jp"),
    _feed("is KOI8-R and says so", "koi8-r", "koi8-r", _RUSSIAN),
    _feed("is GB 18030 and says GB 2312", "gb2312", "gb18030", _CHINESE),
    _spoiled("has invalid UTF-8 in one title", b"ZZ", b"\xff\xfe\xc0\x80", FIRST, "Second ÿþÀ€ title", _THIRD),
    _spoiled("has surrogates in UTF-8", b"ZZ", b"\xed\xa0\x80", FIRST, "Second í € title", _THIRD),
    _spoiled("has half a character in UTF-8", b"ZZ", b"\xe2\x82", FIRST, "Second \u00e2\u201a title", _THIRD),
    _spoiled("has a null in a title", b"ZZ", b"\0", FIRST, "Second title", _THIRD),
    _spoiled("has a null in a tag", b"<title>Second", b"<ti\0tle>Second", FIRST, "Second ZZ title", _THIRD),
    Behaviour(
        "has one bad byte among good letters",
        {FEED: served(rss(good(0), item(_WORDS * 3, 2), item("A bad @ byte", 3)).encode().replace(b"@", b"\xff"))},
        (FIRST, _WORDS * 3, "A bad \N{REPLACEMENT CHARACTER} byte"),
    ),
    Behaviour(
        "has nulls between all letters of one item",
        {
            FEED: served(
                rss(good(0)).encode().replace(b"</channel>", "<item><title>N</title></item>".encode("utf-16-le"))
            )
        },
        (FIRST, "N"),
    ),
    Behaviour(
        "is UTF-7 and smuggles a script",
        {FEED: served(rss(good(0), item("+ADw-script+AD4-", 2), head=_declared("utf-7")), "text/xml; charset=utf-7")},
        (FIRST, "Untitled"),
    ),
    Behaviour(
        "is EBCDIC",
        {FEED: served(rss(good(0), good(1), head=_declared("cp037")).encode("cp037"))},
        (FIRST, SECOND),
    ),
    Behaviour("is nothing but a mark", {FEED: served(codecs.BOM_UTF8)}, (), FAILED, "the answer is empty"),
    Behaviour("is nothing but nulls", {FEED: served(b"\0" * 100_000)}, (), FAILED, "the answer is empty"),
    Behaviour("is random bytes", {FEED: served(bytes(n * n % 251 for n in range(100_000)))}, (), FAILED, "neither RSS"),
)
