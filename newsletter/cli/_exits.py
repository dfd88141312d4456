"""How a command ends: the exit codes, and the exception that carries one out of any depth."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the exit code of every command means. 75 is EX_TEMPFAIL of sysexits.h, 130 is 128 + SIGINT."""

    DONE = 0
    BUG = 1
    USAGE = 2
    CONFIGURATION = 3
    IN_PART = 4
    GATE = 5
    TRY_LATER = 75
    INTERRUPTED = 130


class Stop(Exception):
    """Ends a command with one clear line and an exit code."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code
