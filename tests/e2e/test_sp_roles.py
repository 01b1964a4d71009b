"""All ten roles of the messaging service over its socket files, by plain sockets and by other people's tools."""
import contextlib
import errno
import os
import select
import signal
import socket
import stat
import subprocess
import time

import pytest

from sp_service import DEADLINE, Service, cpu_seconds, pss_kib, topology, until

ALL = [
    topology("quotes", "pubsub"),
    topology("kept", "pubsub", retain=3),
    topology("strict", "pubsub", queue={"messages": 10, "policy": "block", "blockTimeoutMs": 600}),
    topology("newest", "pubsub", queue={"policy": "conflate"}),
    topology("first", "pubsub", queue={"messages": 10, "policy": "drop-newest"}),
    topology("last", "pubsub", queue={"messages": 10, "policy": "drop-oldest"}),
    topology("quick", "pubsub", queue={"messages": 10, "policy": "disconnect"}),
    topology("filters", "pubsub", filters=[{"prefix": "a/b%20"}, {"name": "cs", "prefix": "c"}]),
    topology("work", "pipeline"),
    topology("brief", "pipeline", queue={"messages": 4}),
    topology("ask", "reqrep", requestResendMs=60000),
    topology("again", "reqrep", requestResendMs=200),
    topology("late", "reqrep", requestTimeoutMs=200),
    topology("census", "survey", surveyDeadlineMs=400),
    topology("all", "bus"),
    topology("two", "pair"),
    topology("mine", "pubsub", roles=[{"name": "pub", "owner": "nobody", "group": "daemon", "mode": 0o600}],
             access=[{"roles": ["sub"], "users": ["daemon"], "groups": ["bin"]}]),
]


@pytest.fixture(scope="module")
def sp():
    with contextlib.ExitStack() as stack:
        service = Service(*ALL)
        stack.callback(service.end)
        yield service.start()


# ---- publish and subscribe ----

def test_a_subscription_answers_when_it_is_active(sp):
    with sp.connect("quotes", "sub") as sub, sp.connect("quotes", "pub") as pub:
        sub.send(b"+NASDAQ")
        assert sub.get() == b"+NASDAQ"
        for body in (b"NASDAQ|AAPL 1", b"NYSE|IBM 2", b"NASDAQ|MSFT 3"):
            pub.send(body)
        assert [sub.get(), sub.get()] == [b"NASDAQ|AAPL 1", b"NASDAQ|MSFT 3"]
        sub.send(b"-NASDAQ")
        assert sub.get() == b"-NASDAQ"
        sub.send(b"-NASDAQ")  # not there any more: it answers all the same
        assert sub.get() == b"-NASDAQ"
        pub.send(b"NASDAQ 4")
        assert sub.nothing()


def test_overlapping_subscriptions_bring_a_message_once(sp):
    with sp.connect("quotes", "sub") as sub, sp.connect("quotes", "pub") as pub:
        for p in (b"", b"a", b"ab"):
            sub.subscribe(p)
        pub.send(b"abc")
        pub.send(b"x")
        assert [sub.get(), sub.get()] == [b"abc", b"x"]
        sub.send(b"-")
        assert sub.get() == b"-"
        pub.send(b"y")
        pub.send(b"a")
        assert sub.get() == b"a"


def test_a_filter_file_is_active_before_connect_returns(sp):
    """Nobody waits between connect and send, and nothing is lost, a hundred times over."""
    with sp.connect("quotes", "pub") as pub:
        for i in range(100):
            with sp.connect("quotes", "sub@") as sub:
                pub.send(b"%d" % i)
                assert sub.get() == b"%d" % i


def test_declared_filters_are_files(sp):
    assert {f.name for f in sp.dir("filters").iterdir() if f.name.startswith("sub@")} == {"sub@", "sub@a%2Fb%20", "sub@cs"}
    with sp.connect("filters", "sub@a%2Fb%20") as ab, sp.connect("filters", "sub@cs") as c, sp.connect("filters", "pub") as pub:
        for body in (b"a/b 1", b"a/b", b"c2", b"d"):
            pub.send(body)
        pub.send(b"a/b end")
        assert [ab.get(), ab.get(), c.get()] == [b"a/b 1", b"a/b end", b"c2"]
        assert c.nothing()


