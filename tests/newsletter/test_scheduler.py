"""Keeping to the schedule: one issue per slot whatever happens, and what every reader gets over two months."""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlmodel import select

from newsletter import deliveries, issues, scheduler
from newsletter.config import Config
from newsletter.pipeline import Built
from newsletter.problems import TryLater
from newsletter.scheduler import Bell, Keeper, Leaving, outlook
from newsletter.slots import Slot
from newsletter.store import Store
from newsletter.store.tables import IssueRow
from newsletter.values import EVERY, MONTHLY, WEEKLY
from subscribers import Frequency
from tests.newsletter.life import Life, Wanted

SEVEN = dt.datetime(2026, 11, 23, 6, tzinfo=dt.UTC)
"""Seven in Berlin, a Monday."""
SAFETY = (("safety",), 5.0)
HOUR, MINUTE = dt.timedelta(hours=1), dt.timedelta(minutes=1)


def config(owner: str = "", zone: str = "Europe/Berlin", **schedule: Any) -> Config:
    """A newsletter that comes at seven."""
    letter = {"time_zone": zone, "owner_address": owner}
    return Config.model_validate({"newsletter": letter, "schedule": {"cron": "0 7 * * *", **schedule}})


@pytest.fixture
def life(store: Store) -> Life:
    """A newsletter with a reader, a second before its slot, and something to publish."""
    made = Life(store, config(), SEVEN - dt.timedelta(seconds=1), [SAFETY])
    made.join("ann")
    return made


def _states(life: Life) -> list[tuple[str | None, str]]:
    with life.store.read() as session:
        return [(row.slot, row.state) for row in session.exec(select(IssueRow).order_by("id"))]


def _later(life: Life, by: dt.timedelta) -> Life:
    life.now += by
    return life


def test_nothing_happens_before_the_slot_and_at_it_the_issue_goes_out(life: Life) -> None:
    keeper = life.keeper()
    keeper.tick()
    assert _states(life) == [] and life.said == []
    _later(life, MINUTE)
    keeper.tick()
    assert _states(life) == [("2026-11-23", "frozen")]
    assert len(life.mails("ann")) == 1
    assert life.said == ["issue 1 is out: AI Research Digest \N{EM DASH} 23 November 2026", "issue 1: 1 accepted"]


def test_a_slot_is_done_once_by_two_processes_and_after_a_restart(life: Life) -> None:
    _later(life, MINUTE)
    for keeper in (life.keeper(), life.keeper(), life.keeper()):
        keeper.tick()
        keeper.tick()
    assert _states(life) == [("2026-11-23", "frozen")]
    assert len(life.mails("ann")) == 1


