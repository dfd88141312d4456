"""How long what is kept about people stays: one sweep over all that has its time."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from subscribers import consent, letters, limits, people

AT_ONCE = 500
"""How many people are forgotten in a transaction: other writers wait for it."""


def tidy(session: Session, *, now: dt.datetime) -> bool:
    """Drop what nobody needs any more; to be done once a day, and harmless more often.

    These are people who did not confirm within 7 days, people who left 30 days ago (a keyed hash stays) and, where a
    letter still keeps one of them, their networks; letters of a week ago, what limits were counted with, and wishes for
    another address whose link has expired. Returns whether there is more to forget, for another transaction.
    """
    consent.forget_networks(session, now=now)
    letters.tidy(session, now=now)
    limits.tidy(session, now=now)
    people.forget_wishes(session, now=now)
    return people.forget_some(session, now=now, limit=AT_ONCE) == AT_ONCE