def test_the_last_messages_are_kept_for_those_who_come_later(sp):
    with sp.connect("kept", "pub") as pub:
        for body in (b"a1", b"b1", b"a2", b"b2"):
            pub.send(body)
        until(lambda: sp.figure("kept", "retained") == 3)
        with sp.connect("kept", "sub") as sub:
            sub.subscribe(b"b")
            assert [sub.get(), sub.get()] == [b"b1", b"b2"]
        with sp.connect("kept", "sub@") as sub:
            assert [sub.get(), sub.get(), sub.get()] == [b"b1", b"a2", b"b2"]


def test_a_publisher_never_reads_and_is_never_told(sp):
    with sp.connect("quotes", "pub") as pub, sp.connect("quotes", "sub@") as sub:
        pub.send(b"x")
        sub.get()
        assert not select.select([pub], [], [], 0.1)[0]


def test_data_sent_by_a_subscriber_closes_it(sp):
    before = sp.figure("quotes", "errors") or 0
    with sp.connect("quotes", "sub") as sub:
        sub.send(b"no control")
        with contextlib.suppress(ConnectionResetError):
            assert sub.get() == b""
    until(lambda: (sp.figure("quotes", "errors") or 0) > before)


def test_a_client_that_only_shut_down_its_sending_side_goes_on_receiving(sp):
    with sp.connect("quotes", "sub") as sub, sp.connect("quotes", "pub") as pub:
        sub.subscribe(b"h")
        sub.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        pub.send(b"half")
        assert sub.get() == b"half"


def test_messages_without_bytes_arrive(sp):
    with sp.connect("quotes", "sub@") as sub, sp.connect("quotes", "pub") as pub:
        pub.send(b"")
        pub.send(b"after")
        assert [sub.get(), sub.get()] == [b"", b"after"]


def test_a_message_without_bytes_is_no_end(sp):
    """It and the end of a connection both come as nothing; whoever closes right behind it has sent it all the same."""
    with sp.connect("work", "pull") as pull:
        for _ in range(20):
            with sp.connect("work", "push") as push:
                push.send(b"work")
                push.send(b"")
                push.send(b"")
            assert [pull.get() for _ in range(3)] == [b"work", b"", b""]
    sp.sees("work", 0)


# ---- slow receivers ----

def swamp(sp, name, n=2000):
    """A subscriber that does not read, behind one that does; what each gets in the end."""
    slow, pub = sp.connect(name, "sub@"), sp.connect(name, "pub")
    for i in range(n):
        pub.send(b"%d" % i)
    until(lambda: (sp.figure(name, "messages_in") or 0) >= n)
    got = []
    while True:
        slow.settimeout(0.3)
        try:
            body = slow.get()
        except (TimeoutError, ConnectionResetError):
            break
        if not body:
            break
        got.append(int(body))
    pub.close()
    slow.close()
    return got


def test_drop_oldest_keeps_the_newest_and_counts_the_rest(sp):
    got = swamp(sp, "last")
    assert got == sorted(got) and got[-1] == 1999 and len(got) < 2000
    until(lambda: sp.figure("last", "dropped") == 2000 - len(got))


def test_drop_newest_keeps_the_oldest_and_counts_the_rest(sp):
    got = swamp(sp, "first")
    assert got == list(range(len(got))) and len(got) < 2000
    until(lambda: sp.figure("first", "dropped") == 2000 - len(got))


def test_conflate_keeps_one(sp):
    got = swamp(sp, "newest")
    assert got == sorted(got) and got[-1] == 1999
    until(lambda: sp.figure("newest", "dropped") == 2000 - len(got))


def test_disconnect_ends_the_slow_one(sp):
    got = swamp(sp, "quick")
    assert got == list(range(len(got))) and len(got) < 2000
    until(lambda: sp.figure("quick", "clients", "status") == 0)


