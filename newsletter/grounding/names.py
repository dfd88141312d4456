"""Names in a claim, and whether they stand around its quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from newsletter.grounding.numbers import is_figures, numbers_in
from newsletter.grounding.source import Source, Span, plain_text
from newsletter.sentences import STOP_WORDS

PARAGRAPHS_AROUND = 1
ACRONYM_PARAGRAPHS = 3
"""How far from its quote a name or an acronym may stand: few paragraphs name again what a section is about.
"""

_TOKEN = re.compile(r"[A-Za-z\u00c0-\u024f0-9][\w\u00c0-\u024f]*(?:[-'.+&/][\w\u00c0-\u024f]+)*\+*")
_SEAM = re.compile(r"[-'./+&]")
_SUBJECT = re.compile(r"(?: [a-z]+ly)? (?:is|was|has|had|[a-z]{2,}(?:[^su]s|ed))\b")
"""What follows a subject in the singular: a verb."""
LEAST_NAME = 4
NEAR = 24
"""Characters before a word that are looked at for what it follows."""
_POSSESSIVE = re.compile(r"'s?$")
_ACRONYM = re.compile(r"[A-Z][A-Za-z]{0,4}[A-Z]s?")
_SENTENCE_START = re.compile(r"[:.!?][\"')]* [\"'(]*$|\"$")
_UNIT_SYMBOL = re.compile(
    r"[kMGTPm\u03bcnp]?(?:Wh|W|VA|V|Ah|Hz|J|Pa|eV|Bq|Sv|mol|l|L|g|m|B|b|bit|bps|cal)|dB[Am]?|[kMGT]iB|"
    r"CO2e?|[A-Z]{3}(?<=CHF|GBP|JPY|CNY|INR|SEK|NOK|DKK|CAD|AUD|NZD|BRL|ZAR|KRW|PLN|CZK|MXN)"
)
"""Symbols of units and currencies: beside a number, no names (the SI brochure, 9th edition; ISO 4217)."""
_DATED = re.compile(r"(?:mid|pre|post|early|late)-\d+s?", re.IGNORECASE)
_NUMBER_BEFORE, _NUMBER_AFTER = re.compile(r"\d[\d,.]*[ -]?$"), re.compile(r" ?\d")
_COUNTRIES = {
    **{"britain": "british", "china": "chinese", "denmark": "danish", "england": "english", "finland": "finnish"},
    **{"france": "french", "greece": "greek", "ireland": "irish", "netherlands": "dutch", "norway": "norwegian"},
    **{"poland": "polish", "scotland": "scottish", "spain": "spanish", "sweden": "swedish", "switzerland": "swiss"},
    **{"italy": "italian", "india": "indian", "japan": "japanese", "egypt": "egyptian", "kenya": "kenyan"},
    **{"turkey": "turkish", "wales": "welsh", "europe": "european", "vietnam": "vietnamese", "iceland": "icelandic"},
}
_ADJECTIVES = {**_COUNTRIES, **{adjective: country for country, adjective in _COUNTRIES.items()}}
"""Countries whose adjective does not begin like them."""
_EVERYONES = frozenset(
    ("AI", "ML", "LLM", "NLP", "GPU", "CPU", "API", "JSON", "USD", "EUR", "US", "UK", "EU", "I", "CO2")
)
"""Short forms that any text may use."""


def unfounded_names(sentence: str, spans: Sequence[Span], source: Source) -> Iterator[str]:
    """The names of a claim that stand neither around its quotes (at ``spans``) nor among the facts on the
    piece.

    An acronym may stand further away, or be the initials of words around the quotes. Where the quoted
    sentences have a name that the claim has not, another name in its place must stand in them or right
    beside them: then "around" is too far, and a co-author is not the author.
    """
    said = list(names_in(sentence, source))
    passage = " ".join((source.facts, *(source.paragraphs_around(span, PARAGRAPHS_AROUND) for span in spans)))
    further = forms_of(" ".join(source.paragraphs_around(span, ACRONYM_PARAGRAPHS) for span in spans))
    quoted = " ".join(source.sentences_around(span, 0) for span in spans)
    left_out = [name for name in names_in(quoted, source) if not _stands_in(name, forms_of(sentence))]
    words, initials = forms_of(passage), _initials(passage)
    for name in said:
        is_near = _stands_in(name, words) or (
            bool(_ACRONYM.fullmatch(name)) and (_is_short_for(name, initials) or _stands_in(name, further))
        )
        if not is_near or _replaces(name, left_out, spans, source):
            yield name
    yield from _stranger_in_front(sentence, said, left_out, spans, source)


def _replaces(name: str, left_out: Sequence[str], spans: Sequence[Span], source: Source) -> bool:
    """Whether a name of a claim stands in the place of one of its own kind that the quoted sentences have."""
    beside = " ".join(source.sentences_around(span, 0 if _is_code(name) else 1, after=0) for span in spans)
    if _stands_in(name, forms_of(beside)):
        return False
    authors = forms_of(" ".join(source.piece.authors))
    if _stands_in(name, authors):
        return any(_stands_in(other, authors) for other in left_out)
    if _stands_in(name, forms_of(source.facts)):
        return False
    return any(_kind(other) == _kind(name) for other in left_out)


def _kind(name: str) -> str:
    """Codes replace codes, acronyms acronyms, and other names each other."""
    return "code" if _is_code(name) else "acronym" if _ACRONYM.fullmatch(name) else "name"


def _stranger_in_front(
    sentence: str, said: Sequence[str], left_out: Sequence[str], spans: Sequence[Span], source: Source
) -> Iterator[str]:
    """The first word of a claim, when it stands where a name stood: its capital alone says nothing.

    Either it is joined to a name ("Olah and Carter") and no author; or it is the subject, the claim lacks a
    name that is quoted, and the word is not around, or only as a name further away.
    """
    plain = plain_text(sentence)
    first = _TOKEN.match(plain)
    word = _POSSESSIVE.sub("", first.group()) if first else ""
    if (
        len(word) < LEAST_NAME
        or re.search(r"-[a-z]", word)
        or not word[0].isupper()
        or word in said
        or word.casefold() in STOP_WORDS
        or any(numbers_in(word))
    ):
        return
    around = forms_of(" ".join((source.facts, *(source.paragraphs_around(span, 1) for span in spans))))
    if any(form[:5] == word.casefold()[:5] for form in around):
        return
    is_joined = bool(said) and bool(re.match(rf"(?: and|,) {re.escape(said[0])}\b", plain[len(word) :]))
    if is_joined or (left_out and _SUBJECT.match(plain[len(word) :])):
        yield word


def _is_code(name: str) -> bool:
    """Whether a name has figures, as models and data sets have, which come in families: GPT-4, CIFAR-10."""
    return any(char.isdigit() for char in name)


def _initials(text: str) -> str:
    return "".join(word[0] for word in re.findall(r"[A-Za-z]+", text)).casefold()


def names_in(sentence: str, source: Source) -> Iterator[str]:
    """What is written as a name: with a capital within a sentence or a word, or as letters with figures."""
    plain = plain_text(sentence)
    for number, match in enumerate(_TOKEN.finditer(plain)):
        token = _POSSESSIVE.sub("", match.group())
        if (
            token.rstrip("s") in _EVERYONES
            or is_figures(token)
            or _DATED.fullmatch(token)
            or _is_unit(token, match, plain)
        ):
            continue
        is_first = number == 0 or bool(_SENTENCE_START.search(plain[max(0, match.start() - NEAR) : match.start()]))
        if is_odd(token) or (token[0].isupper() and (not is_first or _is_only_a_name(token, source))):
            yield token


def _is_unit(token: str, match: re.Match[str], text: str) -> bool:
    """Whether a token beside a number is the symbol of what is counted: 29 kWh, CHF 3."""
    is_beside = _NUMBER_BEFORE.search(text[max(0, match.start() - NEAR) : match.start()]) or _NUMBER_AFTER.match(
        text, match.end()
    )
    return bool(is_beside and _UNIT_SYMBOL.fullmatch(token))


def is_odd(token: str) -> bool:
    """Whether the letters alone show a name: LoRA, GPT-4, arXiv, o1."""
    parts = _SEAM.split(token)
    has_inner_capital = any(re.search(r"[^\W\d_].*[A-Z]|^[A-Z]{2,}", part) for part in parts)
    is_mixed = any(char.isdigit() for char in token) and any(char.isalpha() for char in token)
    return has_inner_capital or (is_mixed and not re.fullmatch(r"[\d.,]+[-\w]*", token))


def forms_of(text: str) -> frozenset[str]:
    """The words of a text as names are compared: in small letters, whole and in parts, without a plural's
    s.
    """
    found: set[str] = set()
    for match in _TOKEN.finditer(text):
        token = _POSSESSIVE.sub("", match.group()).casefold()
        for form in (token, *_SEAM.split(token), re.sub(r"[-./]", "", token)):
            found |= {form, form.removesuffix("s")}
    return frozenset(found)


def _is_only_a_name(token: str, source: Source) -> bool:
    """Whether a capital at the beginning of a sentence is more than that: the text has the word as a name
    only.
    """
    word = token.casefold()
    return word not in STOP_WORDS and word in source.capitalised and word not in source.uncapitalised


def _stands_in(name: str, words: frozenset[str]) -> bool:
    whole = name.casefold()
    if words & {whole, whole.removesuffix("s"), re.sub(r"[-./]", "", whole)}:
        return True
    parts = [part for part in _SEAM.split(name) if part[:1].isupper() or part[:1].isdigit() or is_odd(part)]
    if parts and parts != [name]:
        return all(_stands_in(part, words) for part in parts)
    if whole in _ADJECTIVES and words & {_ADJECTIVES[whole]}:
        return True
    return len(whole) >= 6 and whole.isalpha() and any(word[:5] == whole[:5] for word in words)


def _is_short_for(name: str, initials: str) -> bool:
    """Whether an acronym of three letters or more is the initials of words that follow each other."""
    letters = name.removesuffix("s").casefold()
    return len(letters) >= 3 and letters in initials
