"""Subscriptions that travel between Atolls: only what somebody wants comes back, answers wait for upstream, links that
break are made good, loops and several ways do no harm, foreign peers see plain SP."""
import contextlib
import re
import signal
import socket
import struct

import pytest

import atoll_cluster as ac
from sp_service import Service, topology, until


def edge(name, role, way, port, **more):
    return {"name": name, "role": role, way: f"tcp://127.0.0.1:{port}", "forwarding": True, **more}


def node(edges, organisation="here", **spec):
    return Service(topology("quotes", "pubsub", organisation=organisation, edges=edges, **spec))


def count(service, key, file="stats"):
    return service.figure("quotes", key, file)


@pytest.fixture
def stack():
    with contextlib.ExitStack() as s:
        yield s


def start(stack, service):
    stack.callback(service.end)
    return service.start()


def of_edge(service, name, key):
    """A figure of an edge's line in `status`."""
    text = (service.dir("quotes") / "status").read_text()
    found = re.search(rf"^edge {name} .*\b{key}=(\d+)", text, re.M)
    return int(found[1]) if found else None


def links(service, n):
    until(lambda: count(service, "links", "status") == n)


def chain(stack, *specs):
    """Nodes in a row; each takes from the one before."""
    ports = [ac.free_port() for _ in specs]
    nodes = []
    for i, spec in enumerate(specs):
        edges = [edge("below", "pub", "listen", ports[i])]
        if i:
            edges.append(edge("above", "sub", "dial", ports[i - 1], **spec.pop("above", {})))
        nodes.append(start(stack, node(edges, **spec)))
    for i, n in enumerate(nodes):
        links(n, (i > 0) + (i < len(nodes) - 1))
    return nodes


def test_only_what_is_wanted_travels_and_no_subscriber_joins_late(stack):
    exchange, news, bank = chain(stack, {}, {}, {})
    with exchange.connect("quotes", "pub") as pub, bank.connect("quotes", "sub") as sub:
        for i in range(50):
            sub.subscribe(b"N%d." % i)
            pub.send(b"N%d. first" % i)  # the answer came, so it is active up to the exchange
            assert sub.get() == b"N%d. first" % i
        for _ in range(100):
            pub.send(b"X. nobody wants it")
        pub.send(b"N0. last")
        assert sub.get() == b"N0. last"
        until(lambda: count(exchange, "messages_in") == 151)
        until(lambda: all(of_edge(n, "above", "in") == 51 for n in (news, bank)))
        sub.send(b"-N0.")
        assert sub.get() == b"-N0."
        until(lambda: count(exchange, "prefixes") == 49)


def test_covered_subscriptions_stay_at_home(stack):
    above, below = chain(stack, {}, {})
    with below.connect("quotes", "sub") as sub:
        sub.subscribe(b"NASDAQ")
        for i in range(20):
            sub.subscribe(b"NASDAQ.%02d" % i)
        until(lambda: count(below, "prefixes") == 21 and count(above, "prefixes") == 1)
        sub.send(b"-NASDAQ")
        sub.get()
        until(lambda: count(above, "prefixes") == 20)
    until(lambda: count(above, "prefixes") == 0)


def test_above_the_cap_everything_is_asked_for_and_filtered_again(stack):
    above, below = chain(stack, {}, {"above": {"maxSubscriptions": 10}})
    with above.connect("quotes", "pub") as pub, below.connect("quotes", "sub") as sub:
        for i in range(30):
            sub.subscribe(b"%02d" % i)
        until(lambda: count(above, "prefixes") == 1)
        pub.send(b"XX is not wanted")
        pub.send(b"29 is")
        assert sub.get() == b"29 is"


def test_a_broken_link_is_made_good(stack):
    above, below = chain(stack, {}, {})
    with below.connect("quotes", "sub") as sub:
        for i in range(10):
            sub.subscribe(b"%d" % i)
        sub.send(b"-3")
        sub.get()
        above.stop()
        links(below, 0)
        sub.subscribe(b"while it is away")  # nothing to wait for
        above.start()
        until(lambda: count(above, "prefixes") == 10)
        with above.connect("quotes", "pub") as pub:
            pub.send(b"3 is gone")
            pub.send(b"4 is there")
            assert sub.get() == b"4 is there"
            pub.send(b"while it is away: there now")
            assert sub.get() == b"while it is away: there now"


def test_the_edge_lets_through_only_its_filters(stack):
    ports = ac.free_port(), ac.free_port()
    above = start(stack, node([edge("below", "pub", "listen", ports[0], filters=["A"])]))
    below = start(stack, node([edge("above", "sub", "dial", ports[0])]))
    links(below, 1)
    with above.connect("quotes", "pub") as pub, below.connect("quotes", "sub") as sub:
        sub.subscribe(b"")
        pub.send(b"B")
        pub.send(b"A")
        assert sub.get() == b"A"


