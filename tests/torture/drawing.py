"""The drawing page's server under load and under abuse: it answers all the while, and no one gets out of its folder.

In Chromium, that it answers afterwards is what tests/commands/test_draw_page.py does.
"""

import hashlib
import io
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.serving import PNG, Server, ask, encoded, serving, seven
from tests.conftest import Repository

pytest.importorskip("uvicorn", reason="needs the drawing page's packages: make .venv/installed-draw")

CLIENTS, SECONDS = 64, 60
REQUESTS = 10_000
GROWTH = 64 * 2**20  # bytes of memory that may go to what is not given back


@pytest.fixture
def server(repository: Repository) -> Iterator[Server]:
    with serving(repository) as started:
        yield started


def state(repository: Repository) -> dict[str, str]:
    """The SHA-256 of each file that no drawing is to change."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in repository.path.parent.rglob("*")
        if path.is_file() and not path.is_relative_to(repository.path / "data/own/images") and path.suffix != ".pyc"
    }


def assert_answers(server: Server) -> None:
    assert server.ask("GET", "/").status == 200
    assert server.ask("POST", "/predict", seven(), PNG).json["says"]
    assert server.process.poll() is None
    assert "".join(server.printed[1:]) == ""


def test_64_clients_for_a_minute(server: Server):
    def client(number: int) -> Counter:
        statuses: Counter = Counter()
        while time.monotonic() < end:
            drawing = seven((number + statuses.total()) % 40)
            statuses[ask(server.port, "POST", "/predict", drawing, PNG).status] += 1
        return statuses

    ask(server.port, "POST", "/predict", seven(), PNG)
    before, end = server.memory(), time.monotonic() + SECONDS
    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = sum(pool.map(client, range(CLIENTS)), Counter())
    print(
        f"{statuses[200] / SECONDS:.0f} answers a second, {(server.memory() - before) / 2**20:.0f} MB more than before"
    )
    assert statuses.keys() == {200}
    assert server.memory() - before < GROWTH
    assert_answers(server)


def test_256_slow_senders_keep_nobody_out_for_longer_than_they_may(server: Server):
    waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(400)]
    for connection in waiting:
        try:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n")
        except OSError:  # one of those that found no place
            continue
    end = time.monotonic() + 25
    statuses: Counter = Counter()
    while time.monotonic() < end and not statuses[200]:
        try:
            statuses[ask(server.port, "GET", "/health").status] += 1
        except OSError:
            statuses["reset"] += 1
        time.sleep(0.5)
    print(statuses)
    assert statuses[200]
    assert statuses[503]
    for connection in waiting:
        connection.close()
    assert_answers(server)


PICTURES = [encoded(Image.open(io.BytesIO(seven())).convert("RGB"), kind) for kind in
            ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")]  # fmt: skip
METHODS = [
    *[b"POST"] * 20,
    *[b"GET"] * 4,
    b"DELETE",
    b"PUT",
    b"HEAD",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"CONNECT",
    b"get",
    b"\x00",
]
PATHS = [
    b"/predict",
    b"/predict",
    b"/keep?class=7",
    b"/keep?class=7",
    b"/keep?class=../../7",
    b"/keep?class=%00",
    b"/keep",
    b"/keep?class=%2e%2e%2f%2e%2e",
    b"/keep?class=7&class=..",
    b"/kept/../../params.yaml",
    b"/kept/7/%2e%2e%2f%2e%2e",
    b"/kept/%2e%2e/README.md",
    b"/kept/7/0123456789abcdef.png",
    b"//evil.example/",
    b"http://evil.example/",
    b"*",
    b"",
    b"/\xff\xfe",
    b"/%ff%fe%00",
    b"/" + b"a" * 70_000,
    b"/health",
    b"/openapi.json",
    b"/page.js/..",
    b"/?" + b"x=1&" * 999,
    b"/kept/<script>alert(1)</script>/\r\nX-Evil: 1",
]
HEADERS = [
    b"Content-Type: image/png", b"Content-Type: multipart/form-data; boundary=x", b"Content-Type: text/html",
    b"Content-Type: " + b"a" * 9999, b"Origin: null", b"Origin: http://evil.example",
    b"Host: evil.example", b"Host: \xff",
    b"Expect: 100-continue", b"Connection: Upgrade\r\nUpgrade: websocket", b"Connection: close", b"Content-Length: -1",
    b"Content-Length: 99999999999999999999", b"Content-Length: 5", b"Content-Length: 1\r\nContent-Length: 2",
    b"X: \x00", b": empty", b" folded: x", b"\r\n".join([b"X: y"] * 999),
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Encoding: gzip", b"no colon",
    b"Range: bytes=0-99999", b"If-None-Match: *", b"Sec-Fetch-Site: cross-site",
]  # fmt: skip


def mutated(chance: random.Random, content: bytes) -> bytes:
    """An image file with a few bytes replaced, inserted, taken out or cut off."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(min(len(changed), chance.choice([40, len(changed)])) or 1)
        changed[at : at + chance.randint(0, 5)] = chance.randbytes(chance.randint(0, 5))
    return bytes(changed[: chance.choice([len(changed), len(changed), chance.randrange(len(changed) or 1)])])


