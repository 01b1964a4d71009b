"""Preemption, gates, gangs and quotas over nodes that are only objects."""
import json

import atoll_cluster as ac
import pytest

NS = "scheduling"
GROUP = "scheduling.x-k8s.io/v1alpha1"
CLASSES = {"low": 1, "medium": 100, "high": 1000}


def fake_node(a, name, pool, cpu="4"):
    a.apply({"kind": "Node", "metadata": {"name": name, "labels": {"pool": pool, "kubernetes.io/hostname": name}},
             "spec": {"taints": [{"key": "fake", "value": "yes", "effect": "NoSchedule"}]}})
    amounts = json.dumps({"status": {k: {"cpu": cpu, "memory": "8Gi", "pods": "20"} for k in ("allocatable", "capacity")}})
    a.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", amounts)


@pytest.fixture(scope="module")
def here(new_atoll):
    a = new_atoll(image=False)
    a.kubectl("create", "namespace", NS)
    for name, value in CLASSES.items():
        a.apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value})
    a.apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "polite"}, "value": 1000,
             "preemptionPolicy": "Never"})
    return a


@pytest.fixture
def pool(here, request):
    """Nodes of one test: pool(2) makes p-1 and p-2 and names the pool."""
    made = []

    def make(n, cpu="4"):
        name = request.node.name.replace("_", "-")[5:35].strip("-")
        for i in range(n):
            fake_node(here, f"{name}-{i + 1}", name, cpu)
            made.append(f"{name}-{i + 1}")
        return name

    yield make
    here.kubectl("delete", "node", *made)
    for ns in (NS, "team-a", "team-b"):
        here.kubectl("delete", "pods,podgroups,elasticquotas,pdb", "--all", "-n", ns, "--force", "--grace-period=0", "--wait=false", check=False)


def pod(name, pool, cpu="1", grace=0, labels=None, **spec):
    return {"kind": "Pod", "metadata": {"name": name, "labels": {"app": name, **(labels or {})}},
            "spec": {"containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": cpu}}}],
                     "nodeSelector": {"pool": pool}, "tolerations": [{"operator": "Exists"}],
                     "terminationGracePeriodSeconds": grace, **spec}}


def node_of(here, name, ns=NS, seconds=20):
    return ac.until(lambda: (here.get("pod", name, ns) or {"spec": {}})["spec"].get("nodeName"), seconds, what=f"a node for {name}")


def condition(here, name, ns=NS, kind="PodScheduled"):
    found = [c for c in here.get("pod", name, ns)["status"].get("conditions", []) if c["type"] == kind]
    return found[0] if found else None


def refusal(here, name, text, ns=NS):
    return ac.until(lambda: text in (condition(here, name, ns) or {}).get("message", ""), what=f"{name}: {text}")


def gone(here, name, ns=NS):
    return ac.until(lambda: here.get("pod", name, ns) is None, what=f"{name} gone")


def nodes(here, names, ns=NS):
    return [p["spec"].get("nodeName") for p in here.items("pods", namespace=ns) if p["metadata"]["name"] in names]


def test_the_least_important_pod_makes_room(here, pool):
    p = pool(2)
    here.apply(pod("lowest", p, "3", priorityClassName="low", nodeSelector={"kubernetes.io/hostname": f"{p}-1"}),
               pod("middle", p, "3", priorityClassName="medium", nodeSelector={"kubernetes.io/hostname": f"{p}-2"}), namespace=NS)
    node_of(here, "lowest"), node_of(here, "middle")
    here.apply(pod("urgent", p, "3", priorityClassName="high"), namespace=NS)
    assert node_of(here, "urgent") == f"{p}-1"
    gone(here, "lowest")
    assert "deletionTimestamp" not in here.get("pod", "middle", NS)["metadata"]
    events = ac.until(lambda: [e for e in here.items("events", namespace=NS) if e["reason"] == "Preempted"], what="event Preempted")
    assert events[0]["involvedObject"]["name"] == "lowest" and f"on node {p}-1" in events[0]["message"]


def test_room_is_waited_for_and_kept_from_lesser_pods(here, pool):
    p = pool(1)
    here.apply(pod("slow", p, "4", grace=30, priorityClassName="low"), namespace=NS)
    node_of(here, "slow")
    here.apply(pod("heir", p, "3", priorityClassName="high"), namespace=NS)
    ac.until(lambda: here.get("pod", "heir", NS)["status"].get("nominatedNodeName") == f"{p}-1", what="nomination")
    ac.until(lambda: "deletionTimestamp" in here.get("pod", "slow", NS)["metadata"], what="deletion")
    target = condition(here, "slow", kind="DisruptionTarget")
    assert target["status"] == "True" and target["reason"] == "PreemptionByScheduler"
    here.apply(pod("thief", p, "2", priorityClassName="medium"), namespace=NS)
    refusal(here, "thief", "Insufficient cpu")
    here.kubectl("delete", "pod", "slow", "-n", NS, "--force", "--grace-period=0")
    assert node_of(here, "heir", seconds=2) == f"{p}-1"
    assert "nodeName" not in here.get("pod", "thief", NS)["spec"]


