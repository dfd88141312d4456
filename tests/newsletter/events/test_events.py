"""What reports do: any order and any repetition end the same, and nobody is mailed again who does not want it."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import subscribers
from newsletter import deliveries, events
from newsletter.deliveries import Clocks, Handed
from newsletter.events import Event, Kind, Recorded
from newsletter.providers import Accepted
from newsletter.store import open_store
from tests.newsletter.events.conftest import LATER, Ledger, event
from tests.newsletter.makers import DAY

HARD, SOFT = Kind.HARD_BOUNCE, Kind.SOFT_BOUNCE


@pytest.mark.parametrize(
    ("kind", "state", "reason"),
    [
        (Kind.ACCEPTED, "accepted", ""),
        (Kind.DEFERRED, "accepted", ""),
        (Kind.DELIVERED, "delivered", ""),
        (SOFT, "bounced", "soft bounce: mailbox full"),
        (HARD, "bounced", "hard bounce: mailbox full"),
        (Kind.DROPPED, "bounced", "dropped: mailbox full"),
        (Kind.COMPLAINED, "complained", "complained: mailbox full"),
        (Kind.UNSUBSCRIBED, "accepted", ""),
    ],
)
def test_each_kind_of_report_ends_in_its_state(ledger: Ledger, kind: Kind, state: str, reason: str) -> None:
    ledger.hear(event("1-1", kind, why="mailbox full"))
    assert (ledger.state("1-1"), ledger.row("1-1").reason) == (state, reason)
    assert ledger.state("1-2") == "accepted"


@pytest.mark.parametrize("before", ["in_doubt", "handing", "claimed", "planned", "failed"])
def test_a_report_ends_every_doubt(ledger: Ledger, before: str) -> None:
    number = ledger.issue(before)
    ledger.hear(*(event(f"{number}-{reader}", kind) for reader, kind in enumerate((Kind.ACCEPTED, Kind.DELIVERED), 1)))
    assert [ledger.state(f"{number}-{reader}") for reader in (1, 2, 3)] == ["accepted", "delivered", before]


def test_an_answer_that_comes_after_the_report_changes_nothing(ledger: Ledger) -> None:
    number, clocks = ledger.issue("planned"), Clocks(now=lambda: DAY, real=lambda: DAY)
    with ledger.store.write() as session:
        (claimed, *_) = deliveries.claim(session, number, "owner", 5, DAY, DAY)
        deliveries.mark_handing(session, [claimed.id], "owner", "sendgrid", clocks)
    ledger.hear(event(claimed.key, Kind.DELIVERED))
    with ledger.store.write() as session:
        handed = Handed(claimed.id, 1, Accepted(claimed.key))
        deliveries.mark(session, deliveries.state_of(session, number), [handed], "owner", clocks)
    assert ledger.state(claimed.key) == "delivered"


def test_a_skipped_delivery_stays_so(ledger: Ledger) -> None:
    number = ledger.issue("skipped")
    ledger.hear(event(f"{number}-1", Kind.DELIVERED))
    assert ledger.state(f"{number}-1") == "skipped"


@pytest.mark.parametrize(
    "kinds",
    list(itertools.permutations([Kind.DEFERRED, Kind.DELIVERED, SOFT, Kind.COMPLAINED], 3)),
    ids=lambda kinds: "-".join(kinds),
)
def test_the_order_of_reports_does_not_matter(ledger: Ledger, kinds: tuple[Kind, ...]) -> None:
    for kind in kinds:
        ledger.hear(event("1-1", kind))
    expected = "complained" if Kind.COMPLAINED in kinds else "bounced"
    assert ledger.state("1-1") == expected


_REPORTS = [
    event(f"1-{reader}", kind, minutes=minutes, why=f"{kind} {minutes}")
    for reader in (1, 2)
    for kind in Kind
    for minutes in (0, 5)
]


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(_REPORTS), max_size=12), st.randoms(use_true_random=False), st.integers(1, 4))
def test_replay_and_reordering_end_the_same(
    empty_database: Path, tmp_path: Path, reports: list[Event], chaos: random.Random, parts: int
) -> None:
    first = _ended(empty_database, tmp_path, reports, 1)
    again = [*reports, *reports]
    chaos.shuffle(again)
    assert _ended(empty_database, tmp_path, again, parts) == first


def _ended(empty: Path, folder: Path, reports: list[Event], parts: int) -> list[object]:
    """What a fresh ledger of two readers comes to when these come in as so many posts."""
    file = folder / "one.sqlite3"
    for old in folder.glob("one.sqlite3*"):
        old.unlink()
    shutil.copy(empty, file)
    opened = open_store(f"sqlite:///{file}")
    with opened.write() as session:
        for reader in (1, 2):
            address = f"reader{reader}@example.com"
            subscribers.add(session, address, now=DAY, how="test", consent_text="yes", active=True)
    ledger = Ledger(opened, 2)
    ledger.issue("in_doubt")
    for start in range(parts):
        ledger.hear(*reports[start::parts])
    rows = [ledger.row(key) for key in ("1-1", "1-2")]
    result: list[object] = [(row.state, row.reason, ledger.barred(row.subscriber_id)) for row in rows]
    result += [len(ledger.kept()), ledger.mailable()]
    opened.close()
    return result


def test_a_report_is_kept_once_and_counted(ledger: Ledger) -> None:
    bounce = event("1-1", HARD, "a")
    assert ledger.hear(bounce, bounce) == Recorded({HARD: 1}, 0, 1)
    assert ledger.hear(bounce, event("1-2", Kind.DELIVERED, "b")) == Recorded({Kind.DELIVERED: 1}, 0, 1)
    assert [row.ref for row in ledger.kept()] == ["a", "b"]


@pytest.mark.parametrize("key", ["9-1", "1-9", "x", "", "1-1-1", "0-1", "1-" + "9" * 30, "-1--1", "\u0661-1"])
def test_a_report_of_an_unknown_key_is_kept_and_counted(ledger: Ledger, key: str) -> None:
    assert ledger.hear(event(key, HARD, "a")) == Recorded({HARD: 1}, 1, 0)
    (row,) = ledger.kept()
    assert (row.delivery_id, row.kind) == (None, "hard_bounce")
    with ledger.store.read() as session:
        assert events.counts(session) == {"hard_bounce": 1, "unknown": 1}
    assert ledger.mailable() == 3


def test_what_is_kept_names_no_address_and_no_day_to_come(ledger: Ledger) -> None:
    long = "550 <ada@example.com>: no\r\nsuch\x00 user ada@example.com " + "x" * 5000
    ledger.hear(event("1-1", HARD, "a" * 900, minutes=10_000, why=long))
    (row,) = ledger.kept()
    assert row.why.startswith("550 <(address)>: no such user (address) x") and len(row.why) == events.LONGEST_WHY
    assert row.at == LATER and len(row.ref) == events.LONGEST_ID


def test_hard_bounces_and_complaints_bar_an_address_for_the_owner_to_lift(ledger: Ledger) -> None:
    ledger.hear(event("1-1", HARD), event("1-2", Kind.COMPLAINED), event("1-3", Kind.UNSUBSCRIBED))
    assert [ledger.barred(reader) for reader in (1, 2, 3)] == [{"hard_bounce"}, {"complaint"}, {"unsubscribed"}]
    assert ledger.mailable() == 0


def test_a_replay_does_not_undo_what_a_reader_did_since(ledger: Ledger) -> None:
    left = event("1-1", Kind.UNSUBSCRIBED)
    ledger.hear(left)
    with ledger.store.write() as session:
        subscribers.undo(session, 1, now=LATER)
    ledger.hear(left)
    assert ledger.mailable() == 3


def test_a_bounce_bars_the_address_that_bounced_and_not_the_readers_new_one(ledger: Ledger) -> None:
    with ledger.store.write() as session:
        subscribers.change_address(session, 1, "new@example.com", now=LATER, consent_text="yes")
    ledger.hear(event("1-1", HARD, address="reader1@example.com"))
    assert ledger.barred(1) == {"hard_bounce"} and ledger.mailable() == 3


def test_three_soft_bounces_in_five_mails_count_as_a_hard_one(ledger: Ledger) -> None:
    numbers = [1, *(ledger.issue() for _ in range(4))]
    for number in numbers[:2]:
        ledger.hear(event(f"{number}-1", SOFT), event(f"{number}-1", SOFT, minutes=1))
    assert ledger.barred(1) == set() and ledger.mailable() == 3
    ledger.hear(event(f"{numbers[4]}-1", SOFT))
    assert ledger.barred(1) == {"hard_bounce"}
    with ledger.store.read() as session:
        (record,) = subscribers.suppression_records(session, "reader1@example.com")
    assert record.note == "soft bounces of 3 of the last 5 mails"


def test_soft_bounces_further_back_do_not_count(ledger: Ledger) -> None:
    numbers = [1, *(ledger.issue() for _ in range(5))]
    for number in (*numbers[:2], numbers[5]):
        ledger.hear(event(f"{number}-1", SOFT))
    assert ledger.barred(1) == set()


def test_mails_that_never_left_are_none_of_the_five(ledger: Ledger) -> None:
    numbers = [1, ledger.issue(), *(ledger.issue("skipped") for _ in range(5)), ledger.issue()]
    for number in (*numbers[:2], numbers[-1]):
        ledger.hear(event(f"{number}-1", SOFT))
    assert ledger.barred(1) == {"hard_bounce"}


@pytest.mark.slow
def test_more_reports_than_fit_into_a_statement_are_recorded_too(
    open_ledger: Callable[[int], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_CHUNK", 2)
    ledger = open_ledger(5)
    ledger.issue("in_doubt")
    keys = [f"1-{reader}" for reader in range(1, 6)]
    ledger.hear(*(event(key, Kind.ACCEPTED) for key in keys))
    with ledger.store.read() as session:
        assert deliveries.counts(session, 1) == {"accepted": 5}
    assert ledger.hear(*(event(key, Kind.DELIVERED) for key in keys)) == Recorded({Kind.DELIVERED: 5})
    with ledger.store.read() as session:
        assert deliveries.counts(session, 1) == {"delivered": 5}


@pytest.mark.parametrize(("kind", "bars"), [(Kind.COMPLAINED, "complaint"), (HARD, "hard_bounce"), (SOFT, "")])
def test_what_is_reported_of_a_letter_stands_against_the_address_it_went_to(
    ledger: Ledger, kind: Kind, bars: str
) -> None:
    ledger.hear(
        event("letter-7", kind, address="reader2@example.com"), event("8-8", kind, address="reader1@example.com")
    )
    assert (ledger.barred(1), ledger.barred(2)) == (set(), {bars} - {""})


def test_reports_are_dropped_400_days_after_they_came_and_what_they_did_stays(ledger: Ledger) -> None:
    ledger.hear(event("1-1", HARD), event("1-2", Kind.DELIVERED))

    def tidied(after: dt.timedelta) -> int:
        with ledger.store.write() as session:
            return events.tidy(session, LATER + after)

    assert tidied(events.KEPT - dt.timedelta(seconds=1)) == 0
    assert len(ledger.kept()) == 2
    assert tidied(events.KEPT) == 2
    assert (ledger.kept(), tidied(events.KEPT)) == ([], 0)
    assert (ledger.state("1-1"), ledger.state("1-2"), ledger.barred(1)) == ("bounced", "delivered", {"hard_bounce"})


def test_one_sweep_drops_no_more_than_a_short_transaction_can(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_DROPPED_AT_ONCE", 2)
    ledger.hear(*(event(f"1-{reader}", Kind.DELIVERED) for reader in (1, 2, 3)))
    with ledger.store.write() as session:
        assert [events.tidy(session, LATER + events.KEPT) for _ in range(3)] == [2, 1, 0]
