"""Does a summary say only what its piece says? Pure, and with no model: what it finds, anyone can check by
eye.

Each claim brings quotes. A quote counts only when the piece holds it word for word; where it stands is the
claim's passage, and the numbers and names of the claim must stand there too. Beside that come checks of
polarity, authorship, links, obeyed instructions, language and shape. None of them understands what it
reads: a claim can pass and still misread its quotes (`scripts/bench-writing` says how often which fault is
found).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from newsletter import sentences
from newsletter.sections import SectionSpec
from newsletter.sentences import STOP_WORDS
from newsletter.values import Claim, Piece, Section, SectionShape, Summary, count_words

LEAST_QUOTE_WORDS = 4
"""A claim needs a quote of at least so many words; fewer bear nothing out."""

MOST_SENTENCE_WORDS = 70
"""A claim longer than this is no sentence that anyone wants to read."""


class Fault(StrEnum):
    """What can be wrong with a claim."""

    QUOTE = "quote"
    NUMBER = "number"
    NAME = "name"
    POLARITY = "polarity"
    SUPPORT = "support"
    AUTHORSHIP = "authorship"
    LINK = "link"
    INSTRUCTION = "instruction"
    SUGGESTION = "suggestion"
    LANGUAGE = "language"
    SHAPE = "shape"
    REPEAT = "repeat"
    OPENING = "opening"
    HEDGE = "hedge"
    LIMITS = "limits"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one claim: which claim (by section, block and place in it), and what is wrong, in words
    that can be sent back to the writer. A fault of the summary as a whole has no claim and no section.
    """

    fault: Fault
    words: str
    section: str = ""
    block: int = -1
    place: int = -1
    sentence: str = ""

    def __str__(self) -> str:
        where = f"{self.section}, “{self.sentence}”: " if self.sentence else ""
        return f"{where}{self.words}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one summary. ``failures`` may not be published; ``warnings`` are for the owner to
    see.

    ``claims`` counts the claims that were checked.
    """

    failures: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    claims: int

    @property
    def ok(self) -> bool:
        """Whether everything in the summary may be published."""
        return not self.failures

    @property
    def problems(self) -> tuple[str, ...]:
        """All that a second draft should mend, one line each; failures first."""
        return tuple(str(finding) for finding in (*self.failures, *self.warnings))


@dataclass(frozen=True, slots=True)
class _Place:
    """One claim where it stands."""

    section: Section
    spec: SectionSpec
    block: int
    place: int
    claim: Claim

    def finding(self, fault: Fault, words: str) -> Finding:
        return Finding(fault, words, self.section.key, self.block, self.place, self.claim.sentence)


def check(summary: Summary, piece: Piece, specs: Iterable[SectionSpec], *, language: str = "en") -> Report:
    """Check every claim of a summary against the piece it is about.

    ``specs`` are the sections that were asked for: they say which claims need quotes and which are
    suggestions. A section without a spec is checked as strictly as can be. ``language`` is the
    newsletter's.
    """
    source = _Source(piece)
    by_key = {spec.key: spec for spec in specs}
    places = list(_places(summary, by_key))
    failures: list[Finding] = []
    warnings: list[Finding] = []
    for place in places:
        failures += _failures(place, source, language)
        warnings += _warnings(place, source)
    failures += _repeats(places)
    warnings += _limits(places, source)
    return Report(tuple(failures), tuple(warnings), len(places))


def settle(summary: Summary, report: Report, specs: Iterable[SectionSpec]) -> Summary | None:
    """The summary without the claims that failed, in the shape that readers see; None when too little is
    left.

    Of a list the best items stay, up to what the spec publishes: first those without a warning, in the
    writer's order. A sentence that hangs on one that went goes too. A section with fewer blocks than its
    spec's ``least``, or prose that lost more than half of its sentences, does not stand. What went is told
    in the notes.
    """
    by_key = {spec.key: spec for spec in specs}
    failed = {(finding.section, finding.block, finding.place) for finding in report.failures}
    doubtful = {(finding.section, finding.block) for finding in report.warnings}
    sections = []
    for section in summary.sections:
        spec = by_key.get(section.key)
        settled = _settle_section(section, spec, failed, doubtful) if spec else None
        if settled is None:
            return None
        sections.append(settled)
    missing = set(by_key) - {section.key for section in sections}
    notes = (*summary.notes, *(f"left out: {finding}" for finding in report.failures))
    return None if missing else replace(summary, sections=tuple(sections), notes=notes)


def shared_openings(summaries: Iterable[Summary]) -> tuple[tuple[str, int], ...]:
    """Beginnings of paragraphs, four words each, that more than one summary of an issue has, and how many
    have it.

    Items of lists are not counted.
    """
    counts: Counter[str] = Counter()
    for summary in summaries:
        prose = [section for section in summary.sections if section.shape == SectionShape.PROSE]
        counts.update({opening for section in prose for text in section.texts if (opening := _opening(text))})
    return tuple((opening, count) for opening, count in counts.most_common() if count > 1)


def _opening(text: str) -> str:
    words = sentences.words(text)[:4]
    return " ".join(words) if len(words) == 4 else ""


def _places(summary: Summary, by_key: dict[str, SectionSpec]) -> Iterator[_Place]:
    for section in summary.sections:
        strict = SectionSpec(section.key, section.heading, "", section.shape, 1, 1, 1)
        spec = by_key.get(section.key, strict)
        for number, block in enumerate(section.blocks):
            for place, claim in enumerate(block):
                yield _Place(section, spec, number, place, claim)


def _failures(place: _Place, source: _Source, language: str) -> Iterator[Finding]:
    """All faults of one claim for which it may not be published."""
    sentence = place.claim.sentence
    suggested = place.spec.is_suggestion
    checks: list[tuple[Fault, Iterable[str]]] = [
        (Fault.LINK, _links(sentence)),
        (Fault.SHAPE, _misshapen(sentence)),
        (Fault.LANGUAGE, _foreign(sentence, language)),
        (Fault.INSTRUCTION, _obeyed(sentence, source)),
    ]
    if suggested:
        checks.append((Fault.SUGGESTION, _ascribed(sentence, source)))
    else:
        checks += _checks_of_substance(place, source)
    for fault, problems in checks:
        yield from (place.finding(fault, problem) for problem in problems)


def _checks_of_substance(place: _Place, source: _Source) -> list[tuple[Fault, Iterable[str]]]:
    claim = place.claim
    spans = [source.find(quote) for quote in claim.quotes]
    checks: list[tuple[Fault, Iterable[str]]] = [
        (Fault.QUOTE, _quotes(place, spans, source)),
        (Fault.AUTHORSHIP, _misattributed(claim.sentence, source)),
    ]
    found = [span for some in spans for span in some]
    if not found:
        return checks
    return [
        *checks,
        (Fault.NUMBER, _numbers(claim.sentence, found, source)),
        (Fault.NAME, _names(claim.sentence, found, source)),
        (Fault.POLARITY, _polarity(claim, found, source)),
        (Fault.SUPPORT, _support(claim.sentence, found, source)),
    ]


def _warnings(place: _Place, source: _Source) -> Iterator[Finding]:
    """What the owner should see of one claim, and a second draft should mend."""
    if place.place == 0 and place.section.shape == SectionShape.PROSE and place.section.heading:
        stock = _STOCK_OPENING.match(place.claim.sentence)
        if stock:
            yield place.finding(Fault.OPENING, f"begins with the stock phrase “{stock.group()}”")
    if place.spec.is_suggestion:
        return
    spans = [span for quote in place.claim.quotes for span in source.find(quote)]
    said = " ".join(source.text_around(span, 0) for span in spans)
    hedge = _HEDGE.search(said)
    if hedge and not _HEDGE.search(place.claim.sentence) and not _LIMIT.search(place.claim.sentence):
        yield place.finding(Fault.HEDGE, f"the piece says “{hedge.group()}”, and the claim does not hedge")


# --- The source, ready to be searched -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a quote stands in the source's plain text: characters ``start`` to ``end``."""

    start: int
    end: int


