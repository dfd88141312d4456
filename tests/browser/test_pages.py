"""Every page and state in Chromium: nothing that axe-core finds, room at every size, and a way through by keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser import looks
from tests.browser.conftest import Open
from tests.browser.places import PLACES
from tests.browser.town import Town

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


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


@pytest.mark.parametrize("place", ["all issues", "issue with a mistake", "subscribe", "preferences", "data"])
def test_a_page_says_the_same_in_the_same_order_without_style(
    place: str, town: Town, page: Page, open_page: Open
) -> None:
    PLACES[place].open(page, town)
    with open_page(styled=False) as bare:
        bare.goto(page.url)
        assert not looks.squeezed(bare)
        assert words(page) <= words(bare)


def words(page: Page) -> set[str]:
    """The words that are shown."""
    return set(re.findall(r"\w+", page.inner_text("body").lower()))
