"""Confirming: one button, one time, and only for the mailbox that was written to."""

from __future__ import annotations

import datetime as dt

import pytest

from newsletter.config import Config
from subscribers import State
from tests.subscribers.pages.conftest import Site, link, main_text


def asked(site: Site) -> str:
    """The path of the link in the letter that asks for confirmation."""
    site.ask()
    return link(site.mails()[-1], "c")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_only_its_button_confirms(method: str, site: Site) -> None:
    path = asked(site)
    before = site.dump()
    assert site.client.request(method, path).status_code == 200
    assert site.dump() == before


def test_who_confirms_is_welcomed_on_the_page_and_by_a_letter_that_can_be_left_like_an_issue(site: Site) -> None:
    path = asked(site)
    number = site.publish()
    page = main_text(site.client.post(path, data={"confirm": "yes"}).text)
    assert "Welcome." in page and "Read the newest issue" in page
    (letter,) = site.mails()
    assert letter["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert f"/issues/{number}" in letter.as_string()
    assert site.one_click(link(letter, "u"))[0] == 200
    row = site.find()
    assert row is not None and row.state == State.UNSUBSCRIBED


def test_twice_is_once(site: Site) -> None:
    path = asked(site)
    site.client.post(path, data={"confirm": "yes"})
    site.mails()
    confirmed = site.dump()
    answer = site.client.post(path, data={"confirm": "yes"})
    assert answer.status_code == 200 and "You are on the list" in main_text(answer.text)
    assert site.dump() == confirmed and site.mails() == []


def test_the_newest_of_two_letters_works_and_so_does_the_older(site: Site) -> None:
    first = asked(site)
    site.now += dt.timedelta(minutes=15)
    second = asked(site)
    assert first != second
    assert site.client.get(second).status_code == site.client.get(first).status_code == 200


def test_it_ends_after_seven_days(site: Site) -> None:
    path = asked(site)
    site.now += dt.timedelta(days=7, seconds=1)
    before = site.dump()
    assert site.client.get(path).status_code == 410
    assert site.client.post(path, data={"confirm": "yes"}).status_code == 410
    assert site.dump() == before


def test_an_older_letter_brings_nobody_back_who_left_since(site: Site) -> None:
    path = asked(site)
    site.client.post(path, data={"confirm": "yes"})
    row = site.find()
    assert row is not None
    site.now += dt.timedelta(seconds=1)
    site.leave(row.id)
    before = site.dump()
    assert site.client.get(path).status_code == 410
    assert site.client.post(path, data={"confirm": "yes"}).status_code == 410
    assert site.dump() == before


def test_a_letter_from_before_a_complaint_confirms_nothing(site: Site) -> None:
    path = asked(site)
    site.suppress("ada@example.com")
    assert site.client.post(path, data={"confirm": "yes"}).status_code == 410


def test_who_is_erased_before_confirming_is_told_that_nothing_is_kept(site: Site) -> None:
    path = asked(site)
    row = site.find()
    assert row is not None
    site.erase(row.id)
    for answer in (site.client.get(path), site.client.post(path, data={"confirm": "yes"})):
        assert answer.status_code == 410 and "Nothing is kept about you" in main_text(answer.text)


def test_a_choice_of_which_nothing_is_left_is_not_called_everything(site: Site) -> None:
    reader = site.reader(topics=frozenset({"safety"}))
    site.leave(reader)
    site.now += dt.timedelta(seconds=1)
    site.serve(Config.model_validate({"topics": []}))
    assert "everything" not in main_text(site.client.get(site.confirm(reader)).text)
