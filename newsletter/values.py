"""The values that the stages hand to each other: frozen, and without any effect on the world.

Text of a piece is kept as *light text*: paragraphs separated by one blank line, each a single line. A heading
starts with ``# ``, a list item with ``- ``; everything else is prose. That is enough to read a piece whole, to
cut it into sentences without mistaking a heading for one, and to put it into a prompt as it stands.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from enum import StrEnum

WORDS_PER_MINUTE = 200
"""Reading speed behind every "N min"; the published issues of the product use the same."""

# Linear on any text: what cannot begin a word is passed over once, and never tried again (possessive).
_WORD = re.compile(r"(?<!\S)(?:_|[^\w\s])*+\w")

EVERY, WEEKLY, MONTHLY = "every", "weekly", "monthly"
"""The kinds of issues: for readers of every issue, and the two round-ups. Readers' frequencies have the same names."""

FULL_TEXT_WORDS = 250
"""Below this many words a text is no full text, wherever it came from."""


class TextOrigin(StrEnum):
    """Where the text of a piece came from, and so how much of the piece it is."""

    FEED = "feed"
    PAGE = "page"
    ABSTRACT = "abstract"
    DESCRIPTION = "description"


class SummaryKind(StrEnum):
    """What a summary is made of; readers see everything but ``DIGEST`` marked."""

    DIGEST = "digest"
    EXCERPTS = "excerpts"


class SectionShape(StrEnum):
    """How a section reads: paragraphs, or a list of short points."""

    PROSE = "prose"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Source:
    """Somewhere pieces come from.

    ``key`` is stable (state in the database hangs on it), ``name`` is what readers see, ``kind`` names a file of
    :mod:`newsletter.sources` (empty: found out from what the source answers), ``weight`` multiplies scores.
    """

    key: str
    name: str
    url: str
    kind: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Topic:
    """Something readers can follow. ``key`` never changes; ``name`` may."""

    key: str
    name: str
    description: str = ""
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """One article or paper as its source published it.

    ``identity`` tells the same piece again (``lw:<id>``, ``arxiv:<id>``, ``url:<canonical URL>``,
    ``guid:<host> <guid>``); :mod:`newsletter.pieces` finds it from ``url`` and ``guid``, and it is empty until then.
    ``id`` is the store's number, 0 until stored. ``text`` is light text (see the module). ``published`` is aware and
    in UTC, or None when the source gave no usable date. ``note`` says what went wrong on the way to the text.
    """

    title: str
    url: str
    source: Source
    guid: str = ""
    authors: tuple[str, ...] = ()
    published: dt.datetime | None = None
    categories: tuple[str, ...] = ()
    text: str = ""
    origin: TextOrigin = TextOrigin.DESCRIPTION
    note: str = ""
    identity: str = ""
    id: int = 0

    @property
    def words(self) -> int:
        """Words of the text that we have."""
        return count_words(self.text)

    @property
    def is_full_text(self) -> bool:
        """Whether the text is the piece itself and not an abstract or a fragment of it."""
        return self.origin in (TextOrigin.FEED, TextOrigin.PAGE) and self.words >= FULL_TEXT_WORDS


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of ours about a piece, with the source's own words that bear it out (none: it claims nothing)."""

    sentence: str
    quotes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """One named part of a summary. ``blocks`` are paragraphs or list items, each a run of claims.

    ``heading`` is empty for the opening summary. ``is_suggestion`` marks what is ours and not the source's.
    """

    key: str
    heading: str
    shape: SectionShape
    blocks: tuple[tuple[Claim, ...], ...]
    is_suggestion: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The text of each block: its sentences joined."""
        return tuple(" ".join(claim.sentence for claim in block) for block in self.blocks)

    @property
    def words(self) -> int:
        """Words of the section without its heading."""
        return sum(count_words(text) for text in self.texts)


@dataclass(frozen=True, slots=True)
class Summary:
    """Our text on a piece, section by section, and how it came to be.

    ``writer`` is the file of :mod:`newsletter.writers` that wrote it, ``model`` the model (empty without one).
    ``words_read`` of ``words_total`` of the piece's text were read. ``notes`` tell the owner what was repaired
    or left out.
    """

    kind: SummaryKind
    sections: tuple[Section, ...]
    writer: str
    model: str = ""
    prompt_version: str = ""
    source_hash: str = ""
    words_read: int = 0
    words_total: int = 0
    cost_usd: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> int:
        """Words a reader reads, without headings."""
        return sum(section.words for section in self.sections)

    @property
    def minutes(self) -> int:
        """Minutes of reading, at least one."""
        return minutes_of(self.words)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a score: what it is, what it adds, and the fact behind it in a few words."""

    name: str
    points: float
    why: str


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What a candidate is worth and which topics it has. ``parts`` add up to ``score``."""

    piece: Piece
    first_seen: dt.datetime
    topics: tuple[str, ...]
    parts: tuple[Part, ...]
    refusal: str = ""
    """Why this candidate may not be chosen at all; empty when it may."""
    why: str = ""
    """One sentence for people, when triage wrote one."""
    note: str = ""
    """How the score came about, where that must be said: by rule, since the model gave none."""
    pinned: bool = False
    """The owner wants it in, whatever its score."""

    @property
    def score(self) -> float:
        """The sum of the parts."""
        return round(sum(part.points for part in self.parts), 4)


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate after selection: in or out, and why."""

    appraisal: Appraisal
    chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class Selection:
    """The pieces chosen for an issue, best first, and what was left out. ``shortfall`` says why there is no issue."""

    chosen: tuple[Choice, ...]
    left_out: tuple[Choice, ...]
    shortfall: str = ""


