"""Services, names and the way out, from pods, from the node and from another machine."""
import json
import re
import socket
import struct
import subprocess
import threading

import pytest

from atoll_cluster import ATOLL, Pods, process_of, run, sh, until

WEB = "mkdir -p /w; echo $(hostname) > /w/index.html; exec httpd -f -p 8080 -h /w"


def service(name, selector, **spec):
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"app": selector}, "ports": [
        {"name": "http", "port": 80, "targetPort": 8080}], **spec}}


def deployment(name, replicas, script=WEB):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "localhost/busybox:e2e", **sh(script), "ports": [
                {"name": "web", "containerPort": 8080}], "readinessProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1}}]}}}}


@pytest.fixture(scope="module")
def web(atoll):
    """Three web servers and a client pod in a namespace of their own."""
    ns = "network"
    atoll.kubectl("create", "namespace", ns)
    until(lambda: atoll.items("serviceaccounts", namespace=ns))
    atoll.apply(deployment("web", 3), service("web", "web"), service("nodeport", "web", type="NodePort"),
                service("sticky", "web", sessionAffinity="ClientIP"), service("headless", "web", clusterIP="None"),
                service("nobody", "nobody"), {"kind": "Pod", "metadata": {"name": "client", "labels": {"app": "client"}}, "spec": {
                    "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "localhost/busybox:e2e", "command": ["sleep", "100000"]}]}},
                namespace=ns)
    atoll.kubectl("-n", ns, "rollout", "status", "deploy/web", "--timeout=60s")
    until(lambda: atoll.get("pod", "client", ns)["status"]["phase"] == "Running")
    yield Web(atoll, ns)
    atoll.kubectl("delete", "namespace", ns, "--wait=false")


TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "AAAA": 28, "SRV": 33}
CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


def read_name(m, i):
    labels = []
    while m[i]:
        if m[i] >= 0xc0:
            return ".".join([*labels, read_name(m, (m[i] & 0x3f) << 8 | m[i + 1])[0]]), i + 2
        labels.append(m[i + 1:i + 1 + m[i]].decode())
        i += 1 + m[i]
    return ".".join([*labels, ""]), i + 1


def ask(server, name, kind):
    """(status, answers of that type) of one DNS question."""
    q = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(p)]) + p.encode() for p in name.rstrip(".").split("."))
    q += b"\0" + struct.pack("!HH", TYPES[kind], 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.connect((server, 53))
        s.send(q)
        m = s.recv(4096)
    answers, i = [], len(q)
    assert m[:2] == q[:2] and m[12:i].lower() == q[12:].lower()
    for _ in range(struct.unpack("!H", m[6:8])[0]):
        _, i = read_name(m, i)
        t, _, _, size = struct.unpack("!HHIH", m[i:i + 10])
        i += 10
        if t == 1:
            text = socket.inet_ntoa(m[i:i + 4])
        elif t == 33:
            text = " ".join([*map(str, struct.unpack("!HHH", m[i:i + 6])), read_name(m, i + 6)[0]])
        else:
            text = read_name(m, i)[0]
        if t == TYPES[kind]:
            answers.append(text)
        i += size
    return CODES[m[3] & 15], answers


class Web:
    def __init__(self, atoll, ns):
        self.atoll, self.ns = atoll, ns

    def ip(self, name):
        return self.atoll.get("service", name, self.ns)["spec"]["clusterIP"]

    def exec(self, script, pod="client", check=True):
        r = self.atoll.kubectl("-n", self.ns, "exec", pod, "--", "sh", "-c", script, check=False)
        assert not check or r.returncode == 0, (script, r.stdout, r.stderr)
        return r.stdout if check else r

    def backends(self):
        return [p for p in self.atoll.items("pods", "-l", "app=web", namespace=self.ns) if "deletionTimestamp" not in p["metadata"]]

    def lookup(self, name, kind="A", pod="client"):
        """Answers of a DNS question asked from inside the pod's network, by the pod's own name server address."""
        server = re.search(r"nameserver (\S+)", self.exec("cat /etc/resolv.conf", pod)).group(1)
        return ask(server, name, kind)


def fetch(url, *more):
    return run("curl", "-sS", "--fail", "--max-time", "5", *more, url, check=False)


def test_cluster_ip_balances_over_all_pods(web):
    names = {p["metadata"]["name"] for p in web.backends()}
    assert {fetch(f"http://{web.ip('web')}/").stdout.strip() for _ in range(40)} == names
    assert set(web.exec(f"for i in $(seq 40); do wget -qO- http://{web.ip('web')}/; done").split()) == names


def test_node_port_answers_on_the_nodes_address(web):
    port = web.atoll.get("service", "nodeport", web.ns)["spec"]["ports"][0]["nodePort"]
    node = next(a["address"] for a in web.atoll.items("nodes")[0]["status"]["addresses"] if a["type"] == "InternalIP")
    assert fetch(f"http://{node}:{port}/").returncode == 0
    assert web.exec(f"wget -qO- http://{node}:{port}/").strip() in {p["metadata"]["name"] for p in web.backends()}


def test_pod_reaches_itself_through_its_service(web):
    for p in web.backends():
        name = p["metadata"]["name"]
        got = web.exec(f"for i in $(seq 30); do timeout 3 wget -qO- http://{web.ip('web')}/; done", pod=name).split()
        assert len(got) == 30 and name in got


def test_session_affinity_keeps_a_client_at_one_pod(web):
    assert len(set(web.exec(f"for i in $(seq 20); do wget -qO- http://{web.ip('sticky')}/; done").split())) == 1
    assert len({fetch(f"http://{web.ip('sticky')}/").stdout for _ in range(20)}) == 1


def test_session_affinity_ends_after_its_time(web):
    web.atoll.apply(service("forgets", "web", type="NodePort", sessionAffinity="ClientIP",
                            sessionAffinityConfig={"clientIP": {"timeoutSeconds": 3}}), namespace=web.ns)
    port = web.atoll.get("service", "forgets", web.ns)["spec"]["ports"][0]["nodePort"]
    node = next(a["address"] for a in web.atoll.items("nodes")[0]["status"]["addresses"] if a["type"] == "InternalIP")
    for url in [f"http://{web.ip('forgets')}/", f"http://{node}:{port}/"]:
        until(lambda: fetch(url).stdout, what=f"an answer of {url}")
        assert len({fetch(url).stdout for _ in range(20)}) == 1
    # Every connection counts from the beginning: used all the time, longer than the time, it stays.
    script = "for i in $(seq 8); do wget -qO- URL; sleep 0.5; done; sleep 4; wget -qO- URL".replace("URL", f"http://{web.ip('forgets')}/")
    seen = set()

    def other():
        *stayed, after = web.exec(script).split()
        assert len(stayed) == 8 and len(set(stayed)) == 1, stayed
        seen.update([stayed[0], after])
        return len(seen) > 1
    until(other, 90, what="another pod after the time")


def test_service_without_endpoints_refuses_at_once(web):
    r = run("curl", "-sS", "--max-time", "5", "-w", "%{time_total}", f"http://{web.ip('nobody')}/", check=False)
    assert r.returncode == 7 and float(r.stdout) < 1, (r.stdout, r.stderr)
    r = web.exec(f"time timeout 5 wget -qO- http://{web.ip('nobody')}/", check=False)
    assert "refused" in r.stderr, r.stderr


def test_service_follows_readiness_and_scale(web):
    web.atoll.kubectl("-n", web.ns, "scale", "deploy/web", "--replicas=1")
    until(lambda: len(web.backends()) == 1)
    name = web.backends()[0]["metadata"]["name"]
    until(lambda: {fetch(f"http://{web.ip('web')}/").stdout.strip() for _ in range(10)} == {name})
    web.atoll.kubectl("-n", web.ns, "scale", "deploy/web", "--replicas=3")
    web.atoll.kubectl("-n", web.ns, "rollout", "status", "deploy/web", "--timeout=60s")


UDP_SERVER = "import socket\ns=socket.socket(2,2)\ns.bind(('',9000))\nwhile True:\n d,p=s.recvfrom(99)\n s.sendto(b'got '+d,p)\n"


def test_udp_service(web):
    """busybox has no UDP server: one of Python runs in the network of the pod."""
    web.atoll.apply({"kind": "Pod", "metadata": {"name": "udp", "labels": {"app": "udp"}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [
        {"name": "c", "image": "localhost/busybox:e2e", "command": ["sleep", "100000"]}]}},
        {"kind": "Service", "metadata": {"name": "udp"}, "spec": {"selector": {"app": "udp"}, "ports": [{"port": 90, "targetPort": 9000, "protocol": "UDP"}]}},
        namespace=web.ns)
    until(lambda: web.atoll.get("endpoints", "udp", web.ns).get("subsets"))
    pid = process_of(web.atoll.get("pod", "udp", web.ns)["metadata"]["uid"], b"sleep")
    server = subprocess.Popen(["nsenter", "-t", pid, "-n", "/usr/bin/python3", "-c", UDP_SERVER])
    ip = web.ip("udp")

    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.connect((ip, 90))
            try:
                s.send(b"hello")
                return s.recv(100)
            except OSError:
                return None
    try:
        assert until(ask, 10) == b"got hello"
    finally:
        server.kill()
        server.wait()


# ---- names ----

def test_resolv_conf_of_pods(web):
    text = web.exec("cat /etc/resolv.conf")
    assert f"search {web.ns}.svc.cluster.local svc.cluster.local cluster.local" in text and "options ndots:5" in text
    assert re.search(r"^\S+\s+client", web.exec("cat /etc/hosts"), re.M)


def test_service_names_long_and_short(web):
    ip = web.ip("web")
    assert web.lookup(f"web.{web.ns}.svc.cluster.local") == ("NOERROR", [ip])
    for name in ("web", f"web.{web.ns}", f"web.{web.ns}.svc", f"web.{web.ns}.svc.cluster.local", f"WEB.{web.ns}.svc.cluster.local."):
        assert "web-" in web.exec(f"timeout 3 wget -qO- http://{name}/"), name
    assert web.lookup("kubernetes.default.svc.cluster.local")[0] == "NOERROR"


def test_headless_service_gives_the_pods_addresses(web):
    want = sorted(p["status"]["podIP"] for p in web.backends())
    until(lambda: sorted(web.lookup(f"headless.{web.ns}.svc.cluster.local")[1]) == want)


def test_srv_names(web):
    status, answers = web.lookup(f"_http._tcp.web.{web.ns}.svc.cluster.local", "SRV")
    assert status == "NOERROR" and len(answers) == 1
    assert answers[0].split()[2:] == ["80", f"web.{web.ns}.svc.cluster.local."]
    status, answers = web.lookup(f"_http._tcp.headless.{web.ns}.svc.cluster.local", "SRV")
    assert status == "NOERROR" and sorted(a.split()[2] for a in answers) == ["8080"] * 3


def test_pod_names(web):
    p = web.backends()[0]["status"]["podIP"]
    assert web.lookup(f"{p.replace('.', '-')}.{web.ns}.pod.cluster.local") == ("NOERROR", [p])


def test_hostname_and_subdomain_name_a_pod(web):
    web.atoll.apply(service("sub", "named", clusterIP="None"), {"kind": "Pod", "metadata": {"name": "named", "labels": {"app": "named"}}, "spec": {
        "hostname": "me", "subdomain": "sub", "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": "localhost/busybox:e2e", "command": ["sleep", "100000"]}]}}, namespace=web.ns)
    p = until(lambda: web.atoll.get("pod", "named", web.ns)["status"].get("podIP"))
    until(lambda: web.lookup(f"me.sub.{web.ns}.svc.cluster.local") == ("NOERROR", [p]))
    until(lambda: web.exec("hostname; hostname -f", pod="named", check=False).stdout.split() == ["me", f"me.sub.{web.ns}.svc.cluster.local"])


