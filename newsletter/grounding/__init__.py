"""Does a summary say only what its piece says? Pure, and with no model: what it finds, anyone can check by
eye.

Each claim brings quotes. A quote counts only when the piece holds it letter by letter; where it stands is
the claim's passage, and the numbers and names of the claim must stand there too. Beside that come polarity,
authorship, links, obeyed instructions, language and shape. None of these understands what it reads: a claim
can pass and still misread its quotes. `scripts/bench-writing` measures how often which fault is found.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from newsletter.grounding import attribution, intruders, prose
from newsletter.grounding.names import names_in, unfounded_names
from newsletter.grounding.numbers import numbers_in
from newsletter.grounding.polarity import contradictions, denied_word, stem
from newsletter.grounding.reckoning import unfounded_numbers
from newsletter.grounding.source import Source, Span, plain_text
from newsletter.sections import SectionSpec
from newsletter.sentences import content_words, words
from newsletter.values import Claim, Piece, Section, SectionShape, Summary, count_words
from newsletter.writers.excerpts import hangs_on_another

LEAST_QUOTE_WORDS = 4
"""A claim needs a quote of at least so many words; fewer bear nothing out, unless they are a whole sentence."""

LEAST_SENTENCE_WORDS = 3
"""A whole sentence bears a claim out from so many words on."""

LEAST_SHARED = 0.2
"""Share of a claim's words that must stand around its quotes; paraphrase rarely goes below a third."""

LEAST_WORDS_TO_TELL = 3
"""A claim of fewer words with a meaning is too short to tell by what it shares."""

REPEATED = 0.8
"""From this share of common words on, a claim says again what another one said."""