def test_a_pod_that_never_preempts_waits(here, pool):
    p = pool(1)
    here.apply(pod("stays", p, "4", priorityClassName="low"), namespace=NS)
    node_of(here, "stays")
    here.apply(pod("patient", p, "1", priorityClassName="polite"), namespace=NS)
    refusal(here, "patient", "not eligible due to preemptionPolicy=Never.")
    here.kubectl("delete", "pod", "stays", "-n", NS)
    node_of(here, "patient")


def test_a_budget_spares_its_pods_where_others_can_go(here, pool):
    p = pool(2)
    here.apply({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}},
               pod("guarded", p, "3", priorityClassName="low", nodeSelector={"kubernetes.io/hostname": f"{p}-1"}),
               pod("open", p, "3", priorityClassName="medium", nodeSelector={"kubernetes.io/hostname": f"{p}-2"}), namespace=NS)
    node_of(here, "guarded"), node_of(here, "open")
    here.apply(pod("urgent", p, "3", priorityClassName="high"), namespace=NS)
    assert node_of(here, "urgent") == f"{p}-2"
    gone(here, "open")
    assert here.get("pod", "guarded", NS)


def test_spread_can_cost_one_victim_more(here, pool):
    """As upstream's conformance test: a spread constraint needs a second pod to go."""
    p = pool(2, "10")
    spread = [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
               "labelSelector": {"matchExpressions": [{"key": "spread", "operator": "Exists"}]}}]
    here.apply(pod("spread-high", p, "9", priorityClassName="high", labels={"spread": "y"}), namespace=NS)
    node_of(here, "spread-high")
    low = [f"spread-low-{i}" for i in range(3)]
    here.apply(*[pod(n, p, "3", priorityClassName="low", labels={"spread": "y"}) for n in low], namespace=NS)
    for n in low:
        node_of(here, n)
    here.apply(pod("spread-medium", p, "3", priorityClassName="medium", labels={"spread": "y"}, topologySpreadConstraints=spread), namespace=NS)
    node_of(here, "spread-medium")
    ac.until(lambda: len(nodes(here, low)) == 1, what="two of three low pods gone")
    assert here.get("pod", "spread-high", NS)


def test_gates_keep_a_pod_out(here, pool):
    p = pool(1)
    here.apply(pod("gated", p, schedulingGates=[{"name": "example.com/wait"}]), namespace=NS)
    assert condition(here, "gated")["reason"] == "SchedulingGated"
    here.apply(pod("free", p), namespace=NS)
    node_of(here, "free")
    assert "nodeName" not in here.get("pod", "gated", NS)["spec"]
    here.kubectl("patch", "pod", "gated", "-n", NS, "--type=json", "-p", '[{"op":"remove","path":"/spec/schedulingGates/0"}]')
    node_of(here, "gated")


def test_pods_of_other_schedulers_are_counted_only(here, pool):
    p = pool(1)
    here.apply(pod("foreign", p, "3", schedulerName="somebody-else"), namespace=NS)
    here.apply(pod("own", p, "1"), namespace=NS)
    node_of(here, "own")
    assert "nodeName" not in here.get("pod", "foreign", NS)["spec"]
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "foreign", "namespace": NS},
               "target": {"apiVersion": "v1", "kind": "Node", "name": f"{p}-1"}}
    here.kubectl("create", "--raw", f"/api/v1/namespaces/{NS}/pods/foreign/binding", "-f", "-", text=json.dumps(binding))
    here.apply(pod("late", p, "1"), namespace=NS)
    refusal(here, "late", "Insufficient cpu")


def group(name, least, **spec):
    return {"apiVersion": GROUP, "kind": "PodGroup", "metadata": {"name": name}, "spec": {"minMember": least, **spec}}


def member(name, of, pool, cpu="2", **spec):
    return pod(name, pool, cpu, labels={"scheduling.x-k8s.io/pod-group": of}, **spec)


