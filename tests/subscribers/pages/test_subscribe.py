"""Asking for the newsletter: one answer for everyone, few letters, and a way back for who left."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from lxml import html

import subscribers
from newsletter.config import Config
from newsletter.store import open_store
from subscribers import Frequency, Kind, State
from tests.subscribers.pages.conftest import Answer, Site, body, link, main_text

TOPICS = {"topics": [{"key": key, "name": key.title()} for key in ("safety", "policy")]}
QUARTER = dt.timedelta(minutes=15)


def unknown(site: Site, address: str) -> None:
    """Nobody here."""


def pending(site: Site, address: str) -> None:
    """Someone who asked and did not confirm; a while ago, so that a letter may go again."""
    site.ask(address)
    site.now += dt.timedelta(days=1)


def active(site: Site, address: str) -> None:
    """A reader."""
    site.reader(address)


def left(site: Site, address: str) -> None:
    """Someone who was a reader."""
    site.leave(site.reader(address))


def erased(site: Site, address: str) -> None:
    """Someone who was forgotten."""
    site.erase(site.reader(address))


def complained(site: Site, address: str) -> None:
    """A reader whose mail program said that this is spam."""
    site.reader(address)
    site.suppress(address)


def owner(site: Site, address: str) -> None:
    """Someone the owner never wants to mail."""
    site.suppress(address, Kind.OWNER)


def bounced(site: Site, address: str) -> None:
    """A reader whose mailbox is no more."""
    site.reader(address)
    site.suppress(address, Kind.HARD_BOUNCE)


SITUATIONS: dict[str, Callable[[Site, str], None]] = {
    made.__name__: made for made in (unknown, pending, active, left, erased, complained, owner, bounced)
}
LETTERS = {"unknown": "c", "pending": "c", "active": "p", "left": "c", "erased": "c"}


@pytest.mark.parametrize("path", ["/subscribe", "/lost"])
def test_known_and_unknown_addresses_get_the_same_answer(path: str, site: Site) -> None:
    answers = set()
    for number, situation in enumerate(SITUATIONS):
        address = f"person{number}@example.com"
        SITUATIONS[situation](site, address)
        site.mails()
        site.now += dt.timedelta(hours=2)
        answer = site.client.post(path, data={"address": address, "follow": "everything", "subscribe": "yes"})
        text = answer.text.replace(address, "name@example.com")
        answers.add((answer.status_code, tuple(answer.headers.items()), len(answer.content), text))
    assert len(answers) == 1
    assert {status for status, *_ in answers} == {200}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_only_the_letter_says_what_is_known(situation: str, site: Site) -> None:
    SITUATIONS[situation](site, "ada@example.com")
    site.mails()
    site.ask("Ada@Example.com")
    mails = site.mails()
    if situation not in LETTERS:
        assert mails == []
        return
    (mail,) = mails
    assert str(mail["to"]).casefold() == "ada@example.com"
    page = main_text(site.client.get(link(mail, LETTERS[situation])).text)
    assert ("What you get" if situation == "active" else "Subscribe to") in page


def test_the_form_shows_the_newest_issue_the_topics_and_how_much_they_bring(site: Site) -> None:
    site.serve(Config.model_validate(TOPICS))
    number = site.publish()
    page = site.client.get("/subscribe").text
    assert f"/issues/{number}" in page
    assert "Safety 3 pieces in the last 30 days" in main_text(page)


def test_what_was_chosen_comes_with_the_confirmation(site: Site) -> None:
    site.serve(Config.model_validate(TOPICS))
    site.ask(follow="chosen", topic=["policy"], frequency="weekly")
    path = link(site.mails()[0], "c")
    assert "You follow Policy. One mail a week." in main_text(site.client.get(path).text)
    site.client.post(path, data={"confirm": "yes"})
    row = site.find()
    assert row is not None and row.state == State.ACTIVE
    wishes = site.wishes(row.id)
    assert (wishes.topics, wishes.frequency) == (frozenset({"policy"}), Frequency.WEEKLY)


def test_asking_and_confirming_are_both_on_record(site: Site) -> None:
    client = site.from_network("2001:db8::1")
    site.ask(client=client)
    client.post(link(site.mails()[0], "c"), data={"confirm": "yes"})
    row = site.find()
    assert row is not None
    with site.store.read() as session:
        records = subscribers.consents_of(session, row.id)
    assert [(record.how, record.network) for record in records] == [
        ("form", "2001:db8::1"),
        ("confirmed", "2001:db8::1"),
    ]
    words = main_text(site.client.get("/subscribe").text)
    assert all(record.text in words and record.text for record in records)


def test_the_form_asked_again_changes_no_wish_of_a_reader(site: Site) -> None:
    site.serve(Config.model_validate(TOPICS))
    reader = site.reader(topics=frozenset({"policy"}))
    site.ask(frequency="monthly")
    assert site.wishes(reader).topics == frozenset({"policy"})
    assert site.wishes(reader).frequency is Frequency.EVERY


def test_send_again_sends_the_same_form_when_the_time_is_over(site: Site) -> None:
    site.serve(Config.model_validate(TOPICS), (Frequency.WEEKLY,))
    first = site.ask(follow="chosen", topic=["policy"])
    assert len(site.mails()) == 1
    (form,) = html.document_fromstring(first.text).forms
    fields = {**dict(form.form_values()), "subscribe": "yes"}
    assert fields["topic"] == "policy"
    for wait, letters in ((dt.timedelta(), 0), (QUARTER - dt.timedelta(seconds=1), 0), (dt.timedelta(seconds=1), 1)):
        site.now += wait
        again = site.client.post(form.get("action"), data=fields)
        assert (again.status_code, again.text) == (200, first.text)
        assert len(site.mails()) == letters


@pytest.mark.parametrize("path", ["/subscribe", "/lost"])
def test_a_filled_honeypot_gets_the_same_page_and_nothing_happens(path: str, site: Site) -> None:
    site.reader("bo@example.com")
    before = site.dump()
    for address in ("ada@example.com", "bo@example.com"):
        form = {"address": address, "follow": "everything", "subscribe": "yes"}
        trapped = site.client.post(path, data=form | {"homepage": "https://spam.example.com"})
        assert site.dump() == before
        honest = site.client.post(path, data=form)
        assert (trapped.status_code, trapped.text) == (honest.status_code, honest.text)
        assert dict(trapped.headers) == dict(honest.headers)
        before = site.dump()


NO_ADDRESSES = (
    "",
    "no address",
    "a@b@example.com",
    "ada@example.com\r\nBcc: bo@example.com",
    "ada\x00@example.com",
    "<script>alert(1)</script>@example.com",
    '"><script>alert(1)</script>',
    "ada@example.com" + " " * 400 + "x",
    "a" * 65 + "@example.com",
    "a" * 10_000 + "@example.com",
    "ada@" + "example." * 1500 + "com",
    "ada\u202e@example.com",
    "ada\ud7ff@example.com",
)


@pytest.mark.parametrize("path", ["/subscribe", "/lost"])
def test_what_is_no_address_is_refused_and_harmlessly_shown(path: str, site: Site) -> None:
    before = site.dump()
    for address in NO_ADDRESSES:
        answer = site.client.post(path, data={"address": address, "follow": "everything", "subscribe": "yes"})
        assert answer.status_code == 422
        assert "That is no mail address." in main_text(answer.text)
        assert "<script" not in answer.text and len(answer.content) < 20_000
        assert not set("\x00\u202e\ud7ff").intersection(answer.text)
    assert site.dump() == before and site.mails() == []


@pytest.mark.parametrize(
    "change",
    [
        {"follow": "chosen"},
        {"follow": "chosen", "topic": ["unknown"]},
        {"follow": "chosen", "topic": ["<script>alert(1)</script>"]},
        {"follow": ""},
        {"frequency": "hourly"},
        {"frequency": "<script>" * 500},
    ],
)
def test_a_choice_that_cannot_be_is_refused_and_the_rest_kept(change: dict[str, Any], site: Site) -> None:
    site.serve(Config.model_validate(TOPICS))
    before = site.dump()
    answer = site.ask("ada@example.com", **change)
    assert answer.status_code == 422
    page = html.document_fromstring(answer.text)
    assert page.xpath("//input[@id='address']/@value") == ["ada@example.com"]
    assert "<script" not in answer.text
    assert page.xpath("//*[@role='alert']")
    assert site.dump() == before


def test_a_form_of_another_page_asks_for_nothing(site: Site) -> None:
    before = site.dump()
    assert site.client.post("/subscribe", data={"address": "ada@example.com"}).status_code == 400
    assert site.dump() == before


@pytest.mark.parametrize("frequency", [Frequency.WEEKLY, Frequency.MONTHLY])
def test_where_mail_comes_in_one_frequency_alone_nobody_is_asked(frequency: Frequency, site: Site) -> None:
    site.serve(Config(), (frequency,))
    assert "How often" not in site.client.get("/subscribe").text
    site.ask()
    row = site.find()
    assert row is not None and row.frequency == frequency


def test_a_frequency_is_ticked_before_anyone_chooses(site: Site) -> None:
    site.serve(Config(), (Frequency.WEEKLY, Frequency.MONTHLY))
    page = html.document_fromstring(site.client.get("/subscribe").text)
    assert page.xpath("//input[@name='frequency'][@checked]/@value") == ["weekly"]


@pytest.mark.slow
def test_a_thousand_posts_send_few_letters_and_a_restart_forgets_nothing(site: Site) -> None:
    networks = [f"198.51.100.{number}" for number in range(8)]
    people = [f"person{number}@example.com" for number in range(60)]
    clients = [site.from_network(network) for network in networks]
    for number in range(1000):
        if number in (20, 500):
            site.store.close()
            site.store = open_store(site.store.url)
            site.serve(Config())
            clients = [site.from_network(network) for network in networks]
        assert site.ask(people[number % 60], clients[number // 3 % 8]).status_code == 200
    letters = Counter(str(mail["to"]) for mail in site.mails())
    assert set(letters.values()) == {1} and len(letters) == 40
    with site.store.read() as session:
        rows = [site.find(address) for address in letters]
        askers = Counter(subscribers.consents_of(session, row.id)[0].network for row in rows if row is not None)
    assert askers == Counter(dict.fromkeys(networks, 5))


def test_posts_at_the_same_moment_send_one_letter(site: Site) -> None:
    clients = [site.from_network(f"192.0.2.{number}") for number in range(6)]
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(pool.map(lambda client: site.ask(client=client), clients))
    assert [answer.status_code for answer in answers] == [200] * len(clients)
    assert len(site.mails()) == 1


def test_one_network_gets_five_letters_an_hour(site: Site) -> None:
    v4 = [site.from_network("192.0.2.7")] * 12
    v6 = [site.from_network(f"2001:db8:0:1::{number:x}") for number in range(12)]
    other = [site.from_network(f"2001:db8:0:{number:x}::1") for number in range(2, 8)]
    for letters, clients in ((5, v4), (5, v6), (6, other)):
        for number, client in enumerate(clients):
            site.ask(f"person{number}@{letters}{len(clients)}{len(str(client))}.example.com", client)
        assert len(site.mails()) == letters
        site.now += dt.timedelta(hours=1)
    site.ask("late@example.com", v4[0])
    assert len(site.mails()) == 1


def test_behind_a_trusted_proxy_each_visitor_counts_alone(site: Site) -> None:
    site.serve(Config.model_validate({"web": {"trusted_proxies": ["10.0.0.0/8", "127.0.0.1/32"]}}))
    proxy = site.from_network("10.0.0.1")
    for number in range(24):
        header = {"X-Forwarded-For": f"6.6.6.{number}, 192.0.2.{number % 4}, 127.0.0.1"}
        form = {"address": f"person{number}@example.com", "follow": "everything", "subscribe": "yes"}
        proxy.post("/subscribe", data=form, headers=header)
    assert len(site.mails()) == 20


def test_who_is_no_trusted_proxy_speaks_for_nobody(site: Site) -> None:
    site.serve(Config.model_validate({"web": {"trusted_proxies": ["10.0.0.1/32"]}}))
    liar = site.from_network("10.0.0.2")
    for number in range(12):
        form = {"address": f"person{number}@example.com", "follow": "everything", "subscribe": "yes"}
        liar.post("/subscribe", data=form, headers={"X-Forwarded-For": f"192.0.2.{number}"})
    assert len(site.mails()) == 5


def test_who_left_comes_back_by_confirming_again(site: Site) -> None:
    site.ask()
    first = link(site.mails()[0], "c")
    site.client.post(first, data={"confirm": "yes"})
    welcome = site.mails()[0]
    site.now += dt.timedelta(hours=1)
    site.one_click(link(welcome, "u"))
    row = site.find()
    assert row is not None and row.state == State.UNSUBSCRIBED
    assert site.client.post(first, data={"confirm": "yes"}).status_code == 410
    site.now += dt.timedelta(hours=1)
    site.ask()
    assert site.row(row.id).state == State.UNSUBSCRIBED
    site.client.post(link(site.mails()[0], "c"), data={"confirm": "yes"})
    assert site.row(row.id).state == State.ACTIVE
    with site.store.read() as session:
        assert subscribers.suppressions(session, "ada@example.com") == frozenset()


def test_who_was_erased_comes_back_by_confirming_alone(site: Site) -> None:
    site.erase(site.reader())
    site.ask()
    row = site.find()
    assert row is not None and row.state == State.PENDING
    with site.store.read() as session:
        assert subscribers.suppressions(session, "ada@example.com") == {Kind.ERASED}
    site.client.post(link(site.mails()[0], "c"), data={"confirm": "yes"})
    assert site.row(row.id).state == State.ACTIVE
    with site.store.read() as session:
        assert subscribers.suppressions(session, "ada@example.com") == frozenset()


def test_who_complained_gets_no_letter_whatever_is_asked(site: Site) -> None:
    reader = site.reader()
    data, wishes = site.data(reader), site.preferences(reader)
    site.client.post(data, data={"do": "move", "address": "new@example.com"})
    change = link(site.mails()[0], "a")
    confirm = site.confirm(reader)
    site.suppress("ada@example.com")
    site.now += dt.timedelta(minutes=30)
    asked: list[Answer] = [
        site.ask(),
        site.client.post("/lost", data={"address": "ada@example.com"}),
        site.client.post(f"{wishes}/data", data={"send": "yes"}),
        site.client.post(data, data={"do": "move", "address": "third@example.com"}),
        site.client.post(change, data={"move": "yes"}),
        site.client.post(confirm, data={"confirm": "yes"}),
    ]
    assert [answer.status_code for answer in asked] == [200, 200, 200, 410, 410, 410]
    other = site.reader("bo@example.com")
    site.client.post(site.data(other), data={"do": "move", "address": "ada@example.com"})
    assert site.mails() == []
    assert site.row(reader).state == State.UNSUBSCRIBED


def test_a_letter_that_waits_when_someone_complains_does_not_go(site: Site) -> None:
    site.ask()
    site.suppress("ada@example.com")
    assert site.mails() == []


def test_an_address_in_another_script_is_written_to_as_it_is(site: Site) -> None:
    site.ask("ada@bücher.example.com")
    (mail,) = site.mails()
    assert str(mail["to"]) == "ada@xn--bcher-kva.example.com"
    assert "bücher" not in str(mail["to"]) and body(mail, "html")


def test_an_address_that_looks_like_markup_is_text_on_the_page_and_in_the_letter(site: Site) -> None:
    address = "a&amp'=`{{7*7}}|b@example.com"
    page = site.ask(address.upper()).text
    assert address.upper() in main_text(page) and "&amp;AMP" in page
    (mail,) = site.mails()
    assert address in body(mail).casefold()
    assert address in html.document_fromstring(body(mail, "html")).text_content().casefold()
    assert mail["to"].addresses[0].addr_spec.casefold() == address