class _Source:
    """A piece's text in the plain form that quotes are compared in, with its sentences and paragraphs."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece
        plain = [plain_text(paragraph.text) for paragraph in sentences.paragraphs(piece.text)]
        self.paragraphs = [paragraph for paragraph in plain if paragraph]
        self.text = " ".join(self.paragraphs)
        self.starts: list[int] = []
        at = 0
        for paragraph in self.paragraphs:
            self.starts.append(at)
            at += len(paragraph) + 1

    @cached_property
    def facts(self) -> str:
        """What is known of the piece beside its text: title, authors, venue, date."""
        date = f"{self.piece.published:%Y %-d %B}" if self.piece.published else ""
        parts = (self.piece.title, *self.piece.authors, self.piece.source.name, date)
        return plain_text(" . ".join(parts))

    @cached_property
    def capitalised(self) -> frozenset[str]:
        """Words that stand in the text with a capital within a sentence, in lower case: names, as like as
        not.
        """
        return frozenset(word.casefold() for word in re.findall(r"(?<=[a-z,;] )[A-Z][\w'-]*", self.text))

    @cached_property
    def lower(self) -> frozenset[str]:
        """Words that stand in the text in small letters."""
        return frozenset(re.findall(r"\b[a-z][a-z'-]*", self.text))

    @cached_property
    def commands(self) -> tuple[str, ...]:
        """Paragraphs that speak to a model and not to a reader."""
        return tuple(paragraph for paragraph in self.paragraphs if _COMMAND.search(paragraph))

    @cached_property
    def honest_text(self) -> str:
        """The text and the facts without the paragraphs that speak to a model."""
        return " ".join([self.facts, *(p for p in self.paragraphs if p not in self.commands)])

    @cached_property
    def words(self) -> frozenset[str]:
        """All words of the text and the facts, as names are compared."""
        return _words_of(f"{self.text} {self.facts}")

    @cached_property
    def venues(self) -> tuple[str, ...]:
        """What the venue may be called: its name, also without an article or its first word; its host's."""
        name = re.sub(r"^the ", "", plain_text(self.piece.source.name), flags=re.IGNORECASE)
        names = [name, *([name.partition(" ")[2]] if name.count(" ") >= 2 else [])]
        authors = {plain_text(author).casefold() for author in self.piece.authors}
        return tuple(venue for venue in names if venue and venue.casefold() not in authors)

    def find(self, quote: str) -> list[_Span]:
        """Where a quote stands, word for word and not within words; at most five places."""
        wanted = plain_text(quote)
        found: list[_Span] = []
        at = self.text.find(wanted) if wanted else -1
        while at >= 0 and len(found) < 5:
            span = _Span(at, at + len(wanted))
            if self._is_whole(span) and not _COMMAND.search(self.text_around(span, 0)):
                found.append(span)
            at = self.text.find(wanted, at + 1)
        return found

    def _is_whole(self, span: _Span) -> bool:
        """Whether a span begins and ends where words and numbers do."""
        before, inside, after = (
            self.text[: span.start][-3:],
            self.text[span.start : span.end],
            self.text[span.end :][:3],
        )
        begins = not re.match(r"\w", inside) or not re.search(r"(?:\w|\w-|\d[.,])$", before)
        ends = not re.search(r"\w$", inside) or not re.match(r"\w|-\w|'\w|[.,]\d", after)
        return begins and ends

    def paragraphs_of(self, span: _Span) -> range:
        """Numbers of the paragraphs that a span touches."""
        touched = [
            number
            for number, start in enumerate(self.starts)
            if start < span.end and start + len(self.paragraphs[number]) > span.start
        ]
        return range(touched[0], touched[-1] + 1) if touched else range(0)

    def paragraphs_around(self, span: _Span, more: int) -> str:
        """The paragraphs that a span touches, and so many more on each side."""
        touched = self.paragraphs_of(span)
        return " ".join(self.paragraphs[max(0, touched.start - more) : touched.stop + more])

    def text_around(self, span: _Span, more: int) -> str:
        """The sentences that a span touches, and so many more on each side within its paragraphs."""
        found: list[str] = []
        for number in self.paragraphs_of(span):
            parts = self.sentences_of(number)
            touched = [i for i, (start, end) in enumerate(parts) if start < span.end and end > span.start]
            if touched:
                first, last = max(0, touched[0] - more), min(len(parts) - 1, touched[-1] + more)
                found.append(self.text[parts[first][0] : parts[last][1]])
        return " ".join(found)

    def sentences_of(self, number: int) -> list[tuple[int, int]]:
        """Start and end of each sentence of a paragraph in the plain text."""
        start = self.starts[number]
        spans, at = [], 0
        for sentence in sentences.split(self.paragraphs[number]):
            begin = self.paragraphs[number].index(sentence, at)
            at = begin + len(sentence)
            spans.append((start + begin, start + at))
        return spans


