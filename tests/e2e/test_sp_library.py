"""libatoll-sp and libatoll-sp-preload: programs that share memory, with each other and with those at the service's socket files."""
import array
import contextlib
import ctypes
import errno
import mmap
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from atoll_cluster import BUILD, TOP, until
from sp_service import Service, topology

ALL = [
    topology("quotes", "pubsub"),
    topology("kept", "pubsub", retain=3),
    topology("strict", "pubsub", queue={"policy": "block", "blockTimeoutMs": 500}),
    topology("patient", "pubsub", queue={"policy": "block", "blockTimeoutMs": 60000}),
    topology("newest", "pubsub", queue={"policy": "conflate"}),
    topology("first", "pubsub", queue={"messages": 10, "policy": "drop-newest"}),
    topology("quick", "pubsub", queue={"policy": "disconnect"}),
    topology("work", "pipeline"),
    topology("ask", "reqrep", requestResendMs=300),
    topology("two", "pair"),
    topology("closed", "pubsub", roles=[{"name": "pub", "owner": "root", "mode": 0o600}]),
]
DONTWAIT = socket.MSG_DONTWAIT
LIBRARY = f"{BUILD}/lib/libatoll-sp.so"
PRELOAD = f"{BUILD}/lib/libatoll-sp-preload.so"


ROLES = {"pubsub": ("pub", "sub"), "pipeline": ("push", "pull"), "reqrep": ("req", "rep")}


def start(service, *topologies):
    """The ring files come after the plain ones, for whose sake a service counts as started."""
    def serves(path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return s.connect_ex(path) == 0

    service.start()
    for t in topologies:
        if t["spec"].get("queue", {}).get("policy") != "drop-newest":
            for role in ROLES.get(t["spec"]["pattern"], ()):
                until(lambda: serves(service.path(t["metadata"]["name"], f".ring/{role}")))
    return service


@pytest.fixture(scope="module")
def sp():
    with contextlib.ExitStack() as stack:
        service = Service(*ALL)
        stack.callback(service.end)
        yield start(service, *ALL)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    out = tmp_path_factory.mktemp("sp-programs")
    for name, more in (("posix_program", []), ("library_program", [LIBRARY])):
        subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", "-Wall", "-Werror", f"-I{TOP}/include", f"{TOP}/tests/sp/{name}.c", "-o", out / name,
                        *more, f"-Wl,-rpath,{BUILD}/lib"], check=True)
    return out


def load():
    lib = ctypes.CDLL(LIBRARY, use_errno=True)
    p, n, i = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for name, result, arguments in (
            ("open", p, [ctypes.c_char_p] * 2), ("send", i, [p, ctypes.c_char_p, n, i]), ("recv", ctypes.c_ssize_t, [p, p, n, i]),
            ("subscribe", i, [p, ctypes.c_char_p, n]), ("unsubscribe", i, [p, ctypes.c_char_p, n]), ("timeout", i, [p, i, i]), ("fd", i, [p]),
            ("lost", ctypes.c_uint64, [p]), ("largest", n, [p]), ("is_ring", i, [p]), ("close", None, [p])):
        f = getattr(lib, "sp_" + name)
        f.restype, f.argtypes = result, arguments
    return lib


