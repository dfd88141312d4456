"""The fixed texts by their keys, so that a test goes by what a text is for and not by how it reads today."""

from __future__ import annotations

import tomllib

from newsletter.config import Config
from newsletter.rendering import templates_folder

WORDS = tomllib.loads((templates_folder() / "words" / "en.toml").read_text("utf-8"))


def say(key: str, **values: str) -> str:
    """The text of a key; dots lead into tables: ``letters.confirm.button``. The newsletter's name is filled in."""
    found = WORDS
    for part in key.split("."):
        found = found[part]
    return str(found).format(name=Config().newsletter.name, **values)