_QUOTATION_MARKS = {ord(mark): '"' for mark in "“”„‟«»〝〞″‶＂"} | {ord(mark): "'" for mark in "‘’‚‛′‵`´ʼ＇"}
_RAISED = {ord(raised): f"^{plain}" for raised, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True)}
_LOWERED = {ord(lowered): f"_{plain}" for lowered, plain in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)}
_FRACTION = re.compile(r"[¼-¾⅐-⅞]")
_HYPHENS = re.compile(r"[\u00ad\u2010\u2011\u2012\u2013\u2212\ufe58\ufe63\uff0d]")


def plain_text(text: str) -> str:
    """The form in which quotes are compared: one kind of space, quotation mark and dash; Unicode by NFKC.

    Invisible characters go. Raised and lowered digits and fractions are kept apart from the digits before
    them (NFKC alone makes 102 of ten squared).
    """
    text = text.replace("\u00ad", "")
    text = _FRACTION.sub(lambda match: f" {match.group()}", text)
    text = text.translate(_RAISED).translate(_LOWERED).translate(_QUOTATION_MARKS)
    text = re.sub(r"\^(\d|-)((?:\^\d)+)", lambda m: f"^{m[1]}{m[2].replace('^', '')}", text)
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/")
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Cc") or char.isspace())
    text = re.sub(r"--+|[\u2014\u2015]", " - ", _HYPHENS.sub("-", text)).replace("''", '"')
    return re.sub(r"^(?:# |- )", "", " ".join(text.split()))


# --- Quotes -------------------------------------------------------------------------------------------------------


def _quotes(place: _Place, spans: Sequence[Sequence[_Span]], source: _Source) -> Iterator[str]:
    claim = place.claim
    for quote, found in zip(claim.quotes, spans, strict=True):
        if not found:
            yield f"the text does not hold “{_shortened(quote)}” word for word"
    longest = max((count_words(quote) for quote in claim.quotes), default=0)
    if longest < LEAST_QUOTE_WORDS and _needs_quote(place, source):
        yield f"needs a quote of at least {LEAST_QUOTE_WORDS} words from the text"


def _needs_quote(place: _Place, source: _Source) -> bool:
    """Whether a claim must be borne out: in a section that does not ask it of all, when it states a fact."""
    sentence = place.claim.sentence
    if place.spec.needs_quotes or place.claim.quotes:
        return True
    return bool(_RESULT.search(sentence) or any(numbers_in(sentence)) or any(_names_in(sentence, source)))


_RESULT = re.compile(
    r"\b(?:found|finds?|show(?:s|ed|n)?|demonstrat\w+|report(?:s|ed)|achiev\w+|outperform\w*|underperform\w*|"
    r"improved|reduced|increased|decreased|dropped|raised|beat|fell|rose|gained|lost|proved|proves|observed|measured|"
    r"results? (?:show|suggest|indicate)\w*)\b",
    re.IGNORECASE,
)


def _shortened(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:157]}..."


# --- Numbers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text: its value, whether it is a percentage, its unit if known, and how it is written."""

    value: float
    percent: bool = False
    unit: str = ""
    written: str = ""
    decimals: int = 0
    about: bool = False
    """Whether it is said to be rounded ("about 60")."""
    is_recalled: bool = False
    """Whether it counts what was spoken of before ("the two methods"), and so says nothing new."""