class End:
    """One end of a topology by the library, in this process."""

    lib = None

    def __init__(self, service, name, role, subscribe=None, timeout=10000):
        End.lib = End.lib or load()
        self.p = self.lib.sp_open(str(service.dir(name)).encode(), role.encode())
        if not self.p:
            raise OSError(ctypes.get_errno(), "sp_open")
        self.buffer = ctypes.create_string_buffer(1 << 20)
        self.lib.sp_timeout(self.p, timeout, timeout)
        if subscribe is not None:
            self.subscribe(subscribe)

    def _ok(self, result):
        if result < 0:
            e = ctypes.get_errno()
            raise OSError(e, os.strerror(e))
        return result

    def send(self, body, flags=0):
        self._ok(self.lib.sp_send(self.p, body, len(body), flags))

    def get(self, flags=0):
        n = self._ok(self.lib.sp_recv(self.p, self.buffer, len(self.buffer), flags))
        return ctypes.string_at(self.buffer, n)

    def rest(self):
        """All that is there now."""
        out = []
        with contextlib.suppress(BlockingIOError):
            while True:
                out.append(self.get(DONTWAIT))
        return out

    def subscribe(self, prefix):
        self._ok(self.lib.sp_subscribe(self.p, prefix, len(prefix)))

    def unsubscribe(self, prefix):
        self._ok(self.lib.sp_unsubscribe(self.p, prefix, len(prefix)))

    @property
    def lost(self):
        return self.lib.sp_lost(self.p)

    @property
    def is_ring(self):
        return bool(self.lib.sp_is_ring(self.p))

    def fileno(self):
        return self.lib.sp_fd(self.p)

    def close(self):
        p, self.p = self.p, None
        self.lib.sp_close(p)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p:
            self.close()


def fails(number, call, *arguments):
    with pytest.raises(OSError) as e:
        call(*arguments)
    assert e.value.errno == number, e.value


# ---- the library ----

def test_messages_go_by_memory_from_the_first_one_on(sp):
    with End(sp, "quotes", "sub", b"NASDAQ") as sub, End(sp, "quotes", "pub") as pub:
        assert sub.is_ring and pub.is_ring
        for body in (b"NASDAQ 1", b"NYSE", b"NASDAQ 2"):
            pub.send(body)
        assert [sub.get(), sub.get()] == [b"NASDAQ 1", b"NASDAQ 2"]
        fails(errno.EAGAIN, sub.get, DONTWAIT)
        with End(sp, "quotes", "pub") as other:
            other.send(b"NASDAQ 3")  # before the subscriber has heard of this publisher
            assert sub.get() == b"NASDAQ 3"
        assert sub.lost == 0


def test_subscriptions_change_and_many_are_matched(sp):
    with End(sp, "quotes", "sub") as sub, End(sp, "quotes", "pub") as pub:
        pub.send(b"nobody wants this")
        for i in range(200):
            sub.subscribe(b"s%03d." % i)
        sub.unsubscribe(b"s100.")
        for i in range(0, 300, 50):
            pub.send(b"s%03d.x" % i)
        assert sub.rest() == [b"s000.x", b"s050.x", b"s150.x"]
        for i in range(200):
            if i != 150:
                sub.unsubscribe(b"s%03d." % i)
        pub.send(b"s000.y")
        pub.send(b"s150.y")
        assert sub.rest() == [b"s150.y"]
        sub.unsubscribe(b"s150.")
        pub.send(b"s150.z")
        assert sub.rest() == []


def test_errors(sp):
    fails(errno.ENOENT, End, sp, "nowhere", "pub")
    fails(errno.EINVAL, End, sp, "quotes", "nobody")
    fails(errno.ENOENT, End, sp, "quotes", "push")
    with End(sp, "quotes", "pub") as pub, End(sp, "quotes", "sub", timeout=50) as sub, End(sp, "ask", "rep") as rep:
        fails(errno.EOPNOTSUPP, pub.get)
        fails(errno.EOPNOTSUPP, sub.send, b"x")
        fails(errno.EOPNOTSUPP, pub.subscribe, b"x")
        fails(errno.ETIMEDOUT, sub.get)
        fails(errno.EMSGSIZE, pub.send, b"x" * (pub.lib.sp_largest(pub.p) + 1))
        fails(errno.EPROTO, rep.send, b"x")


def test_who_may_not_open_the_file_gets_no_ring(sp):
    script = ("import ctypes, os, sys; os.setgid(65534); os.setuid(65534); l = ctypes.CDLL(sys.argv[1], use_errno=True); l.sp_open.restype = ctypes.c_void_p; "
              "print(l.sp_open(sys.argv[2].encode(), b'pub'), ctypes.get_errno())")
    out = subprocess.run(["/usr/bin/python3", "-c", script, LIBRARY, sp.dir("closed")], capture_output=True, text=True, check=True).stdout
    assert out == f"None {errno.EACCES}\n"


