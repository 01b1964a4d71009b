"""Death at every level: containers outlive every Atoll process, acknowledged writes survive, everything converges again."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from atoll_cluster import ATOLL, IMAGE, Pods, process_of, run, sh, until
from request_loop import RequestLoop


def deployment(name, replicas):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": IMAGE, **sh("mkdir -p /w; echo page > /w/index.html; exec httpd -f -p 8080 -h /w"),
                                                                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}]}}}}


@pytest.fixture(scope="module")
def a(new_atoll):
    """An Atoll with a web Deployment and its Service."""
    a = new_atoll()
    a.apply(deployment("web", 3), {"kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})
    a.kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    # Collected after 40 s: made early, looked at late.
    a.apply({"kind": "Pod", "metadata": {"name": "lost"}, "spec": {"nodeName": "ghost", "containers": [{"name": "c", "image": IMAGE}]}})
    return a


def url(a):
    return f"http://{a.get('service', 'web')['spec']['clusterIP']}/"


def containers(a):
    """By pod: the container's ID ("" while none has been made since the start) and its restarts."""
    first = {p["metadata"]["name"]: p["status"]["containerStatuses"][0] for p in a.items("pods", "-l", "app=web")}
    return {name: (s.get("containerID", ""), s["restartCount"]) for name, s in first.items()}


def api_ready(a):
    until(lambda: a.kubectl("get", "--raw", "/readyz", check=False).stdout == "ok", 15, what="API ready")


def settled(a):
    api_ready(a)
    until(lambda: a.kubectl("rollout", "status", "deploy/web", "--timeout=60s", check=False).returncode == 0, 60)


def test_idle_services_are_small(a):
    def small():
        """What kubectl apply made api allocate (it asks for all of OpenAPI) goes back after some quiet seconds."""
        total = sum(x["memory_pss_bytes"] for x in a.status()["services"])
        return total <= 32 << 20
    until(small, 60, every=1, what="all services in 32 MiB")


def test_all_services_killed_at_once(a):
    before = containers(a)
    with RequestLoop(url(a)) as loop:
        for s in a.services().values():
            os.kill(s["pid"], signal.SIGKILL)
        settled(a)
        n = loop.count
        until(lambda: loop.count > n + 20)
    assert not loop.failures, loop.failures[:3]
    assert containers(a) == before
    a.kubectl("scale", "deploy/web", "--replicas=4")
    settled(a)
    a.kubectl("scale", "deploy/web", "--replicas=3")
    until(lambda: len(a.items("pods", "-l", "app=web")) == 3, 30)


def test_init_killed_and_up_again(a):
    before = containers(a)
    pid = a.status().get("pid") or int(open(f"{a.root}/run/atoll/init.pid").read())
    services = [s["pid"] for s in a.services().values()]
    with RequestLoop(url(a)) as loop:
        os.kill(pid, signal.SIGKILL)
        until(lambda: not any(os.path.exists(f"/proc/{p}") and "atoll" in open(f"/proc/{p}/cmdline").read() for p in services), 10, what="services end with init")
        a.up()
        settled(a)
    assert not loop.failures, loop.failures[:3]
    assert containers(a) == before


def test_acknowledged_writes_survive_deaths_of_store_and_api(a):
    """A writer goes on through ten deaths: what was acknowledged is there, nothing is there twice, versions only grow."""
    acknowledged, stop = {}, threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            r = a.kubectl("create", "cm", f"w{i}", f"--from-literal=i={i}", "-o", "jsonpath={.metadata.resourceVersion}", check=False)
            if r.returncode == 0:
                acknowledged[f"w{i}"] = int(r.stdout)
            i += 1
    t = threading.Thread(target=write)
    t.start()
    for _ in range(5):
        for service in ("store", "api"):
            n = len(acknowledged)
            until(lambda: len(acknowledged) > n + 2, 20)
            a.kill(service)
    stop.set()
    t.join()
    api_ready(a)
    stored = {c["metadata"]["name"]: (int(c["metadata"]["resourceVersion"]), c["data"]["i"]) for c in a.items("cm") if c["metadata"]["name"].startswith("w")}
    assert {n: (v, n[1:]) for n, v in acknowledged.items()}.items() <= stored.items()
    assert sorted(acknowledged.values()) == list(acknowledged.values())