def test_of_two_ways_each_message_takes_one(stack):
    ports = [ac.free_port() for _ in range(3)]
    top = start(stack, node([edge("below", "pub", "listen", ports[0])]))
    left = start(stack, node([edge("above", "sub", "dial", ports[0]), edge("below", "pub", "listen", ports[1])]))
    right = start(stack, node([edge("above", "sub", "dial", ports[0]), edge("below", "pub", "listen", ports[2])]))
    bottom = start(stack, node([edge("left", "sub", "dial", ports[1]), edge("right", "sub", "dial", ports[2])]))
    for n, links_of_it in ((top, 2), (left, 2), (right, 2), (bottom, 2)):
        links(n, links_of_it)
    with top.connect("quotes", "pub") as pub, bottom.connect("quotes", "sub") as sub:
        sub.subscribe(b"")
        for i in range(100):
            pub.send(b"%d" % i)
        assert [sub.get() for _ in range(100)] == [b"%d" % i for i in range(100)]
        assert sub.nothing()
        # The other way serves when the first one breaks.
        left.stop()
        links(bottom, 1)
        pub.send(b"by the right")
        assert sub.get() == b"by the right"


def test_a_loop_is_seen_and_opened(stack):
    ports = [ac.free_port() for _ in range(3)]
    ring = [start(stack, node([edge("below", "pub", "listen", ports[i]), edge("above", "sub", "dial", ports[i - 1])],
                              organisation=f"o{i}")) for i in range(3)]
    for n in ring:
        links(n, 2)
    until(lambda: sum("forwarding_loop " in n.log for n in ring) >= 1)
    with contextlib.ExitStack() as clients:
        subs = [clients.enter_context(n.connect("quotes", "sub")) for n in ring]
        pubs = [clients.enter_context(n.connect("quotes", "pub")) for n in ring]
        for s in subs:
            s.subscribe(b"")
        for i in range(3):
            pubs[i].send(b"m%d" % i)
        for i, s in enumerate(subs):
            got = []
            s.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                while True:
                    got.append(s.get())
            s.settimeout(10)
            assert b"m%d" % i in got and len(set(got)) == len(got), got
        for s in subs:
            s.send(b"-")
        for s in subs:
            while s.get() != b"-":
                pass
        for s in subs:
            assert s.nothing()
        # Nobody wants anything on account of others that want it on account of them.
        until(lambda: all(count(n, "prefixes") == 0 for n in ring))


def test_gaps_are_counted_where_they_arrive(stack):
    above, below = chain(stack, {"queue": {"messages": 10, "policy": "drop-oldest"}}, {})
    with above.connect("quotes", "pub") as pub, below.connect("quotes", "sub") as sub:
        sub.subscribe(b"")
        for i in range(20000):
            pub.send(b"%d" % i + b"." * 2000)
        until(lambda: count(above, "messages_in") == 20000)
        until(lambda: of_edge(below, "above", "in") + of_edge(below, "above", "gaps") == 20000)


def test_a_foreign_peer_is_refused_at_a_forwarding_edge_and_the_reverse(stack):
    above, below = chain(stack, {}, {})
    port = int(above.config.joinpath("quotes.json").read_text().split("127.0.0.1:")[1].split('"')[0])
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(5)
        s.sendall(b"\0SP\0" + struct.pack(">HH", 0x21, 0))
        assert s.recv(100) == b"\0SP\0\xf0\0\0\0"
        assert s.recv(100) == b""
    until(lambda: "link_refused" in above.log)


def test_who_asks_and_never_reads_the_answers_is_cut_off(stack):
    port = ac.free_port()
    above = start(stack, node([edge("below", "pub", "listen", port)]))
    until(lambda: "state=Listening" in (above.dir("quotes") / "status").read_text())
    frame = lambda b: struct.pack(">Q", len(b)) + b
    text = lambda b: bytes([len(b)]) + b
    hello = b"\1\1\0" + struct.pack(">QII", 7, 1000, 8192) + text(b"here/x") + text(b"quotes")
    with socket.create_connection(("127.0.0.1", port)) as s, above.connect("quotes", "sub") as sub:
        s.settimeout(20)
        s.sendall(b"\0SP\0\xf0\0\0\0" + frame(hello) + frame(b"\3" + struct.pack(">Q", 1)))
        with pytest.raises(OSError):
            for i in range(1, 10000000, 1000):
                s.sendall(b"".join(frame(bytes([5 + (k + 1) % 2]) + struct.pack(">QQ", 1, k) + b"x") for k in range(i, i + 1000)))
        sub.subscribe(b"still served")
    until(lambda: count(above, "links", "status") == 0)


def test_who_never_confirms_holds_up_no_subscriber_for_long(stack):
    above, below = chain(stack, {}, {})
    above.process.send_signal(signal.SIGSTOP)
    try:
        with below.connect("quotes", "sub") as sub, below.connect("quotes", "pub") as pub:
            sub.subscribe(b"N")
            pub.send(b"N1")
            assert sub.get() == b"N1"
        assert "subscriptions_unconfirmed" in below.log and "n=1" in below.log
    finally:
        above.process.send_signal(signal.SIGCONT)
    with below.connect("quotes", "sub") as sub, above.connect("quotes", "pub") as pub:
        sub.subscribe(b"later")
        pub.send(b"later on")
        assert sub.get() == b"later on"


def test_of_another_organisation_or_topology_nobody_is_taken(stack):
    port = ac.free_port()
    above = start(stack, Service(topology("prices", "pubsub", edges=[edge("below", "pub", "listen", port)])))
    below = start(stack, node([edge("above", "sub", "dial", port)]))
    until(lambda: "the peer's topology is prices, not quotes" in below.log or
          "the peer's topology is quotes, not prices" in above.log)
    below.declare(topology("quotes", "pubsub", edges=[edge("above", "sub", "dial", port, topology="prices")]))
    above.declare(topology("prices", "pubsub", edges=[edge("below", "pub", "listen", port, topology="quotes")]))
    links(below, 1)
