"""Declared connections: two services meet over tcp, ipc and inproc, lose each other and find each other again."""
import contextlib
import signal
import socket
import subprocess
import time

import pytest

from atoll_cluster import free_port
from sp_service import topology, until


def edge(name, role, **kw):
    return {"name": name, "role": role, **kw}


def peers(sp, name, e):
    """How many are connected at an edge."""
    try:
        lines = (sp.dir(name) / "status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    for line in lines:
        words = line.split()
        if words[:2] == ["edge", e]:
            return next((int(w[6:]) for w in words if w.startswith("peers=")), 0)
    return 0


def says(sp, name, what):
    """Waits until the status file holds a word."""
    until(lambda: (sp.dir(name) / "status").exists() and what in (sp.dir(name) / "status").read_text())


def test_work_crosses_a_tcp_edge_and_local_pullers_come_first(services):
    address = f"tcp://127.0.0.1:{free_port()}"
    far = services(topology("work", "pipeline", edges=[edge("in", "pull", listen=address)]))
    near = services(topology("work", "pipeline", edges=[edge("out", "push", dial=address)]))
    until(lambda: peers(near, "work", "out") == 1 and peers(far, "work", "in") == 1)
    with near.connect("work", "push") as push, far.connect("work", "pull") as there:
        push.send(b"goes far")
        assert there.get() == b"goes far"
        with near.connect("work", "pull") as here:
            until(lambda: near.figure("work", "clients", "status") == 2)
            push.send(b"stays here")
            assert here.get() == b"stays here"
            assert there.nothing()


def test_requests_pass_two_services_and_replies_find_their_way_back(services):
    a, b = (f"tcp://127.0.0.1:{free_port()}" for _ in "ab")
    last = services(topology("ask", "reqrep", edges=[edge("in", "rep", listen=b)]))
    middle = services(topology("ask", "reqrep", edges=[edge("in", "rep", listen=a), edge("out", "req", dial=b)]))
    first = services(topology("ask", "reqrep", edges=[edge("out", "req", dial=a)]))
    until(lambda: peers(first, "ask", "out") and peers(middle, "ask", "out") and peers(last, "ask", "in"))
    with contextlib.ExitStack() as stack:
        rep = stack.enter_context(last.connect("ask", "rep"))
        reqs = [stack.enter_context(first.connect("ask", "req")) for _ in range(5)]
        for i, r in enumerate(reqs):
            r.send(b"%d" % i)
        for _ in reqs:
            rep.send(b"re " + rep.get())
        for i, r in enumerate(reqs):
            assert r.get() == b"re %d" % i


def test_surveys_bus_and_pair_cross_an_edge(services):
    ports = [f"tcp://127.0.0.1:{free_port()}" for _ in range(3)]
    one = services(topology("census", "survey", edges=[edge("in", "surveyor", listen=ports[0])]),
                   topology("all", "bus", edges=[edge("in", "bus", listen=ports[1])]),
                   topology("two", "pair", edges=[edge("in", "pair", listen=ports[2])]))
    other = services(topology("census", "survey", edges=[edge("out", "respondent", dial=ports[0])]),
                     topology("all", "bus", edges=[edge("out", "bus", dial=ports[1])]),
                     topology("two", "pair", edges=[edge("out", "pair", dial=ports[2])]))
    for name in ("census", "all", "two"):
        until(lambda: peers(other, name, "out") == 1 and peers(one, name, "in") == 1)
    with one.connect("census", "surveyor") as s, other.connect("census", "respondent") as r:
        until(lambda: other.figure("census", "clients", "status") == 1)
        s.send(b"?")
        r.send(b"me, " + r.get())
        assert s.get() == b"me, ?"
    with one.connect("all", "bus") as a, one.connect("all", "bus") as b, other.connect("all", "bus") as c:
        until(lambda: one.figure("all", "clients", "status") == 2 and other.figure("all", "clients", "status") == 1)
        c.send(b"hi")
        assert [a.get(), b.get()] == [b"hi", b"hi"]
        assert c.nothing()
    with one.connect("two", "pair") as a, other.connect("two", "pair") as b:
        a.send(b"1")
        assert b.get() == b"1"
        b.send(b"2")
        assert a.get() == b"2"


def test_a_lost_peer_is_dialled_again_and_waiting_messages_arrive(services):
    address = f"tcp://127.0.0.1:{free_port()}"
    far = services(topology("work", "pipeline", edges=[edge("in", "pull", listen=address)]))
    near = services(topology("work", "pipeline", edges=[edge("out", "push", dial=address)]))
    until(lambda: peers(near, "work", "out") == 1)
    far.stop(signal.SIGKILL)
    until(lambda: peers(near, "work", "out") == 0)
    with near.connect("work", "push") as push:
        push.send(b"waits")
        far.start()
        with far.connect("work", "pull") as pull:
            assert pull.get() == b"waits"


def test_filters_and_rates_of_an_edge_hold_at_the_sender(services):
    a, b = (f"tcp://127.0.0.1:{free_port()}" for _ in "ab")
    near = services(topology("q", "pubsub", edges=[edge("only-n", "pub", listen=a, filters=["N"]),
                                                   edge("ten", "pub", listen=b, rate={"messagesPerSecond": 10})]))
    far = services(topology("n", "pubsub", edges=[edge("in", "sub", dial=a)]), topology("t", "pubsub", edges=[edge("in", "sub", dial=b)]))
    until(lambda: peers(far, "n", "in") and peers(far, "t", "in"))
    with near.connect("q", "pub") as pub, far.connect("n", "sub@") as n, far.connect("t", "sub@") as t:
        for i in range(50):
            pub.send(b"N%d" % i)
            pub.send(b"x%d" % i)
        assert [n.get() for _ in range(50)] == [b"N%d" % i for i in range(50)]
        assert n.nothing()
        got = 0
        while not t.nothing(0.05):
            got += 1
        assert 10 <= got <= 20
        until(lambda: near.figure("q", "dropped") >= 80)


@pytest.mark.parametrize("rate", [{"messagesPerSecond": 200}, {"bytesPerSecond": 20000}])
@pytest.mark.parametrize("side", ["push", "pull"])
def test_work_above_the_rate_of_an_edge_waits(services, side, rate):
    address = f"tcp://127.0.0.1:{free_port()}"
    limit = {"push": {}, "pull": {}, side: {"rate": rate}}
    far = services(topology("work", "pipeline", edges=[edge("in", "pull", listen=address, **limit["pull"])]))
    near = services(topology("work", "pipeline", edges=[edge("out", "push", dial=address, **limit["push"])]))
    until(lambda: peers(near, "work", "out") == 1)
    with near.connect("work", "push") as push, far.connect("work", "pull") as pull:
        start = time.monotonic()
        for i in range(400):
            push.send(b"%100d" % i)
        assert [int(pull.get()) for _ in range(400)] == list(range(400)), "none is lost, and they are in order"
        assert 0.8 <= time.monotonic() - start < 5, "the first second's may pass at once, the others not"
        with far.connect("work", "push") as local:
            local.send(b"of its own")
            assert pull.get() == b"of its own", "others do not wait for the edge"
    for sp in (near, far):
        assert not sp.figure("work", "dropped")


def test_topologies_of_one_service_meet_by_inproc_and_ipc(services):
    sp = services(topology("a", "pubsub", edges=[edge("out", "pub", listen="inproc://meet")]),
                  topology("b", "pubsub", edges=[edge("in", "sub", dial="inproc://meet")]))
    until(lambda: peers(sp, "b", "in") == 1)
    with sp.connect("a", "pub") as pub, sp.connect("b", "sub@") as sub:
        pub.send(b"hello")
        assert sub.get() == b"hello"
    sp.declare(topology("c", "pubsub", edges=[edge("in", "sub", dial="ipc://" + sp.path("b", "sub.ipc"))]))
    until(lambda: sp.is_served("c") and peers(sp, "c", "in") == 1)
    with sp.connect("a", "pub") as pub, sp.connect("c", "sub@") as sub:
        pub.send(b"twice removed")
        assert sub.get() == b"twice removed"


def test_an_address_in_use_is_said_and_tried_again(services):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sp = services(topology("q", "pubsub", edges=[edge("out", "pub", listen=f"tcp://127.0.0.1:{port}")]))
        says(sp, "q", "Refused")
        says(sp, "q", "Address already in use")
    says(sp, "q", "Listening")


def test_a_silent_peer_and_one_that_talks_nonsense_do_not_stay(services):
    port = free_port()
    sp = services(topology("q", "pubsub", edges=[edge("out", "pub", listen=f"tcp://127.0.0.1:{port}")]))
    says(sp, "q", "Listening")
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(b"SSH-2.0-OpenSSH\r\n")
        s.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            while s.recv(100):
                pass
    until(lambda: sp.figure("q", "broken_peers") == 1)
    assert "link_refused" in sp.log


def test_a_peer_that_says_something_on_a_subscription_is_closed(services):
    """Nothing travels upstream on plain SUB; who does it is no SUB."""
    port = free_port()
    sp = services(topology("q", "pubsub", edges=[edge("out", "pub", listen=f"tcp://127.0.0.1:{port}")]))
    with contextlib.closing(until(lambda: connected(port))) as s:
        s.sendall(b"\0SP\0\0\x21\0\0" + (2).to_bytes(8, "big") + b"+x")
        s.settimeout(5)
        assert s.recv(8) == b"\0SP\0\0\x20\0\0"
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(1) == b""
    until(lambda: sp.figure("q", "errors") == 1)


def connected(port):
    try:
        return socket.create_connection(("127.0.0.1", port))
    except OSError:
        return None


def test_many_subscribers_of_libraries_at_one_edge(services):
    port = free_port()
    sp = services(topology("q", "pubsub", edges=[edge("out", "pub", listen=f"tcp://127.0.0.1:{port}")]))
    says(sp, "q", "Listening")
    cats = [subprocess.Popen(["nngcat", "--sub", "--dial", f"tcp://127.0.0.1:{port}", "--quoted", "--count=1"], stdout=subprocess.PIPE, text=True)
            for _ in range(5)]
    until(lambda: peers(sp, "q", "out") == 5)
    with sp.connect("q", "pub") as pub:
        pub.send(b"all")
        for c in cats:
            assert c.communicate(timeout=10)[0].strip() == '"all"'
