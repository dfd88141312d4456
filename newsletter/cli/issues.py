"""`newsletter issues`: list and show issues, change, approve or reject a draft, stop a sending, correct what is out."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from newsletter.cli._console import Console
from newsletter.cli._exits import Exit, Stop
from newsletter.cli._options import everywhere
from newsletter.cli._workshop import Workshop
from newsletter.cli.build import pieces_json, show_draft, tell_warnings

if TYPE_CHECKING:
    from newsletter.store import Store
    from newsletter.store.tables import IssueRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action each."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="all issues, newest first", parents=[everywhere()])
    show = actions.add_parser("show", help="an issue's pieces", parents=[everywhere()])
    show.add_argument("issue", type=int, metavar="N")
    show.add_argument(
        "--why", action="store_true", help="the score of every candidate, chosen or left out, with its reasons"
    )
    for name, line in (("drop", "leave a piece out of a draft"), ("pin", "have a piece in a draft whatever its score")):
        rule = actions.add_parser(name, help=line, parents=[everywhere()])
        rule.add_argument("issue", type=int, metavar="N")
        rule.add_argument("piece", type=int, metavar="PIECE", help="number of the piece, as `show --why` prints it")
    for name, line in (
        ("approve", "let `newsletter run` send a draft as it is now"),
        ("rebuild", "choose and write a draft again"),
        ("reject", "throw a draft away"),
    ):
        actions.add_parser(name, help=line, parents=[everywhere()]).add_argument("issue", type=int, metavar="N")
    for name, line in (
        ("pause", "let no further mail of an issue leave"),
        ("resume", "let a paused issue go on"),
        ("cancel", "send no more of an issue, for good; its page and its pieces stay public"),
    ):
        actions.add_parser(name, help=line, parents=[everywhere()]).add_argument("issue", type=int, metavar="N")
    correct = actions.add_parser("correct", help="say on a public issue's page what was wrong", parents=[everywhere()])
    correct.add_argument("issue", type=int, metavar="N")
    correct.add_argument("piece", type=int, metavar="PIECE", help="number of the piece, as `show` prints it")
    correct.add_argument("--note", default="", metavar="TEXT", help="what readers should know")
    correct.add_argument("--withdraw", action="store_true", help="leave nothing of the piece but its title")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Do one action."""
    reads = arguments.action in ("list", "show")
    with workshop.store(read_only=reads) as store:
        return int(_ACTIONS[arguments.action](arguments, workshop, store))


def _list(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import deliveries, issues

    console, listed = workshop.console, list[dict[str, Any]]()
    with store.read() as session:
        standings = deliveries.standings(session)
        for row in issues.listing(session):
            counts = deliveries.counts(session, row.id or 0)
            listed.append(
                {
                    "issue": row.id,
                    "date": row.date.isoformat(),
                    "kind": row.kind,
                    "state": row.state,
                    "sending": standings.get(row.id or 0),
                    "title": row.title,
                    "deliveries": counts,
                }
            )
    for entry in listed:
        counted = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in entry["deliveries"].items())
        console.say(
            f"{entry['issue']:4}  {entry['date']}  {_state(entry):9} {entry['title']}"
            + (f"  ({counted})" if counted else "")
        )
    if not listed:
        console.say("There is no issue yet; `newsletter build` makes a draft.")
    console.finish({"issues": listed})
    return Exit.DONE


def _state(entry: dict[str, Any]) -> str:
    """One word on where an issue stands: that its sending was stopped is more than that it is frozen."""
    from newsletter import deliveries

    stopped = entry["sending"] in (deliveries.PAUSED, deliveries.CANCELLED)
    return str(entry["sending"] if stopped else entry["state"])