@dataclass(frozen=True, slots=True)
class IssuePiece:
    """A piece in an issue with our summary of it.

    ``home`` is set where the piece came out earlier, as all in a round-up did: the number of that issue, and the
    piece's place in it, from 1.
    """

    piece: Piece
    summary: Summary
    topics: tuple[str, ...] = ()
    score: float = 0.0
    why: str = ""
    home: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Issue:
    """One dated digest. ``number`` is what the owner calls it; ``title`` carries the date.

    ``kind`` is `every`, or `weekly` or `monthly` for a round-up: it has no page, and no pieces but in its editions.
    """

    number: int
    date: dt.date
    title: str
    pieces: tuple[IssuePiece, ...]
    state: str = "draft"
    kind: str = EVERY

    @property
    def is_round_up(self) -> bool:
        """Whether it gathers pieces of other issues, for readers who asked for fewer mails."""
        return self.kind != EVERY

    @property
    def minutes(self) -> int:
        """Minutes of reading of the whole issue."""
        return minutes_of(sum(entry.summary.words for entry in self.pieces))

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in order of appearance."""
        return tuple(dict.fromkeys(entry.piece.source.name for entry in self.pieces))


@dataclass(frozen=True, slots=True)
class Edition:
    """An issue with just these of its pieces, in this order: shared by all readers who get just these."""

    issue: Issue
    pieces: tuple[IssuePiece, ...]

    @property
    def key(self) -> str:
        """The same for the same pieces of the same issue: numbers of the pieces, in order."""
        return "-".join(str(entry.piece.id) for entry in self.pieces)

    @property
    def minutes(self) -> int:
        """Minutes of reading of what this edition's readers get."""
        return minutes_of(sum(entry.summary.words for entry in self.pieces))

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources of this edition, in order of appearance."""
        return tuple(dict.fromkeys(entry.piece.source.name for entry in self.pieces))


@dataclass(frozen=True, slots=True)
class Message:
    """One edition addressed to one reader, complete as it leaves.

    ``key`` is the delivery's own and goes out with it, so that a provider's later report finds the row.
    ``headers`` hold no CR, LF or control character; ``html`` is empty for readers who want text only.
    """

    key: str
    to: str
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str = ""

    def header(self, name: str) -> str:
        """The header of that name, in any case; empty when absent."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


def count_words(text: str) -> int:
    """Words as a reader counts them: runs of characters between white space that hold a letter or a digit."""
    return len(_WORD.findall(text))


def minutes_of(words: int) -> int:
    """Minutes to read so many words, rounded up, at least one."""
    return max(1, math.ceil(words / WORDS_PER_MINUTE))
