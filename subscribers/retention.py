"""How long what is kept about people stays: one sweep over all that has its time."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from subscribers import consent, letters, limits, people


def tidy(session: Session, *, now: dt.datetime) -> None:
    """Drop what nobody needs any more; to be done once a day, and harmless more often.

    These are the networks of who left 30 days ago, letters settled a week ago, what limits were counted with, and
    wishes for another address whose link has expired.
    """
    consent.forget_networks(session, now=now)
    letters.tidy(session, now=now)
    limits.tidy(session, now=now)
    people.forget_wishes(session, now=now)
