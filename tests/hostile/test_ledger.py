"""The ledger under a mixed storm: whatever happens in whatever order, nobody gets a mail twice or against their word.

Hypothesis plays sendings that answer, hang, die and wake up again, reports that come late, twice and in any order, an
owner and readers who change their minds. What the provider counts by itself and what the ledger says are held against
each other after every step.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import subscribers
from newsletter import deliveries, events, sending
from newsletter.deliveries import Claimed, Clocks, Handed, LedgerError, Lock, Verdict
from newsletter.editions import Assignment
from newsletter.events import Event, Kind
from newsletter.providers import Accepted, InDoubt, NotAllowed, Outcome, Refused, TryLater, Unreachable
from newsletter.sending import Rules
from newsletter.store import Store, open_store
from newsletter.store.tables import IssueRow
from newsletter.values import Edition, Message
from subscribers import Frequency, Lifter, Preferences
from subscribers.people import Barred
from tests.newsletter.makers import DAY, issue

READERS = 4

MOVES = {
    "planned": {"claimed", "skipped", "cancelled"},
    "claimed": {"planned", "handing", "skipped", "cancelled"},
    "handing": {"accepted", "planned", "failed", "in_doubt", "cancelled"},
    "in_doubt": {"planned", "accepted", "failed", "cancelled"},
    "accepted": set(),
    "delivered": set(),
    "bounced": set(),
    "complained": set(),
    "failed": {"planned", "accepted"},
    "skipped": set(),
    "cancelled": set(),
}
"""Where a delivery may go from each state, by our own doing. (What waits in a cancelled issue is cancelled.)"""
REPORTED = {"accepted", "delivered", "bounced", "complained"}
"""Where a report may take it besides, from any state but those in which it surely never left."""
NEVER_LEFT = {"skipped", "cancelled"}

OUTCOMES: dict[str, tuple[Callable[[str], Outcome | None], bool]] = {
    "accepted": (lambda key: Accepted(key, f"ref {key}"), True),
    "refused": (lambda key: Refused(key, "550 no such reader"), False),
    "try later": (lambda key: TryLater(key, "450 not now"), False),
    "wait": (lambda key: TryLater(key, "429 too many", after=1800.0), False),
    "in doubt, and taken": (lambda key: InDoubt(key, "reset"), True),
    "in doubt, and lost": (lambda key: InDoubt(key, "reset"), False),
    "not taken": (lambda key: None, False),
}
"""What a provider can answer, and whether it then has the message."""
ANSWERS = st.sampled_from([*OUTCOMES])
BARRING = {"complaint": subscribers.Kind.COMPLAINT, "hard_bounce": subscribers.Kind.HARD_BOUNCE}


@dataclass
class Person:
    """What the story knows of a reader."""

    id: int
    has_left: bool = False
    is_erased: bool = False
    bars: set[str] = field(default_factory=set)
    paused_until: dt.datetime | None = None

    def is_mailable(self, now: dt.datetime) -> bool:
        """Whether they may be mailed."""
        is_paused = self.paused_until is not None and self.paused_until > now
        return not (self.has_left or self.is_erased or self.bars or is_paused)


@dataclass
class Sender:
    """A process that sends one issue, on another machine: only its lease tells whether it still lives."""

    name: str
    issue: int
    claimed: list[Claimed]
    waiting: list[Handed] = field(default_factory=list)


@dataclass
class Bench:
    """One database file for all stories, since SQLAlchemy remembers its statements: put back to its begin for each."""

    store: Store
    begin: bytes

    @property
    def file(self) -> Path:
        """The database."""
        assert self.store.file is not None
        return self.store.file

    def reset(self) -> None:
        """Have the first state again."""
        self.store.close()
        for beside in self.file.parent.glob(f"{self.file.name}?*"):
            beside.unlink()
        self.file.write_bytes(self.begin)

    def rows(self, query: str) -> list[Any]:
        """What stands in the database now, past our own code."""
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(query).fetchall()


@dataclass
class Post:
    """A provider on a story's line: it takes what the story says, and looks whether the ledger is as it must be."""

    story: Story
    answers: Sequence[str]
    breaks: type[Exception] | None
    batch: int
    then: str = "try later"
    name: str = "post"
    repeats_safely: bool = False

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Take messages, in the order of the answers; once they are used up, all get the last one."""
        self.story.look_at_leaving([message.key for message in messages])
        for message in messages:
            answer, *self.answers = self.answers or [self.then]
            make, is_taken = OUTCOMES[answer]
            outcome = make(message.key)
            if outcome is None and self.breaks:
                raise self.breaks("the provider is away")
            self.story.took[message.key] += is_taken
            yield outcome or Refused(message.key, "500 no")


class Story(RuleBasedStateMachine):
    """The ledger, beside what a story remembers: who asked for what, and what the provider really has."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        bench.reset()
        self.bench, self.store, self.now = bench, bench.store, DAY
        self.people = {number: Person(number) for number in range(1, READERS + 1)}
        self.audience: dict[int, set[str]] = {}
        self.cancelled: set[int] = set()
        self.senders: list[Sender] = []
        self.names = 0
        self.took: Counter[str] = Counter()
        self.allowed: dict[str, int] = {}
        self.said_sent: set[str] = set()
        self.seen = 0
        self.heard: set[str] = set()
        self.clocks = Clocks(lambda: self.now, lambda: self.now)

    # Issues.

    @initialize()
    def begin(self) -> None:
        """There is one from the start."""
        self.freeze()

    @precondition(lambda self: len(self.audience) < 2)
    @rule()
    def freeze(self) -> None:
        """An issue goes out to everyone who may be mailed now; who follows another topic is skipped."""
        made = issue()
        whole, none = Assignment(Edition(made, made.pieces)), Assignment(None, "no piece fits their topics")
        with self.store.write() as session:
            row = IssueRow(date=DAY.date(), title="x", state="frozen", input_hash="", created_at=DAY, selection={})
            session.add(row)
            session.flush()
            number = row.id or 0
            groups = {"*": whole, "absent": none}
            deliveries.plan(session, number, groups, frequency=Frequency.EVERY, due_at=self.now, now=self.now)
        readers = [person.id for person in self.people.values() if person.is_mailable(self.now)]
        self.audience[number] = {f"{number}-{reader}" for reader in readers}
        self.allowed |= dict.fromkeys(self.audience[number], 1)

    @precondition(lambda self: self.audience)
    @rule(act=st.sampled_from([deliveries.pause, deliveries.resume, deliveries.resume]), which=st.integers(0, 1))
    def stop_or_go_on(self, act: Callable[..., None], which: int) -> None:
        """The owner pauses an issue, or resumes it."""
        self.decide(which, lambda session, number: act(session, number))

    @precondition(lambda self: self.audience)
    @rule(which=st.integers(0, 5))
    def cancel(self, which: int) -> None:
        """The owner cancels an issue: seldom, since little happens afterwards."""
        if which < 2:
            self.decide(which, lambda session, number: deliveries.cancel(session, number, self.now))
            self.cancelled.add(self.number(which))

    def decide(self, which: int, act: Callable[[Any, int], object]) -> None:
        """Do something to an issue as a whole; a cancelled one refuses it."""
        number = self.number(which)
        with self.store.write() as session:
            if number in self.cancelled:
                with pytest.raises(LedgerError):
                    act(session, number)
            else:
                act(session, number)

    def number(self, which: int) -> int:
        """The number of an issue."""
        return sorted(self.audience)[which % len(self.audience)]

    # Sending, step by step.

    @precondition(lambda self: self.audience and len(self.senders) < 3)
    @rule(which=st.integers(0, 1), limit=st.integers(1, READERS))
    def claim(self, which: int, limit: int) -> None:
        """A process on another machine claims."""
        self.names += 1
        name, number = f"elsewhere/1/{self.names}/x", self.number(which)
        with self.store.write() as session:
            claimed = deliveries.claim(session, number, name, limit, self.now, self.now)
        assert all(self.people[one.subscriber_id].is_mailable(self.now) for one in claimed)
        self.senders.append(Sender(name, number, claimed))

    @precondition(lambda self: self.senders)
    @rule(which=st.integers(0, 2), answers=st.lists(ANSWERS, min_size=1, max_size=3))
    def hand_over(self, which: int, answers: list[str]) -> None:
        """It hands some over, and the provider answers: but it has not heard it yet."""
        sender = self.senders[which % len(self.senders)]
        batch, sender.claimed = sender.claimed[: len(answers)], sender.claimed[len(answers) :]
        leaving = self.leave(sender.name, sender.issue, batch)
        for claimed, answer in zip(batch, answers, strict=False):
            if claimed.id in leaving:
                make, is_taken = OUTCOMES[answer]
                self.took[claimed.key] += is_taken
                sender.waiting.append(Handed(claimed.id, leaving[claimed.id], make(claimed.key)))

    def leave(self, name: str, number: int, batch: Sequence[Claimed]) -> dict[int, int]:
        """Make these `handing`, as a sending does before any byte of them."""
        with self.store.write() as session:
            goes_on = deliveries.standing(session, number, Lock.SHARED).state == deliveries.GOING
            ids = [claimed.id for claimed in batch]
            leaving = deliveries.mark_handing(session, ids, name, "post", self.clocks) if goes_on and ids else {}
        self.look_at_leaving([claimed.key for claimed in batch if claimed.id in leaving])
        return leaving

    @precondition(lambda self: self.senders)
    @rule(which=st.integers(0, 2))
    def hear(self, which: int) -> None:
        """It hears the answers, at once or after it was taken for dead, and records them."""
        sender = self.senders[which % len(self.senders)]
        with self.store.write() as session:
            standing = deliveries.standing(session, sender.issue, Lock.OWN)
            deliveries.mark(session, standing.state, sender.waiting, sender.name, self.clocks)
        sender.waiting = []

    @precondition(lambda self: self.senders)
    @rule(which=st.integers(0, 2), gives_back=st.booleans())
    def end(self, which: int, gives_back: bool) -> None:
        """It ends in order, or dies."""
        sender = self.senders.pop(which % len(self.senders))
        if gives_back:
            with self.store.write() as session:
                standing = deliveries.standing(session, sender.issue, Lock.OWN)
                deliveries.mark(session, standing.state, sender.waiting, sender.name, self.clocks)
                deliveries.give_back(session, sender.issue, sender.name, self.now)

    @precondition(lambda self: self.audience)
    @rule(which=st.integers(0, 1), taken=st.lists(st.booleans(), max_size=2), more=st.integers(1, 2))
    def die_at_work(self, which: int, taken: list[bool], more: int) -> None:
        """A process of this machine dies with some handed over, of which the provider has some, and more claimed."""
        # No process has that number (proc(5), pid_max), so anyone sees that it is gone.
        name, number = f"{deliveries.owner().partition('/')[0]}/4194305/1/x", self.number(which)
        with self.store.write() as session:
            claimed = deliveries.claim(session, number, name, len(taken) + more, self.now, self.now)
        leaving = self.leave(name, number, claimed[: len(taken)])
        for one, is_taken in zip(claimed, taken, strict=False):
            self.took[one.key] += is_taken and one.id in leaving

    @precondition(lambda self: self.audience)
    @rule(which=st.integers(0, 1))
    def recover(self, which: int) -> None:
        """Whoever comes next looks after what dead processes left."""
        with self.store.write() as session:
            deliveries.recover(session, self.number(which), self.now)

    # Sending as `send` does it.

    @precondition(lambda self: self.audience)
    @rule(
        which=st.integers(0, 1),
        answers=st.lists(ANSWERS, max_size=4),
        breaks=st.sampled_from([None, NotAllowed, Unreachable, KeyError]),
        batch=st.integers(1, 3),
        doubts=st.sampled_from([None, None, dt.timedelta(minutes=30)]),
    )
    def send(
        self,
        which: int,
        answers: list[str],
        breaks: type[Exception] | None,
        batch: int,
        doubts: dt.timedelta | None,
    ) -> None:
        """A whole sending, by a policy that may hand over old doubts again."""
        post = Post(self, answers, breaks, batch)
        rules = Rules(chunk=2, resend_doubts_after=doubts)
        doubted, took = self.in_state("in_doubt"), Counter(self.took)
        try:
            sending.send(self.store, self.number(which), post, compose, self.clocks, rules=rules)
        except (NotAllowed, Unreachable, KeyError):
            assert breaks is not None
        again = {key for key, old, new in self.moves() if (old, new) == ("in_doubt", "planned")}
        assert again <= (doubted if doubts else set())
        self.allowed |= {key: took[key] + 1 for key in again}

    def look_at_leaving(self, keys: Sequence[str]) -> None:
        """At the moment when bytes leave: each is recorded as leaving, and to nobody who said no."""
        stands = self.states()
        for key in keys:
            assert stands[key] == deliveries.HANDING
            assert self.people[int(key.partition("-")[2])].is_mailable(self.now), key

    # Reports, which are true, and come late, twice and in any order.

    @precondition(lambda self: any(self.took.values()))
    @rule(kind=st.sampled_from([*Kind]), which=st.integers(0, 11), ref=st.integers(0, 1))
    def report(self, kind: Kind, which: int, ref: int) -> None:
        """Something is reported of a message that the provider took, for the first time or again."""
        taken = sorted(key for key, count in self.took.items() if count)
        key = taken[which % len(taken)]
        self.record(Event(key, kind, DAY, "as reported", f"{key}/{kind}/{ref}"))

    @rule(kind=st.sampled_from([*Kind]), key=st.sampled_from(["77-1", "1-77", "", "x", "1-1-1"]))
    def report_of_nothing(self, kind: Kind, key: str) -> None:
        """Something is reported of no delivery of ours."""
        self.record(Event(key, kind, DAY, "as reported", f"{key}/{kind}"))

    def record(self, event: Event) -> None:
        """Have it recorded, and remember what it means for the reader."""
        with self.store.write() as session:
            events.record(session, [event], self.now)
        self.check_moves(is_report=True)
        number, _, reader = event.key.partition("-")
        if event.id in self.heard or int(number or 0 if number.isdecimal() else 0) not in self.audience:
            return
        self.heard.add(event.id)
        person = self.people.get(int(reader) if reader.isdecimal() else 0)
        if person is None or person.is_erased:
            return
        if event.kind is Kind.UNSUBSCRIBED:
            person.has_left, person.bars = True, person.bars | {"unsubscribed"}
        elif event.kind is Kind.COMPLAINED:
            person.has_left, person.bars = True, person.bars | {"complaint"}
        elif event.kind is Kind.HARD_BOUNCE:
            person.bars.add("hard_bounce")

    # People.

    @rule(readers=st.sets(st.integers(1, READERS), min_size=1))
    def leave_the_list(self, readers: set[int]) -> None:
        """Some unsubscribe."""
        for reader in sorted(readers):
            person = self.people[reader]
            with self.store.write() as session:
                subscribers.unsubscribe(session, reader, now=self.now)
            if not person.is_erased:
                person.has_left, person.bars = True, person.bars | {"unsubscribed"}

    @rule(readers=st.sets(st.integers(1, READERS), min_size=1))
    def come_back(self, readers: set[int]) -> None:
        """Some take their leaving back, when that is theirs to do."""
        for reader in sorted(readers):
            self.undo(self.people[reader])

    def undo(self, person: Person) -> None:
        """One of them."""
        with self.store.write() as session:
            try:
                subscribers.undo(session, person.id, now=self.now)
            except LookupError:
                assert person.is_erased
                return
            except Barred:
                assert person.bars & BARRING.keys()
                return
        if person.has_left:
            person.has_left, person.bars = False, person.bars - {"unsubscribed"}

    @rule(reader=st.integers(1, READERS), minutes=st.sampled_from([0, 10, 90]))
    def rest(self, reader: int, minutes: int) -> None:
        """Someone wants nothing for a while, or ends that."""
        person = self.people[reader]
        if person.is_erased:
            return
        until = self.now + dt.timedelta(minutes=minutes) if minutes else None
        with self.store.write() as session:
            row = subscribers.get(session, reader)
            if row.state == subscribers.State.ACTIVE:
                wishes = subscribers.preferences_of(row)
                subscribers.set_preferences(session, row, Preferences(wishes.topics, paused_until=until), now=self.now)
                person.paused_until = until

    @rule(reader=st.integers(1, READERS), sure=st.integers(0, 3))
    def erase(self, reader: int, sure: int) -> None:
        """Someone has all data about them deleted: seldom, since it is for good."""
        if sure == 0:
            with self.store.write() as session:
                subscribers.erase(session, reader, now=self.now)
            self.people[reader].is_erased = True

    @rule(reader=st.integers(1, READERS), kind=st.sampled_from([*BARRING]))
    def lift(self, reader: int, kind: str) -> None:
        """The owner lets mail go to an address again."""
        with self.store.write() as session:
            subscribers.lift(session, address_of(reader), BARRING[kind], by=Lifter.OWNER)
        self.people[reader].bars.discard(kind)

    # The owner's word, and time.

    @precondition(lambda self: self.audience)
    @rule(
        which=st.integers(0, 1),
        verdict=st.sampled_from([*Verdict]),
        state=st.sampled_from([deliveries.IN_DOUBT, deliveries.IN_DOUBT, deliveries.FAILED]),
        reader=st.sampled_from([None, *range(1, READERS + 1)]),
    )
    def resolve(self, which: int, verdict: Verdict, state: str, reader: int | None) -> None:
        """The owner says what became of doubts, or of what failed."""
        number = self.number(which)
        meant = {f"{number}-{reader}"} if reader else self.audience[number]
        meant = meant & self.in_state(state)
        with self.store.write() as session:
            try:
                found = deliveries.resolve(session, number, verdict, self.clocks, subscriber_id=reader, state=state)
            except LedgerError:
                assert verdict is Verdict.AGAIN and number in self.cancelled
                return
        assert found == len(meant)
        if verdict is Verdict.AGAIN:
            self.allowed |= {key: self.took[key] + 1 for key in meant}
        elif verdict is Verdict.SENT:
            self.said_sent |= meant

    @rule(minutes=st.sampled_from([1, 5, 16, 16, 40, 300]))
    def wait(self, minutes: int) -> None:
        """Time goes on; after 16 minutes, no lease holds that holds now."""
        self.now += dt.timedelta(minutes=minutes)

    # What holds at any time.

    @invariant()
    def every_move_is_one_of_the_designs(self) -> None:
        self.check_moves()

    @invariant()
    def nobody_vanishes(self) -> None:
        for number, audience in self.audience.items():
            with self.store.read() as session:
                counts = deliveries.counts(session, number)
            assert sum(counts.values()) == len(audience)
            assert {key for key in self.states() if key.startswith(f"{number}-")} == audience

    @invariant()
    def nobody_gets_it_twice_without_a_word(self) -> None:
        doubled = {key: count for key, count in self.took.items() if count > self.allowed[key]}
        assert not doubled

    @invariant()
    def what_counts_as_taken_was_taken(self) -> None:
        taken = self.in_state(*REPORTED) - self.said_sent
        assert {key for key in taken if not self.took[key]} == set()

    @invariant()
    def what_was_taken_does_not_wait_again_without_a_word(self) -> None:
        waits = self.in_state("planned", "claimed", *NEVER_LEFT)
        assert {key for key in waits if self.took[key] >= self.allowed[key]} == set()

    def teardown(self) -> None:
        """In the end everyone is settled: once nothing stands in the way, nothing is left to do."""
        self.now += dt.timedelta(days=2)
        for number in self.audience.keys() - self.cancelled:
            with self.store.write() as session:
                deliveries.resume(session, number)
        for number in self.audience:
            sending.send(self.store, number, Post(self, [], None, 3, then="accepted"), compose, self.clocks)
        assert self.in_state("planned", "claimed", "handing") == set()
        self.every_move_is_one_of_the_designs()
        self.nobody_gets_it_twice_without_a_word()
        self.what_counts_as_taken_was_taken()

    # How a story looks at the database.

    def states(self) -> dict[str, str]:
        """Every delivery's state, by its key."""
        rows = self.bench.rows("SELECT issue_id, subscriber_id, state FROM delivery")
        return {f"{number}-{reader}": state for number, reader, state in rows}

    def in_state(self, *wanted: str) -> set[str]:
        """The keys of the deliveries in these states."""
        return {key for key, state in self.states().items() if state in wanted}

    def moves(self) -> list[tuple[str, str, str]]:
        """Every change of a delivery's state since the last look, in order: its key, from where, to where."""
        return [(key, old, new) for key, old, new in self.bench.rows(f"{MOVED} WHERE id > {self.seen}")]

    def check_moves(self, *, is_report: bool = False) -> None:
        """Look at every change of state since the last look."""
        for key, old, new in self.moves():
            by_report = is_report and new in REPORTED and old not in NEVER_LEFT
            assert new in MOVES[old] or by_report, f"{key} went from {old} to {new}"
        ((self.seen,),) = self.bench.rows("SELECT coalesce(max(id), 0) FROM moved")


