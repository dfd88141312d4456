"""The ledger: nobody twice, nobody lost, every state reachable and named."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func
from sqlmodel import Session, select

import subscribers
from newsletter import deliveries, sending
from newsletter.deliveries import Claimed, Clocks, LedgerError, Verdict
from newsletter.editions import Assignment
from newsletter.providers import Accepted, InDoubt, More, NotAllowed, Outcome, Refused, TryLater, Unreachable
from newsletter.sending import Rules
from newsletter.store import Store
from newsletter.store.tables import DeliveryRow, IssueRow
from newsletter.values import Edition, Message
from subscribers import Frequency, Preferences
from tests.newsletter.makers import DAY, issue

CLOCKS = Clocks(now=lambda: DAY, real=lambda: DAY)
Answer = Callable[[Message], Outcome | None]


@dataclass
class Post:
    """A provider that keeps what it takes, and answers as it is told."""

    answer: Answer = lambda message: Accepted(message.key, f"ref-{message.key}")
    taken: list[str] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    name: str = "post"
    batch: int = 2
    repeats_safely: bool = False

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        self.calls.append(len(messages))
        for message in messages:
            outcome = self.answer(message)
            if isinstance(outcome, Accepted):
                self.taken.append(message.to)
            if outcome is not None:
                yield outcome


@pytest.fixture
def store(either_store: Store) -> Store:
    """Every fact here holds on both kinds of database."""
    return either_store


def compose(claimed: Claimed) -> Message:
    return Message(claimed.key, claimed.address, (("Subject", "x"),), "text")


def _people(session: Session, count: int, **preferences: object) -> None:
    start = len(session.exec(select(subscribers.Subscriber)).all())
    for number in range(start, start + count):
        subscribers.add(
            session,
            f"reader{number}@example.com",
            now=DAY,
            how="test",
            consent_text="yes",
            active=True,
            preferences=Preferences(**preferences),  # type: ignore[arg-type]  # a test names the fields it changes
        )


def frozen(store: Store, readers: int = 5) -> int:
    """An issue for so many readers of everything, and two who follow a topic that it lacks."""
    with store.write() as session:
        _people(session, readers)
        _people(session, 2, topics=frozenset({"absent"}))
    return _freeze(store)


def _freeze(store: Store, due_in: dict[str, dt.datetime] | None = None) -> int:
    made = issue()
    with store.write() as session:
        row = IssueRow(date=DAY.date(), title=made.title, state="frozen", input_hash="", created_at=DAY, selection={})
        session.add(row)
        session.flush()
        groups = {
            "*": Assignment(Edition(made, made.pieces)),
            "absent": Assignment(None, "no piece fits their topics"),
        }
        deliveries.plan(session, row.id or 0, groups, frequency=Frequency.EVERY, due_at=DAY, now=DAY, due_in=due_in)
        return row.id or 0


def counts(store: Store, number: int) -> dict[str, int]:
    with store.read() as session:
        return deliveries.counts(session, number)


def _send(store: Store, number: int, post: Post, clocks: Clocks = CLOCKS) -> dict[str, int]:
    sending.send(store, number, post, compose, clocks, rules=Rules(chunk=3))
    return counts(store, number)


def test_the_freeze_writes_the_whole_audience_planned_or_skipped_with_the_reason(store: Store) -> None:
    number = frozen(store)
    assert counts(store, number) == {"planned": 5, "skipped": 2}
    with store.read() as session:
        assert deliveries.skips(session, number) == {"no piece fits their topics": 2}


def test_who_left_paused_or_reads_weekly_is_no_audience(store: Store) -> None:
    with store.write() as session:
        _people(session, 4)
        _people(session, 1, frequency=Frequency.WEEKLY)
        _people(session, 1, paused_until=DAY + dt.timedelta(days=1))
        subscribers.unsubscribe(session, 1, now=DAY)
        subscribers.suppress(session, "reader1@example.com", subscribers.Kind.COMPLAINT, now=DAY)
    assert counts(store, _freeze(store)) == {"planned": 2}


def test_an_audience_that_no_group_covers_is_refused_whole(store: Store) -> None:
    with store.write() as session:
        _people(session, 1, topics=frozenset({"unforeseen"}))
    with pytest.raises(RuntimeError, match="1 readers and 0 deliveries"):
        _freeze(store)
    with store.read() as session:
        assert session.exec(select(DeliveryRow)).all() == []


def test_every_planned_reader_gets_it_once_in_calls_of_the_providers_size(store: Store) -> None:
    number, post = frozen(store), Post()
    assert _send(store, number, post) == {"accepted": 5, "skipped": 2}
    assert sorted(post.taken) == [f"reader{n}@example.com" for n in range(5)]
    assert post.calls == [2, 1, 2]
    assert _send(store, number, post) == {"accepted": 5, "skipped": 2}
    assert len(post.taken) == 5


def test_one_refused_reader_costs_that_reader_alone(store: Store) -> None:
    post = Post(lambda m: Refused(m.key, "no such mailbox") if m.to.startswith("reader2@") else Accepted(m.key))
    assert _send(store, frozen(store), post) == {"accepted": 4, "failed": 1, "skipped": 2}


def test_later_means_planned_again_after_a_wait_and_then_sent(store: Store) -> None:
    number = frozen(store)
    slow = Post(lambda m: TryLater(m.key, "busy", after=600))
    assert _send(store, number, slow) == {"planned": 5, "skipped": 2}
    assert _send(store, number, Post()) == {"planned": 5, "skipped": 2}
    later = Clocks(now=lambda: DAY + dt.timedelta(seconds=601), real=lambda: DAY)
    assert _send(store, number, Post(), later) == {"accepted": 5, "skipped": 2}


def test_later_for_ever_ends_as_failed(store: Store) -> None:
    number, post = frozen(store, 1), Post(lambda m: TryLater(m.key, "busy"))
    for hour in range(deliveries.MOST_ATTEMPTS + 1):
        later = DAY + hour * deliveries.LONGEST_BACKOFF
        _send(store, number, post, Clocks(now=lambda day=later: day, real=lambda: DAY))  # type: ignore[misc]
    assert counts(store, number) == {"failed": 1, "skipped": 2}
    assert len(post.calls) == deliveries.MOST_ATTEMPTS


@pytest.mark.parametrize("answer", [lambda m: InDoubt(m.key, "reset"), lambda m: None])
def test_doubt_and_silence_are_never_sent_again(store: Store, answer: Answer) -> None:
    number, post = frozen(store), Post(answer)
    assert _send(store, number, post) == {"in_doubt": 5, "skipped": 2}
    again = Post()
    assert _send(store, number, again) == {"in_doubt": 5, "skipped": 2}
    assert again.calls == []


def test_a_provider_that_does_not_accept_us_stops_everything_and_loses_nobody(store: Store) -> None:
    number = frozen(store)

    def refuse(message: Message) -> Outcome:
        raise NotAllowed("bad key")

    with pytest.raises(NotAllowed):
        _send(store, number, Post(refuse))
    assert counts(store, number) == {"planned": 5, "skipped": 2}
    assert _send(store, number, Post()) == {"accepted": 5, "skipped": 2}


def test_who_leaves_after_the_freeze_is_not_mailed(store: Store) -> None:
    number, post = frozen(store), Post()
    with store.write() as session:
        subscribers.unsubscribe(session, 1, now=DAY)
    assert _send(store, number, post) == {"accepted": 4, "skipped": 3}
    assert "reader0@example.com" not in post.taken


def test_who_leaves_while_it_is_being_sent_is_not_claimed_any_more(store: Store) -> None:
    number = frozen(store)

    def leave(message: Message) -> Outcome:
        with store.write() as session:
            subscribers.unsubscribe(session, 5, now=DAY)
        return Accepted(message.key)

    post = Post(leave)
    assert _send(store, number, post) == {"accepted": 4, "skipped": 3}
    assert "reader4@example.com" not in post.taken


def test_a_claim_of_a_dead_process_is_planned_again_and_its_hand_over_is_in_doubt(store: Store) -> None:
    number = frozen(store)
    with store.write() as session:
        claimed = deliveries.claim(session, number, "dead", 3, DAY, DAY)
        deliveries.mark_handing(session, [claimed[0].id], "dead", "post", CLOCKS)
    later = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))
    assert _send(store, number, Post(), later) == {"accepted": 4, "in_doubt": 1, "skipped": 2}


def test_a_claim_of_a_living_process_is_left_alone(store: Store) -> None:
    number = frozen(store)
    with store.write() as session:
        deliveries.claim(session, number, "alive", 3, DAY, DAY)
    assert _send(store, number, Post()) == {"claimed": 3, "accepted": 2, "skipped": 2}


def test_an_error_while_composing_gives_the_claimed_rows_back(store: Store) -> None:
    number = frozen(store)

    def broken(claimed: Claimed) -> Message:
        raise ValueError("cannot compose")

    with pytest.raises(ValueError, match="cannot compose"):
        sending.send(store, number, Post(), broken, CLOCKS, rules=Rules(chunk=3))
    assert counts(store, number) == {"planned": 5, "skipped": 2}


def test_the_oldest_issue_that_is_not_finished_is_found(store: Store) -> None:
    first, second = frozen(store), _freeze(store)
    with store.read() as session:
        assert deliveries.unfinished_issue(session) == first
    _send(store, first, Post())
    with store.read() as session:
        assert deliveries.unfinished_issue(session) == second


def test_an_issue_in_doubt_alone_does_not_stand_in_the_way(store: Store) -> None:
    _send(store, frozen(store), Post(lambda m: InDoubt(m.key, "reset")))
    with store.read() as session:
        assert deliveries.unfinished_issue(session) is None


def test_a_process_that_is_gone_from_this_machine_is_not_waited_for(store: Store) -> None:
    number = frozen(store)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    owner = f"{socket.gethostname()}/{ended.pid}/x"
    with store.write() as session:
        claimed = deliveries.claim(session, number, owner, 3, DAY, DAY)
        deliveries.mark_handing(session, [claimed[0].id], owner, "post", CLOCKS)
    assert _send(store, number, Post()) == {"accepted": 4, "in_doubt": 1, "skipped": 2}


@dataclass
class Stream(Post):
    """A provider that asks for more whenever a place is free, and answers the first of what it has."""

    store: Store | None = None
    most: int = 0

    def stream(self, more: More) -> Iterator[Outcome]:
        has: list[Message] = []
        while True:
            has += more(self.batch - len(has)) if len(has) < self.batch else []
            if not has:
                return
            self._count()
            yield from super().hand_over([has.pop(0)])

    def _count(self) -> None:
        assert self.store is not None
        with self.store.read() as session:
            handing = select(func.count()).where(DeliveryRow.state == "handing")
            self.most = max(self.most, session.exec(handing).one())


def test_a_provider_that_streams_never_has_more_on_record_than_it_has_places(store: Store) -> None:
    number, post = frozen(store, 20), Stream(batch=3, store=store)
    assert _send(store, number, post) == {"accepted": 20, "skipped": 2}
    assert sorted(post.taken) == sorted(f"reader{n}@example.com" for n in range(20))
    assert post.most == 3


def test_what_a_stream_learned_before_it_is_stopped_is_kept_and_the_rest_is_planned(store: Store) -> None:
    def answer(message: Message) -> Outcome:
        if message.to.startswith("reader3@"):
            raise Unreachable("nobody answers")
        return Accepted(message.key)

    number = frozen(store)
    with pytest.raises(Unreachable):
        _send(store, number, Stream(answer, batch=3, store=store))
    assert counts(store, number) == {"planned": 2, "accepted": 3, "skipped": 2}
    with store.read() as session:
        assert session.exec(select(func.max(DeliveryRow.attempts)).where(DeliveryRow.state == "planned")).one() == 0


def test_who_slept_longer_than_the_lease_hands_over_only_what_is_still_theirs(store: Store) -> None:
    number, sleeper, other = frozen(store), Post(), Post()
    awake = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))

    def sleep(claimed: Claimed) -> Message:
        if not other.taken:
            _send(store, number, other, awake)
        return compose(claimed)

    sending.send(store, number, sleeper, sleep, CLOCKS, rules=Rules(chunk=3))
    assert sorted(sleeper.taken + other.taken) == [f"reader{n}@example.com" for n in range(5)]
    assert counts(store, number) == {"accepted": 5, "skipped": 2}


def test_an_answer_that_comes_after_another_process_doubted_it_resolves_the_doubt(store: Store) -> None:
    number = frozen(store, 1)
    late = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))

    def slow(message: Message) -> Outcome:
        with store.write() as session:
            assert deliveries.recover(session, number, late.real())["in_doubt"] == 1
        return Accepted(message.key)

    assert _send(store, number, Post(slow)) == {"accepted": 1, "skipped": 2}


def test_an_answer_that_comes_too_late_says_nothing_of_a_later_hand_over(store: Store) -> None:
    """Else what another process handed over since, and is in doubt, would be handed over again."""
    number, other = frozen(store, 1), Post(lambda m: InDoubt(m.key, "reset"))
    late = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))

    def slow(message: Message) -> Outcome:
        with store.write() as session:
            assert deliveries.recover(session, number, late.real())["in_doubt"] == 1
            assert deliveries.resolve(session, number, Verdict.AGAIN, late, state="in_doubt") == 1
        assert _send(store, number, other, late) == {"in_doubt": 1, "skipped": 2}
        return TryLater(message.key, "busy")

    assert _send(store, number, Post(slow)) == {"in_doubt": 1, "skipped": 2}


def test_who_was_erased_after_the_freeze_is_skipped(store: Store) -> None:
    number = frozen(store)
    with store.write() as session:
        subscribers.erase(session, 1, now=DAY)
    assert _send(store, number, Post()) == {"accepted": 4, "skipped": 3}


def test_a_provider_that_repeats_safely_leaves_nothing_in_doubt(store: Store) -> None:
    number = frozen(store)
    with store.write() as session:
        claimed = deliveries.claim(session, number, "dead", 3, DAY, DAY)
        deliveries.mark_handing(session, [claimed[0].id], "dead", "post", CLOCKS)
    later = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))
    assert _send(store, number, Post(repeats_safely=True), later) == {"accepted": 5, "skipped": 2}


def test_two_claimers_at_once_get_different_deliveries(store: Store) -> None:
    """On PostgreSQL the second passes over what the first holds; on SQLite it waits for its end."""
    number, claimed, barrier = frozen(store, 40), dict[str, list[int]](), threading.Barrier(2)

    def take(name: str) -> None:
        barrier.wait()
        with store.write() as session:
            claimed[name] = [one.id for one in deliveries.claim(session, number, name, 15, DAY, DAY)]
            time.sleep(0.2)

    threads = [threading.Thread(target=take, args=(name,)) for name in ("one", "two")]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(ids) for ids in claimed.values()] == [15, 15]
    assert len({*claimed["one"], *claimed["two"]}) == 30
    if store.engine.dialect.name == "postgresql":
        assert time.monotonic() - began < 0.38


def test_two_sendings_at_once_hand_over_each_delivery_once(store: Store) -> None:
    number, posts = frozen(store, 60), [Post(), Post()]
    threads = [threading.Thread(target=_send, args=(store, number, post)) for post in posts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(posts[0].taken + posts[1].taken) == sorted(f"reader{n}@example.com" for n in range(60))
    assert counts(store, number) == {"accepted": 60, "skipped": 2}


def test_readers_are_due_at_their_own_hour(store: Store) -> None:
    with store.write() as session:
        for zone in ("", "Europe/Berlin", "America/New_York"):
            _people(session, 1, time_zone=zone)
    due_in = {zone: deliveries.at_hour(8, zone, "UTC", DAY) for zone in ("", "Europe/Berlin", "America/New_York")}
    number = _freeze(store, due_in)
    for hour, accepted in ((0, None), (1, 1), (4, 1), (5, 2), (23, 3)):
        post = Post()
        _send(store, number, post, Clocks(now=lambda h=hour: DAY + dt.timedelta(hours=h), real=lambda: DAY))  # type: ignore[misc]
        assert counts(store, number).get("accepted") == accepted


@pytest.mark.parametrize(
    ("zone", "now", "hour", "due"),
    [
        ("Europe/Berlin", "2026-05-29T04:00", 7, "2026-05-29T05:00"),
        ("Europe/Berlin", "2026-05-29T05:30", 7, "2026-05-29T05:30"),
        ("Europe/Berlin", "2026-05-29T06:00", 7, "2026-05-30T05:00"),
        ("America/New_York", "2026-05-29T07:00", 7, "2026-05-29T11:00"),
        ("Pacific/Kiritimati", "2026-05-29T07:00", 7, "2026-05-29T17:00"),
        ("Europe/Berlin", "2026-03-28T12:00", 2, "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-10-24T12:00", 2, "2026-10-25T00:00"),
        ("Europe/Berlin", "2026-10-25T01:10", 2, "2026-10-25T01:10"),
        ("No/Where", "2026-05-29T06:00", 7, "2026-05-29T07:00"),
        ("", "2026-05-29T06:00", 7, "2026-05-29T07:00"),
    ],
)
def test_a_local_hour_is_the_next_one_of_the_readers_clock(zone: str, now: str, hour: int, due: str) -> None:
    moment = dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC)
    assert deliveries.at_hour(hour, zone, "UTC", moment) == dt.datetime.fromisoformat(due).replace(tzinfo=dt.UTC)


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]),
    st.integers(0, 20 * 366 * 24 * 60),
    st.integers(0, 23),
)
@settings(deadline=None)
def test_a_local_hour_is_never_past_and_comes_within_two_days(zone: str, minutes: int, hour: int) -> None:
    now = dt.datetime(2011, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes)
    due = deliveries.at_hour(hour, zone, "UTC", now)
    assert now <= due <= now + dt.timedelta(days=2, hours=2)
    assert due.astimezone(ZoneInfo(zone)).hour in (hour, (hour + 1) % 24)


@pytest.mark.parametrize(
    ("tries", "wish", "minutes"),
    [(1, 0, 1), (2, 0, 2), (5, 0, 16), (8, 0, 120), (60, 0, 120), (1, 600, 10), (3, 60, 4), (1, 10**9, 1440)],
)
def test_a_wait_doubles_up_to_two_hours_and_a_wish_counts_up_to_a_day(tries: int, wish: float, minutes: int) -> None:
    assert deliveries.wait_for(tries, wish) == dt.timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.SENT, {"accepted": 5, "skipped": 2}),
        (Verdict.FAILED, {"failed": 5, "skipped": 2}),
        (Verdict.AGAIN, {"planned": 5, "skipped": 2}),
    ],
)
def test_the_owner_says_what_became_of_doubts(store: Store, verdict: Verdict, expected: dict[str, int]) -> None:
    number = frozen(store)
    _send(store, number, Post(lambda m: InDoubt(m.key, "reset")))
    with store.write() as session:
        assert deliveries.resolve(session, number, verdict, CLOCKS, state="in_doubt") == 5
        assert deliveries.resolve(session, number, verdict, CLOCKS, state="in_doubt") == 0
    assert counts(store, number) == expected


def test_one_doubt_is_resolved_by_its_key(store: Store) -> None:
    number = frozen(store)
    _send(store, number, Post(lambda m: InDoubt(m.key, "reset")))
    with store.write() as session:
        listed = deliveries.listing(session, "in_doubt", number, 100)
        found = deliveries.parse_key(listed[2].key)
        assert found == (number, listed[2].subscriber_id)
        reader = found[1]
        changed = deliveries.resolve(session, number, Verdict.AGAIN, CLOCKS, subscriber_id=reader, state="in_doubt")
    assert changed == 1
    assert counts(store, number) == {"planned": 1, "in_doubt": 4, "skipped": 2}
    post = Post()
    _send(store, number, post)
    assert post.taken == [listed[2].address]


def test_nothing_of_a_cancelled_issue_is_planned_again(store: Store) -> None:
    number = frozen(store)
    _send(store, number, Post(lambda m: InDoubt(m.key, "reset")))
    with store.write() as session:
        assert deliveries.cancel(session, number, DAY) == 0
    with pytest.raises(LedgerError, match="cancelled, which is for good"), store.write() as session:
        deliveries.resolve(session, number, Verdict.AGAIN, CLOCKS, state="in_doubt")
    with store.write() as session:
        assert deliveries.send_doubts_again(session, number, DAY, CLOCKS) == 0
    for change in (deliveries.pause, deliveries.resume):
        with pytest.raises(LedgerError, match="for good"), store.write() as session:
            change(session, number)


def test_what_a_dead_process_claimed_of_a_cancelled_issue_is_cancelled(store: Store) -> None:
    number = frozen(store)
    with store.write() as session:
        claimed = deliveries.claim(session, number, "dead", 3, DAY, DAY)
        deliveries.mark_handing(session, [claimed[0].id], "dead", "post", CLOCKS)
        assert deliveries.cancel(session, number, DAY) == 4
    later = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))
    assert _send(store, number, Post(), later) == {"in_doubt": 1, "skipped": 2, "cancelled": 4}


def test_paused_cancelled_and_late_issues_do_not_stand_in_the_way(store: Store) -> None:
    numbers = [frozen(store, 1), _freeze(store), _freeze(store)]
    with store.write() as session:
        deliveries.pause(session, numbers[0])
        deliveries.cancel(session, numbers[1], DAY)
    with store.read() as session:
        assert deliveries.unfinished_issue(session) == numbers[2]
        assert deliveries.unfinished_issue(session, DAY) == numbers[2]
        assert deliveries.unfinished_issue(session, DAY + dt.timedelta(seconds=1)) is None


def test_an_issue_without_an_audience_cannot_be_paused(store: Store) -> None:
    with pytest.raises(LedgerError, match="issue 7 is not being sent"), store.write() as session:
        deliveries.pause(session, 7)


def test_who_leaves_between_the_claim_and_the_call_is_not_mailed(store: Store) -> None:
    number = frozen(store)
    with store.write() as session:
        claimed = deliveries.claim(session, number, "me", 3, DAY, DAY)
        subscribers.unsubscribe(session, claimed[1].subscriber_id, now=DAY)
        leaving = deliveries.mark_handing(session, [one.id for one in claimed], "me", "post", CLOCKS)
    assert leaving == {claimed[0].id: 1, claimed[2].id: 1}
    assert counts(store, number) == {"planned": 2, "handing": 2, "skipped": 3}


def test_a_chunk_of_people_who_left_does_not_end_the_sending(store: Store) -> None:
    number, post = frozen(store, 8), Post()
    with store.write() as session:
        for reader in range(1, 7):
            subscribers.unsubscribe(session, reader, now=DAY)
    assert _send(store, number, post) == {"accepted": 2, "skipped": 8}


def test_a_process_of_the_same_number_that_began_later_is_another_one() -> None:
    mine = deliveries.owner()
    machine, number, began, word = mine.split("/")
    assert not deliveries._is_gone(mine)
    assert deliveries._is_gone("/".join((machine, number, str(int(began) - 1), word)))


def test_a_claim_reads_only_what_is_due_however_much_is_not(store: Store) -> None:
    """Nothing is sorted, and what was done or is to be tried later is not looked at."""
    if store.engine.dialect.name != "sqlite":
        return
    statement = deliveries._next(1, DAY, DAY).limit(10).compile(store.engine, compile_kwargs={"literal_binds": True})
    with store.engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
    assert any("ix_delivery_due (issue_id=? AND state=? AND try_at>? AND try_at<?)" in line for line in plan), plan
    assert not any("TEMP B-TREE" in line or "SCAN delivery" in line for line in plan), plan


@pytest.mark.parametrize(
    "named",
    [slice(0, 0), slice(7, 8), slice(5, 30), slice(0, None, 2), slice(30, 5, -1), slice(None)],
    ids=["none", "one", "a run", "every other", "a run backwards", "all"],
)
def test_those_that_are_named_leave_and_are_marked_and_no_others(store: Store, named: slice) -> None:
    number = frozen(store, 45)
    with store.write() as session:
        claimed = deliveries.claim(session, number, "me", 45, DAY, DAY)
    ids = [one.id for one in claimed][named]
    with store.write() as session:
        assert deliveries.mark_handing(session, ids, "me", "post", CLOCKS) == dict.fromkeys(ids, 1)
    assert counts(store, number).get("handing", 0) == len(ids)
    with store.write() as session:
        handed = [deliveries.Handed(row, 1, Accepted("", "ref")) for row in ids]
        deliveries.mark(session, deliveries.GOING, handed, "me", CLOCKS)
    with store.read() as session:
        taken = session.exec(select(DeliveryRow.id).where(DeliveryRow.state == "accepted")).all()
    assert sorted(filter(None, taken)) == sorted(ids) and counts(store, number).get("claimed", 0) == 45 - len(ids)
