"""`newsletter preview`: a page that shows what would go out."""

from __future__ import annotations

import argparse
from pathlib import Path

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._workshop import Workshop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which issue, and where to."""
    parser.add_argument(
        "issue", nargs="?", type=int, metavar="ISSUE", help="number of the issue; without it, the newest"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Write the page, and open it when a person is there to look."""
    from newsletter import issues, previews

    with workshop.store(read_only=True) as store:
        press = workshop.press(store)
        with store.read() as session:
            newest = next((row.id for row in issues.listing(session) if row.state != issues.REJECTED), None)
            number = arguments.issue or newest
            if number is None:
                raise Stop(Exit.USAGE, "there is no issue yet; `newsletter build` makes a draft")
            preview = previews.prepare(press, session, number)
        folder = (arguments.out or workshop.settings.data_folder / "preview" / f"issue-{number}").absolute()
        page = previews.write(press, preview, folder)
    workshop.console.say(f"{preview.issue.title}: {page}")
    workshop.console.finish({"issue": number, "preview": str(page), "editions": len(preview.editions)})
    if not arguments.no_open:
        open_page(workshop, page)
    return Exit.DONE


def open_page(workshop: Workshop, page: Path) -> None:
    """Open a page in a browser, if this is a terminal."""
    if workshop.console.is_terminal and not workshop.console.as_json:
        import webbrowser

        webbrowser.open(page.as_uri())