MOVED = "SELECT key, old, new FROM moved"
WATCH = """
CREATE TABLE moved (id INTEGER PRIMARY KEY, key TEXT, old TEXT, new TEXT);
CREATE TRIGGER watch AFTER UPDATE OF state ON delivery WHEN old.state <> new.state BEGIN
  INSERT INTO moved (key, old, new) VALUES (old.issue_id || '-' || old.subscriber_id, old.state, new.state);
END;
"""
"""Has the database itself keep every change of a delivery's state, also those within one sending."""


def compose(claimed: Claimed) -> Message:
    """The mail of a delivery."""
    return Message(claimed.key, claimed.address, (("Subject", "x"),), "text")


def address_of(reader: int) -> str:
    """The address of a reader."""
    return f"reader{reader}@example.com"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A database with readers, the last of whom follows a topic that no issue has."""
    # In memory where there is such a folder: a story writes to the disk hundreds of times.
    with tempfile.TemporaryDirectory(dir=next(filter(os.path.isdir, ["/dev/shm"]), None)) as folder:
        yield from benches(Path(folder) / "newsletter.sqlite3")


def benches(file: Path) -> Iterator[Bench]:
    """The database in that file, until it is no longer needed."""
    store = open_store(f"sqlite:///{file}")
    # What a power cut would lose is not asked here, and a flush for each commit takes most of the time.
    sqlalchemy.event.listen(store.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    with store.write() as session:
        for reader in range(1, READERS + 1):
            wishes = Preferences(topics=frozenset({"absent"}) if reader == READERS else None)
            subscribers.add(
                session, address_of(reader), now=DAY, how="test", consent_text="yes", active=True, preferences=wishes
            )
    store.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(WATCH)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    yield Bench(store, file.read_bytes())
    store.close()


QUICK = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
LONG = settings(QUICK, max_examples=150, stateful_step_count=50)


@pytest.mark.parametrize("profile", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_in_no_story_is_anybody_lost_doubled_or_mailed_against_their_word(bench: Bench, profile: settings) -> None:
    class Told(Story):
        def __init__(self) -> None:
            super().__init__(bench)

    run_state_machine_as_test(Told, settings=profile)
