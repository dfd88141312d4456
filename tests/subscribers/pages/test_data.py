"""A person's own data: only by their mailbox, whole, movable, and gone when they say so."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

import subscribers
from newsletter.config import Config
from subscribers import Kind, Purpose, State
from tests.subscribers.pages.conftest import Site, body, link, main_text

OLD, NEW = "ada@example.com", "new@example.com"


def move(site: Site, path: str, address: str = NEW) -> str:
    """Wish for another address. Returns what the page says."""
    return main_text(site.client.post(path, data={"do": "move", "address": address}).text)


def copied(site: Site, path: str) -> dict[str, Any]:
    """The copy of one's data."""
    answer = site.client.post(path, data={"do": "copy"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["cache-control"] == "no-store" and answer.headers["x-robots-tag"] == "noindex"
    found: dict[str, Any] = json.loads(answer.text)
    return found


def test_the_whole_way_from_preferences_to_deletion(site: Site) -> None:
    site.serve(Config.model_validate({"topics": [{"key": "safety", "name": "Safety"}]}))
    site.ask(follow="chosen", topic=["safety"])
    site.client.post(link(site.mails()[0], "c"), data={"confirm": "yes"})
    (welcome,) = site.mails()
    row = site.find()
    assert row is not None
    wishes, issue = link(welcome, "p"), site.publish()
    site.plan(issue)
    site.client.post(site.feedback(row.id, issue, 2), data={"worth": "no"})

    assert "Your address and your data" in site.client.get(wishes).text
    data = site.data(row.id)
    assert OLD in main_text(site.client.get(data).text)
    mine = copied(site, data)
    assert (mine["address"], mine["state"]) == (OLD, "active")
    assert mine["preferences"]["topics"] == ["safety"]
    assert [consent["how"] for consent in mine["consents"]] == ["form", "confirmed"]
    assert [(mail["issue"], mail["state"]) for mail in mine["mails"]] == [(issue, "planned")]
    assert [letter["kind"] for letter in mine["letters"]] == ["confirm", "welcome", "data"]
    assert [vote["is_worth"] for vote in mine["feedback"]] == [False]
    assert mine["suppressions"] == []

    assert f"A letter is on its way to {NEW}." in move(site, data)
    (asked,) = site.mails()
    assert asked["to"] == NEW
    change = link(asked, "a")
    assert site.row(row.id).address == OLD
    assert "goes to new@example.com" in main_text(site.client.post(change, data={"move": "yes"}).text)
    (told,) = site.mails()
    assert told["to"] == OLD and NEW not in body(told) and NEW not in body(told, "html")
    assert (site.row(row.id).address, site.row(row.id).state) == (NEW, State.ACTIVE)
    for path in (change, data):
        assert site.client.get(path).status_code == 410
    assert site.client.post(change, data={"move": "yes"}).status_code == 410
    assert site.client.post(data, data={"do": "copy"}).status_code == 410

    data = site.data(row.id)
    assert copied(site, data)["address"] == NEW
    before = site.dump()
    unsure = site.client.post(data, data={"do": "delete"})
    assert unsure.status_code == 422 and "please tick the box first" in main_text(unsure.text)
    assert site.dump() == before
    assert "Everything was deleted" in main_text(site.client.post(data, data={"do": "delete", "sure": "yes"}).text)
    assert site.find(NEW) is None
    assert not {OLD, NEW, str(welcome["subject"])}.intersection("\n".join(site.dump()).split("'"))
    gone = site.dump()
    links = [
        data,
        f"{wishes}/data",
        wishes,
        change,
        site.confirm(row.id),
        link(welcome, "u"),
        site.feedback(row.id, issue, 1),
    ]
    for path in links:
        for answer in (
            site.client.get(path),
            site.client.post(path, data={"save": "yes", "send": "yes", "do": "copy"}),
        ):
            assert answer.status_code == 410
            assert "Nothing is kept about you here" in main_text(answer.text)
    assert site.one_click(link(welcome, "u"))[0] == 200
    assert site.dump() == gone and site.mails() == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_only_buttons_act(method: str, site: Site) -> None:
    reader = site.reader()
    data = site.data(reader)
    move(site, data)
    change = link(site.mails()[0], "a")
    before = site.dump()
    for path in (data, change, f"{site.preferences(reader)}/data"):
        assert site.client.request(method, path).status_code == 200
    assert site.dump() == before


def test_the_letter_goes_to_the_address_on_record_three_times_an_hour(site: Site) -> None:
    path = f"{site.preferences(site.reader())}/data"
    for _ in range(5):
        assert "is on its way" in main_text(site.client.post(path, data={"send": "yes"}).text)
    mails = site.mails()
    assert [mail["to"] for mail in mails] == [OLD] * 3
    site.now += dt.timedelta(hours=1)
    site.client.post(path, data={"send": "yes"})
    assert len(site.mails()) == 1


def test_the_link_in_the_letter_works_for_one_hour(site: Site) -> None:
    data = site.data(site.reader())
    site.now += dt.timedelta(hours=1)
    assert site.client.get(data).status_code == 200
    site.now += dt.timedelta(seconds=1)
    before = site.dump()
    for form in ({"do": "copy"}, {"do": "delete", "sure": "yes"}, {"do": "move", "address": NEW}):
        assert site.client.post(data, data=form).status_code == 410
    assert site.dump() == before


def test_the_link_to_preferences_opens_no_data(site: Site) -> None:
    reader = site.reader()
    token = site.preferences(reader).removeprefix("/p/")
    assert site.client.get(f"/d/{token}").status_code == 404
    short = site.tokens.sign(Purpose.DATA, reader, now=site.now)
    other = site.tokens.sign(Purpose.DATA, reader, "a000000000000", now=site.now)
    assert {site.client.get(f"/d/{token}").status_code for token in (short, other)} == {410}


def test_an_address_that_cannot_be_is_refused_and_harmlessly_shown(site: Site) -> None:
    data = site.data(site.reader())
    before = site.dump()
    for address, said in (
        ("", "no mail address"),
        ("ADA@Example.com", "the address that you have now"),
        ("new@example.com\r\nBcc: bo@example.com", "no mail address"),
        ("new\x00@example.com", "no mail address"),
        ('"><script>alert(1)</script>', "no mail address"),
        ("a" * 10_000 + "@example.com", "no mail address"),
    ):
        answer = site.client.post(data, data={"do": "move", "address": address})
        assert answer.status_code == 422 and said in main_text(answer.text)
        assert "<script" not in answer.text and "\x00" not in answer.text and len(answer.content) < 20_000
    assert site.dump() == before and site.mails() == []


def test_an_address_that_someone_has_gets_a_letter_of_its_own_and_the_page_tells_nothing(site: Site) -> None:
    site.reader("taken@example.com")
    site.leave(site.reader("gone@example.com"))
    site.suppress("never@example.com", Kind.COMPLAINT)
    said = set()
    for number, address in enumerate(("taken@example.com", "gone@example.com", "never@example.com", NEW)):
        data = site.data(site.reader(f"person{number}@example.com"))
        said.add(move(site, data, address).replace(address, "X").replace(f"person{number}", "person"))
        mails = site.mails()
        kinds = {"taken@example.com": "p", "gone@example.com": "a", NEW: "a"}
        assert [mail["to"] for mail in mails] == ([address] if address in kinds else [])
        assert all(link(mail, kinds[address]) for mail in mails)
        site.now += dt.timedelta(hours=1)
    assert len(said) == 1


@pytest.mark.parametrize("situation", ["taken", "gone", "barred", "free"])
def test_a_second_wish_ends_the_first_whoever_has_that_address(situation: str, site: Site) -> None:
    """Were it else, the first link would tell whether the second address is known here."""
    address = f"{situation}@example.com"
    if situation in ("taken", "gone"):
        other = site.reader(address)
        if situation == "gone":
            site.leave(other)
    elif situation == "barred":
        site.suppress(address)
    data = site.data(site.reader())
    move(site, data, "first@example.com")
    first = link(site.mails()[0], "a")
    assert site.client.get(first).status_code == 200
    move(site, data, address)
    assert site.client.get(first).status_code == 410
    assert site.client.post(first, data={"move": "yes"}).status_code == 410


@pytest.mark.parametrize("meanwhile", ["taken", "barred"])
def test_an_address_that_was_taken_or_barred_meanwhile_is_not_moved_to(meanwhile: str, site: Site) -> None:
    reader = site.reader()
    move(site, site.data(reader))
    change = link(site.mails()[0], "a")
    if meanwhile == "taken":
        site.reader(NEW)
    else:
        site.suppress(NEW)
    before = site.dump()
    assert site.client.post(change, data={"move": "yes"}).status_code == 410
    assert site.dump() == before and site.row(reader).address == OLD


def test_who_left_may_move_and_stays_away(site: Site) -> None:
    reader = site.reader()
    site.leave(reader)
    move(site, site.data(reader))
    site.client.post(link(site.mails()[0], "a"), data={"move": "yes"})
    assert (site.row(reader).address, site.row(reader).state) == (NEW, State.UNSUBSCRIBED)


def test_the_owner_s_no_is_not_left_behind_by_moving(site: Site) -> None:
    reader = site.reader()
    data = site.data(reader)
    move(site, data)
    change = link(site.mails()[0], "a")
    site.suppress(OLD, Kind.OWNER)
    assert site.client.get(change).status_code == 410
    assert site.client.post(change, data={"move": "yes"}).status_code == 410
    assert site.client.post(data, data={"do": "move", "address": "third@example.com"}).status_code == 410
    assert site.row(reader).address == OLD and site.mails() == []


def test_who_gets_no_mail_may_still_take_a_copy_and_delete(site: Site) -> None:
    reader = site.reader()
    data = site.data(reader)
    site.suppress(OLD, Kind.COMPLAINT)
    assert [entry["kind"] for entry in copied(site, data)["suppressions"]] == ["complaint"]
    site.client.post(data, data={"do": "delete", "sure": "yes"})
    with site.store.read() as session:
        assert subscribers.suppressions(session, OLD) == {Kind.COMPLAINT, Kind.ERASED}


def test_a_letter_that_waits_does_not_outlive_its_person(site: Site) -> None:
    reader = site.reader()
    data = site.data(reader)
    site.client.post(f"{site.preferences(reader)}/data", data={"send": "yes"})
    site.client.post(data, data={"do": "delete", "sure": "yes"})
    assert site.mails() == []
