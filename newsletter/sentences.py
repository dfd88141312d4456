"""Light text cut into sentences, and sentences into words: for excerpts, grounding and triage. Pure.

A stop ends a sentence unless there is a reason to doubt it: an abbreviation, an initial, a bracket or
quotation still open, a small letter after it. Where both readings are possible two sentences stay together,
because a sentence too long can be passed over, while half a sentence says what its author did not.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

LONGEST_TOKEN = 60
"""Characters before a full stop that are looked at for an abbreviation."""
LONGEST_SPAN = 400
"""Characters between two brackets or quotation marks that are still taken for a pair."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


STOP_WORDS = _set(
    """
    a about above after again against all almost along already also although always am among an and
    another any are around as at away be became because become been before being below between both but
    by can cannot could did do does doing done down during each either else enough even ever every few
    for from further get give given go had has have having he hence her here hers herself him himself
    his how however i if in indeed instead into is it its itself just later least less let like made
    make many may maybe me might mine more most much must my myself neither never next no nor not now of
    off often on once one only onto or other others otherwise our ours ourselves out over own per
    perhaps quite rather really same say see seem seems shall she should since so some still such than
    that the their theirs them themselves then there therefore these they thing things this those though
    through thus to together too toward towards two under unless until up upon us use used using very
    was way we well were what when where whether which while who whom whose why will with within without
    would yet you your yours yourself don't doesn't didn't isn't aren't wasn't weren't can't won't it's
    i'm i've we're we've that's there's you're
    """
)
"""English words that say nothing about what a sentence is about."""

_NEVER_LAST = _set(
    """
    e.g eg i.e ie cf vs viz resp approx ca incl esp dr mr mrs ms mx prof mt capt sgt
    fig figs eq eqs eqn eqns dept univ abb bzw z.b d.h u.a o.ä vgl sog ggf evtl hrsg p.ex mme mlle sra
    """
)
"""Abbreviations that something always follows."""
_ONLY_BEFORE_A_NUMBER = _set(
    """
    no nos nr p pp sec secs sect ch chap vol art ver pt bd kap abs s n par tab ref refs def thm lem prop cor
    app
    """
)
"""Abbreviations before a number ("no. 5"), and words that may end a sentence before anything else."""
_SOMETIMES_LAST = _set(
    """
    al etc inc ltd co corp llc jr sr ph.d phd m.d b.a m.a u.s u.k u.n e.u u.s.a d.c a.m p.m a.d b.c
    a.k.a est min max gen gov sen rep rev hon lt st hr usw usf
    jan feb mar apr jun jul aug sep sept oct nov dec
    """
)
"""Abbreviations that may end a sentence."""
_MONTHS_AND_CENTURIES = _set(
    """
    januar jänner februar märz april mai juni juli august september oktober november dezember
    jahrhundert jahrhunderts jahrhunderte
    """
)
"""What follows an ordinal in German, which is written as a number and a stop."""

