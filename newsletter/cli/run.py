"""`newsletter run`: keep to the schedule until told to stop, or do once what is due now."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._signals import told_to_stop
from newsletter.cli._workshop import Workshop
from newsletter.cli.build import tell_news

if TYPE_CHECKING:
    from newsletter.intake import SourceReport
    from newsletter.pipeline import Built, Press
    from newsletter.providers import Provider
    from newsletter.scheduler import Bell, Hands, Keeper
    from newsletter.sending import Halt
    from newsletter.slots import Slot
    from newsletter.store import Store

GRACE_SECONDS = 9.0
"""How long what is in flight may take once the command is told to stop; everything may be cut off without loss."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether to stay."""
    parser.add_argument("--once", action="store_true", help="do what is due now, and end; for cron and systemd timers")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Stay until SIGTERM or an interrupt, and end with 0; or look once, and end as what failed first would."""
    from newsletter.letters import Courier, send_due, tidy
    from newsletter.scheduler import Bell, Keeper
    from newsletter.sending import Halt

    if arguments.now and not arguments.once:
        raise Stop(Exit.USAGE, "a clock that stands makes nothing due; use --now together with --once")
    bell, halt = Bell(), Halt()
    try:
        with workshop.store(thorough=True) as store:
            press, provider = workshop.press(store), workshop.provider()
            hands = hands_of(workshop, store, press, provider, bell, halt)
            with told_to_stop(partial(_stop, bell, halt)):
                if arguments.once:
                    letters = partial(send_due, press, provider, lambda: bell.has_rung)
                    chores: dict[str, Callable[[], object]] = {"letters": letters, "privacy": partial(tidy, press)}
                    return _once(workshop, Keeper(press, replace(hands, chores=chores), stays=False))
                # Whoever confirms waits for a letter: an issue on its way must not stand before it.
                with Courier(press, workshop.provider(), hands.say, halt=halt):
                    Keeper(press, hands).run(bell)
    finally:
        bell.close()
    workshop.console.say("Stopped.")
    return Exit.DONE


def _once(workshop: Workshop, keeper: Keeper) -> int:
    from newsletter.cli import ENDINGS
    from newsletter.problems import one_line
    from newsletter.scheduler import Leaving

    try:
        keeper.tick()
    except Leaving:
        return Exit.DONE
    coming = keeper.announcement()
    for line in coming:
        workshop.console.detail(line)
    workshop.console.finish({"failed": [one_line(error) for error in keeper.failures], "coming": coming})
    codes = [ending for error in keeper.failures for kind, ending in ENDINGS.items() if isinstance(error, kind)]
    return (codes or [Exit.BUG])[0] if keeper.failures else Exit.DONE


def hands_of(workshop: Workshop, store: Store, press: Press, provider: Provider, bell: Bell, halt: Halt) -> Hands:
    """The work as the other commands do it; each step asks whether it is time to leave.

    Raises ConfigError, at once, for a configuration that nobody can write by.
    """
    from newsletter import pipeline
    from newsletter.scheduler import Hands

    console = workshop.console
    # What is wrong with the configuration is for the start to say, and not for the first slot.
    workshop.desk(store)

    def heard(report: SourceReport) -> None:
        bell.check()
        tell_news(console, report)

    def wrote(title: str) -> None:
        bell.check()
        console.detail(f"wrote: {title}")

    def make(slot: Slot) -> Built:
        # A desk of its own: the ceilings in money and time are those of one issue.
        desk = workshop.desk(store)
        with workshop.intake(store) as reader:
            built = pipeline.fetch_and_build(press, reader, desk, slot=slot.key, heard=heard, wrote=wrote)
        for warning in built.warnings:
            _say(workshop, warning)
        return built

    def send(number: int) -> Mapping[str, int]:
        bell.check()
        return pipeline.send(press, number, provider, halt=halt)

    return Hands(make, send, partial(_say, workshop), console.detail)


def _say(workshop: Workshop, line: str) -> None:
    workshop.console.say(line)
    # A journal or a pipe shows each line as it comes.
    (workshop.console.err if workshop.console.as_json else workshop.console.out).flush()


def _stop(bell: Bell, halt: Halt) -> None:
    """Be told to stop. Who is not gone soon after is ended: a kill loses nothing either."""
    bell.ring()
    halt.ask()
    late = threading.Timer(GRACE_SECONDS, _end)
    late.daemon = True
    late.start()


def _end() -> None:
    sys.stdout.flush()
    os._exit(int(Exit.DONE))
