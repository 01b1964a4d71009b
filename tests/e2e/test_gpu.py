"""Shares of GPUs: devices are chosen at binding, stand in an annotation, and reach the container through the downward API. There are no
GPUs here: the node's capacity says that there are two, as a device plugin would."""
import json

import atoll_cluster as ac
import pytest

NS = "gpu"


@pytest.fixture(scope="module")
def here(new_atoll):
    a = new_atoll()
    a.kubectl("create", "namespace", NS)
    ac.until(lambda: a.items("serviceaccounts", namespace=NS), what="default service account")
    node = a.items("nodes")[0]["metadata"]["name"]
    a.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"capacity": {"nvidia.com/gpu": "2"}}}))
    ac.until(lambda: a.items("nodes")[0]["status"]["allocatable"].get("nvidia.com/gpu") == "2", what="devices that can be allocated")
    return a


def pod(here, name, resource, amount):
    index = {"name": "NVIDIA_VISIBLE_DEVICES", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['atoll.io/gpu-index']"}}}
    here.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                    {"name": "c", "image": ac.IMAGE, "env": [index], "command": ["/bin/sh", "-c", "echo devices=$NVIDIA_VISIBLE_DEVICES; sleep 3600"],
                     "resources": {"limits": {resource: str(amount)}}}]}}, namespace=NS)


def index_of(here, name):
    return ac.until(lambda: here.get("pod", name, NS)["metadata"].get("annotations", {}).get("atoll.io/gpu-index"), what=f"devices of {name}")


def test_an_ask_that_no_node_can_serve_says_so(here):
    pod(here, "odd", "atoll.io/gpu-milli", 1500)
    refused = ac.until(lambda: [c for c in here.get("pod", "odd", NS)["status"].get("conditions", []) if c["type"] == "PodScheduled"],
                       what="a reason")[0]
    assert "the pod asks for GPUs in a way that no node can serve" in refused["message"]


def test_shares_get_devices_with_room_and_containers_see_them(here):
    pod(here, "a", "atoll.io/gpu-milli", 600)
    pod(here, "b", "atoll.io/gpu-milli", 600)
    got = {index_of(here, "a"), index_of(here, "b")}
    assert got == {"0", "1"}
    ac.until(lambda: f"devices={index_of(here, 'a')}" in here.kubectl("logs", "a", "-n", NS, check=False).stdout, what="the device in the container")
    pod(here, "late", "atoll.io/gpu-milli", 500)
    refused = ac.until(lambda: [c for c in here.get("pod", "late", NS)["status"].get("conditions", []) if c["type"] == "PodScheduled"],
                       what="a reason")[0]
    assert "1 node(s) didn't have enough idle GPU on one device" in refused["message"]
    pod(here, "small", "atoll.io/gpu-milli", 400)
    assert index_of(here, "small") in got
    here.kubectl("delete", "pod", "a", "-n", NS, "--force", "--grace-period=0")
    assert index_of(here, "late") in got
