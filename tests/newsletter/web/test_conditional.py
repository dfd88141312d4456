"""Conditional requests, read as HTTP says."""

from __future__ import annotations

import datetime as dt

import pytest
from starlette.datastructures import Headers

from newsletter.web.conditional import has_it
from tests.newsletter.makers import DAY


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ({}, False),
        ({"if-none-match": '"a"'}, True),
        ({"if-none-match": '"b", W/"a"'}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": '"b"', "if-modified-since": "Fri, 29 May 2026 07:00:00 GMT"}, False),
        ({"if-modified-since": "Fri, 29 May 2026 07:00:00 GMT"}, True),
        ({"if-modified-since": "Fri, 29 May 2026 06:59:59 GMT"}, False),
        ({"if-modified-since": "29 May 2026 07:00:00"}, False),
        ({"if-modified-since": "yesterday"}, False),
        ({"if-modified-since": "Fri, 29 May 2026 07:00:00 +9999999999999999"}, False),
    ],
)
def test_a_condition_is_read_as_http_says(asked: dict[str, str], held: bool) -> None:
    assert has_it(Headers(asked), '"a"', DAY + dt.timedelta(microseconds=5)) is held