class Fault(StrEnum):
    """What can be wrong with a claim, or (the last four) what the owner should see."""

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
    DENIAL = "denial"
    HEDGE = "hedge"
    LIMITS = "limits"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: of which claim (``sentence``, by section, block and place in the block), and what is
    wrong.

    ``words`` can be sent back to the writer. A fault of the summary as a whole has no section and no
    sentence.
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
    """What was found in one summary of so many ``claims``.

    ``failures`` may not be published; ``warnings`` are for the owner to see, and for a second draft to mend.
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
        """All that a second draft should mend, one line each, failures first."""
        return tuple(str(finding) for finding in (*self.failures, *self.warnings))


def check(summary: Summary, piece: Piece, specs: Iterable[SectionSpec], *, language: str = "en") -> Report:
    """Check every claim of a summary against the piece that it is about.

    ``specs`` are the sections that were asked for. They say which sections are suggestions, and which need
    quotes for every claim; elsewhere a claim needs one when it has a number, a name or a result. A section
    without a spec is checked as strictly as can be. ``language`` is the newsletter's.
    """
    source = Source(piece)
    by_key = {spec.key: spec for spec in specs}
    places = list(_places(summary, by_key))
    failures = [finding for place in places for finding in _failures(place, source, language)]
    warnings = [finding for place in places for finding in _warnings(place, source)]
    return Report((*failures, *_repeats(places)), (*warnings, *_limits(places, source)), len(places))


def settle(summary: Summary, report: Report, specs: Sequence[SectionSpec]) -> Summary | None:
    """The summary without the claims that failed, in the shape that readers see; None when too little is
    left.

    Of a list the best items stay, as many as the spec publishes: those without a warning first, in the
    writer's order. A sentence that hangs on one that went goes too. A section with fewer blocks than its
    spec's ``least``, or prose that lost more than half of its sentences, does not stand. What went is told
    in the notes.
    """
    sections = {section.key: section for section in summary.sections}
    settled = []
    for spec in specs:
        section = _settled(sections[spec.key], spec, report) if spec.key in sections else None
        if section is None and spec.is_suggestion:
            # A suggestion is ours: without it the rest still says what the piece says.
            continue
        if section is None:
            return None
        settled.append(section)
    notes = (
        *summary.notes,
        *(f"left out: {finding}" for finding in report.failures),
        *_shortages(settled, specs),
    )
    return replace(summary, sections=tuple(settled), notes=notes)


OPENING_WORDS = 4
"""Two paragraphs of an issue that share so many first words read as if a machine had filled in a form."""


def openings(summary: Summary) -> Iterator[tuple[str, int, str]]:
    """The paragraphs of a summary: section, number of the block, and its first four words in small letters."""
    for section in summary.sections:
        for number, text in enumerate(section.texts if _is_prose(section) else ()):
            if len(said := words(text)) >= OPENING_WORDS:
                yield section.key, number, " ".join(said[:OPENING_WORDS])


def shared_openings(summaries: Iterable[Summary]) -> tuple[tuple[str, int], ...]:
    """First four words that more than one paragraph of an issue has, and how many have them."""
    counts = Counter(opening for summary in summaries for _, _, opening in openings(summary))
    return tuple((opening, count) for opening, count in counts.most_common() if count > 1)


def reopened(summary: Summary, taken: Collection[str]) -> Summary:
    """The summary with another opening wherever one of its paragraphs begins with words that are taken.

    Where a paragraph of a section with a heading can begin with another of its sentences, that one comes first;
    else the first goes, if what is left can be read without it. A paragraph that can do neither stays as it is.
    """
    used, sections = set(taken), []
    for section in summary.sections:
        blocks = []
        for block in section.blocks:
            best = block
            if _is_prose(section) and _opening(block) in used:
                ways = _other_beginnings(block, may_turn=bool(section.heading))
                best = next((way for way in ways if _opening(way) not in used), block)
            used |= {_opening(best)} if _is_prose(section) else set()
            blocks.append(best)
        sections.append(replace(section, blocks=tuple(blocks)))
    return replace(summary, sections=tuple(sections))


def _opening(block: Sequence[Claim]) -> str:
    return " ".join(words(" ".join(claim.sentence for claim in block))[:OPENING_WORDS])


def _other_beginnings(block: Sequence[Claim], *, may_turn: bool) -> Iterator[tuple[Claim, ...]]:
    """The paragraph with another sentence first, and the paragraph without its first sentence."""
    stand_alone = not any(hangs_on_another(claim.sentence) for claim in block)
    if may_turn and stand_alone:
        yield from ((claim, *block[:place], *block[place + 1 :]) for place, claim in enumerate(block) if place)
    if len(block) > 2 and not hangs_on_another(block[1].sentence):
        yield tuple(block[1:])


def _is_prose(section: Section) -> bool:
    return section.shape == SectionShape.PROSE


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


def _places(summary: Summary, by_key: dict[str, SectionSpec]) -> Iterator[_Place]:
    for section in summary.sections:
        strict = SectionSpec(section.key, section.heading, "", section.shape, asked=1, published=1, least=1)
        spec = by_key.get(section.key, strict)
        for number, block in enumerate(section.blocks):
            yield from (_Place(section, spec, number, place, claim) for place, claim in enumerate(block))


def _failures(place: _Place, source: Source, language: str) -> Iterator[Finding]:
    """All faults of one claim for which it may not be published."""
    sentence = place.claim.sentence
    for problem in prose.misshapen(sentence):
        yield place.finding(Fault.SHAPE, problem)
    if prose.is_foreign(sentence, language):
        yield place.finding(Fault.LANGUAGE, "is not in English")
    for address in intruders.addresses(sentence):
        yield place.finding(Fault.LINK, f"holds an address or markup (“{address}”)")
    for word in intruders.dictated(sentence, source):
        yield place.finding(Fault.INSTRUCTION, f"takes “{word}” from an instruction that the text gives to models")
    if intruders.is_command(plain_text(sentence)):
        yield place.finding(Fault.INSTRUCTION, "repeats an instruction to a model")
    if place.spec.is_suggestion:
        for said in attribution.ascribed(sentence, source):
            yield place.finding(Fault.SUGGESTION, f"is our suggestion, and “{said}” ascribes it to others")
    else:
        yield from _failures_of_substance(place, source)


def _failures_of_substance(place: _Place, source: Source) -> Iterator[Finding]:
    """What a claim about the piece says that the piece does not."""
    sentence = place.claim.sentence
    for wrong in attribution.misattributed(sentence, source):
        yield place.finding(Fault.AUTHORSHIP, f"“{wrong}” makes an author of the venue, which only publishes")
    found = {quote: _trusted(source.find(quote), source) for quote in place.claim.quotes}
    for problem in _unquoted(place, found, source):
        yield place.finding(Fault.QUOTE, problem)
    spans = [span for places in found.values() for span in places]
    if not spans:
        return
    for number in unfounded_numbers(sentence, spans, source):
        yield place.finding(Fault.NUMBER, f"the number “{number}” does not stand beside its quotes")
    for name in unfounded_names(sentence, spans, source):
        yield place.finding(Fault.NAME, f"the name “{name}” does not stand around its quotes")
    for problem in contradictions(sentence, spans, source):
        yield place.finding(Fault.POLARITY, problem)
    if _share_around(sentence, spans, source) < LEAST_SHARED:
        yield place.finding(Fault.SUPPORT, "has next to nothing in common with the passage that it quotes")


def _trusted(spans: Iterable[Span], source: Source) -> list[Span]:
    """The places that are no instruction to a model, which bears nothing out."""
    return [span for span in spans if not intruders.is_command(source.sentences_around(span, 0))]


def _unquoted(place: _Place, found: dict[str, list[Span]], source: Source) -> Iterator[str]:
    for quote, spans in found.items():
        if not spans:
            yield f"the text does not hold “{textwrap.shorten(quote, 160)}” word for word"
    longest = max((count_words(quote) for quote in found), default=0)
    is_long_enough = longest >= LEAST_QUOTE_WORDS or any(
        _is_whole(quote, spans, source) for quote, spans in found.items()
    )
    if not is_long_enough and _needs_quote(place, source):
        yield f"needs a quote of at least {LEAST_QUOTE_WORDS} words from the text"


_SPEAKERS = ("authors", "researchers", "writers", "paper", "study", "article", "post")
_SPEAKING = ("conclude", "report", "note", "argue", "find", "consider", "believe", "acknowledge", "warn", "expect")
_REPORTING = frozenset(map(stem, (*_SPEAKERS, *_SPEAKING, "suggest", "according")))
"""Words by which a claim speaks of the piece, which does not speak of itself so."""


def _is_whole(quote: str, spans: Iterable[Span], source: Source) -> bool:
    """Whether a quote is a whole sentence of the text and no scrap."""
    is_sentence = any(source.sentences_around(span, 0) == plain_text(quote) for span in spans)
    return is_sentence and count_words(quote) >= LEAST_SENTENCE_WORDS


_RESULT = re.compile(
    r"\b(?:found|finds?|show(?:s|ed|n)?|demonstrat\w+|report(?:s|ed)|achiev\w+|outperform\w*|underperform\w*|"
    r"improved|reduced|increased|decreased|dropped|raised|beat|fell|rose|gained|lost|proved|proves|observed|"
    r"measured|results? (?:show|suggest|indicate)\w*)\b",
    re.IGNORECASE,
)


def _needs_quote(place: _Place, source: Source) -> bool:
    """Whether a claim must be borne out: always where the section asks for it, else when it states a fact."""
    sentence = place.claim.sentence
    states_a_fact = bool(_RESULT.search(sentence)) or any(numbers_in(sentence)) or any(names_in(sentence, source))
    return place.spec.needs_quotes or bool(place.claim.quotes) or states_a_fact


def _share_around(sentence: str, spans: Iterable[Span], source: Source) -> float:
    """Share of a claim's words that stand around its quotes; 1 for a claim too short to tell."""
    said = {stem(word) for word in content_words(plain_text(sentence))} - _REPORTING
    around = " ".join(source.paragraphs_around(span, 1) for span in spans)
    there = {stem(word) for word in content_words(f"{around} {source.facts}")}
    return len(said & there) / len(said) if len(said) >= LEAST_WORDS_TO_TELL else 1.0


