"""The small server through which the ranks of one training exchange their addresses over Gloo, once."""

from __future__ import annotations

import os
import re
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import psutil

from calolab.cluster import time_limits

HERE = "here"  # the scope in which ranks announce themselves
LONGEST_VALUE = 1 << 16  # bytes; Gloo's addresses have a few hundred
# Linux's lists of this machine's connections with their users. A process may use IPv4 through an IPv6 socket.
CONNECTIONS = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
_open: list[Rendezvous] = []  # on rank 0's engine, from `open_all` until the ranks are connected


class _Handler(BaseHTTPRequestHandler):
    """Horovod's protocol: PUT and GET of `/scope/key`, 404 for a missing value, DELETE when a rank is done."""

    @property
    def timeout(self):
        """Seconds after which `setup` lets the socket give up."""
        return time_limits.RENDEZVOUS_ANSWERS_WITHIN

    def do_PUT(self):
        length = int(self.headers.get("Content-Length", -1))
        place = self._place()
        if place is None or not 0 <= length <= LONGEST_VALUE:
            self._answer(400)
            return
        value = self.rfile.read(length)
        # Every rank writes its own keys once; values are never replaced. A rank that missed the answer and sends the
        # same value again is accepted: otherwise Horovod would end its process.
        with self.server.lock:
            kept = self.server.values.setdefault(place, value)
        self._answer(200 if kept == value else 400)

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
        """Do not log requests: there are hundreds."""


def meet(address: str, port: int, rank: int, size: int, timeout: float) -> None:
    """Announce this rank, and wait until all others have announced themselves.

    Horovod as published ends the whole process if a rank does not connect in time (calolab's build does not, see
    `.ci/horovod`), so Horovod starts only once all ranks are there.

    Args:
        address, port: address of the rendezvous of rank 0.
        rank: this rank.
        size: number of ranks.
        timeout: maximum time until all ranks have announced themselves [s].

    Raises:
        RuntimeError: if a rank does not announce itself within `timeout` seconds, naming it.
    """
    deadline = time.monotonic() + timeout
    _ask(address, port, "PUT", f"/{HERE}/{rank}")
    for other in range(size):
        while _ask(address, port, "GET", f"/{HERE}/{other}") != 200:
            if time.monotonic() > deadline:
                raise RuntimeError(f"rank {other} did not arrive within {timeout:g} s")
            time.sleep(0.05)


def _ask(address: str, port: int, method: str, path: str) -> int:
    connection = HTTPConnection(address, port, timeout=time_limits.RENDEZVOUS_ANSWERS_WITHIN)
    try:
        connection.request(method, path, body=b"" if method == "PUT" else None)
        return connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise RuntimeError(f"the rendezvous at {address}:{port} does not answer ({error})") from error
    finally:
        connection.close()


class Rendezvous(socketserver.ThreadingMixIn, HTTPServer):
    """Serves one initialisation of Horovod's ranks over Gloo, then closes.

    Horovod's own server listens on all addresses, answers any client and leaves its socket open.

    Args:
        address: the one address to listen on; a free port is chosen.
        hosts: addresses of the engines' machines; on this machine, only this user's processes are answered.
        scopes: scopes of the keys that Horovod's ranks use in this run.
    """

    daemon_threads = True
    request_queue_size = 128  # all ranks connect at once; with the default of 5, some would be rejected

    def __init__(self, address: str, hosts: Iterable[str], scopes: Iterable[str]):
        super().__init__((address, 0), _Handler)
        self.hosts, self.scopes = frozenset(hosts), frozenset([HERE, *scopes])
        self.values: dict[tuple[str, str], bytes] = {}
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self._timer = threading.Timer(time_limits.RENDEZVOUS_CLOSES_AFTER, self.close)
        self._timer.daemon = True
        self._timer.start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self.server_address[1]

    def finish_request(self, request, client_address):
        """Answer an allowed client in a new thread; close the connections of others.

        Args:
            request: socket of the connection.
            client_address: address and port of the other side.
        """
        if self._may_ask(request, client_address):
            super().finish_request(request, client_address)

    def _may_ask(self, request, client_address) -> bool:
        if client_address[0] not in self.hosts:
            return False
        if not _is_own(client_address[0]) or not CONNECTIONS[socket.AF_INET].exists():
            return True
        return _owner(client_address, request.getsockname()) == os.getuid()

    def close(self) -> None:
        """Stop serving and release the port."""
        self._timer.cancel()
        self.shutdown()
        self._thread.join()
        self.server_close()


def _is_own(host: str) -> bool:
    """Whether an address is one of this machine's."""
    own = (address.address for addresses in psutil.net_if_addrs().values() for address in addresses)
    return ip_address(host).is_loopback or host in own


def _owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """User id of the local process at the client's end of an IPv4 connection; None if there is none."""
    # The kernel returns its lists in pieces: a line may be missing if the list changes meanwhile, so it is read again.
    deadline = time.monotonic() + time_limits.CONNECTION_LISTED_WITHIN
    while True:
        for family, table in CONNECTIONS.items():
            ends = f" {_as_listed(client, family)} {_as_listed(server, family)} "
            for line in table.read_text().splitlines() if table.exists() else ():
                if ends in line:
                    user, _, inode = line.split()[7:10]
                    # Without an inode its process has ended, and the list has user 0 whoever it was.
                    return int(user) if inode != "0" else None
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)


def _as_listed(end: tuple[str, int], family: socket.AddressFamily) -> str:
    """One end of a connection as Linux lists it: words in native byte order, then the port."""
    host, port = end
    packed = socket.inet_pton(family, host if family == socket.AF_INET else f"::ffff:{host}")
    words = (int.from_bytes(packed[i : i + 4], sys.byteorder) for i in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def open_all(hosts: Sequence[str], addresses: Sequence[str]) -> tuple[int, ...]:
    """Run on rank 0's engine: open a rendezvous for each attempt; returns their ports. `Communicator` closes them.

    Args:
        hosts: host name of each rank.
        addresses: address of each rank.
    """
    close_all()
    local_sizes = {host: hosts.count(host) for host in hosts}
    scopes = ["global", *(f"local_{host}" for host in hosts), *(f"cross_{i}" for i in range(max(local_sizes.values())))]
    _open.extend(Rendezvous(addresses[0], addresses, scopes) for _ in time_limits.RANKS_ARRIVE_WITHIN)
    return tuple(server.port for server in _open)


def close_all() -> None:
    """Close all rendezvous servers of this engine."""
    while _open:
        _open.pop().close()
