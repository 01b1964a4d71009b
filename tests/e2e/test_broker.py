"""The broker alone (broker_alone) on a root directory of its own, with a layer made of busybox."""
import contextlib
import fcntl
import os
import random
import resource
import shutil
import signal
import socket
import struct
import time

import pytest

import broker_client as bc
import shim_client as sc
from atoll_cluster import until

BUILD = os.path.abspath(os.environ.get("ATOLL_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build")))
BUSYBOX = "/bin/busybox"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
LAYER = "ab" * 32
UPPER = "cd" * 32


def make_layers(root):
    layer = f"{root}/var/lib/atoll/image/layers/{LAYER}"
    for d in ("bin", "etc", "tmp", "proc", "sys", "dev", "data"):
        os.makedirs(f"{layer}/{d}")
    shutil.copy(BUSYBOX, f"{layer}/bin/busybox")
    for name in ("sh", "cat", "sleep", "id", "echo", "ls", "mount", "wc", "head", "hostname", "env", "kill", "stty",
                 "true", "dd", "ip", "ifconfig", "touch", "mkdir", "mknod", "unshare", "pwd", "stat", "grep", "tail"):
        os.symlink("busybox", f"{layer}/bin/{name}")
    open(f"{layer}/etc/passwd", "w").write("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n")
    open(f"{layer}/etc/group", "w").write("root:x:0:\napp:x:1001:\nextra:x:2000:app\n")
    os.makedirs(f"{root}/var/lib/atoll/image/layers/{UPPER}/etc")
    open(f"{root}/var/lib/atoll/image/layers/{UPPER}/etc/motd", "w").write("from the upper layer\n")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("broker"))
    instance = "%08x" % (os.getpid() & 0xffffffff)
    make_layers(root)
    build = f"{BUILD}/atoll-shim" if os.path.exists(f"{BUILD}/atoll-shim") else f"{BUILD}/shim/atoll-shim"
    binary = f"{root}/broker_alone"
    shutil.copy(f"{BUILD}/src/broker/broker_alone", binary)
    shutil.copy(build, f"{root}/atoll-shim")
    if os.environ.get("ATOLL_RUNTIME"):
        os.makedirs(f"{root}/etc/atoll")
        open(f"{root}/etc/atoll/runtime", "w").write(os.environ["ATOLL_RUNTIME"] + "\n")
    version2 = "umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup"
    b = bc.Broker(binary, root, instance, inside=version2 if os.environ.get("ATOLL_CGROUP2") else "true")
    b.start().sock.close()
    yield b
    c = b.connect()
    for uid in os.listdir(f"{root}/run/atoll/pods"):
        c.call(bc.POD_REMOVE, bc.Writer().s(uid))
    b.end()
    for h in os.listdir("/sys/fs/cgroup"):
        path = f"/sys/fs/cgroup/{h}/atoll-{instance}"
        if os.path.isdir(path):
            os.rmdir(path)


@pytest.fixture
def conn(broker):
    c = broker.connect()
    yield c
    c.sock.close()


@pytest.fixture
def pod(broker, conn):
    uid = bc.pod_uid()
    conn.call(bc.POD_CREATE, bc.pod(uid))
    for fd in conn.take_fds():
        os.close(fd)
    yield uid
    c = broker.connect()
    c.call(bc.POD_REMOVE, bc.Writer().s(uid))
    assert not os.path.exists(f"{broker.root}/run/atoll/pods/{uid}")
    assert not os.path.exists(f"{broker.root}/var/lib/atoll/pods/{uid}")
    assert uid not in broker.run("cat", "/proc/self/mountinfo")


def start(conn, uid, args, layers=(LAYER,), **kw):
    ident = bc.container_id()
    conn.call(bc.CONTAINER_START, bc.container(uid, ident, list(layers), args, **kw))
    return ident


def log_text(conn, uid, name="app", attempt=0):
    conn.take_fds()
    conn.call(bc.LOG_OPEN, bc.Writer().s(uid, "default", "web-0", name).u32(attempt))
    (fd,) = conn.take_fds()
    with os.fdopen(fd) as f:
        return "".join(line.split(" ", 3)[3] for line in f)


