"""atoll-shim alone: a shell script plays the container runtime that detaches."""
import os
import re
import signal
import socket
import struct
import time

import pytest

import shim_client as sc

BUILD = os.environ.get("ATOLL_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))


def find_binary():
    for name in ("atoll-shim", "shim/atoll-shim"):
        path = os.path.abspath(os.path.join(BUILD, name))
        if os.access(path, os.X_OK):
            return path
    raise AssertionError(f"no atoll-shim in {BUILD}")


@pytest.fixture
def shim(tmp_path):
    s = sc.Shim(find_binary(), tmp_path)
    yield s
    s.stop()


RUNTIME = """import os, sys
pid = os.fork()
if pid == 0:
    os.execv("/bin/sh", ["sh", "-c", sys.argv[2]])
with open(sys.argv[1], "w") as f:
    f.write(str(pid))
os._exit(0)
"""


def detached(ident, script):
    """A runtime: starts the container, writes its pid and goes. Not a shell, which would wait for it."""
    return ["/usr/bin/python3", "-S", "-c", RUNTIME, f"{ident}.pid", script]


LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)$")


def records(path):
    return [LINE.match(line).groups() for line in open(path).read().split("\n")[:-1]]


def test_logs_and_exit_code(shim):
    c = shim.connect()
    c.start("a", detached("a", "echo one; echo two >&2; printf three; exit 7"))
    c.until(sc.START_OK)
    ident, code, sig, started, finished = c.exited()
    assert (ident, code, sig) == ("a", 7, 0)
    assert abs(finished / 1e9 - time.time()) < 5 and started <= finished
    got = records(f"{shim.directory}/a.log")
    assert sorted(got) == [("stderr", "F", "two"), ("stdout", "F", "one"), ("stdout", "P", "three")]
    lines = open(f"{shim.directory}/a.exit").read().split()
    assert lines[:2] == ["7", "0"] and int(lines[3]) == finished