def test_every_loss_is_counted(sp):
    with End(sp, "quotes", "sub", b"") as sub, End(sp, "quotes", "sub", b"") as slow, End(sp, "quotes", "pub") as pub:
        got, body = [], b"x" * 4000
        for i in range(6000):  # three times the ring
            pub.send(b"%06d" % i + body)
            if i % 200 == 0:
                got += sub.rest()
        got += sub.rest()
        assert [int(m[:6]) for m in got] == list(range(6000)) and sub.lost == 0
        late = [int(m[:6]) for m in slow.rest()]
        assert late == list(range(late[0], 6000)) and slow.lost == late[0] > 1000


def test_block_delivers_all_and_cuts_off_who_stalls(sp):
    with End(sp, "strict", "pub") as pub, End(sp, "strict", "sub", b"") as good, End(sp, "strict", "sub", b"") as bad:
        numbers = []

        def read():
            while len(numbers) < 5000:
                numbers.append(int(good.get()[:6]))

        reader = threading.Thread(target=read)
        reader.start()
        for i in range(5000):
            pub.send(b"%06d" % i + b"x" * 4000)  # waits for the stalled one, until it has been cut off
        reader.join(20)
        assert numbers == list(range(5000)) and good.lost == 0
        with pytest.raises(ConnectionResetError):
            while True:
                bad.get()
        assert "receiver_too_slow" in sp.log


def test_without_room_it_is_not_writable(sp):
    with End(sp, "strict", "pub") as pub, End(sp, "strict", "sub", b"") as sub:
        with pytest.raises(BlockingIOError):
            while True:
                pub.send(b"x" * 60000, DONTWAIT)
        assert select.select([], [pub], [], 0.02) == ([], [], [])
        while sub.rest():
            pass
        assert select.select([], [pub], [], 5) == ([], [pub], [])
        pub.send(b"y", DONTWAIT)


def test_conflation_keeps_the_newest(sp):
    with End(sp, "newest", "sub", b"a") as sub, End(sp, "newest", "pub") as pub:
        for i in range(100):
            pub.send(b"a%d" % i)
            pub.send(b"b%d" % i)
        assert sub.rest() == [b"a99"] and sub.lost == 0


def test_who_is_lapped_is_disconnected_where_declared(sp):
    with End(sp, "quick", "sub", b"") as sub, End(sp, "quick", "pub") as pub:
        for i in range(3000):
            pub.send(b"x" * 4000)
        fails(errno.ECONNRESET, sub.get)


def test_retained_messages_come_first(sp):
    with End(sp, "kept", "pub") as pub:
        for i in range(5):
            pub.send(b"k%d" % i)
        until(lambda: sp.figure("kept", "retained") == 3)
        with End(sp, "kept", "sub", b"k") as sub:
            got = [sub.get() for _ in range(3)]
            while got[-1] != b"k4":  # the service had not read them all yet
                got.append(sub.get())
            assert got == [b"k0", b"k1", b"k2", b"k3", b"k4"][-len(got):]
            pub.send(b"k5")
            assert sub.get() == b"k5"


def test_what_was_sent_before_close_is_delivered(sp):
    with End(sp, "quotes", "sub", b"") as sub, sp.connect("quotes", "sub@") as plain, End(sp, "work", "pull") as pull:
        with End(sp, "quotes", "pub") as pub, End(sp, "work", "push") as push:
            for i in range(100):
                pub.send(b"%d" % i)
                push.send(b"%d" % i)
        assert [int(sub.get()) for _ in range(100)] == list(range(100))
        assert [int(plain.get()) for _ in range(100)] == list(range(100))
        assert [int(pull.get()) for _ in range(100)] == list(range(100))


