"""Chance that a seed decides: who has it alone repeats its choices, whatever the others do."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class Luck:
    """Chance for one part of the storm, which several threads may ask."""

    def __init__(self, seed: int, name: str) -> None:
        self._random = random.Random(f"{seed}/{name}")
        self._lock = threading.Lock()

    def one_in(self, number: float) -> bool:
        """True once in so many times."""
        with self._lock:
            return self._random.random() * number < 1

    def between(self, low: float, high: float) -> float:
        """A number between two."""
        with self._lock:
            return self._random.uniform(low, high)

    def of(self, choices: Mapping[T, float]) -> T:
        """One of these, by their weights."""
        with self._lock:
            return self._random.choices(list(choices), list(choices.values()))[0]

    def any_of(self, choices: list[T]) -> T:
        """One of these."""
        with self._lock:
            return self._random.choice(choices)

    def some_of(self, choices: list[T], most: int) -> list[T]:
        """Up to so many of these, in no order."""
        with self._lock:
            return self._random.sample(choices, min(len(choices), most))