_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_SHORT_SCALES = {"k": 1e3, "K": 1e3, "M": 1e6, "m": 1e6, "B": 1e9, "b": 1e9, "bn": 1e9, "T": 1e12}
_SMALL = dict(
    zip(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"],
        range(20),
        strict=True,
    )
)
_TENS = {
    name: 10.0 * n
    for n, name in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
_FOLDS = {
    "twice": 2,
    "doubl": 2,
    "twofold": 2,
    "tripl": 3,
    "threefold": 3,
    "thrice": 3,
    "quadrupl": 4,
    "tenfold": 10,
}
_UNITS = {
    "ms": "milliseconds", "millisecond": "milliseconds", "s": "seconds", "sec": "seconds", "second": "seconds",
    "min": "minutes", "minute": "minutes", "h": "hours", "hour": "hours", "day": "days", "week": "weeks",
    "month": "months", "year": "years", "kb": "kilobytes", "mb": "megabytes", "gb": "gigabytes", "tb": "terabytes",
    "token": "tokens", "epoch": "epochs", "step": "steps", "layer": "layers",
}  # fmt: skip
_DIGITS = re.compile(
    r"(?<![\w.^])(?<![A-Za-z]-)(?<!\d,)"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\.\d+|\d+)"
    r"(?:e(?P<exponent>[+-]?\d{1,2})|\^(?P<power>-?\d{1,2}))?"
    r"(?:/(?P<below>\d+)(?![/\d]))?"
    r"(?:(?P<glued>k|K|M|m|B|b|bn|T)(?![\w])|[ -]?(?P<scale>hundred|thousand|million|billion|trillion)\b)?"
    r"(?P<percent>\s?%|[ -]percent\b|\sper\s?cent\b|[ -]percentage[ -]points?\b|\s?pp\b)?"
    r"(?:x\b|×|st\b|nd\b|rd\b|th\b|s\b)?(?![A-Za-z])",
)
_WORDED = re.compile(
    rf"\b(?P<tens>{'|'.join(_TENS)})(?:[ -](?P<ones>{'|'.join(list(_SMALL)[1:10])})\b)?|"
    rf"\b(?P<small>{'|'.join(_SMALL)})\b(?:[ -](?P<part>half|halves|thirds?|quarters?|fourths?|fifths?|tenths?)\b)?|"
    r"\b(?P<a>half a|a|an)(?= (?:hundred|thousand|million|billion|trillion)\b)|"
    r"\b(?P<half>half|halves|halv(?:ed|ing))\b|\b(?:a|an)[ -](?P<fraction>third|quarter|fourth|fifth|tenth)\b|"
    r"\b(?P<dozen>dozen)\b|"
    r"\b(?P<fold>twice|doubl(?:e|es|ed|ing)|twofold|tripl(?:e|es|ed|ing)|threefold|thrice|"
    r"quadrupl(?:e|es|ed|ing)|tenfold)\b",
    re.IGNORECASE,
)
_AFTER_WORDED = re.compile(
    r"(?:[ -](?P<scale>hundred|thousand|million|billion|trillion)\b)?(?P<percent>[ -]percent\b|\sper\s?cent\b|\s?%)?",
    re.IGNORECASE,
)
_PARTS = {"hal": 2, "thi": 3, "qua": 4, "fou": 4, "fif": 5, "ten": 10}
_ABOUT = re.compile(
    r"(?:about|around|roughly|approximately|nearly|almost|over|under|some|(?:more|less|fewer) than|at (?:least|most)|"
    r"up to|close to|just|~|≈)\s*[$€£]?$",
    re.IGNORECASE,
)
_LIST_OF = re.compile(r"\w[^,.;:()]*(?:, [^,.;:()]+)+,? (?:and|or) \w")


def numbers_in(text: str, *, all_of_them: bool = False) -> Iterator[Number]:
    """The numbers of a text, in figures and words. ``all_of_them``: also "one", which is rarely meant as a
    number.

    Figures that are part of a name (GPT-4, o1) are none.
    """
    plain = plain_text(text)
    for match in _DIGITS.finditer(plain):
        yield _from_figures(match, plain)
    for match in _WORDED.finditer(plain):
        lone = (match["small"] or "").lower() == "one" and not match["part"]
        after = _AFTER_WORDED.match(plain, match.end())
        scaled = after is not None and (after["scale"] or after["percent"])
        if all_of_them or not lone or scaled:
            yield _from_words(match, after, plain)


def _from_figures(match: re.Match[str], text: str) -> Number:
    digits = match["digits"].replace(",", "")
    value = float(digits)
    if match["exponent"]:
        value *= 10.0 ** int(match["exponent"])
    if match["power"]:
        value = float(min(value, 1e6) ** int(match["power"]))
    if match["below"] and float(match["below"]):
        value /= float(match["below"])
    value *= _SHORT_SCALES.get(match["glued"] or "", 1) * _SCALES.get(match["scale"] or "", 1)
    decimals = len(digits.partition(".")[2])
    return Number(
        value,
        bool(match["percent"]),
        _unit_after(text, match.end()),
        match.group(),
        decimals,
        _is_about(text, match),
    )


def _from_words(match: re.Match[str], after: re.Match[str] | None, text: str) -> Number:
    value = _value_of_words(match)
    scale = (after["scale"] or "").lower() if after else ""
    percent = bool(after and after["percent"])
    end = after.end() if after else match.end()
    return Number(
        value * _SCALES.get(scale, 1),
        percent,
        _unit_after(text, end),
        text[match.start() : end],
        0,
        _is_about(text, match),
    )


def _value_of_words(match: re.Match[str]) -> float:
    if match["tens"]:
        return _TENS[match["tens"].lower()] + _SMALL.get((match["ones"] or "zero").lower(), 0)
    if match["small"]:
        part = _PARTS.get((match["part"] or "")[:3].lower(), 1)
        return _SMALL[match["small"].lower()] / part
    if match["half"]:
        return 0.5
    if match["fraction"]:
        return 1 / _PARTS[match["fraction"][:3].lower()]
    if match["dozen"]:
        return 12.0
    if match["a"]:
        return 0.5 if match["a"].lower().startswith("half") else 1.0
    return float(next(n for stem, n in _FOLDS.items() if match["fold"].lower().startswith(stem)))


def _unit_after(text: str, end: int) -> str:
    word = re.match(r"[ -]?([A-Za-z]+)", text[end : end + 24])
    name = word.group(1).lower() if word else ""
    return _UNITS.get(name) or _UNITS.get(name.removesuffix("s"), "")


def _is_about(text: str, match: re.Match[str]) -> bool:
    return bool(_ABOUT.search(text[max(0, match.start() - 16) : match.start()]))


def _numbers(sentence: str, spans: Iterable[_Span], source: _Source) -> Iterator[str]:
    """Numbers of a claim that do not stand beside its quotes."""
    said = list(numbers_in(sentence))
    if not said:
        return
    passage = " ".join(_beside(span, source) for span in spans)
    there = list(numbers_in(f"{passage} . {source.facts}", all_of_them=True))
    counted = _lengths_of_lists(passage)
    for number in said:
        is_count = number.written.lower() in _SMALL
        known = (is_count and number.value in counted) or number.is_recalled
        if not known and not any(_same(number, other) for other in there):
            yield f"the number “{number.written.strip()}” does not stand beside the quotes"


def _beside(span: _Span, source: _Source) -> str:
    """The sentences around a quote; with a short paragraph, such as an item of a list, its neighbours too."""
    paragraphs = source.paragraphs_around(span, 0)
    if count_words(paragraphs) < 40:
        return source.paragraphs_around(span, 1)
    return source.text_around(span, 1)


