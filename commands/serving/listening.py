"""A page's server, from the command line to Ctrl-C."""

import argparse
import ipaddress
import socket
import sys
import webbrowser
from typing import TYPE_CHECKING

from digits.foundation.command import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PORT = 8028


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """Let a command line say where a page's server listens."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; 127.0.0.1, which is only for this computer"
    )
    parser.add_argument(
        "--port", type=port, default=PORT, help=f"{PORT} where nothing else is said; 0 finds a free one"
    )
    parser.add_argument("--no-browser", action="store_true", help="say the address and open no browser")


def port(text: str) -> int:
    """A port's number.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text}, expected a whole number from 0 to 65535")
    return int(text)


def check_installed(installs: str) -> None:
    """Refuse where the packages of requirements-draw.txt are not installed.

    Args:
        installs: what to type, which installs them.

    Raises:
        Refusal: names the package that is missing.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise Refusal(f"{error.name} is not installed, which the page needs; `{installs}` installs it") from error


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on.

    Raises:
        Refusal: the host has no such address, or the port is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=256)
        # asyncio, which sets this for the sockets that it makes, leaves it out for one made elsewhere: without it, the
        # second half of an answer waits 40 ms for the first one's acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (")[0]  # Python adds the address again
        raise Refusal(f"--host {host} --port {port}: {reason}; --port 0 finds a free port") from error


def is_loopback(listening: socket.socket) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def address_of(listening: socket.socket) -> str:
    """What to type into the browser of this computer."""
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(app: "ASGIApp", listening: socket.socket, arguments: argparse.Namespace, ready: str, visitors: str) -> None:
    """Answer until Ctrl-C, and open the page in the browser.

    Args:
        app: the application.
        listening: as `listen` gives it.
        arguments: as `add_arguments` has them read.
        ready: what the page is ready for.
        visitors: what others can do on the page, where they are let in.
    """
    import uvicorn

    from commands.serving.guard import Connection, Guard, Server

    config = uvicorn.Config(
        Guard(app, arguments.host), http=Connection, ws="none", access_log=False, log_level="error",
        server_header=False, timeout_graceful_shutdown=2,
    )  # fmt: skip
    address = address_of(listening)
    if not is_loopback(listening):
        print(
            f"--host {arguments.host}: whoever reaches this computer over its network can {visitors}; what is sent is "
            "not encrypted",
            file=sys.stderr,
        )
    print(f"{address} is ready {ready}. Ctrl-C ends it.", flush=True)
    if not arguments.no_browser:
        webbrowser.open(address)
    Server(config).run(sockets=[listening])
