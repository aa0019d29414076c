"""Where ranks meet: the small server through which Gloo's ranks tell each other their addresses, once."""

from __future__ import annotations

import os
import re
import socketserver
import threading
import time
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

HERE = "here"  # the scope in which ranks say that they have come
LONGEST_VALUE = 1 << 16  # bytes; Gloo's addresses take a few hundred


class _Handler(BaseHTTPRequestHandler):
    """Horovod's protocol: PUT and GET of `/scope/key`, 404 for what is not there yet, DELETE when a rank is done."""

    timeout = 10

    def do_PUT(self):
        length = int(self.headers.get("Content-Length", -1))
        place = self._place()
        # Every rank writes its own keys, once: what is there is never replaced.
        if place is None or not 0 <= length <= LONGEST_VALUE or place in self.server.values:
            self._answer(400)
            return
        value = self.rfile.read(length)
        with self.server.lock:
            self.server.values[place] = value
        self._answer(200)

    def do_GET(self):
        value = self.server.values.get(self._place())
        self._answer(404 if value is None else 200, value or b"")

    def do_DELETE(self):
        self._answer(200 if self._place() else 400)

    def _place(self) -> tuple[str, str] | None:
        scope, _, key = self.path.lstrip("/").partition("/")
        run, _, process_set = scope.partition("_process_set_hash_")
        known = run in self.server.scopes and re.fullmatch("[0-9a-f]*", process_set)
        return (scope, key) if known and re.fullmatch("[0-9A-Za-z_]+", key) else None

    def _answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Not a word per request: there are hundreds."""


def meet(address: str, port: int, rank: int, size: int, patience: float = 120.0) -> None:
    """Say that this rank is here, and wait until all are.

    Horovod ends the whole process when a rank does not come in time, so ranks go there together or not at all.

    Raises:
        RuntimeError: if a rank does not come within `patience` seconds, naming it.
    """
    deadline = time.monotonic() + patience
    _ask(address, port, "PUT", f"/{HERE}/{rank}")
    for other in range(size):
        while _ask(address, port, "GET", f"/{HERE}/{other}") != 200:
            if time.monotonic() > deadline:
                raise RuntimeError(f"rank {other} did not come within {patience:g} s")
            time.sleep(0.05)


def _ask(address: str, port: int, method: str, path: str) -> int:
    connection = HTTPConnection(address, port, timeout=10)
    try:
        connection.request(method, path, body=b"" if method == "PUT" else None)
        return connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise RuntimeError(f"the rendezvous at {address}:{port} does not answer ({error})") from error
    finally:
        connection.close()


class Rendezvous(socketserver.ThreadingMixIn, HTTPServer):
    """Serves one initialisation of Horovod's ranks over Gloo, then closes.

    Horovod's own server listens on all addresses, answers everyone and leaves its socket open.

    Args:
        address: the one address to listen on; a free port is chosen.
        hosts: addresses of the machines whose engines may ask; on this machine, only this user's processes may.
        scopes: names that Horovod's ranks use in this run.
        seconds: after which it closes by itself.
    """

    daemon_threads = True

    def __init__(self, address: str, hosts: Iterable[str], scopes: Iterable[str], seconds: float = 180.0):
        super().__init__((address, 0), _Handler)
        self.hosts, self.scopes = frozenset(hosts), frozenset([HERE, *scopes])
        self.values: dict[tuple[str, str], bytes] = {}
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self._timer = threading.Timer(seconds, self.close)
        self._timer.daemon = True
        self._timer.start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self.server_address[1]

    def verify_request(self, request, client_address):
        """Whether this client may ask; others are hung up on."""
        host, port = client_address[:2]
        return host in self.hosts and _owner(host, port, self.port) in (None, os.getuid())

    def close(self) -> None:
        """Stop serving and give the port back."""
        self._timer.cancel()
        self.shutdown()
        self._thread.join()
        self.server_close()


def _owner(host: str, port: int, server_port: int) -> int | None:
    """User id of the local process at the other end of a connection; None if it is not local, or this is not Linux."""
    table = Path("/proc/net/tcp")
    wanted = "".join(f"{int(part):02X}" for part in reversed(host.split("."))) + f":{port:04X}"
    for line in table.read_text().splitlines()[1:] if table.exists() else ():
        _, local, remote, *_, user = line.split()[:8]
        if local == wanted and remote.endswith(f":{server_port:04X}"):
            return int(user)
    return None