def _lengths_of_lists(text: str) -> set[float]:
    """How many things are named where things are listed ("a, b and c"), and two where both are spoken of."""
    lengths = {
        float(len(re.split(r", (?:and |or )?| and | or ", match.group())))
        for match in _LIST_OF.finditer(text)
    }
    if re.search(r"\b(?:both|pair|couple|either|neither|each other|two|second)\b", text, re.IGNORECASE):
        lengths.add(2.0)
    if re.search(r"\b(?:no|none|never|nothing|zero|not any)\b", text, re.IGNORECASE):
        lengths.add(0.0)
    return lengths


def _same(said: Number, there: Number) -> bool:
    """Whether two numbers are the same: 85 % is 0.85, half is 50 %, and what is said to be rounded may be."""
    if said.unit and there.unit and said.unit != there.unit:
        return False
    for value in _readings(there):
        for mine in _readings(said):
            if abs(mine - value) <= 1e-9 * max(1.0, abs(value)):
                return True
    rounded = said.about and said.percent == there.percent
    return rounded and round(there.value, said.decimals) == said.value


def _readings(number: Number) -> tuple[float, ...]:
    """The values that a number may stand for: a percentage is a share, and a share of one a percentage."""
    return (number.value, number.value / 100) if number.percent else (number.value,)


# --- Names --------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[A-Za-zÀ-ɏ0-9][\wÀ-ɏ]*(?:[-'.+&/][\wÀ-ɏ]+)*\+*")
_EVERYONES = frozenset("AI ML LLM NLP GPU CPU API ASCII JSON USD EUR US UK EU I".split())  # noqa: SIM905 - a list
_ACRONYM = re.compile(r"[A-Z]{2,6}s?")


def _names(sentence: str, spans: Iterable[_Span], source: _Source) -> Iterator[str]:
    """Names of a claim that stand neither around its quotes nor among the facts about the piece."""
    said = list(_names_in(sentence, source))
    if not said:
        return
    passage = f"{' '.join(source.paragraphs_around(span, 2) for span in spans)} {source.facts}"
    words = _words_of(passage)
    initials = "".join(word[0] for word in re.findall(r"[A-Za-z]+", passage)).casefold()
    for name in said:
        if _stands_in(name, words) or _is_short_for(name, initials):
            continue
        if _ACRONYM.fullmatch(name) and _stands_in(name, source.words):
            continue
        yield f"the name “{name}” does not stand around the quotes"


def _names_in(sentence: str, source: _Source) -> Iterator[str]:
    """What is written as a name: with a capital within a sentence or a word, or as letters with figures."""
    plain = plain_text(sentence)
    tokens = list(_TOKEN.finditer(plain))
    for position, match in enumerate(tokens):
        token = re.sub(r"'s?$", "", match.group())
        if token.rstrip("s") in _EVERYONES or _DIGITS.fullmatch(token):
            continue
        is_first = position == 0 or bool(re.search(r"[:.!?][\"')]* [\"'(]*$|[\"]$", plain[: match.start()]))
        if _is_odd(token) or (token[0].isupper() and (not is_first or _may_begin_as_name(token, source))):
            yield token


def _is_odd(token: str) -> bool:
    """Whether the letters alone show a name: LoRA, GPT-4, arXiv, o1."""
    parts = re.split(r"[-'./+&]", token)
    inner_capital = any(re.search(r"[^\W\d_].*[A-Z]|^[A-Z]{2,}", part) for part in parts)
    mixed = any(char.isdigit() for char in token) and any(char.isalpha() for char in token)
    return inner_capital or (mixed and not re.fullmatch(r"[\d.,]+[-\w]*", token))


def _may_begin_as_name(token: str, source: _Source) -> bool:
    """Whether a capital at the beginning of a sentence is more than that: the text has the word as a name
    only.
    """
    word = token.casefold()
    return word not in STOP_WORDS and word in source.capitalised and word not in source.lower


def _words_of(text: str) -> frozenset[str]:
    """The words of a text for comparing names: in small letters, whole and in their parts, without plural."""
    found: set[str] = set()
    for match in _TOKEN.finditer(text):
        token = re.sub(r"'s?$", "", match.group()).casefold()
        for form in (token, *re.split(r"[-'./+&]", token), re.sub(r"[-./]", "", token)):
            found |= {form, form.removesuffix("s")}
    return frozenset(found)


def _stands_in(name: str, words: frozenset[str]) -> bool:
    whole = name.casefold()
    if {whole, whole.removesuffix("s"), re.sub(r"[-./]", "", whole)} & words:
        return True
    parts = [
        part
        for part in re.split(r"[-'./+&]", name)
        if part[:1].isupper() or part[:1].isdigit() or _is_odd(part)
    ]
    if len(parts) > 1 or (parts and parts[0] != name):
        return all(_stands_in(part, words) for part in parts)
    return len(whole) >= 6 and whole.isalpha() and any(word[:5] == whole[:5] for word in words)


def _is_short_for(name: str, initials: str) -> bool:
    """Whether an acronym of three letters or more is the initials of words that follow each other."""
    letters = name.removesuffix("s").casefold()
    return bool(_ACRONYM.fullmatch(name)) and len(letters) >= 3 and letters in initials


# --- Polarity -----------------------------------------------------------------------------------------------------

