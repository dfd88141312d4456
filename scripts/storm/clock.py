"""A clock that runs many times as fast as the machine's, the same one in every process of a storm."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.newsletter.makers import DAY

VARIABLE = "STORM_CLOCK"
"""How a process of the storm is told of its clock."""


@dataclass(frozen=True, slots=True)
class Clock:
    """``began`` is the machine's time when it was `DAY`, in seconds; ``ahead`` are seconds that it has leapt."""

    began: float
    speed: float = 60.0
    ahead: float = 0.0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Clock:
        """The clock that a process was given."""
        return cls(*map(float, environment[VARIABLE].split()))

    @property
    def environment(self) -> dict[str, str]:
        """What gives a process this clock."""
        return {VARIABLE: f"{self.began!r} {self.speed!r} {self.ahead!r}"}

    def now(self) -> dt.datetime:
        """What time it is."""
        return DAY + dt.timedelta(seconds=(time.time() - self.began) * self.speed + self.ahead)

    def leapt(self, by: dt.timedelta) -> Clock:
        """The same clock, set forward."""
        return replace(self, ahead=self.ahead + by.total_seconds())