def test_block_holds_the_publisher_and_loses_nothing(sp):
    with sp.connect("strict", "sub@") as sub, sp.connect("strict", "pub") as pub:
        sent = pub.fill(b"x" * 100)
        assert 10 < sent < 20000
        assert not select.select([], [pub], [], 0)[1], "POLLOUT goes out"
        for _ in range(sent):
            assert len(sub.get()) == 100
        assert select.select([], [pub], [], 5)[1], "and comes back"
        assert sp.figure("strict", "dropped") == 0


def test_who_blocks_for_too_long_is_cut_off(sp):
    with sp.connect("strict", "sub@") as slow, sp.connect("strict", "sub@") as good, sp.connect("strict", "pub") as pub:
        pub.setblocking(False)
        sent = got = 0
        while got < 2000:  # more than sockets and queues hold
            readable, writable, _ = select.select([good], [pub] if sent < 2000 else [], [], DEADLINE)
            assert readable or writable
            if readable:
                assert good.get() == b"%d" % got
                got += 1
            if writable:
                with contextlib.suppress(BlockingIOError):
                    pub.send(b"%d" % sent)
                    sent += 1
        until(lambda: sp.figure("strict", "clients", "status") == 2)
        del slow


def test_one_that_never_reads_touches_nobody_else(sp):
    with sp.connect("quotes", "sub@") as stalled, sp.connect("quotes", "sub@") as good, sp.connect("quotes", "pub") as pub:
        for i in range(5000):
            pub.send(b"%d" % i)
            assert good.get() == b"%d" % i
        del stalled


def test_memory_is_bounded_by_bytes_too(sp):
    with sp.connect("quotes", "sub@") as stalled, sp.connect("quotes", "pub") as pub:
        for _ in range(300):
            pub.send(b"x" * 50000)
        until(lambda: (sp.figure("quotes", "service_message_bytes") or 0) > 0)
        assert sp.figure("quotes", "service_message_bytes") <= 1200000
        del stalled


# ---- push and pull ----

def test_each_piece_of_work_goes_to_one_puller(sp):
    with sp.connect("work", "pull") as a, sp.connect("work", "pull") as b, sp.connect("work", "push") as push:
        for i in range(100):
            push.send(b"%d" % i)
        got = sorted(int(s.get()) for s in (a, b) for _ in range(50))
        assert got == list(range(100))


def test_push_waits_for_a_puller(sp):
    with sp.connect("work", "push") as push:
        n = push.fill(b"job")
        assert 0 < n < 2000
        assert not select.select([], [push], [], 0)[1]
        with sp.connect("work", "pull") as pull:
            for _ in range(n):
                assert pull.get() == b"job"
            assert select.select([], [push], [], 5)[1]


def test_a_puller_cannot_send(sp):
    with sp.connect("work", "pull") as pull:
        def refused():
            try:
                pull.send(b"x", socket.MSG_NOSIGNAL)
            except OSError as e:
                return e.errno
        assert until(refused) == errno.EPIPE


def test_what_a_lost_puller_had_not_taken_goes_to_another(sp):
    with sp.connect("work", "push") as push, sp.connect("work", "pull") as lost:
        push.fill(b"x" * 1000, 2000)
        lost.close()
        with sp.connect("work", "pull") as other:
            assert other.get() == b"x" * 1000
            time.sleep(0.05)
            while not other.nothing(0.2):
                pass


def test_what_was_sent_before_close_is_delivered(sp):
    with sp.connect("work", "push") as push:
        for i in range(60):
            push.send(b"%d" % i)
    with sp.connect("work", "pull") as pull:
        assert [int(pull.get()) for _ in range(60)] == list(range(60))


# ---- requests ----

def test_a_request_and_its_reply(sp):
    with sp.connect("ask", "rep") as rep, sp.connect("ask", "req") as req:
        for i in range(20):
            req.send(b"q%d" % i)
            assert rep.get() == b"q%d" % i
            rep.send(b"a%d" % i)
            assert req.get() == b"a%d" % i


