"""A piece made ready for searching: its text in one plain form, its sentences and paragraphs."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

from newsletter import sentences
from newsletter.values import Piece

MOST_PLACES = 5
"""A quote that stands in more places than this is looked at in the first few."""

SHORT_WORDS = 12
"""A paragraph below this is a caption, a heading or a scrap."""

_DOUBLE_MARKS = "\u201c\u201d\u201e\u201f\u00ab\u00bb\u301d\u301e\u2033\u2036\uff02"
_SINGLE_MARKS = "\u2018\u2019\u201a\u201b\u2032\u2035\u00b4\u02bc\uff07`"
_QUOTATION_MARKS = {ord(mark): '"' for mark in _DOUBLE_MARKS} | {ord(mark): "'" for mark in _SINGLE_MARKS}
_RAISED = {ord(raised): f"^{plain}" for raised, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True)}
_LOWERED = {ord(lowered): f"_{plain}" for lowered, plain in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)}
_FRACTION = re.compile(r"[\u00bc-\u00be\u2150-\u215e]")
_HYPHEN = re.compile(r"[\u2010-\u2013\u2212\ufe58\ufe63\uff0d]")
_DASH = re.compile(r"--+|[\u2014\u2015]")
_RAISED_RUN = re.compile(r"\^([\d-])((?:\^\d)+)")
_MARKER = re.compile(r"^(?:# |- )")
_INVISIBLE = frozenset(("Cf", "Cc"))


def plain_text(text: str) -> str:
    """The form in which texts are compared: one kind of space, quotation mark and dash; Unicode by NFKC.

    Invisible characters go, and the marker of a heading or list item. Raised and lowered digits and
    fractions are kept apart from the digits before them: NFKC alone makes 102 of ten squared.
    """
    text = _FRACTION.sub(lambda found: f" {found.group()}", text)
    text = text.translate(_RAISED).translate(_LOWERED).translate(_QUOTATION_MARKS)
    text = _RAISED_RUN.sub(lambda found: f"^{found[1]}{found[2].replace('^', '')}", text)
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/")
    text = "".join(c for c in text if c.isspace() or unicodedata.category(c) not in _INVISIBLE)
    text = _DASH.sub(" - ", _HYPHEN.sub("-", text)).replace("''", '"')
    return _MARKER.sub("", " ".join(text.split()))


@dataclass(frozen=True, slots=True)
class Span:
    """Where something stands in a source's plain text: characters ``start`` to ``end``."""

    start: int
    end: int


class Source:
    """The text of a piece in plain form, paragraph by paragraph, and what is known beside it."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece
        plain = (plain_text(paragraph.text) for paragraph in sentences.paragraphs(piece.text))
        self.paragraphs = tuple(paragraph for paragraph in plain if paragraph)
        self.text = " ".join(self.paragraphs)
        self._starts: list[int] = []
        at = 0
        for paragraph in self.paragraphs:
            self._starts.append(at)
            at += len(paragraph) + 1

    @cached_property
    def facts(self) -> str:
        """What is known of the piece beside its text: title, authors, venue and date."""
        published = self.piece.published
        date = f"{published.day} {published:%B %Y}" if published else ""
        return plain_text(" . ".join((self.piece.title, *self.piece.authors, self.piece.source.name, date)))

    @cached_property
    def capitalised(self) -> frozenset[str]:
        """Words that the text has with a capital within a sentence, in small letters: most are names."""
        return frozenset(
            word.casefold()
            for paragraph in self.paragraphs
            for word in re.findall(r"(?<=[a-z,;] )[A-Z][\w'-]*", paragraph)
        )

    @cached_property
    def uncapitalised(self) -> frozenset[str]:
        """Words that the text has in small letters."""
        return frozenset(re.findall(r"\b[a-z][a-z'-]*", self.text))

    def find(self, quote: str) -> list[Span]:
        """Where a quote stands, letter by letter and not cut out of words or numbers."""
        wanted = plain_text(quote)
        found: list[Span] = []
        at = self.text.find(wanted) if wanted else -1
        while at >= 0 and len(found) < MOST_PLACES:
            span = Span(at, at + len(wanted))
            if self._is_whole(span):
                found.append(span)
            at = self.text.find(wanted, at + 1)
        return found

    def _is_whole(self, span: Span) -> bool:
        """Whether a span begins and ends where words and numbers do."""
        inside = self.text[span.start : span.end]
        before, after = self.text[max(0, span.start - 3) : span.start], self.text[span.end : span.end + 3]
        begins = not re.match(r"\w", inside) or not re.search(r"(?:\w|\w-|\d[.,])$", before)
        ends = not re.search(r"\w$", inside) or not re.match(r"\w|-\w|'\w|[.,]\d", after)
        return begins and ends

    def paragraphs_around(self, span: Span, more: int) -> str:
        """The paragraphs that a span touches, and so many more on each side.

        Very short ones, such as captions and headings, come along without being counted.
        """
        touched = self._touched(span)
        first, last = touched.start, touched.stop
        for _ in range(more):
            first = self._next(first - 1, -1)
            last = self._next(last, 1) + 1
        return " ".join(self.paragraphs[max(0, first) : last])

    def _next(self, number: int, step: int) -> int:
        """The number of the first paragraph from this one on, in this direction, that is not very short."""
        while 0 <= number < len(self.paragraphs) and len(self.paragraphs[number].split()) < SHORT_WORDS:
            number += step
        return number

    def sentences_around(self, span: Span, more: int, after: int | None = None) -> str:
        """The sentences that a span touches, and so many more on each side within its paragraphs.

        ``after``: so many on the far side instead.
        """
        behind = more if after is None else after
        found: list[str] = []
        for number in self._touched(span):
            parts = self._sentences(number)
            touched = [i for i, part in enumerate(parts) if part.start < span.end and part.end > span.start]
            if touched:
                first, last = max(0, touched[0] - more), min(len(parts) - 1, touched[-1] + behind)
                found.append(self.text[parts[first].start : parts[last].end])
        return " ".join(found)

    def _touched(self, span: Span) -> range:
        """Numbers of the paragraphs that a span touches."""
        ends = (start + len(paragraph) for start, paragraph in zip(self._starts, self.paragraphs, strict=True))
        touched = [
            number
            for number, (start, end) in enumerate(zip(self._starts, ends, strict=True))
            if start < span.end and end > span.start
        ]
        return range(touched[0], touched[-1] + 1) if touched else range(0)

    def _sentences(self, number: int) -> list[Span]:
        """Where the sentences of a paragraph are."""
        paragraph, start = self.paragraphs[number], self._starts[number]
        spans, at = [], 0
        for sentence in sentences.split(paragraph):
            begin = paragraph.index(sentence, at)
            at = begin + len(sentence)
            spans.append(Span(start + begin, start + at))
        return spans
