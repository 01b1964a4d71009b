"""Energy mode: idle nodes are marked for power-down and woken for pods, over nodes that are only objects."""
import json

import atoll_cluster as ac
import pytest

NS = "energy"
CONFIG = """apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
  plugins: {multiPoint: {enabled: [{name: EnergyConsolidation}]}}
  pluginConfig:
  - name: EnergyConsolidation
    args: {idleSeconds: 1, spareNodes: 0}
"""


@pytest.fixture(scope="module")
def here(new_atoll):
    a = new_atoll(image=False)
    a.kubectl("create", "namespace", NS)
    own = a.items("nodes")[0]["metadata"]["name"]
    a.kubectl("label", "node", own, "node-role.kubernetes.io/control-plane=")
    for name in ("e1", "e2"):
        a.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"fake": "yes"}}})
        room = {"cpu": "4", "memory": "8Gi", "pods": "20"}
        a.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"allocatable": room, "capacity": room}}))
    return a


def place(here, name, cpu):
    here.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                "spec": {"containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": cpu}}}],
                         "nodeSelector": {"fake": "yes"}, "tolerations": [{"operator": "Exists"}]}}, namespace=NS)


def power_of(here, node):
    return [(c["status"], c["reason"]) for c in here.get("node", node)["status"].get("conditions", []) if c["type"] == "PoweredDown"]


def test_idle_nodes_are_marked_and_woken_for_pods(here):
    place(here, "first", "1")
    busy = ac.until(lambda: here.get("pod", "first", NS)["spec"].get("nodeName"), what="a node")
    idle = "e2" if busy == "e1" else "e1"
    here.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "atoll-scheduler"}, "data": {"config.yaml": CONFIG}},
               namespace="kube-system")
    ac.until(lambda: power_of(here, idle) == [("True", "Idle")], what=f"{idle} marked for power-down")
    assert not power_of(here, busy) and not power_of(here, [n for n in (x["metadata"]["name"] for x in here.items("nodes")) if n[0] != "e"][0])
    place(here, "small", "1")
    assert ac.until(lambda: here.get("pod", "small", NS)["spec"].get("nodeName"), what="a node") == busy
    place(here, "large", "3")
    ac.until(lambda: power_of(here, idle) == [("False", "Needed")], what=f"{idle} woken")
    assert ac.until(lambda: here.get("pod", "large", NS)["spec"].get("nodeName"), what="a node") == idle