def test_a_new_request_ends_the_old_one(sp):
    with sp.connect("ask", "rep") as rep, sp.connect("ask", "req") as req:
        req.send(b"old")
        assert rep.get() == b"old"
        req.send(b"new")
        rep.send(b"to old")  # nobody waits for it
        assert rep.get() == b"new"
        rep.send(b"to new")
        assert req.get() == b"to new"
        assert req.nothing()


def test_several_workers_share_requests_and_each_has_one_at_a_time(sp):
    with contextlib.ExitStack() as stack:
        reqs = [stack.enter_context(sp.connect("ask", "req")) for _ in range(6)]
        reps = [stack.enter_context(sp.connect("ask", "rep")) for _ in range(3)]
        for i, r in enumerate(reqs):
            r.send(b"%d" % i)
        for _ in range(2):
            for w in reps:
                body = w.get()
                assert w.nothing(0.02)
                w.send(b"re " + body)
        for i, r in enumerate(reqs):
            assert r.get() == b"re %d" % i


def test_a_request_goes_to_another_worker_when_the_first_is_lost(sp):
    with sp.connect("ask", "req") as req:
        lost = sp.connect("ask", "rep")
        req.send(b"work")
        assert lost.get() == b"work"
        with sp.connect("ask", "rep") as other:
            lost.close()
            assert other.get() == b"work"
            other.send(b"done")
            assert req.get() == b"done"


def test_a_request_without_an_answer_is_sent_again(sp):
    with sp.connect("again", "req") as req, sp.connect("again", "rep") as silent:
        req.send(b"work")
        assert silent.get() == b"work"
        with sp.connect("again", "rep") as other:
            assert other.get() == b"work"
            other.send(b"done")
            assert req.get() == b"done"


def test_a_request_waits_for_a_worker(sp):
    with sp.connect("ask", "req") as req:
        req.send(b"early")
        with sp.connect("ask", "rep") as rep:
            assert rep.get() == b"early"


def test_a_request_that_takes_too_long_ends_its_connection(sp):
    with sp.connect("late", "req") as req, sp.connect("late", "rep") as rep:
        req.send(b"x")
        assert rep.get() == b"x"
        assert req.get() == b""


# ---- surveys, bus, pair ----

def test_a_survey_ends_at_its_deadline(sp):
    with contextlib.ExitStack() as stack:
        asked = [stack.enter_context(sp.connect("census", "respondent")) for _ in range(3)]
        sp.sees("census", 3)
        surveyor = stack.enter_context(sp.connect("census", "surveyor"))
        surveyor.send(b"who?")
        for i, r in enumerate(asked[:2]):
            assert r.get() == b"who?"
            r.send(b"me %d" % i)
        assert {surveyor.get(), surveyor.get()} == {b"me 0", b"me 1"}
        assert surveyor.get() == b"", "a message without bytes: the time is over"
        asked[2].get()
        asked[2].send(b"too late")
        surveyor.send(b"again?")
        for r in asked:
            assert r.get() == b"again?"
        asked[2].send(b"in time")
        assert surveyor.get() == b"in time"


def test_everybody_on_a_bus_hears_the_others(sp):
    with contextlib.ExitStack() as stack:
        bus = [stack.enter_context(sp.connect("all", "bus")) for _ in range(4)]
        sp.sees("all", 4)
        bus[1].send(b"hello")
        for i in (0, 2, 3):
            assert bus[i].get() == b"hello"
        assert bus[1].nothing()


def test_a_pair_has_two_ends(sp):
    with sp.connect("two", "pair") as a:
        a.send(b"waits")
        with sp.connect("two", "pair") as b:
            assert b.get() == b"waits"
            b.send(b"back")
            assert a.get() == b"back"
            with sp.connect("two", "pair") as third:
                with contextlib.suppress(ConnectionResetError):
                    assert third.get() == b""
        sp.sees("two", 1)
        with sp.connect("two", "pair") as c:
            a.send(b"next")
            assert c.get() == b"next"


