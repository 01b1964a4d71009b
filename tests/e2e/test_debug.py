"""Containers that are added to a running pod to look into it, as kubectl debug does."""
import os

import pytest

import atoll_cluster as ac
from test_api import Api


@pytest.fixture
def api(atoll):
    return Api(os.path.join(atoll.root, "run/atoll/api.sock"))


def add(api, pods, pod, name, script, **more):
    path = f"/api/v1/namespaces/{pods.namespace}/pods/{pod}/ephemeralcontainers"
    container = {"name": name, "image": ac.IMAGE, **ac.sh(script, **more)}
    status, answer = api("PATCH", path, {"spec": {"ephemeralContainers": [container]}}, content="application/strategic-merge-patch+json")
    assert status == 200, answer


def state_of(pods, pod, name, what):
    def look():
        for s in pods.get(pod)["status"].get("ephemeralContainerStatuses", []):
            if s["name"] == name and what in s["state"]:
                return s
    return ac.until(look, what=f"{name} {what}")


def test_a_container_that_is_added_runs_once_beside_the_others(api, pods):
    pod = pods.make([ac.sh("echo mine > /dev/shm/note; exec sleep 1000")], volumes=[{"name": "v", "emptyDir": {}}])
    before = pods.running(pod)
    add(api, pods, pod, "look", "echo I look; exec sleep 1000")
    status = state_of(pods, pod, "look", "running")
    assert status["ready"] is False and status["restartCount"] == 0 and "started" not in status
    assert pods.kubectl("logs", pod, "-c", "look").stdout == "I look\n"
    assert pods.sh(pod, "hostname; cat /proc/net/dev | grep -c eth0", container="look").split() == [pod, "1"]
    add(api, pods, pod, "second", "exit 7", stdin=True)
    assert state_of(pods, pod, "second", "terminated")["state"]["terminated"]["exitCode"] == 7
    now = pods.running(pod)
    assert now["status"]["phase"] == "Running" and now["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    wrong = pods.kubectl("logs", pod, "-c", "none", check=False)
    assert "container none is not valid for pod" in wrong.stderr


def test_an_added_container_can_be_spoken_to(api, pods):
    pod = pods.make([ac.sh("exec sleep 1000")])
    pods.running(pod)
    add(api, pods, pod, "shell", "read x; echo got $x", stdin=True, stdinOnce=True)
    state_of(pods, pod, "shell", "running")
    told = pods.kubectl("attach", pod, "-c", "shell", "-i", text="a word\n")
    assert "got a word" in told.stdout
    assert state_of(pods, pod, "shell", "terminated")["state"]["terminated"]["exitCode"] == 0


def test_an_added_container_holds_no_pod_and_goes_with_it(api, pods):
    pod = pods.make([ac.sh("while [ ! -e /tmp/end ]; do sleep 0.1; done")], restartPolicy="Never")
    pods.running(pod)
    add(api, pods, pod, "look", "exec sleep 1000")
    state_of(pods, pod, "look", "running")
    pods.sh(pod, "touch /tmp/end")
    assert pods.phase(pod, "Succeeded")["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    state_of(pods, pod, "look", "terminated")


def test_an_added_container_is_found_again_by_the_next_agent(api, atoll, pods):
    pod = pods.make([ac.sh("exec sleep 1000")])
    pods.running(pod)
    add(api, pods, pod, "look", "exec sleep 1000")
    add(api, pods, pod, "over", "exit 0")
    was = state_of(pods, pod, "look", "running")["containerID"]
    over = state_of(pods, pod, "over", "terminated")["containerID"]
    pid = atoll.pid("node")
    atoll.kill("node")
    ac.until(lambda: atoll.pid("node") not in (0, None, pid), what="the next agent")
    add(api, pods, pod, "later", "echo later; exec sleep 1000")
    state_of(pods, pod, "later", "running")
    assert state_of(pods, pod, "look", "running")["containerID"] == was
    assert state_of(pods, pod, "over", "terminated")["containerID"] == over