_NOT = re.compile(
    r"\b(?:not|never|no|nor|neither|none|nothing|cannot|without)\b|n't\b|\bfail(?:s|ed)? to\b", re.IGNORECASE
)
_NOT_ONLY = re.compile(
    r"\b(?:not|n't) (?:only|just|merely|simply|solely|necessarily)\b|\bwhether or not\b|\bno (?:less|more|fewer) than\b|"
    r"\bno (?:doubt|longer|matter)\b|\bif not\b|\bor not\b|\bno\. ?\d",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:not|never|no|nor|neither|none|nothing|nobody|cannot|without|fail\w*|lack\w*|absen\w+|avoid\w*|prevent\w*|"
    r"un\w{4,}|in(?:ab|ad|ca|co|ef|ex|su|se|va)\w+|im(?:po|pr)\w+|dis\w{4,}|non\w*|mis\w{4,}|free|rather|instead|only|"
    r"barely|hardly|rarely|seldom|scarcely|little|few|fewer|less|least|lower|worse|drop\w*|los[est]\w*|eliminat\w*|"
    r"remov\w*|reject\w*|refus\w*|den(?:y|ies|ied)|deni\w+|ignor\w*|miss\w*|stop\w*|ceas\w*|same|equal\w*|zero|null|"
    r"neglig\w+|hard|difficult\w*|doubt\w*|contrary|wrong\w*|false\w*|however|but|although|though|despite|"
    r"except|exclud\w*|omit\w*|skip\w*|limit\w*|weak\w*|poor\w*|declin\w*|far from|too|yet|beyond|still|resist\w*|"
    r"independent\w*|regardless|unless|before|differ\w*|against|block\w*|forb\w+|keep\w*|kept|already|stay\w*|"
    r"remain\w*|flat|spar\w+|sub-?\w{5,}|under\w{4,}|surpris\w+|challeng\w+|separate\w*|mere\w*|simply|just|even)\b|n't\b",
    re.IGNORECASE,
)
"""Words that can say no without saying "not"; wide, so that what is left over has no way to mean no."""

_RISES = re.compile(
    r"\b(increas(?:e|es|ed|ing)|rais(?:e|es|ed|ing)|improv(?:e|es|ed|ing)|boost(?:s|ed|ing)?|enhanc(?:e|es|ed|ing)|"
    r"higher|better|more|greater|larger|stronger|longer|faster|outperform(?:s|ed)?)\b",
    re.IGNORECASE,
)
_FALLS = re.compile(
    r"\b(decreas(?:e|es|ed|ing)|reduc(?:e|es|ed|ing)|lower(?:s|ed|ing)?|degrad(?:e|es|ed|ing)|worsen(?:s|ed|ing)?|"
    r"hurt(?:s|ing)?|worse|less|fewer|smaller|weaker|shorter|slower|underperform(?:s|ed)?)\b",
    re.IGNORECASE,
)


def _polarity(claim: Claim, spans: Sequence[_Span], source: _Source) -> Iterator[str]:
    """A claim that says no where its passage has no way of saying so, or the other way round."""
    passage = " ".join(source.text_around(span, 0) for span in spans)
    around = " ".join(source.text_around(span, 1) for span in spans)
    sentence = plain_text(claim.sentence)
    denies = _NOT.search(_NOT_ONLY.sub(" ", sentence))
    if denies and not _DENIAL.search(around):
        yield f"says “{denies.group()}”, and the passage denies nothing"
    denied = None if _DENIAL.search(sentence) else _denied_word(_NOT_ONLY.sub(" ", passage), sentence)
    if denied:
        yield f"the passage says “{denied}”, and the claim does not"
    for turned in _turned(sentence, passage):
        yield f"says “{turned}”, and the passage says the opposite"


def _denied_word(passage: str, sentence: str) -> str:
    """A denial in the passage whose very verb or noun the claim takes up; empty when there is none."""
    said = {_stem(word) for word in sentences.content_words(sentence)}
    for match in _NOT.finditer(passage):
        following = re.match(r"(?:\W+[\w'-]+){0,4}", passage[match.end() :])
        words = [
            word for word in sentences.words(following.group() if following else "") if word not in STOP_WORDS
        ]
        overlap = len(said & {_stem(word) for word in sentences.content_words(passage)}) / max(1, len(said))
        if words and _stem(words[0]) in said and overlap >= 0.6:
            return f"{match.group()} ... {words[0]}"
    return ""


def _turned(sentence: str, passage: str) -> Iterator[str]:
    """Words of direction whose next word the passage has with the opposite direction only."""
    for mine, other in ((_RISES, _FALLS), (_FALLS, _RISES)):
        there, opposite = dict(_directed(passage, mine)), dict(_directed(passage, other))
        for word, direction in _directed(sentence, mine):
            if word in opposite and word not in there and not _DENIAL_OF_DIRECTION.search(passage):
                yield direction


_DENIAL_OF_DIRECTION = re.compile(
    r"\b(?:not|never|no|without|fail\w*|nor|than|instead|rather)\b|n't\b", re.IGNORECASE
)


