"""Where pieces come from: one file per kind of source, found by listing this folder; the file name is the
kind.

A kind's file has four functions, the `Kind` protocol. A new kind is a new file that has them.
"""

from __future__ import annotations

import datetime as dt
import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any, Protocol, cast

from newsletter.values import Source


class NotAFeed(Exception):
    """What a source answered holds no list of pieces. The text is one line that says what it is instead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A piece as its source lists it, before its text is made.

    ``title``, ``authors`` and ``categories`` are single lines of plain text, with tags and entities resolved.
    ``url`` is absolute, http or https, or empty. ``published`` is aware and in UTC, or None; it may lie in
    the future. ``content`` and ``summary`` are HTML as the source sent it, not yet cleaned; either may be
    empty. ``is_abstract`` marks a paper of which only the abstract is to be had: its page is not fetched.
    """

    title: str
    url: str
    guid: str
    authors: tuple[str, ...]
    published: dt.datetime | None
    categories: tuple[str, ...]
    content: str
    summary: str
    is_abstract: bool
    source: Source


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer of a source holds. ``skipped`` says, a line each, what was left out and why."""

    title: str
    kind: str
    entries: tuple[Entry, ...]
    skipped: tuple[str, ...] = ()


class Parse(Protocol):
    """Calls a function by its name, ``package.module:function``; `newsletter.sandbox.Sandbox.call` is one."""

    def __call__(self, function: str, /, *arguments: Any, **named: Any) -> Any: ...


class Kind(Protocol):
    """What a file of this folder offers."""

    def parse(self, body: bytes, content_type: str = "", url: str = "") -> dict[str, Any]:
        """What the body holds, as JSON can carry it; runs in the sandbox.

        ``content_type`` is the whole header, ``url`` where the body came from. Always there: ``refusal`` (why
        it is no source of this kind, or empty) and ``title``. Kinds that read the same format share one
        function.
        """

    def certainty(self, parsed: dict[str, Any]) -> int:
        """How sure it is that this is of its kind: 0 it is not, 1 it can be read so, 2 it is."""

    def entries(self, parsed: dict[str, Any], source: Source) -> tuple[list[Entry], list[str]]:
        """The entries, in the source's order, and notes on what was left out."""

    def adopt(self, entry: Entry) -> Entry:
        """An entry of any kind, put right when it is one of this kind's pieces; else unchanged."""


def kinds() -> tuple[str, ...]:
    """All kinds: the files of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(kind: str) -> Kind:
    """The functions of that kind. Raises KeyError, with the kind, when it has no file."""
    if kind not in kinds():
        raise KeyError(kind)
    return cast(Kind, importlib.import_module(f"{__name__}.{kind}"))


def read(source: Source, body: bytes, content_type: str, parse: Parse, url: str = "") -> Reading:
    """The entries of what a source answered.

    ``content_type`` is the header with its parameters; ``url`` is where redirects led, by default the
    source's own. A source that names its kind is read as that; else the surest kind is taken.

    Raises NotAFeed, KeyError for an unknown kind, and what ``parse`` raises.
    """
    kind, parsed = _recognised(source, body, content_type, parse, url or source.url)
    entries, notes = load(kind).entries(parsed, source)
    return Reading(parsed["title"] or source.name, kind, tuple(map(_adopted, entries)), tuple(notes))


def _recognised(source: Source, body: bytes, content_type: str, parse: Parse, url: str) -> tuple[str, dict[str, Any]]:
    """The kind of an answer, and the answer parsed. Each parser runs once, however many kinds share it."""
    parsed: dict[str, dict[str, Any]] = {}
    best, found, surest = "", {"refusal": "no kind of source can read the answer"}, -1
    for kind in (source.kind,) if source.kind else kinds():
        module = load(kind)
        parser = f"{module.parse.__module__}:{module.parse.__name__}"
        if parser not in parsed:
            parsed[parser] = parse(parser, body, content_type=content_type, url=url)
        certainty = module.certainty(parsed[parser])
        if certainty > surest:
            best, found, surest = kind, parsed[parser], certainty
    if found["refusal"]:
        raise NotAFeed(found["refusal"])
    return best, found


def _adopted(entry: Entry) -> Entry:
    for kind in kinds():
        entry = load(kind).adopt(entry)
    return entry