def test_log_time_is_now(shim):
    c = shim.connect()
    c.start("a", detached("a", "echo x"))
    c.exited()
    stamp = open(f"{shim.directory}/a.log").read()[:19]
    assert abs(time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S")) - time.timezone - time.time()) < 5


def test_long_line_becomes_partial_records(shim):
    c = shim.connect()
    c.start("a", detached("a", "head -c 40000 /dev/zero | tr '\\0' x; echo; echo end"))
    c.exited()
    got = records(f"{shim.directory}/a.log")
    assert [(t, len(x)) for _, t, x in got] == [("P", 16384), ("P", 16384), ("F", 40000 - 32768), ("F", 3)]


def test_rotation_keeps_the_newest_files(shim):
    c = shim.connect()
    c.start("a", detached("a", "i=0; while [ $i -lt 400 ]; do echo $i $(printf %0100d 0); i=$((i+1)); done"),
            log_bytes=10000, log_files=3)
    c.exited()
    names = sorted(n for n in os.listdir(shim.directory) if n.startswith("a.log"))
    assert names == ["a.log", "a.log.1", "a.log.2"]
    text = "".join(open(f"{shim.directory}/{n}").read() for n in ("a.log.2", "a.log.1", "a.log"))
    numbers = [int(x.split()[3]) for x in text.splitlines()]
    assert numbers == list(range(numbers[0], 400))


def test_failed_runtime_tells_why(shim):
    c = shim.connect()
    c.start("a", ["/bin/sh", "-c", "echo no such image >&2; exit 3"])
    body = c.until(sc.START_FAILED)
    assert struct.unpack_from("<I", body)[0] == 3 and b"no such image" in body
    c.start("b", ["/no/such/runtime"])
    assert b"cannot execute" in c.until(sc.START_FAILED)


def test_a_container_that_its_runtime_waited_for_has_ended(shim):
    c = shim.connect()
    c.start("a", ["/bin/sh", "-c", "true & echo $! > a.pid; wait"])
    c.until(sc.START_OK)
    assert c.exited()[1] == 255


def test_signal_and_remove(shim):
    c = shim.connect()
    c.start("a", detached("a", "exec sleep 100"))
    c.until(sc.START_OK)
    c.send(sc.REMOVE, sc.text("a"))
    assert c.until(sc.FAILED) == struct.pack("<I", 16)
    c.send(sc.SIGNAL, sc.text("a") + struct.pack("<I", signal.SIGTERM))
    c.until(sc.DONE)
    assert c.exited()[1:3] == (143, 15)
    c.send(sc.REMOVE, sc.text("a"))
    c.until(sc.DONE)
    c.send(sc.LIST)
    assert c.until(sc.LIST_OK) == struct.pack("<I", 0)


def test_a_new_connection_learns_what_happened(shim):
    first = shim.connect()
    first.start("a", detached("a", "exec sleep 100"))
    first.until(sc.START_OK)
    first.start("b", detached("b", "exit 4"))
    first.exited()
    first.sock.close()
    second = shim.connect()
    second.send(sc.LIST)
    body = second.until(sc.LIST_OK)
    assert struct.unpack_from("<I", body)[0] == 2 and b"a" in body and b"b" in body


def test_start_goes_on_when_the_requester_dies(shim):
    first = shim.connect()
    watcher = shim.connect()
    first.start("a", ["/bin/sh", "-c", "sleep 0.3; sleep 100 & echo $! > a.pid"])
    first.sock.close()
    assert watcher.until(sc.STARTED)[4:5] == b"a"


def test_attach_copies_streams_and_input(shim):
    c = shim.connect()
    c.start("a", detached("a", "echo ready; cat; echo bye >&2"), flags=sc.STDIN)
    c.until(sc.START_OK)
    a = shim.connect()
    a.send(sc.ATTACH, sc.text("a"))
    a.until(sc.ATTACH_OK)
    a.send(sc.INPUT, b"hello\n")
    while b"hello\n" not in a.until(sc.STDOUT):
        pass
    a.send(sc.INPUT_END)
    assert a.until(sc.STDERR) == b"bye\n"
    assert a.exited()[1] == 0
    with pytest.raises(EOFError):
        a.receive()
    assert ("stdout", "F", "hello") in records(f"{shim.directory}/a.log")


def test_an_attach_stream_cannot_control(shim):
    c = shim.connect()
    c.start("a", detached("a", "exec sleep 100"))
    c.until(sc.START_OK)
    a = shim.connect()
    a.send(sc.ATTACH, sc.text("a"))
    a.until(sc.ATTACH_OK)
    a.send(sc.SIGNAL, sc.text("a") + struct.pack("<I", 9))
    with pytest.raises(EOFError):
        a.until(sc.DONE)
    c.send(sc.LIST)
    assert c.until(sc.LIST_OK)[9] == 1  # still running


def test_stalled_attach_client_is_cut_off_and_the_container_goes_on(shim):
    c = shim.connect()
    c.start("a", detached("a", "sleep 0.2; head -c 3000000 /dev/zero | tr '\\0' '\\n'; exit 5"))
    c.until(sc.START_OK)
    a = shim.connect()
    a.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    a.send(sc.ATTACH, sc.text("a"))
    a.until(sc.ATTACH_OK)
    assert c.exited()[1] == 5


def test_input_beyond_the_queue_waits_for_the_reader(shim):
    c = shim.connect()
    c.start("a", detached("a", "sleep 0.5; cat | wc -c"), flags=sc.STDIN)
    c.until(sc.START_OK)
    a = shim.connect()
    a.send(sc.ATTACH, sc.text("a"))
    a.until(sc.ATTACH_OK)
    for _ in range(100):
        a.send(sc.INPUT, b"x" * 10000)
    a.send(sc.INPUT_END)
    assert a.until(sc.STDOUT).strip() == b"1000000"


@pytest.mark.parametrize("frame", [
    b"\xff" * 12,
    struct.pack("<IHHI", 4, sc.SIGNAL, 7, 1) + b"abcd",
    struct.pack("<IHHI", 0, 999, 0, 1),
    struct.pack("<IHHI", 0, sc.INPUT, 0, 1),
])
def test_broken_frames_cut_the_connection_only(shim, frame):
    bad = shim.connect()
    bad.sock.sendall(frame)
    with pytest.raises(EOFError):
        bad.receive()
    c = shim.connect()
    c.send(sc.LIST)
    c.until(sc.LIST_OK)


@pytest.mark.parametrize("body", [b"", sc.text("a"), sc.text("a" * 65), sc.text("a") + b"\0" * 60])
def test_malformed_start_is_refused(shim, body):
    c = shim.connect()
    c.send(sc.START, body)
    assert c.until(sc.FAILED) == struct.pack("<I", 22)


def test_a_request_of_a_peer_that_left_is_still_done(shim):
    c = shim.connect()
    for n in range(40):  # the exit event meets a connection whose peer is gone but whose request is not read
        c.start(f"a{n}", detached(f"a{n}", "sleep 0.01"))
        c.start(f"b{n}", detached(f"b{n}", "exec sleep 100"))
    started = 0
    while started < 80:
        started += c.receive()[0] == sc.START_OK
    for n in range(40):
        shim.connect().send(sc.SIGNAL, sc.text(f"b{n}") + struct.pack("<I", 9))
    ended = {c.exited()[0] for _ in range(40)}
    while len(ended) < 40 or not all(f"b{n}" in ended for n in range(40)):
        ended.add(c.exited()[0])


def test_idle_shim_is_small(shim):
    c = shim.connect()
    c.start("a", detached("a", "exec sleep 100"))
    c.until(sc.START_OK)
    assert shim.resident_kib() <= 300