def _directed(text: str, direction: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """(stem of the next word that says something, the word of direction) for each word of direction in a
    text.
    """
    for match in direction.finditer(text):
        following = sentences.content_words(text[match.end() : match.end() + 60].split(",")[0])
        if following:
            yield _stem(following[0]), match.group()


def _stem(word: str) -> str:
    """The beginning of a word that its forms share."""
    return word[:5] if len(word) > 5 else word


# --- Support ------------------------------------------------------------------------------------------------------


def _support(sentence: str, spans: Iterable[_Span], source: _Source) -> Iterator[str]:
    """A claim that shares next to no word with the passage that is to bear it out."""
    said = {_stem(word) for word in sentences.content_words(plain_text(sentence))}
    if len(said) < 4:
        return
    passage = f"{' '.join(source.paragraphs_around(span, 1) for span in spans)} {source.facts}"
    there = {_stem(word) for word in sentences.content_words(passage)}
    if len(said & there) / len(said) < 0.2:
        yield "has next to nothing in common with the passage it quotes"


# --- Who says it --------------------------------------------------------------------------------------------------

_PEOPLE = (
    r"(?:researchers?|scientists?|authors?|teams?|groups?|engineers?|staff|people|writers?|experts?|analysts?|"
    r"academics?|investigators?|folks|scholars?|developers?|editors?|those|work|labs?|collaborators?|colleagues?)"
)
_SAYS = (
    r"(?:finds?|found|shows?|showed|argues?|argued|reports?|reported|says?|said|claims?|claimed|proposes?|proposed|"
    r"introduces?|introduced|writes?|wrote|demonstrates?|demonstrated|presents?|presented|develops?|developed|"
    r"trains?|trained|tests?|tested|suggests?|suggested|describes?|described|releases?|released|stud(?:y|ies|ied)|"
    r"evaluates?|evaluated|measures?|measured|explores?|explored|examines?|examined|concludes?|concluded|"
    r"warns?|warned|notes?|noted|observes?|observed|believes?|believed|has|have|had|is|are|was|were|did|does|built|builds?|"
    r"discovered|discovers?|investigates?|investigated|used|uses?|makes?|made|offers?|offered|explains?|explained)"
)


def _misattributed(sentence: str, source: _Source) -> Iterator[str]:
    """A venue as the author of what it publishes."""
    plain = plain_text(sentence)
    for venue in source.venues:
        name = rf"(?:the )?{re.escape(venue)}(?:'s)?"
        wrong = re.search(
            rf"\b{_PEOPLE}\b[^.;]{{0,40}}?\b(?:at|from|of|with|for|behind|in|on|writing (?:for|in|on)) {name}(?!\w)"
            rf"|\b{name} (?:\w+ )?{_PEOPLE}\b|\b(?:by|according to|credit(?:s|ed)? to|from|with|at) {name}(?!\w)"
            rf"|(?<!in )(?<!on )(?<!to )\b{name}(?:,[^,]{{1,60}},)? (?:\w+ly )?{_SAYS}\b|{re.escape(venue)}'s\b",
            plain,
            re.IGNORECASE,
        )
        if wrong and wrong.group().casefold() not in source.text.casefold():
            yield f"“{wrong.group()}” makes the venue an author; it only publishes the piece"
            return


_ASCRIBED = re.compile(
    r"\b(?:(?:the|its|their|these|this|those) )?(?:authors?|paper|article|essay|post|study|piece|work|researchers|"
    r"researcher|source)(?:'s)? (?:(?:also|already|themselves|itself) )?"
    r"(?:find|found|show|argue|report|say|said|claim|propos|recommend|suggest|conclude|demonstrat|present|call|"
    r"advis|urge|note|describe|observe|releas|publish|provide|prove|introduce)\w*\b|\baccording to\b|"
    r"\b(?:they|he|she|we) (?:also )?(?:find|found|show|showed|argue|argued|report|reported|recommend\w*|suggest\w*|"
    r"propose\w*|conclude\w*)\b|\bas (?:shown|reported|proposed|recommended|suggested|described) (?:in|by)\b",
    re.IGNORECASE,
)


def _ascribed(sentence: str, source: _Source) -> Iterator[str]:
    """A suggestion of ours in somebody else's mouth."""
    plain = plain_text(sentence)
    found = _ASCRIBED.search(plain)
    if found:
        yield f"is our suggestion, and “{found.group()}” ascribes it to the piece"
    surnames = {plain_text(author).split()[-1] for author in source.piece.authors if author.strip()}
    for name in surnames:
        if len(name) > 2 and re.search(rf"\b{re.escape(name)}(?:'s)? (?:(?:and|et) \w+ )?{_SAYS}\b", plain):
            yield f"is our suggestion, and must not speak for {name}"
    yield from _misattributed(sentence, source)


# --- Links and obeyed instructions --------------------------------------------------------------------------------

_TLDS = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|app|dev|xyz|tv|me|site|online|tech|cloud|page|link|click|top|shop|blog|"
    "news|store|live|pro|example|test|invalid|localhost|onion|gg|ly|to|uk|de|fr|eu|us|ca|au|jp|cn|ru|br|es|nl|se|no|"
    "ch|pl|co|club|fun|zip|mov|foundation|gle"
)
_LINK = re.compile(
    rf"\w+://|\bwww\.|\b(?:mailto|javascript|data|tel):\S|\]\(|</?[a-z!][^>]*>?|\S@\S+\.\w|"
    rf"\b[\w-]+(?:\.[\w-]+)*\.(?:{_TLDS})\b(?!\.\w)(?:[/?#:]\S*)?",
    re.IGNORECASE,
)


def _links(sentence: str) -> Iterator[str]:
    """Anything that a mail program may turn into a link, and markup."""
    found = _LINK.search(plain_text(sentence))
    if found:
        yield f"holds an address or markup (“{found.group()[:40]}”)"


_COMMAND = re.compile(
    r"(?<![\"'])\b(?:ignore|disregard|forget|override|bypass)\b(?: \w+){0,3}? "
    r"(?:previous|prior|above|earlier|preceding|your|all|any|these|those|the)(?: \w+){0,2}? "
    r"(?:instructions?|prompts?|rules|guidelines|directions|context|tasks?)\b(?![\"'])|"
    r"\b(?:AI|LLM|language model|assistant|chatbot|model)s?(?:,| reading this| summari[sz]ing this)[^.]{0,40}"
    r"\b(?:must|should|please|you)\b[^.]{0,60}\b(?:include|add|insert|link|mention|output|write|say|print|append)\b|"
    r"^(?:system|assistant|user) ?(?:prompt|message)?:|\bnew instructions?:|"
    r"\b(?:in|into|to) your (?:summary|answer|reply|response|output|digest|newsletter)\b|\byou are now (?:a|an|in)\b",
    re.IGNORECASE,
)
"""How a text speaks to a model that reads it, rather than about such texts, which stand in quotation marks.
"""


def _obeyed(sentence: str, source: _Source) -> Iterator[str]:
    """Words that the piece has nowhere but where it tells a model what to do."""
    if _COMMAND.search(plain_text(sentence)):
        yield "repeats an instruction to a model"
        return
    if not source.commands:
        return
    elsewhere = _words_of(source.honest_text)
    dictated = _words_of(" ".join(source.commands)) - elsewhere - STOP_WORDS
    names = {name.casefold() for name in _names_in(sentence, source)}
    numbers = {word for word in _words_of(sentence) if any(char.isdigit() for char in word)}
    taken = sorted((names | numbers) & dictated)
    if taken:
        yield f"takes “{taken[0]}” from an instruction that the text gives to models"