def _repeats(places: Sequence[_Place]) -> Iterator[Finding]:
    """Claims that say in nearly the same words what an earlier one says."""
    earlier: list[frozenset[str]] = []
    for place in places:
        said = frozenset(map(stem, content_words(plain_text(place.claim.sentence))))
        if said and any(len(said & other) >= REPEATED * len(said | other) for other in earlier):
            yield place.finding(Fault.REPEAT, "says again what was said before")
        earlier.append(said)


def _warnings(place: _Place, source: Source) -> Iterator[Finding]:
    sentence = place.claim.sentence
    opening = prose.stock_opening(sentence)
    if opening and place.place == 0 and _is_prose(place.section) and place.section.heading:
        yield place.finding(Fault.OPENING, f"begins with the stock phrase “{opening}”")
    spans = [span for quote in place.claim.quotes for span in source.find(quote)]
    if word := denied_word(sentence, spans, source):
        yield place.finding(Fault.DENIAL, f"says “{word}”, which the passage denies")
    hedge = prose.hedge_in(" ".join(source.sentences_around(span, 0) for span in spans))
    if hedge and not prose.hedge_in(sentence) and not prose.is_limiting(sentence):
        yield place.finding(Fault.HEDGE, f"the piece says “{hedge}” here, and the claim does not hedge")