def test_who_comes_to_more_than_his_socket_holds_gets_it_all(sp):
    """What waited with many senders goes to the first receiver while its connection is still being made."""
    with contextlib.ExitStack() as stack:
        body = b"x" * 60000
        sent = sum(stack.enter_context(sp.connect("brief", "push")).fill(body, 100) for _ in range(16))
        with sp.connect("brief", "pull") as pull:
            assert all(pull.get() == body for _ in range(sent))
            assert pull.nothing()
        assert sp.process.poll() is None, sp.log


# ---- files and rights ----

def test_owner_group_and_mode_are_as_declared(sp):
    def of(name):
        st = os.stat(sp.path("mine", name))
        return stat.filemode(st.st_mode), st.st_uid, st.st_gid
    assert of("pub") == ("srw-------", 65534, 1)
    assert of("pub.ipc") == ("srw-------", 65534, 1)
    assert of("sub") == ("srw-rw-rw-", 0, 0)
    assert os.stat(sp.dir("mine")).st_mode & 0o777 == 0o755


def connect_as(uid, gid, path, groups=()):
    """errno of connect, or what the first recv says."""
    code = ("import socket, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.settimeout(2)\n"
            f"try:\n s.connect({path!r})\n s.send(b'+x')\n print(s.recv(10))\nexcept OSError as e:\n print(type(e).__name__)\n")
    return subprocess.run(["python3", "-c", code], user=uid, group=gid, extra_groups=list(groups), capture_output=True, text=True, check=True).stdout.strip()


def test_the_mode_of_the_file_is_the_authorisation(sp):
    assert connect_as(1, 1, sp.path("mine", "pub")) == "PermissionError"


def test_only_the_users_and_groups_that_are_named_get_in(sp):
    sub = sp.path("mine", "sub")
    assert connect_as(1, 1, sub) == "b'+x'"
    assert connect_as(13, 2, sub) == "b'+x'"  # group bin
    assert connect_as(13, 13, sub, [2]) == "b'+x'"
    assert connect_as(13, 13, sub) in ("b''", "ConnectionResetError", "BrokenPipeError")
    until(lambda: sp.figure("mine", "refused") == 1)
    assert "client_refused" in sp.log and "uid=13" in sp.log


def test_readable_files_say_who_is_there(sp):
    with sp.connect("quotes", "sub@"), sp.connect("quotes", "pub"):
        def rows():
            return [r.split() for r in (sp.dir("quotes") / "peers").read_text().splitlines()]
        until(lambda: sorted(r[1] for r in rows()[1:]) == ["pub", "sub"])
        assert rows()[0][:6] == ["id", "role", "door", "edge", "pid", "uid"]
        assert {r[4] for r in rows()[1:]} == {str(os.getpid())}
        until(lambda: "1 x pub" in (sp.dir("quotes") / "graph").read_text())


def test_an_unknown_topology_or_role_is_no_file(sp):
    for name, file in (("nothing", "pub"), ("quotes", "push")):
        with pytest.raises(FileNotFoundError):
            sp.connect(name, file)


def test_a_message_above_the_limit_of_the_topology_is_dropped_and_counted(services):
    sp = services(topology("small", "pubsub", maxMessageBytes=100))
    with sp.connect("small", "sub@") as sub, sp.connect("small", "pub") as pub:
        pub.send(b"x" * 101)
        pub.send(b"fits")
        assert sub.get() == b"fits"
        until(lambda: sp.figure("small", "dropped") == 1)


def test_a_message_above_the_socket_buffer_fails_at_the_sender(sp):
    with sp.connect("quotes", "pub") as pub:
        with pytest.raises(OSError) as e:
            pub.send(b"x" * 300000)
        assert e.value.errno == errno.EMSGSIZE
        pub.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        with sp.connect("quotes", "sub@") as sub:
            pub.send(b"x" * 300000)
            assert len(sub.get()) == 300000


