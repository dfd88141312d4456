"""Facts about letters that wait: none lost, none for two at once, none to who said no, and no text kept after it."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool
from sqlmodel import SQLModel, col

from newsletter.store import Store, open_store
from subscribers import letters, people, suppression
from subscribers.addresses import InvalidAddress
from subscribers.letters import LEASE, MOST_ATTEMPTS, ClaimedLetter
from subscribers.ports import Letter
from subscribers.suppression import BARRING, LIFTED_BY_PERSON
from subscribers.tables import Kind, LetterState, WaitingLetter
from tests.subscribers.conftest import NOW, added, steady
from tests.subscribers.plans import plans, read_through

MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)
TICK = dt.timedelta(microseconds=1)
URL = "https://newsletter.example.com/c/secret"


def post(session: Session, address: str = "ann@example.com", *, kind: str = "confirm", at: dt.datetime = NOW) -> None:
    letters.post(session, Letter(kind, address, {"url": URL}), now=at)


def claim(
    session: Session, *, at: dt.datetime = NOW, real: dt.datetime = NOW, limit: int = 50, owner: str = "one"
) -> list[ClaimedLetter]:
    return list(letters.claim(session, owner, limit, now=at, real_now=real))


def put_off(
    session: Session, number: int, *, at: dt.datetime = NOW, after: dt.timedelta = dt.timedelta(), counts: bool = True
) -> None:
    letters.put_off(session, number, "busy", now=at, after=after, counts=counts)


def only(session: Session) -> WaitingLetter:
    """The one letter that there is, as it stands in the database."""
    session.flush()
    session.expire_all()
    return session.scalars(select(WaitingLetter)).one()


def test_a_letter_that_is_posted_is_claimed_with_all_that_fills_it(session: Session) -> None:
    post(session, " Ann@B\u00fccher.example.com ")
    (claimed,) = claim(session)
    assert (claimed.kind, claimed.address, claimed.details) == (
        "confirm",
        "Ann@xn--bcher-kva.example.com",
        {"url": URL},
    )
    assert claimed.key == f"letter-{claimed.id}"


def test_a_letter_to_no_address_is_refused(session: Session) -> None:
    with pytest.raises(InvalidAddress):
        post(session, "nobody")
    assert letters.counts(session) == {}


def test_a_letter_goes_only_once_its_transaction_is_committed(engine: Engine) -> None:
    with Session(engine) as session:
        post(session)
        session.rollback()
    with Session(engine) as session:
        assert claim(session) == []


def test_letters_are_claimed_in_the_order_of_their_posting_and_no_more_than_asked_for(session: Session) -> None:
    for number in range(5):
        post(session, f"u{number}@example.com")
    batches = [[letter.address[:2] for letter in claim(session, limit=2)] for _ in range(4)]
    assert batches == [["u0", "u1"], ["u2", "u3"], ["u4"], []]


@pytest.mark.parametrize(
    ("settle", "state"),
    [
        (letters.accepted, "accepted"),
        (lambda session, number: letters.failed(session, number, "no such mailbox"), "failed"),
    ],
)
def test_what_is_settled_keeps_no_text_and_never_goes_again(
    session: Session, settle: Callable[[Session, int], None], state: str
) -> None:
    post(session)
    settle(session, claim(session)[0].id)
    assert letters.counts(session) == {state: 1}
    assert (only(session).details, only(session).claimed_by) == ({}, "")
    assert claim(session, at=NOW + 365 * 24 * HOUR, real=NOW + 365 * 24 * HOUR) == []
    assert letters.next_try(session) is None


def test_why_a_letter_failed_is_on_record(session: Session) -> None:
    post(session)
    letters.failed(session, claim(session)[0].id, "no such mailbox")
    assert only(session).reason == "no such mailbox"


def test_what_nobody_claimed_is_not_settled(session: Session) -> None:
    post(session)
    letters.accepted(session, only(session).id)
    letters.failed(session, only(session).id, "x")
    put_off(session, only(session).id, after=HOUR)
    put_off(session, 4711)
    assert [letter.details for letter in claim(session)] == [{"url": URL}]


def test_each_try_waits_twice_as_long_up_to_an_hour_and_the_eighth_is_the_last(session: Session) -> None:
    post(session)
    at, waits = NOW, []
    for _ in range(MOST_ATTEMPTS - 1):
        put_off(session, claim(session, at=at)[0].id, at=at)
        due = letters.next_try(session)
        assert due is not None and claim(session, at=due - TICK) == []
        waits.append((due - at) // MINUTE)
        at = due
    put_off(session, claim(session, at=at)[0].id, at=at)
    assert (MOST_ATTEMPTS, waits) == (8, [1, 2, 4, 8, 16, 32, 60])
    assert letters.counts(session) == {"failed": 1}
    assert (only(session).reason, only(session).details) == ("busy", {})


def test_a_provider_that_asks_for_a_longer_wait_gets_it(session: Session) -> None:
    post(session)
    put_off(session, claim(session)[0].id, after=3 * HOUR)
    assert letters.next_try(session) == NOW + 3 * HOUR


def test_what_was_no_try_is_not_counted(session: Session) -> None:
    post(session)
    for day in range(30):
        at = NOW + day * 24 * HOUR
        put_off(session, claim(session, at=at)[0].id, at=at, counts=False)
    assert (only(session).state, only(session).attempts) == (LetterState.PLANNED, 0)
    assert letters.next_try(session) == at + MINUTE


def test_the_last_try_that_was_none_is_not_the_last(session: Session) -> None:
    post(session)
    at = NOW
    for number in range(MOST_ATTEMPTS):
        put_off(session, claim(session, at=at)[0].id, at=at, counts=number < MOST_ATTEMPTS - 1)
        at += HOUR
    assert (only(session).state, only(session).attempts) == (LetterState.PLANNED, MOST_ATTEMPTS - 1)


def test_a_dead_owners_letter_is_handed_over_again_after_the_lease_under_the_same_key(session: Session) -> None:
    post(session)
    first = claim(session, owner="dies")
    assert claim(session, real=NOW + LEASE, owner="next") == []
    again = claim(session, real=NOW + LEASE + TICK, owner="next")
    assert again == first and again[0].key == first[0].key
    assert (only(session).claimed_by, only(session).claimed_at) == ("next", NOW + LEASE + TICK)


def test_the_lease_runs_by_the_real_clock_and_not_by_what_day_it_is_said_to_be(session: Session) -> None:
    post(session)
    claim(session)
    assert claim(session, at=NOW + 1000 * HOUR, real=NOW + MINUTE) == []


def test_a_letter_that_ends_every_process_that_tries_it_fails_in_the_end(session: Session) -> None:
    post(session)
    tries = 0
    for number in range(3 * MOST_ATTEMPTS):
        tries += len(claim(session, real=NOW + number * 2 * LEASE))
    assert tries == MOST_ATTEMPTS
    assert letters.counts(session) == {"failed": 1}
    assert only(session).details == {}


@pytest.mark.parametrize("kind", sorted(BARRING))
def test_a_letter_to_an_address_that_was_barred_meanwhile_never_leaves(session: Session, kind: Kind) -> None:
    post(session, kind="data")
    post(session, "bob@example.com")
    people.suppress(session, "ANN@example.com", kind, now=NOW)
    assert [letter.address for letter in claim(session)] == ["bob@example.com"]
    assert letters.counts(session) == {"failed": 1, "handing": 1}
    barred = session.scalars(select(WaitingLetter).where(col(WaitingLetter.state) == "failed")).one()
    assert barred.details == {} and barred.reason


def test_a_letter_that_was_put_off_is_barred_like_a_new_one(session: Session) -> None:
    post(session)
    (claimed,) = claim(session)
    people.suppress(session, "ann@example.com", Kind.COMPLAINT, now=NOW)
    put_off(session, claimed.id)
    assert claim(session, at=NOW + HOUR) == []
    assert letters.counts(session) == {"failed": 1}


@pytest.mark.parametrize("kind", ["welcome", "lost", "already", "confirm"])
def test_a_letter_that_waits_when_its_reader_leaves_never_goes(session: Session, kind: str) -> None:
    ann = added(session, "ann@example.com")
    post(session, kind=kind)
    people.unsubscribe(session, ann.id, now=NOW + MINUTE)
    assert claim(session, at=NOW + HOUR) == []
    assert letters.counts(session) == {"failed": 1}


def test_who_leaves_still_gets_the_way_to_their_data_that_they_asked_for(session: Session) -> None:
    ann = added(session, "ann@example.com")
    post(session, kind="data")
    people.unsubscribe(session, ann.id, now=NOW + MINUTE)
    assert [letter.kind for letter in claim(session, at=NOW + HOUR)] == ["data"]


def test_who_left_and_asks_again_gets_a_confirmation(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.unsubscribe(session, ann.id, now=NOW)
    post(session, at=NOW + MINUTE)
    assert len(claim(session, at=NOW + MINUTE)) == 1


def test_who_takes_their_leaving_back_gets_what_waits(session: Session) -> None:
    ann = added(session, "ann@example.com")
    post(session, kind="welcome")
    people.unsubscribe(session, ann.id, now=NOW + MINUTE)
    people.undo(session, ann.id, now=NOW + 2 * MINUTE)
    assert len(claim(session, at=NOW + HOUR)) == 1


def test_who_was_erased_leaves_no_letter_in_any_state(session: Session) -> None:
    ann = added(session, "ann@example.com")
    for address in ("ann@example.com", "Ann@example.com", "ANN@example.com", "bob@example.com"):
        post(session, address)
    first, second, *_ = claim(session, limit=2)
    letters.accepted(session, first.id)
    people.erase(session, ann.id, now=NOW)
    put_off(session, second.id)
    letters.failed(session, second.id, "x")
    assert [letter.address for letter in claim(session)] == ["bob@example.com"]
    assert letters.counts(session) == {"handing": 1}


def test_letters_go_a_week_after_their_posting_but_for_one_that_is_being_handed_over(session: Session) -> None:
    for number in range(4):
        post(session, f"u{number}@example.com")
    first, second, _ = claim(session, limit=3)
    letters.accepted(session, first.id)
    letters.failed(session, second.id, "x")
    week = dt.timedelta(days=7)
    assert letters.tidy(session, now=NOW + week - TICK) == 0
    assert letters.tidy(session, now=NOW + week) == 3
    assert letters.counts(session) == {"handing": 1}


@pytest.mark.slow
def test_so_many_letters_that_no_statement_could_name_them_all_are_tidied(session: Session) -> None:
    count = 33_000
    row = {"kind": "confirm", "address": "a@example.com", "identity_hash": "h", "details": {}, "state": "accepted"}
    table = SQLModel.metadata.tables["letter"]
    more = {"reason": "", "posted_at": NOW, "try_at": NOW, "attempts": 1, "claimed_by": ""}
    session.execute(table.insert(), [row | more] * count)
    assert letters.tidy(session, now=NOW + dt.timedelta(days=8)) == count


def test_the_number_of_a_letter_that_is_gone_is_given_to_no_other(session: Session) -> None:
    """Its Message-ID would come again, and a mailbox may drop what comes under one that it knows."""
    ann = added(session, "ann@example.com")
    post(session)
    (gone,) = claim(session)
    people.erase(session, ann.id, now=NOW)
    session.commit()
    post(session, "bob@example.com")
    assert only(session).id > gone.id


def test_the_next_try_is_the_earliest_of_what_waits(session: Session) -> None:
    assert letters.next_try(session) is None
    post(session, at=NOW + HOUR)
    post(session, at=NOW + MINUTE)
    assert letters.next_try(session) == NOW + MINUTE
    claim(session, at=NOW + MINUTE)
    assert letters.next_try(session) == NOW + HOUR


def test_a_letter_is_overdue_once_nobody_took_it_up_for_a_minute(session: Session) -> None:
    post(session)
    post(session, "bob@example.com", at=NOW + HOUR)

    def overdue(at: dt.datetime, real: dt.datetime = NOW) -> int:
        return letters.overdue(session, now=at, real_now=real)

    assert (overdue(NOW + MINUTE - TICK), overdue(NOW + MINUTE), overdue(NOW + HOUR + MINUTE)) == (0, 1, 2)
    claim(session, limit=1)
    assert (overdue(NOW + MINUTE), overdue(NOW + HOUR + MINUTE, NOW + LEASE)) == (0, 0)
    assert overdue(NOW + MINUTE, NOW + LEASE + TICK) == 1
    assert overdue(NOW + HOUR + MINUTE, NOW + LEASE + TICK) == 2


def test_what_waits_and_what_failed_is_listed_with_why_newest_first_and_nothing_that_arrived(session: Session) -> None:
    for name in ("ann", "bob", "cleo"):
        post(session, f"{name}@example.com")
    first, second, _ = (one.id for one in claim(session))
    letters.accepted(session, first)
    letters.failed(session, second, "no such mailbox")
    post(session, "dan@example.com", kind="lost", at=NOW + MINUTE)
    found = letters.unsettled(session, 10)
    assert [(one.address[0], one.kind, one.state, one.reason, one.posted_at, one.try_at) for one in found] == [
        ("d", "lost", "planned", "", NOW + MINUTE, NOW + MINUTE),
        ("c", "confirm", "handing", "", NOW, None),
        ("b", "confirm", "failed", "no such mailbox", NOW, None),
    ]
    assert letters.unsettled(session, 1) == found[:1]


def test_claiming_finds_its_letters_by_index_and_reads_no_table_through(engine: Engine) -> None:
    with Session(engine) as session:
        post(session)
        session.commit()
    told = plans(engine, claim)
    assert any("ix_letter_state_try_at" in line for line in told)
    assert read_through(told) == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A database as the product opens it."""
    opened = open_store(f"sqlite:///{tmp_path / 'letters.sqlite3'}")
    yield opened
    opened.close()


