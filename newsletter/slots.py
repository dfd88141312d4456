"""When issues and round-ups are due: cron expressions in the newsletter's time zone, whatever its clocks do. Pure.

An expression names local times, and each names one moment: one that a change to summer time leaves out is the first
moment after the gap, one that comes twice is its first. So a slot happens once, and a missed one can be told from it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from newsletter.values import EVERY, MONTHLY, WEEKLY

KINDS = (EVERY, WEEKLY, MONTHLY)

_FIELDS = 5
_MINUTE, _DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)
_MIDNIGHT = dt.time()
_ABOUT = dt.timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Slot:
    """A time at which an issue or a round-up is due.

    ``key`` names it for ever and is unique in the database. ``local`` is the time as the expression names it, without a
    zone; ``at`` is the moment, in UTC.
    """

    kind: str
    key: str
    local: dt.datetime
    at: dt.datetime

    @property
    def day(self) -> dt.date:
        """The local day that it is for."""
        return self.local.date()


@dataclass(frozen=True, slots=True)
class Timetable:
    """Which kinds are due when: a cron expression for each kind that there is."""

    zone: ZoneInfo
    crons: Mapping[str, str]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that there are, issues first."""
        return tuple(kind for kind in KINDS if self.crons.get(kind))

    def latest(self, kind: str, moment: dt.datetime) -> Slot | None:
        """The last slot of a kind at or before a moment; None when there is none of the kind."""
        # The wall clock may have been set back since a slot: begin far enough ahead of it to see that one too.
        start = _wall(moment, self.zone) + _DAY
        found = (local for local in self._locals(kind, start, back=True) if _moment(local, self.zone) <= moment)
        return self._slot(kind, next(found, None))

    def next(self, kind: str, moment: dt.datetime) -> Slot | None:
        """The first slot of a kind after a moment; None when there is none."""
        start = _wall(moment, self.zone) - _DAY
        found = (local for local in self._locals(kind, start) if _moment(local, self.zone) > moment)
        return self._slot(kind, next(found, None))

    def before(self, slot: Slot) -> Slot | None:
        """The slot of the same kind before a slot."""
        return self._slot(slot.kind, next(self._locals(slot.kind, slot.local, back=True), None))

    def due(self, now: dt.datetime, window: dt.timedelta) -> tuple[Slot, ...]:
        """The latest slot of each kind, when it is not older than the window, issues first: catching up makes one."""
        found = (self.latest(kind, now) for kind in self.kinds)
        return tuple(slot for slot in found if slot is not None and now - slot.at < window)

    def _locals(self, kind: str, start: dt.datetime, *, back: bool = False) -> Iterator[dt.datetime]:
        """The local times of a kind after a local time, or before it; none for a kind that there is not."""
        cron = self.crons.get(kind, "")
        return iter(CronSim(cron, start, reverse=back)) if cron else iter(())

    def _slot(self, kind: str, local: dt.datetime | None) -> Slot | None:
        if local is None:
            return None
        midnight = dt.datetime.combine(local.date(), _MIDNIGHT)
        first = next(self._locals(kind, midnight - dt.timedelta(seconds=1)))
        # The first of a day bears the day alone: it is one with the issue that the owner sends by hand on that day.
        name = local.date().isoformat() if local == first else local.isoformat(timespec="minutes")
        key = name if kind == EVERY else f"{kind} {name}"
        return Slot(kind, key, local, _moment(local, self.zone))

    def describe(self, slot: Slot) -> str:
        """A slot as people read it: ``Mon 23 Nov 07:00 Europe/Berlin``."""
        return self.at(slot.at)

    def at(self, moment: dt.datetime) -> str:
        """A moment in the timetable's zone, as people read it."""
        at = moment.astimezone(self.zone)
        return f"{at:%a} {at.day} {at:%b %H:%M} {self.zone.key}"


def day_of(key: str) -> dt.date:
    """The local day of a slot by its key."""
    return dt.date.fromisoformat(key.rpartition(" ")[2][:10])


def month_of(first: dt.date, last: dt.date) -> dt.date | None:
    """The first day of the calendar month that a period is, give or take three days at each end; None: it is none."""
    middle = first + (last - first) / 2
    begins = middle.replace(day=1)
    ends = (begins + dt.timedelta(days=31)).replace(day=1) - _DAY
    return begins if abs(first - begins) <= _ABOUT and abs(last - ends) <= _ABOUT else None


def check(cron: str) -> str:
    """A cron expression with single spaces. Raises ValueError when it is none, or names no time that ever comes."""
    words = cron.split()
    example = "five fields such as 0 7 * * * (minute, hour, day, month, weekday)"
    if len(words) != _FIELDS:
        raise ValueError(f"{cron!r} is no cron expression: it needs {example}")
    try:
        next(CronSim(cron, dt.datetime(2024, 1, 1)))
    except CronSimError as error:
        raise ValueError(f"{cron!r} is no cron expression ({error}): it needs {example}") from error
    except StopIteration:
        raise ValueError(f"{cron!r} names no time that ever comes") from None
    return " ".join(words)


def _wall(moment: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _moment(local: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The moment that a local time names: its first when it comes twice, the end of the gap when it never comes."""
    moment = local.replace(tzinfo=zone).astimezone(dt.UTC)
    while _wall(moment, zone) != local:
        local += _MINUTE
        moment = local.replace(tzinfo=zone).astimezone(dt.UTC)
    return moment
