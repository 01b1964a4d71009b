"""Topology objects by kubectl: what is refused and why, what pods are granted, who may declare."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import xml.etree.ElementTree

import atoll_cluster as ac
import pytest

GROUP = "sp.atoll.dev/v1"
NS = "sp-declare"


@pytest.fixture(scope="module")
def here(atoll):
    atoll.kubectl("create", "namespace", NS)
    yield atoll
    atoll.kubectl("delete", "topologies", "-l", "test=declare")
    atoll.kubectl("delete", "namespace", NS, "--wait=false")


def topology(name, pattern="pubsub", **spec):
    return {"apiVersion": GROUP, "kind": "Topology", "metadata": {"name": name, "labels": {"test": "declare"}},
            "spec": {"pattern": pattern, **spec}}


def refused(here, *objects):
    for o in objects[:-1]:
        here.apply(o)
    r = here.kubectl("create", "-n", NS, "-f", "-", text=json.dumps(objects[-1]), check=False)
    assert r.returncode
    return r.stderr


def edge(name, role, way, port):
    return {"name": name, "role": role, way: f"tcp://127.0.0.1:{port}"}


def test_a_pattern_is_enough_and_the_rest_is_filled_in(here):
    here.apply(topology("plain"))
    t = here.get("topology", "plain")
    assert t["metadata"]["generation"] == 1
    assert t["spec"] == {"pattern": "pubsub", "lingerMs": 1000, "maxMessageBytes": 1048576, "ttl": 8, "requestResendMs": 60000,
                         "surveyDeadlineMs": 1000,
                         "queue": {"messages": 1000, "bytes": 1048576, "policy": "drop-oldest", "blockTimeoutMs": 1000}}
    rows = here.kubectl("get", "topo", "plain", "-o", "wide").stdout.splitlines()
    assert rows[0].split() == ["NAME", "PATTERN", "READY", "LINKS", "CLIENTS", "RATE", "DROPS", "AGE", "POLICY", "ROLES"]
    assert rows[1].split()[:2] == ["plain", "pubsub"] and rows[1].split()[-2:] == ["drop-oldest", "pub,sub"]


def test_explain_says_what_fields_mean(here):
    said = here.kubectl("explain", "topology.spec.queue.policy").stdout
    assert "GROUP:      sp.atoll.dev" in said and "drop-oldest" in said and "block (the sender)" in said
    assert "FIELD: pattern <string>" in here.kubectl("explain", "topology.spec.pattern").stdout


@pytest.mark.parametrize("spec, said", [
    ({"pattern": "pubsup"}, 'spec.pattern: Unsupported value: "pubsup": supported values: "bus"'),
    ({"roles": [{"name": "push"}]}, 'spec.roles[0].name: Unsupported value: "push": supported values: "pub", "sub"'),
    ({"edges": [{"name": "e", "role": "sub", "dial": "tcp://h"}]}, 'spec.edges[0].dial: Invalid value: "tcp://h": has no port'),
    ({"queue": {"policy": "block"}, "exports": [{"name": "e", "organisation": "bank", "listen": "tls+tcp://*:7001",
                                                 "peer": {"identity": "bank.example", "caFile": "bank.pem"}}]},
     "spec.exports[0].policy: Forbidden: queue.policy is block"),
    ({"edges": [edge("out", "pub", "listen", 7002), edge("in", "sub", "dial", 7002)]},
     "spec.edges[1].dial: Forbidden: closes a cycle: wrong → wrong"),
])
def test_what_is_wrong_is_refused_with_its_field(here, spec, said):
    assert said in refused(here, topology("wrong", **spec))


def test_a_pattern_stays(here):
    here.apply(topology("stays"))
    r = here.kubectl("patch", "topology", "stays", "--type=merge", "-p", '{"spec":{"pattern":"bus"}}', check=False)
    assert "spec.pattern: Invalid value" in r.stderr and "field is immutable" in r.stderr


def test_topologies_that_would_feed_each_other_are_refused(here):
    a = topology("ring-a", edges=[edge("in", "sub", "dial", 7013), edge("out", "pub", "listen", 7011)])
    b = topology("ring-b", edges=[edge("in", "sub", "dial", 7011), edge("out", "pub", "listen", 7012)])
    c = topology("ring-c", edges=[edge("in", "sub", "dial", 7012), edge("out", "pub", "listen", 7013)])
    said = refused(here, a, b, c)
    assert 'topologies.sp.atoll.dev "ring-c" is forbidden: spec.edges' in said
    assert "closes a cycle: ring-c → ring-a → ring-b → ring-c" in said
    c["spec"]["edges"].pop()
    here.apply(c)


def pod(name, asked, account=None):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": {"sp.atoll.dev/topologies": asked}},
            "spec": {"containers": [{"name": "c", "image": "localhost/none:1"}], "schedulerName": "nobody",
                     **({"serviceAccountName": account} if account else {})}}


def test_a_pod_takes_only_what_it_is_granted(here):
    here.kubectl("create", "serviceaccount", "trader", "-n", NS)
    here.apply(topology("granted", access=[
        {"roles": ["sub"], "serviceAccounts": [{"namespace": NS, "name": "trader"}]}]))
    here.apply(topology("open", "pipeline", access=[{"namespaces": [NS]}]))
    here.apply(pod("may", "granted:sub,open:push", "trader"), namespace=NS)
    where = 'is forbidden: metadata.annotations[sp.atoll.dev/topologies]: '
    assert where + 'topology "granted" does not grant the role "pub"' in refused(here, pod("no", "granted:pub", "trader"))
    assert f'to pods of the service account "{NS}/default"' in refused(here, pod("no", "granted:sub"))
    assert where + 'topology "missing" not found' in refused(here, pod("no", "missing:sub"))
    assert where + 'item "open": must be TOPOLOGY:ROLE' in refused(here, pod("no", "open"))
    r = here.kubectl("annotate", "pod", "may", "-n", NS, "--overwrite", "sp.atoll.dev/topologies=granted:pub", check=False)
    assert where in r.stderr


def test_only_administrators_of_the_cluster_declare(here):
    here.kubectl("create", "clusterrolebinding", "sp-declare-viewer", "--clusterrole=view", "--user=viewer")
    here.kubectl("create", "clusterrolebinding", "sp-declare-editor", "--clusterrole=admin", "--user=editor")

    def may(verb, who):
        return here.kubectl("auth", "can-i", verb, "topologies.sp.atoll.dev", f"--as={who}", check=False).stdout.strip()

    assert [may("get", "viewer"), may("create", "viewer"), may("list", "editor"), may("create", "editor")] == ["yes", "no", "yes", "no"]
    here.kubectl("delete", "clusterrolebinding", "sp-declare-viewer", "sp-declare-editor")


def connect(here, name, file):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(10)
    directory = os.open(f"{here.root}/run/atoll/sp/{name}", os.O_PATH)
    try:
        s.connect(f"/proc/self/fd/{directory}/{file}")
    finally:
        os.close(directory)
    return s


def serving(here, name):
    def ready():
        found = here.get("topology", name).get("status", {}).get("conditions", [])
        return {c["type"]: c["status"] for c in found}.get("Ready") == "True"

    ac.until(ready, 20, what=f"topology {name}")


def test_what_passes_is_in_the_status(here):
    here.apply(topology("busy", edges=[edge("out", "pub", "listen", 7021), edge("gone", "sub", "dial", 7022)]))
    serving(here, "busy")
    sub, pub = connect(here, "busy", "sub"), connect(here, "busy", "pub")
    sub.send(b"+a")
    assert sub.recv(100) == b"+a"
    for message in (b"a1", b"b1", b"a2"):
        pub.send(message)
    assert [sub.recv(100), sub.recv(100)] == [b"a1", b"a2"]

    def counted():
        s = here.get("topology", "busy")["status"]
        roles = {e["role"]: (e["clients"], e["messages"]) for e in s["endpoints"]}
        return s if roles == {"pub": (1, 3), "sub": (1, 2)} else None

    s = ac.until(counted, 20, what="counters in the status")
    assert s["observedGeneration"] == 1 and s["totals"]["clients"] == 2 and s["totals"]["wantedLinks"] == 2
    states = {link["name"]: (link["state"], link["peers"]) for link in s["links"]}
    assert states == {"out": ("Listening", 0), "gone": ("Connecting", 0)}
    by_type = {c["type"]: c for c in s["conditions"]}
    assert by_type["Connected"]["status"] == "False" and by_type["Ready"]["reason"] == "Serving"
    row = here.kubectl("get", "topology", "busy", "--no-headers").stdout.split()
    assert row[:5] == ["busy", "pubsub", "True", "0/2", "2"]
    sub.close()
    ac.until(lambda: here.get("topology", "busy")["status"]["totals"]["clients"] == 1, 20, what="a client less")
    here.kubectl("delete", "topology", "busy")
    ac.until(lambda: not os.path.exists(f"{here.root}/run/atoll/sp/busy"), 10, what="the directory to go")
    assert pub.recv(10) == b""


def test_what_the_service_cannot_do_is_said_in_the_status(here):
    here.apply(topology("nobody", roles=[{"name": "pub", "owner": "no-such-user"}]))

    def refused():
        found = here.get("topology", "nobody").get("status", {}).get("conditions", [])
        return [c for c in found if c["type"] == "Ready" and c["status"] == "False"]

    said = ac.until(refused, 20, what="the refusal")
    assert said[0]["reason"] == "Refused" and "no-such-user" in said[0]["message"]


def sp(here, *args, check=True, **kw):
    return subprocess.run([ac.ATOLL, "sp", *args, "--root", here.root], capture_output=True, text=True, timeout=30, check=check, **kw)


def test_verbs_show_and_use_topologies(here, tmp_path):
    here.apply(topology("verbs"))
    serving(here, "verbs")
    assert "verbs" in [t["name"] for t in json.loads(sp(here, "ls", "-o", "json").stdout)]
    sp(here, "filter", "verbs", "NASDAQ/A")
    ac.until(lambda: os.path.exists(f"{here.root}/run/atoll/sp/verbs/sub@NASDAQ%2FA"), 10, what="the filter's file")
    assert "sub@NASDAQ%2FA" in sp(here, "filter", "verbs").stdout
    tail = subprocess.Popen([ac.ATOLL, "sp", "tail", "verbs", "--filter", "NASDAQ%2FA", "--count", "2", "--timeout", "10", "--root", here.root],
                            stdout=subprocess.PIPE, text=True)
    ac.until(lambda: "sub:1" in sp(here, "ls").stdout, 10, what="the tail")
    sp(here, "send", "verbs", "NASDAQ/A 1", "NASDAQ/B 2", "NASDAQ/A 3\n")
    assert tail.communicate(timeout=15)[0] == "NASDAQ/A 1\nNASDAQ/A 3\\x0a\n" and tail.returncode == 0
    assert "pub" in sp(here, "graph", "verbs").stdout and "verbs (pubsub)" in sp(here, "graph").stdout
    sp(here, "graph", "verbs", "--svg", str(tmp_path / "g.svg"))
    assert len(xml.etree.ElementTree.parse(tmp_path / "g.svg").findall(".//{*}rect")) == 3
    assert "100.00 %" in sp(here, "bench", "verbs", "--messages", "500").stdout
    sp(here, "filter", "verbs", "NASDAQ/A", "--remove")
    ac.until(lambda: not os.path.exists(f"{here.root}/run/atoll/sp/verbs/sub@NASDAQ%2FA"), 10, what="the filter's file to go")


@pytest.mark.parametrize("args, said", [
    (["show", "missing"], 'no topology "missing"'), (["tail", "missing"], 'no topology "missing"'),
    (["nonsense"], "unknown verb 'nonsense'"), (["tail"], "needs the name of a topology"), (["bench", "x", "--size", "1"], "--size"),
    (["ls", "-o", "yaml"], "only json"), (["filter", "missing", "x"], 'topologies.sp.atoll.dev "missing" not found')])
def test_verbs_say_what_is_wrong_in_one_line(here, args, said):
    r = sp(here, *args, check=False)
    assert r.returncode in (1, 2) and said in r.stderr and len(r.stderr.strip().splitlines()) == 1


EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "sp" / "subscribe.c"


def test_a_pod_talks_to_the_topology_it_was_granted(here, pods, tmp_path):
    """As another user than root, through a read-only mount, and again after the service has restarted. The role is closed to
    programs of the host, and the pod does not see the other role."""
    os.chmod(tmp_path, 0o755)
    subprocess.run(["cc", "-static", "-o", tmp_path / "subscribe", EXAMPLE], check=True)
    here.apply(topology("podded", roles=[{"name": "sub", "mode": 0}], access=[{"roles": ["sub"], "namespaces": [pods.namespace]}]))
    serving(here, "podded")
    name = pods.make([ac.sh("exec /x/subscribe /run/atoll/sp/podded t", securityContext={"runAsUser": 1234, "runAsNonRoot": True},
                            volumeMounts=[{"name": "x", "mountPath": "/x"}])],
                     metadata={"annotations": {"sp.atoll.dev/topologies": "podded:sub"}},
                     volumes=[{"name": "x", "hostPath": {"path": str(tmp_path)}}])
    pods.running(name)
    log = lambda: pods.kubectl("logs", name).stdout.splitlines()  # noqa: E731
    ac.until(lambda: log() == ["+t"], 15, what="the subscription")
    with connect(here, "podded", "pub") as pub:
        pub.send(b"t1")
    ac.until(lambda: log() == ["+t", "t1"], 15, what="the message")
    assert pods.sh(name, "ls -A /run/atoll/sp/podded").split() == [".ring", "sub", "sub.ipc", "sub@"]

    def peers():
        lines = [line.split() for line in open(f"{here.root}/run/atoll/sp/podded/peers")][1:]
        return [(p[1], p[5]) for p in lines]

    ac.until(lambda: peers() == [("sub", "1234")], 10, what="the pod alone among the peers")
    assert os.stat(f"{here.root}/run/atoll/sp/podded/sub").st_mode & 0o777 == 0  # closed to programs of the host
    service = next(s for s in json.loads(ac.run(ac.ATOLL, "status", "-o", "json", "--root", here.root).stdout)["services"] if s["name"] == "sp")
    os.kill(service["pid"], 15)

    def again():
        with contextlib.suppress(OSError), connect(here, "podded", "pub") as pub:
            pub.send(b"t2")
        return log()[-2:] == ["+t", "t2"] or log()[-1] == "t2"

    ac.until(again, 30, what="a message after the restart")
