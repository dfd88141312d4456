"""Every form by keyboard alone, in a window of half the size (200 % zoom) and without any style."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import subscribers
from subscribers import Format, State
from tests.browser import looks
from tests.browser.conftest import Open
from tests.browser.hands import Hands
from tests.browser.places import at
from tests.browser.town import Town
from tests.browser.wording import say

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Wrote = tuple[str, ...]
"""What is done: how (a method of Hands), the control's name as a person hears it, and what is written there."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form: whose it is, where, what is done by keyboard, what the page then says, and what is then so."""

    reader: Callable[[Town], int]
    path: Callable[[Town, int], str]
    steps: tuple[Wrote, ...]
    says: str
    proof: Callable[[Town, int], bool] = lambda town, reader: True


def everyone(path: str) -> Callable[[Town, int], str]:
    """A form that is the same for everyone."""
    return lambda town, reader: at(path)(town)


def nobody(town: Town) -> int:
    """No reader is needed."""
    return 0


def is_gone(town: Town, reader: int) -> bool:
    """Whether the reader has left."""
    return town.row(reader).state == State.UNSUBSCRIBED


def is_active(town: Town, reader: int) -> bool:
    """Whether the reader is on the list."""
    return town.row(reader).state == State.ACTIVE


def is_paused(town: Town, reader: int) -> bool:
    """Whether the reader is on the list and in a pause."""
    return is_active(town, reader) and town.wishes(reader).paused_until is not None


def follows_safety(town: Town, reader: int) -> bool:
    """Whether the reader gets only pieces on safety."""
    return town.wishes(reader).topics == frozenset({"safety"})


def is_changed(town: Town, reader: int) -> bool:
    """Whether everything on the page of preferences was saved."""
    wishes = town.wishes(reader)
    return (wishes.topics, wishes.format, wishes.time_zone) == (frozenset({"safety"}), Format.TEXT, "Asia/Tokyo")


def is_moved(town: Town, reader: int) -> bool:
    """Whether the reader has another address."""
    with town.store.read() as session:
        return subscribers.consents_of(session, reader)[-1].address == town.row(reader).address


def is_erased(town: Town, reader: int) -> bool:
    """Whether there is nobody of that number."""
    try:
        town.row(reader)
    except LookupError:
        return True
    return False


PAUSED = say("settled_pause", date="\0").partition("\0")[0]
ONLY_SAFETY = (("choose", say("follow_chosen")), ("tick", "Safety"))

FORMS: dict[str, Form] = {
    "search": Form(
        nobody,
        everyone("/issues"),
        (("write", say("search_label"), "model"), ("press", say("search"))),
        say("quoted", text="model"),
    ),
    "subscribe": Form(
        nobody,
        everyone("/subscribe"),
        (("write", say("address"), "bo@example.com"), *ONLY_SAFETY, ("press", say("subscribe_button"))),
        say("asked_title"),
    ),
    "subscribe by Enter in a field": Form(
        nobody, everyone("/subscribe"), (("send", say("address"), "cy@example.com"),), say("asked_title")
    ),
    "lost": Form(
        nobody,
        everyone("/lost"),
        (("write", say("address"), "bo@example.com"), ("press", say("lost_button"))),
        say("asked_title"),
    ),
    "send again": Form(
        nobody,
        everyone("/lost"),
        (("send", say("address"), "bo@example.com"), ("press", say("send_again"))),
        say("asked_title"),
    ),
    "confirm": Form(Town.pending, Town.confirm, (("press", say("confirm_button")),), say("welcome"), is_active),
    "preferences": Form(
        Town.active,
        Town.preferences,
        (
            *ONLY_SAFETY,
            ("choose", say("format_text")),
            ("write", say("time_zone"), "Asia/Tokyo"),
            ("press", say("save")),
        ),
        say("saved"),
        is_changed,
    ),
    "leave": Form(Town.active, Town.unsubscribe, (("press", say("leave_button")),), say("left_title"), is_gone),
    "a pause instead": Form(Town.active, Town.unsubscribe, (("press", say("fewer_pause_30")),), PAUSED, is_paused),
    "topics instead": Form(
        Town.active,
        Town.unsubscribe,
        (("tick", "Safety"), ("press", say("fewer_topics"))),
        say("you_follow", topics="Safety"),
        follows_safety,
    ),
    "undo": Form(Town.gone, Town.undo, (("press", say("undo_button")),), say("settled_title"), is_active),
    "undo with a pause": Form(Town.gone, Town.undo, (("press", say("fewer_pause_90")),), PAUSED, is_paused),
    "feedback": Form(Town.active, Town.feedback, (("press", say("feedback_no")),), say("feedback_no_said")),
    "data letter": Form(Town.active, Town.data_letter, (("press", say("data_letter_button")),), say("data_sent")),
    "move": Form(
        Town.active,
        Town.data,
        (("write", say("new_address"), "di@example.com"), ("press", say("move_button"))),
        say("move_sent", address="di@example.com"),
    ),
    "new address": Form(Town.active, Town.change, (("press", say("address_button")),), say("moved_title"), is_moved),
    "delete": Form(
        Town.active,
        Town.data,
        (("tick", say("sure")), ("press", say("delete_button"))),
        say("deleted_title"),
        is_erased,
    ),
}


@pytest.fixture(scope="module", params=["zoomed", "without style"])
def window(request: pytest.FixtureRequest, open_page: Open) -> Iterator[Page]:
    """A page as a person at 200 % zoom has it, and as one whose browser shows no style."""
    if request.param == "zoomed":
        with open_page(looks.ZOOMED, 450, scale=2) as page:
            yield page
    else:
        with open_page(styled=False) as page:
            yield page


@pytest.mark.parametrize("name", FORMS)
def test_a_form_works_by_keyboard_alone(name: str, town: Town, window: Page) -> None:
    form = FORMS[name]
    reader = form.reader(town)
    window.goto(f"{town.base}{form.path(town, reader)}")
    hands = Hands(window)
    for how, control, *text in form.steps:
        getattr(hands, how)(control, *text)
    assert form.says in " ".join(window.inner_text("main").split())
    assert form.proof(town, reader)


def test_space_presses_a_button_too(town: Town, window: Page) -> None:
    reader = town.active()
    window.goto(f"{town.base}{town.unsubscribe(reader)}")
    Hands(window).press(say("leave_button"), "Space")
    assert is_gone(town, reader)