_CLOSERS = "\"'“”\u2019»\u203a)\\]}」』\uff09】〉》"
_WIDE = "。\uff01\uff1f｡\uff0e"
"""Stops that need no space after them."""
_NOTE = r"\[\d{1,3}(?:[,\u2013-]\s?\d{1,3})*\]"
_MARKS = ".!?…\u061f\u06d4।"
# A run of marks is tried from its start alone, or a page of dots would take the square of its length.
_STOP = re.compile(rf"[{_WIDE}][{_WIDE}{_CLOSERS}]*|(?<![{_MARKS}])[{_MARKS}]++[{_CLOSERS}*_]*+(?:{_NOTE})*+(?=\s|$)")
_BRACKET = re.compile(r"[()\[\]\uff08\uff09【】]")
_PARTNER = {")": "(", "]": "[", "\uff09": "\uff08", "】": "【"}
_QUOTED = re.compile(
    rf"“[^“”]{{1,{LONGEST_SPAN}}}”|«[^«»]{{1,{LONGEST_SPAN}}}»|„[^„“”]{{1,{LONGEST_SPAN}}}[“”]"
    rf"|「[^「」]{{1,{LONGEST_SPAN}}}」|『[^『』]{{1,{LONGEST_SPAN}}}』"
    rf"|(?<![^\s(\[—\u2013-])\"(?=\S)[^\"]{{1,{LONGEST_SPAN}}}\""
)
_LAST_TOKEN = re.compile(r"[^\s(\[\"“\u2018'«„/—\u2013]+$")
_FIRST_WORD = re.compile(r"[\"'“\u2018«»„(\[¿¡*_]*([\w$€£§][\w'\u2019-]*\.?)?")
_INITIAL = re.compile(r"[^\W\d_]\.")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_INNER_CAPITAL = re.compile(r"[a-z]{1,3}[A-Z]")
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_ASIAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_ASIAN_CHARACTER = re.compile(f"[{_ASIAN}]")
_WORD = re.compile(rf"[{_ASIAN}]|(?:(?![{_ASIAN}])[^\W_])+(?:['\u2019.,-](?:(?![{_ASIAN}])[^\W_])+)*")


class ParagraphKind(StrEnum):
    """What a paragraph of light text is."""

    PROSE = "prose"
    HEADING = "heading"
    ITEM = "item"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph of light text without its marker. ``index`` counts all paragraphs of the text from 0."""

    text: str
    index: int
    kind: ParagraphKind


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, exactly as the paragraph has it.

    ``index`` counts the sentences of the whole text from 0, ``paragraph`` the paragraphs, ``place`` the
    sentences of that paragraph. A heading is one sentence of its own kind, whatever stops it holds.
    """

    text: str
    index: int
    paragraph: int
    place: int
    kind: ParagraphKind

    @property
    def is_heading(self) -> bool:
        """Whether it is a heading, and so no sentence to quote."""
        return self.kind is ParagraphKind.HEADING

    @property
    def is_list_item(self) -> bool:
        """Whether it stands in a list item."""
        return self.kind is ParagraphKind.ITEM


def paragraphs(light_text: str) -> list[Paragraph]:
    """The paragraphs of light text (:mod:`newsletter.values`), their markers read and taken off."""
    blocks = (block.strip() for block in _PARAGRAPH_END.split(light_text))
    return [_paragraph(block, index) for index, block in enumerate(block for block in blocks if block)]


def sentences(light_text: str) -> list[Sentence]:
    """All sentences of light text, headings among them, in its order.

    No character but white space between sentences and the paragraphs' markers is lost, and each sentence is a
    substring of its paragraph, so that it can be quoted.
    """
    found: list[Sentence] = []
    for paragraph in paragraphs(light_text):
        whole = paragraph.kind is ParagraphKind.HEADING
        parts = [paragraph.text] if whole else split(paragraph.text)
        for place, part in enumerate(parts):
            found.append(Sentence(part, len(found), paragraph.index, place, paragraph.kind))
    return found


def split(paragraph: str) -> list[str]:
    """The sentences of one paragraph of prose, each without white space around it."""
    starts = [0, *_ends(paragraph), len(paragraph)]
    pieces = (paragraph[start:end].strip() for start, end in pairwise(starts))
    return [piece for piece in pieces if piece]


def words(text: str) -> list[str]:
    """The words of a text in lower case, "3.14" and "gpt-4" whole, each character of CJK scripts a word."""
    return [word.replace("\u2019", "'") for word in _WORD.findall(text.lower())]


def content_words(text: str) -> list[str]:
    """The words that are not stop words, without English endings of plural and possession."""
    return [_singular(word) for word in words(text) if word not in STOP_WORDS]


def reading_words(text: str) -> int:
    """How long a text reads, in words: two characters of CJK scripts count as one."""
    characters = len(_ASIAN_CHARACTER.findall(text))
    spaced = _ASIAN_CHARACTER.sub(" ", text) if characters else text
    return sum(1 for word in spaced.split() if any(char.isalnum() for char in word)) + (characters + 1) // 2


