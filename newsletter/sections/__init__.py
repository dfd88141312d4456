"""What we say about a piece: one file per section, found by listing this folder.

A section's file holds ``SPEC``. A new section is a new file, and its name in ``writing.sections``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass

from newsletter.values import SectionShape


@dataclass(frozen=True, slots=True)
class SectionSpec:
    """How a section is headed, asked for and shaped.

    ``heading`` is empty for the section that opens a summary. ``asked`` and ``least`` count blocks: paragraphs or list
    items that a model is asked for, and without which the section is not complete; ``published`` is the most that a
    reader sees. ``needs_quotes`` says whether every claim must be borne out by the source's words;
    ``is_suggestion`` marks what is ours and not the source's.
    """

    key: str
    heading: str
    ask: str
    shape: SectionShape
    asked: int
    published: int
    least: int
    needs_quotes: bool = True
    is_suggestion: bool = False


def names() -> tuple[str, ...]:
    """Keys of all sections: the files of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(keys: Iterable[str]) -> tuple[SectionSpec, ...]:
    """The sections of those keys, in that order. Raises KeyError, with the key, for one that has no file."""
    specs = []
    for key in keys:
        if key not in names():
            raise KeyError(key)
        spec: SectionSpec = importlib.import_module(f"{__name__}.{key}").SPEC
        specs.append(spec)
    return tuple(specs)