def _limits(places: Sequence[_Place], source: Source) -> Iterator[Finding]:
    """Whether the summary leaves out all the limits that the piece states."""
    stated = prose.stated_limit(source.text)
    claims = [place.claim for place in places if not place.spec.is_suggestion]
    if stated and claims and not any(prose.is_limiting(plain_text(claim.sentence)) for claim in claims):
        yield Finding(Fault.LIMITS, f"the piece states limits (“{stated}”), and the summary none")


def _settled(section: Section, spec: SectionSpec, report: Report) -> Section | None:
    """A section without what failed, cut to what is published; None when it does not stand any more."""
    failed = {(finding.block, finding.place) for finding in report.failures if finding.section == section.key}
    doubtful = {finding.block for finding in report.warnings if finding.section == section.key}
    lasting = {
        number: left
        for number, block in enumerate(section.blocks)
        if (left := _what_is_left(block, [(number, place) in failed for place in range(len(block))]))
    }
    if _is_prose(section) and sum(map(len, lasting.values())) * 2 < sum(map(len, section.blocks)):
        return None
    best = sorted(lasting, key=lambda number: not _is_prose(section) and number in doubtful)[: spec.published]
    blocks = tuple(lasting[number] for number in sorted(best))
    return replace(section, blocks=blocks) if len(blocks) >= max(1, spec.least) else None


def _what_is_left(block: Sequence[Claim], failed: Sequence[bool]) -> tuple[Claim, ...]:
    """The claims of a block that stand, without those that hang on one that went."""
    left: list[Claim] = []
    is_cut = False
    for claim, has_failed in zip(block, failed, strict=True):
        is_cut = has_failed or (is_cut and hangs_on_another(claim.sentence))
        if not is_cut:
            left.append(claim)
    return tuple(left)


def _shortages(sections: Iterable[Section], specs: Iterable[SectionSpec]) -> Iterator[str]:
    """Notes on sections with less in them than is published when all goes well."""
    by_key = {spec.key: spec for spec in specs}
    for section in sections:
        spec = by_key[section.key]
        if section.shape == SectionShape.LIST and len(section.blocks) < spec.published:
            yield f"{section.key}: {len(section.blocks)} items of {spec.published}"