def test_reverse_names(web):
    ip = web.ip("web")
    status, answers = web.lookup(".".join(reversed(ip.split("."))) + ".in-addr.arpa", "PTR")
    assert (status, answers) == ("NOERROR", [f"web.{web.ns}.svc.cluster.local."])


def test_unknown_names_do_not_exist_and_other_types_are_empty(web):
    assert web.lookup(f"nothing.{web.ns}.svc.cluster.local")[0] == "NXDOMAIN"
    assert web.lookup("web.nowhere.svc.cluster.local")[0] == "NXDOMAIN"
    assert web.lookup(f"web.{web.ns}.svc.cluster.local", "MX") == ("NOERROR", [])
    assert web.lookup(f"web.{web.ns}.svc.cluster.local", "AAAA") == ("NOERROR", [])


def test_external_name(web):
    web.atoll.apply({"kind": "Service", "metadata": {"name": "ext"}, "spec": {"type": "ExternalName", "externalName": "example.test"}}, namespace=web.ns)
    until(lambda: web.lookup(f"ext.{web.ns}.svc.cluster.local", "CNAME") == ("NOERROR", ["example.test."]))


@pytest.mark.parametrize("service", ["dns", "network", "api", "store"])
def test_names_are_answered_while_a_service_dies(web, service):
    """Each question is answered at the first try, though a service is killed meanwhile: init keeps the socket."""
    want = web.lookup(f"web.{web.ns}.svc.cluster.local")
    server, name = web.atoll.get("service", "kube-dns", "kube-system")["spec"]["clusterIP"], f"web.{web.ns}.svc.cluster.local"
    before = web.atoll.services()[service]["restarts"]
    for i in range(300):
        if i == 20:
            web.atoll.kill(service)
        assert ask(server, name, "A") == want, f"question {i}"
    until(lambda: web.atoll.services()[service]["restarts"] > before)
    until(lambda: web.atoll.kubectl("get", "--raw", "/readyz", check=False).stdout == "ok")
    assert ask(server, name, "A") == want


