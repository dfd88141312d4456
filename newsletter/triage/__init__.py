"""What a candidate is worth and which topics it has: by rule here, deterministic and without a key; or by Claude.

The rule reads the whole text. It looks for what a careful reader would look for first: is it about what the owner
asked for, is there enough of it, does it bring evidence, is it new. Each part of the score is kept with its reason.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from newsletter.pieces import Candidate
from newsletter.values import Appraisal, Part, Piece, TextOrigin, Topic

MOST_TOPICS = 3
LEAST_WORDS = 60
"""Below this a text says too little to be summed up, unless it is an abstract."""
NOTICE = 4.0
"""Points that each word of a notice takes off."""
CARRIED = 0.3
"""Points for a piece that another source carries too."""
MOST_BY_VOTES, FEW_VOTES = 1.0, 10
"""Points that readers' votes can add or take off; so many votes are worth half of that when all agree."""
NOTICE_WORDS = 300
"""Longest text that can be a notice."""

_RELEVANCE, _DEPTH, _EVIDENCE, _FRESHNESS = 3.5, 3.0, 2.0, 1.5
"""Most points of each part; together 10."""
_EVIDENCE_WORDS = re.compile(
    r"\b(we (?:find|found|show|measure|tested|trained|evaluate|compare|ran)|results?|experiments?|ablations?|"
    r"baselines?|"
    r"control|dataset|accuracy|replicat\w+|limitations?|fail(?:s|ed|ure)?|did not|negative result|seeds?|confidence)\b",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"(?<![\w.])\d[\d,.]*\s?(?:%|x\b|percent|points?|runs|seeds|models|parameters|[KMB]\b)?")
_NOTICES = re.compile(
    r"\b(sponsored|advertisement|register now|save the date|we(?:'| a)re hiring|job opening|apply by|"
    r"apply now|meetup|meet-up|"
    r"open thread|call for papers|promo code|early[- ]bird)\b",
    re.IGNORECASE,
)
_COMMON = frozenset(
    "the and for that with this from not but are was were has have its their what which who how than then into over "  # noqa: SIM905
    "about without working does new read can will would should could more most some any all our your".split()
)


@dataclass(frozen=True, slots=True)
class Brief:
    """What the owner wants: their words, their topics, and how old a piece may be."""

    text: str
    topics: tuple[Topic, ...]
    max_age_days: int


Votes = Mapping[str, tuple[int, int]]
"""Readers' votes, worth their time and not, by the key of a source or of a topic."""


def appraise(
    candidates: Sequence[Candidate],
    brief: Brief,
    weights: Mapping[str, float],
    now: dt.datetime,
    votes: Votes = MappingProxyType({}),
) -> list[Appraisal]:
    """Appraise every candidate by rule.

    ``weights`` are the sources' by key; one that is not configured counts as 1. ``votes`` are on what came out before.
    """
    terms = _terms(brief.text)
    return [_appraise(candidate, brief, terms, weights, now, votes) for candidate in candidates]


def _appraise(
    candidate: Candidate,
    brief: Brief,
    terms: frozenset[str],
    weights: Mapping[str, float],
    now: dt.datetime,
    votes: Votes,
) -> Appraisal:
    piece = candidate.piece
    hits = topic_hits(piece, brief.topics)
    topics = tuple(topic for topic, _ in sorted(hits.items(), key=lambda hit: -hit[1])[:MOST_TOPICS])
    parts = [
        _relevance(piece, hits, terms),
        _depth(piece),
        _evidence(piece),
        _freshness(piece, candidate.first_seen, brief.max_age_days, now),
    ]
    if notices := _notices(piece):
        most = sum(part.points for part in parts)
        parts.append(
            Part("notice", -round(min(most, NOTICE * len(notices)), 4), f"short, and says {', '.join(notices[:3])}")
        )
    parts += extras(candidate, topics, parts, weights, votes)
    return Appraisal(
        piece, candidate.first_seen, topics, tuple(parts), refusal=_refusal(piece, brief.max_age_days, now)
    )


def extras(
    candidate: Candidate, topics: Sequence[str], parts: Sequence[Part], weights: Mapping[str, float], votes: Votes
) -> list[Part]:
    """What is added to any score: that others carry the piece, what readers said, and last the source's weight."""
    added = []
    if candidate.also_in:
        added.append(Part("carried", CARRIED, f"also in {', '.join(candidate.also_in)}"))
    worth, not_worth = (
        sum(votes.get(key, (0, 0))[side] for key in (candidate.piece.source.key, *topics)) for side in (0, 1)
    )
    if worth or not_worth:
        liking = (worth - not_worth) / (worth + not_worth + FEW_VOTES)
        words = f"{counted(worth, 'vote')} for its source and topics, {not_worth} against"
        added.append(Part("readers", round(MOST_BY_VOTES * liking, 4), words))
    weight = weights.get(candidate.piece.source.key, 1.0)
    if weight != 1.0:
        whole = sum(part.points for part in (*parts, *added))
        added.append(Part("source", round(whole * (weight - 1), 4), f"weight {weight:g}"))
    return added


