"""Every page in every state that a visitor can find it in: a line each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subscribers import Frequency
from tests.browser.town import LONG_WORD, Town

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

LONG_ADDRESS = f"{LONG_WORD}@{LONG_WORD}.example.com"
FORM = "application/x-www-form-urlencoded"
LONG_AGO = dt.timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Place:
    """A page in a state. ``post`` is the form that leads there; without one, the page is opened by its address."""

    path: Callable[[Town], str]
    status: int = 200
    post: str | None = None
    kind: str = FORM

    @property
    def method(self) -> str:
        """How it is asked for."""
        return "GET" if self.post is None else "POST"

    def open(self, page: Page, town: Town) -> None:
        """Go there. The status must be the one that is expected: another page would be looked at in its place."""
        address = f"{town.base}{self.path(town)}"
        if self.post is not None:
            page.route(address, lambda route: self._send(route), times=1)
        answer = page.goto(address)
        assert answer is not None and answer.status == self.status, f"{self.path} answers {answer and answer.status}"

    def _send(self, route: Route) -> None:
        headers = {**route.request.headers, "content-type": self.kind}
        route.continue_(method=self.method, headers=headers, post_data=self.post)


def at(path: str) -> Callable[[Town], str]:
    """A page that is the same for everyone."""
    return lambda town: path


def wishes(**changes: str) -> str:
    """The form of preferences, filled in."""
    given = {"follow": "everything", "frequency": "every", "pause": "none", "format": "html", "time_zone": ""}
    return "&".join(f"{key}={value}" for key, value in {**given, "save": "yes", **changes}.items())


PLACES: dict[str, Place] = {
    # The archive.
    "all issues": Place(at("/issues")),
    "search": Place(at("/issues?q=model")),
    "search without a hit": Place(at(f"/issues?q={LONG_WORD}{LONG_WORD}nowhere")),
    "after the last page": Place(at("/issues?q=model&before=1")),
    "issue": Place(at("/issues/1")),
    "issue of excerpts": Place(at("/issues/2")),
    "issue with a mistake": Place(at("/issues/3")),
    "issue of long words": Place(at("/issues/4")),
    "topics": Place(at("/topics")),
    "topic": Place(at("/topics/safety")),
    "topic of long words": Place(at("/topics/theory")),
    "topic without pieces": Place(at("/topics/policy")),
    # Where there is no page.
    "no page": Place(at("/nowhere"), 404),
    "a fault": Place(at("/broken"), 500),
    "no database": Place(at("/out-of-reach"), 503),
    "a forged link": Place(at("/p/p.1.AAAAAAAAAAAAAAAAAAAAAA"), 404),
    "an expired link": Place(lambda town: town.undo(town.gone(LONG_AGO)), 410),
    "a form that is too large": Place(lambda town: town.preferences(town.active()), 413, post="x" * 20_000),
    "a form that cannot be read": Place(
        lambda town: town.preferences(town.active()), 400, post="x", kind="multipart/form-data"
    ),
    # Asking for the newsletter.
    "subscribe": Place(at("/subscribe")),
    "subscribe by a strange form": Place(at("/subscribe"), 400, post="address=ada@example.com"),
    "subscribe without an address": Place(at("/subscribe"), 422, post="subscribe=yes&follow=everything&address=ada"),
    "subscribe without a topic": Place(
        at("/subscribe"), 422, post="subscribe=yes&follow=chosen&address=ada@example.com"
    ),
    "asked": Place(at("/subscribe"), post=f"subscribe=yes&follow=everything&address={LONG_ADDRESS}"),
    "lost": Place(at("/lost")),
    "lost without an address": Place(at("/lost"), 422, post="address="),
    "asked for links": Place(at("/lost"), post=f"address={LONG_ADDRESS}"),
    "confirm": Place(lambda town: town.confirm(town.pending())),
    "confirm of a chooser": Place(lambda town: town.confirm(town.pending("safety", "theory"))),
    "confirmed": Place(lambda town: town.confirm(town.pending()), post="confirm=yes"),
    "confirmed before": Place(lambda town: town.confirm(town.active())),
    "confirm too late": Place(lambda town: town.confirm(town.pending(), LONG_AGO), 410),
    # What a reader gets.
    "preferences": Place(lambda town: town.preferences(town.active())),
    "preferences before confirming": Place(lambda town: town.preferences(town.pending())),
    "preferences of a chooser": Place(lambda town: town.preferences(town.chooser("safety", "theory"))),
    "preferences without a topic left": Place(lambda town: town.preferences(town.chooser("gone"))),
    "preferences in a pause": Place(lambda town: town.preferences(town.paused())),
    "preferences saved": Place(lambda town: town.preferences(town.active()), post=wishes()),
    "preferences saved without a topic": Place(
        lambda town: town.preferences(town.active()), post=wishes(follow="chosen")
    ),
    "preferences with an unknown topic": Place(
        lambda town: town.preferences(town.active()), 422, post=wishes(follow="chosen", topic="nowhere")
    ),
    "preferences with an unknown time zone": Place(
        lambda town: town.preferences(town.active()), 422, post=wishes(time_zone=LONG_WORD)
    ),
    "preferences without a choice": Place(
        lambda town: town.preferences(town.active()), 422, post=wishes(format="letters")
    ),
    "preferences after leaving": Place(lambda town: town.preferences(town.gone())),
    "preferences of nobody": Place(lambda town: town.preferences(town.erased()), 410),
    "feedback": Place(lambda town: town.feedback(town.active())),
    "feedback on long words": Place(lambda town: town.feedback(town.active(), 4)),
    "feedback given": Place(lambda town: town.feedback(town.active()), post="worth=yes"),
    "feedback against": Place(lambda town: town.feedback(town.active()), post="worth=no"),
    "feedback on what was withdrawn": Place(lambda town: town.feedback(town.active(), 3, 2), 404),
    # A reader's data.
    "data letter": Place(lambda town: town.data_letter(town.active())),
    "data letter sent": Place(lambda town: town.data_letter(town.active()), post="send=yes"),
    "data": Place(lambda town: town.data(town.active())),
    "data without an address": Place(lambda town: town.data(town.active()), 422, post="do=move&address=ada"),
    "data with the same address": Place(
        lambda town: town.data(town.reader("same@example.com")), 422, post="do=move&address=same@example.com"
    ),
    "data while moving": Place(lambda town: town.data(town.active()), post=f"do=move&address={LONG_ADDRESS}"),
    "data not deleted": Place(lambda town: town.data(town.active()), 422, post="do=delete"),
    "data deleted": Place(lambda town: town.data(town.active()), post="do=delete&sure=yes"),
    "new address": Place(lambda town: town.change(town.active())),
    "new address in use": Place(lambda town: town.change(town.active()), post="move=yes"),
    # Leaving.
    "leaving": Place(lambda town: town.unsubscribe(town.active())),
    "leaving before confirming": Place(lambda town: town.unsubscribe(town.pending())),
    "leaving with one mail a week": Place(lambda town: town.unsubscribe(town.active(frequency=Frequency.WEEKLY))),
    "leaving of a chooser": Place(lambda town: town.unsubscribe(town.chooser("safety", "theory"))),
    "leaving with no topic ticked": Place(lambda town: town.unsubscribe(town.active()), 422, post="instead=topics"),
    "left": Place(lambda town: town.unsubscribe(town.active()), post="leave=yes"),
    "left before": Place(lambda town: town.unsubscribe(town.gone())),
    "left long ago": Place(lambda town: town.unsubscribe(town.gone(LONG_AGO))),
    "left by a complaint": Place(lambda town: town.unsubscribe(town.complained())),
    "undo": Place(lambda town: town.undo(town.gone())),
    "undone": Place(lambda town: town.undo(town.gone()), post="undo=yes"),
    "undone with one mail a week": Place(lambda town: town.undo(town.gone()), post="instead=weekly"),
    "undone with topics": Place(lambda town: town.undo(town.gone()), post="instead=topics&topic=safety&topic=theory"),
    "undone with a pause": Place(lambda town: town.undo(town.gone()), post="instead=pause-90"),
    "undone before confirming": Place(lambda town: town.undo(town.gone(reader=town.pending())), post="undo=yes"),
    "one mail a month": Place(
        lambda town: town.undo(town.gone(reader=town.active(frequency=Frequency.MONTHLY))), post="undo=yes"
    ),
}
