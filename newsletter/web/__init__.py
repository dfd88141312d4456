"""The web: the public archive, and whatever else is mounted beside it, behind one set of headers.

Handlers are plain functions: Starlette runs them in its pool of threads, where the database may block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast
from urllib.parse import urlsplit

from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlmodel import select
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import subscribers.pages
from newsletter.pipeline import Press
from newsletter.rendering import Renderer
from newsletter.store import Store, StoreBusy, StoreError
from newsletter.store.tables import IssueRow
from newsletter.web import hooks
from newsletter.web.archive import Archive
from newsletter.web.readers import desk

NOT_FOR_KEEPING = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
"""What an answer that is no page carries: the address that was asked for may hold a reader's token."""

RETRY_SECONDS = 60
"""When to come back after a page could not be shown."""


def application(press: Press, more: Sequence[BaseRoute] = (), *, post: Callable[[], None] = lambda: None) -> ASGIApp:
    """The web application: the archive, readers' pages, providers' reports, `/healthz`, `/readyz`.

    ``more`` routes come first; ``post`` is called when letters wait to be carried. A ``web.base_url`` with a path is
    answered with and without that path, since some proxies strip it.
    """
    pages = [*subscribers.pages.routes(desk(press, post)), *Archive(press).routes()]
    routes = [*more, *pages, *hooks.routes(press), *_health(press.store)]
    prefix = urlsplit(press.config.web.base_url).path
    # Redirects for a slash at the end repeat the Host that the visitor claims; each router has its own.
    within = Mount(prefix, Router(routes, redirect_slashes=False))
    app = Starlette(routes=[within, *routes] if prefix else routes)
    app.router.redirect_slashes = False
    troubles = _Troubles(press.renderer)
    app.add_exception_handler(HTTPException, troubles.refused)
    for kind in (StoreError, StoreBusy, OperationalError, NoConnection):
        app.add_exception_handler(kind, troubles.out_of_reach)
    app.add_exception_handler(Exception, troubles.broken)
    return _Shield(app, headers(press.renderer))


def headers(renderer: Renderer) -> Mapping[str, str]:
    """What every answer carries unless a handler said otherwise: nothing runs or loads but what is ours."""
    policy = {
        "default-src": "'none'",
        "style-src": renderer.style_source(),
        "img-src": "'self'",  # the mark in the browser's tab
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


class PageFailed(Exception):
    """A page could not be made: the kind of the error, and its traceback.

    It stands in for the error itself, whose message may repeat an address or a link's token, and which the server
    writes to its log.
    """


class _Shield:
    """Adds headers to every answer, also those of Starlette's outermost layer, which no middleware sees.

    What goes wrong is raised as PageFailed, once it is answered.
    """

    def __init__(self, app: ASGIApp, added: Mapping[str, str]) -> None:
        self._app = app
        self._added = added

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in self._added.items():
                    answered.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception as error:
            raise PageFailed(type(error).__name__).with_traceback(error.__traceback__) from None


class _Troubles:
    """Answers where there is no page, or none can be made."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def refused(self, request: Request, error: Exception) -> Response:
        refusal = cast(HTTPException, error)
        if refusal.status_code == 404:
            return HTMLResponse(self._renderer.page("not_found.html"), 404, NOT_FOR_KEEPING)
        added = {**(refusal.headers or {}), **NOT_FOR_KEEPING}
        return PlainTextResponse(f"{refusal.detail}\n", refusal.status_code, added)

    def out_of_reach(self, request: Request, error: Exception) -> Response:
        return self._problem(503)

    def broken(self, request: Request, error: Exception) -> Response:
        return self._problem(500)

    def _problem(self, status: int) -> Response:
        return HTMLResponse(
            self._renderer.page("problem.html"),
            status,
            {"Retry-After": str(RETRY_SECONDS), **NOT_FOR_KEEPING},
        )


def _health(store: Store) -> list[BaseRoute]:
    def alive(request: Request) -> Response:
        return _plain("ok", 200)

    def ready(request: Request) -> Response:
        try:
            with store.read() as session:
                session.exec(select(IssueRow.id).limit(1)).first()
        except (StoreError, StoreBusy, SQLAlchemyError) as error:
            return _plain(f"the database is out of reach ({type(error).__name__})", 503)
        return _plain("ok", 200)

    return [Route("/healthz", alive), Route("/readyz", ready)]


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(f"{text}\n", status, {"Cache-Control": "no-store"})
