"""The command line: one file per command, and the only place that picks concrete parts.

A command's module is imported when that command runs, and imports what it needs inside its functions: `--help` must
answer before a vendor package could be loaded.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._options import everywhere
from newsletter.masking import mask_addresses, mask_password
from newsletter.problems import Misconfigured, Misused, Problem, Stopped, TryLater

COMMANDS = {
    "demo": "run the whole job on bundled samples, offline and without a key",
    "init": "make a configuration to start from",
    "sources": "list, add, test and import sources",
    "subscribers": "list, add, import, export and remove the people who get it",
    "fetch": "ask every source what is new",
    "build": "select, write and compose today's draft",
    "preview": "show what would go out, on a page that follows your changes",
    "send": "send today's issue, or show with --dry-run what would be sent",
    "run": "send each issue and round-up at its time, until stopped; with --once what is due now",
    "status": "show how the sending stands, and the way out of whatever is stuck",
    "deliveries": "list and resolve what is in doubt, and trust a restored database",
    "events": "read bounces, complaints and unsubscribe mails; import and list what was reported",
    "issues": "list and show issues, change, approve or reject a draft, stop a sending, correct what is out",
    "costs": "what the writing cost, by issue and by piece",
    "serve": "serve the public pages",
    "db": "back up, restore and check the database",
    "config": "show and check the configuration",
    "version": "print the version",
}
"""Every command with one line of help; each is the file of its name in this folder."""

ENDINGS = {
    Misconfigured: Exit.CONFIGURATION,
    Misused: Exit.USAGE,
    Stopped: Exit.GATE,
    TryLater: Exit.TRY_LATER,
}
"""How a command ends on each kind of problem."""

DISK_TROUBLES = {
    errno.ENOSPC: "make room there, then run the same command again",
    errno.EDQUOT: "make room there, then run the same command again",
    errno.EFBIG: "make room there, then run the same command again",
    errno.EROFS: "make it writable, or set data.folder",
    errno.EACCES: "make it writable for this user, or set data.folder",
    errno.EPERM: "make it writable for this user, or set data.folder",
    errno.EIO: "the disk fails; see to it, then run `newsletter db check`",
}
"""What the owner can do when the disk, and not the program, is what is wrong."""

EPILOG = """exit codes: 0 done (also: nothing new), 1 bug, 2 usage, 3 configuration, 4 done in part,
5 stopped by a gate, 75 try later, 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; nothing but SystemExit of the argument parser leaves here."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser(words).parse_args(words)
    if arguments.command is None:
        parser([]).print_help()
        return Exit.USAGE
    _log(arguments)
    try:
        return int(_run(arguments))
    except Stop as stop:
        return _fail(arguments, stop.code, str(stop))
    except Problem as problem:
        return _fail(arguments, ENDINGS[next(kind for kind in ENDINGS if isinstance(problem, kind))], str(problem))
    except KeyboardInterrupt:
        return _fail(
            arguments, Exit.INTERRUPTED, "interrupted; what was committed stays, run the same command to go on"
        )
    except BrokenPipeError:
        # The reader of our output went away (`| head`): no error, and nothing more can be said (signal(7), SIGPIPE).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except OSError as error:
        if error.errno not in DISK_TROUBLES:
            return _bug(arguments, error)
        place = f"{error.filename}: " if error.filename else ""
        return _fail(arguments, Exit.CONFIGURATION, f"{place}{error.strerror}; {DISK_TROUBLES[error.errno]}")
    except Exception as error:  # the last edge: whatever comes here is a bug, and is said in one line
        return _bug(arguments, error)


def parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; a command that is not among ``words`` has its line of help, and no arguments: they take time."""
    top = argparse.ArgumentParser(
        prog="newsletter",
        description="A self-hosted newsletter that reads the field for its owner.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[everywhere(None)],
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, line in COMMANDS.items():
        if name not in words:
            commands.add_parser(name, help=line, add_help=False)
            continue
        sub = commands.add_parser(
            name,
            help=line,
            description=f"{line[:1].upper()}{line[1:]}.",
            parents=[everywhere()],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module = importlib.import_module(f"newsletter.cli.{name}")
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return top


def _run(arguments: argparse.Namespace) -> int:
    from newsletter.cli._workshop import Workshop

    return int(arguments.run(arguments, Workshop(arguments)))


def _log(arguments: argparse.Namespace) -> None:
    # Vendors log headers and bodies at DEBUG, keys among them: their loggers never go below WARNING.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("newsletter").setLevel(logging.DEBUG if arguments.debug else logging.WARNING)


def _bug(arguments: argparse.Namespace, error: Exception) -> int:
    said = mask_password(mask_addresses(f"{type(error).__name__}: {error}"))
    return _fail(arguments, Exit.BUG, f"{said}; this is a bug, --debug shows where")


def _fail(arguments: argparse.Namespace, code: Exit, message: str) -> int:
    if arguments.debug:
        traceback.print_exc()
    for line in message.splitlines() or [""]:
        print(f"newsletter: {line}", file=sys.stderr)
    if arguments.json:
        import json

        print(json.dumps({"error": message, "exit": int(code)}, ensure_ascii=False))
    return code