@pytest.mark.parametrize("seed", [1, 2])
def test_scaling_converges_while_services_die(a, seed):
    rng = random.Random(seed)
    for replicas in (12, 2, 8, 3):
        until(lambda: a.kubectl("scale", "deploy/web", f"--replicas={replicas}", check=False).returncode == 0, 15)
        for _ in range(3):
            name = rng.choice(["api", "store", "controllers", "scheduler", "node", "broker", "network", "image", "keys", "dns"])
            s = until(lambda: a.services()[name]["pid"] and a.services()[name], 10)
            os.kill(s["pid"], signal.SIGKILL)
            time.sleep(rng.random() / 5)
    settled(a)
    until(lambda: len(a.items("pods", "-l", "app=web")) == 3, 60, what="three pods")
    settled(a)
    assert run("curl", "-sS", "--fail", "--max-time", "5", url(a)).stdout == "page\n"
    until(lambda: a.leaks().returncode == 0, 20, what=f"no leftovers (seed {seed})")


def test_down_with_pods_stops_them_and_up_starts_them_again(a):
    before = containers(a)
    a.down("--pods")
    assert not [p for p in run("ps", "-eo", "args").stdout.splitlines() if a.root in p and "pytest" not in p]
    assert "nothing is left over (0 pods run)" in a.leaks().stdout
    a.up()
    settled(a)
    until(lambda: set(now := containers(a)) == set(before) and all(now[n][0] not in ("", before[n][0]) for n in before), 30, what="new containers")
    assert run("curl", "-sS", "--fail", "--max-time", "5", url(a)).stdout == "page\n"


def test_a_machine_that_restarts_brings_its_pods_back(a):
    """All processes die at once, as in a power failure; mounts and links that a real restart removes stay as additional mess."""
    before = containers(a)
    uids = [p["metadata"]["uid"] for p in a.items("pods")]
    pid = int(open(f"{a.root}/run/atoll/init.pid").read())
    os.kill(pid, signal.SIGKILL)
    for proc in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = open(f"/proc/{proc}/cgroup").read() + open(f"/proc/{proc}/environ", errors="replace").read() + os.readlink(f"/proc/{proc}/cwd")
            if any(u in text for u in uids):
                os.kill(int(proc), signal.SIGKILL)
        except OSError:
            pass
    a.up()
    settled(a)
    until(lambda: (now := containers(a)) and set(now) == set(before) and all(now[n][1] > before[n][1] for n in before), 30, what="restarted containers")
    assert run("curl", "-sS", "--fail", "--max-time", "5", url(a)).stdout == "page\n"


def test_a_killed_container_is_started_again(a):
    p = Pods(a, "default")
    name = p.make([sh("sleep 100000")], name="victim")
    p.running(name)
    p.kubectl("exec", name, "--", "kill", "-9", "-1", check=False)
    os.kill(int(process_of(p.get(name)["metadata"]["uid"], b"sleep")), signal.SIGKILL)
    until(lambda: p.container(name).get("restartCount", 0) >= 1, 20)
    last = p.container(name)["lastState"]["terminated"]
    assert last["exitCode"] == 137 and last["reason"] == "Error"
    p.kubectl("delete", "pod", name)


def test_a_silent_node_becomes_not_ready_and_recovers(a):
    """The agent stands still: after its grace the node is Unknown and tainted; awake again it is Ready, its pods never stopped."""
    before = containers(a)
    pid = a.pid("node")
    os.kill(pid, signal.SIGSTOP)
    try:
        def status():
            return next(c["status"] for c in a.items("nodes")[0]["status"]["conditions"] if c["type"] == "Ready")
        until(lambda: status() == "Unknown", 70, every=0.5, what="node Unknown")
        until(lambda: {t["key"] for t in a.items("nodes")[0]["spec"].get("taints", [])} >= {"node.kubernetes.io/unreachable"}, 20)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: status() == "True" and not a.items("nodes")[0]["spec"].get("taints"), 30, what="node Ready without taints")
    settled(a)
    assert containers(a) == before


def test_pods_of_a_node_that_never_was_are_collected(a):
    until(lambda: a.get("pod", "lost") is None, 90, every=0.5, what="the lost pod's end")


