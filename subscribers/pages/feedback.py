"""Was a piece worth your time: one link a piece in the mail, two buttons on the page, and the last word counts."""

from __future__ import annotations

from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from subscribers import feedback
from subscribers.pages.desk import Desk
from subscribers.ports import PieceView
from subscribers.tables import Subscriber
from subscribers.tokens import Purpose, TokenError, Trouble

WORDS = {"yes": True, "no": False}


class FeedbackPage:
    """The page of one piece. A link is good for all pieces of its issue, each by its number there."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        """The buttons, and what the reader said before."""
        reader, piece = self._about(request)
        with self._desk.read() as session:
            return self._shown(session, reader, piece, is_new=False)

    def act(self, request: Request, form: FormData) -> Response:
        """Keep the reader's word. A second one replaces it."""
        reader, piece = self._about(request)
        word = WORDS.get(str(form.get("worth")))
        with self._desk.write() as session:
            if word is not None and session.get(Subscriber, reader) is not None:
                feedback.give(session, reader, piece.id, word, now=self._desk.now())
            return self._shown(session, reader, piece, is_new=word is not None)

    def _shown(self, session: Session, reader: int, piece: PieceView, *, is_new: bool) -> Response:
        if session.get(Subscriber, reader) is None:
            return self._desk.nobody()
        said = feedback.given(session, reader, piece.id)
        return self._desk.page("feedback.html", piece=piece, said=said, is_new=is_new)

    def _about(self, request: Request) -> tuple[int, PieceView]:
        """Whose word it is, on which piece. Raises TokenError when there is no such piece, or it was withdrawn."""
        reader, *rest = self._desk.numbers(Purpose.FEEDBACK, request)
        piece = self._desk.catalogue.piece(rest[0], request.path_params["number"]) if len(rest) == 1 else None
        if piece is None:
            raise TokenError(Trouble.MALFORMED)
        return reader, piece
