"""Numbers of a text, in figures and in words: what each comes to, its unit, and how exactly it is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from newsletter.grounding.source import plain_text
from newsletter.sentences import content_words


class Exactness(StrEnum):
    """How exactly a number is said to be meant."""

    EXACT = ""
    ABOUT = "about"
    NEARLY = "nearly"
    OVER = "over"
    UNDER = "under"


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text.

    ``value`` is what it comes to, scale included (2 million is 2e6) and percent sign left aside; ``unit``
    is one of a few known ones, or empty. ``grain`` is the worth of its last figure that is not a nought: it
    may have been rounded to that. ``start`` and ``end`` are where it stands in the plain text.
    ``is_recalled`` numbers count what was spoken of before ("the two methods"), and are no news;
    ``is_ratio`` ones set two amounts against each other ("half", "twice", "three in ten"); ``is_change``
    ones say by how much something differs or has changed ("by 12 points", "4% more").
    """

    value: float
    written: str
    start: int = 0
    end: int = 0
    is_percent: bool = False
    unit: str = ""
    grain: float = 1.0
    exactness: Exactness = Exactness.EXACT
    is_recalled: bool = False
    is_ratio: bool = False
    is_change: bool = False
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
_PARTS = {
    "hal": 2,
    "thi": 3,
    "qua": 4,
    "fou": 4,
    "fif": 5,
    "six": 6,
    "sev": 7,
    "eig": 8,
    "nin": 9,
    "ten": 10,
    "hun": 100,
    "tho": 1000,
}
_FOLDS = {"twi": 2, "dou": 2, "tri": 3, "thr": 3, "qua": 4}
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
_PERIODS = ("year", "month", "week", "day", "hour", "decade", "century")
_SCALE = r"(?P<scale>hundred|thousand|million|billion|trillion)\b"
_PERCENT = r"(?P<percent>\s?%|[ -]percent\b|\sper\s?cent\b|[ -]percentage[ -]points?\b|\s?pp\b)?"
_FIGURES = re.compile(
    r"(?<![\w.^])(?<![A-Za-z]-)(?<!\d,)(?<!\^-)"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\.\d+|\d+)"
    r"(?:e(?P<exponent>[+-]?\d{1,2})|\^(?P<power>-?\d{1,2}))?"
    r"(?:/(?P<below>\d+)(?![/\d]))?"
    rf"(?:(?P<letter>k|K|M|m|B|b|bn|T)(?!\w)|[ -]?{_SCALE})?{_PERCENT}"
    r"(?:x\b|\u00d7|st\b|nd\b|rd\b|th\b|s\b)?(?![A-Za-z])"
)
_WORDED = re.compile(
    rf"\b(?P<fold>twice|doubl(?:e|es|ed|ing)|tripl(?:e|es|ed|ing)|thrice|quadrupl(?:e|es|ed|ing))\b|"
    rf"\b(?P<folds>{'|'.join((*_SMALL_NAMES[2:], *_TENS))})-?fold\b|"
    rf"\ban? (?P<and_half>{'|'.join(_PERIODS)}) and a half\b|"
    rf"\b(?P<tens>{'|'.join(_TENS)})(?:[ -](?P<ones>{'|'.join((*_SMALL_NAMES[1:10], *_ORDINAL_NAMES))})\b)?|"
    rf"\b(?P<small>{'|'.join(_SMALL)})\b(?:[ -](?P<part>half|halves|thirds?|quarters?|fourths?|fifths?|sixths?|"
    rf"sevenths?|eighths?|ninths?|tenths?|hundredths?|thousandths?)\b|(?P<more> and a half)\b)?|"
    r"\b(?P<scaled>half a|a single|single|a|an)(?= (?:hundred|thousand|million|billion|trillion)\b)|"
    r"(?<=\bper )(?P<per>hundred|thousand|million|billion)\b|"
    r"\b(?P<half>half|halves|halv(?:ed|ing))\b|"
    r"\ban? (?P<fraction>third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|"
    r"thousandth)\b|"
    r"\b(?P<dozen>dozen)\b|\ban? (?P<period>decade|century)\b",
    re.IGNORECASE,
)
_ORDINALS = {name: float(value) for value, name in enumerate(_ORDINAL_NAMES, 1)}
_BORROWS = re.compile(rf" (?:to|and|or) [$\u20ac\u00a3]?\d[\d,.]*[ -]?{_SCALE}")
_AFTER_WORDS = re.compile(rf"(?:[ -]{_SCALE})?{_PERCENT}", re.IGNORECASE)
_EXACTNESS = {
    Exactness.NEARLY: r"nearly|almost|just under|just below|close to|approaching",
    Exactness.OVER: r"over|above|exceeding|at least|just over|(?:more|greater|higher|larger|longer) than",
    Exactness.UNDER: r"under|below|at most|up to|(?:less|fewer|lower|smaller|shorter) than",
    Exactness.ABOUT: r"about|around|roughly|approximately|some|just|~|\u2248",
}
_HEDGED = "|".join(f"(?P<{name}>{words})" for name, words in _EXACTNESS.items())
_HEDGED_NEXT = re.compile(rf"(?:{_HEDGED})(?: a)?\s*[$\u20ac\u00a3]?$", re.IGNORECASE)
_ANY_HEDGE = "|".join(_EXACTNESS.values())
_CHANGES = re.compile(
    rf"\b(?:by|(?:ros|fall|fell|dropp?|gain|lost|los|grew|grow|climb|improv|declin|increas|decreas|sav|shr[iau]nk|"
    rf"jump|rais|reduc|lower|difference|gap|surplus|deficit|rise|reduction|advantage|lead|margin|change|"
    rf"growth)(?:e|es|ed|ing|s|en)?(?: of| by)?) (?:(?:{_ANY_HEDGE}|only|a|an) )*"
    rf"(?:[$\u20ac\u00a3]?[\d.,]+(?:%| points?)? (?:and|or|to) )?[$\u20ac\u00a3]?$",
    re.IGNORECASE,
)
"""What stands before a number that says by how much something changed or differs."""
_COMPARED = re.compile(
    r"[ -](?:percentage[ -])?points?\b|(?: [a-z]+){0,2}? (?:more|less|fewer|(?!(?:oth|numb|ov|und|aft|ev|pap|us|ord|"
    r"cent|mast|wat|pow|comput|lett|memb|quart|read|writ|work|teach|research|met|lit|develop|consum|lay|nev)er)"
    r"[a-z]{2,}er)\b",
    re.IGNORECASE,
)
"""What stands behind one."""
_TIMES_AS = re.compile(r"(?:-fold\b|fold\b|[ -]times (?:as|the|its|their|that|those|what|more|\w+er)\b|\u00d7)")
_SHARE = re.compile(
    rf"\b(?P<part>\d+|{'|'.join(_SMALL_NAMES[1:])})(?: [a-z]+)? (?:in|out of|of)(?: every)? "
    rf"(?P<whole>\d{{1,3}}(?:,\d{{3}})*|(?:a )?hundred|(?:a )?thousand|"
    rf"{'|'.join((*_SMALL_NAMES[2:], *_TENS))})\b(?![%.]\d)",
    re.IGNORECASE,
)
_NAME_BEGUN = re.compile(r"[A-Za-z][\w.]*-$")
_RECALLS = re.compile(r"\b(?:the|these|those|their|its|all|other) $", re.IGNORECASE)
_ROUND = (*range(2, 11), 12, 20, 100, 1000)
_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)


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