class Upstream:
    """A name server that knows one name; by UDP and TCP."""

    def __init__(self, address):
        self.udp, self.tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.udp.bind((address, 53))
        self.tcp.bind((address, 53))
        self.tcp.listen()
        self.asked = []
        for f in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=f, daemon=True).start()

    def answer(self, q):
        end = q.index(b"\0", 12) + 5
        self.asked.append(q[13:end - 5])
        if b"other" not in q.lower() or q[end - 4:end - 2] != b"\0\1":
            code = b"\x80" if b"other" in q.lower() else b"\x83"
            return q[:2] + b"\x81" + code + b"\0\1\0\0\0\0\0\0" + q[12:end]
        return (q[:2] + b"\x81\x80" + b"\0\1\0\1\0\0\0\0" + q[12:end] +
                b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\x04" + socket.inet_aton("192.0.2.7"))

    def serve_udp(self):
        while True:
            try:
                q, peer = self.udp.recvfrom(4096)
                self.udp.sendto(self.answer(q), peer)
            except OSError:
                return

    def serve_tcp(self):
        while True:
            try:
                c, _ = self.tcp.accept()
                q = c.recv(4096)
                a = self.answer(q[2:])
                c.sendall(len(a).to_bytes(2, "big") + a)
                c.close()
            except OSError:
                return


def test_other_names_are_forwarded_to_the_machines_name_server(own_atoll, tmp_path):
    """An Atoll whose machine names its server in resolv.conf: shown by a mount namespace with a resolv.conf of its own."""
    upstream = Upstream("127.0.0.77")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.77\n")
    a = own_atoll(start=False)
    run("unshare", "-m", "sh", "-c", f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf; exec {ATOLL} up --root {a.root} --listen 127.0.0.1:{a.port} "
        f"--node-name n1 --pod-cidr {a.pod_cidr} --service-cidr {a.service_cidr} --daemon")
    a.ready()
    a.image_from_dir()
    p = Pods(a, "default")
    p.make([{"command": ["sleep", "1000"]}], name="client")
    p.running("client")
    assert "192.0.2.7" in p.sh("client", "nslookup some.other.test")
    assert "NXDOMAIN" in p.kubectl("exec", "client", "--", "sh", "-c", "nslookup none.test 2>&1", check=False).stdout
    assert upstream.asked and not any(b"cluster" in q for q in upstream.asked)


# ---- the way out ----

@pytest.fixture
def outside(network_namespace):
    return network_namespace.outside


def test_pods_reach_outside_with_the_nodes_address(web, outside):
    server = subprocess.Popen(["ip", "netns", "exec", outside.name, "/usr/bin/python3", "-c",
                               "import socket\ns=socket.create_server(('192.0.2.2',8000))\nwhile True:\n c,p=s.accept(); c.sendall(p[0].encode()); c.close()\n"])
    try:
        def ask():
            r = web.exec("nc -w 3 192.0.2.2 8000 </dev/null", check=False)
            return r.stdout
        assert until(ask, 10) == "192.0.2.1"
    finally:
        server.kill()
        server.wait()


def test_node_port_is_reached_from_outside(web, outside):
    port = web.atoll.get("service", "nodeport", web.ns)["spec"]["ports"][0]["nodePort"]
    names = {p["metadata"]["name"] for p in web.backends()}
    got = {run("ip", "netns", "exec", outside.name, "curl", "-sS", "--max-time", "5", f"http://192.0.2.1:{port}/").stdout.strip() for _ in range(20)}
    assert got == names


def test_pods_reach_each_other_without_translation(web):
    p = web.backends()[0]
    web.exec("(timeout 10 nc -l -p 7777 -e sh -c 'netstat -tn' > /tmp/out 2>&1 &) ; sleep 0", check=False)
    client = web.atoll.get("pod", "client", web.ns)["status"]["podIP"]
    out = until(lambda: web.exec(f"nc -w 3 {client} 7777 </dev/null", pod=p["metadata"]["name"], check=False).stdout)
    assert p["status"]["podIP"] in out


def test_api_is_reached_from_another_machine(own_atoll, outside):
    a = own_atoll(start=False)
    run(ATOLL, "up", "--root", a.root, "--listen", f"192.0.2.1:{a.port}", "--pod-cidr", a.pod_cidr, "--service-cidr", a.service_cidr, "--daemon")
    assert run("ip", "netns", "exec", outside.name, "kubectl", "--kubeconfig", a.kubeconfig, "get", "--raw", "/readyz").stdout == "ok"
    assert "https://192.0.2.1:" in a.kubectl("config", "view").stdout


def test_service_without_selector_has_the_endpoints_it_is_given(web):
    target = web.backends()[0]
    web.atoll.apply({"kind": "Service", "metadata": {"name": "manual"}, "spec": {"ports": [{"name": "x", "port": 80}]}},
                    {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "manual-1", "labels": {"kubernetes.io/service-name": "manual"}},
                     "addressType": "IPv4", "ports": [{"name": "x", "port": 8080}], "endpoints": [{"addresses": [target["status"]["podIP"]], "conditions": {"ready": True}}]},
                    namespace=web.ns)
    until(lambda: fetch(f"http://{web.ip('manual')}/").stdout.strip() == target["metadata"]["name"])


