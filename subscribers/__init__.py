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

from subscribers.addresses import InvalidAddress, identity
from subscribers.audience import (
    AUDIENCE,
    Group,
    audience_counts,
    groups,
    in_audience,
    left_with_none,
    mailable,
)
from subscribers.consent import forget_networks
from subscribers.consent import of as consents_of
from subscribers.exports import write as export_people
from subscribers.imports import NotAList, Problem, Progress
from subscribers.imports import Plan as ImportPlan
from subscribers.imports import Report as ImportReport
from subscribers.imports import run as import_people
from subscribers.people import (
    Addition,
    AddressTaken,
    Barred,
    InvalidName,
    Outcome,
    add,
    change_address,
    confirm,
    erase,
    find,
    get,
    lift,
    may_get_letters,
    page,
    state_at,
    suppress,
    suppress_subscriber,
    suppression_records,
    suppressions,
    undo,
    unsubscribe,
)
from subscribers.ports import Links
from subscribers.preferences import (
    EVERYTHING,
    InvalidPreference,
    Preferences,
    follows_of,
    is_left_with_none,
    topics_of,
)
from subscribers.preferences import get as preferences_of
from subscribers.preferences import set as set_preferences
from subscribers.suppression import Lifter, NotAllowed
from subscribers.suppression import kinds_of_many as suppressions_by_hash
from subscribers.tables import Consent, Format, Frequency, Kind, State, Subscriber, Suppression, UtcDateTime
from subscribers.tokens import Purpose, TokenError, Tokens, Trouble, split_keys

__all__ = [
    "AUDIENCE",
    "EVERYTHING",
    "Addition",
    "AddressTaken",
    "Barred",
    "Consent",
    "Format",
    "Frequency",
    "Group",
    "ImportPlan",
    "ImportReport",
    "InvalidAddress",
    "InvalidName",
    "InvalidPreference",
    "Kind",
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
    "Suppression",
    "TokenError",
    "Tokens",
    "Trouble",
    "UtcDateTime",
    "add",
    "audience_counts",
    "change_address",
    "confirm",
    "consents_of",
    "erase",
    "export_people",
    "find",
    "follows_of",
    "forget_networks",
    "get",
    "groups",
    "identity",
    "import_people",
    "in_audience",
    "is_left_with_none",
    "left_with_none",
    "lift",
    "mailable",
    "may_get_letters",
    "page",
    "preferences_of",
    "set_preferences",
    "split_keys",
    "state_at",
    "suppress",
    "suppress_subscriber",
    "suppression_records",
    "suppressions",
    "suppressions_by_hash",
    "topics_of",
    "undo",
    "unsubscribe",
]
