"""`newsletter costs`: what the writing cost, by issue, or of one issue by piece."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from newsletter.cli._exits import Exit
from newsletter.cli._workshop import Workshop

if TYPE_CHECKING:
    from newsletter.costs import Cost
    from newsletter.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which issue."""
    parser.add_argument("issue", nargs="?", type=int, metavar="ISSUE", help="one issue, piece by piece")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Print the accounts."""
    with workshop.store(read_only=True) as store:
        if arguments.issue is None:
            return _all(workshop, store)
        return _one(workshop, store, arguments.issue)


def _all(workshop: Workshop, store: Store) -> int:
    from newsletter import costs

    with store.read() as session:
        found = costs.by_issue(session)
    for entry in found:
        name = f"{entry.issue:4}  {entry.title}" if entry.issue else "   -  runs that came to no issue"
        workshop.console.say(f"{name}: {in_words(entry.cost)}")
    total = sum(entry.cost.usd for entry in found)
    workshop.console.say(f"{total:.4f} USD in all" if found else "The model was never asked: nothing was spent.")
    listed = [{"issue": entry.issue or None, "title": entry.title, **entry.cost.as_json()} for entry in found]
    workshop.console.finish({"issues": listed, "usd": round(total, 6)})
    return Exit.DONE


def _one(workshop: Workshop, store: Store, number: int) -> int:
    from newsletter import costs, issues

    with store.read() as session:
        title = issues.row_of(session, number).title
        found, whole = costs.by_piece(session, number), costs.of_issue(session, number)
    workshop.console.say(f"Issue {number}: {title}")
    for entry in found:
        name = f"{entry.title} (piece {entry.piece})" if entry.piece else "all candidates: what to choose"
        workshop.console.say(f"  {name}: {in_words(entry.cost)}")
    workshop.console.say(f"  in all: {in_words(whole)}")
    listed = [{"piece": entry.piece or None, "title": entry.title, **entry.cost.as_json()} for entry in found]
    workshop.console.finish({"issue": number, "title": title, "pieces": listed, **whole.as_json()})
    return Exit.DONE


def in_words(cost: Cost) -> str:
    """A sum of calls in one line."""
    parts = [f"{cost.usd:.4f} USD", f"{cost.calls} {'call' if cost.calls == 1 else 'calls'}"]
    parts += [f"{cost.tokens:,} tokens"] if cost.tokens else []
    parts += [f"{cost.cached} answered from what is kept"] if cost.cached else []
    parts += [f"{cost.failed} without an answer"] if cost.failed else []
    parts += [f"{cost.unpriced} without a known price"] if cost.unpriced else []
    return ", ".join(parts)
