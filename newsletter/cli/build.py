"""`newsletter build`: select, write and compose today's draft."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from newsletter.cli._console import Console
from newsletter.cli._exits import Exit
from newsletter.cli._workshop import Workshop
from newsletter.cli.fetch import tell

if TYPE_CHECKING:
    from newsletter.intake import SourceReport
    from newsletter.pipeline import Built, Press
    from newsletter.store import Store
    from newsletter.summaries import Desk
    from newsletter.values import Issue


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to begin."""
    parser.add_argument("--no-fetch", action="store_true", help="work with what is stored, ask no source")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Make the draft, or say why there is none; both end with 0."""
    from newsletter import issues

    console = workshop.console
    with workshop.store() as store:
        press, desk = workshop.press(store), workshop.desk(store)
        built = make(workshop, store, press, desk, may_fetch=not arguments.no_fetch)
        if built.number is None:
            console.say(f"No issue: {built.reason}.")
            console.finish({"issue": None, "reason": built.reason})
            return Exit.DONE
        with store.read() as session:
            issue = issues.load(session, built.number)
    show_draft(console, issue, built.changed)
    console.finish(
        {"issue": issue.number, "title": issue.title, "changed": built.changed, "pieces": pieces_json(issue)}
    )
    return Exit.DONE


def make(workshop: Workshop, store: Store, press: Press, desk: Desk, *, may_fetch: bool = True) -> Built:
    """Ask the sources that were not asked lately, and build.

    Raises NothingToRead when there is nothing to choose from and no source could be read.
    """
    from newsletter import pipeline

    def wrote(title: str) -> None:
        workshop.console.detail(f"wrote: {title}")

    if may_fetch:
        with workshop.intake(store) as reader:
            heard = partial(tell_news, workshop.console)
            built = pipeline.fetch_and_build(press, reader, desk, heard=heard, wrote=wrote)
    else:
        built = pipeline.build(press, desk, wrote=wrote)
    tell_warnings(workshop.console, built)
    return built


def tell_warnings(console: Console, built: Built) -> None:
    """Say what did not go as it should."""
    for warning in built.warnings:
        console.warn(warning)


def tell_news(console: Console, report: SourceReport) -> None:
    """Say of a source what is worth a line here: its new pieces, or its problem."""
    if report.new or report.problem:
        tell(console, report)


def show_draft(console: Console, issue: Issue, changed: bool) -> None:
    """The draft in a few lines, and what to do next."""
    console.say(f"{'Draft' if changed else 'Unchanged draft'} {issue.number}: {issue.title}")
    for number, entry in enumerate(issue.pieces, 1):
        marked = " (excerpts)" if entry.summary.kind.value == "excerpts" else ""
        console.say(f"{number:3}. {entry.piece.title}{marked}")
        console.say(f"     {entry.piece.source.name}, {entry.summary.minutes} min; {entry.why}")
    console.note(
        "See it with `newsletter send --dry-run`, change it with `newsletter issues drop|pin`, "
        "send it with `newsletter send`."
    )


def pieces_json(issue: Issue) -> list[dict[str, object]]:
    """The pieces of an issue in short, as plain JSON values."""
    return [
        {
            "piece": entry.piece.id,
            "title": entry.piece.title,
            "source": entry.piece.source.name,
            "kind": entry.summary.kind.value,
            "score": entry.score,
            "why": entry.why,
        }
        for entry in issue.pieces
    ]
