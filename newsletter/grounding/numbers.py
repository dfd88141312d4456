"""Numbers of a claim, in figures and in words, and whether they stand beside its quotes."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from newsletter.grounding.source import Source, Span, plain_text
from newsletter.sentences import content_words
from newsletter.values import count_words

RATIO_TOLERANCE = 0.02
"""How far a ratio in words may be from that of two numbers of the passage."""

SHORT_PARAGRAPH_WORDS = 40
"""A paragraph below this, such as an item of a list, is read together with its neighbours."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text.

    ``value`` is what it comes to, scale included (2 million is 2e6) and percent sign left aside; ``unit``
    is one of a few known ones, or empty. ``decimals`` are the places behind the point. ``is_about`` numbers
    are said to be rounded ("about 60"); ``is_recalled`` ones count what was spoken of before ("the two
    methods"), and are no news.
    """

    value: float
    written: str
    is_percent: bool = False
    unit: str = ""
    decimals: int = 0
    is_about: bool = False
    is_recalled: bool = False
    is_ratio: bool = False
    borrowed: float = 1.0
    things: frozenset[str] = frozenset()


_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_LETTER_SCALES = {"k": 1e3, "K": 1e3, "M": 1e6, "m": 1e6, "B": 1e9, "b": 1e9, "bn": 1e9, "T": 1e12}
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_SMALL_NAMES = f"zero one two three four five six seven eight nine {_TEENS}".split()
_ORDINAL_NAMES = "first second third fourth fifth sixth seventh eighth ninth".split()  # noqa: SIM905
_SMALL = {name: float(value) for value, name in enumerate(_SMALL_NAMES)}
_TENS_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905 - easier to read
_TENS = {name: 10.0 * tens for tens, name in enumerate(_TENS_NAMES, 2)}
_PARTS = {"hal": 2, "thi": 3, "qua": 4, "fou": 4, "fif": 5, "ten": 10}
_FOLDS = {"twi": 2, "two": 2, "dou": 2, "tri": 3, "thr": 3, "qua": 4, "fiv": 5, "ten": 10}
_UNITS = {
    **dict.fromkeys(("ms", "millisecond"), "milliseconds"),
    **dict.fromkeys(("s", "sec", "second"), "seconds"),
    **dict.fromkeys(("min", "minute"), "minutes"),
    **dict.fromkeys(("h", "hour"), "hours"),
    **{name: f"{name}s" for name in ("day", "week", "month", "year", "token", "epoch", "step", "layer")},
    **dict.fromkeys(("century", "centurie"), "centuries"),
    "decade": "decades",
    **{name: name for name in ("kb", "mb", "gb", "tb")},
}
_TIMES = {
    "milliseconds": 0.001,
    "seconds": 1.0,
    "minutes": 60.0,
    "hours": 3600.0,
    "days": 86_400.0,
    "weeks": 604_800.0,
    "months": 365.25 / 12 * 86_400,
    "years": 365.25 * 86_400,
    "decades": 3652.5 * 86_400,
    "centuries": 36_525.0 * 86_400,
}
"""Units of time in seconds: a quarter of an hour is 15 minutes, a decade ten years."""
_SCALE = r"(?P<scale>hundred|thousand|million|billion|trillion)\b"
_PERCENT = r"(?P<percent>\s?%|[ -]percent\b|\sper\s?cent\b|[ -]percentage[ -]points?\b|\s?pp\b)?"
_FIGURES = re.compile(
    r"(?<![\w.^])(?<![A-Za-z]-)(?<!\d,)"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\.\d+|\d+)"
    r"(?:e(?P<exponent>[+-]?\d{1,2})|\^(?P<power>-?\d{1,2}))?"
    r"(?:/(?P<below>\d+)(?![/\d]))?"
    rf"(?:(?P<letter>k|K|M|m|B|b|bn|T)(?!\w)|[ -]?{_SCALE})?{_PERCENT}"
    r"(?:x\b|\u00d7|st\b|nd\b|rd\b|th\b|s\b)?(?![A-Za-z])"
)
_WORDED = re.compile(
    rf"\b(?P<tens>{'|'.join(_TENS)})(?:[ -](?P<ones>{'|'.join((*_SMALL_NAMES[1:10], *_ORDINAL_NAMES))})\b)?|"
    rf"\b(?P<small>{'|'.join(_SMALL)})\b(?:[ -](?P<part>half|halves|thirds?|quarters?|fourths?|fifths?|"
    rf"tenths?)\b)?|"
    r"\b(?P<scaled>half a|a single|single|a|an)(?= (?:hundred|thousand|million|billion|trillion)\b)|"
    r"\b(?P<half>half|halves|halv(?:ed|ing))\b|\ban? (?P<fraction>third|quarter|fourth|fifth|tenth)\b|"
    r"\b(?P<dozen>dozen)\b|\ban? (?P<period>decade|century)\b|"
    r"\b(?P<fold>twice|doubl(?:e|es|ed|ing)|tripl(?:e|es|ed|ing)|thrice|quadrupl(?:e|es|ed|ing)|"
    r"(?:two|three|five|ten)fold)\b",
    re.IGNORECASE,
)
_ORDINALS = {name: float(value) for value, name in enumerate(_ORDINAL_NAMES, 1)}
_BORROWS = re.compile(rf" (?:to|and|or) [$\u20ac\u00a3]?\d[\d,.]*[ -]?{_SCALE}")
_AFTER_WORDS = re.compile(rf"(?:[ -]{_SCALE})?{_PERCENT}", re.IGNORECASE)
_ABOUT = re.compile(
    r"(?:about|around|roughly|approximately|nearly|almost|over|under|some|(?:more|less|fewer) than|"
    r"at (?:least|most)|up to|close to|just|~|\u2248)\s*[$\u20ac\u00a3]?$",
    re.IGNORECASE,
)
_NAME_BEGUN = re.compile(r"[A-Za-z][\w.]*-$")
_RECALLS = re.compile(r"\b(?:the|these|those|their|its|all|other) $", re.IGNORECASE)
_LISTED = re.compile(r"\w[^,.;:()]*(?:, [^,.;:()]+)+,? (?:and|or) \w")
_BOTH = re.compile(r"\b(?:both|pair|couple|either|neither|each other|second)\b", re.IGNORECASE)
_NONE = re.compile(r"\b(?:no|none|never|nothing)\b|\bnot any\b", re.IGNORECASE)


def numbers_in(text: str, *, every_one: bool = False) -> Iterator[Number]:
    """The numbers of a text. Figures that are part of a name (GPT-4, o1) are none.

    ``every_one``: also "one", which is rarely meant as a number.
    """
    plain = plain_text(text)
    for match in _FIGURES.finditer(plain):
        if not _follows(_NAME_BEGUN, plain, match.start()):
            yield _from_figures(match, plain)
    for match in _WORDED.finditer(plain):
        number = _from_words(match, plain)
        if every_one or number.written.lower() != "one":
            yield number


def is_figures(token: str) -> bool:
    """Whether a token is a number in figures, suffix included: 1990s, 8B, 3rd."""
    return bool(_FIGURES.fullmatch(token))


def unfounded_numbers(sentence: str, spans: Sequence[Span], source: Source) -> Iterator[str]:
    """The numbers of a claim, as written, that do not stand beside its quotes (at ``spans``).

    A figure must stand in the very sentences that are quoted, a number in words may also stand in the ones
    around. Where the quoted sentences count the same things ("six points"), they must count them alike.
    """
    said = list(numbers_in(sentence))
    if not said:
        return
    quoted = " ".join(source.sentences_around(span, 0) for span in spans)
    there = list(numbers_in(f"{quoted} . {source.facts}", every_one=True))
    around = " ".join(_beside(span, source) for span in spans)
    nearby = list(numbers_in(around, every_one=True))
    section = " ".join(source.paragraphs_around(span, 1) for span in spans)
    counts, spoken_of = _counts(around, section), {number.value for number in numbers_in(section)}
    for number in said:
        is_count = number.written.lower() in _SMALL
        is_there = any(_same(number, other) for other in there)
        alike = [other for other in nearby if _same(number, other)]
        is_near = bool(alike) if is_count else any(number.things & other.things for other in alike)
        is_near = is_near or (is_count and (number.is_recalled or number.value in counts))
        is_near = is_near or (number.is_recalled and number.value in spoken_of)
        is_there = is_there or (number.is_ratio and _is_ratio_of(number.value, there))
        if not is_there and (not is_near or _counted_otherwise(number, there)):
            yield number.written.strip()


def _is_ratio_of(value: float, numbers: Iterable[Number]) -> bool:
    """Whether two of the numbers are to each other as 1 to this value: 150 of 600 is a quarter."""
    values = sorted({number.value for number in numbers if number.value > 0})
    pairs = itertools.permutations(values, 2)
    return any(abs(mine / other - value) <= RATIO_TOLERANCE * value for mine, other in pairs)


def _counted_otherwise(said: Number, there: Iterable[Number]) -> bool:
    """Whether the quoted sentences count the same things, and come to other numbers."""
    return any(said.things & other.things for other in there)


def _from_figures(match: re.Match[str], text: str) -> Number:
    digits = match["digits"].replace(",", "")
    value = float(digits)
    if match["exponent"]:
        value *= 10.0 ** int(match["exponent"])
    if match["power"] and value:
        value = float(min(value, 1e6) ** int(match["power"]))
    if match["below"] and float(match["below"]):
        value /= float(match["below"])
    scale, borrowed = match["letter"] or match["scale"], _BORROWS.match(text, match.end())
    return Number(
        value * _LETTER_SCALES.get(match["letter"] or "", 1) * _SCALES.get(match["scale"] or "", 1),
        match.group(),
        is_percent=bool(match["percent"]),
        unit=_unit_at(text, match.end()),
        decimals=len(digits.partition(".")[2]),
        is_about=_follows(_ABOUT, text, match.start()),
        is_recalled=_follows(_RECALLS, text, match.start()),
        borrowed=_SCALES[borrowed["scale"]] if borrowed and not scale else 1.0,
        things=_things_at(text, match.end()),
    )


def _from_words(match: re.Match[str], text: str) -> Number:
    after = _AFTER_WORDS.match(text, match.end())
    scale, percent = (after["scale"] or "", after["percent"]) if after else ("", None)
    end = after.end() if after else match.end()
    return Number(
        _value_of(match) * _SCALES.get(scale.lower(), 1),
        text[match.start() : end],
        is_percent=bool(percent),
        unit=_UNITS[match["period"].lower()] if match["period"] else _unit_at(text, end),
        is_about=_follows(_ABOUT, text, match.start()),
        is_ratio=bool(match["half"] or match["fraction"] or match["fold"]),
        is_recalled=bool(match["small"]) and _follows(_RECALLS, text, match.start()),
        things=_things_at(text, end),
    )


def _value_of(match: re.Match[str]) -> float:
    word = match.group().lower()
    if match["tens"]:
        return _TENS[match["tens"].lower()] + {**_SMALL, **_ORDINALS}[(match["ones"] or "zero").lower()]
    if match["small"]:
        return _SMALL[match["small"].lower()] / _PARTS.get((match["part"] or "")[:3].lower(), 1)
    if match["fraction"]:
        return 1 / _PARTS[match["fraction"][:3].lower()]
    if match["half"] or match["scaled"] or match["period"]:
        return 0.5 if word.startswith("hal") else 1.0
    return 12.0 if match["dozen"] else float(_FOLDS[word[:3]])


def _unit_at(text: str, end: int) -> str:
    """The unit that follows a number, when it is a known one."""
    word = re.match(r"(?:(?: of)? an?)?[ -]?([A-Za-z]+)", text[end : end + 24])
    name = word.group(1).lower() if word else ""
    return _UNITS.get(name) or _UNITS.get(name.removesuffix("s"), "")


def _things_at(text: str, end: int) -> frozenset[str]:
    """What may be counted by a number that ends there: the next two words that say something, by their
    beginnings.
    """
    following = re.match(r"(?:[ -][A-Za-z'-]+){0,3}", text[end : end + 40])
    return frozenset(word[:5] for word in content_words(following.group() if following else "")[:2])


def _follows(pattern: re.Pattern[str], text: str, start: int) -> bool:
    return bool(pattern.search(text[max(0, start - 16) : start]))


def _beside(span: Span, source: Source) -> str:
    """The sentences around a quote; with a short paragraph, its neighbours too."""
    if count_words(source.paragraphs_around(span, 0)) < SHORT_PARAGRAPH_WORDS:
        return source.paragraphs_around(span, 1)
    return source.sentences_around(span, 1)


def _counts(passage: str, section: str) -> set[float]:
    """Small numbers that a claim may count by: those of the section, how many things the passage lists ("a,
    b and c"), two where it speaks of both, and zero where of none.
    """
    lists = (match.group() for match in _LISTED.finditer(passage))
    counts = {float(len(re.split(r",? (?:and|or) |, ", one))) for one in lists}
    counts |= {number.value for number in numbers_in(section) if number.written.lower() in _SMALL}
    counts |= {2.0} if _BOTH.search(passage) else set()
    return counts | ({0.0} if _NONE.search(passage) else set())


def _same(said: Number, there: Number) -> bool:
    """Whether two numbers are the same: 85 % is 0.85, half is 50 %, and what is said to be rounded may be."""
    if said.unit and there.unit and said.unit != there.unit:
        times = [number.value * _TIMES.get(number.unit, math.nan) for number in (said, there)]
        return abs(times[0] - times[1]) <= 1e-6 * times[1]
    pairs = ((mine, value) for mine in _readings(said) for value in _readings(there))
    if any(abs(mine - value) <= 1e-9 * max(1.0, abs(value)) for mine, value in pairs):
        return True
    is_rounding = abs(there.value - said.value) <= 0.5000001 * 10.0**-said.decimals
    return said.is_about and said.is_percent == there.is_percent and is_rounding


def _readings(number: Number) -> tuple[float, ...]:
    """The values that a number may stand for: a percentage is a share of one, too, and a scale may be lent."""
    lent = (number.value * number.borrowed,) if number.borrowed != 1 else ()
    return (number.value, number.value / 100) if number.is_percent else (number.value, *lent)
