"""Facts about what goes wrong, as a log is told of it."""

from __future__ import annotations

import pytest

from newsletter.problems import LINE_LENGTH, Problem, one_line


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("no source\r\n\tcould be  read\n", "no source could be read"),
        ("", "Problem"),
        ("x" * LINE_LENGTH, "x" * LINE_LENGTH),
        ("x" * (LINE_LENGTH + 1), "x" * (LINE_LENGTH - 1) + "…"),
    ],
    ids=["white space", "nothing", "as long as may be", "longer"],
)
def test_an_error_is_told_in_one_line_that_is_never_long(said: str, line: str) -> None:
    assert one_line(Problem(said)) == line