def test_no_letter_is_claimed_by_two_at_once(store: Store) -> None:
    with store.write() as session:
        for number in range(60):
            post(session, f"u{number}@example.com")
    claimed: dict[str, list[int]] = {name: [] for name in "abcd"}

    def work(name: str) -> None:
        while True:
            with store.write() as session:
                batch = claim(session, limit=3, owner=name)
            if not batch:
                return
            claimed[name] += [letter.id for letter in batch]

    threads = [threading.Thread(target=work, args=(name,)) for name in claimed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = sorted(number for batch in claimed.values() for number in batch)
    assert len(numbers) == 60 and len(set(numbers)) == 60


def test_a_bar_that_comes_while_letters_are_claimed_holds_for_every_later_claim(store: Store) -> None:
    with store.write() as session:
        for _ in range(20):
            post(session)
    with store.write() as session:
        assert len(claim(session, limit=5)) == 5
    with store.write() as session:
        people.suppress(session, "ann@example.com", Kind.HARD_BOUNCE, now=NOW)
    with store.write() as session:
        assert claim(session) == []
        assert letters.counts(session) == {"failed": 15, "handing": 5}


@dataclass
class Known:
    """What a letter must be, by the rules as the module states them."""

    address: str
    kind: str
    posted_at: dt.datetime
    try_at: dt.datetime
    state: str = "planned"
    attempts: int = 0
    claimed_at: dt.datetime = NOW


class Post(RuleBasedStateMachine):
    """Everything that can happen to letters, in any order, against a model of them."""

    claims = Bundle("claims")
    who = st.sampled_from(["ann@example.com", "bob@example.com"])

    def __init__(self) -> None:
        super().__init__()
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        names = ["subscriber", "consent", "suppression", "pepper", "letter", "address_change", "feedback"]
        SQLModel.metadata.create_all(self.engine, tables=[SQLModel.metadata.tables[name] for name in names])
        self.session = Session(self.engine)
        self.now = self.real = NOW
        self.known: dict[int, Known] = {}
        self.barred: set[str] = set()
        self.left: dict[str, dt.datetime] = {}

    @initialize()
    def someone_asks_before_anything_happens(self) -> None:
        self.post("ann@example.com", "confirm")

    @rule(address=who, kind=st.sampled_from(["confirm", "welcome", "data"]))
    def post(self, address: str, kind: str) -> None:
        post(self.session, address, kind=kind, at=self.now)
        number = self.session.scalar(select(func.max(WaitingLetter.id))) or 0
        assert number not in self.known
        self.known[number] = Known(address, kind, self.now, self.now)

    @rule(minutes=st.integers(0, 90))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE + TICK
        self.real += minutes * MINUTE + TICK

    @rule()
    def every_claimer_dies(self) -> None:
        self.real += LEASE + TICK

    @rule(address=who, kind=st.sampled_from(sorted(BARRING)))
    def bar(self, address: str, kind: Kind) -> None:
        people.suppress(self.session, address, kind, now=self.now)
        self.barred.add(address)

    @rule(address=who)
    def leave(self, address: str) -> None:
        people.suppress(self.session, address, Kind.UNSUBSCRIBED, now=self.now)
        self.left.setdefault(address, self.now)

    @rule(address=who)
    def come_back(self, address: str) -> None:
        hashed = suppression.hasher(self.session)(address)
        suppression.lift(self.session, hashed, LIFTED_BY_PERSON, by=suppression.Lifter.PERSON)
        self.left.pop(address, None)

    @rule(target=claims, limit=st.integers(1, 3))
    def claim(self, limit: int):  # type: ignore[no-untyped-def]  # hypothesis has no name for what multiple() returns
        got = claim(self.session, at=self.now, real=self.real, limit=limit)
        assert [letter.id for letter in got] == self.expected(limit)
        assert all(letter.details == {"url": URL} for letter in got)
        return multiple(*(letter.id for letter in got))

    def expected(self, limit: int) -> list[int]:
        for letter in self.known.values():
            if letter.state == "handing" and letter.claimed_at < self.real - LEASE:
                letter.state = "failed" if letter.attempts >= MOST_ATTEMPTS else "planned"
            if letter.state == "planned" and self.is_unwanted(letter):
                letter.state = "failed"
        due = [n for n, one in sorted(self.known.items()) if one.state == "planned" and one.try_at <= self.now][:limit]
        for number in due:
            letter = self.known[number]
            letter.state, letter.attempts, letter.claimed_at = "handing", letter.attempts + 1, self.real
        return due

    def is_unwanted(self, letter: Known) -> bool:
        left = self.left.get(letter.address)
        return letter.address in self.barred or (
            left is not None and left > letter.posted_at and letter.kind not in letters.WANTED_AFTER_LEAVING
        )

    @rule(number=claims, is_taken=st.booleans())
    def settle(self, number: int, is_taken: bool) -> None:
        if is_taken:
            letters.accepted(self.session, number)
        else:
            letters.failed(self.session, number, "no such mailbox")
        if self.known[number].state == "handing":
            self.known[number].state = "accepted" if is_taken else "failed"

    @rule(number=claims, after=st.integers(0, 120), counts=st.booleans())
    def later(self, number: int, after: int, counts: bool) -> None:
        put_off(self.session, number, at=self.now, after=after * MINUTE, counts=counts)
        letter = self.known[number]
        if letter.state != "handing":
            return
        if counts and letter.attempts >= MOST_ATTEMPTS:
            letter.state = "failed"
            return
        wait = min(2 ** (letter.attempts - 1), 60)
        letter.state, letter.try_at = "planned", self.now + max(wait, after) * MINUTE
        letter.attempts -= not counts

    @invariant()
    def every_letter_is_what_the_rules_say(self) -> None:
        self.session.flush()
        self.session.expire_all()
        rows = self.session.scalars(select(WaitingLetter).order_by(col(WaitingLetter.id))).all()
        assert [(row.id, row.state, row.attempts) for row in rows] == [
            (number, letter.state, letter.attempts) for number, letter in sorted(self.known.items())
        ]
        assert all((row.details == {}) == (row.state in ("accepted", "failed")) for row in rows)
        assert sum(letters.counts(self.session).values()) == len(self.known)

    def teardown(self) -> None:
        self.session.close()
        self.engine.dispose()


TestPost = Post.TestCase
TestPost.settings = settings(steady, max_examples=15, stateful_step_count=20)