def test_a_deleted_node_registers_again(a):
    uid = a.items("nodes")[0]["metadata"]["uid"]
    a.kubectl("delete", "node", a.node)
    until(lambda: (n := a.get("node", a.node)) and n["metadata"]["uid"] != uid and
          any(c["type"] == "Ready" and c["status"] == "True" for c in n["status"].get("conditions", [])), 30, what="the node again")


def test_deleted_pods_leave_nothing(a):
    a.kubectl("delete", "deploy,svc", "web")
    until(lambda: not a.items("pods"), 30)
    until(lambda: a.leaks().returncode == 0, 10, what="no leftovers")
    assert json.loads(run(ATOLL, "status", "--root", a.root, "-o", "json").stdout)["services"]


def test_two_ups_at_once_make_one_atoll(new_atoll):
    a = new_atoll(start=False)
    args = [ATOLL, "up", "--root", a.root, "--listen", f"127.0.0.1:{a.port}", "--pod-cidr", a.pod_cidr, "--service-cidr", a.service_cidr, "--daemon"]
    both = [subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(p.communicate(timeout=60), p.returncode) for p in both]
    assert sorted(code for _, code in ends) == [0, 1], ends
    assert "already running" in next(err for (_, err), code in ends if code == 1)
    api_ready(a)


@pytest.mark.parametrize("how", ["there is no crun", "the configuration says so"])
def test_runc_works_too(own_atoll, how):
    if not shutil.which("runc"):
        pytest.skip("runc is not installed")
    a = own_atoll(start=False)
    cover = "true"
    if how == "there is no crun":  # in a mount namespace where crun cannot be executed
        cover = "; ".join(f"mount --bind /dev/null {p}" for p in {os.path.realpath(p) for p in ("/usr/bin/crun", "/bin/crun") if os.path.exists(p)})
    else:
        os.makedirs(f"{a.root}/etc/atoll")
        with open(f"{a.root}/etc/atoll/runtime", "w") as f:
            f.write("runc\n")
    run("unshare", "-m", "sh", "-c", f"{cover or 'true'}; exec {ATOLL} up --root {a.root} --listen 127.0.0.1:{a.port} --node-name n1 --pod-cidr {a.pod_cidr} "
        f"--service-cidr {a.service_cidr} --daemon")
    a.ready()
    a.image_from_dir()
    p = Pods(a, "default")
    name = p.make([sh("echo hi; exec sleep 1000", resources={"limits": {"memory": "32Mi", "cpu": "100m"}})])
    assert p.running(name)["status"]["containerStatuses"][0]["containerID"].startswith("runc://")
    assert re.match(r"runc://\d+\.\d+", a.items("nodes")[0]["status"]["nodeInfo"]["containerRuntimeVersion"])
    assert p.sh(name, "echo exec") == "exec\n" and p.kubectl("logs", name).stdout == "hi\n"
    p.kubectl("delete", "pod", name)


def test_up_from_another_mount_namespace_adopts_too(own_atoll, network_namespace):
    """Each `ip netns exec` has a mount namespace of its own: the pods' mounts are found again through their shims."""
    a = own_atoll(start=False)
    args = [ATOLL, "up", "--root", a.root, "--listen", f"127.0.0.1:{a.port}", "--node-name", "n1", "--pod-cidr", a.pod_cidr, "--service-cidr", a.service_cidr, "--daemon"]
    again = ["ip", "netns", "exec", network_namespace.name]
    run(*again, *args)
    a.ready()
    a.image_from_dir()
    a.apply(deployment("web", 2), {"kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})
    settled(a)
    before = containers(a)
    with RequestLoop(url(a)) as loop:
        until(lambda: loop.count > 5)
        a.down()
        run(*again, *args)
        settled(a)
        n = loop.count
        until(lambda: loop.count > n + 10)
    assert not loop.failures, loop.failures[:3]
    assert containers(a) == before
    a.kubectl("exec", "deploy/web", "--", "true")
    a.kubectl("scale", "deploy/web", "--replicas=0")
    until(lambda: not a.items("pods", "-l", "app=web"), 20)
    a.kill("broker")
    a.kubectl("scale", "deploy/web", "--replicas=1")
    settled(a)
