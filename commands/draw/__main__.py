"""Open a page to draw on: the trained network reads as you draw, and a click keeps the drawing as data.

Takes models/model.keras or --model, and what comes in its place; gives data/own/images/CLASS/*.png. Ctrl-C ends it.
"""

import argparse
import ipaddress
import socket
import sys
import webbrowser
from pathlib import Path

from digits.foundation.command import Refusal, run
from digits.foundation.parameters import read_parameters

PORT = 8028
MODEL = Path("models/model.keras")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m commands.draw", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; 127.0.0.1, which is only for this computer"
    )
    parser.add_argument(
        "--port", type=port, default=PORT, help=f"{PORT} where nothing else is said; 0 finds a free one"
    )
    parser.add_argument(
        "--model", type=Path, default=MODEL, metavar="FILE.keras",
        help=f"the network that answers, {MODEL} where nothing else is said; a plain Keras model of MNIST's images too",
    )  # fmt: skip
    parser.add_argument("--no-browser", action="store_true", help="say the address and open no browser")
    return parser.parse_args()


def port(text: str) -> int:
    """A port's number.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text}, expected a whole number from 0 to 65535")
    return int(text)


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


def main() -> None:
    """Load the network, then listen until Ctrl-C."""
    arguments = read_arguments()
    parameters = read_parameters()
    try:
        import fastapi  # noqa: F401
        import uvicorn
    except ModuleNotFoundError as error:
        raise Refusal(f"{error.name} is not installed, which the page needs; `make draw` installs it") from error
    with listen(arguments.host, arguments.port) as listening:  # a port that is taken is said before the seconds go by
        from commands.draw.guard import Connection, Guard, Server
        from commands.draw.reader import Reader
        from commands.draw.server import application
        from digits.network import reproducibility

        reproducibility.compute_reproducibly(parameters.seed, parameters.threads, parameters.instructions)
        reader = Reader(arguments.model)
        if reader.assumed:
            print(reader.assumed, file=sys.stderr)
        app = Guard(application(reader), arguments.host)
        config = uvicorn.Config(
            app, http=Connection, ws="none", lifespan="off", access_log=False, log_level="error", server_header=False,
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        address = address_of(listening)
        if not is_loopback(listening):
            print(
                f"--host {arguments.host}: whoever reaches this computer over its network can draw, see what was kept, "
                "and keep; what is sent is not encrypted",
                file=sys.stderr,
            )
        print(f"{address} is ready to draw on: {reader.told()}. Ctrl-C ends it.", flush=True)
        if not arguments.no_browser:
            webbrowser.open(address)
        Server(config).run(sockets=[listening])


if __name__ == "__main__":
    run(main)
