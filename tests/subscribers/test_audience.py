"""Facts about who is mailed."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers import audience, people
from subscribers.audience import Group
from subscribers.preferences import Preferences
from subscribers.suppression import Lifter
from subscribers.tables import Format, Frequency, Kind, Subscriber
from tests.subscribers.conftest import NOW, added

SOON = NOW + dt.timedelta(days=10)


def mailable(session: Session, now: dt.datetime = NOW) -> list[str]:
    query = select(col(Subscriber.address)).where(audience.mailable(now)).order_by(col(Subscriber.id))
    return list(session.scalars(query))


def test_only_active_people_are_mailable(session: Session) -> None:
    added(session, "active@example.com")
    added(session, "pending@example.com", active=False)
    people.unsubscribe(session, added(session, "left@example.com").id, now=NOW)
    assert mailable(session) == ["active@example.com"]


def test_a_paused_reader_is_mailable_again_from_the_end_of_the_pause(session: Session) -> None:
    added(session, "paused@example.com", Preferences(paused_until=SOON))
    assert mailable(session, SOON - dt.timedelta(microseconds=1)) == []
    assert mailable(session, SOON) == ["paused@example.com"]


@pytest.mark.parametrize("kind", list(Kind))
def test_any_suppression_stops_mail_at_once(session: Session, kind: Kind) -> None:
    ann = added(session, "ann@example.com")
    added(session, "bob@example.com")
    people.suppress_subscriber(session, ann.id, kind, now=NOW)
    assert mailable(session) == ["bob@example.com"]


def test_a_bounce_that_the_owner_lifts_lets_mail_through_again(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.suppress_subscriber(session, ann.id, Kind.HARD_BOUNCE, now=NOW)
    people.lift(session, ann.address, Kind.HARD_BOUNCE, by=Lifter.OWNER)
    assert mailable(session) == ["ann@example.com"]


def test_a_sign_up_under_an_erased_address_is_not_mailable_until_confirmed(session: Session) -> None:
    people.erase(session, added(session, "ann@example.com").id, now=NOW)
    again = people.add(session, "ann@example.com", now=NOW, how="form", consent_text="x").subscriber
    assert again is not None
    assert mailable(session) == []
    people.confirm(session, again.id, now=NOW, consent_text="Yes")
    assert mailable(session) == ["ann@example.com"]


def test_suppressions_are_probed_by_key(session: Session) -> None:
    query = select(col(Subscriber.id)).where(audience.mailable(NOW))
    compiled = query.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
    plan = [row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))]
    probes = [step for step in plan if "suppression" in step.casefold()]
    assert len(probes) == 1
    assert probes[0].startswith("SEARCH")
    assert "identity_hash=?" in probes[0]


def crowd(session: Session) -> None:
    """One of everything."""
    added(session, "every@example.com")
    added(session, "topics@example.com", Preferences(topics=frozenset({"theory", "safety"})))
    added(session, "topics2@example.com", Preferences(topics=frozenset({"safety", "theory"})))
    added(session, "none@example.com", Preferences(topics=frozenset({"removed"})))
    added(session, "text@example.com", Preferences(format=Format.TEXT))
    added(session, "weekly@example.com", Preferences(frequency=Frequency.WEEKLY))
    added(session, "monthly@example.com", Preferences(frequency=Frequency.MONTHLY))
    added(session, "paused@example.com", Preferences(paused_until=SOON))
    added(session, "pending@example.com", active=False)
    people.unsubscribe(session, added(session, "left@example.com").id, now=NOW)
    for kind in (Kind.COMPLAINT, Kind.HARD_BOUNCE, Kind.OWNER):
        people.suppress_subscriber(session, added(session, f"{kind}@example.com").id, kind, now=NOW)


def test_everyone_is_counted_once_and_every_exclusion_has_its_reason(session: Session) -> None:
    crowd(session)
    counts = audience.audience_counts(session, NOW)
    assert counts == {
        "audience": 5,
        "frequency: monthly": 1,
        "frequency: weekly": 1,
        "paused": 1,
        "pending": 1,
        "suppressed: complaint": 1,
        "suppressed: hard_bounce": 1,
        "suppressed: owner": 1,
        "unsubscribed": 1,
    }
    assert next(iter(counts)) == audience.AUDIENCE


def test_counts_and_groups_agree_with_who_is_mailable(session: Session) -> None:
    crowd(session)
    for now in (NOW, SOON):
        sizes = {f: audience.audience_counts(session, now, f)[audience.AUDIENCE] for f in Frequency}
        assert sum(sizes.values()) == len(mailable(session, now))
        for frequency, size in sizes.items():
            assert sum(group.readers for group in audience.groups(session, now, frequency)) == size


def test_an_empty_list_has_an_audience_of_none(session: Session) -> None:
    assert audience.audience_counts(session, NOW) == {"audience": 0}
    assert audience.groups(session, NOW) == ()


def test_readers_are_grouped_by_what_they_follow_and_the_format(session: Session) -> None:
    crowd(session)
    assert audience.groups(session, NOW) == (
        Group("safety,theory", Format.HTML, 2),
        Group("*", Format.HTML, 1),
        Group("*", Format.TEXT, 1),
        Group("removed", Format.HTML, 1),
    )
    assert [group.topics for group in audience.groups(session, NOW, Frequency.WEEKLY)] == [None]


def test_choosers_left_with_no_topic_are_counted(session: Session) -> None:
    crowd(session)
    assert audience.left_with_none(audience.groups(session, NOW), {"safety", "theory"}) == 1


def test_a_freeze_in_one_statement_gives_every_reader_the_edition_of_their_group(session: Session) -> None:
    crowd(session)
    session.execute(text("CREATE TABLE map (follows TEXT, format TEXT, edition INTEGER)"))
    session.execute(text("CREATE TABLE frozen (subscriber_id INTEGER, edition INTEGER)"))
    groups = audience.groups(session, NOW)
    rows = [{"a": group.follows, "b": group.format, "c": number} for number, group in enumerate(groups)]
    session.execute(text("INSERT INTO map VALUES (:a, :b, :c)"), rows)
    wanted = select(col(Subscriber.id)).where(audience.in_audience(NOW, Frequency.EVERY))
    where = wanted.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
    session.execute(
        text(
            "INSERT INTO frozen SELECT s.id, map.edition FROM subscriber s JOIN map"
            f" ON map.follows = s.follows AND map.format = s.format WHERE s.id IN ({where})"
        )
    )
    found = session.execute(text("SELECT edition, count(*) FROM frozen GROUP BY edition ORDER BY edition"))
    assert [tuple(row) for row in found] == [(n, group.readers) for n, group in enumerate(groups)]
