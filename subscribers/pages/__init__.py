"""The pages that readers reach by the links in their mail: leaving, undoing that, choosing what they get.

No page needs a cookie, a login or a script: the token in the link is the whole authority, and each is good for
one purpose. Mail scanners follow links, so GET and HEAD show and never act; POST acts.
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from subscribers.pages.desk import Desk
from subscribers.pages.preferences import PreferencesPage
from subscribers.pages.undo import UndoPage
from subscribers.pages.unsubscribe import UnsubscribePage
from subscribers.ports import IssueView, TopicView

__all__ = ["Desk", "IssueView", "TopicView", "routes"]


def routes(desk: Desk) -> list[BaseRoute]:
    """Every address of these pages."""
    return [
        route
        for path, page in (
            ("/u/{token}", UnsubscribePage(desk)),
            ("/n/{token}", UndoPage(desk)),
            ("/p/{token}", PreferencesPage(desk)),
        )
        for route in desk.routes(path, page)
    ]
