"""Facts about the copy of their data that people take with them: all of it, theirs alone, and plain JSON."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from subscribers import consent, feedback, letters, own_data, people, preferences, tables
from subscribers.addresses import parse
from subscribers.ports import Letter, MailView
from subscribers.preferences import Preferences
from subscribers.tables import Format, Frequency, Kind, Subscriber
from tests.subscribers.conftest import NOW, added

LATER = NOW + dt.timedelta(days=1)
STAMP, LATER_STAMP = "2026-05-04T07:00:00+00:00", "2026-05-05T07:00:00+00:00"
URL = "https://newsletter.example.com/d/secret"


def copy(session: Session, subscriber: Subscriber, *mails: MailView) -> Any:
    """The copy as its reader gets it: through JSON and back."""
    session.flush()
    session.expire_all()
    return json.loads(json.dumps(own_data.collect(session, subscriber, mails)))


@pytest.fixture
def ann(session: Session) -> Subscriber:
    """Someone about whom everything is on record that can be, and a second person beside her."""
    wishes = Preferences(
        topics=frozenset({"safety", "agents"}),
        frequency=Frequency.WEEKLY,
        paused_until=LATER,
        format=Format.TEXT,
        time_zone="Europe/Berlin",
    )
    both = [added(session, f"{name}@example.com", wishes) for name in ("ann", "other")]
    for someone in both:
        consent.record(session, someone, now=LATER, text="Yes, it was me.", how="confirmed", network="192.0.2.7")
        feedback.give(session, someone.id, 7, True, now=NOW)
        letters.post(session, Letter("data", someone.address, {"url": URL}), now=NOW)
        people.wish_address(session, someone, parse(f"new-{someone.address}"), now=NOW)
        people.suppress(session, someone.address, Kind.HARD_BOUNCE, now=NOW, note="mailbox full")
    return both[0]


def test_everything_on_record_is_in_the_copy(session: Session, ann: Subscriber) -> None:
    mail = MailView(3, "Digest \N{EM DASH} 4 May 2026", "accepted", NOW)
    assert copy(session, ann, mail) == {
        "address": "ann@example.com",
        "name": "",
        "state": "active",
        "state_reason": "test",
        "created_at": STAMP,
        "confirmed_at": STAMP,
        "left_at": None,
        "preferences": {
            "topics": ["agents", "safety"],
            "frequency": "weekly",
            "paused_until": LATER_STAMP,
            "format": "text",
            "time_zone": "Europe/Berlin",
        },
        "consents": [
            {
                "at": STAMP,
                "text": "Yes, send me the digest.",
                "address": "ann@example.com",
                "how": "test",
                "network": None,
            },
            {
                "at": LATER_STAMP,
                "text": "Yes, it was me.",
                "address": "ann@example.com",
                "how": "confirmed",
                "network": "192.0.2.7",
            },
        ],
        "mails": [{"issue": 3, "title": "Digest \N{EM DASH} 4 May 2026", "state": "accepted", "at": STAMP}],
        "letters": [{"kind": "data", "posted_at": STAMP, "state": "planned"}],
        "wished_address": {"address": "new-ann@example.com", "at": STAMP},
        "feedback": [{"piece": 7, "is_worth": True, "at": STAMP}],
        "suppressions": [{"kind": "hard_bounce", "at": STAMP, "note": "mailbox full"}],
    }


def test_no_link_hash_or_other_person_is_in_the_copy(session: Session, ann: Subscriber) -> None:
    text = json.dumps(copy(session, ann))
    assert [word for word in ("secret", ann.identity_hash, "other@example.com") if word in text] == []


def test_who_reads_everything_and_left_has_a_copy_too(session: Session) -> None:
    bob = added(session, "bob@example.com")
    people.unsubscribe(session, bob.id, now=LATER, reason="one-click")
    found = copy(session, bob)
    assert (found["preferences"]["topics"], found["left_at"]) == (None, LATER_STAMP)
    assert found["suppressions"] == [{"kind": "unsubscribed", "at": LATER_STAMP, "note": "one-click"}]
    assert (found["wished_address"], found["mails"], found["letters"], found["feedback"]) == (None, [], [], [])


def test_every_table_that_names_a_person_is_read_or_said_to_be_of_no_one() -> None:
    """A new table about people belongs into the copy, or here with the reason."""
    about_nobody = {"pepper", "salt", "attempt"}  # Keys of hashes; and what was done for a hash that nobody can undo.
    ours = {
        str(model.__tablename__)
        for model in vars(tables).values()
        if isinstance(model, type) and issubclass(model, SQLModel) and model is not SQLModel
    }
    read = {"subscriber", "consent", "suppression", "letter", "address_change", "feedback"}
    assert ours - about_nobody == read


def test_a_wish_that_makes_new_preferences_shows_in_the_next_copy(session: Session, ann: Subscriber) -> None:
    preferences.set(session, ann, Preferences(topics=None))
    assert copy(session, ann)["preferences"]["topics"] is None
