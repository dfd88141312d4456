"""Facts about reading rows from files as people have them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.spreadsheets import LONGEST_LINE, MOST_JOINED, Spreadsheet
from tests.subscribers.conftest import steady

ROWS = [["email", "name"], ["ann@example.com", "Ann"], ["bob@example.com", "Bob"]]
CELL = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)


def sheet_of(folder: Path, content: bytes) -> Spreadsheet:
    file = folder / "list.csv"
    file.write_bytes(content)
    return Spreadsheet(file)


def cells_of(folder: Path, content: bytes) -> list[list[str]]:
    records = list(sheet_of(folder, content).records())
    assert [record.trouble for record in records] == [""] * len(records)
    return [record.cells for record in records]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_every_delimiter_line_end_and_encoding_is_read(tmp_path: Path, delimiter: str, end: str, encoding: str) -> None:
    rows = [*ROWS, ["joerg@example.com", "J\u00f6rg"]]
    text = end.join(delimiter.join(row) for row in rows)
    assert cells_of(tmp_path, text.encode(encoding)) == rows


def test_line_ends_may_be_mixed(tmp_path: Path) -> None:
    content = b"email,name\r\nann@example.com,Ann\rbob@example.com,Bob\n"
    assert cells_of(tmp_path, content) == ROWS


def test_a_file_may_be_of_two_encodings(tmp_path: Path) -> None:
    content = "a@example.com,J\u00f6rg\n".encode() + "b@example.com,J\u00f6rg\u2019s\n".encode("cp1252")
    assert cells_of(tmp_path, content + b"c@example.com,\x81\n") == [
        ["a@example.com", "J\u00f6rg"],
        ["b@example.com", "J\u00f6rg\u2019s"],
        ["c@example.com", "\x81"],
    ]


def test_the_line_that_names_the_separator_is_obeyed_and_no_row(tmp_path: Path) -> None:
    assert cells_of(tmp_path, b"sep=|\r\nemail|name\r\nann@example.com|Ann\r\n") == ROWS[:2]


def test_commas_inside_cells_do_not_hide_semicolons(tmp_path: Path) -> None:
    content = b"email;topics\nann@example.com;a,b,c,d\nbob@example.com;a,b,c,d\n"
    assert sheet_of(tmp_path, content).delimiter == ";"


@steady
@given(
    st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=5),
    st.sampled_from([",", ";", "\t"]),
)
def test_what_a_csv_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str
) -> None:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows([*ROWS, *rows])
    read = cells_of(tmp_path_factory.mktemp("round"), file.getvalue().encode())
    assert without_blanks(read) == without_blanks([*ROWS, *rows])


def without_blanks(rows: list[list[str]]) -> list[list[str]]:
    """Rows with nothing but space in them may or may not be rows."""
    return [row for row in rows if any(map(str.strip, row))]


def test_a_cell_in_quotes_may_hold_delimiters_quotes_and_lines(tmp_path: Path) -> None:
    content = b'email,name\nann@example.com,"Ann, ""the\nfirst"" "\nbob@example.com,Bob\n'
    assert cells_of(tmp_path, content) == [ROWS[0], ["ann@example.com", 'Ann, "the\nfirst" '], ROWS[2]]


def test_a_quote_left_open_costs_its_own_line_alone(tmp_path: Path) -> None:
    good = [f"u{number}@example.com,User" for number in range(MOST_JOINED * 3)]
    lines = ["email,name", *good[:5], '"Ann,ann@example.com', *good[5:]]
    records = list(sheet_of(tmp_path, "\n".join(lines).encode()).records())
    assert len(records) == len(lines)
    assert [(record.line, record.cells) for record in records if record.trouble] == [(7, ["Ann,ann@example.com"])]


def test_a_quote_left_open_in_the_last_cell_costs_nothing(tmp_path: Path) -> None:
    content = b'email,name\nann@example.com,"Ann\nbob@example.com,Bob\n'
    assert cells_of(tmp_path, content) == ROWS


def test_two_open_quotes_that_look_like_one_cell_are_told_with_all_lines_between(tmp_path: Path) -> None:
    lines = ['ann@example.com,"Ann', "bob@example.com,Bob", 'carol@example.com,Carol"', "dan@example.com,Dan"]
    records = list(sheet_of(tmp_path, "\n".join(["email,name", *lines]).encode()).records())
    assert [record.line for record in records if record.trouble] == [2, 3, 4]
    assert records[-1].cells == ["dan@example.com", "Dan"]


def test_a_line_that_is_too_long_costs_itself_alone_wherever_it_stands(tmp_path: Path) -> None:
    long = b"x" * (LONGEST_LINE * 12)
    content = b"\r\n".join([b"email,name", long, b"ann@example.com,Ann", long, b"bob@example.com,Bob", long])
    records = list(sheet_of(tmp_path, content).records())
    assert [record.line for record in records if record.trouble] == [2, 4, 6]
    assert [record.cells for record in records if not record.trouble] == ROWS


def test_rows_with_nothing_in_them_are_no_rows(tmp_path: Path) -> None:
    content = b"email,name\n\n ,  \n,,,\nann@example.com,Ann\n\n\n"
    sheet = sheet_of(tmp_path, content)
    assert [(record.line, record.cells) for record in sheet.records()] == [(1, ROWS[0]), (5, ROWS[1])]
    assert sheet.bytes_read == sheet.size == len(content)


@steady
@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_a_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    sheet = sheet_of(tmp_path_factory.mktemp("any"), content)
    lines = [record.line for record in sheet.records()]
    assert lines == sorted(set(lines))
