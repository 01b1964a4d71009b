"""`atoll why`: the scheduler's decision taken apart, over nodes that are only objects."""
import json

import atoll_cluster as ac
import pytest

NS = "why"


@pytest.fixture(scope="module")
def here(new_atoll):
    a = new_atoll(image=False)
    a.kubectl("create", "namespace", NS)
    for name, zone, cpu in (("f1", "a", "4"), ("f2", "a", "8"), ("f3", "b", "2")):
        a.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"fake": "yes", "zone": zone}},
                 "spec": {"taints": [{"key": "fake", "value": "yes", "effect": "NoSchedule"}]}})
        room = {"cpu": cpu, "memory": "8Gi", "pods": "20"}
        a.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p",
                  json.dumps({"status": {"allocatable": room, "capacity": room}}))
    return a


def place(here, name, cpu="100m", tolerated=True, **spec):
    here.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NS},
                "spec": {"containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": cpu}}}],
                         "nodeSelector": {"fake": "yes"}, "tolerations": [{"operator": "Exists"}] if tolerated else [], **spec}}, namespace=NS)


def node_of(here, name):
    return ac.until(lambda: here.get("pod", name, NS)["spec"].get("nodeName"), what=f"a node for {name}")


def refused(here, name):
    return ac.until(lambda: [c for c in here.get("pod", name, NS)["status"].get("conditions", [])
                             if c["type"] == "PodScheduled" and c["status"] == "False"], what=f"a reason for {name}")[0]["message"]


def why(here, name, *args):
    return ac.run(ac.ATOLL, "why", "--root", here.root, "-n", NS, name, *args).stdout


def test_a_bound_pod_has_scores_of_every_node(here):
    place(here, "bound")
    node = node_of(here, "bound")
    text = why(here, "bound")
    assert f"Pod {NS}/bound is on node {node}" in text
    assert f"* {node}" in text and "NodeResourcesFit 1×" in text
    told = json.loads(why(here, "bound", "-o", "json"))
    fits = {n["name"]: n for n in told["nodes"] if n["fits"]}
    assert set(fits) == {"f1", "f2", "f3"} and told["best"] == node
    for n in fits.values():
        assert n["total"] == sum(s["weight"] * s["score"] for s in n["scores"])
    assert max(fits.values(), key=lambda n: n["total"])["name"] == node


def test_a_pending_pod_names_the_filter_of_each_node(here):
    place(here, "large", cpu="5", nodeSelector={"zone": "a"})
    assert node_of(here, "large") == "f2"
    place(here, "larger", cpu="5")
    message = refused(here, "larger")
    told = json.loads(why(here, "larger", "-o", "json"))
    assert told["message"] == message and told["pod"]["failures"] >= 1 and told["pod"]["node"] is None
    nodes = {n["name"]: n for n in told["nodes"]}
    assert nodes["f3"]["filter"] == "NodeResourcesFit" and nodes["f3"]["reasons"] == ["Insufficient cpu"]
    text = why(here, "larger")
    assert "nodes do not fit" in text and "NodeResourcesFit" in text and "Insufficient cpu" in text
    place(here, "intolerant", tolerated=False)
    refused(here, "intolerant")
    assert "node(s) had untolerated taint {fake: yes} (f1, f2, f3)" in why(here, "intolerant")


def priority_class(here, name, value, policy):
    here.apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value, "preemptionPolicy": policy})


def test_preemption_counts_the_pods_that_would_go(here):
    told = json.loads(why(here, "larger", "-o", "json"))
    assert told["preemptionBarred"] is None and told["preemptsOn"] is None and {n["victims"] for n in told["nodes"]} == {0}
    priority_class(here, "patient", 1000, "Never")
    place(here, "never", cpu="5", priorityClassName="patient")
    refused(here, "never")
    text = why(here, "never")
    assert "has priority 1000 (patient)" in text and "not eligible due to preemptionPolicy=Never" in text


def test_a_pod_that_pushes_out_others_says_whom(here):
    place(here, "humble", cpu="1500m", nodeSelector={"zone": "b"})
    assert node_of(here, "humble") == "f3"
    priority_class(here, "urgent", 2000, "PreemptLowerPriority")
    place(here, "urgent", cpu="1500m", nodeSelector={"zone": "b"}, priorityClassName="urgent", schedulingGates=[{"name": "example.com/wait"}])
    told = json.loads(why(here, "urgent", "-o", "json"))
    assert told["preemptsOn"] == "f3" and told["victims"] == [f"{NS}/humble"]
    assert [n["victims"] for n in told["nodes"] if n["name"] == "f3"] == [1]
    text = why(here, "urgent")
    assert f"It would take the room of others on node f3: {NS}/humble" in text and "f3 (1 pod)" in text


def test_a_gated_pod_names_its_gates(here):
    place(here, "gated", schedulingGates=[{"name": "example.com/wait"}])
    assert "waits for 1 scheduling gate to be removed: example.com/wait" in why(here, "gated")


def test_a_pod_of_another_scheduler_is_told(here):
    place(here, "foreign", schedulerName="other")
    text = why(here, "foreign")
    assert "schedulerName other is of no profile here" in text and "is placed by" not in text


def test_what_holds_a_pod_that_would_fit_is_named(here):
    here.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "member", "namespace": NS, "labels": {"scheduling.x-k8s.io/pod-group": "pair"}},
                "spec": {"containers": [{"name": "c", "image": "none"}], "nodeSelector": {"fake": "yes"}, "tolerations": [{"operator": "Exists"}]}},
               namespace=NS)
    assert "PodGroup why/pair not found" == refused(here, "member")
    assert "Pod why/member has no node: PodGroup why/pair not found." in why(here, "member")
    here.apply({"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup", "metadata": {"name": "pair", "namespace": NS}, "spec": {"minMember": 2}}, namespace=NS)
    told = ac.until(lambda: (t := json.loads(why(here, "member", "-o", "json")))["pod"]["reportedMessage"] == t["held"] and t, what="the new reason")
    assert told["held"] == "cannot find enough sibling pods, current pods number: 1, minMember of group why/pair: 2"


def test_a_pod_that_is_not_there(here):
    r = ac.run(ac.ATOLL, "why", "--root", here.root, "nobody", check=False)
    assert r.returncode == 1 and 'pods "nobody" not found' in r.stderr