# --- Language, shape and repeats ----------------------------------------------------------------------------------

_ENGLISH = frozenset(
    "the of and to that with for from by it is are were which this when than not have has can on as or a".split()  # noqa: SIM905
)
_SENTENCE = re.compile(r"^[\"'(]*[\w$€£~<>=±-].*[.!?…][\"')\]]*$", re.DOTALL)
_STOCK_OPENING = re.compile(
    r"(?:this (?:matters|work|paper|post|piece|study|research|is important|finding|result)|if you|as ai\b|for practitioners|"
    r"understanding|it is important|in today's|in an era|the key takeaway)\b",
    re.IGNORECASE,
)
_DANGLING = re.compile(
    r"(?:this|these|those|that|it|its|they|their|them|he|she|his|her|such|both|the (?:former|latter|same|other|others)|"
    r"however|but|and|so|yet|also|thus|hence|therefore|moreover|furthermore|instead|rather|still|then|conversely|"
    r"likewise|similarly|by contrast|in contrast|nevertheless|nonetheless|otherwise|another|others|again|even so)\b",
    re.IGNORECASE,
)


def _foreign(sentence: str, language: str) -> Iterator[str]:
    """A sentence that is not in the newsletter's language, as far as that can be told: for English only."""
    letters = [char for char in sentence if char.isalpha()]
    if not letters or not language.startswith("en"):
        return
    words = sentences.words(sentence)
    if sum(char > "\u024f" for char in letters) > len(letters) / 2 or (
        len(words) >= 10 and not _ENGLISH.intersection(words)
    ):
        yield "is not in English"


def _misshapen(sentence: str) -> Iterator[str]:
    if (
        not _SENTENCE.match(sentence.strip())
        or (sentence.strip()[:1].islower()
        and not _is_odd(sentence.split()[0]))
    ):
        yield "is no whole sentence"
    if count_words(sentence) > MOST_SENTENCE_WORDS:
        yield f"has more than {MOST_SENTENCE_WORDS} words"
    if re.search(r"[*_`#]{2,}|^\s*[-*•]", sentence):
        yield "holds markup"


def _repeats(places: Sequence[_Place]) -> Iterator[Finding]:
    """Claims that say again what an earlier one says in nearly the same words."""
    earlier: list[frozenset[str]] = []
    for place in places:
        words = frozenset(map(_stem, sentences.content_words(plain_text(place.claim.sentence))))
        if any(len(words & other) >= 0.8 * len(words | other) for other in earlier if words):
            yield place.finding(Fault.REPEAT, "says again what was said before")
        earlier.append(words)


_HEDGE = re.compile(
    r"\b(?:may|might|could|perhaps|possibly|probably|likely|unlikely|suggests?|suggested|suggesting|seems?|seemed|"
    r"appears? to|appeared to|preliminary|tentative\w*|speculat\w+|we (?:think|believe|suspect|expect|hope|guess)|"
    r"i (?:think|believe|suspect|expect|hope|guess)|hypothesi[sz]e\w*|not (?:clear|certain|sure)|unclear|"
    r"uncertain\w*|in (?:some|most|many) \w+|some(?:times|what)?)\b",
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r"\b(?:limit\w*|caveats?|only|not|no|cannot|n't|without|unclear|unknown|fail\w*|however|but|although|though|"
    r"despite|except|however|weakness\w*|drawbacks?|small|single|just|never|did not|remain\w*)\b|n't\b",
    re.IGNORECASE,
)
_STATED_LIMIT = re.compile(
    r"\b(?:limitations?|caveats?|we (?:did|do|have) not|only (?:test|evaluat|stud|consider)\w*|future work|"
    r"small sample|may not generali[sz]e|not (?:test|evaluat)\w*|negative results?)\b",
    re.IGNORECASE,
)


def _limits(places: Sequence[_Place], source: _Source) -> Iterator[Finding]:
    """Whether the summary leaves out all the limits that the piece states."""
    stated = _STATED_LIMIT.search(source.text)
    claims = [place.claim for place in places if not place.spec.is_suggestion]
    if stated and claims and not any(_LIMIT.search(plain_text(claim.sentence)) for claim in claims):
        yield Finding(Fault.LIMITS, f"the piece states limits (“{stated.group()}”), and the summary none")


# --- What is left -------------------------------------------------------------------------------------------------


def _settle_section(
    section: Section,
    spec: SectionSpec,
    failed: set[tuple[str, int, int]],
    doubtful: set[tuple[str, int]],
) -> Section | None:
    """A section without what failed, cut to what is published; None when it does not stand any more."""
    kept = [
        (number, left)
        for number, block in enumerate(section.blocks)
        if (
            left := _what_is_left(
                block, [(section.key, number, place) in failed for place in range(len(block))]
            )
        )
    ]
    before, after = (sum(map(len, blocks)) for blocks in (section.blocks, [block for _, block in kept]))
    if spec.shape == SectionShape.LIST:
        best = sorted(kept, key=lambda item: (section.key, item[0]) in doubtful)[: spec.published]
        kept = sorted(best, key=lambda item: item[0])
    elif after * 2 < before:
        return None
    kept = kept[: spec.published]
    blocks = tuple(block for _, block in kept)
    return replace(section, blocks=blocks) if len(blocks) >= max(1, spec.least) else None


def _what_is_left(block: Sequence[Claim], failed: Sequence[bool]) -> tuple[Claim, ...]:
    """The claims of a block that stand, without those that hang on one that went."""
    left: list[Claim] = []
    is_cut = False
    for claim, is_failed in zip(block, failed, strict=True):
        is_cut = is_failed or (is_cut and bool(_DANGLING.match(claim.sentence)))
        if not is_cut:
            left.append(claim)
    return tuple(left)