@pytest.mark.parametrize("big", [100, 60000])
def test_rings_and_sockets_meet(sp, big):
    with End(sp, "quotes", "sub", b"") as ring_sub, sp.connect("quotes", "sub") as plain_sub, \
         End(sp, "quotes", "pub") as ring_pub, sp.connect("quotes", "pub") as plain_pub:
        plain_sub.subscribe(b"m")
        for sender in (ring_pub, plain_pub):
            for i in range(20):
                body = b"m%d" % i + b"." * big
                sender.send(body)
                assert plain_sub.get() == body and ring_sub.get() == body
        ring_pub.send(b"not for all")
        assert ring_sub.get() == b"not for all" and plain_sub.nothing()


def test_pipeline_shares_its_work_among_rings_and_sockets(sp):
    with End(sp, "work", "push") as push, End(sp, "work", "pull") as a, End(sp, "work", "pull") as b, sp.connect("work", "pull") as c:
        sp.sees("work", 4)
        for i in range(300):
            push.send(b"%d" % i)
        counts, seen = {a: 0, b: 0, c: 0}, set()
        while len(seen) < 300:
            ready = select.select([a, b, c], [], [], 5)[0]
            assert ready, (counts, len(seen))
            for end in ready:
                bodies = end.rest() if end is not c else [c.get()]
                seen |= set(map(int, bodies))
                counts[end] += len(bodies)
        assert sum(counts.values()) == 300 and min(counts.values()) >= 20, counts
        with sp.connect("work", "push") as plain:
            plain.send(b"plain")
            ready = select.select([a, b, c], [], [], 5)[0]
            assert ready and b"plain" in [r.get() for r in ready]


def test_requests_are_answered_across_doors_and_again_when_a_worker_is_gone(sp):
    with End(sp, "ask", "req") as req, sp.connect("ask", "req") as plain:
        with End(sp, "ask", "rep") as rep:
            for asker in (req, plain):
                asker.send(b"q")
                assert rep.get() == b"q"
                rep.send(b"a")
                assert asker.get() == b"a"
            fails(errno.EPROTO, req.get)
            req.send(b"lost")
            assert rep.get() == b"lost"
        with End(sp, "ask", "rep") as rep:
            worker = threading.Thread(target=lambda: (rep.get(), rep.send(b"found")))
            worker.start()
            assert req.get() == b"found"  # sent again after requestResendMs
            worker.join(10)
        with sp.connect("ask", "rep") as rep:
            worker = threading.Thread(target=lambda: (rep.get(), rep.send(b"from a socket")))
            worker.start()
            req.send(b"to a socket")  # to the one before, perhaps, if its end has not been heard of
            assert req.get() == b"from a socket"
            worker.join(10)


def test_time_outs_hold_through_the_socket_too(sp):
    with End(sp, "two", "pair", timeout=50) as a, End(sp, "first", "sub", b"", timeout=50) as sub:
        fails(errno.ETIMEDOUT, a.get)
        fails(errno.ETIMEDOUT, sub.get)
        fails(errno.EAGAIN, sub.get, DONTWAIT)


def test_roles_without_rings_go_through_the_socket(sp):
    with End(sp, "two", "pair") as a, End(sp, "two", "pair") as b, End(sp, "first", "sub", b"x") as sub, End(sp, "first", "pub") as pub:
        assert not a.is_ring and not sub.is_ring
        a.send(b"ping")
        assert b.get() == b"ping"
        pub.send(b"y")
        pub.send(b"x")
        assert sub.get() == b"x"


def test_who_closes_and_opens_again_at_once_does_not_meet_itself(sp):
    """A pair has two ends, but one that was closed before does not count, even where the service has not heard of that yet."""
    for i in range(300):
        with End(sp, "two", "pair") as gone:
            if i % 3 == 0:
                gone.send(b"left behind")
        with End(sp, "two", "pair") as a, End(sp, "two", "pair") as b:
            if i % 3 == 0:
                assert a.get() == b"left behind"
            a.send(b"%d" % i)
            assert b.get() == b"%d" % i
            b.send(b"back")
            assert a.get() == b"back"


