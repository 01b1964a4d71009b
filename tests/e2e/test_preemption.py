"""A critical pod on a node that is full, and daemons on a node that is closed: on a real node of their own."""
import atoll_cluster as ac
import pytest

NS = "critical"


def milli(text):
    return int(text[:-1]) if text.endswith("m") else int(float(text) * 1000)


@pytest.fixture(scope="module")
def here(new_atoll):
    a = new_atoll()
    a.kubectl("create", "namespace", NS)
    for name, value in {"low": 10, "lower": 5}.items():
        a.apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value})
    ac.until(lambda: a.items("serviceaccounts", namespace=NS), what="default service account")
    return a


def pod(name, cpu, grace=1, **spec):
    return {"kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "terminationGracePeriodSeconds": grace, **spec, "containers": [
            {"name": "c", "image": ac.IMAGE, "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
             "resources": {"requests": {"cpu": f"{cpu}m"}}}]}}


def running(a, name, ns=NS, seconds=30):
    ac.until(lambda: (p := a.get("pod", name, ns)) and p["status"].get("phase") == "Running", seconds, what=f"{name} runs")


def about(a, name, reason, ns=NS):
    return [e for e in a.items("events", "--field-selector", f"reason={reason},involvedObject.name={name}", namespace=ns)]


def test_a_critical_pod_gets_its_place_on_a_full_node(here):
    """Four pods fill the node; the pod of the node's keeper needs the room of one. The least important go first, but not
    one that a budget guards while another will do."""
    share = milli(here.get("node", "n1")["status"]["allocatable"]["cpu"]) // 4
    here.apply({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "guard"},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}},
               pod("guarded", share, priorityClassName="lower"), pod("victim", share, grace=5, priorityClassName="lower"),
               pod("better", share, priorityClassName="low"), pod("best", share, priorityClassName="low"), namespace=NS)
    for name in ("guarded", "victim", "better", "best"):
        running(here, name)
    ac.until(lambda: here.get("pdb", "guard", NS)["status"].get("currentHealthy") == 1, what="the budget counts")
    here.apply(pod("keeper", share, priorityClassName="system-node-critical"), namespace="kube-system")
    ac.until(lambda: (here.get("pod", "keeper", "kube-system") or {"status": {}})["status"].get("nominatedNodeName") == "n1", what="nomination")
    going = ac.until(lambda: (p := here.get("pod", "victim", NS)) and p["metadata"].get("deletionTimestamp") and p, what="the victim goes")
    target = [c for c in going["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert target and target[0]["status"] == "True" and target[0]["reason"] == "PreemptionByScheduler"
    assert here.get("pod", "keeper", "kube-system")["spec"].get("nodeName") is None  # until the victim has gone, in its own time
    running(here, "keeper", "kube-system")
    keeper = here.get("pod", "keeper", "kube-system")
    assert keeper["spec"]["priority"] == 2000001000 and here.get("pod", "victim", NS) is None
    for name in ("guarded", "better", "best"):
        assert here.get("pod", name, NS)["status"]["phase"] == "Running"
    message = ac.until(lambda: about(here, "victim", "Preempted"), what="event Preempted")[0]["message"]
    assert message == f"Preempted by pod {keeper['metadata']['uid']} on node n1"
    refused = about(here, "keeper", "FailedScheduling", "kube-system")
    assert refused and "Insufficient cpu" in refused[0]["message"]
    assert about(here, "keeper", "Scheduled", "kube-system")


def test_a_budget_gives_way_when_nothing_else_can_go(here):
    """Of what is left, only the guarded pod is less important than the next one."""
    share = milli(here.get("node", "n1")["status"]["allocatable"]["cpu"]) // 4
    here.apply(pod("next", share, priorityClassName="low"), namespace=NS)
    running(here, "next")
    assert here.get("pod", "guarded", NS) is None and here.get("pod", "better", NS) and here.get("pod", "best", NS)
    here.apply(pod("equal", share, priorityClassName="low", preemptionPolicy="PreemptLowerPriority"), namespace=NS)
    ac.until(lambda: "No preemption victims found" in str(about(here, "equal", "FailedScheduling")), what="nobody goes for an equal")
    here.kubectl("delete", "pod", "--all", "-n", NS, "--force", "--grace-period=0")
    here.kubectl("delete", "pod", "keeper", "-n", "kube-system", "--force", "--grace-period=0")


def test_a_taint_that_comes_later_leaves_running_daemons_or_evicts_them(here):
    def pods():
        return [p for p in here.items("pods", "-l", "app=agent", namespace=NS) if not p["metadata"].get("deletionTimestamp")]

    def counts(desired, misscheduled):
        s = here.get("ds", "agent", NS)["status"]
        return (s["desiredNumberScheduled"], s["numberMisscheduled"]) == (desired, misscheduled)

    here.apply({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": {
        "selector": {"matchLabels": {"app": "agent"}}, "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": ac.IMAGE, "command": ["sleep", "100000"]}]}}}}, namespace=NS)
    here.kubectl("-n", NS, "rollout", "status", "ds/agent", "--timeout=30s")
    first = pods()[0]["metadata"]["uid"]
    try:
        here.kubectl("taint", "node", "n1", "closed=yes:NoSchedule")
        ac.until(lambda: counts(0, 1), what="counted as misscheduled")
        assert [p["metadata"]["uid"] for p in pods()] == [first]
        here.kubectl("taint", "node", "n1", "closed=yes:NoExecute")
        ac.until(lambda: not pods() and counts(0, 0), what="evicted")
        here.kubectl("taint", "node", "n1", "closed:NoSchedule-", "closed:NoExecute-")
        ac.until(lambda: (p := pods()) and p[0]["status"].get("phase") == "Running", 30, what="a daemon again")
        ac.until(lambda: counts(1, 0), what="counted again")
    finally:
        here.kubectl("taint", "node", "n1", "closed-", check=False)
        here.kubectl("-n", NS, "delete", "ds", "agent")