def body(chance: random.Random) -> bytes:
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="../../x.png"\r\n\r\n%s\r\n--x--'
    return chance.choice([
        lambda: b"",
        lambda: chance.randbytes(chance.randint(1, 3000)),
        lambda: form % chance.choice(PICTURES),
        lambda: b'{"class": "7", "__proto__": {}}',
        lambda: b"5\r\nhello\r\nzz\r\n",
        *[lambda: mutated(chance, chance.choice(PICTURES))] * 5,
    ])()  # fmt: skip


def malformed(seed: int) -> bytes:
    """A request that differs from a right one in something, or in all."""
    chance = random.Random(seed)
    content = body(chance)
    headers = [b"Host: localhost", *chance.sample(HEADERS, chance.choice([0, 0, 0, 0, 1, 1, 2, 5]))]
    if chance.random() < 0.9:
        headers.append(b"Content-Length: %d" % len(content))
    if chance.random() < 0.4:
        headers.append(b"Content-Type: image/png")
    if chance.random() < 0.03:
        headers.pop(0)
    version = chance.choice([b"HTTP/1.1"] * 40 + [b"HTTP/1.0", b"HTTP/9.9", b"", b"\x00"])
    line = b" ".join([chance.choice(METHODS), chance.choice(PATHS), version])
    request = b"\r\n".join([line, *headers, b"", content])
    return chance.randbytes(200) if chance.random() < 0.02 else request


def sent(port: int, request: bytes) -> bytes:
    """What came back before the connection ended; nothing where it ended without a word."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(request)
            connection.settimeout(0.5)  # what waits for more would be told so after 15 seconds: that has its own test
            return b"".join(islice(iter(lambda: connection.recv(2**16), b""), 1))
        except OSError:
            return b""


def test_10_000_malformed_requests(server: Server, repository: Repository):
    ask(server.port, "POST", "/keep?class=7", seven(), PNG)
    outside, statuses = state(repository), Counter()
    memory: list[int] = []
    with ThreadPoolExecutor(8) as pool:
        for number, came in enumerate(pool.map(lambda seed: sent(server.port, malformed(seed)), range(REQUESTS))):
            status = re.match(rb"HTTP/1.1 (\d+)", came)
            assert status or not came, came
            statuses[int(status[1]) if status else 0] += 1
            if number % (REQUESTS // 5) == 0:
                memory.append(server.memory())
    memory.append(server.memory())
    print(dict(statuses), "memory in MB:", [size // 2**20 for size in memory])
    assert max(statuses) < 500
    assert len(statuses) > 5  # the requests are malformed in many ways
    assert memory[-1] - memory[1] < GROWTH
    assert state(repository) == outside
    assert {file.suffix for file in (repository.path / "data/own/images").rglob("*") if file.is_file()} == {".png"}
    assert {path.parent.name for path in Path(repository.path / "data/own/images").rglob("*.png")} == {"7"}
    assert_answers(server)
