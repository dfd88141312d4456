"""`newsletter serve`: the public pages, until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import socket
from collections.abc import Awaitable, Callable
from types import FrameType

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._workshop import Workshop

GRACE_SECONDS = 8
"""How long requests that are being answered may take once the server is told to stop."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen."""
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on, in place of `web.host`")
    parser.add_argument("--port", type=int, metavar="PORT", help="port, in place of `web.port`; 0: any free one")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Serve until SIGTERM or an interrupt; what is being answered then is answered to the end."""
    from newsletter.letters import Courier
    from newsletter.web import application

    web, console = workshop.config.web, workshop.console
    place = arguments.host or web.host, port_of(arguments.port, web.port)
    with workshop.store(thorough=True) as store, listen(*place) as listener:
        host, port = listener.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        press = workshop.press(store)
        courier = Courier(press, workshop.provider(), console.note)
        console.say(f"Serving on {url}; links in mails and in the feed lead to {web.base_url}.")
        console.finish({"url": url, "base_url": web.base_url})
        console.out.flush()
        with courier:
            answer(application(press, post=courier.call), listener)
    return Exit.DONE


def answer(app: Callable[..., Awaitable[None]], listener: socket.socket) -> None:
    """Answer requests until SIGTERM or an interrupt."""
    import uvicorn

    settings = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        # A path may hold a reader's token.
        access_log=False,
        server_header=False,
        # Who a visitor is says the connection, and no header that anyone may send.
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    # uvicorn raises the signal again once it has stopped: then it must end nothing.
    signal.signal(signal.SIGTERM, _stopped)
    uvicorn.Server(settings).run(sockets=[listener])


def port_of(asked: int | None, configured: int) -> int:
    """The port to listen on. Raises Stop for one that is none."""
    port = configured if asked is None else asked
    if not 0 <= port <= 65535:
        raise Stop(Exit.USAGE, f"--port {port}: a port is a number from 0 to 65535")
    return port


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises Stop when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Stop(
            Exit.CONFIGURATION, f"{host}:{port}: {_reason(error)}; choose another with --host and --port"
        ) from error


def _reason(error: OSError) -> str:
    """What the system says, without what Python adds to it."""
    return (error.strerror or str(error)).partition(" (while")[0]


def _stopped(number: int, frame: FrameType | None) -> None:
    """Nothing: the server has stopped, and the command ends by itself."""
