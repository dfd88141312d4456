"""Undoing an unsubscription, whole or with fewer mails, for 30 days and that one leaving."""

from __future__ import annotations

import datetime as dt

import pytest

import subscribers
from subscribers import Frequency, Kind, State
from tests.subscribers.pages.conftest import Site, main_text


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_only_its_button_brings_back(method: str, site: Site) -> None:
    reader = site.reader()
    path = site.leave(reader)
    before = site.dump()
    assert site.client.request(method, path).status_code == 200
    assert site.dump() == before
    answer = site.client.post(path, data={"undo": "yes"})
    assert answer.status_code == 200 and "The next issue comes to you as before." in main_text(answer.text)
    assert site.row(reader).state == State.ACTIVE


def test_twice_is_once(site: Site) -> None:
    path = site.leave(site.reader())
    first = site.client.post(path, data={"undo": "yes"})
    back = site.dump()
    again = site.client.post(path, data={"undo": "yes"})
    assert (again.status_code, again.text) == (200, first.text)
    assert site.dump() == back
    assert "You are on the list" in main_text(site.client.get(path).text)


@pytest.mark.parametrize("choice", ["weekly", "pause-30", "pause-90"])
def test_back_with_fewer_mails(choice: str, site: Site) -> None:
    reader = site.reader()
    site.client.post(site.leave(reader), data={"instead": choice})
    wishes = site.wishes(reader)
    assert site.row(reader).state == State.ACTIVE
    assert (wishes.frequency is Frequency.WEEKLY, wishes.paused_until is not None) == (
        choice == "weekly",
        choice != "weekly",
    )


def test_it_ends_after_30_days(site: Site) -> None:
    path = site.leave(site.reader())
    site.now += dt.timedelta(days=30, seconds=1)
    before = site.dump()
    assert site.client.get(path).status_code == 410
    assert site.client.post(path, data={"undo": "yes"}).status_code == 410
    assert site.dump() == before


def test_it_undoes_no_later_leaving(site: Site) -> None:
    reader = site.reader()
    first = site.leave(reader)
    site.client.post(first, data={"undo": "yes"})
    site.now += dt.timedelta(days=1)
    site.leave(reader)
    assert site.client.post(first, data={"undo": "yes"}).status_code == 410
    assert site.row(reader).state == State.UNSUBSCRIBED


def test_a_complaint_is_not_undone(site: Site) -> None:
    reader = site.reader()
    path = site.leave(reader)
    with site.store.write() as session:
        subscribers.suppress_subscriber(session, reader, Kind.COMPLAINT, now=site.now)
    assert site.client.post(path, data={"undo": "yes"}).status_code == 410
    assert site.row(reader).state == State.UNSUBSCRIBED


def test_nobody_is_brought_back_who_was_erased(site: Site) -> None:
    reader = site.reader()
    path = site.leave(reader)
    site.erase(reader)
    assert site.client.get(path).status_code == 410
    assert site.client.post(path, data={"undo": "yes"}).status_code == 410
