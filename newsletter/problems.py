"""What goes wrong in a way that someone can mend. The text of each says what, why and the command that mends it.

Each part raises a kind of its own, derived from one of these; the edge knows by them how to end.
"""

LINE_LENGTH = 300


class Problem(Exception):
    """Something that its reader can mend."""


class Misconfigured(Problem):
    """The configuration, the environment or the database cannot be used as they are."""


class Misused(Problem):
    """The command asks for something that there is not, or that cannot be done to it."""


class Stopped(Problem):
    """A gate is closed: going on would be wrong until someone decides."""


class TryLater(Problem):
    """It cannot be done now and may well work later."""


def one_line(error: Exception) -> str:
    """What an error says, on one line of a length that a log can bear; its kind, when it says nothing."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"
