"""How a sending stands while it is going on."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlmodel import select

from newsletter import deliveries, status
from newsletter.deliveries import Clocks
from newsletter.providers import Accepted, Outcome, TryLater
from newsletter.status import IssueStatus
from newsletter.store import Store
from newsletter.store.tables import DeliveryRow
from newsletter.values import Message
from tests.newsletter.makers import DAY
from tests.newsletter.test_deliveries import CLOCKS, Post, frozen
from tests.newsletter.test_sending import send

WINDOW = dt.timedelta(hours=12)


def _gather(store: Store, clocks: Clocks = CLOCKS) -> IssueStatus:
    with store.read() as session:
        return status.gather(store, session, clocks, WINDOW).issues[0]


def test_while_it_is_sent_there_is_a_rate_and_a_time_left_and_nothing_is_stuck(store: Store) -> None:
    number, seen = frozen(store, 20), list[IssueStatus]()

    def look(message: Message) -> Outcome:
        seen.append(_gather(store))
        return Accepted(message.key)

    send(store, number, Post(look))
    assert seen[0].state == "sending" and seen[0].rate == 0 and seen[0].seconds_left is None
    assert seen[-1].done > seen[0].done == 2
    assert seen[-1].rate > 0 and seen[-1].seconds_left is not None
    assert all(not one.ways for one in seen)
    assert _gather(store).state == "finished"


def test_what_a_dead_process_left_is_stuck_and_a_send_frees_it(store: Store) -> None:
    number = frozen(store)
    with store.write() as session:
        deliveries.claim(session, number, "dead", 3, DAY, DAY)
    later = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))
    found = _gather(store, later)
    assert found.state == "waiting"
    assert [(way.what, way.commands) for way in found.ways] == [
        ("3 left behind by a process that ended", (f"newsletter send {number}",)),
        ("2 due, and nothing sends them", (f"newsletter send {number}",)),
    ]


def test_a_provider_that_asked_to_wait_is_the_last_error_and_says_the_next_try(store: Store) -> None:
    number = frozen(store)
    send(store, number, Post(lambda m: TryLater(m.key, "429", after=600)))
    found = _gather(store)
    assert (found.last_error, found.next_try) == ("429", DAY + dt.timedelta(minutes=10))
    assert found.ways[0].commands == (f"newsletter issues resume {number}", f"newsletter send {number}")


@pytest.mark.parametrize(("stop", "state"), [(deliveries.pause, "paused"), (deliveries.resume, "waiting")])
def test_a_pause_is_a_state_of_its_own(store: Store, stop: object, state: str) -> None:
    number = frozen(store)
    with store.write() as session:
        assert callable(stop)
        stop(session, number)
    assert _gather(store).state == state


def test_what_a_dead_process_left_of_a_cancelled_issue_has_a_way_out(store: Store) -> None:
    number = frozen(store)
    with store.write() as session:
        claimed = deliveries.claim(session, number, "dead", 3, DAY, DAY)
        deliveries.mark_handing(session, [claimed[0].id], "dead", "post", CLOCKS)
        deliveries.cancel(session, number, DAY)
    later = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))
    assert [way.commands for way in _gather(store, later).ways] == [(f"newsletter send {number}",)]
    with store.read() as session:
        assert deliveries.due_issues(session, DAY, DAY) == [number]


def test_every_state_of_a_delivery_is_counted_and_only_what_is_stuck_has_a_way_out(store: Store) -> None:
    number = frozen(store, len(deliveries.STATES) - 2)
    with store.write() as session:
        rows = session.exec(select(DeliveryRow).where(DeliveryRow.issue_id == number)).all()
        for row, state in zip(rows, deliveries.STATES, strict=True):
            row.state, row.claimed_by, row.claimed_at = state, deliveries.owner(), DAY
    found = _gather(store)
    assert found.counts == dict.fromkeys(deliveries.STATES, 1)
    assert (found.audience, found.done) == (len(deliveries.STATES), len(deliveries.STATES) - 4)
    assert [way.what for way in found.ways] == ["1 in doubt", "1 failed"]