def test_what_a_program_does_wrong_is_logged_once_with_its_process(services):
    sp = services(topology("quotes", "pubsub", maxMessageBytes=100, queue={"messages": 10}), topology("ask", "reqrep"))

    def lines(event, role, reason):
        return [x for x in sp.log.splitlines() if f"event={event} " in x and f"role={role} " in x and f'pid={os.getpid()} ' in x and reason in x]

    with sp.connect("quotes", "sub") as sub:
        sub.send(b"no control")
        until(lambda: lines("peer_closed", "sub", "wrong role"))
    with sp.connect("quotes", "pub") as pub, sp.connect("quotes", "sub@") as stalled:
        for _ in range(3):
            pub.send(b"x" * 101)
        for _ in range(2000):
            pub.send(b"x")
        until(lambda: lines("messages_dropped", "pub", "above maxMessageBytes") and lines("messages_dropped", "sub", "queue is full"))
        del stalled
    with sp.connect("ask", "rep") as rep:
        rep.send(b"nobody has asked")
        until(lambda: lines("messages_dropped", "rep", "nobody has asked"))
    assert len(lines("messages_dropped", "pub", "above")) == len(lines("messages_dropped", "sub", "full")) == 1


def test_who_floods_the_log_hides_nobody_else(services):
    sp = services(topology("mine", "pubsub", access=[{"roles": ["sub"], "users": ["daemon"]}]), topology("quotes", "pubsub"))
    code = f"import socket\nfor _ in range(200):\n with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s: s.connect({sp.path('mine', 'sub')!r})"
    subprocess.run(["python3", "-c", code], user=13, group=13, extra_groups=[], check=True)
    until(lambda: sp.log.count("event=client_refused") == 20)
    with sp.connect("quotes", "sub") as sub:
        sub.send(b"no control")
        until(lambda: "event=peer_closed" in sp.log)
    assert sp.log.count("event=client_refused") == 20
    until(lambda: sp.figure("mine", "refused") == 200)


# ---- other people's tools at the ipc door ----

def ipc(sp, name, role):
    return "ipc://" + sp.path(name, role + ".ipc")


def test_nngcat_subscribes_and_publishes(sp):
    sub = subprocess.Popen(["nngcat", "--sub", "--subscribe=N", "--dial", ipc(sp, "quotes", "sub"), "--quoted", "--count=2"],
                           stdout=subprocess.PIPE, text=True)
    sp.sees("quotes", 1)
    with sp.connect("quotes", "pub") as pub, sp.connect("quotes", "sub@") as here:
        pub.send(b"N1")
        pub.send(b"other")
        subprocess.run(["nngcat", "--pub", "--dial", ipc(sp, "quotes", "pub"), "--data", "N2", "--delay=1", "--count=1"], check=True, timeout=20)
        assert [here.get() for _ in range(3)] == [b"N1", b"other", b"N2"]
    assert sub.communicate(timeout=10)[0].split() == ['"N1"', '"N2"']


def test_nanocat_pushes_to_a_plain_puller(sp):
    with sp.connect("work", "pull") as pull:
        push = subprocess.Popen(["nanocat", "--push", "--connect", ipc(sp, "work", "push"), "--data", "from nanomsg", "-i", "1"])
        try:
            assert pull.get() == b"from nanomsg"
        finally:
            push.kill()
            push.wait()


@pytest.mark.parametrize("tool", [["nngcat", "--req", "--dial"], ["nanocat", "--req", "--connect"]])
def test_requests_of_libraries_are_answered_by_a_plain_worker(sp, tool):
    with sp.connect("ask", "rep") as rep:
        p = subprocess.Popen([*tool, ipc(sp, "ask", "req"), "--data", "ping", "--raw" if tool[0] == "nngcat" else "-A"], stdout=subprocess.PIPE, text=True)
        try:
            assert rep.get() == b"ping"
            rep.send(b"pong")
            assert p.stdout.readline().strip().startswith("pong") or p.poll() is None
        finally:
            p.kill()
            p.wait()


def test_a_worker_of_a_library_answers_a_plain_request(sp):
    rep = subprocess.Popen(["nngcat", "--rep", "--dial", ipc(sp, "ask", "rep"), "--data", "pong", "--raw"], stdout=subprocess.DEVNULL)
    try:
        with sp.connect("ask", "req") as req:
            req.send(b"ping")
            assert req.get() == b"pong"
    finally:
        rep.kill()
        rep.wait()


