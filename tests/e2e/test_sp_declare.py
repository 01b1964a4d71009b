"""Topology objects by kubectl: what is refused and why, what pods are granted, who may declare."""
import json

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