def run(conn, uid, script, **kw):
    """Runs a script to its end; returns its event and its log."""
    attempt = kw.pop("attempt", int.from_bytes(os.urandom(3), "big"))
    ident = start(conn, uid, ["sh", "-c", script], attempt=attempt, **kw)
    event = conn.exit_event()
    assert event["id"] == ident
    text = log_text(conn, uid, attempt=attempt)
    conn.call(bc.CONTAINER_REMOVE, bc.Writer().s(uid, ident))
    return event, text


def exec_in(conn, uid, ident, args, stdin=None, tty=False):
    conn.take_fds()
    _, body = conn.call(bc.EXEC, bc.Writer().s(uid, ident).list(args).u8(tty, stdin is not None, 1, 1))
    number = bc.Reader(body).take("I")
    fds = conn.take_fds()
    for fd in fds:
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
    if stdin is not None:
        os.write(fds[0], stdin)
        os.close(fds.pop(0))
    out = [b"".join(iter(lambda fd=fd: os.read(fd, 65536), b"")) for fd in fds] if not tty else fds
    if not tty:
        for fd in fds:
            os.close(fd)
    return number, out


def exec_exit(conn):
    r = bc.Reader(conn.event(bc.EXEC_EXIT))
    return r.take("I"), r.take("I")


def test_container_runs_and_tells_its_end(conn, pod):
    event, text = run(conn, pod, "echo hello; echo bad >&2; echo done > /dev/termination-log; exit 3")
    assert (event["code"], event["signal"], event["oom"], event["message"]) == (3, 0, False, "done\n")
    assert sorted(text.splitlines()) == ["bad", "hello"]  # two pipes: no order between them
    assert abs(event["finished"] / 1e9 - time.time()) < 10


def test_pod_network_namespace_and_hostname(conn, pod, broker):
    _, text = run(conn, pod, "hostname; cat /etc/hostname /etc/resolv.conf /etc/hosts; ip addr show lo")
    assert text.startswith("web-0\nweb-0\nnameserver 10.96.0.10\n127.0.0.1 localhost\n")
    assert "LOOPBACK,UP" in text and "eth0" not in text