def _notices(piece: Piece) -> list[str]:
    """Words that make a short text a notice; a long article may use any of them once."""
    if piece.words > NOTICE_WORDS:
        return []
    return sorted({found.lower() for found in _NOTICES.findall(f"{piece.title} {piece.text}")})


def _refusal(piece: Piece, max_age_days: int, now: dt.datetime) -> str:
    if piece.published and now - piece.published > dt.timedelta(days=max_age_days):
        return f"published {piece.published.date().isoformat()}, more than {max_age_days} days ago"
    if piece.words < LEAST_WORDS:
        cause = f" ({piece.note})" if piece.note else ""
        return f"only {piece.words} words of text{cause}"
    return ""


def topic_hits(piece: Piece, topics: Sequence[Topic]) -> dict[str, float]:
    """How strongly a piece has each topic: mentions per 1,000 words, with title and categories counted much higher.

    A topic that is only mentioned in passing is left out.
    """
    title, text, words = piece.title.casefold(), piece.text.casefold(), piece.words
    categories = {category.casefold() for category in piece.categories}
    hits = {}
    for topic in topics:
        keywords = _pattern(topic.keywords)
        mentions = len(keywords.findall(text))
        named = bool(keywords.search(title))
        filed = bool(categories & {topic.key, topic.name.casefold(), *(k.casefold() for k in topic.keywords)})
        density = 1000 * mentions / max(words, 200)
        if named or filed or (mentions >= 3 and density >= 2.5):
            hits[topic.key] = round(min(density, 20) + 10 * named + 10 * filed, 4)
    return hits


@lru_cache
def _pattern(keywords: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the keywords as whole words, the longest first; no keyword at all is found nowhere."""
    words = sorted((re.escape(keyword.casefold()) for keyword in keywords), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)" if words else r"(?!)")


def _relevance(piece: Piece, hits: dict[str, float], terms: frozenset[str]) -> Part:
    words = set(re.findall(r"[a-z]{4,}", f"{piece.title} {piece.text}".casefold()))
    shared = sorted(terms & words)
    brief = min(1.0, len(shared) / max(1, min(len(terms), 12)))
    topical = min(1.0, sum(hits.values()) / 25)
    names = ", ".join(sorted(hits, key=lambda key: -hits[key])[:MOST_TOPICS]) or "no topic"
    return Part(
        "relevance",
        round(_RELEVANCE * (0.35 * brief + 0.65 * topical), 4),
        f"{names}; {counted(len(shared), 'word')} of the brief",
    )


def _depth(piece: Piece) -> Part:
    if piece.origin == TextOrigin.ABSTRACT:
        return Part("depth", 1.2, f"an abstract of {piece.words} words")
    words = piece.words
    if not piece.is_full_text:
        return Part("depth", 0.2, f"only {words} words of it")
    share = min(1.0, math.log(words / 150) / math.log(2500 / 150))
    return Part("depth", round(_DEPTH * max(0.0, share), 4), f"{words:,} words")


def _evidence(piece: Piece) -> Part:
    per_thousand = 1000 / max(piece.words, 200)
    cues = len(_EVIDENCE_WORDS.findall(piece.text))
    numbers = len(_NUMBERS.findall(piece.text))
    share = min(1.0, cues * per_thousand / 16) * 0.6 + min(1.0, numbers * per_thousand / 16) * 0.4
    return Part("evidence", round(_EVIDENCE * share, 4), f"{cues} mentions of results, {numbers} numbers")


def _freshness(piece: Piece, first_seen: dt.datetime, max_age_days: int, now: dt.datetime) -> Part:
    # A date in the future is a mistake of the source's; the day it was seen is not.
    date = min(piece.published, first_seen) if piece.published else first_seen
    days = max(0.0, (now - date) / dt.timedelta(days=1))
    return Part(
        "freshness", round(_FRESHNESS * max(0.0, 1 - days / max_age_days), 4), f"{counted(round(days), 'day')} old"
    )


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 day``, ``2 days``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _terms(brief: str) -> frozenset[str]:
    return frozenset(word for word in re.findall(r"[a-z]{4,}", brief.casefold()) if word not in _COMMON)