def test_a_gang_gets_nodes_together_or_not_at_all(here, pool):
    p = pool(2)
    here.apply(group("trio", 3), member("trio-0", "trio", p), member("trio-1", "trio", p), namespace=NS)
    refusal(here, "trio-1", "cannot find enough sibling pods, current pods number: 2, minMember of group scheduling/trio: 3")
    here.apply(member("trio-2", "trio", p), namespace=NS)
    assert len([node_of(here, f"trio-{i}") for i in range(3)]) == 3
    ac.until(lambda: here.get("podgroup", "trio", NS).get("status", {}).get("phase") == "Scheduled", what="phase Scheduled")
    assert here.get("podgroup", "trio", NS)["status"]["scheduled"] == 3
    # Two of these would fit, three do not; the pod that comes later takes the room that they do not hold.
    here.apply(group("other", 3), *[member(f"other-{i}", "other", p, "1") for i in range(3)], namespace=NS)
    refusal(here, "other-0", "needs 3 pods at once, only 2 fit")
    here.apply(pod("single", p, "2"), namespace=NS)
    node_of(here, "single")
    assert nodes(here, [f"other-{i}" for i in range(3)]) == [None] * 3


def test_two_gangs_do_not_wait_for_each_other(here, pool):
    p = pool(2)
    pods = []
    for i in range(4):  # interleaved
        pods += [member(f"x-{i}", "x", p), member(f"y-{i}", "y", p)]
    here.apply(group("x", 4), group("y", 4), *pods, namespace=NS)
    first = ac.until(lambda: [g for g in "xy" if None not in nodes(here, [f"{g}-{i}" for i in range(4)])], what="one gang runs")[0]
    other = "y" if first == "x" else "x"
    assert nodes(here, [f"{other}-{i}" for i in range(4)]) == [None] * 4
    here.kubectl("delete", "pod", "-n", NS, *[f"{first}-{i}" for i in range(4)])
    for i in range(4):
        node_of(here, f"{other}-{i}")


def test_a_gang_pushes_out_lesser_pods_as_a_whole(here, pool):
    p = pool(2)
    here.apply(group("weak", 2), *[member(f"weak-{i}", "weak", p, "3", priorityClassName="low") for i in range(2)], namespace=NS)
    for i in range(2):
        node_of(here, f"weak-{i}")
    here.apply(group("strong", 2), *[member(f"strong-{i}", "strong", p, "2", priorityClassName="high") for i in range(2)], namespace=NS)
    for i in range(2):
        node_of(here, f"strong-{i}")
    gone(here, "weak-0"), gone(here, "weak-1")


def test_a_gang_that_waits_too_long_is_told(here, pool):
    p = pool(1)
    here.apply(group("late", 3, scheduleTimeoutSeconds=1), *[member(f"late-{i}", "late", p) for i in range(3)], namespace=NS)
    event = ac.until(lambda: [e for e in here.items("events", namespace=NS) if e["reason"] == "ScheduleTimeout"], what="event")[0]
    assert event["involvedObject"]["name"] == "late" and "not scheduled within 1 seconds" in event["message"]


def quota(least, most):
    return {"apiVersion": GROUP, "kind": "ElasticQuota", "metadata": {"name": "q"}, "spec": {"min": {"cpu": least}, "max": {"cpu": most}}}


def test_namespaces_lend_what_they_do_not_use_and_get_it_back(here, pool):
    p = pool(1, "8")
    for ns in ("team-a", "team-b"):
        here.kubectl("create", "namespace", ns)
        here.apply(quota("4", "6"), namespace=ns)
    here.apply(*[pod(f"a-{i}", p, "2") for i in range(4)], namespace="team-a")
    ac.until(lambda: len([n for n in nodes(here, [f"a-{i}" for i in range(4)], "team-a") if n]) == 3, what="three of team-a")
    waiting = [q["metadata"]["name"] for q in here.items("pods", namespace="team-a") if not q["spec"].get("nodeName")][0]
    refusal(here, waiting, "more cpu than max of ElasticQuota q", "team-a")
    ac.until(lambda: here.get("elasticquota", "q", "team-a").get("status", {}).get("used", {}).get("cpu") == "6", what="status.used")
    # The owner wants its min back: one pod of the borrower goes, although no priority says so.
    here.apply(*[pod(f"b-{i}", p, "2") for i in range(2)], namespace="team-b")
    for i in range(2):
        node_of(here, f"b-{i}", "team-b")
    ac.until(lambda: len([n for n in nodes(here, [f"a-{i}" for i in range(4)], "team-a") if n]) == 2, what="two of team-a")
    here.apply(pod("b-2", p, "2"), namespace="team-b")
    refusal(here, "b-2", "no cpu is left to lend", "team-b")
