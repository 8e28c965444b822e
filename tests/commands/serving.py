"""The pages' servers, as a person starts them or in a test's own process, and what a test asks of them."""

import asyncio
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

PNG = {"Content-Type": "image/png"}


def seven(shift: int = 0) -> bytes:
    """A PNG of a seven, each `shift` another one."""
    image = Image.new("L", (224, 224), 255)
    ImageDraw.Draw(image).line([(60 + shift, 50), (160, 50), (110, 180)], fill=0, width=12, joint="curve")
    return encoded(image)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@dataclass(frozen=True)
class Answer:
    """What came back for a request."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of a refusal."""
        assert set(self.json) == {"error"}
        return self.json["error"]


@dataclass
class Server:
    """A server that is ready; `printed` grows as it says more."""

    process: subprocess.Popen[str]
    address: str
    printed: list[str]

    @property
    def port(self) -> int:
        return int(self.address.rstrip("/").rpartition(":")[2])

    def ask(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        """What comes back for one request, in a connection of its own."""
        return ask(self.port, method, path, body, headers)

    def memory(self) -> int:
        """Bytes that it holds in memory now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def ask(port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        chunked = body is not None and not isinstance(body, bytes)
        connection.request(method, path, body, headers or {}, encode_chunked=chunked)
        response = connection.getresponse()
        return Answer(response.status, response.read(), dict(response.getheaders()))
    finally:
        connection.close()


@contextmanager
def serving(repository: Any, *options: str, command: str = "draw", patience: int = 60) -> Iterator[Server]:
    """Start a page in a repository on a free port, wait so many seconds for it, and end it with Ctrl-C."""
    process = subprocess.Popen(
        ["python", "-m", f"commands.{command}", "--no-browser", "--port", "0", *options],
        cwd=repository.path, env=repository.environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    printed: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        for line in process.stdout:
            printed.append(line)
            if " is ready " in line:
                ready.set()
        ready.set()

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        ready.wait(patience)
        said = [line for line in printed if " is ready " in line]
        assert said, "".join(printed)
        yield Server(process, said[0].split()[0], printed)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        finally:
            process.kill()
            listening.join()
            process.stdout.close()


@contextmanager
def in_process(app: Any) -> Iterator[int]:
    """The port of a server that has the pages' guard before an application, in this process."""
    import uvicorn

    from commands.serving.guard import Connection, Guard

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(Guard(app, "127.0.0.1"), http=Connection, ws="none", lifespan="off", log_level="error")
        )
        loop = asyncio.new_event_loop()
        task = loop.create_task(server.serve([listening]))

        def serve() -> None:
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
            for connection in server.server_state.connections:
                connection.transport.close()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            loop.call_soon_threadsafe(task.cancel)  # at once, where uvicorn's own way out takes 0.2 s
            thread.join()