def is_count(number: Number) -> bool:
    """Whether a number is a small one in words."""
    return number.written.lower() in _SMALL


def shares_in(text: str, *, round_only: bool = False) -> Iterator[Number]:
    """The shares of a text that are said by two numbers, "three in four" or "six out of 120", as ratios.

    ``round_only``: only those that count nothing, but put a share into small round numbers.
    """
    plain = plain_text(text)
    for match in _SHARE.finditer(plain):
        part, whole = (next(numbers_in(match[name], every_one=True), None) for name in ("part", "whole"))
        size = whole.value if whole else _SCALES[match["whole"].lower()]
        is_round = size in _ROUND and not re.search(r"\bof\b(?<!out of)", match.group())
        if part and 0 < part.value < size and (is_round or not round_only):
            yield Number(
                part.value / size,
                match.group(),
                match.start(),
                match.end(),
                exactness=_exactness(plain, match.start()),
                is_ratio=True,
            )


def years_in(text: str) -> frozenset[float]:
    """Times that a text gives as a year or as month and year, in years."""
    plain = plain_text(text)
    months = {name: number / 12 for number, name in enumerate(_MONTHS)}
    dated = re.findall(rf"\b({'|'.join(_MONTHS)}) ((?:1[5-9]|20)\d\d)\b", plain)
    rest = re.sub(rf"\b(?:{'|'.join(_MONTHS)}) \d{{4}}\b", " ", plain)
    undated = re.findall(r"(?<![\w.,])((?:1[5-9]|20)\d\d)\b(?![%.,]\d|%)", rest)
    return frozenset((*(int(year) + months[month] for month, year in dated), *map(float, undated)))


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
    factor = _LETTER_SCALES.get(match["letter"] or "", 1) * _SCALES.get(match["scale"] or "", 1)
    return Number(
        value * factor,
        match.group(),
        match.start(),
        match.end(),
        is_percent=bool(match["percent"]),
        unit=_unit_at(text, match.end()),
        grain=_grain(digits) * factor,
        exactness=_exactness(text, match.start()),
        is_recalled=_follows(_RECALLS, text, match.start()),
        is_ratio=match.group().endswith(("x", "\u00d7")) or bool(_TIMES_AS.match(text, match.end())),
        is_change=_is_change(match.start(), match.end(), match.group(), text),
        borrowed=_SCALES[borrowed["scale"]] if borrowed and not scale else 1.0,
        things=_things_at(text, match.end()),
    )


