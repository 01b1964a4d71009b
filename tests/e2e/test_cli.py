"""The commands: bad arguments, and machines that are not as they should be. One line that says what to do; nothing lost."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

from atoll_cluster import ATOLL, Atoll, free_port, run, sh, until, Pods


@pytest.fixture
def root():
    d = tempfile.mkdtemp(prefix="atoll-cli-")
    yield d
    run(ATOLL, "down", "--purge", "--root", d, check=False)
    shutil.rmtree(d, ignore_errors=True)


def one_line(r, status, *words):
    """Failed with this status and one line on stderr that has these words."""
    assert r.returncode == status, (r.returncode, r.stdout, r.stderr)
    assert len(r.stderr.strip().splitlines()) == 1, r.stderr
    for w in words:
        assert w in r.stderr, r.stderr


@pytest.mark.parametrize("args", [
    ["nonsense"], ["up", "--nonsense"], ["up", "extra"], ["up", "--listen"], ["up", "--listen", "nowhere"], ["up", "--listen", "127.0.0.1:99999"],
    ["up", "--listen", "127.0.0.1:-1"], ["up", "--pod-cidr", "10.0.0.0"], ["up", "--pod-cidr", "10.0.0.0/33"], ["up", "--pod-cidr", "300.0.0.0/24"],
    ["up", "--service-cidr", "x/16"], ["up", "--node-name", "Bad_Name"], ["up", "--node-name", ""], ["up", "--pod-cidr", "10.1.0.0/16", "--service-cidr", "10.1.2.0/24"],
    ["down", "--nonsense"], ["down", "extra"], ["status", "-o", "xml"], ["status", "--nonsense"], ["status", "extra"], ["image"], ["image", "nonsense"],
    ["image", "import"], ["image", "from-dir"], ["image", "from-dir", "/tmp"], ["image", "pull"], ["image", "rm"], ["image", "ls", "extra"],
    ["version", "extra"], ["version", "--nonsense"], ["debug"], ["debug", "nonsense"], ["debug", "authority", "extra"],
    ["sim", "--scenarios", "nonsense"], ["sim", "--controller", "nonsense"], ["sim", "--plans", "x"], ["sim", "--nodes", "a", "--pods", "b", "--mode", "nonsense"], ["service"], ["service", "nonsense"]],
    ids=" ".join)
def test_bad_arguments_exit_2_with_one_line(root, args):
    r = run(ATOLL, *args, *(["--root", root] if args[0] in ("up", "down", "status", "image") else []), check=False)
    one_line(r, 2)
    assert not os.path.exists(f"{root}/run") and not os.path.exists(f"{root}/var")


def test_without_a_verb_it_says_how(root):
    r = run(ATOLL, check=False)
    assert r.returncode == 0 and "up" in r.stdout
    assert "image" in run(ATOLL, "help").stdout and "image" in run(ATOLL, "--help").stdout
    for verb in ("up", "down", "status", "image", "version", "debug"):
        assert verb in run(ATOLL, verb, "--help").stdout


def test_closed_standard_descriptors_are_no_files_of_ours():
    """What is opened first would be standard error otherwise, or end the event loop."""
    r = subprocess.run(["sh", "-c", 'exec "$0" sim --plans 1 <&- >&- 2>&-', ATOLL], timeout=60)
    assert r.returncode == 0


def test_version_and_authority_need_no_root_user():
    assert "v1.32" in run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ATOLL, "version").stdout if readable() else True
    table = run(ATOLL, "debug", "authority").stdout
    for service in ("init", "store", "api", "keys", "controllers", "scheduler", "node", "broker", "image", "network", "dns", "egress"):
        assert service in table


def readable():
    return run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-x", ATOLL, check=False).returncode == 0


@pytest.mark.parametrize("args", [["up", "--daemon"], ["down"], ["image", "ls"], ["status"]], ids=" ".join)
def test_not_root_is_told(atoll, args):
    if not readable():
        pytest.skip("the build directory is closed to other users")
    r = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ATOLL, *args, "--root", atoll.root, check=False)
    one_line(r, 1, "root", "sudo")


@pytest.mark.parametrize("args", [["image", "ls"], ["status"], ["why", "x"], ["sp", "filter", "x"], ["secrets", "rotate"]], ids=" ".join)
def test_not_running_is_told(root, args):
    one_line(run(ATOLL, *args, "--root", root, check=False), 1, root, "atoll up")


def test_port_in_use(root):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        r = run(ATOLL, "up", "--daemon", "--root", root, "--listen", f"127.0.0.1:{port}", check=False)
    one_line(r, 1, str(port), "in use", "--listen")
    with open("/proc/mounts") as mounts:  # nothing holds the directory
        assert f"{root}/" not in mounts.read()
    a = Atoll(root, 90)
    a.up()
    assert a.kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_root_in_use(atoll):
    one_line(run(ATOLL, "up", "--daemon", "--root", atoll.root, "--listen", f"127.0.0.1:{free_port()}", check=False), 1, atoll.root, "down")
    assert atoll.kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_root_that_is_no_directory(root):
    open(f"{root}/file", "w").close()
    one_line(run(ATOLL, "up", "--daemon", "--root", f"{root}/file", check=False), 1, "file")


def test_missing_runtime_is_told(root):
    """Runs in a mount namespace where crun and runc cannot be executed."""
    cover = [f"mount --bind /dev/null {p}" for p in ("/usr/bin/crun", "/usr/sbin/runc", "/usr/bin/runc") if os.path.exists(os.path.realpath(p))]
    r = run("unshare", "-m", "sh", "-c", f"{'; '.join(cover)}; exec {ATOLL} up --daemon --root {root} --listen 127.0.0.1:{free_port()}", check=False)
    one_line(r, 1, "crun", "install")
    assert not os.path.exists(f"{root}/var/lib/atoll/store")


def test_status_tells_pid_memory_restarts_uptime(atoll):
    s = atoll.status()
    for service in s["services"]:
        assert set(service) >= {"name", "pid", "memory_pss_bytes", "restarts", "uptime_s"}
        assert service["pid"] > 1 and service["memory_pss_bytes"] > 0
    text = run(ATOLL, "status", "--root", atoll.root).stdout
    assert all(x["name"] in text for x in s["services"])


def test_settings_are_kept_from_up_to_up(root):
    a = Atoll(root, 91, node="kept-name")
    a.up()
    a.down()
    run(ATOLL, "up", "--daemon", "--root", root)
    a.ready()
    assert a.items("nodes")[0]["metadata"]["name"] == "kept-name"
    assert a.get("service", "kubernetes")["spec"]["clusterIP"].startswith("10.241.")


def test_down_twice_and_purge_of_nothing_are_fine(root):
    a = Atoll(root, 92)
    a.up()
    a.down()
    assert "not running" in run(ATOLL, "down", "--root", root).stdout
    run(ATOLL, "down", "--purge", "--root", root)
    run(ATOLL, "down", "--purge", "--root", root)


def damage(path):
    with open(path, "r+b") as f:
        size = f.seek(0, 2)
        for offset in range(4096 + 100, size, 4096):
            f.seek(offset)
            f.write(b"\xa5" * 512)


def test_damaged_database_is_refused_and_left_as_it_is(root):
    a = Atoll(root, 93)
    a.up()
    a.ready()
    a.kubectl("create", "cm", "kept", "--from-literal=a=b")
    a.down()
    files = [os.path.join(d, f) for d, _, names in os.walk(f"{root}/var/lib/atoll") for f in names if f.endswith((".db", ".sqlite"))]
    assert len(files) == 1, files
    good = open(files[0], "rb").read()
    damage(files[0])
    bad = open(files[0], "rb").read()
    r = run(ATOLL, "up", "--daemon", "--root", root, check=False, timeout=90)
    assert r.returncode == 1, r.stdout
    assert "damaged" in r.stderr and "backup" in r.stderr and files[0].replace(root, "") in r.stderr, r.stderr
    assert open(files[0], "rb").read() == bad
    run(ATOLL, "down", "--root", root)
    open(files[0], "wb").write(good)
    a.up()
    assert a.get("cm", "kept")["data"] == {"a": "b"}


def test_full_disk_is_told_and_nothing_is_lost(root):
    """A small file system fills up: writes are refused with the reason, what was acknowledged stays, and space heals it."""
    run("mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "none", root)
    try:
        a = Atoll(root, 94)
        a.up()
        a.ready()
        a.kubectl("create", "cm", "before", "--from-literal=a=b")
        with open(f"{root}/fill", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 65536)
            except OSError:
                pass
        stored, message = [], ""
        for i in range(400):
            r = a.kubectl("create", "cm", f"big{i}", f"--from-literal=a={'x' * 100000}", check=False)
            if r.returncode:
                message = r.stderr
                break
            stored.append(f"big{i}")
        assert message and len(message.strip().splitlines()) == 1
        assert "disk" in message or "space" in message, message
        assert a.get("cm", "before")["data"] == {"a": "b"}
        os.unlink(f"{root}/fill")
        until(lambda: a.kubectl("create", "cm", "after", "--from-literal=a=b", check=False).returncode == 0, 20)
        assert {"before", "after", *stored} <= {c["metadata"]["name"] for c in a.items("cm")}
        a.down()
        a.up()
        assert {"before", "after", *stored} <= {c["metadata"]["name"] for c in a.items("cm")}
        a.down("--purge")
    finally:
        run(ATOLL, "down", "--pods", "--root", root, check=False)
        until(lambda: run("umount", root, check=False).returncode == 0, 10, what="umount")


def test_full_disk_at_start_is_told(root):
    run("mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "none", root)
    try:
        r = run(ATOLL, "up", "--daemon", "--root", root, "--listen", f"127.0.0.1:{free_port()}", check=False, timeout=90)
        assert r.returncode == 1 and "space" in r.stderr, r.stderr
    finally:
        run(ATOLL, "down", "--pods", "--root", root, check=False)
        until(lambda: run("umount", root, check=False).returncode == 0, 10, what="umount")


def test_up_in_the_foreground_ends_by_a_signal(root):
    log = open(f"{root}.log", "w+")
    a = Atoll(root, 95)
    p = subprocess.Popen([ATOLL, "up", "--root", root, "--listen", f"127.0.0.1:{a.port}", "--pod-cidr", a.pod_cidr,
                          "--service-cidr", a.service_cidr], stdout=log, stderr=log)
    until(lambda: os.path.exists(a.kubeconfig) and a.kubectl("get", "--raw", "/readyz", check=False).stdout == "ok")
    p.terminate()
    began = time.monotonic()
    assert p.wait(20) == 0 and time.monotonic() - began < 10
    os.unlink(log.name)


def test_kubeconfig_is_private_and_no_secret_is_in_the_logs(atoll):
    assert os.stat(atoll.kubeconfig).st_mode & 0o777 == 0o600
    text = "".join(open(os.path.join(d, f), errors="replace").read() for d, _, names in os.walk(f"{atoll.root}/var/log") for f in names)
    assert "PRIVATE KEY" not in text and "eyJhbGci" not in text


def test_two_atolls_side_by_side(atoll, own_atoll):
    """Same names, other roots: pods, Services and images of one are nothing to the other, also when one goes."""
    other = own_atoll(node="n1")
    for a, text in ((atoll, "one"), (other, "two")):
        a.apply({"kind": "Pod", "metadata": {"name": "side", "labels": {"app": "side"}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [
            {"name": "c", "image": "localhost/busybox:e2e", **sh(f"mkdir -p /w; echo {text} > /w/index.html; exec httpd -f -p 80 -h /w")}]}},
            {"kind": "Service", "metadata": {"name": "side"}, "spec": {"selector": {"app": "side"}, "ports": [{"port": 80}]}})
    for a in (atoll, other):
        Pods(a, "default").running("side")
    urls = {a: f"http://{a.get('service', 'side')['spec']['clusterIP']}/" for a in (atoll, other)}
    fetch = lambda u: run("curl", "-sS", "--max-time", "5", u, check=False).stdout  # noqa: E731
    until(lambda: (fetch(urls[atoll]), fetch(urls[other])) == ("one\n", "two\n"))
    assert Pods(other, "default").sh("side", "wget -qO- http://side") == "two\n"
    other.end()
    assert fetch(urls[atoll]) == "one\n"
    assert json.loads(atoll.kubectl("get", "pod", "side", "-o", "json").stdout)["status"]["phase"] == "Running"
    atoll.kubectl("delete", "pod,svc", "side", "--wait=false")