def test_a_survey_reaches_respondents_of_libraries(sp):
    r = subprocess.Popen(["nanocat", "--respondent", "--connect", ipc(sp, "census", "respondent"), "--data", "nano"])
    try:
        sp.sees("census", 1)
        with sp.connect("census", "surveyor") as surveyor:
            surveyor.send(b"who?")
            assert surveyor.get() == b"nano"
            assert surveyor.get() == b""
    finally:
        r.kill()
        r.wait()


@pytest.mark.parametrize("version", ["--pair0", "--pair1"])
def test_both_versions_of_pair_are_spoken(sp, version):
    with sp.connect("two", "pair") as here:
        p = subprocess.Popen(["nngcat", version, "--dial", ipc(sp, "two", "pair"), "--data", "hi", "--raw"], stdout=subprocess.PIPE)
        try:
            assert here.get() == b"hi"
            here.send(b"back")
            assert p.stdout.read(4) == b"back"
        finally:
            p.kill()
            p.wait()
    sp.sees("two", 0)


def test_a_broken_handshake_is_closed_and_counted(sp):
    before = sp.figure("quotes", "broken_peers") or 0
    for hello in (b"GET / HTTP/1.1\r\n", b"\0SP\0\0\x30\0\0", b"\0SP\0\0\x20\0\x01"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(5)
            s.connect(sp.path("quotes", "pub.ipc"))
            s.send(hello)
            with contextlib.suppress(ConnectionResetError):
                while s.recv(100):
                    pass
    until(lambda: sp.figure("quotes", "broken_peers") == before + 3)


def raw_peer(sp, name, role, kind):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect(sp.path(name, role + ".ipc"))
    s.send(b"\0SP\0\0" + bytes([kind]) + b"\0\0")
    assert s.recv(8)[:4] == b"\0SP\0"
    return s


def frame(payload, length=None):
    return b"\1" + (len(payload) if length is None else length).to_bytes(8, "big") + payload


def test_an_announced_length_of_2_to_the_63_closes_and_takes_no_memory(sp):
    with raw_peer(sp, "quotes", "pub", 0x20) as s:
        s.send(frame(b"x", 1 << 63))
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(1) == b""


def test_a_storm_of_hops_is_dropped(sp):
    before = sp.figure("ask", "dropped") or 0
    with raw_peer(sp, "ask", "req", 0x30) as s, sp.connect("ask", "rep") as rep:
        deep = b"".join(i.to_bytes(4, "big") for i in range(1, 12)) + b"\x80\0\0\1"
        for _ in range(50):
            s.send(frame(deep + b"storm"))
        s.send(frame(b"\x80\0\0\2" + b"calm"))
        assert rep.get() == b"calm"
        rep.send(b"ok")
        assert s.recv(100) == frame(b"\x80\0\0\2ok")
    until(lambda: sp.figure("ask", "dropped") == before + 50)
    assert "too many hops" in sp.log


# ---- life ----

def test_a_restart_ends_connections_but_loses_no_file(services):
    sp = services(topology("quotes", "pubsub"))
    sub = sp.connect("quotes", "sub@")
    files = {"pub", "sub", "sub@", "pub.ipc", "sub.ipc"}
    until(lambda: files <= {f.name for f in sp.dir("quotes").iterdir()})
    inode = os.stat(sp.path("quotes", "sub")).st_ino
    sp.stop(signal.SIGKILL)
    with contextlib.suppress(ConnectionResetError):
        assert sub.get() == b""
    assert files <= {f.name for f in sp.dir("quotes").iterdir()}
    with pytest.raises(ConnectionRefusedError):
        sp.connect("quotes", "sub")
    sp.start()
    assert os.stat(sp.path("quotes", "sub")).st_ino != inode
    with sp.connect("quotes", "sub@") as s, sp.connect("quotes", "pub") as p:
        p.send(b"again")
        assert s.get() == b"again"


def test_the_names_of_files_never_disappear_while_the_service_starts(services):
    sp = services(topology("quotes", "pubsub"))
    for _ in range(3):
        sp.stop()
        assert os.path.exists(sp.path("quotes", "sub"))
        sp.start()


def test_what_send_accepted_is_delivered_before_the_service_stops(services):
    sp = services(topology("work", "pipeline"), topology("quotes", "pubsub"))
    with sp.connect("quotes", "sub@") as sub, sp.connect("quotes", "pub") as pub:
        for i in range(500):
            pub.send(b"%d" % i)
        until(lambda: sp.figure("quotes", "messages_in") == 500)
        sp.process.send_signal(signal.SIGTERM)
        assert [int(sub.get()) for _ in range(500)] == list(range(500))
        sp.process.wait(5)


def test_topologies_come_change_and_go_with_their_files(services):
    sp = services(topology("one", "pubsub"))
    stays = sp.connect("one", "sub@")
    sp.declare(topology("two", "pipeline"))
    until(lambda: sp.is_served("two"))
    sp.declare(topology("one", "pubsub", filters=[{"prefix": "x"}]))
    until(lambda: os.path.exists(sp.path("one", "sub@x")))
    with sp.connect("one", "pub") as pub:
        pub.send(b"still here")
        assert stays.get() == b"still here"
    sp.undeclare("two")
    until(lambda: not sp.dir("two").exists())
    sp.undeclare("one")
    until(lambda: not sp.dir("one").exists())
    assert stays.get() == b""


def test_a_wrong_file_changes_nothing_and_says_why(services):
    sp = services(topology("one", "pubsub"))
    (sp.config / "one.json").write_text('{"apiVersion": "sp.atoll.dev/v1", "kind": "Topology", "metadata": {"name": "one"}, "spec": {"pattern": "smoke"}}')
    until(lambda: "spec.pattern" in sp.log)
    assert sp.is_served("one")


def test_nothing_to_do_costs_nothing(services):
    sp = services(topology("quotes", "pubsub"), topology("work", "pipeline"))
    with sp.connect("quotes", "sub"), sp.connect("work", "push") as push:
        push.fill(b"x")

        def rests():
            before = cpu_seconds(sp.process.pid)
            time.sleep(1)
            return cpu_seconds(sp.process.pid) - before <= 0.03
        until(rests)  # the first second may still be that of the messages above
    assert pss_kib(sp.process.pid) <= 4096


def test_a_full_disk_stops_no_message(services):
    """Only the readable files stand still, and the log says so; they go on when there is room again."""
    sp = services(topology("quotes", "pubsub", retain=10))
    sp.stop()
    run = sp.root / "run/atoll/sp"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(run)], check=True)
    try:
        sp.start()
        until(lambda: sp.figure("quotes", "messages_in") == 0)
        filler = open(run / "filler", "wb", buffering=0)
        with contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 4096)
        with sp.connect("quotes", "sub@") as sub, sp.connect("quotes", "pub") as pub:
            for i in range(100):
                pub.send(b"%d" % i)
                assert sub.get() == b"%d" % i
            until(lambda: "status_not_written" in sp.log)
            sp.declare(topology("more", "pubsub"))
            until(lambda: sp.is_served("more") or "config_refused" in sp.log)
            filler.truncate(0)
            until(lambda: sp.figure("quotes", "messages_in") == 100)
        filler.close()
    finally:
        sp.stop()
        subprocess.run(["umount", str(run)], check=True)


def test_an_ordinary_user_runs_a_service_of_his_own():
    service = Service(topology("quotes", "pubsub"))
    try:
        for path in (service.root, service.config, service.config / "quotes.json"):
            os.chown(path, 1, 1)
        service.start(user=1, group=1)
        assert os.stat(service.path("quotes", "sub")).st_uid == 1
        with service.connect("quotes", "sub@") as sub, service.connect("quotes", "pub") as pub:
            pub.send(b"mine")
            assert sub.get() == b"mine"
    finally:
        service.end()
