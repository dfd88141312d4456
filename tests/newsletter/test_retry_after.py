"""Facts about how long a server may make us wait."""

from __future__ import annotations

import datetime as dt
import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter import retry_after

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        ("0", 0.0),
        (" 90 ", 90.0),
        ("86401", 86_400.0),
        ("9" * 4_000, 86_400.0),
        ("9" * 10_000, None),
        ("-5", None),
        ("1.5", 1.5),
        ("1.5.2", None),
        (".5", None),
        ("inf", None),
        ("nan", None),
        ("1e9", None),
        ("999999999999", 86_400.0),
        ("soon", None),
        ("²", None),
        (email.utils.format_datetime(NOW + dt.timedelta(seconds=30), usegmt=True), 30.0),
        (email.utils.format_datetime(NOW - dt.timedelta(days=1), usegmt=True), 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Sun, 01 Mar 2026 12:01:00 -0000", 60.0),
        ("Sun, 99 Mar 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date_and_capped_at_a_day(value: str, seconds: float | None) -> None:
    assert retry_after.seconds(value, NOW) == seconds


@given(st.text())
def test_no_retry_after_is_an_error(value: str) -> None:
    seconds = retry_after.seconds(value, NOW)
    assert seconds is None or 0 <= seconds <= 86_400


def test_a_missing_header_asks_for_nothing() -> None:
    assert retry_after.seconds(None, NOW) is None