def _paragraph(block: str, index: int) -> Paragraph:
    for marker, kind in (("# ", ParagraphKind.HEADING), ("- ", ParagraphKind.ITEM)):
        if block.startswith(marker) and block[len(marker) :].strip():
            return Paragraph(block[len(marker) :].strip(), index, kind)
    return Paragraph(block, index, ParagraphKind.PROSE)


def _singular(word: str) -> str:
    word = word.removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "ias")):
        return word[:-1]
    return word


def _ends(text: str) -> Iterator[int]:
    spans = _spans(text)
    openings = [start for start, _ in spans]
    beginning = 0
    for stop in _STOP.finditer(text):
        end = stop.end()
        at = bisect_right(openings, stop.start()) - 1
        if at >= 0 and end < spans[at][1]:
            continue
        if _is_end(text, beginning, stop):
            beginning = end
            yield end


def _spans(text: str) -> list[tuple[int, int]]:
    """Outermost stretches between brackets or quotation marks, inside which no sentence of the text ends."""
    found = [match.span() for match in _QUOTED.finditer(text)]
    open_ones: list[tuple[str, int]] = []
    for match in _BRACKET.finditer(text):
        partner = _PARTNER.get(match.group())
        if partner is None:
            open_ones.append((match.group(), match.start()))
        elif open_ones and open_ones[-1][0] == partner:
            start = open_ones.pop()[1]
            if match.end() - start <= LONGEST_SPAN:
                found.append((start, match.end()))
    return _outermost(found)


def _outermost(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if kept and start < kept[-1][1]:
            kept[-1] = (kept[-1][0], max(kept[-1][1], end))
        else:
            kept.append((start, end))
    return kept


def _is_end(text: str, beginning: int, stop: re.Match[str]) -> bool:
    """Whether the sentence that began at ``beginning`` ends with this stop."""
    rest = text[stop.end() : stop.end() + 80].lstrip()
    mark = stop.group()[0]
    if not rest:
        return True
    if mark in _WIDE:
        return not (stop.group()[-1] in "」』" and rest.startswith(("と", "っ", "な", "の")))
    if rest[0] in "—\u2013,;:" or _goes_on(rest):
        return False
    if mark != "." or stop.group().startswith(".."):
        return True
    before = text[max(beginning, stop.start() - LONGEST_TOKEN) : stop.start()]
    return _full_stop_ends(before, rest)


def _goes_on(rest: str) -> bool:
    """Whether what follows begins with a small letter, as no sentence does but one about an iPhone."""
    match = _FIRST_WORD.match(rest)
    word = match.group(1) if match else None
    return bool(word) and str(word)[0].islower() and not _INNER_CAPITAL.match(str(word))


def _full_stop_ends(before: str, rest: str) -> bool:
    """Whether a full stop between the sentence so far and the rest of the paragraph ends the sentence."""
    last = _LAST_TOKEN.search(before)
    token = last.group() if last else ""
    following = _FIRST_WORD.match(rest)
    word = (following.group(1) or "").lower() if following else ""
    if _always_goes_on(token.lower(), word):
        return False
    if token.isdecimal() and len(token) <= 2:
        is_numbering = before.strip() == token
        return not is_numbering and word.rstrip(".") not in _MONTHS_AND_CENTURIES
    return word in STOP_WORDS or not _may_go_on(token)


def _always_goes_on(token: str, word: str) -> bool:
    is_spelt_out = len(token) == 1 and bool(_INITIAL.fullmatch(word))
    is_numbered = token in _ONLY_BEFORE_A_NUMBER and word[:1].isdigit()
    return token in _NEVER_LAST or is_spelt_out or is_numbered


def _may_go_on(token: str) -> bool:
    """Whether a name or a number may follow this token and its full stop in the same sentence."""
    is_initial = len(token) == 1 and token.isupper()
    return is_initial or token.lower() in _SOMETIMES_LAST or bool(_DOTTED.fullmatch(token))
