"""The mails in Chromium, as a webmail shows them: nothing that axe-core finds, room at every width, nothing loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from newsletter import issues
from newsletter.rendering import Reader
from newsletter.values import Edition
from tests.browser import looks
from tests.browser.town import LONG_WORD, Town
from tests.browser.wording import WORDS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

URL = f"https://newsletter.example.com/p/{'x' * 60}"
VALUES = {
    "address": f"{LONG_WORD}@example.com",
    "contact": "owner@example.com",
    "url": URL,
    "archive_url": URL,
    "unsubscribe_url": URL,
    "title": f"AI Research Digest — 1 June 2026, {LONG_WORD}",
    "command": "newsletter issues approve 3",
    "until": "Mon 1 Jun 2026, 19:00 Europe/Berlin",
}


def edition(number: int) -> Callable[[Town], str]:
    """The mail of an issue with all its pieces."""

    def made(town: Town) -> str:
        with town.store.read() as session:
            issue = issues.load(session, number)
        reader = Reader(VALUES["address"], URL, URL, "you follow safety and evaluations", URL)
        return town.press.renderer.edition(Edition(issue, issue.pieces)).html(reader)

    return made


def letter(kind: str) -> Callable[[Town], str]:
    """A letter of that kind; the one to the owner holds a whole issue as text."""

    def made(town: Town) -> str:
        with town.store.read() as session:
            issue = issues.load(session, 1)
        digest = town.press.renderer.edition(Edition(issue, issue.pieces)).text_form
        values = {**VALUES, "digest": digest.fill(dict.fromkeys(digest.gaps, ""))}
        return town.press.renderer.letter(kind, values).html

    return made


MAILS = {
    "issue": edition(1),
    "issue of excerpts": edition(2),
    "issue of long words": edition(4),
    **{f"letter: {kind}": letter(kind) for kind in WORDS["letters"]},
}


@pytest.mark.parametrize("mail", MAILS)
def test_a_mail_is_accessible_and_has_room(mail: str, town: Town, page: Page) -> None:
    page.goto("about:blank")
    page.set_content(MAILS[mail](town))
    assert not looks.violations_everywhere(page)
    for width in (looks.WIDE, looks.ZOOMED, looks.NARROW):
        looks.look(page, width)
        assert not looks.squeezed(page), width
