"""The front door of subscribers: all that other packages may use of people and what they agreed to.

A freeze is one statement. :func:`groups` says which kinds of readers there are; the caller maps each
``(follows, format)`` to an edition, writes that map to a table of its own, and then::

    INSERT INTO delivery (...) SELECT subscriber.id, map.edition, ...
    FROM subscriber JOIN map ON map.follows = subscriber.follows AND map.format = subscriber.format
    WHERE <in_audience(now, frequency)>

A claim joins :class:`Subscriber` and puts :func:`mailable` into its own WHERE, so that a no said since the
freeze holds. Who was erased has no row: such deliveries never join. A message needs ``id``, ``address``,
``name``, ``format`` and ``follows`` of the row.
"""

from subscribers.addresses import InvalidAddress
from subscribers.audience import (
    AUDIENCE,
    Group,
    audience_counts,
    groups,
    in_audience,
    left_with_none,
    mailable,
)
from subscribers.carrying import carry_over
from subscribers.consent import of as consents_of
from subscribers.exports import write as export_people
from subscribers.feedback import Votes, votes
from subscribers.imports import NotAList, Problem, Progress
from subscribers.imports import Plan as ImportPlan
from subscribers.imports import Report as ImportReport
from subscribers.imports import run as import_people
from subscribers.letters import KEY as LETTER_KEY
from subscribers.letters import ClaimedLetter
from subscribers.letters import accepted as letter_accepted
from subscribers.letters import claim as claim_letters
from subscribers.letters import counts as letter_counts
from subscribers.letters import failed as letter_failed
from subscribers.letters import next_try as next_letter_at
from subscribers.letters import overdue as overdue_letters
from subscribers.letters import post as post_letter
from subscribers.letters import put_off as put_letter_off
from subscribers.letters import unsettled as unsettled_letters
from subscribers.people import (
    InvalidName,
    Outcome,
    add,
    change_address,
    erase,
    find,
    get,
    lift,
    page,
    state_at,
    suppress,
    suppress_subscriber,
    suppression_records,
    suppressions,
    undo,
    unsubscribe,
)
from subscribers.ports import Letter, Links
from subscribers.preferences import (
    Preferences,
    follows_of,
    topics_of,
)
from subscribers.preferences import get as preferences_of
from subscribers.preferences import set as set_preferences
from subscribers.retention import tidy
from subscribers.suppression import Lifter, NotAllowed
from subscribers.suppression import kinds_of_many as suppressions_by_hash
from subscribers.tables import Consent, Format, Frequency, Kind, State, Subscriber, UtcDateTime
from subscribers.tokens import Purpose, TokenError, Tokens, Trouble, split_keys

__all__ = [
    "AUDIENCE",
    "LETTER_KEY",
    "ClaimedLetter",
    "Consent",
    "Format",
    "Frequency",
    "Group",
    "ImportPlan",
    "ImportReport",
    "InvalidAddress",
    "InvalidName",
    "Kind",
    "Letter",
    "Lifter",
    "Links",
    "NotAList",
    "NotAllowed",
    "Outcome",
    "Preferences",
    "Problem",
    "Progress",
    "Purpose",
    "State",
    "Subscriber",
    "TokenError",
    "Tokens",
    "Trouble",
    "UtcDateTime",
    "Votes",
    "add",
    "audience_counts",
    "carry_over",
    "change_address",
    "claim_letters",
    "consents_of",
    "erase",
    "export_people",
    "find",
    "follows_of",
    "get",
    "groups",
    "import_people",
    "in_audience",
    "left_with_none",
    "letter_accepted",
    "letter_counts",
    "letter_failed",
    "lift",
    "mailable",
    "next_letter_at",
    "overdue_letters",
    "page",
    "post_letter",
    "preferences_of",
    "put_letter_off",
    "set_preferences",
    "split_keys",
    "state_at",
    "suppress",
    "suppress_subscriber",
    "suppression_records",
    "suppressions",
    "suppressions_by_hash",
    "tidy",
    "topics_of",
    "undo",
    "unsettled_letters",
    "unsubscribe",
    "votes",
]
