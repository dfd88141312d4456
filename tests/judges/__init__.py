"""Judges of our mails: programs of others and rules of our own, over the demo's editions and one that is all stress.

`scripts/judge-mail` runs them, and fetches what it can of the programs. Each judge gives a verdict; one whose program
is not there says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it leaves. ``is_demo`` is false for what was made to strain the templates and not to be sent."""

    name: str
    html: str
    text: str
    message: bytes
    is_demo: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says: its figures, and a line for each fault. ``skipped`` is why it said nothing."""

    judge: str
    figures: str
    faults: Sequence[str] = ()
    skipped: str = ""

    @property
    def state(self) -> str:
        """``ok``, ``failed`` or ``skipped``."""
        return "skipped" if self.skipped else "failed" if self.faults else "ok"
