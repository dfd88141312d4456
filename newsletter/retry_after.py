"""How long a server asks us to wait: its ``Retry-After`` header, whoever it is that answers. Pure."""

from __future__ import annotations

import datetime as dt
import email.utils
import re

LONGEST = 86_400.0
"""A server that asks for more seconds than a day gets a day."""


def seconds(value: str | None, now: dt.datetime) -> float | None:
    """Seconds to wait, from the header (RFC 9110, 10.2.3: seconds, or an HTTP date), at most a day.

    None when the header is missing or says nothing that can be understood. ``now`` is aware.
    """
    value = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,4000}(\.[0-9]{1,20})?", value):  # some services name a part of a second
        return min(float(value), LONGEST)
    try:
        until = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=dt.UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST)
