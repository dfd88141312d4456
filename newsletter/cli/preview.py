"""`newsletter preview`: a page that shows what would go out, and follows what it is made of."""

from __future__ import annotations

import argparse
import contextlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._workshop import Workshop
from newsletter.cli.serve import answer, listen, port_of
from newsletter.problems import Problem

if TYPE_CHECKING:
    from newsletter.pipeline import Press
    from newsletter.previews import Preview
    from newsletter.store import Store

HOST = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which issue, whose mail, and where to."""
    parser.add_argument(
        "issue", nargs="?", type=int, metavar="ISSUE", help="number of the issue; without it, the newest"
    )
    parser.add_argument("--as", dest="seen_by", default="", metavar="ADDRESS", help="show this reader's own mail first")
    parser.add_argument("--port", type=int, metavar="PORT", help="port on this machine; without it, any free one")
    parser.add_argument("--static", type=Path, metavar="DIR", help="write the page to a folder, and serve nothing")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Serve the page to this machine until told to stop, or write it; open it when a person is there to look."""
    if arguments.static:
        return _write(arguments, workshop)
    from newsletter.web import preview

    # What is wrong from the start is told here and not on the page.
    with workshop.store(read_only=True) as store:
        _prepared(arguments, workshop, store)
    secret = secrets.token_urlsafe(18)
    looks = preview.Preview(
        lambda stamp: _made(arguments, Workshop(arguments), stamp),
        lambda: preview.stamp_of(_watched(arguments, workshop)),
    )
    with listen(HOST, port_of(arguments.port, 0)) as listener:
        port = listener.getsockname()[1]
        url = f"http://{HOST}:{port}/{secret}/"
        workshop.console.say(f"Preview on {url}, for this machine alone; Ctrl-C ends it.")
        workshop.console.finish({"preview": url})
        workshop.console.out.flush()
        if not arguments.no_open:
            open_page(workshop, url)
        answer(preview.application(looks, secret, (f"{HOST}:{port}", f"localhost:{port}")), listener)
    return Exit.DONE


def _write(arguments: argparse.Namespace, workshop: Workshop) -> int:
    from newsletter import previews

    with workshop.store(read_only=True) as store:
        press, preview = _prepared(arguments, workshop, store)
        page = previews.write(press, preview, arguments.static.absolute())
    workshop.console.say(f"{preview.issue.title}: {page}")
    editions = len(preview.editions)
    workshop.console.finish({"issue": preview.issue.number, "preview": str(page), "editions": editions})
    if not arguments.no_open:
        open_page(workshop, page.as_uri())
    return Exit.DONE


def _prepared(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> tuple[Press, Preview]:
    """The preview of the issue that is asked for. Raises Stop when there is none, and what rendering it raises."""
    from newsletter import issues, previews

    press = workshop.press(store)
    with store.read() as session:
        newest = next((row.id for row in issues.listing(session) if row.state != issues.REJECTED), None)
        number = arguments.issue or newest
        if number is None:
            raise Stop(Exit.USAGE, "there is no issue yet; `newsletter build` makes a draft")
        return press, previews.prepare(press, session, number, arguments.seen_by)


def _made(arguments: argparse.Namespace, workshop: Workshop, stamp: str) -> Mapping[str, bytes]:
    """The page and its files, by a configuration that is read anew; or a page that says what is wrong."""
    from newsletter import previews
    from newsletter.rendering import Masthead, Renderer
    from newsletter.web.preview import PAGE

    try:
        with workshop.store(read_only=True) as store:
            press, preview = _prepared(arguments, workshop, store)
            return {PAGE: previews.page(press, preview, stamp).encode(), **previews.files(preview)}
    except (Problem, Stop) as problem:
        # By our own templates: the owner's may be what is wrong.
        ours = Renderer(Masthead("", ""))
        return {PAGE: ours.page("preview_problem.html", problem=str(problem), live=stamp).encode()}


def _watched(arguments: argparse.Namespace, workshop: Workshop) -> list[Path]:
    """What the page is made of, but for the database: the configuration, our templates and the owner's."""
    from newsletter.rendering import templates_folder

    places = [workshop.settings.file, templates_folder()]
    with contextlib.suppress(Problem):
        settings = Workshop(arguments).settings
        if settings.config.theme.templates:
            places.append(settings.folder / settings.config.theme.templates)
    return [place for place in places if place]


def open_page(workshop: Workshop, url: str) -> None:
    """Open a page in a browser, if this is a terminal."""
    if workshop.console.is_terminal and not workshop.console.as_json:
        import webbrowser

        webbrowser.open(url)
