"""The few pieces worth reading, each with why. Pure.

Greedy: the best piece first, then again and again the one that adds most, where a piece of a source or a topic that
the issue already has adds less. So five pieces of one busy forum do not crowd out the one essay of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from newsletter.values import Appraisal, Choice, Selection

SAME_SOURCE = 0.8
"""Points that each piece already chosen from the same source takes off."""
SAME_TOPIC = 0.6
"""Points that each piece already chosen with the same first topic takes off."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How many pieces, how good, and how many of one source."""

    min_pieces: int
    max_pieces: int
    min_score: float
    max_per_source: int


def select(appraisals: Sequence[Appraisal], rules: Rules) -> Selection:
    """Choose the pieces of an issue, best first, and say of every other candidate why not.

    The same candidates in any order give the same selection. With fewer than ``min_pieces`` nothing is chosen and
    ``shortfall`` says why: an issue is never padded.
    """
    chosen: list[tuple[Appraisal, str]] = []
    rest = sorted((a for a in appraisals if not a.refusal), key=lambda a: (-a.pinned, -a.score, a.piece.id))
    while rest and len(chosen) < rules.max_pieces:
        best = max(rest, key=lambda a: _rank(a, chosen, rules))
        if not _may_join(best, chosen, rules):
            break
        rest.remove(best)
        chosen.append((best, _why_chosen(best, chosen)))
    taken = [a for a, _ in chosen]
    left = tuple(Choice(a, False, _why_not(a, taken, rules)) for a in _by_score(appraisals) if a not in taken)
    if len(chosen) < rules.min_pieces:
        return Selection((), tuple(_given_up(chosen, rules)) + left, _shortfall(appraisals, taken, rules))
    return Selection(tuple(Choice(a, True, why) for a, why in chosen), left)


def _by_score(appraisals: Sequence[Appraisal]) -> list[Appraisal]:
    return sorted(appraisals, key=lambda a: (bool(a.refusal), -a.score, a.piece.id))


def _penalty(appraisal: Appraisal, chosen: Sequence[Appraisal]) -> tuple[float, int, int]:
    """Points off for sameness, and the numbers of chosen pieces with the same source and the same first topic."""
    sources = sum(a.piece.source.key == appraisal.piece.source.key for a in chosen)
    topics = sum(bool(a.topics) and a.topics[:1] == appraisal.topics[:1] for a in chosen)
    return SAME_SOURCE * sources + SAME_TOPIC * topics, sources, topics


def _rank(appraisal: Appraisal, chosen: Sequence[tuple[Appraisal, str]], rules: Rules) -> tuple[bool, bool, float, int]:
    taken = [a for a, _ in chosen]
    penalty, _, _ = _penalty(appraisal, taken)
    return (
        appraisal.pinned,
        _may_join(appraisal, chosen, rules),
        round(appraisal.score - penalty, 4),
        -appraisal.piece.id,
    )


def _may_join(appraisal: Appraisal, chosen: Sequence[tuple[Appraisal, str]], rules: Rules) -> bool:
    if appraisal.pinned:
        return True
    _, sources, _ = _penalty(appraisal, [a for a, _ in chosen])
    return appraisal.score >= rules.min_score and sources < rules.max_per_source


def _why_chosen(appraisal: Appraisal, chosen: Sequence[tuple[Appraisal, str]]) -> str:
    if appraisal.pinned:
        return "pinned by the owner"
    penalty, sources, topics = _penalty(appraisal, [a for a, _ in chosen])
    strongest = sorted(appraisal.parts, key=lambda part: -part.points)[:2]
    why = f"score {appraisal.score:.1f}: " + ", ".join(
        f"{part.name} {part.points:.1f} ({part.why})" for part in strongest
    )
    if penalty:
        why += f"; {penalty:.1f} off, {_same(sources, topics)}"
    return appraisal.why or why


def _same(sources: int, topics: int) -> str:
    kinds = [f"{sources} from the same source"] * bool(sources) + [f"{topics} on the same topic"] * bool(topics)
    return "for " + " and ".join(kinds) + " before it"


def _why_not(appraisal: Appraisal, taken: Sequence[Appraisal], rules: Rules) -> str:
    if appraisal.refusal:
        return appraisal.refusal
    if appraisal.score < rules.min_score:
        weakest = min(appraisal.parts, key=lambda part: part.points)
        below = f"score {appraisal.score:.1f} is below {rules.min_score:g}"
        return f"{below}: {weakest.name} {weakest.points:.1f} ({weakest.why})"
    penalty, sources, topics = _penalty(appraisal, taken)
    if sources >= rules.max_per_source:
        return f"{sources} pieces of {appraisal.piece.source.name} are in already"
    off = f", {penalty:.1f} off {_same(sources, topics)}" if penalty else ""
    return f"score {appraisal.score:.1f}{off}: others add more"


def _given_up(chosen: Sequence[tuple[Appraisal, str]], rules: Rules) -> list[Choice]:
    return [
        Choice(a, False, f"worth sending, but fewer than {rules.min_pieces} are; kept for the next issue")
        for a, _ in chosen
    ]


def _shortfall(appraisals: Sequence[Appraisal], taken: Sequence[Appraisal], rules: Rules) -> str:
    if not appraisals:
        return "there is nothing new"
    found = f"{len(taken)} of {len(appraisals)} candidates {'is' if len(taken) == 1 else 'are'} worth sending"
    return f"{found}, and an issue has at least {rules.min_pieces}"
