"""What a command says, and where: results on stdout, everything else on stderr; with --json the other way round."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

_CODES = {"bold": "1", "dim": "2", "green": "32", "yellow": "33", "red": "31"}
LABEL_WIDTH = 11


@dataclass(slots=True)
class Console:
    """Prints for people, or one JSON value for programs. ``level`` is -1 (quiet), 0, or 1 (verbose)."""

    as_json: bool = False
    level: int = 0
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    def say(self, text: str = "") -> None:
        """A line of the result."""
        if self.level >= 0 or not self.as_json:
            print(text, file=self.err if self.as_json else self.out)

    def row(self, label: str, text: str) -> None:
        """A labelled line of the result; longer text is wrapped beside its label, as far in as it begins."""
        indent = " " * (len(text) - len(text.lstrip()))
        lines = textwrap.wrap(
            text,
            self.width - LABEL_WIDTH,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
        for number, line in enumerate(lines):
            head = self.paint(label.ljust(LABEL_WIDTH), "bold") if not number and label else " " * LABEL_WIDTH
            self.say(f"{head}{line}".rstrip())

    def note(self, text: str) -> None:
        """Something on the way to the result; not with -q."""
        if self.level >= 0:
            print(text, file=self.err)

    def detail(self, text: str) -> None:
        """Something for -v."""
        if self.level > 0:
            print(text, file=self.err)

    def warn(self, text: str) -> None:
        """Something the owner should know, even with -q."""
        print(self.paint(text, "yellow", self.err), file=self.err)

    def finish(self, result: dict[str, Any]) -> None:
        """The whole result for programs, with --json; nothing otherwise."""
        if self.as_json:
            json.dump(result, self.out, ensure_ascii=False, indent=2, default=str)
            self.out.write("\n")

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar with rate and time left while something long runs; on a terminal only. Yields what counts further."""
        if not self.err.isatty() or self.level < 0 or total < 1:
            yield lambda count: None
            return
        done, began = 0, time.monotonic()

        def advance(count: int) -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - began, 0.001)
            bar = "#" * (30 * done // total)
            left = f"{(total - done) / rate:.0f} s left" if rate else ""
            print(
                f"\r{label} [{bar:<30}] {done:,}/{total:,}, {rate:,.0f}/s, {left}\x1b[K",
                end="",
                file=self.err,
                flush=True,
            )

        try:
            yield advance
        finally:
            print("\r\x1b[K", end="", file=self.err, flush=True)

    def paint(self, text: str, style: str, stream: TextIO | None = None) -> str:
        """The text in a style, on a terminal that wants colour (https://no-color.org)."""
        stream = stream or (self.err if self.as_json else self.out)
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
            return text
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m"

    @property
    def width(self) -> int:
        """Columns to write in: those of the terminal between 60 and 100, else 100."""
        try:
            return max(60, min(100, os.get_terminal_size(self.out.fileno()).columns))
        except OSError:
            return 100

    @property
    def is_terminal(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin is not None and sys.stdin.isatty() and self.err.isatty()
