"""The form of preferences: what it shows, saves and refuses."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from lxml import html

from newsletter.config import Config
from subscribers import Format, Frequency, Preferences, State
from tests.subscribers.pages.conftest import FORM, Site, main_text

SENT: dict[str, Any] = {
    "follow": "chosen",
    "topic": ["safety", "policy"],
    "frequency": "monthly",
    "pause": "pause-30",
    "format": "text",
    "time_zone": "Europe/Berlin",
    "save": "yes",
}
TOPICS = [{"key": key, "name": key.title()} for key in ("safety", "policy", "training")]


@pytest.fixture(autouse=True)
def three_topics(site: Site) -> None:
    """The newsletter has the topics safety, policy and training."""
    site.serve(Config.model_validate({"topics": TOPICS}))


def checked(page: str) -> set[str]:
    """The ids of what is ticked."""
    return set(html.document_fromstring(page).xpath("//input[@checked]/@id"))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_at_the_form_changes_no_row(method: str, site: Site) -> None:
    path = site.preferences(site.reader())
    before = site.dump()
    assert site.client.request(method, path).status_code == 200
    assert site.dump() == before


def test_what_is_sent_is_saved_and_shown(site: Site) -> None:
    reader = site.reader()
    answer = site.client.post(site.preferences(reader), data=SENT)
    assert answer.status_code == 200 and "Saved." in main_text(answer.text)
    assert site.wishes(reader) == Preferences(
        frozenset({"safety", "policy"}),
        Frequency.MONTHLY,
        site.now + dt.timedelta(days=30),
        Format.TEXT,
        "Europe/Berlin",
    )
    shown = {
        "follow-chosen",
        "topic-safety",
        "topic-policy",
        "frequency-monthly",
        "pause-keep",
        "format-text",
    }
    assert checked(answer.text) == checked(site.client.get(site.preferences(reader)).text) == shown


def test_the_form_as_it_stands_saves_what_is_there(site: Site) -> None:
    until = site.now + dt.timedelta(days=3)
    reader = site.reader(topics=frozenset({"policy"}), paused_until=until, time_zone="Asia/Tokyo")
    before = site.dump()
    page = html.document_fromstring(site.client.get(site.preferences(reader)).text)
    (form,) = page.forms
    site.client.post(site.preferences(reader), data={**dict(form.form_values()), "save": "yes"})
    assert site.dump() == before


def test_everything_wins_over_topics_that_are_still_ticked(site: Site) -> None:
    reader = site.reader(topics=frozenset({"policy"}))
    site.client.post(site.preferences(reader), data=SENT | {"follow": "everything"})
    assert site.wishes(reader).topics is None


def test_a_topic_that_the_owner_removed_is_kept_unseen(site: Site) -> None:
    reader = site.reader(topics=frozenset({"gone", "policy"}))
    site.client.post(site.preferences(reader), data=SENT | {"topic": ["safety"]})
    assert site.wishes(reader).topics == frozenset({"gone", "safety"})


def test_who_chose_and_is_left_with_none_is_told(site: Site) -> None:
    reader = site.reader(topics=frozenset({"gone"}))
    told = "None of the topics you follow exists any more, so no mail comes to you."
    assert told in main_text(site.client.get(site.preferences(reader)).text)
    answer = site.client.post(site.preferences(reader), data={**SENT, "topic": []})
    assert told in main_text(answer.text)
    assert site.wishes(reader).topics == frozenset({"gone"})


def test_a_newsletter_without_topics_asks_for_none_and_keeps_the_choice(site: Site) -> None:
    reader = site.reader(topics=frozenset({"policy"}))
    site.serve(Config.model_validate({"topics": []}))
    sent = {key: value for key, value in SENT.items() if key not in ("follow", "topic")}
    assert site.client.post(site.preferences(reader), data=sent).status_code == 200
    assert site.wishes(reader).topics == frozenset({"policy"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"topic": ["unknown"]}, "topic"),
        ({"topic": ["<script>alert(1)</script>"]}, "topic"),
        ({"topic": ["safety"] * 2 + ["\r\nx"]}, "topic"),
        ({"follow": "*"}, "topic"),
        ({"time_zone": "Nowhere/Else"}, "time zone"),
        ({"time_zone": "../../etc/passwd"}, "time zone"),
        ({"time_zone": "<script>alert(1)</script>"}, "time zone"),
        ({"time_zone": "UTC\r\nx\x00"}, "time zone"),
        ({"time_zone": "x" * 10_000}, "time zone"),
        ({"frequency": "hourly"}, "not chosen"),
        ({"pause": "for ever"}, "not chosen"),
        ({"format": ""}, "not chosen"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason_and_harmlessly_shown(
    change: dict[str, Any], said: str, site: Site
) -> None:
    path = site.preferences(site.reader())
    before = site.dump()
    answer = site.client.post(path, data=SENT | change)
    assert answer.status_code == 422
    (problem,) = html.document_fromstring(answer.text).xpath("//*[@role='alert']/text()")
    assert "Nothing was saved" in problem and said in problem
    assert "<script" not in answer.text and "\x00" not in answer.text and len(answer.text) < 40_000
    assert "frequency-monthly" in checked(answer.text) or "frequency" in change
    assert site.dump() == before


@pytest.mark.parametrize("body", ["List-Unsubscribe=One-Click", "", "frequency=weekly", "instead=weekly&leave=yes"])
def test_a_one_click_or_another_page_s_form_changes_nothing(body: str, site: Site) -> None:
    path = site.preferences(site.reader())
    before = site.dump()
    assert site.client.post(path, content=body, headers={"content-type": FORM}).status_code == 400
    assert site.dump() == before


def test_who_left_or_was_erased_is_told_and_nothing_is_saved(site: Site) -> None:
    left, erased = site.reader(), site.reader("bo@example.com")
    paths = site.preferences(left), site.preferences(erased)
    site.leave(left)
    site.erase(erased)
    before = site.dump()
    answers = [site.client.post(path, data=SENT) for path in paths]
    assert [answer.status_code for answer in answers] == [200, 410]
    assert "You are unsubscribed" in main_text(answers[0].text)
    assert site.row(left).state == State.UNSUBSCRIBED
    assert site.dump() == before


def test_a_frequency_that_the_newsletter_does_not_mail_in_is_neither_offered_nor_taken(site: Site) -> None:
    site.serve(Config.model_validate({"topics": TOPICS}), (Frequency.EVERY,))
    reader = site.reader()
    path = site.preferences(reader)
    assert "frequency" not in site.client.get(path).text
    assert "weekly" not in site.client.get(site.unsubscribe(reader)).text
    assert site.client.post(path, data=SENT | {"frequency": "weekly"}).status_code == 422
    assert site.client.post(site.unsubscribe(reader), data={"instead": "weekly"}).status_code == 400
    assert site.wishes(reader).frequency is Frequency.EVERY
    unasked = {name: value for name, value in SENT.items() if name != "frequency"}
    assert site.client.post(path, data=unasked).status_code == 200
    assert site.wishes(reader).topics == frozenset({"safety", "policy"})


def test_who_has_a_frequency_that_is_mailed_no_more_may_keep_it_or_come_back(site: Site) -> None:
    site.serve(Config.model_validate({"topics": TOPICS}), (Frequency.EVERY,))
    reader = site.reader(frequency=Frequency.MONTHLY)
    assert "frequency-monthly" in checked(site.client.get(site.preferences(reader)).text)
    assert site.client.post(site.preferences(reader), data=SENT | {"frequency": "every"}).status_code == 200
    assert site.wishes(reader).frequency is Frequency.EVERY