def _grain(digits: str) -> float:
    """The worth of the last figure that is not a nought: 0.1 of 2.5, 100 of 1500."""
    whole, _, places = digits.partition(".")
    return 10.0 ** -len(places) if places else 10.0 ** (len(whole) - len(whole.rstrip("0") or whole))


def _is_change(start: int, end: int, written: str, text: str) -> bool:
    before, after = text[max(0, start - 40) : start], text[end : end + 40]
    return "point" in written or bool(_CHANGES.search(before) or _COMPARED.match(after))


def _from_words(match: re.Match[str], text: str) -> Number:
    after = _AFTER_WORDS.match(text, match.end())
    scale, percent = (after["scale"] or "", after["percent"]) if after else ("", None)
    end = after.end() if after else match.end()
    period = match["period"] or match["and_half"]
    return Number(
        _value_of(match) * _SCALES.get(scale.lower(), 1),
        text[match.start() : end],
        match.start(),
        end,
        is_percent=bool(percent),
        unit=_UNITS[period.lower()] if period else _unit_at(text, end),
        grain=_SCALES.get(scale.lower(), 1.0),
        exactness=_exactness(text, match.start()),
        is_ratio=any(match[name] for name in ("half", "fraction", "fold", "folds", "part"))
        or bool(_TIMES_AS.match(text, end)),
        is_change=_is_change(match.start(), end, text[match.start() : end], text),
        is_recalled=bool(match["small"]) and _follows(_RECALLS, text, match.start()),
        things=_things_at(text, end),
    )


def _value_of(match: re.Match[str]) -> float:
    word = match.group().lower()
    if match["tens"]:
        return _TENS[match["tens"].lower()] + {**_SMALL, **_ORDINALS}[(match["ones"] or "zero").lower()]
    if match["small"]:
        part = _PARTS.get((match["part"] or "")[:3].lower(), 1)
        return _SMALL[match["small"].lower()] / part + (0.5 if match["more"] else 0)
    if match["fraction"]:
        return 1 / _PARTS[match["fraction"][:3].lower()]
    if match["folds"]:
        return {**_SMALL, **_TENS}[match["folds"].lower()]
    if match["per"]:
        return _SCALES[word]
    if match["half"] or match["scaled"] or match["period"] or match["and_half"]:
        return 1.5 if match["and_half"] else 0.5 if word.startswith("hal") else 1.0
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


def _exactness(text: str, start: int) -> Exactness:
    """How exactly a number that starts there is said to be meant."""
    found = _HEDGED_NEXT.search(text[max(0, start - 16) : start])
    return Exactness(found.lastgroup or "") if found else Exactness.EXACT


def _follows(pattern: re.Pattern[str], text: str, start: int) -> bool:
    return bool(pattern.search(text[max(0, start - 16) : start]))
