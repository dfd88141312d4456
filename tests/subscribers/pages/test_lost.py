"""Lost my link: the letter goes to readers alone, and the page tells nothing."""

from __future__ import annotations

import datetime as dt

import pytest

from subscribers import Kind
from tests.subscribers.pages.conftest import Site, link, main_text

ADA = {"address": " ADA@Example.com "}


def test_a_reader_gets_the_links_by_mail(site: Site) -> None:
    reader = site.reader()
    answer = site.client.post("/lost", data=ADA)
    assert "Check your mail" in main_text(answer.text)
    (mail,) = site.mails()
    assert mail["to"] == "ada@example.com"
    assert link(mail, "p") == site.preferences(reader)
    assert site.one_click(link(mail, "u"))[0] == 200


@pytest.mark.parametrize("kind", [None, *Kind])
def test_nobody_else_gets_a_letter(kind: Kind | None, site: Site) -> None:
    if kind is Kind.ERASED:
        site.erase(site.reader())
    elif kind is Kind.UNSUBSCRIBED:
        site.leave(site.reader())
    elif kind is not None:
        site.reader()
        site.suppress("ada@example.com", kind)
    site.client.post("/lost", data=ADA)
    assert site.mails() == []


def test_one_letter_an_address_in_a_quarter_of_an_hour(site: Site) -> None:
    site.reader()
    for minutes, letters in ((0, 1), (14, 0), (1, 1)):
        site.now += dt.timedelta(minutes=minutes)
        site.client.post("/lost", data=ADA)
        assert len(site.mails()) == letters


def test_who_is_not_on_the_list_may_subscribe_right_after(site: Site) -> None:
    assert "you can subscribe with it" in main_text(site.client.post("/lost", data=ADA).text)
    site.ask()
    assert link(site.mails()[0], "c")


def test_what_a_network_may_still_ask_for_does_not_tell_who_is_known(site: Site) -> None:
    """The letters that are left to a network are counted by asking for one's own address."""
    spent = []
    for known in (True, False):
        victim = f"{'known' if known else 'other'}@example.com"
        if known:
            site.reader(victim)
        client = site.from_network(f"192.0.2.{1 + known}")
        for _ in range(2):
            client.post("/lost", data={"address": victim})
            site.ask(victim, client)
        own = [f"own{number}{known}@example.com" for number in range(6)]
        for address in own:
            site.ask(address, client)
        spent.append(len([mail for mail in site.mails() if mail["to"] in own]))
    assert spent == [3, 3]
