"""Whether the numbers of a claim stand beside its quotes, as they are or as what follows from them.

What follows is what a careful writer does in the head: rounding ("some 1,500" of 1,486), saying a share in
another way ("one in three"), and the difference, the change or the ratio of two numbers that are quoted.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from newsletter.grounding.numbers import Exactness, Number, is_count, numbers_in, shares_in, years_in
from newsletter.grounding.source import Source, Span, plain_text
from newsletter.values import count_words

RATIO_TOLERANCE = 0.02
"""How far a ratio that is not said to be rounded may be from that of the passage."""

ABOUT_RATIO, ABOUT_NUMBER = 0.1, 0.05
"""How far a ratio ("about a third"), and a number ("about 1,500"), may be that is said to be rounded."""

BOUND_RATIO, BOUND_NUMBER = 0.25, 0.2
"""How far behind what is said to be more ("over half") or less than something may be from that."""

LEAST_WHOLE = 10
"""A percentage of fewer things than this is hardly ever worked out."""

MOST_AMOUNTS = 40
"""With more numbers than this, as a table has, something always follows from two of them."""

CALENDAR_TOLERANCE = 0.02
"""Three months are 90 days."""

SHORT_PARAGRAPH_WORDS = 40
"""A paragraph below this, such as an item of a list, is read together with its neighbours."""

_SIZES = {
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
_LEFT_OUT = {"decades": 10.0, "centuries": 100.0}
"""Years in units that stand for years: "a decade" of "ten", the years having been named before."""
_LISTED = re.compile(r"\w[^,.;:()]{0,80}(?:, [^,.;:()]{1,80})+,? (?:and|or) \w")
_HELD_AGAINST = re.compile(r"\b(?:consistent with|from|than|above|below|includ\w+|around) $", re.IGNORECASE)
_BOTH = re.compile(r"\b(?:both|pair|couple|either|neither|each other|second)\b", re.IGNORECASE)
_NONE = re.compile(r"\b(?:no|none|never|nothing)\b|\bnot any\b", re.IGNORECASE)


def unfounded_numbers(sentence: str, spans: Sequence[Span], source: Source) -> Iterator[str]:
    """The numbers of a claim, as written, that do not stand beside its quotes (at ``spans``).

    A figure must stand in the very sentences that are quoted or follow from two that do, a number in words
    may also stand in the ones around. Where the quoted sentences count the same things ("six points"), they
    must count them alike.
    """
    said = list(numbers_in(sentence))
    if not said:
        return
    quoted = [source.sentences_around(span, 0) for span in spans]
    there = list(numbers_in(" . ".join((*quoted, source.facts)), every_one=True))
    amounts = [number for text in quoted for number in (*numbers_in(text, every_one=True), *shares_in(text))]
    if len(amounts) > MOST_AMOUNTS:
        amounts = []
    around = " ".join(_beside(span, source) for span in spans)
    nearby = list(numbers_in(around, every_one=True))
    section = " ".join(source.paragraphs_around(span, 1) for span in spans)
    further = list(numbers_in(section))
    counts = _counts(around)
    shares = [share for share in shares_in(sentence, round_only=True) if _follows_from(share, amounts, further)]
    for number in said:
        if _is_mark(number, sentence) or any(share.start <= number.start < share.end for share in shares):
            continue
        alike = [other for other in nearby if _same(number, other)]
        is_near = bool(alike) if is_count(number) else any(number.things & other.things for other in alike)
        is_near = is_near or (is_count(number) and (number.is_recalled or number.value in counts))
        is_near = is_near or (is_count(number) and any(_counts_alike(number, other) for other in further))
        is_near = is_near or (number.is_recalled and any(number.value == other.value for other in further))
        is_there = any(_same(number, other) for other in there)
        is_there = is_there or _follows_from(number, amounts, further) or _is_span_of(number, quoted)
        if not is_there and (not is_near or _counted_otherwise(number, there)):
            yield number.written.strip()


def _is_mark(number: Number, sentence: str) -> bool:
    """Whether a nought is no amount but what others are held against: "indistinguishable from zero"."""
    return number.value == 0 and bool(_HELD_AGAINST.search(plain_text(sentence)[: number.start]))


def _counted_otherwise(said: Number, there: Iterable[Number]) -> bool:
    """Whether the quoted sentences count the same things, and come to other numbers."""
    return any(said.things & other.things for other in there)


def _beside(span: Span, source: Source) -> str:
    """The sentences around a quote; with a short paragraph, its neighbours too."""
    if count_words(source.paragraphs_around(span, 0)) < SHORT_PARAGRAPH_WORDS:
        return source.paragraphs_around(span, 1)
    return source.sentences_around(span, 1)


def _counts_alike(one: Number, other: Number) -> bool:
    """Whether two numbers count the same things, and come to the same."""
    return one.value == other.value and bool(one.things & other.things)


def _counts(passage: str) -> set[float]:
    """Small numbers that a claim may count by: those of the passage, how many things it lists ("a, b and
    c"), two where it speaks of both, and zero where of none.
    """
    lists = (match.group() for match in _LISTED.finditer(passage))
    counts = {float(len(re.split(r",? (?:and|or) |, ", one))) for one in lists}
    counts |= {number.value for number in numbers_in(passage) if is_count(number)}
    counts |= {2.0} if _BOTH.search(passage) else set()
    return counts | ({0.0} if _NONE.search(passage) else set())


def _same(said: Number, there: Number) -> bool:
    """Whether two numbers are the same: 85 % is 0.85, half is 50 %, and what is said to be rounded may be."""
    if said.unit and there.unit and said.unit != there.unit:
        mine, other = (number.value * _SIZES.get(number.unit, 0.0) for number in (said, there))
        return other > 0 and abs(mine - other) <= CALENDAR_TOLERANCE * other
    if (said.is_percent and said.written[0].isdigit() and is_count(there)) or (said.unit and _is_year(there)):
        return False
    pairs = itertools.product(_readings(said), _readings(there))
    if any(abs(mine - value) <= 1e-9 * max(1.0, abs(value)) for mine, value in pairs):
        return True
    if said.is_percent == there.is_percent and said.is_ratio == there.is_ratio:
        return _agrees(said, there.value)
    if said.is_ratio and there.is_percent:
        return _agrees(said, there.value / 100)
    if said.is_percent and there.is_ratio:
        return _agrees(said, there.value * 100) or _rounds_to(said, there.value * 100)
    return False


def _is_year(number: Number) -> bool:
    """Whether a number is likely to be a year."""
    return bool(re.fullmatch(r"(?:1[5-9]|20)\d\d", number.written)) and not number.unit


def _readings(number: Number) -> tuple[float, ...]:
    """The values that a number may stand for: a percentage is a share of one, too, and a scale may be lent."""
    lent = (number.value * number.borrowed,) if number.borrowed != 1 else ()
    years = (number.value * _LEFT_OUT[number.unit],) if number.unit in _LEFT_OUT else ()
    return (number.value, number.value / 100) if number.is_percent else (number.value, *lent, *years)


def _agrees(said: Number, value: float) -> bool:
    """Whether a number may be said of a value, as exactly as it is said to be meant."""
    size = abs(said.value)
    if said.is_ratio:
        near, far = ABOUT_RATIO * size, BOUND_RATIO * size
    else:
        near = max(0.5 * min(said.grain, 1.0), min(said.grain / 2, ABOUT_NUMBER * size))
        far = max(min(said.grain, 1.0), min(said.grain, BOUND_NUMBER * size))
    more, slack = value - said.value, 1e-9 * max(1.0, abs(value))
    match said.exactness:
        case Exactness.ABOUT:
            return abs(more) <= near + slack
        case Exactness.NEARLY:
            return -near - slack <= more <= 0.5 * min(said.grain, 1.0) * (not said.is_ratio) + slack
        case Exactness.OVER:
            return -slack <= more <= far + slack
        case Exactness.UNDER:
            return -far - slack <= more <= slack
        case Exactness.EXACT:
            return said.is_ratio and abs(more) <= RATIO_TOLERANCE * size


def _rounds_to(said: Number, value: float) -> bool:
    """Whether a value, rounded to the places that a number is said with, is that number."""
    return abs(value - said.value) <= min(0.5 * said.grain, ABOUT_RATIO * said.value) * (1 + 1e-9)


def _follows_from(said: Number, amounts: Sequence[Number], further: Sequence[Number]) -> bool:
    """Whether a number is a share that is said otherwise, or follows from two of the quoted amounts."""
    if any(other.is_ratio and _same(said, other) for other in amounts):
        return True
    if said.is_ratio:
        is_there = any(_same(said, other) for other in amounts) or _is_ratio_of(said, amounts, further)
        return is_there or (said.is_change and any(_agrees(said, change) for change in _changes(amounts)))
    if said.is_change:
        return _is_change_of(said, amounts)
    return said.is_percent and _is_share_of(said, amounts)


def _is_ratio_of(said: Number, amounts: Sequence[Number], further: Sequence[Number]) -> bool:
    """Whether two quoted amounts are to each other as 1 to this number: 150 of 600 is a quarter.

    One of the same unit may stand further away ("doubled to 90 minutes", and 45 minutes a paragraph before). What
    is 60 % more is 1.6 times as much. Of percentages, thirds and fifths are rarely meant.
    """
    is_common = said.value >= 1 or said.value == 0.5
    others = [(one, two) for one in amounts for two in further if one.unit and one.unit == two.unit]
    pairs = (*itertools.permutations(amounts, 2), *others, *((two, one) for one, two in others))
    alike = (pair for pair in pairs if _are_alike(*pair) and (is_common or not pair[0].is_percent))
    ratios = [mine.value / other.value for mine, other in alike if other.value > 0]
    grown = [1 + sign * one.value / 100 for one in amounts if one.is_percent and one.is_change for sign in (1, -1)]
    return any(_agrees(said, value) or abs(value - said.value) <= 1e-9 for value in (*ratios, *grown))


def _is_change_of(said: Number, amounts: Sequence[Number]) -> bool:
    """Whether two amounts differ by this number, or by this percentage of one of them. Points may be of percent."""
    pairs = [(one, two) for one, two in itertools.permutations(amounts, 2) if _are_alike(one, two)]
    steps = [abs(one.value - two.value) for one, two in pairs if one.is_percent or not said.is_percent]
    changes = [100 * change for change in _changes(amounts)] if said.is_percent else []
    return any(_agrees(said, value) or _rounds_to(said, value) for value in changes) or any(
        _agrees(said, value) or abs(value - said.value) <= 1e-6 * max(1.0, said.value) for value in steps if value
    )


def _changes(amounts: Sequence[Number]) -> list[float]:
    """By what part of it each amount differs from each that is like it: from 16 to 4 it is 0.75."""
    pairs = ((one, two) for one, two in itertools.permutations(amounts, 2) if _are_alike(one, two) and one.value > 0)
    return [abs(one.value - two.value) / one.value for one, two in pairs]


def _is_share_of(said: Number, amounts: Iterable[Number]) -> bool:
    """Whether a percentage is that of one count among another: 5 of 200 are 2.5 %."""
    whole = [one for one in amounts if one.value == int(one.value) and not (one.is_percent or one.is_ratio or one.unit)]
    pairs = ((one.value, two.value) for one, two in itertools.permutations(whole, 2))
    shares = [100 * one / two for one, two in pairs if 0 < one < two and two >= LEAST_WHOLE]
    return any(_agrees(said, share) or _rounds_to(said, share) for share in shares)


def _are_alike(one: Number, other: Number) -> bool:
    """Whether two amounts can be set against each other: both in percent or neither, and in the same unit."""
    is_one_kind = one.is_percent == other.is_percent and not one.is_ratio and not other.is_ratio
    return is_one_kind and (not one.unit or not other.unit or one.unit == other.unit)


def _is_span_of(said: Number, quoted: Iterable[str]) -> bool:
    """Whether a time is the one between two dates of the quoted sentences."""
    if said.unit not in ("months", "years", "decades"):
        return False
    years = years_in(" . ".join(quoted))
    length = said.value * _SIZES[said.unit] / _SIZES["years"]
    spans = [abs(one - two) for one, two in itertools.combinations(years, 2)]
    return any(abs(span - length) <= ABOUT_NUMBER * length for span in spans)
