"""The provider that writes each message to a file: the default, so that nothing leaves by accident.

A message is written beside its place, synced, and moved there. Its name comes from the delivery's key, so handing
over the same message again leaves one file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from newsletter.messages import to_bytes
from newsletter.providers import Accepted, NotAllowed, Outcome
from newsletter.values import Message


@dataclass(frozen=True, slots=True)
class Files:
    """Writes `.eml` files into a folder, which it makes."""

    folder: Path
    name: str = "files"
    batch: int = 50
    repeats_safely: bool = True

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Write each message. Raises NotAllowed when the folder cannot be written to."""
        for message in messages:
            try:
                yield Accepted(message.key, self._write(message).name)
            except OSError as error:
                raise NotAllowed(f"{self.folder}: {error.strerror}; make room or set delivery.outbox") from error

    def _write(self, message: Message) -> Path:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self.folder / f"{file_name(message.key)}.eml"
        partial = target.with_suffix(".part")
        try:
            with partial.open("wb") as file:
                file.write(to_bytes(message))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except OSError:
            # On a full disk what is left of it would take the room that is missing.
            partial.unlink(missing_ok=True)
            raise
        return target


def file_name(key: str) -> str:
    """The key as a file name: letters, digits, dot and dash stay."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", key)
