"""`newsletter send --sandbox`: what SendGrid says of an issue's messages, without delivering any of them."""

from __future__ import annotations

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._workshop import Workshop


def run(number: int | None, workshop: Workshop) -> int:
    """Have SendGrid check a message of each edition. Nothing is recorded, and no reader is sent anything."""
    from newsletter import previews
    from newsletter.providers import Accepted

    console, provider = workshop.console, workshop.sendgrid(sandbox=True)
    if number is None:
        raise Stop(Exit.USAGE, "there is no draft and no issue on its way; `newsletter build` makes a draft")
    with workshop.store(read_only=True) as store, store.read() as session:
        copies = previews.copies(workshop.press(store), session, number)
    outcomes = list(provider.hand_over(copies))
    problems = [getattr(outcome, "why", "") for outcome in outcomes if not isinstance(outcome, Accepted)]
    for problem in problems:
        console.row("Refused", problem)
    editions = f"{len(copies)} {'edition' if len(copies) == 1 else 'editions'}"
    console.say(f"SendGrid checked {editions} of issue {number} and delivered nothing; {len(problems)} had a problem.")
    console.finish({"issue": number, "checked": len(copies), "problems": problems})
    return Exit.GATE if problems else Exit.DONE