def test_the_descriptor_polls(sp):
    with End(sp, "quotes", "sub", b"") as sub, End(sp, "quotes", "pub") as pub:
        for i in range(50):
            fails(errno.EAGAIN, sub.get, DONTWAIT)
            assert select.select([sub], [], [], 0)[0] == []
            timer = threading.Timer(0.002, pub.send, [b"x"])
            timer.start()
            assert select.select([sub], [], [], 5)[0] == [sub]
            assert sub.get(DONTWAIT) == b"x"
            timer.join()


def test_many_subscribers_beyond_those_a_publisher_wakes_itself(sp):
    with contextlib.ExitStack() as stack:
        subs = [stack.enter_context(End(sp, "quotes", "sub", b"")) for _ in range(40)]
        pub = stack.enter_context(End(sp, "quotes", "pub"))
        for i in range(20):
            for s in subs:
                assert s.rest() == []
            pub.send(b"%d" % i)
            waiting = set(subs)
            while waiting:
                ready = select.select(list(waiting), [], [], 5)[0]
                assert ready
                waiting -= set(ready)
            assert all(s.rest() == [b"%d" % i] for s in subs)


def test_a_restart_resets_and_the_file_is_there_at_once(sp):
    service = Service(topology("q", "pubsub"))
    try:
        for how in (signal.SIGTERM, signal.SIGKILL):
            start(service, topology("q", "pubsub"))
            with End(service, "q", "sub", b"") as sub, End(service, "q", "pub") as pub:
                pub.send(b"x")
                assert sub.get() == b"x"
                service.stop(how)
                with pytest.raises(ConnectionResetError):
                    for _ in range(1 << 20):
                        pub.send(b"y")
                with pytest.raises(ConnectionResetError):
                    while True:
                        sub.get()
        assert os.path.exists(service.path("q", ".ring/pub"))
    finally:
        service.end()


# ---- hostile programs ----

SEALS = 0x2 | 0x4 | 0x10  # F_SEAL_SHRINK, GROW, FUTURE_WRITE
HEAD = struct.Struct("=HHIIHHQQQ")
HELLO = HEAD.pack(2, 0, 0, 0, 0, 1, 8 << 20, 0, 0)


def memfd(size, seals=SEALS, sparse=False):
    import fcntl
    fd = os.memfd_create("hostile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    if sparse:
        os.ftruncate(fd, size)
    else:
        os.posix_fallocate(fd, 0, size)
    m = mmap.mmap(fd, size)
    fcntl.fcntl(fd, 1033, seals)
    return fd, m


class Hostile(socket.socket):
    """Speaks the session's protocol by hand."""

    def __init__(self, service, name, role):
        super().__init__(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.settimeout(5)
        self.connect(service.path(name, f".ring/{role}"))
        data, fds, _, _ = socket.recv_fds(self, 100, 3)
        assert HEAD.unpack(data)[0] == 1
        self.fds = fds

    def say(self, message, fds=()):
        self.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])

    def is_cut(self):
        with contextlib.suppress(ConnectionResetError):
            while True:
                data, fds, _, _ = socket.recv_fds(self, 100, 3)
                for fd in fds:
                    os.close(fd)
                if not data:
                    return True
        return True


def well(sp):
    """Everybody else goes on."""
    with End(sp, "quotes", "sub", b"") as sub, End(sp, "quotes", "pub") as pub:
        pub.send(b"well")
        assert sub.get() == b"well"


