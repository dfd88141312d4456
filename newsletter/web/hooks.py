"""Where providers post what became of mails: SendGrid's signed event webhook."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from newsletter import events, pipeline
from newsletter.config import ConfigError
from newsletter.events import sendgrid
from newsletter.pipeline import Press

LONGEST_BODY = 1_000_000
"""Bytes of a post. SendGrid sends what it has after 30 seconds, or at 768 kB (its documentation, "Event Webhook")."""


def routes(press: Press) -> list[BaseRoute]:
    """`POST /hooks/sendgrid`, when its key is configured. Raises ConfigError for a key that is none."""
    key = press.config.delivery.webhook_key
    if not key:
        return []
    try:
        verifier = sendgrid.Verifier(key)
    except sendgrid.BadKey as error:
        raise ConfigError(f"`delivery.webhook_key`: {error}; copy it again") from error
    return [Route("/hooks/sendgrid", _SendGrid(press, verifier), methods=["POST"])]


class _SendGrid:
    """Takes posts of SendGrid's. What is answered with 200 is committed: SendGrid repeats anything else."""

    def __init__(self, press: Press, verifier: sendgrid.Verifier) -> None:
        self._press, self._verifier = press, verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await _body(request)
        if body is None:
            answer: Response = _said("larger than anything that SendGrid posts", 413)
        else:
            answer = await run_in_threadpool(self._take, request, body)
        await answer(scope, receive, send)

    def _take(self, request: Request, body: bytes) -> Response:
        signature = request.headers.get(sendgrid.SIGNATURE_HEADER, "")
        timestamp = request.headers.get(sendgrid.TIMESTAMP_HEADER, "")
        now = self._press.clocks.real()
        if not self._verifier.is_genuine(body, signature, timestamp):
            return _said("not signed by SendGrid", 403)
        if not sendgrid.is_fresh(timestamp, now):
            return _said("signed too long ago, or by a clock that is ahead", 403)
        try:
            found = sendgrid.parse(body, pipeline.sender(self._press.config).list_id, now)
        except sendgrid.Unreadable as error:
            return _said(str(error), 400)
        with self._press.store.write() as session:
            events.record(session, found, now)
        return Response(status_code=200)


async def _body(request: Request) -> bytes | None:
    """The body, or None for one that is too large: no more of it is read."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:20]) > LONGEST_BODY:
        return None
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            return None
    return body


def _said(text: str, status: int) -> Response:
    return PlainTextResponse(f"{text}\n", status, {"Cache-Control": "no-store"})
