"""Placement over nodes that are only objects: taints, affinity between pods, spread."""
import atoll_cluster as ac
import pytest

NS = "placement"


@pytest.fixture(scope="module")
def here(new_atoll):
    a = new_atoll(image=False)
    a.kubectl("create", "namespace", NS)
    for name, zone in (("f1", "a"), ("f2", "a"), ("f3", "b")):
        a.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"fake": "yes", "zone": zone}},
                 "spec": {"taints": [{"key": "fake", "value": "yes", "effect": "NoSchedule"}]}})
        a.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p",
                  '{"status":{"allocatable":{"cpu":"4","memory":"8Gi","pods":"20"},"capacity":{"cpu":"4","memory":"8Gi","pods":"20"}}}')
    return a


def place(here, name, labels=None, tolerated=True, **spec):
    here.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NS, "labels": labels or {}},
                "spec": {"containers": [{"name": "c", "image": "none"}], "nodeSelector": {"fake": "yes"},
                         "tolerations": [{"operator": "Exists"}] if tolerated else [], **spec}}, namespace=NS)


def node_of(here, name):
    return ac.until(lambda: here.get("pod", name, NS)["spec"].get("nodeName"), what=f"a node for {name}")


def refusal(here, name):
    def message():
        found = [c for c in here.get("pod", name, NS)["status"].get("conditions", []) if c["type"] == "PodScheduled"]
        return found and found[0].get("message")
    return ac.until(message, what=f"a reason for {name}")


def term(key="zone", app="web"):
    return [{"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}}]


def test_a_taint_that_is_not_tolerated_is_named(here):
    place(here, "untolerated", tolerated=False)
    assert "3 node(s) had untolerated taint {fake: yes}" in refusal(here, "untolerated")


def test_affinity_and_anti_affinity_follow_a_running_pod(here):
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    place(here, "web", {"app": "web"}, nodeSelector={"zone": "b"})
    assert node_of(here, "web") == "f3"
    place(here, "near", affinity={"podAffinity": {required: term()}})
    place(here, "far", affinity={"podAntiAffinity": {required: term()}})
    assert node_of(here, "near") == "f3"
    assert node_of(here, "far") in ("f1", "f2")
    place(here, "lost", affinity={"podAffinity": {required: term(app="nobody")}})
    assert "3 node(s) didn't match pod affinity rules" in refusal(here, "lost")


def test_spread_keeps_zones_even(here):
    rule = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "even"}}}]
    for i in range(4):
        place(here, f"even-{i}", {"app": "even"}, topologySpreadConstraints=rule)
    nodes = [node_of(here, f"even-{i}") for i in range(4)]
    assert nodes.count("f3") == 2