@pytest.mark.parametrize("what", ["garbage", "short", "wrong version", "no descriptors", "too many", "no seals", "too small", "not a memfd", "sparse"])
def test_a_broken_greeting_is_refused(sp, what):
    with Hostile(sp, "quotes", "pub") as h:
        side, ring = memfd(4096)[0], memfd((8 << 20) + 4096)[0]
        message, fds = HELLO, [side, ring]
        if what == "garbage":
            message = b"\xff" * 40
        elif what == "short":
            message, fds = HELLO[:20], []
        elif what == "wrong version":
            message = HEAD.pack(2, 0, 0, 0, 0, 99, 0, 0, 0)
        elif what == "no descriptors":
            fds = []
        elif what == "too many":
            fds = [side] * 20
        elif what == "no seals":
            fds = [side, memfd((8 << 20) + 4096, seals=0)[0]]
        elif what == "too small":
            fds = [memfd(1024)[0], ring]
        elif what == "not a memfd":
            fds = [side, os.open("/dev/null", os.O_RDWR)]
        elif what == "sparse":
            fds = [side, memfd((8 << 20) + 4096, sparse=True)[0]]
        h.say(message, fds)
        assert h.is_cut()
        for fd in {side, ring, *fds, *h.fds}:
            os.close(fd)
    well(sp)


def ring_header(size=8 << 20, magic=0x70735241, version=1, maximum=1 << 20, written=0, reserved=0):
    return struct.pack("=IIQI44xQQQQ", magic, version, size, maximum, written, reserved, 0, 0)


@pytest.mark.parametrize("message", [
    struct.pack("=IIQ", 0xffffffff, 0, 0), struct.pack("=IIQ", 2000000, 0, 0), struct.pack("=IIQ", 8, 1, 0), struct.pack("=IIQ", 8, 0, 77)])
@pytest.mark.parametrize("written", [1 << 63, 32, 17])
def test_a_hostile_publisher_harms_nobody(sp, message, written):
    with End(sp, "quotes", "sub", b"") as sub, sp.connect("quotes", "sub@") as plain, Hostile(sp, "quotes", "pub") as h:
        side, _ = memfd(4096)
        ring, m = memfd((8 << 20) + 4096)
        m[:108] = ring_header().ljust(108, b"\0")[:108]
        h.say(HELLO, [side, ring])
        data = socket.recv_fds(h, 100, 3)
        assert data[0]
        m[4096:4096 + len(message)] = message
        m[64:80] = struct.pack("=QQ", written, written)
        h.say(b"!")  # rings
        if written != 1 << 63:  # that looks like a writer who has lapped everybody
            assert h.is_cut()  # since the service reads it for the plain subscriber
        with contextlib.suppress(OSError):
            for _ in range(4):
                sub.get(DONTWAIT)
        with End(sp, "quotes", "pub") as pub:
            pub.send(b"well")
            assert sub.get() == b"well" and plain.get() == b"well"
        for fd in (side, ring, *h.fds):
            os.close(fd)


def test_who_blames_a_good_publisher_only_loses_the_short_way(sp):
    with End(sp, "quotes", "pub") as pub, Hostile(sp, "quotes", "sub") as h, End(sp, "quotes", "sub", b"") as sub:
        side, _ = memfd(4096)
        h.say(HELLO, [side])
        message = None
        while not message or message[0] != 3:  # SOURCE
            data, fds, _, _ = socket.recv_fds(h, 100, 3)
            message = HEAD.unpack(data)
            for fd in fds:
                os.close(fd)
        for number in (message[2], message[2], 12345):
            h.say(HEAD.pack(12, 0, number, 0, 0, 1, 0, 0, 0))
        for i in range(100):
            pub.send(b"%d" % i)
            assert sub.get() == b"%d" % i
        assert sub.lost == 0
        for fd in (side, *h.fds):
            os.close(fd)


