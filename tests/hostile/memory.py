"""How much memory a process has held: of ourselves since a moment, and of a parser's child since it began."""

from __future__ import annotations

import contextlib
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The most that this process has held at a time since it began or since `forget_peak`; 0 where no one tells."""
    return _figure("VmHWM:")


def held_bytes() -> int:
    """What this process holds now; 0 where no one tells."""
    return _figure("VmRSS:")


def forget_peak() -> None:
    """Let the peak be counted from now on (proc(5), ``clear_refs``)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _figure(name: str) -> int:
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)
