"""Holds a database's schema to the code's: what is missing, too much, or of another kind, each in a few words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from newsletter.store import Store, copies


def differences(store: Store) -> list[str]:
    """What the schema of a database lacks or has beside what the code knows; nothing when it is as it should be."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlmodel import SQLModel

    with store.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
    return [words for change in found for words in _in_words(change) if words]


def _in_words(change: Any) -> Iterator[str]:
    """A step of Alembic's that would mend the schema, as what is wrong (Alembic documentation, "compare_metadata")."""
    if isinstance(change, list):
        for step in change:
            yield f"column {step[2]}.{step[3]} is of another kind"
        return
    verb, _, kind = change[0].partition("_")
    thing = change[3] if kind == "column" else change[1]
    name = f"{change[2]}.{thing.name}" if kind == "column" else str(getattr(thing, "name", None) or kind)
    if name != copies.NOTE:
        yield f"{kind.replace('_', ' ')} {name} is {'missing' if verb == 'add' else 'there and should not be'}"
