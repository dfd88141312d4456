"""An issue and its readers' preferences -> editions, and who gets which. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from newsletter.values import Edition, Issue, IssuePiece

EVERYTHING = None
"""What a reader follows who follows everything."""

Follows = frozenset[str] | None
"""Topic keys that a reader has chosen, or EVERYTHING."""


NOTHING_FITS = "no piece fits their topics"
NO_TOPIC_LEFT = "follows no topic that still exists"
"""Why readers get no edition."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a group of readers gets: an edition, or none and the reason."""

    edition: Edition | None
    reason: str = ""


def fitting(issue: Issue, follows: Follows) -> tuple[IssuePiece, ...]:
    """The pieces of an issue for readers who follow these topics, in the issue's order.

    A piece without a topic goes to readers of everything alone.
    """
    if follows is EVERYTHING:
        return issue.pieces
    return tuple(entry for entry in issue.pieces if follows & set(entry.topics))


def assign(issue: Issue, groups: Iterable[Follows], known_topics: Iterable[str]) -> dict[Follows, Assignment]:
    """The edition of every group of readers. Groups that get the same pieces share one edition.

    ``known_topics`` are the configured keys: a removed topic stays in old preferences and selects nothing.
    """
    known, editions = frozenset(known_topics), dict[tuple[int, ...], Edition]()
    result: dict[Follows, Assignment] = {}
    for follows in groups:
        pieces = fitting(issue, follows if follows is EVERYTHING else follows & known)
        if not pieces:
            left = follows is not EVERYTHING and not follows & known
            result[follows] = Assignment(None, NO_TOPIC_LEFT if left else NOTHING_FITS)
            continue
        numbers = tuple(entry.piece.id for entry in pieces)
        result[follows] = Assignment(editions.setdefault(numbers, Edition(issue, pieces)))
    return result


def describe(follows: Follows, names: Mapping[str, str]) -> str:
    """What a reader follows, for the owner: "evaluations and interpretability". ``names`` are the topics' by key."""
    if follows is EVERYTHING:
        return "everything"
    chosen = [name if name.isupper() else name[:1].lower() + name[1:] for key, name in names.items() if key in follows]
    *first, last = chosen or ["no topic that exists"]
    return f"{', '.join(first)} and {last}" if first else last
