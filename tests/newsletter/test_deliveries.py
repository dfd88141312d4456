"""The ledger: nobody twice, nobody lost, every state reachable and named."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import func
from sqlmodel import Session, select

import subscribers
from newsletter import deliveries
from newsletter.deliveries import Claimed, Clocks
from newsletter.editions import Assignment
from newsletter.providers import Accepted, InDoubt, More, NotAllowed, Outcome, Refused, TryLater, Unreachable
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


def _compose(claimed: Claimed) -> Message:
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


def _frozen(store: Store, readers: int = 5) -> int:
    """An issue for so many readers of everything, and two who follow a topic that it lacks."""
    with store.write() as session:
        _people(session, readers)
        _people(session, 2, topics=frozenset({"absent"}))
    return _freeze(store)


def _freeze(store: Store) -> int:
    made = issue()
    with store.write() as session:
        row = IssueRow(date=DAY.date(), title=made.title, state="frozen", input_hash="", created_at=DAY, selection={})
        session.add(row)
        session.flush()
        groups = {
            "*": Assignment(Edition(made, made.pieces)),
            "absent": Assignment(None, "no piece fits their topics"),
        }
        deliveries.plan(session, row.id or 0, groups, frequency=Frequency.EVERY, due_at=DAY, now=DAY)
        return row.id or 0


def _counts(store: Store, number: int) -> dict[str, int]:
    with store.read() as session:
        return deliveries.counts(session, number)


def _send(store: Store, number: int, post: Post, clocks: Clocks = CLOCKS) -> dict[str, int]:
    deliveries.send(store, number, post, _compose, clocks, chunk=3)
    return _counts(store, number)


def test_the_freeze_writes_the_whole_audience_planned_or_skipped_with_the_reason(store: Store) -> None:
    number = _frozen(store)
    assert _counts(store, number) == {"planned": 5, "skipped": 2}
    with store.read() as session:
        assert deliveries.skips(session, number) == {"no piece fits their topics": 2}


def test_who_left_paused_or_reads_weekly_is_no_audience(store: Store) -> None:
    with store.write() as session:
        _people(session, 4)
        _people(session, 1, frequency=Frequency.WEEKLY)
        _people(session, 1, paused_until=DAY + dt.timedelta(days=1))
        subscribers.unsubscribe(session, 1, now=DAY)
        subscribers.suppress(session, "reader1@example.com", subscribers.Kind.COMPLAINT, now=DAY)
    assert _counts(store, _freeze(store)) == {"planned": 2}


def test_an_audience_that_no_group_covers_is_refused_whole(store: Store) -> None:
    with store.write() as session:
        _people(session, 1, topics=frozenset({"unforeseen"}))
    with pytest.raises(RuntimeError, match="1 readers and 0 deliveries"):
        _freeze(store)
    with store.read() as session:
        assert session.exec(select(DeliveryRow)).all() == []


def test_every_planned_reader_gets_it_once_in_calls_of_the_providers_size(store: Store) -> None:
    number, post = _frozen(store), Post()
    assert _send(store, number, post) == {"accepted": 5, "skipped": 2}
    assert sorted(post.taken) == [f"reader{n}@example.com" for n in range(5)]
    assert post.calls == [2, 1, 2]
    assert _send(store, number, post) == {"accepted": 5, "skipped": 2}
    assert len(post.taken) == 5


def test_one_refused_reader_costs_that_reader_alone(store: Store) -> None:
    post = Post(lambda m: Refused(m.key, "no such mailbox") if m.to.startswith("reader2@") else Accepted(m.key))
    assert _send(store, _frozen(store), post) == {"accepted": 4, "failed": 1, "skipped": 2}


def test_later_means_planned_again_after_a_wait_and_then_sent(store: Store) -> None:
    number = _frozen(store)
    slow = Post(lambda m: TryLater(m.key, "busy", after=600))
    assert _send(store, number, slow) == {"planned": 5, "skipped": 2}
    assert _send(store, number, Post()) == {"planned": 5, "skipped": 2}
    later = Clocks(now=lambda: DAY + dt.timedelta(seconds=601), real=lambda: DAY)
    assert _send(store, number, Post(), later) == {"accepted": 5, "skipped": 2}


def test_later_for_ever_ends_as_failed(store: Store) -> None:
    number, post = _frozen(store, 1), Post(lambda m: TryLater(m.key, "busy"))
    for hour in range(deliveries.MOST_ATTEMPTS + 1):
        _send(store, number, post, Clocks(now=lambda h=hour: DAY + dt.timedelta(hours=h), real=lambda: DAY))  # type: ignore[misc]
    assert _counts(store, number) == {"failed": 1, "skipped": 2}
    assert len(post.calls) == deliveries.MOST_ATTEMPTS


@pytest.mark.parametrize("answer", [lambda m: InDoubt(m.key, "reset"), lambda m: None])
def test_doubt_and_silence_are_never_sent_again(store: Store, answer: Answer) -> None:
    number, post = _frozen(store), Post(answer)
    assert _send(store, number, post) == {"in_doubt": 5, "skipped": 2}
    again = Post()
    assert _send(store, number, again) == {"in_doubt": 5, "skipped": 2}
    assert again.calls == []


def test_a_provider_that_does_not_accept_us_stops_everything_and_loses_nobody(store: Store) -> None:
    number = _frozen(store)

    def refuse(message: Message) -> Outcome:
        raise NotAllowed("bad key")

    with pytest.raises(NotAllowed):
        _send(store, number, Post(refuse))
    assert _counts(store, number) == {"planned": 5, "skipped": 2}
    assert _send(store, number, Post()) == {"accepted": 5, "skipped": 2}


def test_who_leaves_after_the_freeze_is_not_mailed(store: Store) -> None:
    number, post = _frozen(store), Post()
    with store.write() as session:
        subscribers.unsubscribe(session, 1, now=DAY)
    assert _send(store, number, post) == {"accepted": 4, "skipped": 3}
    assert "reader0@example.com" not in post.taken


def test_who_leaves_while_it_is_being_sent_is_not_claimed_any_more(store: Store) -> None:
    number = _frozen(store)

    def leave(message: Message) -> Outcome:
        with store.write() as session:
            subscribers.unsubscribe(session, 5, now=DAY)
        return Accepted(message.key)

    post = Post(leave)
    assert _send(store, number, post) == {"accepted": 4, "skipped": 3}
    assert "reader4@example.com" not in post.taken


def test_a_claim_of_a_dead_process_is_planned_again_and_its_hand_over_is_in_doubt(store: Store) -> None:
    number = _frozen(store)
    with store.write() as session:
        claimed = deliveries.claim(session, number, "dead", 3, DAY, DAY)
        deliveries.mark_handing(session, [claimed[0].id], "dead", "post", DAY)
    later = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))
    assert _send(store, number, Post(), later) == {"accepted": 4, "in_doubt": 1, "skipped": 2}


def test_a_claim_of_a_living_process_is_left_alone(store: Store) -> None:
    number = _frozen(store)
    with store.write() as session:
        deliveries.claim(session, number, "alive", 3, DAY, DAY)
    assert _send(store, number, Post()) == {"claimed": 3, "accepted": 2, "skipped": 2}


def test_an_error_while_composing_gives_the_claimed_rows_back(store: Store) -> None:
    number = _frozen(store)

    def broken(claimed: Claimed) -> Message:
        raise ValueError("cannot compose")

    with pytest.raises(ValueError, match="cannot compose"):
        deliveries.send(store, number, Post(), broken, CLOCKS, chunk=3)
    assert _counts(store, number) == {"planned": 5, "skipped": 2}


def test_the_oldest_issue_that_is_not_finished_is_found(store: Store) -> None:
    first, second = _frozen(store), _freeze(store)
    with store.read() as session:
        assert deliveries.unfinished_issue(session) == first
    _send(store, first, Post())
    with store.read() as session:
        assert deliveries.unfinished_issue(session) == second


def test_an_issue_in_doubt_alone_does_not_stand_in_the_way(store: Store) -> None:
    _send(store, _frozen(store), Post(lambda m: InDoubt(m.key, "reset")))
    with store.read() as session:
        assert deliveries.unfinished_issue(session) is None


def test_a_process_that_is_gone_from_this_machine_is_not_waited_for(store: Store) -> None:
    number = _frozen(store)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    owner = f"{socket.gethostname()}/{ended.pid}/x"
    with store.write() as session:
        claimed = deliveries.claim(session, number, owner, 3, DAY, DAY)
        deliveries.mark_handing(session, [claimed[0].id], owner, "post", DAY)
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
    number, post = _frozen(store, 20), Stream(batch=3, store=store)
    assert _send(store, number, post) == {"accepted": 20, "skipped": 2}
    assert sorted(post.taken) == sorted(f"reader{n}@example.com" for n in range(20))
    assert post.most == 3


def test_what_a_stream_learned_before_it_is_stopped_is_kept_and_the_rest_is_planned(store: Store) -> None:
    def answer(message: Message) -> Outcome:
        if message.to.startswith("reader3@"):
            raise Unreachable("nobody answers")
        return Accepted(message.key)

    number = _frozen(store)
    with pytest.raises(Unreachable):
        _send(store, number, Stream(answer, batch=3, store=store))
    assert _counts(store, number) == {"planned": 2, "accepted": 3, "skipped": 2}
    with store.read() as session:
        assert session.exec(select(func.max(DeliveryRow.attempts)).where(DeliveryRow.state == "planned")).one() == 0


def test_who_slept_longer_than_the_lease_hands_over_only_what_is_still_theirs(store: Store) -> None:
    number, sleeper, other = _frozen(store), Post(), Post()
    awake = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))

    def sleep(claimed: Claimed) -> Message:
        if not other.taken:
            _send(store, number, other, awake)
        return _compose(claimed)

    deliveries.send(store, number, sleeper, sleep, CLOCKS, chunk=3)
    assert sorted(sleeper.taken + other.taken) == [f"reader{n}@example.com" for n in range(5)]
    assert _counts(store, number) == {"accepted": 5, "skipped": 2}


def test_an_answer_that_comes_after_another_process_doubted_it_resolves_the_doubt(store: Store) -> None:
    number = _frozen(store, 1)
    late = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))

    def slow(message: Message) -> Outcome:
        with store.write() as session:
            assert deliveries.recover(session, number, late.real())["in_doubt"] == 1
        return Accepted(message.key)

    assert _send(store, number, Post(slow)) == {"accepted": 1, "skipped": 2}


def test_who_was_erased_after_the_freeze_is_skipped(store: Store) -> None:
    number = _frozen(store)
    with store.write() as session:
        subscribers.erase(session, 1, now=DAY)
    assert _send(store, number, Post()) == {"accepted": 4, "skipped": 3}


def test_a_provider_that_repeats_safely_leaves_nothing_in_doubt(store: Store) -> None:
    number = _frozen(store)
    with store.write() as session:
        claimed = deliveries.claim(session, number, "dead", 3, DAY, DAY)
        deliveries.mark_handing(session, [claimed[0].id], "dead", "post", DAY)
    later = Clocks(now=lambda: DAY, real=lambda: DAY + deliveries.LEASE + dt.timedelta(seconds=1))
    assert _send(store, number, Post(repeats_safely=True), later) == {"accepted": 5, "skipped": 2}
