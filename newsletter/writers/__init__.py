"""Who writes summaries: one file per writer, all behind one small protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from newsletter.problems import Stopped
from newsletter.values import Piece, Summary


class WritingError(Exception):
    """No summary of this piece can be had; the text says why. The next candidate moves up."""


class WriterUnavailable(Stopped):
    """This writer can write nothing now (key refused, model unknown): the issue stops, and the text says the mend."""


class Writer(Protocol):
    """Writes one summary from one piece, whole."""

    @property
    def name(self) -> str:
        """The file of this folder."""
        ...

    def fingerprint(self) -> str:
        """Names all that shapes a summary but the piece: writer, model, prompt version, sections."""
        ...

    def write(self, piece: Piece) -> Summary:
        """Write a summary. Raises WritingError for this piece alone, WriterUnavailable when no piece can be written."""
        ...


@runtime_checkable
class Repairer(Protocol):
    """A writer that can be told what does not hold in what it wrote."""

    def repair(self, piece: Piece, summary: Summary, problems: Sequence[str]) -> Summary:
        """Write once more, given each problem in a few words. Raises as `Writer.write` does."""
        ...


def source_hash(piece: Piece) -> str:
    """Names all of a piece that a summary is written from; it changes with them."""
    parts = (piece.title, piece.source.name, piece.origin.value, *piece.authors, piece.text)
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()
