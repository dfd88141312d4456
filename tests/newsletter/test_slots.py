"""When something is due: each slot once, whatever the clocks of its zone do."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.slots import Slot, Timetable, check
from newsletter.values import EVERY, MONTHLY, WEEKLY

BERLIN = ZoneInfo("Europe/Berlin")
WINDOW = dt.timedelta(hours=12)
CRONS = ("0 7 * * *", "30 2 * * *", "0 7,19 * * *", "15 */6 * * MON-FRI", "0 2,3 * * *", "0 0 * * *")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")


def _utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def _daily(cron: str = "0 7 * * *", zone: ZoneInfo = BERLIN) -> Timetable:
    return Timetable(zone, {EVERY: cron})


def _slots(timetable: Timetable, start: dt.datetime, end: dt.datetime) -> list[Slot]:
    """Every slot of issues between two moments, by asking for the next again and again."""
    found = []
    slot = timetable.next(EVERY, start)
    while slot is not None and slot.at <= end:
        found.append(slot)
        slot = timetable.next(EVERY, slot.at)
    return found


def test_a_slot_is_due_from_its_time_to_the_end_of_the_window() -> None:
    seven = _utc("2026-11-23T06:00")
    assert _daily().due(seven - dt.timedelta(seconds=1), dt.timedelta(hours=1)) == ()
    assert [slot.key for slot in _daily().due(seven, WINDOW)] == ["2026-11-23"]
    assert _daily().due(seven + WINDOW, WINDOW) == ()


def test_of_several_missed_slots_the_latest_is_due() -> None:
    found = _daily("0 * * * *").due(_utc("2026-11-23T09:30"), WINDOW)
    assert [slot.local.hour for slot in found] == [10]


def test_the_first_slot_of_a_day_is_the_days_own_and_later_ones_name_their_time() -> None:
    found = _slots(_daily("0 7,19 * * *"), _utc("2026-11-23T00:00"), _utc("2026-11-25T00:00"))
    assert [slot.key for slot in found] == ["2026-11-23", "2026-11-23T19:00", "2026-11-24", "2026-11-24T19:00"]


def test_each_kind_has_slots_of_its_own_and_issues_come_first() -> None:
    timetable = Timetable(BERLIN, {WEEKLY: "0 7 * * SUN", EVERY: "0 7 * * *", MONTHLY: ""})
    assert timetable.kinds == (EVERY, WEEKLY)
    found = timetable.due(_utc("2026-11-22T07:00"), WINDOW)
    assert [slot.key for slot in found] == ["2026-11-22", "weekly 2026-11-22"]
    assert timetable.next(MONTHLY, found[0].at) is None


def test_a_slot_in_the_gap_of_summer_time_comes_once_at_its_end() -> None:
    found = _slots(_daily("30 2 * * *"), _utc("2026-03-28T12:00"), _utc("2026-03-30T12:00"))
    assert [slot.at for slot in found] == [_utc("2026-03-29T01:00"), _utc("2026-03-30T00:30")]


def test_a_slot_in_the_hour_that_comes_twice_comes_once() -> None:
    timetable = _daily("30 2 * * *")
    found = _slots(timetable, _utc("2026-10-24T12:00"), _utc("2026-10-26T12:00"))
    assert [slot.at for slot in found] == [_utc("2026-10-25T00:30"), _utc("2026-10-26T01:30")]
    for moment in ("2026-10-25T00:30", "2026-10-25T01:10", "2026-10-25T01:50"):
        assert timetable.latest(EVERY, _utc(moment)) == found[0]


def test_the_slot_before_a_slot_is_that_of_the_period_before() -> None:
    timetable = Timetable(BERLIN, {WEEKLY: "0 8 * * SUN"})
    slot = timetable.latest(WEEKLY, _utc("2026-11-23T00:00"))
    assert slot is not None
    before = timetable.before(slot)
    assert before is not None and (before.day, slot.day) == (dt.date(2026, 11, 15), dt.date(2026, 11, 22))


def test_people_read_a_slot_with_day_and_zone() -> None:
    slot = _daily().next(EVERY, _utc("2026-11-22T12:00"))
    assert slot is not None and _daily().describe(slot) == "Mon 23 Nov 07:00 Europe/Berlin"


@given(
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
    st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2027, 12, 1)),
    st.lists(st.integers(-90, 3 * 24 * 60), min_size=1, max_size=40),
)
def test_whoever_looks_whenever_finds_each_slot_under_one_key(
    cron: str, zone: str, start: dt.datetime, minutes: list[int]
) -> None:
    """Clocks may jump both ways: what is due at a moment depends on nothing but that moment."""
    timetable, begin = _daily(cron, ZoneInfo(zone)), start.replace(tzinfo=dt.UTC)
    known = {slot.key: slot for slot in _slots(timetable, begin - dt.timedelta(days=8), begin + dt.timedelta(days=8))}
    moments = [slot.at for slot in known.values()]
    assert moments == sorted(moments)
    for offset in minutes:
        now = begin + dt.timedelta(minutes=offset)
        latest, after = timetable.latest(EVERY, now), timetable.next(EVERY, now)
        assert latest is not None and after is not None and latest.at <= now < after.at
        assert latest.at == max(moment for moment in moments if moment <= now)
        assert after.at == min(moment for moment in moments if moment > now)


@given(st.sampled_from(CRONS[:4]), st.sampled_from(ZONES), st.integers(0, 700))
def test_a_year_has_as_many_slots_as_local_times_that_the_expression_names(cron: str, zone: str, day: int) -> None:
    timetable, naive = _daily(cron, ZoneInfo(zone)), _daily(cron, ZoneInfo("UTC"))
    start = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC) + dt.timedelta(days=day)
    local = start.astimezone(ZoneInfo(zone)).replace(tzinfo=dt.UTC)
    found = [slot.key for slot in _slots(timetable, start, start + dt.timedelta(days=20))]
    ends = (start + dt.timedelta(days=20)).astimezone(ZoneInfo(zone)).replace(tzinfo=dt.UTC)
    assert found == [slot.key for slot in _slots(naive, local, ends)]


@pytest.mark.parametrize("cron", ["", "7 * *", "0 7 * * * *", "0 25 * * *", "x 7 * * *", "0 0 30 2 *"])
def test_what_names_no_time_is_refused(cron: str) -> None:
    with pytest.raises(ValueError, match=r"no cron expression|no time that ever comes"):
        check(cron)


def test_an_expression_is_kept_with_single_spaces() -> None:
    assert check(" 0  8 * *  sun ") == "0 8 * * sun"