def test_create_is_idempotent_and_gives_namespace_and_route_socket(conn, pod):
    conn.take_fds()
    conn.call(bc.POD_CREATE, bc.pod(pod))
    netns, route = conn.take_fds()
    assert os.fstat(netns).st_ino != os.stat("/proc/self/ns/net").st_ino
    s = socket.socket(fileno=route)
    assert s.family == socket.AF_NETLINK
    s.send(struct.pack("<IHHIIBxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0))
    s.setblocking(True)
    assert b"lo\0" in s.recv(65536)
    os.close(netns)
    s.close()


def test_layers_upper_wins_and_the_layer_stays_clean(conn, pod, broker):
    event, text = run(conn, pod, "cat /etc/motd; echo x > /etc/motd; cat /etc/motd", layers=(LAYER, UPPER))
    assert text == "from the upper layer\nx\n"
    assert open(f"{broker.root}/var/lib/atoll/image/layers/{UPPER}/etc/motd").read() == "from the upper layer\n"


def test_many_layers(conn, pod, broker):
    layers = []
    for i in range(100):
        name = f"{i:064x}"
        os.makedirs(f"{broker.root}/var/lib/atoll/image/layers/{name}", exist_ok=True)
        layers.append(name)
    event, _ = run(conn, pod, "true", layers=[LAYER, *layers])
    assert event["code"] == 0


def test_users_and_groups(conn, pod):
    assert run(conn, pod, "id", user="app")[1] == "uid=1000(app) gid=1001(app) groups=1001(app),2000(extra)\n"
    assert run(conn, pod, "id -u; id -g; id -G", run_as_user=5000, run_as_group=6000,
               groups=[7000])[1] == "5000\n6000\n6000 7000\n"
    with pytest.raises(bc.BrokerError, match="unable to find user nobody"):
        run(conn, pod, "id", user="nobody")
    with pytest.raises(bc.BrokerError, match="container has runAsNonRoot and image will run as root"):
        run(conn, pod, "id", non_root=True)
    with pytest.raises(bc.BrokerError, match="non-numeric user \\(app\\)"):
        run(conn, pod, "id", user="app", non_root=True)


def test_capabilities_seccomp_and_privileges(conn, pod):
    status = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status"
    text = run(conn, pod, status)[1].split()
    assert text == ["CapEff:", "00000000a80425fb", "CapBnd:", "00000000a80425fb", "NoNewPrivs:", "0", "Seccomp:", "2"]
    text = run(conn, pod, status, drop=["ALL"], add=["NET_BIND_SERVICE"], escalate=False)[1].split()
    assert text[1] == "0000000000000400" and text[5] == "1"
    text = run(conn, pod, status, privileged=True)[1].split()
    own = [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapBnd")]
    assert text[1] == own[0] and text[7] == "0"
    assert run(conn, pod, "mkdir /tmp/m; mount -t tmpfs x /tmp/m; echo $?", add=["SYS_ADMIN"])[1].strip()[-1] == "0"
    assert "Operation not permitted" in run(conn, pod, "unshare -U true")[1]
    with pytest.raises(bc.BrokerError, match='unknown capability \\\\?"NONSENSE'):
        run(conn, pod, "true", add=["NONSENSE"])


def test_a_container_has_only_its_own_devices_and_masked_paths(conn, pod):
    _, text = run(conn, pod, "ls /dev; echo x > /proc/sys/kernel/printk; ls /sys/firmware | wc -l; mknod /tmp/k c 1 1; cat /tmp/k")
    assert "kvm" not in text and "urandom" in text and "Read-only file system" in text
    assert "\n0\n" in text and "Operation not permitted" in text


def test_umask_and_limits_are_ordinary(conn, pod):
    _, text = run(conn, pod, "umask; ulimit -n; ulimit -d; pwd; cat /proc/self/oom_score_adj", oom=123, cwd="/tmp")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert text.split() in (["0022", str(n), "unlimited", "/tmp", "123"] for n in (1048576, hard))


def test_environment(conn, pod):
    _, text = run(conn, pod, "env", env=["A=1", "B=two words", "PATH=/bin"])
    assert "A=1\n" in text and "B=two words\n" in text and "HOSTNAME=web-0\n" in text and "PATH=/bin\n" in text


def test_start_failures_say_why_and_leave_nothing(conn, pod, broker):
    with pytest.raises(bc.BrokerError, match="no-such-program"):
        start(conn, pod, ["no-such-program"])
    with pytest.raises(bc.BrokerError, match="layer .* is not on this node"):
        start(conn, pod, ["sh"], layers=("00" * 31 + "ff",))
    with pytest.raises(bc.BrokerError, match="does not exist"):
        start(conn, pod, ["sh"], mounts=[{"source": "absent", "target": "/x"}])
    until(lambda: os.listdir(f"{broker.root}/run/atoll/pods/{pod}/c") == [], what="no directory of a container")
    until(lambda: os.listdir(f"{broker.root}/var/lib/atoll/pods/{pod}/rootfs") == [], what="no root file system")
    assert "/rootfs/" not in broker.run("grep", pod, "/proc/self/mountinfo")


def test_signal_and_remove(conn, pod):
    ident = start(conn, pod, ["sh", "-c", "trap 'exit 9' TERM; echo trapped; while true; do sleep 0.05; done"])
    with pytest.raises(bc.BrokerError, match="is running"):
        conn.call(bc.CONTAINER_REMOVE, bc.Writer().s(pod, ident))
    until(lambda: log_text(conn, pod) == "trapped\n", what="the trap")
    conn.call(bc.CONTAINER_SIGNAL, bc.Writer().s(pod, ident).u32(15).u8(0))
    assert conn.exit_event()["code"] == 9
    conn.call(bc.CONTAINER_REMOVE, bc.Writer().s(pod, ident))
    conn.call(bc.CONTAINER_REMOVE, bc.Writer().s(pod, ident))
    assert [s for s in conn.list() if s["uid"] == pod] == []


def test_exec_streams_and_exit_code(conn, pod):
    ident = start(conn, pod, ["sleep", "100"], env=["GREETING=hi"])
    number, (out, err) = exec_in(conn, pod, ident, ["sh", "-c", "cat; echo $GREETING; echo e >&2; exit 5"], b"input\n")
    assert (out, err) == (b"input\nhi\n", b"e\n")
    assert exec_exit(conn) == (number, 5)
    number, _ = exec_in(conn, pod, ident, ["true"])
    assert exec_exit(conn) == (number, 0)
    with pytest.raises(bc.BrokerError, match="no-such"):
        exec_in(conn, pod, ident, ["no-such"])


def test_exec_with_terminal_and_resize(conn, pod):
    ident = start(conn, pod, ["sleep", "100"])
    number, (fd,) = exec_in(conn, pod, ident, ["sh", "-c", "read x; stty size; exit 4"], tty=True)
    conn.call(bc.EXEC_RESIZE, bc.Writer().u32(number).u16(91, 33))
    os.write(fd, b"\n")
    assert exec_exit(conn) == (number, 4)
    got = b""
    try:
        while True:
            more = os.read(fd, 1000)
            if not more:
                break
            got += more
    except OSError:
        pass
    assert b"33 91" in got
    os.close(fd)


def test_exec_kill(conn, pod):
    ident = start(conn, pod, ["sleep", "100"])
    conn.take_fds()
    _, body = conn.call(bc.EXEC, bc.Writer().s(pod, ident).list(["sleep", "50"]).u8(0, 0, 0, 0))
    number = bc.Reader(body).take("I")
    conn.call(bc.EXEC_KILL, bc.Writer().u32(number))
    assert exec_exit(conn) == (number, 137)


def test_tty_container_and_attach(conn, pod):
    ident = start(conn, pod, ["sh"], tty=True, stdin=True)
    conn.take_fds()
    conn.call(bc.ATTACH, bc.Writer().s(pod, ident))
    (fd,) = conn.take_fds()
    a = sc.Connection.__new__(sc.Connection)
    a.sock, a.id = socket.socket(fileno=fd), 0
    a.sock.setblocking(True)
    a.until(sc.ATTACH_OK)
    a.send(sc.RESIZE, struct.pack("<HH", 77, 22))
    a.send(sc.INPUT, b"stty size; exit 6\n")
    seen = b""
    while b"22 77" not in seen:
        seen += a.until(sc.STDOUT)
    assert a.exited()[1] == 6
    assert conn.exit_event()["code"] == 6


def test_out_of_memory_is_told(conn, pod):
    event, _ = run(conn, pod, "dd if=/dev/zero of=/dev/null bs=200M count=1", memory=20 << 20)
    assert event["oom"] and event["code"] in (137, 1)


def test_cgroup_limits_stats_and_update(conn, pod, broker):
    ident = start(conn, pod, ["sleep", "100"], shares=512, quota=50000, memory=64 << 20, pids=50)
    group = f"atoll-{broker.instance}/pod{pod}/{ident}"

    def value(v1, name):
        return open(f"/sys/fs/cgroup/{v1}/{group}/{name}").read().strip()

    if not os.path.isdir("/sys/fs/cgroup/memory"):
        pytest.skip("cgroup v2 names differ")
    assert value("memory", "memory.limit_in_bytes") == str(64 << 20)
    assert (value("cpu", "cpu.shares"), value("cpu", "cpu.cfs_quota_us")) == ("512", "50000")
    assert value("pids", "pids.max") == "50"
    conn.call(bc.UPDATE, bc.resources(bc.Writer().s(pod, ident), memory=128 << 20, shares=1024))
    assert value("memory", "memory.limit_in_bytes") == str(128 << 20)
    conn.call(bc.UPDATE, bc.resources(bc.Writer().s(pod, ident), memory=32 << 20))
    assert value("memory", "memory.limit_in_bytes") == str(32 << 20)
    if os.path.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"):
        assert value("memory", "memory.memsw.limit_in_bytes") == str(32 << 20)
    _, body = conn.call(bc.STATS, bc.Writer().s(pod, ident))
    cpu, memory, working, pids, rss, cache = struct.unpack("<QQQIQQ", body)
    assert cpu > 0 and 0 < working <= memory and pids == 1 and rss + cache <= memory
    _, body = conn.call(bc.STATS, bc.Writer().s(pod, ""))
    assert struct.unpack("<QQQIQQ", body)[0] >= cpu


def write_volume(conn, uid, name, files, group=-1):
    w = bc.Writer().s(uid, name).i64(group).u32(len(files))
    for path, (data, mode) in files.items():
        w.s(path, data).u32(mode).i64(-1)
    conn.call(bc.VOLUME_WRITE, w)


def test_volume_content_is_replaced_atomically(conn, pod, broker):
    conn.call(bc.VOLUME, bc.Writer().s(pod, "conf").u8(0).i64(0).u32(0o755).i64(-1))
    write_volume(conn, pod, "conf", {"key": ("one", 0o644), "dir/inner": ("two", 0o400), "old": ("x", 0o644)})
    where = f"{broker.root}/var/lib/atoll/pods/{pod}/volumes/conf"
    assert os.readlink(f"{where}/key") == "..data/key" and open(f"{where}/dir/inner").read() == "two"
    assert os.stat(f"{where}/dir/inner").st_mode & 0o777 == 0o400
    first = os.readlink(f"{where}/..data")
    mounts = [{"source": "conf", "target": "/conf", "ro": True}, {"source": "conf", "sub": "key", "target": "/one-key"}]
    ident = start(conn, pod, ["sleep", "100"], mounts=mounts)
    write_volume(conn, pod, "conf", {"key": ("three", 0o644), "new": ("n", 0o644)})
    assert os.readlink(f"{where}/..data") != first and not os.path.exists(f"{where}/{first}")
    assert not os.path.lexists(f"{where}/old") and not os.path.lexists(f"{where}/dir")
    _, (out, err) = exec_in(conn, pod, ident, ["sh", "-c", "cat /conf/key /conf/new /one-key; touch /conf/x"])
    assert out == b"threenone" and b"Read-only" in err


def test_memory_volume_and_group(conn, pod, broker):
    conn.call(bc.VOLUME, bc.Writer().s(pod, "mem").u8(1).i64(1 << 20).u32(0o777).i64(3000))
    conn.call(bc.VOLUME, bc.Writer().s(pod, "mem").u8(1).i64(1 << 20).u32(0o777).i64(3000))
    _, text = run(conn, pod, "stat -c '%a %g' /m; head -c 2000000 /dev/zero > /m/big; stat -c %s /m/big; grep ' /m ' /proc/mounts",
                  mounts=[{"source": "mem", "target": "/m"}])
    assert "2777 3000" in text and f"\n{1 << 20}\n" in text and "tmpfs /m tmpfs" in text
    assert broker.run("cat", "/proc/self/mountinfo").count(f"{pod}/volumes/mem") == 1


def test_mount_points_that_the_image_lacks_can_be_entered_by_any_user(conn, pod):
    conn.call(bc.VOLUME, bc.Writer().s(pod, "deep").u8(0).i64(0).u32(0o755).i64(-1))
    _, text = run(conn, pod, "cd /var/run/a/b && pwd", run_as_user=1000,
                  mounts=[{"source": "deep", "target": "/var/run/a/b", "ro": True}])
    assert text == "/var/run/a/b\n"


def test_sub_path_cannot_leave_the_volume(conn, pod):
    conn.call(bc.VOLUME, bc.Writer().s(pod, "data").u8(0).i64(0).u32(0o777).i64(-1))
    run(conn, pod, "ln -s /etc /data/out 2>/dev/null || busybox ln -s /etc /data/out; busybox ln -s ../../.. /data/up",
        mounts=[{"source": "data", "target": "/data"}])
    for sub in ("out", "up", "out/passwd"):
        with pytest.raises(bc.BrokerError, match="subPath"):
            start(conn, pod, ["true"], mounts=[{"source": "data", "target": "/x", "sub": sub}])
    for sub in ("../data", "/etc", "a/../../b"):
        with pytest.raises(bc.BrokerError, match="relative path"):
            start(conn, pod, ["true"], mounts=[{"source": "data", "target": "/x", "sub": sub}])
    _, text = run(conn, pod, "touch /x/made; ls /data/new", mounts=[
        {"source": "data", "target": "/x", "sub": "new/dir"}, {"source": "data", "target": "/data"}])
    assert text == "dir\n"


def test_host_paths(conn, pod, tmp_path):
    (tmp_path / "file").write_text("host\n")
    _, text = run(conn, pod, "cat /h/file; ls /made", mounts=[
        {"kind": 2, "source": str(tmp_path), "type": 2, "target": "/h"},
        {"kind": 2, "source": str(tmp_path / "made"), "type": 1, "target": "/made"}])
    assert text == "host\n" and (tmp_path / "made").is_dir()
    with pytest.raises(bc.BrokerError, match="hostPath type check failed: .* is not a directory"):
        start(conn, pod, ["true"], mounts=[{"kind": 2, "source": str(tmp_path / "file"), "type": 2, "target": "/h"}])


def test_net_socket_reaches_the_pod(conn, pod):
    start(conn, pod, ["busybox", "nc", "-l", "-p", "8080", "-e", "echo", "from inside"])

    def connected():
        conn.take_fds()
        conn.call(bc.NET_SOCKET, bc.Writer().s(pod, "tcp"))
        s = socket.socket(fileno=conn.take_fds()[0])
        s.settimeout(5)
        return s if s.connect_ex(("127.0.0.1", 8080)) == 0 else s.close()
    with until(connected, what="the container listens") as s:
        assert s.recv(100) == b"from inside\n"


def test_read_only_root_and_sysctls(conn, broker):
    uid = bc.pod_uid()
    conn.call(bc.POD_CREATE, bc.pod(uid, sysctls=["net.ipv4.ip_local_port_range=2000 3000"]))
    _, text = run(conn, uid, "touch /x; cat /proc/sys/net/ipv4/ip_local_port_range", read_only=True)
    assert "Read-only" in text and "2000\t3000\n" in text
    conn.call(bc.POD_REMOVE, bc.Writer().s(uid))
    with pytest.raises(bc.BrokerError, match="not allowed"):
        conn.call(bc.POD_CREATE, bc.pod(bc.pod_uid(), sysctls=["kernel.core_pattern=|/bin/sh"]))


def test_host_network(conn):
    uid = bc.pod_uid()
    conn.take_fds()
    conn.call(bc.POD_CREATE, bc.pod(uid, hostname="", host_network=True))
    assert conn.take_fds() == []
    _, text = run(conn, uid, "hostname; busybox readlink /proc/self/ns/net")
    assert text.split() == [socket.gethostname(), os.readlink("/proc/self/ns/net")]
    conn.call(bc.POD_REMOVE, bc.Writer().s(uid))


@pytest.mark.parametrize("bad", ["", "../x", "a/b", "-x", "x" * 65, "a_b", "ä"])
def test_bad_uids_are_refused(conn, bad):
    with pytest.raises(bc.BrokerError, match="uid"):
        conn.call(bc.POD_CREATE, bc.pod(bad))
    with pytest.raises(bc.BrokerError, match="uid"):
        conn.call(bc.POD_REMOVE, bc.Writer().s(bad))
    with pytest.raises(bc.BrokerError, match="uid"):
        conn.call(bc.LOG_REMOVE, bc.Writer().s(bad, "default", "web-0"))


def test_malformed_requests_are_refused(conn, pod):
    for kind in (1, 3, 5, 7, 8, 9, 12, 13, 14, 16, 17, 18, 22, 24, 25, 26):
        for body in (b"", b"\xff" * 64, bc.Writer().s(pod).data + b"\0"):
            with pytest.raises(bc.BrokerError):
                conn.wait(conn.send(kind, body))
    with pytest.raises(bc.BrokerError, match="unknown request"):
        conn.wait(conn.send(999, b""))


def test_containers_survive_a_killed_broker(broker, conn):
    uid = bc.pod_uid()
    conn.call(bc.POD_CREATE, bc.pod(uid))
    stays = start(conn, uid, ["sh", "-c", "while true; do sleep 0.05; done"], name="stays")
    ends = start(conn, uid, ["sh", "-c", "sleep 0.6; echo last > /dev/termination-log; exit 8"], name="ends")
    pid, ending = ([s for s in conn.list() if s["id"] == x][0]["pid"] for x in (stays, ends))
    broker.kill()
    os.kill(pid, 0)
    until(lambda: not os.path.exists(f"/proc/{ending}"), what="the other's end")
    c = broker.start()
    until(lambda: not any(s["running"] for s in c.list() if s["id"] == ends), what="the broker knows of the end")
    states = {s["id"]: s for s in c.list() if s["uid"] == uid}
    assert states[stays]["running"] and states[stays]["pid"] == pid and states[stays]["name"] == "stays"
    assert not states[ends]["running"] and states[ends]["code"] == 8 and states[ends]["message"] == "last\n"
    _, (out, _) = exec_in(c, uid, stays, ["echo", "still here"])
    assert out == b"still here\n"
    c.call(bc.CONTAINER_SIGNAL, bc.Writer().s(uid, stays).u32(9).u8(0))
    assert c.exit_event()["code"] == 137
    c.call(bc.POD_REMOVE, bc.Writer().s(uid))
    assert uid not in broker.run("cat", "/proc/self/mountinfo")


def test_a_killed_shim_ends_its_containers(broker, conn):
    uid = bc.pod_uid()
    conn.call(bc.POD_CREATE, bc.pod(uid))
    ident = start(conn, uid, ["sleep", "100"])
    pid = [s for s in conn.list() if s["id"] == ident][0]["pid"]
    deadline = time.time() + 5
    while True:  # crun's helper between them ends a moment later
        shim = int(open(f"/proc/{pid}/status").read().split("PPid:")[1].split()[0])
        with contextlib.suppress(OSError):
            if open(f"/proc/{shim}/comm").read() == "atoll-shim\n":
                break
        assert time.time() < deadline
    os.kill(shim, signal.SIGKILL)
    assert conn.exit_event()["code"] == 137
    again = start(conn, uid, ["sleep", "100"])
    assert [s for s in conn.list() if s["id"] == again][0]["running"]
    conn.call(bc.POD_REMOVE, bc.Writer().s(uid))


def test_host_pid_leaves_no_process_of_an_ended_container(conn):
    uid = bc.pod_uid()
    conn.call(bc.POD_CREATE, bc.pod(uid, host_pid=True))
    start(conn, uid, ["sh", "-c", "sleep 4321 & echo $! > /dev/termination-log"])
    pid = int(conn.exit_event()["message"])
    deadline = time.time() + 5
    while alive(pid) and time.time() < deadline:
        time.sleep(0.01)
    assert not alive(pid)
    conn.call(bc.POD_REMOVE, bc.Writer().s(uid))


def test_remove_kills_what_runs_and_is_idempotent(broker, conn):
    uid = bc.pod_uid()
    conn.call(bc.POD_CREATE, bc.pod(uid))
    ident = start(conn, uid, ["sleep", "100"])
    pid = [s for s in conn.list() if s["id"] == ident][0]["pid"]
    conn.call(bc.POD_REMOVE, bc.Writer().s(uid))
    conn.call(bc.POD_REMOVE, bc.Writer().s(uid))
    assert not os.path.exists(f"/proc/{pid}")
    assert not os.path.exists(f"/sys/fs/cgroup/pids/atoll-{broker.instance}/pod{uid}")


def test_two_removals_of_one_pod_are_both_answered(broker, conn):
    uid = bc.pod_uid()
    conn.call(bc.POD_CREATE, bc.pod(uid))
    first = conn.send(bc.POD_REMOVE, bc.Writer().s(uid).data)
    second = broker.connect()
    assert second.call(bc.POD_REMOVE, bc.Writer().s(uid))[0] == bc.DONE
    assert conn.wait(first)[0] == bc.DONE
    assert not os.path.exists(f"{broker.root}/run/atoll/pods/{uid}")


def test_local_volumes_outlive_pods_and_stay_in_their_directory(broker, conn, pod, tmp_path):
    volumes = os.path.join(broker.root, "var/lib/atoll/volumes")
    (tmp_path / "precious").write_text("x")
    run(conn, pod, f"echo kept > /v/x; busybox ln -s {tmp_path} /v/out; busybox ln -s ../../.. /v/up", run_as_user=1000,
        mounts=[{"kind": 3, "source": "pvc-1", "target": "/v"}])
    assert os.stat(f"{volumes}/pvc-1").st_mode & 0o7777 == 0o777 and os.stat(volumes).st_mode & 0o7777 == 0o711
    _, text = run(conn, pod, "cat /v/x", mounts=[{"kind": 3, "source": "pvc-1", "target": "/v", "ro": True}])
    assert text == "kept\n"
    for bad in ("..", ".", "", "a/b", "/etc", "../pods", "UP"):
        with pytest.raises(bc.BrokerError, match="RFC 1123"):
            start(conn, pod, ["true"], mounts=[{"kind": 3, "source": bad, "target": "/v"}])
        with pytest.raises(bc.BrokerError, match="RFC 1123"):
            conn.call(bc.LOCAL_REMOVE, bc.Writer().s(bad))
    with pytest.raises(bc.BrokerError, match="subPath"):
        start(conn, pod, ["true"], mounts=[{"kind": 3, "source": "pvc-1", "target": "/v", "sub": "out"}])
    for _ in range(2):  # what is gone is gone
        assert conn.call(bc.LOCAL_REMOVE, bc.Writer().s("pvc-1"))[0] == bc.DONE
        assert not os.path.exists(f"{volumes}/pvc-1") and (tmp_path / "precious").exists()
    with pytest.raises(bc.BrokerError, match="malformed"):
        conn.call(bc.LOCAL_REMOVE, bc.Writer().s("pvc-1").u8(1))


def test_log_paths_cannot_leave_the_log_directory(conn, pod):
    for args in (("../x", "web-0", "app"), ("default", "../../etc", "app"), ("default", "web-0", "..")):
        with pytest.raises(bc.BrokerError):
            conn.call(bc.LOG_OPEN, bc.Writer().s(pod, *args).u32(0))


def test_twenty_pods_start_side_by_side(broker, conn):
    uids = [bc.pod_uid() for _ in range(20)]
    begin = time.time()
    for i in [conn.send(bc.POD_CREATE, bc.pod(u).data) for u in uids]:
        conn.wait(i)
    ids = [bc.container_id() for _ in uids]
    for u, i in zip(uids, ids):
        conn.send(bc.CONTAINER_START, bc.container(u, i, [LAYER], ["sleep", "100"]).data)
    done = set()
    while len(done) < 20:
        kind, ident, body = conn.receive()
        assert kind == bc.CONTAINER_OK, body
        done.add(ident)
    took = time.time() - begin
    print(f"20 pods in {took * 1000:.0f} ms")
    for i in [conn.send(bc.POD_REMOVE, bc.Writer().s(u).data) for u in uids]:
        pass
    done = 0
    while done < 20:
        kind, ident, body = conn.receive()
        done += kind == bc.DONE
        assert kind in (bc.DONE, bc.EVENT), body
    for fd in conn.take_fds():
        os.close(fd)


def started(c):
    """The containers, once none is on its way: one that the last broker had asked for has no process before crun has made it."""
    for _ in range(100):
        containers = c.list()
        if all(s["pid"] for s in containers if s["running"]):
            return containers
        time.sleep(0.1)
    raise AssertionError(f"containers that run without a process: {containers}")


@pytest.mark.parametrize("seed", range(int(os.environ.get("ATOLL_BROKER_KILLS", "8"))))
def test_killed_at_any_moment_nothing_is_left_that_cannot_be_removed(broker, seed):
    """kill -9 of the broker while pods are made, started and removed; what it adopts can be removed."""
    rng = random.Random(seed)
    c = broker.connect()
    uids = [bc.pod_uid() for _ in range(4)]
    pids = set()
    for u in uids:
        c.send(bc.POD_CREATE, bc.pod(u).data)
        for n in range(rng.randrange(3)):
            c.send(bc.CONTAINER_START, bc.container(u, bc.container_id(), [LAYER], ["sleep", "100"], name=f"c{n}").data)
        if rng.random() < 0.4:
            c.send(bc.POD_REMOVE, bc.Writer().s(u).data)
    time.sleep(rng.random() * 0.15)
    broker.kill()
    c = broker.start()
    for fd in c.take_fds():
        os.close(fd)
    time.sleep(0.3)
    running = [s for s in started(c) if s["uid"] in uids and s["running"]]
    assert all(s["name"].startswith("c") for s in running), running
    pids |= {s["pid"] for s in running}
    for u in uids:
        c.call(bc.POD_REMOVE, bc.Writer().s(u))
        assert not os.path.exists(f"{broker.root}/run/atoll/pods/{u}")
        assert not os.path.exists(f"{broker.root}/var/lib/atoll/pods/{u}")
        assert u not in broker.run("cat", "/proc/self/mountinfo")
        assert not os.path.exists(f"/sys/fs/cgroup/pids/atoll-{broker.instance}/pod{u}")
    assert not [p for p in pids if alive(p)]
    left = [p for p in os.listdir("/proc") if p.isdigit() and any(u in cwd(p) for u in uids)]
    assert left == []


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def cwd(pid):
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""
