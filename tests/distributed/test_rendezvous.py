"""The rendezvous serves only the ranks of one run, on one address."""

import http.client
import os
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest

from calolab.cluster import machine, time_limits
from calolab.distributed import rendezvous
from calolab.distributed.rendezvous import Rendezvous


@pytest.fixture
def server():
    opened = Rendezvous("127.0.0.1", ["127.0.0.1"], ["global"])
    yield opened
    opened.close()


def ask(server, method, path, body=None, source=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5, source_address=source)
    try:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def ask_through_ipv6(server):
    """The answer to a client that reaches the server's IPv4 address through a socket of IPv6."""
    with socket.socket(socket.AF_INET6) as client:
        client.settimeout(5)
        try:
            client.connect(("::ffff:127.0.0.1", server.port))
            client.sendall(b"GET /global/0 HTTP/1.0\r\n\r\n")
            return client.recv(1000)
        except (ConnectionResetError, BrokenPipeError):
            return b""


def test_serves_what_horovods_ranks_ask(server):
    assert ask(server, "GET", "/global/0")[0] == 404
    assert ask(server, "PUT", "/global/0", b"\x00address")[0] == 200
    assert ask(server, "GET", "/global/0") == (200, b"\x00address")
    assert ask(server, "PUT", "/global_process_set_hash_7d48/rank_0", b"x")[0] == 200
    assert ask(server, "DELETE", "/global/0")[0] == 200
    if socket.has_dualstack_ipv6():  # not every container has IPv6
        assert ask_through_ipv6(server).split()[1] == b"200"


def test_takes_only_the_keys_of_its_run_and_each_once(server):
    assert ask(server, "PUT", "/elsewhere/0", b"x")[0] == 400
    assert ask(server, "PUT", "/global/../0", b"x")[0] == 400
    assert ask(server, "PUT", "/global/0", b"x" * (rendezvous.LONGEST_VALUE + 1))[0] == 400
    assert ask(server, "PUT", "/global/0", b"mine")[0] == 200
    assert ask(server, "PUT", "/global/0", b"a stranger's")[0] == 400
    assert ask(server, "PUT", "/global/0", b"mine")[0] == 200  # its answer was lost, and it says so again
    assert ask(server, "GET", "/global/0")[1] == b"mine"


def test_listens_on_the_chosen_address_only(server):
    listening = [c.laddr.ip for c in psutil.Process().net_connections("tcp") if c.laddr.port == server.port]
    assert set(listening) == {"127.0.0.1"}
    for address in {"127.0.0.2", machine.own_address()}:
        with pytest.raises(OSError):
            socket.create_connection((address, server.port), timeout=2)


def test_hangs_up_on_other_machines(server):
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(server, "GET", "/global/0", source=("127.0.0.2", 0))
    assert ask(server, "GET", "/global/0")[0] == 404


def test_hangs_up_on_other_users_of_this_machine(server, monkeypatch):
    if not os.path.exists("/proc/net/tcp"):
        pytest.skip("only Linux lists the users of connections")
    monkeypatch.setattr(rendezvous.os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(server, "GET", "/global/0")
    if socket.has_dualstack_ipv6():
        assert ask_through_ipv6(server) == b""


class TableWithoutALine(type(Path())):
    """The kernel's list as it may be read while it changes: three times without what is looked for."""

    looks = 0

    def read_text(self):
        TableWithoutALine.looks += 1
        return super().read_text() if TableWithoutALine.looks > 3 else ""


def test_looks_again_for_a_connection_that_the_kernels_list_lacks(server, monkeypatch):
    if not os.path.exists("/proc/net/tcp"):
        pytest.skip("only Linux lists the users of connections")
    monkeypatch.setattr(rendezvous, "CONNECTIONS", {socket.AF_INET: TableWithoutALine("/proc/net/tcp")})
    assert ask(server, "GET", "/global/0")[0] == 404
    assert TableWithoutALine.looks == 4


def test_hangs_up_on_local_clients_that_no_process_owns(server, monkeypatch):
    if not os.path.exists("/proc/net/tcp"):
        pytest.skip("only Linux lists the users of connections")
    monkeypatch.setattr(rendezvous, "_owner", lambda *_: None)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(server, "GET", "/global/0")
    assert rendezvous._is_own(machine.own_address()) and not rendezvous._is_own("192.0.2.1")


def test_of_many_writers_of_a_key_one_wins(server):
    answers = {}
    writers = [
        threading.Thread(target=lambda i=i: answers.update({i: ask(server, "PUT", "/global/0", b"%d" % i)[0]}))
        for i in range(16)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=10)
    assert sorted(answers.values()) == [200] + 15 * [400]
    winner = next(i for i, status in answers.items() if status == 200)
    assert ask(server, "GET", "/global/0")[1] == b"%d" % winner


def test_closes_its_socket_and_closes_after_a_while(monkeypatch):
    monkeypatch.setattr(time_limits, "RENDEZVOUS_CLOSES_AFTER", 0.5)
    server = Rendezvous("127.0.0.1", ["127.0.0.1"], ["global"])
    port = server.port
    assert ask(server, "GET", "/global/0")[0] == 404
    time.sleep(1.0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)
    server.close()  # twice does no harm


def test_ranks_wait_for_each_other_and_name_the_one_that_is_missing(server):
    others = [
        threading.Thread(target=rendezvous.meet, args=("127.0.0.1", server.port, rank, 2, 10.0)) for rank in range(2)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join(timeout=10)
        assert not other.is_alive()
    lonely = Rendezvous("127.0.0.1", ["127.0.0.1"], [])
    with pytest.raises(RuntimeError, match="rank 1 did not arrive"):
        rendezvous.meet("127.0.0.1", lonely.port, 0, 2, timeout=0.3)
    lonely.close()
    with pytest.raises(RuntimeError, match="does not answer"):
        rendezvous.meet("127.0.0.1", lonely.port, 0, 2, timeout=0.3)


def test_opening_others_closes_those_before():
    before, after = (rendezvous.open_all(["here"] * 2, ["127.0.0.1"] * 2) for _ in range(2))
    assert len({*before, *after}) == 4
    for port in before:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
    rendezvous.close_all()
    for port in after:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
