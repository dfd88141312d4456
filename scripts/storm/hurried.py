"""`python -m scripts.storm.hurried WORDS` is `newsletter WORDS` by a clock that runs much faster than the machine's.

What the product waits for by the machine's running time (its look at the clock, the next try of what failed, the
provider's answer) is as much shorter. Nothing else is changed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from newsletter import cli, letters, scheduler
from newsletter.cli._workshop import Workshop
from newsletter.deliveries import Clocks
from newsletter.providers import Provider
from newsletter.providers.sendgrid import SendGrid
from scripts.storm.clock import Clock

PATIENCE_SECONDS = 2.0
"""How long an answer of SendGrid's may take."""


def main(words: Sequence[str]) -> int:
    """Run a command of the newsletter."""
    clock = Clock.of(os.environ)

    class Hurried(Workshop):
        @cached_property
        def clocks(self) -> Clocks:
            return Clocks(now=clock.now, real=clock.now)

        def sendgrid(self, *, sandbox: bool = False) -> Provider:
            made = super().sendgrid(sandbox=sandbox)
            return replace(made, timeout_seconds=PATIENCE_SECONDS) if isinstance(made, SendGrid) else made

    # What `cli.main` makes, and the waits that the modules look up when they begin one.
    for module, name, value in (
        ("newsletter.cli._workshop", "Workshop", Hurried),
        (scheduler.__name__, "TICK", scheduler.TICK / clock.speed),
        (scheduler.__name__, "FIRST_WAIT", scheduler.FIRST_WAIT / clock.speed),
        (scheduler.__name__, "LONGEST_WAIT", scheduler.LONGEST_WAIT / clock.speed),
        (letters.__name__, "LOOK_SECONDS", letters.LOOK_SECONDS / clock.speed),
    ):
        setattr(sys.modules[module], name, value)
    return cli.main(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
