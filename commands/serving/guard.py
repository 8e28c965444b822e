"""Who may ask, how much, and until when. What is refused here has a status and a sentence, unheard by the application.

A page of another site that is open in the same browser can send requests here, under its own name (`Origin`) or, with
a name of its own that it lets point to this computer (DNS rebinding), under that one (`Host`). Both are looked at.
"""

import asyncio
import ipaddress
import json
import logging
import socket
from contextlib import suppress
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import h11
import uvicorn
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 256
SLOWEST = 15  # seconds that a request may take to arrive, and an answer to be taken
MOST_BYTES = 8 * 2**20  # of a request's body
MOST_HELD = 16 * MOST_BYTES  # of all bodies that are waiting for their end or their answer
MOST_UNREAD = 2**15  # bytes of answers that the system takes for a client; left alone, it takes megabytes

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """Passes on to the application what comes from its own page or from no page, whole, and not too large.

    Args:
        app: the application.
        host: the name or address to listen on, by which the page can be called too.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = {"localhost", host.lower()}
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] == "lifespan":  # the application begins and ends
            return await self._app(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        async def refuse(status: int, sentence: str) -> None:
            await JSONResponse({"error": sentence}, status)(scope, receive, send_guarded)

        headers = Headers(scope=scope)
        if not self._is_called_rightly(headers.get("host", "")):
            return await refuse(403, "the Host header names another computer, expected localhost or an IP address")
        if not is_of_this_page(scope, headers):
            return await refuse(403, "the request comes from a page of another site, which can neither read nor write")
        if not is_short(headers.get("content-length", "0")):
            return await refuse(413, f"what was sent is too large, expected {MOST_BYTES:,} bytes at most")

        body = bytearray()
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part, more = message.get("body", b""), message.get("more_body", False)
                body += part
                self._held += len(part)
                if len(body) > MOST_BYTES:
                    return await refuse(413, f"what was sent is too large, expected {MOST_BYTES:,} bytes at most")
                if self._held > MOST_HELD:
                    return await refuse(503, "too much is on its way at once; send it again in a second")
            whole = iter([{"type": "http.request", "body": bytes(body), "more_body": False}])

            async def receive_whole() -> Message:
                return next(whole, None) or await receive()

            return await self._app(scope, receive_whole, send_guarded)
        finally:
            self._held -= len(body)

    def _is_called_rightly(self, host: str) -> bool:
        """Whether the page was called by a name that no other site can have: an IP address is nobody else's."""
        with suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
            return True
        return False


def is_of_this_page(scope: Scope, headers: Headers) -> bool:
    """Whether no page of another site has sent a request, as far as the browser tells; a link to the page is let in."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"{scope['scheme']}://{headers['host'].lower()}":
        return False
    link = scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site", "none") in {"none", "same-origin"} or link


def is_short(content_length: str) -> bool:
    """Whether a Content-Length is of a body that is read; without one, the body is counted as it comes."""
    return len(content_length) < 20 and content_length.isdigit() and int(content_length) <= MOST_BYTES


class Server(uvicorn.Server):
    """Uvicorn's server, which after Ctrl-C says nothing of the answers that it cuts off."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, on a signal."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().handle_exit(sig, frame)


class Connection(H11Protocol):
    """Uvicorn's connection, that a client has to itself for no longer than SLOWEST without a whole request."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Uvicorn's own `limit_concurrency` would say no in two words, and not before a whole request has come."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_UNREAD)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(503, "Service Unavailable", f"{MOST_CONNECTIONS} connections are open, which is the most")
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Part of a request, or its end."""
        if not self._refused:
            super().data_received(data)
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        super().connection_lost(exc)
        for timer in (self._deadline, self._unread):
            if timer:
                timer.cancel()

    def on_response_complete(self) -> None:
        """An answer is on its way, and of the next request there may be a part already."""
        super().on_response_complete()
        self._watch()
        self._end_of_unread()

    def pause_writing(self) -> None:
        """The client does not read what it asked for: for SLOWEST at most, then its place is another's."""
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(SLOWEST, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        self._end_of_unread()

    def _end_of_unread(self) -> None:
        """The client has all that it asked for: one that asks in advance wins no time by reading a little."""
        if self._unread and not self.flow.write_paused and not self.conn.trailing_data[0]:
            self._unread.cancel()
            self._unread = None

    def _watch(self) -> None:
        """Begin to wait for the end of a request, or end it."""
        if self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            late = (408, "Request Timeout", f"the request took longer than {SLOWEST} seconds to arrive")
            self._deadline = self._deadline or self.loop.call_later(SLOWEST, self._end, *late)
        elif self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:
        """Uvicorn's own fails where the mistake is in the body of a request that it answers already."""
        self._end(400, "Bad Request", "this is no HTTP request that can be read")

    def _end(self, status: int, phrase: str, sentence: str) -> None:
        if not self.cycle or self.cycle.response_complete or not self.cycle.response_started:
            self._refuse(status, phrase, sentence)
        else:
            self.transport.close()

    def _refuse(self, status: int, phrase: str, sentence: str) -> None:
        """Answer without the application, then close; a second later, for data underway would cut the answer off."""
        self._refused = True
        if self.cycle:
            self.cycle.disconnected = True  # what the application may still say is not sent
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
        content = json.dumps({"error": sentence})
        self.transport.write(
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
            f"Connection: close\r\n\r\n{content}".encode()
        )
        with suppress(OSError):  # the client has gone
            self.transport.write_eof()
        self.loop.call_later(1, self.transport.abort)
