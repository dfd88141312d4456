"""The pages that people use: asking for the newsletter, confirming, choosing what comes, leaving, their own data.

No page needs a cookie, a login or a script: the token in a link is the whole authority, and each is good for one
purpose. Mail scanners follow links, so GET and HEAD show and never act; POST acts.
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from subscribers.pages.confirm import ConfirmPage
from subscribers.pages.data import AddressPage, DataLetterPage, DataPage
from subscribers.pages.desk import Desk, Page
from subscribers.pages.feedback import FeedbackPage
from subscribers.pages.lost import LostPage
from subscribers.pages.preferences import PreferencesPage
from subscribers.pages.subscribe import SubscribePage
from subscribers.pages.undo import UndoPage
from subscribers.pages.unsubscribe import UnsubscribePage
from subscribers.ports import IssueView, MailView, PieceView, TopicView

__all__ = ["Desk", "IssueView", "MailView", "PieceView", "TopicView", "routes"]


def routes(desk: Desk) -> list[BaseRoute]:
    """Every address of these pages. The letter of a link's path is that of its purpose."""
    pages: dict[str, Page] = {
        "/subscribe": SubscribePage(desk),
        "/c/{token}": ConfirmPage(desk),
        "/p/{token}": PreferencesPage(desk),
        "/p/{token}/data": DataLetterPage(desk),
        "/u/{token}": UnsubscribePage(desk),
        "/n/{token}": UndoPage(desk),
        "/f/{token}/{number:int}": FeedbackPage(desk),
        "/d/{token}": DataPage(desk),
        "/a/{token}": AddressPage(desk),
        "/lost": LostPage(desk),
    }
    return [route for path, page in pages.items() for route in desk.routes(path, page)]
