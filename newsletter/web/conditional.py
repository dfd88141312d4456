"""Answers that a client may already have: validators on what we send, and 304 for who holds the same."""

from __future__ import annotations

import datetime as dt
import hashlib
from email.utils import format_datetime, parsedate_to_datetime

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response


def answer(request: Request, body: str, media_type: str, modified: dt.datetime | None = None) -> Response:
    """The body with an ETag and, when ``modified`` is known, Last-Modified; or 304 when the client has it.

    Caches must ask each time (RFC 9111, 5.2.2.4), so that a withdrawal is seen at once.
    """
    data = body.encode()
    headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
    if modified is not None:
        headers["Last-Modified"] = format_datetime(modified.astimezone(dt.UTC), usegmt=True)
    if has_it(request.headers, headers["ETag"], modified):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def has_it(asked: Headers, etag: str, modified: dt.datetime | None) -> bool:
    """Whether a request's conditions say that the client holds this version (RFC 9110, 13.2.2)."""
    if "if-none-match" in asked:
        held = [tag.strip().removeprefix("W/") for tag in ",".join(asked.getlist("if-none-match")).split(",")]
        return etag in held or held == ["*"]
    since = _date(asked.get("if-modified-since", ""))
    return since is not None and modified is not None and modified.replace(microsecond=0) <= since


def _date(text: str) -> dt.datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the second for a zone of many digits
        return None
    return found if found.tzinfo else None