def test_several_ports_and_named_targets(web):
    web.atoll.apply({"kind": "Service", "metadata": {"name": "ports"}, "spec": {"selector": {"app": "web"}, "ports": [
        {"name": "a", "port": 80, "targetPort": "web"}, {"name": "b", "port": 81, "targetPort": 8080}]}}, namespace=web.ns)
    for port in (80, 81):
        until(lambda: fetch(f"http://{web.ip('ports')}:{port}/").returncode == 0)
    assert fetch(f"http://{web.ip('ports')}:82/", "--connect-timeout", "2").returncode != 0


def test_deleted_service_is_gone(web):
    web.atoll.apply(service("brief", "web"), namespace=web.ns)
    ip = web.ip("brief")
    until(lambda: fetch(f"http://{ip}/").returncode == 0)
    web.atoll.kubectl("-n", web.ns, "delete", "svc", "brief")
    until(lambda: fetch(f"http://{ip}/", "--connect-timeout", "1").returncode != 0)
    until(lambda: web.lookup(f"brief.{web.ns}.svc.cluster.local")[0] == "NXDOMAIN")
    until(lambda: not web.atoll.items("endpointslices", "-l", "kubernetes.io/service-name=brief", namespace=web.ns))


def connection(ip, port=8080):
    try:
        return socket.create_connection((ip, port), timeout=5)
    except ConnectionRefusedError:
        return None


