"""`newsletter fetch`: ask every source what is new."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from newsletter.cli._console import Console
from newsletter.cli._exits import Exit
from newsletter.cli._workshop import Workshop
from newsletter.masking import mask_password

if TYPE_CHECKING:
    from newsletter.intake import SourceReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Read the sources. Ends with 4 when one of them could not be read; the others are stored all the same."""
    from newsletter import intake, pipeline

    console = workshop.console
    with workshop.store() as store, workshop.intake(store) as reader:
        reports = pipeline.fetch(workshop.press(store), reader, lambda report: tell(console, report))
    console.finish(result(reports))
    failed = [report for report in reports if report.status in (intake.FAILED, intake.GONE)]
    return Exit.IN_PART if failed else Exit.DONE


def tell(console: Console, report: SourceReport, label: str = "") -> None:
    """One line on a source, and one for each of its entries that needs a word."""
    from newsletter import intake

    name = report.source.name
    if report.status in (intake.FAILED, intake.GONE):
        often = f" ({report.failures} times in a row)" if report.failures >= intake.SHOWN_FAILURES else ""
        console.warn(f"{name}: {report.problem}{often}")
        return
    said = report.problem or _counts(report) if report.status != intake.UNCHANGED else "unchanged"
    console.row(label, f"{name}: {said}") if label else console.say(f"{name}: {said}")
    for piece, twin in report.merged:
        console.detail(f"  {piece.title}: the same piece as in {twin.source.name}")
    for line in report.notes:
        console.detail(f"  {line}")


def _counts(report: SourceReport) -> str:
    parts = [f"{report.entries} {'piece' if report.entries == 1 else 'pieces'}", f"{len(report.new)} new"]
    if report.merged:
        others = ", ".join(dict.fromkeys(twin.source.name for _, twin in report.merged))
        parts.append(f"{len(report.merged)} known from {others}")
    for origin, words in (("page", "read from the page"), ("abstract", "abstracts")):
        count = sum(piece.origin.value == origin for piece in report.new)
        if count:
            parts.append(f"{count} {words}")
    return ", ".join(parts)


def result(reports: list[SourceReport]) -> dict[str, Any]:
    """The reports as plain JSON values."""
    return {
        "sources": [
            {
                "name": report.source.name,
                "url": mask_password(report.source.url),
                "status": report.status,
                "pieces": report.entries,
                "new": [
                    {
                        "piece": p.id,
                        "title": p.title,
                        "text": p.origin.value,
                        "words": p.words,
                        "url": p.url,
                        "note": p.note,
                    }
                    for p in report.new
                ],
                "merged": [{"title": piece.title, "into": twin.id} for piece, twin in report.merged],
                "problem": report.problem,
                "failures": report.failures,
                "notes": list(report.notes),
            }
            for report in reports
        ]
    }
