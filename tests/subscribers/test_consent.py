"""Facts about the proof that people asked."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from subscribers import consent, people
from tests.subscribers.conftest import NOW, added
from tests.subscribers.plans import plans

DAY = dt.timedelta(days=1)


def test_both_halves_of_double_opt_in_are_on_record(session: Session) -> None:
    form = people.add(
        session,
        "Ann@example.com",
        now=NOW,
        how="form",
        consent_text="Send me the digest.",
        network="192.0.2.7",
    )
    assert form.subscriber is not None
    people.confirm(session, form.subscriber.id, now=NOW + DAY, consent_text="Yes, it was me.", network="192.0.2.8")
    records = [(c.at, c.text, c.address, c.how, c.network) for c in consent.of(session, form.subscriber.id)]
    assert records == [
        (NOW, "Send me the digest.", "Ann@example.com", "form", "192.0.2.7"),
        (NOW + DAY, "Yes, it was me.", "Ann@example.com", "confirmed", "192.0.2.8"),
    ]


def test_network_addresses_go_thirty_days_after_leaving(session: Session) -> None:
    gone, stayed = added(session, "gone@example.com"), added(session, "stayed@example.com")
    for subscriber in (gone, stayed):
        consent.record(session, subscriber, now=NOW, text="Yes", how="form", network="192.0.2.7")
    people.unsubscribe(session, gone.id, now=NOW)
    assert consent.forget_networks(session, now=NOW + 30 * DAY - dt.timedelta(seconds=1)) == 0
    assert consent.forget_networks(session, now=NOW + 30 * DAY) == 1
    assert consent.forget_networks(session, now=NOW + 30 * DAY) == 0
    session.expire_all()
    assert [record.network for record in consent.of(session, gone.id)] == [None, None]
    assert [record.network for record in consent.of(session, stayed.id)] == [None, "192.0.2.7"]


def test_who_came_back_before_the_thirty_days_are_over_keeps_the_proof_whole(session: Session) -> None:
    ann = added(session, "ann@example.com")
    consent.record(session, ann, now=NOW, text="Yes", how="form", network="192.0.2.7")
    people.unsubscribe(session, ann.id, now=NOW)
    people.undo(session, ann.id, now=NOW + DAY)
    assert consent.forget_networks(session, now=NOW + 365 * DAY) == 0
    assert consent.of(session, ann.id)[-1].network == "192.0.2.7"


def test_thirty_days_count_from_the_last_leaving(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.unsubscribe(session, ann.id, now=NOW)
    people.confirm(session, ann.id, now=NOW + 20 * DAY, consent_text="Yes", network="192.0.2.7")
    people.unsubscribe(session, ann.id, now=NOW + 25 * DAY)
    assert consent.forget_networks(session, now=NOW + 54 * DAY) == 0
    assert consent.forget_networks(session, now=NOW + 55 * DAY) == 1


def test_a_change_of_address_is_on_record_with_the_new_one(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.change_address(session, ann.id, "new@example.com", now=NOW + DAY, consent_text="This is me.")
    record = consent.of(session, ann.id)[-1]
    assert (record.at, record.text, record.address, record.how) == (
        NOW + DAY,
        "This is me.",
        "new@example.com",
        "address changed",
    )


def test_records_of_who_left_are_found_by_index(engine: Engine) -> None:
    told = plans(engine, lambda session: consent.forget_networks(session, now=NOW))
    assert any("ix_subscriber_state_id" in line for line in told)
