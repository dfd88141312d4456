"""Every page and state in Chromium: nothing that axe-core finds, room at every size, and a way through by keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from starlette.routing import Match, Route
from starlette.types import Scope

import subscribers.pages
from newsletter.web.archive import Archive
from newsletter.web.readers import desk
from tests.browser import looks
from tests.browser.conftest import Open
from tests.browser.places import PLACES
from tests.browser.town import Town

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NO_PAGES = {"/", "/feed.xml", "/sitemap.xml", "/robots.txt", "/mark.svg"}
"""Addresses that answer no page of their own."""


@pytest.fixture(scope="module", params=PLACES)
def shown(request: pytest.FixtureRequest, town: Town, page: Page) -> Page:
    """The page in a state: opened once for all that is asked of it."""
    looks.look(page, looks.WIDE)
    PLACES[request.param].open(page, town)
    return page


def test_axe_finds_nothing(shown: Page) -> None:
    """At a desktop's and a phone's width, in light and dark."""
    assert not looks.violations_everywhere(shown)


def test_everything_has_room_and_an_order_at_every_size(shown: Page) -> None:
    """Also at 200 % zoom, with text of twice the size, and with the distances that a reader may set."""
    assert not looks.crowding(shown)


def test_tab_leads_through_everything_in_order_and_is_seen(shown: Page) -> None:
    looks.look(shown, looks.WIDE)
    assert not looks.walk(shown)


def test_the_first_stop_skips_to_the_content(town: Town, page: Page) -> None:
    page.goto(f"{town.base}/issues/1")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_pages_say_the_same_without_style(town: Town, page: Page, open_page: Open) -> None:
    """In the document's order, which the styled page must show too."""
    with open_page(styled=False) as bare:
        for place in ("all issues", "issue with a mistake", "subscribe", "preferences", "data"):
            PLACES[place].open(page, town)
            bare.goto(page.url)
            assert words(page) <= words(bare)


def test_every_page_is_looked_at(town: Town) -> None:
    """Each address has a state in the list, and each form one that its answer shows."""
    press = town.press
    routes = [*subscribers.pages.routes(desk(press, lambda: None)), *Archive(press).routes()]
    looked_at = {(place.method, urlsplit(place.path(town)).path) for place in PLACES.values()}
    left_out = {
        (method, route.path)
        for route in routes
        if isinstance(route, Route) and route.path not in NO_PAGES
        for method in (route.methods or set()) - {"HEAD"}
        if not any(route.matches(scope(*asked))[0] is Match.FULL for asked in looked_at if asked[0] == method)
    }
    assert not left_out


def scope(method: str, path: str) -> Scope:
    """A request as a route judges it."""
    return {"type": "http", "method": method, "path": path, "headers": []}


def words(page: Page) -> set[str]:
    """The words that are shown."""
    return set(re.findall(r"\w+", page.inner_text("body").lower()))