def _show(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers
    from newsletter import deliveries, issues, pipeline

    console = workshop.console
    with store.read() as session:
        row, issue = issues.row_of(session, arguments.issue), issues.load(session, arguments.issue)
        rulings = issues.rulings(session, arguments.issue)
        if issue.is_round_up:
            editions = deliveries.editions_of(session, issue.number)
            issue = replace(issue, pieces=tuple(pipeline.entries_of(session, issue, editions.values()).values()))
        votes = subscribers.votes(session, [entry.piece.id for entry in issue.pieces])
    console.say(f"Issue {issue.number} ({issue.state}): {issue.title}")
    for number, entry in enumerate(issue.pieces, 1):
        console.say(f"{number:3}. {entry.piece.title} (piece {entry.piece.id}, {entry.piece.source.name})")
        if not arguments.why:
            console.say(f"     {entry.why}")
        if said := votes.get(entry.piece.id):
            console.say(f"     Readers: worth it {said.worth}, not worth it {said.not_worth}")
    if arguments.why:
        _why(console, row)
    result = {
        "issue": issue.number,
        "state": issue.state,
        "title": issue.title,
        "pieces": pieces_json(issue),
        "rulings": rulings,
        "votes": {piece: {"worth": said.worth, "not_worth": said.not_worth} for piece, said in votes.items()},
    }
    console.finish({**result, "selection": row.selection} if arguments.why else result)
    return Exit.DONE


def _why(console: Console, row: IssueRow) -> None:
    """The whole selection: each candidate with its score, the parts of the score, and the verdict."""
    for name, choices in (("Chosen", row.selection["chosen"]), ("Left out", row.selection["left_out"])):
        console.say()
        console.say(console.paint(name, "bold"))
        for choice in choices:
            topics = f" [{', '.join(choice['topics'])}]" if choice["topics"] else ""
            console.say(
                f"{choice['score']:6.2f}  {choice['title']} (piece {choice['piece']}, {choice['source']}){topics}"
            )
            console.say(f"        {choice['why']}")
            for line in {choice.get("said", ""): 0, choice.get("note", ""): 1}:
                if line and line != choice["why"]:
                    console.say(f"        {line}")
            for part in choice["parts"]:
                console.say(f"        {part['points']:+6.2f} {part['name']}: {part['why']}")


def _rule(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import issues

    with store.write() as session:
        issues.rule(
            session, arguments.issue, arguments.piece, issues.DROP if arguments.action == "drop" else issues.PIN
        )
    return _rebuild(arguments, workshop, store)


def _rebuild(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import issues, pipeline

    console = workshop.console
    with store.read() as session:
        newest = issues.draft_number(session)
        if issues.row_of(session, arguments.issue).state != issues.DRAFT or newest != arguments.issue:
            raise Stop(Exit.USAGE, f"issue {arguments.issue} is not the draft; `newsletter issues list` shows which is")
    built = pipeline.build(workshop.press(store), workshop.desk(store), anew=True)
    tell_warnings(console, built)
    if built.number is None:
        console.say(f"No issue: {built.reason}. The draft is gone, its pieces are free.")
        console.finish({"issue": None, "reason": built.reason})
        return Exit.DONE
    with store.read() as session:
        issue = issues.load(session, built.number)
    show_draft(console, issue, changed=True)
    console.finish({"issue": issue.number, "title": issue.title, "pieces": pieces_json(issue)})
    return Exit.DONE


def _approve(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import issues

    with store.write() as session:
        issues.approve(session, arguments.issue, workshop.clocks.now())
        title = issues.row_of(session, arguments.issue).title
    workshop.console.say(f"Issue {arguments.issue} ({title}) is approved as it is now; changed, it needs that again.")
    workshop.console.finish({"issue": arguments.issue, "title": title, "approved": True})
    return Exit.DONE


def _reject(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import issues

    with store.write() as session:
        issues.reject(session, arguments.issue, workshop.clocks.now())
    workshop.console.say(f"Issue {arguments.issue} is rejected; its pieces are free for the next one.")
    workshop.console.finish({"issue": arguments.issue, "state": issues.REJECTED})
    return Exit.DONE


def _pause(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import deliveries

    number = arguments.issue
    with store.write() as session:
        deliveries.pause(session, number)
    return _stand(workshop, store, number, f"paused; `newsletter issues resume {number}` lets it go on")


def _resume(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import deliveries

    number = arguments.issue
    with store.write() as session:
        deliveries.resume(session, number)
    return _stand(workshop, store, number, f"free to go on; `newsletter send {number}` hands over what is due")


def _cancel(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import deliveries

    number, console = arguments.issue, workshop.console
    if console.is_terminal and not workshop.confirm(f"Send no more of issue {number}, for good?"):
        raise Stop(Exit.GATE, "nothing was cancelled")
    with store.write() as session:
        lost = deliveries.cancel(session, number, workshop.clocks.real())
    people = f"{lost:,} {'reader does' if lost == 1 else 'readers do'} not get it"
    return _stand(workshop, store, number, f"cancelled: {people}; its page and its pieces stay public")


def _stand(workshop: Workshop, store: Store, number: int, text: str) -> int:
    """Say where a sending stands now."""
    from newsletter import deliveries

    with store.read() as session:
        state = deliveries.standing(session, number).state
        counts = deliveries.counts(session, number)
    workshop.console.say(f"Issue {number} is {text}.")
    workshop.console.finish({"issue": number, "sending": state, "states": counts})
    return Exit.DONE


def _correct(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import issues

    number, piece = arguments.issue, arguments.piece
    now = workshop.clocks.now()
    with store.write() as session:
        said = issues.correct(session, number, piece, arguments.note, arguments.withdraw, now)
    page = f"{workshop.config.web.base_url}/issues/{number}"
    done = "is withdrawn from" if said.is_withdrawal else "is corrected on"
    workshop.console.say(f"Piece {piece} {done} {page} and in the feed. Mails that are out stay as they are.")
    if said.is_withdrawal:
        _tell_who_waits(workshop, store, number)
    result = {"issue": number, "piece": piece, "kind": said.kind, "note": said.note, "page": page}
    workshop.console.finish(result)
    return Exit.DONE


def _tell_who_waits(workshop: Workshop, store: Store, number: int) -> None:
    """Say what becomes of mails of an issue that are not out yet when a piece of it is withdrawn."""
    from newsletter import deliveries

    with store.read() as session:
        counts = deliveries.counts(session, number)
    if waiting := sum(counts.get(state, 0) for state in (deliveries.PLANNED, deliveries.CLAIMED)):
        workshop.console.say(
            f"{waiting} readers still wait for issue {number}, and get it without that piece. If it is being sent at "
            f"this moment: `newsletter issues pause {number}`, then `newsletter issues resume {number}`."
        )


_ACTIONS = {
    "list": _list,
    "show": _show,
    "drop": _rule,
    "pin": _rule,
    "approve": _approve,
    "rebuild": _rebuild,
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "reject": _reject,
    "correct": _correct,
}