def test_a_connection_is_answered_after_pods_came_and_went(web):
    """A bridge follows the lowest hardware address of its ports unless it has one of its own: then pods answer nobody for a while."""
    def bridge():
        return json.loads(run("ip", "-j", "link", "show", name).stdout)[0]["address"]

    late = "#!/bin/sh\nwhile ! test -e /tmp/go; do sleep 0.1; done\nprintf 'Content-Type: text/plain\\r\\n\\r\\nlate'\n"
    pods = Pods(web.atoll, web.ns)
    slow = pods.make([sh('mkdir -p /w/cgi-bin; echo "$LATE" > /w/cgi-bin/late; chmod 755 /w/cgi-bin/late; exec httpd -f -p 8080 -h /w',
                         env=[{"name": "LATE", "value": late}])], name="slow")
    ip = pods.running(slow)["status"]["podIP"]
    name = re.search(r" dev (\S+)", run("ip", "route", "get", ip).stdout)[1]
    before = bridge()
    with until(lambda: connection(ip), what="the pod listens") as s:
        s.sendall(b"GET /cgi-bin/late HTTP/1.0\r\n\r\n")
        web.atoll.apply(deployment("guests", 8), namespace=web.ns)
        pods.kubectl("rollout", "status", "deploy/guests", "--timeout=60s")
        during = bridge()
        pods.kubectl("delete", "deploy/guests")
        until(lambda: not web.atoll.items("pods", "-l", "app=guests", namespace=web.ns), 40, what="no guests")
        pods.sh(slow, "touch /tmp/go")
        assert s.recv(100).startswith(b"HTTP/1.")
    assert (during, bridge()) == (before, before)
