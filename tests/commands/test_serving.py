import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest

from tests.commands.serving import ask, in_process

pytest.importorskip("uvicorn", reason="needs the drawing page's packages: make .venv/installed-draw")

from commands.serving import guard


async def says_nothing(scope: object, receive: Callable, send: Callable) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def taken(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    connection.settimeout(10)
    return b"".join(iter(lambda: connection.recv(2**16), b""))


HALVES = {
    "nothing": b"",
    "half a header": b"POST / HTTP/1.1\r\nHost: localhost\r\nX-",
    "half a body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
}


@pytest.mark.parametrize("sent", HALVES.values(), ids=HALVES)
def test_who_sends_too_slowly_is_told_so(sent: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "SLOWEST", 0.3)
    with in_process(says_nothing) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        came = taken(connection)
        assert came.endswith(b'\r\n\r\n{"error": "the request took longer than 0.3 seconds to arrive"}'), came


def test_who_sends_a_second_request_too_slowly_is_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "SLOWEST", 0.3)
    with in_process(says_nothing) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 204 " in connection.recv(2**16)
        connection.sendall(b"GET / HT")
        assert b" 408 " in taken(connection)


def test_who_begins_a_second_request_with_the_first_one_is_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "SLOWEST", 0.3)
    with in_process(says_nothing) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        both = (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nPOST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
        )
        connection.sendall(both + b"abc")
        assert b" 408 " in taken(connection)


def test_a_drop_at_a_time_does_not_win_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "SLOWEST", 0.5)
    with in_process(says_nothing) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n")
        connection.settimeout(0.05)
        began = time.monotonic()
        came = b""
        while not came:
            assert time.monotonic() - began < 10
            connection.send(b".")
            try:
                came = connection.recv(100)
            except TimeoutError:
                continue
    assert b" 408 " in came


def test_a_request_that_came_in_time_may_be_followed_by_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "SLOWEST", 0.5)
    with in_process(says_nothing) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(4):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(2**16).startswith(b"HTTP/1.1 204")
            time.sleep(0.2)


def test_more_connections_than_there_are_places_are_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "MOST_CONNECTIONS", 4)
    with in_process(says_nothing) as port, ExitStack() as stack:
        waiting = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(4)]
        time.sleep(0.2)
        refused = ask(port, "GET", "/")
        assert (refused.status, refused.error) == (503, "4 connections are open, which is the most")
        waiting.pop().close()
        time.sleep(0.2)
        assert ask(port, "GET", "/").status == 204


def test_more_bytes_than_may_wait_are_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "MOST_HELD", 1000)
    with in_process(says_nothing) as port, socket.create_connection(("127.0.0.1", port)) as waiting:
        waiting.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n" + bytes(900))
        time.sleep(0.2)
        assert ask(port, "POST", "/", bytes(200)).status == 503
        waiting.sendall(bytes(99))
        waiting.recv(2**16)
        assert ask(port, "POST", "/", bytes(200)).status == 204


@pytest.mark.slow
def test_who_reads_no_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "SLOWEST", 0.3)
    with in_process(says_nothing) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # which answers fill at once
        connection.connect(("127.0.0.1", port))
        connection.settimeout(60)
        with pytest.raises(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_000_000)


def test_who_asks_in_advance_and_reads_nothing_is_not_answered_into_the_systems_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "SLOWEST", 0.3)
    ended, lost = threading.Event(), guard.Connection.connection_lost
    monkeypatch.setattr(guard.Connection, "connection_lost", lambda *of: (lost(*of), ended.set()))
    with in_process(says_nothing) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3000)
        assert ended.wait(60)
        connection.settimeout(10)
        came = b""
        with suppress(ConnectionError):
            came = b"".join(iter(lambda: connection.recv(2**16), b""))
        assert 0 < came.count(b" 204 ") < 1500