def test_two_processes_at_the_same_moment_make_one_issue(life: Life) -> None:
    _later(life, MINUTE)
    gate = threading.Barrier(2)

    def draft(slot: Slot) -> Built:
        gate.wait(5)
        return life.draft(slot)

    keepers = [life.keeper(make=draft) for _ in range(2)]
    threads = [threading.Thread(target=keeper.tick) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [keeper.failures for keeper in keepers] == [[], []]
    assert _states(life) == [("2026-11-23", "frozen")] and len(life.mails("ann")) == 1


def test_a_clock_that_is_set_back_repeats_nothing(life: Life) -> None:
    keeper = life.keeper()
    _later(life, HOUR)
    keeper.tick()
    for offset in (-3 * HOUR, 4 * HOUR, -HOUR / 2):
        _later(life, offset)
        keeper.tick()
    assert len(life.mails("ann")) == 1


def test_after_days_of_sleep_the_latest_slot_alone_is_made_up_for(life: Life) -> None:
    _later(life, dt.timedelta(days=5, hours=2))
    life.keeper().tick()
    assert _states(life) == [("2026-11-28", "frozen")]


def test_past_the_window_nothing_goes_out_by_itself(life: Life) -> None:
    _later(life, 13 * HOUR)
    life.keeper().tick()
    assert _states(life) == []
    with life.store.read() as session:
        (stands,) = outlook(life.press, session)
    assert stands.came_of_it.startswith("missed") and stands.next == "Tue 24 Nov 07:00 Europe/Berlin"


def test_an_empty_day_is_said_once_with_its_reason_which_is_kept(life: Life) -> None:
    life.coming, keeper = [], life.keeper()
    _later(life, MINUTE)
    keeper.tick()
    life.coming = [SAFETY]
    keeper.tick()
    assert life.said == ["no issue of Mon 23 Nov 07:00 Europe/Berlin: there is nothing new"]
    with life.store.read() as session:
        (stands,) = outlook(life.press, session)
    assert stands.came_of_it == "none: there is nothing new"


def test_what_fails_is_said_in_one_line_and_tried_again_after_longer_and_longer_waits(life: Life) -> None:
    tries: list[dt.datetime] = []

    def fail(slot: Slot) -> Built:
        tries.append(life.now)
        raise TryLater("no source\ncould be read")

    _later(life, MINUTE)
    keeper, began = life.keeper(make=fail), life.now
    for _ in range(240):
        keeper.tick()
        _later(life, MINUTE / 4)
    minutes = [(tried - began) / MINUTE for tried in tries]
    assert minutes == [0, 1, 3, 7, 15, 30, 45]
    assert life.said[0] == "issue of Mon 23 Nov 07:00 Europe/Berlin: no source could be read; next try in 1 min"
    assert len(life.said) == len(tries)


def test_a_failure_stands_in_nobody_elses_way(life: Life) -> None:
    done: list[str] = []

    def broken() -> None:
        raise ZeroDivisionError("a bug")

    _later(life, MINUTE)
    keeper = life.keeper(chores={"letters": broken, "others": lambda: done.append("others")})
    keeper.tick()
    assert done == ["others"] and len(life.mails("ann")) == 1
    assert life.said[0] == "letters: a bug; next try in 1 min" and len(keeper.failures) == 1


def test_deliveries_that_wait_are_handed_over_when_they_are_due(life: Life) -> None:
    from newsletter.providers import TryLater as Later

    _later(life, MINUTE)
    keeper = life.keeper()
    life.answer = lambda key: Later(key, "busy", 600)
    keeper.tick()
    life.answer = Life.answer
    _later(life, 9 * MINUTE)
    keeper.tick()
    assert life.mails("ann") == []
    _later(life, 2 * MINUTE)
    keeper.tick()
    assert len(life.mails("ann")) == 1


def test_deliveries_older_than_the_window_wait_for_the_owner(life: Life) -> None:
    _later(life, MINUTE)
    life.keeper(send=lambda number: {}).tick()
    _later(life, 13 * HOUR)
    life.coming = []
    life.keeper().tick()
    assert life.mails("ann") == []


def test_a_day_on_which_the_owner_sent_by_hand_has_no_second_issue(life: Life) -> None:
    by_hand = life.draft(Slot(EVERY, "2026-11-23", life.now, life.now)).number or 0
    with life.store.write() as session:
        issues.publish(session, by_hand, life.now)
    _later(life, HOUR)
    life.keeper().tick()
    assert _states(life) == [("2026-11-23", "frozen")]


def test_several_slots_a_day_are_several_issues(store: Store) -> None:
    life = Life(store, config(cron="0 7,19 * * *"), SEVEN, [SAFETY])
    keeper = life.keeper()
    for _ in range(24):
        keeper.tick()
        _later(life, HOUR)
    assert [slot for slot, _ in _states(life)] == ["2026-11-23", "2026-11-23T19:00"]


def test_it_says_what_it_waits_for(store: Store) -> None:
    life = Life(store, config(weekly="0 8 * * SUN"), SEVEN)
    assert life.keeper().announcement() == [
        "next issue: Tue 24 Nov 07:00 Europe/Berlin",
        "next weekly round-up: Sun 29 Nov 08:00 Europe/Berlin",
    ]
    assert Life(store, config(cron=""), SEVEN).keeper().announcement() == [
        "no issue is scheduled: `schedule.cron` is empty"
    ]


@pytest.fixture
def asking(store: Store) -> Life:
    """A newsletter whose owner approves each issue, at its slot."""
    made = Life(store, config("owner@example.com", approval="required"), SEVEN, [SAFETY])
    made.join("ann")
    return made


def test_the_owner_is_asked_once_by_a_letter_and_the_issue_goes_out_when_approved(asking: Life) -> None:
    keeper = asking.keeper()
    for _ in range(3):
        keeper.tick()
        _later(asking, MINUTE)
    (letter,) = asking.letters()
    assert (letter.kind, letter.address) == ("approval", "owner@example.com")
    made = asking.press.renderer.letter(letter.kind, {"address": letter.address, **letter.details})
    for text in (made.text, made.html):
        said = " ".join(text.split())
        assert "newsletter issues approve 1" in said and "Mon 23 Nov 19:00 Europe/Berlin" in said
        assert "1. Finding 1" in said and "Key takeaways" in said
    assert asking.said == ["issue 1 waits for `newsletter issues approve 1`, until Mon 23 Nov 19:00 Europe/Berlin"]
    assert asking.mails("ann") == []
    with asking.store.write() as session:
        issues.approve(session, 1, asking.now)
    keeper.tick()
    assert len(asking.mails("ann")) == 1 and not asking.letters()


def test_a_draft_that_was_changed_after_the_approval_needs_it_again(asking: Life) -> None:
    keeper = asking.keeper()
    keeper.tick()
    with asking.store.write() as session:
        issues.approve(session, 1, asking.now)
        issues.row_of(session, 1).input_hash = "another"
    keeper.tick()
    assert asking.mails("ann") == [] and len(asking.letters()) == 2


def test_what_is_not_approved_by_the_windows_end_is_cancelled_and_its_pieces_are_free(asking: Life) -> None:
    keeper = asking.keeper()
    keeper.tick()
    _later(asking, 12 * HOUR)
    keeper.tick()
    assert _states(asking) == [(None, "cancelled")]
    assert asking.said[-1] == "issue 1 was not approved in time and is cancelled; its pieces are free"
    with asking.store.read() as session:
        (stands,) = outlook(asking.press, session)
        assert issues.draft_number(session) is None
    assert stands.came_of_it == "none: issue 1 was not approved in time"
    with pytest.raises(issues.IssueError, match="cancelled"), asking.store.write() as session:
        issues.approve(session, 1, asking.now)


def test_nothing_takes_the_place_of_a_draft_that_the_owner_rejected(asking: Life) -> None:
    keeper = asking.keeper()
    keeper.tick()
    with asking.store.write() as session:
        issues.reject(session, 1, asking.now)
    keeper.tick()
    assert _states(asking) == [(None, "rejected")] and len(asking.letters()) == 1


def test_while_it_waits_the_outlook_says_what_for(asking: Life) -> None:
    asking.keeper().tick()
    with asking.store.read() as session:
        (stands,) = outlook(asking.press, session)
    assert stands.came_of_it == "issue 1 waits for `newsletter issues approve 1`"


def _stopped_after(keeper: Keeper, bell: Bell, seconds: float) -> float:
    """How long `run` takes when the bell rings so many seconds after its begin."""
    ringer = threading.Timer(seconds, bell.ring)
    ringer.start()
    began = time.monotonic()
    keeper.run(bell)
    ringer.join()
    return time.monotonic() - began


def test_a_bell_ends_the_waiting_at_once(life: Life) -> None:
    bell = Bell()
    assert _stopped_after(life.keeper(), bell, 0.1) < 2
    assert life.said == ["next issue: Mon 23 Nov 07:00 Europe/Berlin"]
    bell.ring()
    bell.close()


def test_a_bell_ends_what_takes_long_between_two_steps_and_loses_nothing(life: Life) -> None:
    bell = Bell()

    def slow(slot: Slot) -> Built:
        while True:
            time.sleep(0.01)
            bell.check()

    _later(life, MINUTE)
    assert _stopped_after(life.keeper(make=slow), bell, 0.1) < 2
    bell.close()
    life.keeper().tick()
    assert len(life.mails("ann")) == 1


def test_a_sign_of_life_comes_every_ten_minutes_for_who_wants_to_hear_it(life: Life) -> None:
    heard: list[str] = []
    bell = Bell()

    def wait(seconds: float) -> None:
        _later(life, MINUTE / 3)
        if life.now > SEVEN + 25 * MINUTE:
            bell.ring()

    bell.wait = wait  # type: ignore[method-assign]  # time passes when the test says so
    life.keeper(detail=heard.append).run(bell)
    bell.close()
    assert len([line for line in heard if "waiting; next issue: Tue 24 Nov" in line]) == 2


def test_leaving_is_the_one_thing_that_a_tick_lets_through(life: Life) -> None:
    def leave() -> None:
        raise Leaving

    with pytest.raises(Leaving):
        life.keeper(chores={"letters": leave}).tick()


# Two months.

MOST = 4
TOPICS = ("safety", "theory", "training")


@dataclass
class Model:
    """What one reader should get, worked out piece by piece, without a database."""

    name: str
    follows: frozenset[str] | None
    frequency: str
    had: set[int] = field(default_factory=set)
    waiting: list[int] = field(default_factory=list)
    """What came out since the last mailing that this reader was part of."""
    changed: bool = False
    got: list[tuple[str, list[int]]] = field(default_factory=list)

    def mailing(self, kind: str, new: list[int], pool: list[int], pieces: dict[int, Out]) -> None:
        """An issue with ``new`` pieces, or a round-up with a period's ``pool``."""
        self.waiting += new
        if kind != self.frequency:
            return
        missed = [number for number in self.waiting if number not in new] if self.changed else []
        open_to = missed if kind == EVERY else list({*pool, *missed})
        mine = [number for number in new if self._fits(pieces[number])] if kind == EVERY else []
        best = sorted(
            (n for n in open_to if n not in self.had and self._fits(pieces[n])),
            key=lambda n: (-pieces[n].score, -pieces[n].at.timestamp(), pieces[n].place),
        )
        mail = mine + best[:MOST]
        self.had |= set(mail)
        self.waiting, self.changed = [], False
        if mail:
            self.got.append((kind, mail))

    def _fits(self, piece: Out) -> bool:
        return self.follows is None or bool(self.follows & set(piece.topics))


@dataclass
class Out:
    """A piece that is out."""

    topics: tuple[str, ...]
    score: float
    at: dt.datetime
    place: int


@dataclass
class Months:
    """A newsletter, its readers' models beside it, and chance."""

    life: Life
    models: list[Model]
    chance: random.Random
    seen: int = 0
    pieces: dict[int, Out] = field(default_factory=dict)
    periods: dict[str, list[int]] = field(default_factory=lambda: {WEEKLY: [], MONTHLY: []})

    def draft(self, slot: Slot) -> Built:
        """Up to five pieces of any topic and score; on some days none, and sometimes the sources fail."""
        if self.chance.random() < 0.1:
            raise TryLater("no source could be read")
        self.life.coming = [self._piece() for _ in range(self.chance.choice((0, 1, 3, 4, 5)))]
        return self.life.draft(slot)

    def _piece(self) -> Wanted:
        return tuple(self.chance.sample(TOPICS, self.chance.randrange(3))), float(self.chance.randrange(3, 9))

    def follow(self) -> None:
        """Tell the models what came out since they were told last."""
        with self.life.store.read() as session:
            found = session.exec(select(IssueRow).where(IssueRow.state == issues.FROZEN).order_by("id")).all()
            for row in found[self.seen :]:
                out = issues.load(session, row.id or 0).pieces
                at = row.frozen_at or self.life.now
                new = {entry.piece.id: Out(entry.topics, entry.score, at, n) for n, entry in enumerate(out, 1)}
                self.pieces |= new
                for model in self.models:
                    model.mailing(row.kind, list(new), self.periods.get(row.kind, []), self.pieces)
                for period in self.periods.values():
                    period += new
                if row.kind in self.periods:
                    self.periods[row.kind].clear()
        self.seen = len(found)

    def change_one(self) -> None:
        """A reader changes the frequency."""
        model = self.chance.choice(self.models)
        wanted = self.chance.choice([kind for kind in (EVERY, WEEKLY, MONTHLY) if kind != model.frequency])
        self.life.change(model.name, frequency=Frequency(wanted))
        model.frequency, model.changed = wanted, True


def _joined(life: Life, chance: random.Random) -> list[Model]:
    choices = [None, frozenset({"safety"}), frozenset({"theory", "training"})]
    models = []
    for number in range(18):
        follows, kind = choices[number % 3], (EVERY, WEEKLY, MONTHLY)[number // 3 % 3]
        life.join(f"reader{number}", topics=follows, frequency=Frequency(kind))
        models.append(Model(f"reader{number}", follows, kind))
    return models


def _live(months: Months, days: int, keepers: list[Keeper]) -> None:
    """Look every few hours, sometimes with a clock that was set back; readers change their minds in between."""
    life, chance = months.life, months.chance
    end = life.now + dt.timedelta(days=days)
    while life.now < end:
        # Failures wait for minutes: half an hour later everything due was tried again.
        for _ in range(2):
            for keeper in keepers:
                keeper.tick()
                months.follow()
            _later(life, HOUR / 2)
        if chance.random() < 0.2:
            _later(life, -2 * HOUR)
            keepers[0].tick()
            _later(life, 2 * HOUR)
        if chance.random() < 0.3:
            months.change_one()
        _later(life, chance.choice((HOUR, 2 * HOUR, 4 * HOUR, 5 * HOUR)))


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_sixty_days_over_a_change_of_the_clocks(store: Store, zone: str) -> None:
    """Each slot once, none twice; each reader gets each fitting piece at most once, and the best unread ones."""
    start = dt.datetime(2026, 9, 20, 12, tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)
    schedule = config(zone=zone, cron="15 2 * * *", weekly="30 2 * * SUN", monthly="45 2 1 * *", roundup_pieces=MOST)
    life, chance = Life(store, schedule, start), random.Random(zone)
    months = Months(life, _joined(life, chance), chance)
    keepers = [life.keeper(make=months.draft) for _ in range(2)]
    _later(life, MINUTE)
    _live(months, 60, keepers)
    months.follow()
    for model in months.models:
        mails = [(mail.kind, list(mail.pieces)) for mail in life.mails(model.name)]
        assert mails == model.got, model.name
        had = life.pieces_of(model.name)
        assert len(had) == len(set(had)) > 0
    assert sum(kind == WEEKLY for model in months.models for kind, _ in model.got) > 20
    _every_slot_is_decided(life, start)


def _every_slot_is_decided(life: Life, start: dt.datetime) -> None:
    """Each slot since then has its issue or the reason why there is none, and no issue is without a slot."""
    timetable, keys = life.config.timetable(), set[str]()
    for kind in timetable.kinds:
        slot = timetable.next(kind, start)
        while slot is not None and slot.at <= life.now - 12 * HOUR:
            keys.add(slot.key)
            slot = timetable.next(kind, slot.at)
    with life.store.read() as session:
        made = {row.slot for row in session.exec(select(IssueRow))}
        empty = {key for key in keys if issues.empty_slot(session, key)}
        counted = [deliveries.counts(session, row.id or 0) for row in session.exec(select(IssueRow))]
    assert not made & empty
    assert keys <= made | empty and len(keys) > 60
    assert all(set(counts) <= {deliveries.ACCEPTED, deliveries.SKIPPED} for counts in counted)


def test_waits_grow_to_a_quarter_of_an_hour() -> None:
    assert scheduler.LONGEST_WAIT == 15 * 60 and scheduler.TICK <= 30
