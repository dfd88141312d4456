"""The form of what is said: whole sentences, in the newsletter's language, that hold up when others go."""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.grounding.names import is_odd
from newsletter.sentences import STOP_WORDS, words
from newsletter.values import count_words

MOST_SENTENCE_WORDS = 70
"""A claim longer than this is no sentence that anyone wants to read."""

_WHOLE = re.compile(r"[\"'\u201c\u2018(]*[\w$\u20ac\u00a3~<>=\u00b1-].*[.!?\u2026][\"'\u201d\u2019)\]]*", re.DOTALL)
_MARKUP = re.compile(r"[*_`#]{2,}|^\s*[-*\u2022]")
_ENGLISH = STOP_WORDS - frozenset(("a", "an", "as", "do", "am", "in", "is", "me", "my", "no", "on", "so", "was"))
"""English words without meaning of their own that no neighbouring language has."""
_ENGLISH_ENDING = re.compile(r"[a-z]{3,}(?:ed|ing|ly)")
"""How English words end, and few of a language that is written with the same letters."""
LEAST_ENGLISH_ENDINGS = 2
_STOCK = re.compile(
    r"(?:this (?:matters|work|paper|post|piece|study|research|is important|finding|result)|if you|as ai\b|"
    r"for practitioners|understanding|it is important|in today's|in an era|the key takeaway)\b",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:may|might|could|perhaps|possibly|probably|likely|unlikely|suggests?|suggested|suggesting|seems?|"
    r"seemed|appears? to|appeared to|preliminary|tentative\w*|speculat\w+|hypothesi[sz]e\w*|unclear|"
    r"uncertain\w*|"
    r"(?:we|i|they|authors?) (?:think|believe|suspect|expect|hope|guess)|not (?:clear|certain|sure)|"
    r"in (?:some|most|many) \w+|some(?:times|what)?)\b",
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r"\b(?:limit\w*|caveats?|only|not|no|cannot|without|unclear|unknown|fail\w*|however|but|although|though|"
    r"despite|except|weakness\w*|drawbacks?|small|single|just|never|remain\w*)\b|n't\b",
    re.IGNORECASE,
)
_STATED_LIMIT = re.compile(
    r"\b(?:limitations?|caveats?|we (?:did|do|have) not|only (?:test|evaluat|stud|consider)\w*|future work|"
    r"small sample|may not generali[sz]e|not (?:test|evaluat)\w*|negative results?)\b",
    re.IGNORECASE,
)


def misshapen(sentence: str) -> Iterator[str]:
    """What keeps a text from being one whole sentence that can be printed."""
    text = sentence.strip()
    if not _WHOLE.fullmatch(text) or (text[0].islower() and not is_odd(text.split()[0])):
        yield "is no whole sentence"
    if count_words(text) > MOST_SENTENCE_WORDS:
        yield f"has more than {MOST_SENTENCE_WORDS} words"
    if _MARKUP.search(text):
        yield "holds markup"


def is_foreign(sentence: str, language: str) -> bool:
    """Whether a sentence is not in the newsletter's language, as far as can be told: for English only."""
    letters = [char for char in sentence if char.isalpha()]
    if not letters or not language.startswith("en"):
        return False
    said = words(sentence)
    is_other_script = sum(char > "\u024f" for char in letters) * 2 > len(letters)
    endings = sum(bool(_ENGLISH_ENDING.fullmatch(word)) for word in said)
    has_english = bool(_ENGLISH.intersection(said)) or endings >= LEAST_ENGLISH_ENDINGS
    return is_other_script or (len(said) >= 10 and not has_english)


def stock_opening(sentence: str) -> str:
    """The stock phrase that a sentence begins with, or nothing."""
    found = _STOCK.match(sentence)
    return found.group() if found else ""


def hedge_in(text: str) -> str:
    """The first word of a text that takes some certainty back, or nothing."""
    found = _HEDGE.search(text)
    return found.group() if found else ""


def is_limiting(sentence: str) -> bool:
    """Whether a sentence says that something is limited, missing or not so."""
    return bool(_LIMIT.search(sentence))


def stated_limit(text: str) -> str:
    """The words in which a piece states a limit of its own, or nothing."""
    found = _STATED_LIMIT.search(text)
    return found.group() if found else ""
