"""The node agent on real parts: pods through broker, image and network, as kubectl and the official client see them."""
import contextlib
import http.server
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import pytest

from atoll_cluster import IMAGE, free_port, sh, until

kubernetes = pytest.importorskip("kubernetes")
from kubernetes import client, config  # noqa: E402
from kubernetes.stream import portforward, stream  # noqa: E402


@pytest.fixture(scope="module")
def cluster(new_atoll):
    c = new_atoll()
    config.load_kube_config(c.kubeconfig)
    c.v1 = client.CoreV1Api()
    return c


@pytest.fixture
def pod(cluster, request):
    """Creates pods of a spec; they are deleted at the end."""
    names = []

    def make(containers, name=None, **spec):
        name = name or f"p{len(names)}-" + re.sub(r'[^a-z0-9]+', '-', request.node.name)[-50:].strip('-')
        for i, c in enumerate(containers):
            c.setdefault("name", "c" if i == 0 else f"c{i}")
            c.setdefault("image", IMAGE)
        spec.setdefault("terminationGracePeriodSeconds", 1)
        cluster.v1.create_namespaced_pod("default", {"apiVersion": "v1", "kind": "Pod", "metadata": {
            "name": name, "labels": {"app": name}}, "spec": {**spec, "containers": containers}})
        names.append(name)
        return name

    yield make
    for n in names:
        try:
            cluster.v1.delete_namespaced_pod(n, "default", grace_period_seconds=0)
        except client.ApiException:
            pass


def get(cluster, name):
    return cluster.v1.read_namespaced_pod(name, "default")


def phase(cluster, name, want, seconds=20):
    until(lambda: get(cluster, name).status.phase == want, seconds)
    return get(cluster, name)


def waiting(cluster, name, reason):
    def check():
        s = get(cluster, name).status.container_statuses
        return s and s[0].state.waiting and s[0].state.waiting.reason == reason and s[0].state.waiting
    return until(check)


def test_node_is_registered_with_capacity_and_lease(cluster):
    n = cluster.v1.read_node("n1")
    assert int(n.status.capacity["cpu"]) == len(os.sched_getaffinity(0))
    assert n.status.node_info.container_runtime_version.startswith("crun://")
    assert {a.type for a in n.status.addresses} == {"InternalIP", "Hostname"}
    assert client.CoordinationV1Api().read_namespaced_lease("n1", "kube-node-lease").spec.holder_identity == "n1"


def test_pod_runs_and_logs(cluster, pod):
    name = pod([sh("echo hello; sleep 1000")])
    p = phase(cluster, name, "Running")
    assert p.status.pod_ip.startswith(cluster.pod_cidr[:-4]) and p.status.qos_class == "BestEffort"
    assert p.status.container_statuses[0].container_id.startswith("crun://")
    until(lambda: cluster.v1.read_namespaced_pod_log(name, "default") == "hello\n")


def test_init_containers_and_sidecars_come_first(cluster, pod):
    mount = [{"name": "d", "mountPath": "/d"}]
    name = pod([sh("cat /d/a /d/b; sleep 1000", volumeMounts=mount)], volumes=[{"name": "d", "emptyDir": {}}],
               initContainers=[{"name": "i", "image": IMAGE, "volumeMounts": mount, **sh("echo one > /d/a")},
                               {"name": "s", "image": IMAGE, "volumeMounts": mount, "restartPolicy": "Always",
                                **sh("echo two > /d/b; sleep 1000"),
                                "startupProbe": {"exec": {"command": ["test", "-f", "/d/b"]}, "periodSeconds": 1}}])
    phase(cluster, name, "Running")
    until(lambda: cluster.v1.read_namespaced_pod_log(name, "default", container="c") == "one\ntwo\n")