def test_a_change_of_policy_resets_those_who_were_told_the_old_one(sp):
    service = start(Service(topology("q", "pubsub")), topology("q", "pubsub"))
    try:
        with End(service, "q", "sub", b"") as sub, Hostile(service, "q", "sub") as silent:
            service.declare(topology("q", "pubsub", queue={"policy": "block"}))
            with pytest.raises(ConnectionResetError):
                sub.get()
            assert silent.is_cut()
        with End(service, "q", "sub", b"") as sub, Hostile(service, "q", "pub") as silent:
            service.undeclare("q")
            with pytest.raises(ConnectionResetError):
                sub.get()
            assert silent.is_cut()
        service.declare(topology("q", "pubsub"))
        until(lambda: service.is_served("q"))
    finally:
        service.end()


def test_who_connects_and_says_nothing_is_bounded(sp):
    quiet = [Hostile(sp, "quotes", "sub") for _ in range(200)]
    well(sp)
    for h in quiet:
        for fd in h.fds:
            os.close(fd)
        h.close()
    well(sp)


# ---- programs ----

@pytest.mark.parametrize("what", ["errors", "forms", "polling", "epolling", "forking", "credit", "asking", "plain", "hurrying"])
def test_a_posix_program_with_the_preloaded_library(sp, programs, what):
    base = str(sp.dir("quotes").parent)
    r = subprocess.run([programs / "posix_program", what, base], capture_output=True, text=True, timeout=60,
                       env=dict(os.environ, LD_PRELOAD=PRELOAD, ATOLL_SP_DIR=base))
    assert (r.returncode, r.stderr) == (0, "")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_posix_program_sees_the_service_go(programs, how):
    service = start(Service(topology("quotes", "pubsub")), topology("quotes", "pubsub"))
    try:
        p = subprocess.Popen([programs / "posix_program", "ending"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=dict(os.environ, LD_PRELOAD=PRELOAD, ATOLL_SP_DIR=str(service.dir("quotes").parent)))
        assert p.stdout.readline() == "ready\n"
        time.sleep(0.05)  # it polls by then, or will: both must end
        service.stop(how)
        assert (p.communicate(timeout=20)[1], p.returncode) == ("", 0)
    finally:
        service.end()


def test_a_c_program_with_the_library(sp, programs):
    p = subprocess.Popen([programs / "library_program", sp.dir("quotes"), "L"], stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
    with End(sp, "quotes", "pub") as pub:
        for body in (b"L1", b"M", b"L2", b"Lend"):
            pub.send(body)
    assert p.communicate(timeout=20)[0] == "L1\nL2\nLend\nlost 0\n" and p.returncode == 0


def test_a_child_of_fork_has_an_end_of_its_own(sp):
    with End(sp, "quotes", "sub", b"") as sub, End(sp, "quotes", "pub") as pub:
        r, w = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                ok = sub.rest() == []
                os.write(w, b"!")
                ok = ok and sub.get() == b"both"
                pub.send(b"from below")
                os._exit(0 if ok else 1)
            finally:
                os._exit(2)
        os.read(r, 1)
        pub.send(b"both")
        assert sub.get() == b"both" and sub.get() == b"from below"
        assert os.waitpid(child, 0)[1] == 0
        os.close(r)
        os.close(w)


def test_the_header_is_c_and_cpp(tmp_path):
    for compiler, name in (("cc", "x.c"), ("c++", "x.cc")):
        if compiler == "c++" and subprocess.run(["which", "c++"], capture_output=True).returncode:
            continue
        (tmp_path / name).write_text("#include <atoll/sp.h>\nint x = SP_SUBSCRIBE;\n")
        subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{TOP}/include", "-c", tmp_path / name, "-o", tmp_path / "x.o"], check=True)


def test_memory_of_those_who_left_is_given_back(sp):
    def descriptors():
        return len(os.listdir(f"/proc/{sp.process.pid}/fd"))

    well(sp)
    before = until(lambda: sp.figure("quotes", "clients", "status") == 0 and descriptors())
    for _ in range(20):
        well(sp)
    until(lambda: descriptors() <= before)
    until(lambda: "atoll-sp" not in pathlib.Path(f"/proc/{sp.process.pid}/maps").read_text())
