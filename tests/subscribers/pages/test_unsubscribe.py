"""Leaving: by the page's button, by a mail program's one click, and fewer mails instead."""

from __future__ import annotations

import datetime as dt

import pytest

import subscribers
from newsletter import deliveries
from newsletter.config import Config
from subscribers import Frequency, Kind, State
from tests.subscribers.pages.conftest import FORM, Site, main_text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_at_the_page_changes_no_row(method: str, site: Site) -> None:
    path = site.unsubscribe(site.reader())
    before = site.dump()
    assert site.client.request(method, path).status_code == 200
    assert site.dump() == before


def test_the_page_has_a_button_that_lets_go(site: Site) -> None:
    reader = site.reader()
    path = site.unsubscribe(reader)
    assert "Unsubscribe" in main_text(site.client.get(path).text)
    answer = site.client.post(path, data={"leave": "yes"})
    assert answer.status_code == 200 and "You are unsubscribed" in main_text(answer.text)
    assert (site.row(reader).state, site.row(reader).state_reason) == (State.UNSUBSCRIBED, "link")
    assert site.undo(reader) in answer.text


def test_one_click_acts_at_once_and_twice_the_same(site: Site) -> None:
    reader = site.reader()
    path = site.unsubscribe(reader)
    first = site.one_click(path)
    left = site.dump()
    assert first[0] == 200
    assert (site.row(reader).state, site.row(reader).state_reason) == (State.UNSUBSCRIBED, "one-click")
    assert site.one_click(path) == first
    assert site.dump() == left


def test_one_click_may_come_as_a_multipart_form(site: Site) -> None:
    reader = site.reader()
    answer = site.client.post(site.unsubscribe(reader), files={"List-Unsubscribe": (None, "One-Click")})
    assert answer.status_code == 200
    assert site.row(reader).state == State.UNSUBSCRIBED


def test_one_click_works_for_the_oldest_issue_after_a_topic_went(site: Site) -> None:
    reader = site.reader(topics=frozenset({"safety"}))
    site.serve(Config.model_validate({"topics": []}))
    assert site.one_click(site.unsubscribe(reader, issue=1))[0] == 200
    assert site.row(reader).state == State.UNSUBSCRIBED


def test_nothing_is_claimed_for_who_left_while_an_issue_is_being_sent(site: Site) -> None:
    stays, leaves = site.reader("stays@example.com"), site.reader("leaves@example.com")
    number = site.publish()
    site.plan(number)
    assert site.one_click(site.unsubscribe(leaves, number))[0] == 200
    assert [one.subscriber_id for one in site.claim(number)] == [stays]


def test_what_was_claimed_before_one_left_and_could_not_go_is_not_claimed_again(site: Site) -> None:
    stays, leaves = site.reader("stays@example.com"), site.reader("leaves@example.com")
    number = site.publish()
    site.plan(number)
    claimed = site.claim(number)
    assert {one.subscriber_id for one in claimed} == {stays, leaves}
    assert site.one_click(site.unsubscribe(leaves, number))[0] == 200
    with site.store.write() as session:
        deliveries.give_back(session, number, "test", site.now)
    site.now += dt.timedelta(hours=1)
    assert [one.subscriber_id for one in site.claim(number)] == [stays]


@pytest.mark.parametrize("situation", ["active", "left", "paused", "complained", "erased", "pending"])
def test_one_click_says_yes_to_everyone_without_a_cookie_or_another_address(situation: str, site: Site) -> None:
    reader = site.reader(paused_until=site.now + dt.timedelta(days=3) if situation == "paused" else None)
    if situation == "left":
        site.leave(reader)
    elif situation == "complained":
        site.suppress("ada@example.com")
    elif situation == "erased":
        site.erase(reader)
    elif situation == "pending":
        site.ask("bo@example.com")
        row = site.find("bo@example.com")
        assert row is not None
        reader = row.id
    answers = set()
    for _ in range(2):
        answer = site.client.post(site.unsubscribe(reader), data={"List-Unsubscribe": "One-Click"})
        assert not {"set-cookie", "location"} & set(answer.headers) and not answer.history
        assert answer.headers["cache-control"] == "no-store" and answer.headers["x-robots-tag"] == "noindex"
        answers.add((answer.status_code, answer.text))
    assert answers == {(200, "You are unsubscribed.\n")}


def test_who_was_erased_gets_a_calm_page_and_their_mail_program_a_yes(site: Site) -> None:
    reader = site.reader()
    path = site.unsubscribe(reader)
    site.erase(reader)
    before = site.dump()
    answer = site.client.get(path)
    assert answer.status_code == 410
    assert "What was kept was deleted, and no mail is sent to you." in main_text(answer.text)
    assert site.client.post(path, data={"leave": "yes"}).status_code == 410
    assert site.one_click(path)[0] == 200
    assert site.dump() == before


@pytest.mark.parametrize(("choice", "days"), [("pause-30", 30), ("pause-90", 90)])
def test_a_pause_instead(choice: str, days: int, site: Site) -> None:
    reader = site.reader()
    answer = site.client.post(site.unsubscribe(reader), data={"instead": choice})
    assert "No mail comes until" in main_text(answer.text)
    assert site.wishes(reader).paused_until == site.now + dt.timedelta(days=days)
    assert site.row(reader).state == State.ACTIVE


def test_a_longer_pause_that_runs_is_not_cut(site: Site) -> None:
    until = site.now + dt.timedelta(days=60)
    reader = site.reader(paused_until=until)
    site.client.post(site.unsubscribe(reader), data={"instead": "pause-30"})
    assert site.wishes(reader).paused_until == until


def test_one_mail_a_week_instead_is_never_more_than_before(site: Site) -> None:
    often, seldom = site.reader(), site.reader("bo@example.com", frequency=Frequency.MONTHLY)
    for reader in (often, seldom):
        assert site.client.post(site.unsubscribe(reader), data={"instead": "weekly"}).status_code == 200
    assert site.wishes(often).frequency is Frequency.WEEKLY
    assert site.wishes(seldom).frequency is Frequency.MONTHLY
    assert "One mail a week" not in main_text(site.client.get(site.unsubscribe(seldom)).text)


@pytest.mark.parametrize("body", ["", "instead=everything", "List-Unsubscribe=No", "x=" + "y" * 9000, "%00=%ff&;;="])
def test_a_form_that_says_neither_changes_nothing(body: str, site: Site) -> None:
    path = site.unsubscribe(site.reader())
    before = site.dump()
    assert site.client.post(path, content=body, headers={"content-type": FORM}).status_code == 400
    assert site.dump() == before


def test_who_left_cannot_come_back_by_asking_for_fewer_with_this_link(site: Site) -> None:
    reader = site.reader()
    site.leave(reader)
    answer = site.client.post(site.unsubscribe(reader), data={"instead": "weekly"})
    assert "You are unsubscribed" in main_text(answer.text)
    assert site.row(reader).state == State.UNSUBSCRIBED


def test_undo_is_not_offered_after_a_complaint_or_after_30_days(site: Site) -> None:
    complained, left = site.reader(), site.reader("bo@example.com")
    with site.store.write() as session:
        subscribers.suppress_subscriber(session, complained, Kind.COMPLAINT, now=site.now)
    site.leave(left)
    assert "/n/" not in site.client.get(site.unsubscribe(complained)).text
    assert "/n/" in site.client.get(site.unsubscribe(left)).text
    site.now += dt.timedelta(days=31)
    assert "/n/" not in site.client.get(site.unsubscribe(left)).text