def test_volumes_and_environment_follow_their_sources(cluster, pod):
    v1 = cluster.v1
    v1.create_namespaced_config_map("default", {"metadata": {"name": "settings"}, "data": {"k": "one"}})
    v1.create_namespaced_secret("default", {"metadata": {"name": "keys"}, "stringData": {"pw": "s3cret"}})
    name = pod([sh("sleep 1000", env=[{"name": "PW", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "pw"}}},
                                      {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                   volumeMounts=[{"name": "all", "mountPath": "/all"}])],
               volumes=[{"name": "all", "projected": {"sources": [
                   {"configMap": {"name": "settings"}}, {"secret": {"name": "keys"}},
                   {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                   {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}}])
    p = phase(cluster, name, "Running")
    out = cluster.kubectl("exec", name, "--", "sh", "-c", "echo $PW $IP; cat /all/k /all/pw; echo; cat /all/labels; "
                          "head -c 3 /all/token").stdout
    assert out.startswith(f"s3cret {p.status.pod_ip}\nones3cret\napp=\"{name}\"") and out.endswith("eyJ")
    v1.patch_namespaced_config_map("settings", "default", {"data": {"k": "two"}})
    until(lambda: cluster.kubectl("exec", name, "--", "cat", "/all/k").stdout == "two", 10)


def test_missing_config_map_is_waited_for(cluster, pod):
    name = pod([sh("sleep 1000", envFrom=[{"configMapRef": {"name": "later"}}])])
    assert waiting(cluster, name, "CreateContainerConfigError").message == 'configmap "later" not found'
    cluster.v1.create_namespaced_config_map("default", {"metadata": {"name": "later"}, "data": {"A": "b"}})
    phase(cluster, name, "Running", 5)


def test_crashing_container_backs_off(cluster, pod):
    name = pod([sh("echo run; echo why > /dev/termination-log; exit 3")])
    w = waiting(cluster, name, "CrashLoopBackOff")
    assert w.message.startswith("back-off 10s restarting failed container=c")
    s = get(cluster, name).status.container_statuses[0]
    assert s.restart_count == 1 and s.last_state.terminated.exit_code == 3
    assert s.last_state.terminated.message == "why\n"
    assert cluster.v1.read_namespaced_pod_log(name, "default", previous=True) == "run\n"


@pytest.mark.parametrize("image,policy,reason", [("127.0.0.1:1/none:1", "IfNotPresent", "ImagePullBackOff"),
                                                 ("absent:1", "Never", "ErrImageNeverPull"),
                                                 ("Bad Name", "IfNotPresent", "InvalidImageName")])
def test_image_problems_have_their_reason(cluster, pod, image, policy, reason):
    waiting(cluster, pod([{"image": image, "imagePullPolicy": policy}], name=f"img-{reason.lower()}"), reason)


def test_memory_limit_kills(cluster, pod):
    name = pod([sh("x=a; while true; do x=$x$x; done", resources={"limits": {"memory": "16Mi"}})], restartPolicy="Never")
    p = phase(cluster, name, "Failed")
    assert p.status.container_statuses[0].state.terminated.reason == "OOMKilled"


def test_probes_decide_readiness_and_restarts(cluster, pod):
    name = pod([sh("mkdir /w; httpd -f -p 80 -h /w", readinessProbe={
        "httpGet": {"path": "/ok", "port": 80}, "periodSeconds": 1}, livenessProbe={
        "exec": {"command": ["sh", "-c", "echo sick; test ! -f /bad"]}, "periodSeconds": 1, "failureThreshold": 1})])
    phase(cluster, name, "Running")
    until(lambda: any("HTTP probe failed with statuscode: 404" in e.message for e in
                      cluster.v1.list_namespaced_event("default").items if e.involved_object.name == name))
    assert not get(cluster, name).status.container_statuses[0].ready
    cluster.kubectl("exec", name, "--", "touch", "/w/ok")
    until(lambda: get(cluster, name).status.container_statuses[0].ready)
    cluster.kubectl("exec", name, "--", "touch", "/bad")
    until(lambda: get(cluster, name).status.container_statuses[0].restart_count == 1)


class Health(threading.Thread):
    """A gRPC health server in a few frames of HTTP/2 that answers SERVING or NOT_SERVING (no HPACK needed: literals only)."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.server = socket.create_server((address, 0))
        self.port, self.status, self.requests = self.server.getsockname()[1], 1, []
        self.start()

    @staticmethod
    def frame(kind, flags, stream_id, body):
        return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + body

    @staticmethod
    def literal(name, value):
        return bytes([0, len(name)]) + name + bytes([len(value)]) + value

    def run(self):
        while True:
            c, _ = self.server.accept()
            with c, c.makefile("rb") as f, contextlib.suppress(ConnectionError):
                f.read(24)
                c.sendall(self.frame(4, 0, 0, b""))
                while head := f.read(9):
                    size, kind, flags, sid = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:], "big")
                    body = f.read(size)
                    if kind == 0 and flags & 1:
                        self.requests.append(body)
                        c.sendall(self.frame(1, 4, sid, b"\x88" + self.literal(b"content-type", b"application/grpc")) +
                                  self.frame(0, 0, sid, b"\0\0\0\0\2\x08" + bytes([self.status])) +
                                  self.frame(1, 5, sid, self.literal(b"grpc-status", b"0")))


def test_grpc_probe_asks_the_health_service(cluster, pod):
    address = next(a.address for a in cluster.v1.read_node("n1").status.addresses if a.type == "InternalIP")
    health = Health(address)
    name = pod([sh("sleep 1000", readinessProbe={"grpc": {"port": health.port, "service": "db"}, "periodSeconds": 1,
                                                 "failureThreshold": 1})], hostNetwork=True)
    until(lambda: get(cluster, name).status.container_statuses and get(cluster, name).status.container_statuses[0].ready)
    assert health.requests[0] == b"\0\0\0\0\4\x0a\2db"
    health.status = 2
    until(lambda: not get(cluster, name).status.container_statuses[0].ready)
    assert any('service unhealthy (responded with "NOT_SERVING")' in e.message
               for e in cluster.v1.list_namespaced_event("default").items if e.involved_object.name == name)


def test_https_probe_does_not_verify(cluster, pod, tmp_path):
    key, certificate = str(tmp_path / "key"), str(tmp_path / "cert")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "1", "-subj", "/CN=x"], check=True, capture_output=True)
    address = next(a.address for a in cluster.v1.read_node("n1").status.addresses if a.type == "InternalIP")
    server = http.server.HTTPServer((address, 0), http.server.SimpleHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name = pod([sh("sleep 1000", readinessProbe={"periodSeconds": 1, "httpGet": {
        "scheme": "HTTPS", "path": "/", "port": server.server_port, "host": address}})])
    until(lambda: get(cluster, name).status.container_statuses and get(cluster, name).status.container_statuses[0].ready)
    server.shutdown()


def test_deadline_ends_the_pod(cluster, pod):
    p = phase(cluster, pod([sh("sleep 1000")], activeDeadlineSeconds=1), "Failed")
    assert p.status.reason == "DeadlineExceeded"


def test_pod_that_does_not_fit_is_rejected(cluster, pod):
    p = phase(cluster, pod([sh("true", resources={"requests": {"cpu": "1000"}})], nodeName="n1"), "Failed")
    assert p.status.reason == "OutOfcpu" and not p.status.container_statuses


def test_a_pod_whose_host_port_is_taken_is_rejected(cluster, pod):
    ports = [{"containerPort": 80, "hostPort": 31987}]
    phase(cluster, pod([sh("sleep 1000", ports=ports)], nodeName="n1"), "Running")
    p = phase(cluster, pod([sh("sleep 1000", ports=ports)], nodeName="n1"), "Failed")
    assert p.status.reason == "NodePorts" and "didn't have free ports" in p.status.message


def test_deletion_runs_the_hook_and_gives_time(cluster, pod):
    name = pod([sh("trap 'echo term; exit 0' TERM; echo ready; while true; do sleep 0.1; done", lifecycle={
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping > /proc/1/fd/1"]}}})],
        terminationGracePeriodSeconds=20)
    phase(cluster, name, "Running")
    follow = subprocess.Popen(["kubectl", "--kubeconfig", cluster.kubeconfig, "logs", "-f", name],
                              stdout=subprocess.PIPE, text=True)
    assert follow.stdout.readline() == "ready\n"
    began = time.monotonic()
    cluster.kubectl("delete", "pod", name)
    assert time.monotonic() - began < 10
    assert follow.communicate(timeout=10)[0] == "stopping\nterm\n"


def test_exec_attach_copy(cluster, pod, tmp_path):
    name = pod([sh("while read x; do echo got $x; done; sleep 1000", stdin=True)])
    phase(cluster, name, "Running")
    assert cluster.kubectl("exec", name, "--", "sh", "-c", "exit 7", check=False).returncode == 7
    assert cluster.kubectl("exec", "-i", name, "--", "cat", text="in and out").stdout == "in and out"
    r = stream(cluster.v1.connect_get_namespaced_pod_exec, name, "default", command=["sh", "-c", "echo o; echo e >&2"],
               stdout=True, stderr=True, stdin=False, tty=False, _preload_content=False)
    r.run_forever(timeout=10)
    assert (r.read_stdout(), r.read_stderr(), r.returncode) == ("o\n", "e\n", 0)
    attach = subprocess.Popen(["kubectl", "--kubeconfig", cluster.kubeconfig, "attach", "-i", name], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    attach.stdin.write("one\n")
    attach.stdin.flush()
    assert attach.stdout.readline() == "got one\n"
    attach.kill()
    attach.wait()
    data = tmp_path / "data"
    data.write_bytes(os.urandom(3_000_000))
    cluster.kubectl("cp", str(data), f"{name}:/tmp/data")
    cluster.kubectl("cp", f"{name}:/tmp/data", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data.read_bytes()


def test_port_forward_from_kubectl_and_python(cluster, pod):
    name = pod([sh("mkdir /w; echo page > /w/p; httpd -f -p 8080 -h /w")])
    phase(cluster, name, "Running")
    port = free_port()
    p = subprocess.Popen(["kubectl", "--kubeconfig", cluster.kubeconfig, "port-forward", f"pod/{name}", f"{port}:8080"],
                         stdout=subprocess.PIPE, text=True)
    try:
        assert "Forwarding" in p.stdout.readline()
        for _ in range(3):
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}/p", timeout=5).read() == b"page\n"
    finally:
        p.kill()
        p.wait()
    forward = portforward(cluster.v1.connect_get_namespaced_pod_portforward, name, "default", ports="8080")
    s = forward.socket(8080)
    s.setblocking(True)
    s.settimeout(10)
    s.sendall(b"GET /p HTTP/1.0\r\n\r\n")
    answer = b""
    while part := s.recv(4096):
        answer += part
    assert answer.endswith(b"page\n")


@pytest.mark.parametrize("service", ["node", "broker", "network", "image", "api", "store"])
def test_containers_survive_the_death_of(cluster, pod, service):
    name = pod([sh("sleep 1000")])
    phase(cluster, name, "Running")
    before = get(cluster, name).status.container_statuses[0]
    os.kill(cluster.pid(service), signal.SIGKILL)
    time.sleep(0.3)
    other = f"after-{service}"

    def create():
        try:
            return pod([sh("sleep 1000")], name=other)
        except Exception:
            return None
    until(create, 5)
    phase(cluster, other, "Running", 10)
    after = get(cluster, name).status.container_statuses[0]
    assert (after.container_id, after.restart_count) == (before.container_id, before.restart_count)
    assert cluster.kubectl("exec", name, "--", "echo", "alive").stdout == "alive\n"


def test_everything_stopped_and_started_adopts_the_pods(cluster, pod):
    name = pod([sh("sleep 1000")])
    before = phase(cluster, name, "Running").status
    cluster.down()
    cluster.up()
    until(lambda: get(cluster, name))
    time.sleep(1)
    after = get(cluster, name).status
    assert after.container_statuses[0].container_id == before.container_statuses[0].container_id
    assert [(c.type, c.last_transition_time) for c in after.conditions] == \
        [(c.type, c.last_transition_time) for c in before.conditions]
    cluster.down("--pods")
    cluster.up()
    until(lambda: get(cluster, name).status.container_statuses[0].restart_count == 1)
    phase(cluster, name, "Running")
