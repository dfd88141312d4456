"""What a signal means while mail is being handed over: stop in order, not in the middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newsletter.sending import Halt


@contextmanager
def halting() -> Iterator[Halt]:
    """Until its end, SIGTERM and SIGINT ask for a halt and do not end the process; a second one asks for it at once."""
    from newsletter.sending import Halt

    halt = Halt()
    with told_to_stop(halt.ask):
        yield halt


@contextmanager
def told_to_stop(told: Callable[[], None]) -> Iterator[None]:
    """Until its end, SIGTERM and SIGINT call ``told`` and do not end the process.

    Outside the main thread no handler can be set (Python documentation, signal): there nothing is changed.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        told()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
