"""What a signal means while mail is being handed over: stop in order, not in the middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newsletter.sending import Halt


@contextmanager
def halting() -> Iterator[Halt]:
    """Until its end, SIGTERM and SIGINT ask for a halt and do not end the process; a second one asks for it at once.

    Outside the main thread no handler can be set (Python documentation, signal): there it only yields the halt.
    """
    from newsletter.sending import Halt

    halt = Halt()

    def ask(number: int, frame: FrameType | None) -> None:
        halt.ask()

    if threading.current_thread() is not threading.main_thread():
        yield halt
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield halt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
