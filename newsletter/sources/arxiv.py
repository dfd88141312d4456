"""arXiv's feeds of new papers: abstracts only, each under one canonical address.

Format: https://info.arxiv.org/help/rss_specifications.html and
https://info.arxiv.org/help/api/user-manual.html
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
import urllib.parse

from newsletter.sources import Entry, feed
from newsletter.sources.feed import Parsed, parse
from newsletter.values import Source

_PAPER = re.compile(
    r"/(?:abs|pdf|html|format)/(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?(?:\.pdf)?/?", re.I
)
_GUID = re.compile(r"oai:arXiv\.org:(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?", re.I)
_PREAMBLE = re.compile(r"^(\s*<p>)?\s*arXiv:\S{1,40}\s+Announce Type:\s*[\w-]+\s*(?:<br\s*/?>\s*)?Abstract:\s*", re.I)

_ACCENTS = dict(
    zip(
        "`'^\"~=.uvHckrd",
        "\u0300\u0301\u0302\u0308\u0303\u0304\u0307\u0306\u030c\u030b\u0327\u0328\u030a\u0323",
        strict=True,
    )
)
_ACCENTED = re.compile(r"\{?\\(?:([`'^\"~=.])|([uvHckrd])(?=[{\s]))\s*\{?\\?([A-Za-z])\}?\}?")
_LETTERS = {
    "o": "ø",
    "O": "Ø",
    "l": "ł",
    "L": "Ł",
    "ss": "ß",
    "aa": "å",
    "AA": "Å",
    "ae": "æ",
    "AE": "Æ",
    "oe": "œ",
}
_LETTER = re.compile(r"\{?\\(ss|aa|AA|ae|AE|oe|o|O|l|L)(?![A-Za-z])(?:\{\}|\}|\s)?")


def certainty(parsed: Parsed) -> int:
    """Certain when the feed says that it is arXiv's own. See `sources.Kind.certainty`."""
    return 2 * any(_is_arxiv(link) for link in parsed["links"])


def entries(parsed: Parsed, source: Source) -> tuple[list[Entry], list[str]]:
    """New papers and cross-lists; a replaced version of an older paper is nothing new."""
    new = [raw for raw in parsed["entries"] if not raw["announced"].startswith("replace")]
    found, notes = feed.entries({**parsed, "entries": new}, source)
    return found, notes + feed.counted(len(parsed["entries"]) - len(new), "that replace older papers left out")


def adopt(entry: Entry) -> Entry:
    """A paper of arXiv, whichever feed names it: canonical address, and only its abstract is to be had."""
    paper = paper_id(entry.url) or ("" if entry.url else _id_in(_GUID, entry.guid))
    if not paper:
        return entry
    return dataclasses.replace(
        entry,
        authors=tuple(without_tex(author) for author in entry.authors),
        url=f"https://arxiv.org/abs/{paper}",
        content=_PREAMBLE.sub(r"\1", entry.content),
        summary=_PREAMBLE.sub(r"\1", entry.summary),
        is_abstract=True,
    )


def without_tex(name: str) -> str:
    """A name with the accents that arXiv writes in TeX as letters: ``Andr\\'e`` is André, ``S{\\o}ren``
    Søren."""

    def accented(found: re.Match[str]) -> str:
        return unicodedata.normalize("NFC", found[3] + _ACCENTS[found[1] or found[2]])

    return _LETTER.sub(lambda found: _LETTERS[found[1]], _ACCENTED.sub(accented, name))


def paper_id(url: str) -> str:
    """The id of the paper that a URL of arXiv shows, without version; empty when it shows none."""
    return _id_in(_PAPER, urllib.parse.urlsplit(url).path) if _is_arxiv(url) else ""


def _id_in(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.fullmatch(text)
    return found.group(1) if found else ""


def _is_arxiv(url: str) -> bool:
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host == "arxiv.org" or host.endswith(".arxiv.org")


__all__ = ["adopt", "certainty", "entries", "paper_id", "parse", "without_tex"]
