"""Rows of a CSV file as spreadsheets and other services really write them, without ever holding it whole.

A file may be UTF-8, UTF-16 or Latin-1 (as Windows has it), even from line to line; cells are parted by
commas, semicolons or tabs; lines end as they please. What cannot be read costs that line alone: a line beyond
``LONGEST_LINE``, or a quote left open, which would swallow the rest of the file in an ordinary reader.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

LONGEST_LINE = 65_536
"""Bytes; a longer line is refused unread."""

MOST_JOINED = 20
"""A cell in quotes may hold this many lines."""

_CHUNK = 262_144
_HEAD = 4096
_SAMPLE = 200
_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s,;@]+@[^\s,;@]+")
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

Line = tuple[int, str | None]
"""Number, from 1, and text without line end; no text when the line is too long."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the file: its cells, or why it could not be read. ``line`` is its first, from 1."""

    line: int
    cells: list[str]
    trouble: str = ""


class Spreadsheet:
    """A CSV file. ``encoding`` and ``delimiter`` are what its beginning says, ``sample`` its first rows.

    Raises OSError when it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size
        self.bytes_read = 0
        with path.open("rb") as file:
            head = file.read(_HEAD)
        self.is_archive = head.startswith(b"PK\x03\x04")
        self.encoding, self._mark = _encoding_of(head)
        texts = self._first_texts()
        self.delimiter, self._skips_first = _delimiter_of(texts)
        rows = (_lenient(text, self.delimiter) for text in texts[self._skips_first :])
        self.sample = [row for row in rows if any(row)]

    def records(self) -> Iterator[Record]:
        """All rows with anything in them, the header's included. ``bytes_read`` grows meanwhile."""
        with self._path.open("rb") as file:
            lines = self._texts(file)
            if self._skips_first:
                next(lines)
            width = len(self.sample[0]) if self.sample else 1
            yield from _records(lines, self.delimiter, width)

    def _first_texts(self) -> list[str]:
        with self._path.open("rb") as file:
            texts = (text for _, text in self._texts(file) if text is not None)
            return list(islice(texts, _SAMPLE))

    def _texts(self, file: BinaryIO) -> Iterator[Line]:
        for number, line in enumerate(_lines(self._chunks(file)), 1):
            yield number, None if line is None else _decode(line)

    def _chunks(self, file: BinaryIO) -> Iterator[bytes]:
        """The file in UTF-8, or as it is where it is a single-byte encoding, without its byte order mark."""
        file.seek(self._mark)
        self.bytes_read = self._mark
        decoder = None if self.encoding == "utf-8" else codecs.getincrementaldecoder(self.encoding)("replace")
        while chunk := file.read(_CHUNK):
            self.bytes_read += len(chunk)
            yield chunk if decoder is None else decoder.decode(chunk).encode("utf-8", "replace")


def _encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding that the beginning of a file shows, and the length of its byte order mark.

    Without a mark, UTF-16 shows by the zero half of its ASCII characters. All else is read as UTF-8, line by
    line.
    """
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding, len(mark)
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) * 4 > len(head) > 0:
        return ("utf-16-le" if odd > even else "utf-16-be"), 0
    return "utf-8", 0


def _delimiter_of(texts: list[str]) -> tuple[str, int]:
    """What parts the cells: what leaves the most of them plain addresses, then what makes the most of them.

    Also how many lines at the top say nothing but that (``sep=;``, which spreadsheet programs write).
    """
    if texts and (said := _SEPARATOR_LINE.fullmatch(texts[0].strip("\r\n"))):
        return said[1], 1
    counts = {delimiter: _promise(texts, delimiter) for delimiter in _DELIMITERS}
    return max(_DELIMITERS, key=lambda delimiter: counts[delimiter]), 0


def _promise(texts: list[str], delimiter: str) -> tuple[int, int]:
    rows = [_lenient(text, delimiter) for text in texts]
    addresses = sum(1 for row in rows for cell in row if _ADDRESS.fullmatch(cell.strip()))
    return addresses, sum(map(len, rows))


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Lines without their ends, None for one that is too long. At most a chunk and a line are held."""
    rest, skipping = b"", False
    for chunk in chunks:
        lines = (rest + chunk).splitlines(keepends=True)
        # A carriage return at the very end may be the first half of a line end.
        rest = b"" if not lines or lines[-1].endswith(b"\n") else lines.pop()
        for line in lines:
            yield None if skipping or len(line) > LONGEST_LINE else line.rstrip(b"\r\n")
            skipping = False
        if len(rest) > LONGEST_LINE and not rest.endswith(b"\r"):
            rest, skipping = b"", True
    if rest or skipping:
        yield None if skipping or len(rest) > LONGEST_LINE else rest.rstrip(b"\r\n")


def _decode(line: bytes) -> str:
    """A line as UTF-8, else as Windows writes Latin-1, else as Latin-1, which never fails."""
    for encoding in ("utf-8", "cp1252"):
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            continue
    return line.decode("latin-1")


def _records(lines: Iterator[Line], delimiter: str, width: int) -> Iterator[Record]:
    waiting: deque[Line] = deque()
    while True:
        line = waiting.popleft() if waiting else next(lines, None)
        if line is None:
            return
        number, text = line
        if text is None:
            yield Record(number, [], f"the line is longer than {LONGEST_LINE:,} bytes")
        elif '"' in text:
            yield from _quoted(number, text, _Ahead(lines, waiting), delimiter, width)
        elif text.strip(f"{delimiter} "):
            yield Record(number, text.split(delimiter))


class _Ahead:
    """The lines after the present one: looked at, and given back when they are rows of their own."""

    def __init__(self, lines: Iterator[Line], waiting: deque[Line]) -> None:
        self._lines = lines
        self._waiting = waiting
        self.taken: list[Line] = []

    def after(self, text: str) -> Iterator[str]:
        """That text, then the following lines for as long as one cell may go on."""
        size = len(text)
        yield f"{text}\n"
        while len(self.taken) < MOST_JOINED and size <= LONGEST_LINE:
            line = self._waiting.popleft() if self._waiting else next(self._lines, None)
            if line is None:
                return
            self.taken.append(line)
            if line[1] is None:
                return
            size += len(line[1])
            yield f"{line[1]}\n"

    def give_back(self) -> None:
        """The lines looked at are rows of their own."""
        self._waiting.extendleft(reversed(self.taken))


def _quoted(number: int, text: str, ahead: _Ahead, delimiter: str, width: int) -> Iterator[Record]:
    """The row that begins with a line in which there are quotes."""
    try:
        cells = next(csv.reader(ahead.after(text), delimiter=delimiter, strict=True))
    except csv.Error:
        ahead.give_back()
        cells = _lenient(text, delimiter)
        trouble = "" if len(cells) == width else "a quote is left open or stands in the middle of a cell"
        yield Record(number, cells, trouble)
        return
    if not any(_is_a_row(line, delimiter, width) for _, line in ahead.taken):
        yield Record(number, cells)
        return
    # Two quotes left open look like one cell of several lines. Nobody can tell, so the owner has to.
    for inner in range(number, ahead.taken[-1][0] + 1):
        yield Record(inner, [], f"it is inside a cell that a quote opened on line {number}")


def _is_a_row(text: str | None, delimiter: str, width: int) -> bool:
    """Whether a line inside a cell looks like a row of its own."""
    return text is not None and "@" in text and len(text.split(delimiter)) == width


def _lenient(text: str, delimiter: str) -> list[str]:
    """The cells of one line, whatever its quotes."""
    return next(csv.reader([text], delimiter=delimiter), [])
