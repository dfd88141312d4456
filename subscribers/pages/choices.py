"""Reading the choices that several forms share: everything, or topics."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import FormData

from subscribers import preferences
from subscribers.preferences import InvalidPreference

EVERYTHING, CHOSEN = "everything", "chosen"


def asked_topics(form: FormData, old: frozenset[str] | None, known: Sequence[str]) -> frozenset[str] | None:
    """The topics that a form asks for; None for everything. Raises InvalidPreference.

    A newsletter that has no topics shows no choice, and the old one is kept.
    """
    follow = form.get("follow")
    if not known:
        return old
    if follow == EVERYTHING:
        return None
    if follow != CHOSEN:
        raise InvalidPreference("neither everything nor a choice")
    return preferences.choose(old, list(map(str, form.getlist("topic"))), known)
