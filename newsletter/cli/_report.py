"""How a preview and a sending read on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from newsletter.cli._console import Console
from newsletter.cli.costs import in_words

if TYPE_CHECKING:
    from newsletter.previews import Grounded, Preview

MOST_LEFT_OUT = 8


def tell(console: Console, preview: Preview, page: Path) -> None:
    """The whole report, in the order in which an owner asks."""
    first = preview.editions[0]
    console.row("Issue", f"{preview.issue.number} ({preview.issue.state}): {preview.issue.title}")
    console.row("Subject", first.subject)
    console.row("Preheader", first.preheader)
    console.say()
    _pieces(console, preview)
    _left_out(console, preview)
    _audience(console, preview)
    _editions(console, preview)
    for number, (name, value) in enumerate(first.headers):
        console.row("Headers" if not number else "", f"{name}: {value}")
    console.say()
    for number, check in enumerate(preview.checks):
        mark = console.paint("ok", "green") if check.ok else console.paint("NOT OK", "red")
        console.row("Checks" if not number else "", f"{mark} {check.name}: {check.detail}")
    console.row("Cost", in_words(preview.cost))
    console.row("Preview", str(page))
    console.say()
    console.say("Nothing was handed over.")


def _pieces(console: Console, preview: Preview) -> None:
    for number, entry in enumerate(preview.issue.pieces, 1):
        marked = " [excerpts]" if entry.summary.kind.value == "excerpts" else ""
        authors = f" by {', '.join(entry.piece.authors)}" if entry.piece.authors else ""
        console.row("Pieces" if number == 1 else "", f"{number}. {entry.piece.title}{marked}")
        console.row("", f"   {entry.piece.source.name}{authors}, {entry.summary.minutes} min, piece {entry.piece.id}")
        console.row("", f"   {entry.why}")
        console.row("", f"   {_grounding(preview.grounded[number - 1])}")
    console.say()


def _grounding(found: Grounded) -> str:
    """How far a piece's summary is borne out, in one line."""
    parts = [f"{found.words_read:,} of {found.words_total:,} words read"]
    parts += [f"{found.claims} sentences with {found.quotes} quotes"]
    parts += [f"{len(found.removed)} left out by the checks"] if found.removed else []
    parts += [f"{len(found.warnings)} to look at"] if found.warnings else []
    return ", ".join(parts)


def _left_out(console: Console, preview: Preview) -> None:
    left = preview.selection["left_out"]
    for number, choice in enumerate(left[:MOST_LEFT_OUT]):
        console.row("Left out" if not number else "", f"{choice['title']} (piece {choice['piece']}): {choice['why']}")
    if len(left) > MOST_LEFT_OUT:
        console.row(
            "", f"... and {len(left) - MOST_LEFT_OUT} more: `newsletter issues show {preview.issue.number} --why`"
        )
    if left:
        console.say()


def _audience(console: Console, preview: Preview) -> None:
    people = preview.audience.get("audience", 0)
    what = "every issue" if not preview.issue.is_round_up else f"the {preview.issue.kind} round-up"
    console.row("Audience", f"{people:,} {'reader' if people == 1 else 'readers'} of {what}")
    for reason, count in preview.audience.items():
        if reason != "audience":
            console.row("", f"{count:,} not mailed: {reason}")
    for reason, count in preview.skipped.items():
        console.row("", f"{count:,} of them skipped: {reason}")
    console.say()


def _editions(console: Console, preview: Preview) -> None:
    positions = {entry.piece.id: number for number, entry in enumerate(preview.issue.pieces, 1)}
    for number, edition in enumerate(preview.editions):
        pieces = ", ".join(str(positions[piece]) for piece in edition.piece_ids)
        sizes = edition.sizes
        who = "; ".join(edition.follows) or "nobody yet"
        console.row(
            "Editions" if not number else "",
            f"{edition.name}: {'piece' if len(edition.piece_ids) == 1 else 'pieces'} {pieces}; "
            f"{edition.readers:,} {'reader' if edition.readers == 1 else 'readers'} ({who}); "
            f"HTML {sizes['html'] / 1000:.1f} kB, text {sizes['text'] / 1000:.1f} kB",
        )
    console.say()


def sent(console: Console, title: str, provider: str, counts: dict[str, int], skipped: dict[str, int]) -> None:
    """What became of an issue's deliveries: every state, and who was skipped and why."""
    total = sum(counts.values())
    states = (
        ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in counts.items())
        or "nobody is subscribed yet"
    )
    console.row("Sent", f"{title}: {total:,} {'delivery' if total == 1 else 'deliveries'} by {provider}: {states}")
    for reason, count in skipped.items():
        console.row("", f"{count:,} skipped: {reason}")
