"""Jobs as people use them, with real kubectl and real pods."""
import json

from atoll_cluster import IMAGE, until


def job(name, script, **spec):
    template = {"spec": {"restartPolicy": spec.pop("restart", "Never"), "terminationGracePeriodSeconds": 1,
                         "containers": [{"name": "c", "image": IMAGE, "command": ["sh", "-c", script]}]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template, **spec}}


def ended(atoll, namespace, name, kind, seconds=40):
    """Waits for the condition and returns (reason, Job)."""
    def check():
        j = atoll.get("job", name, namespace)
        return [(c.get("reason"), j) for c in j.get("status", {}).get("conditions", []) if c["type"] == kind and c["status"] == "True"]
    try:
        return until(check, seconds, what=f"job {name} {kind}")[0]
    except AssertionError as e:
        more = atoll.kubectl("-n", namespace, "get", "job,pods", "-o", "yaml", check=False).stdout
        raise AssertionError(f"{e}\n{more[-6000:]}") from None


def pods_of(atoll, namespace, name):
    return atoll.items("pods", "-l", f"batch.kubernetes.io/job-name={name}", namespace=namespace)


def test_kubectl_create_job(atoll, namespace):
    atoll.kubectl("-n", namespace, "create", "job", "hello", f"--image={IMAGE}", "--", "echo", "hello of a job")
    atoll.kubectl("-n", namespace, "wait", "--for=condition=complete", "job/hello", "--timeout=40s")
    assert atoll.kubectl("-n", namespace, "logs", "job/hello").stdout == "hello of a job\n"
    j = atoll.get("job", "hello", namespace)
    assert j["status"]["succeeded"] == 1 and j["status"].get("completionTime")
    until(lambda: not any(p["metadata"].get("finalizers") for p in pods_of(atoll, namespace, "hello")), what="finalizers gone")
    atoll.kubectl("-n", namespace, "delete", "job", "hello", "--timeout=30s")
    until(lambda: not pods_of(atoll, namespace, "hello"), 30, what="pods gone with their job")


def test_indexed_job_tells_each_pod_its_index(atoll, namespace):
    atoll.apply(job("ix", "echo I am $JOB_COMPLETION_INDEX of $(hostname)", completionMode="Indexed", completions=3, parallelism=2),
                namespace=namespace)
    _, j = ended(atoll, namespace, "ix", "Complete")
    assert j["status"]["completedIndexes"] == "0-2" and j["status"]["succeeded"] == 3
    said = sorted(atoll.kubectl("-n", namespace, "logs", p["metadata"]["name"]).stdout.strip() for p in pods_of(atoll, namespace, "ix"))
    assert said == [f"I am {i} of ix-{i}" for i in range(3)]


def test_job_policies_end_it(atoll, namespace):
    rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}, "onPodConditions": []}]
    atoll.apply(job("bad", "exit 42", podFailurePolicy={"rules": rules}), job("limit", "exit 1", backoffLimit=0),
                job("late", "sleep 1000", activeDeadlineSeconds=2),
                job("early", "[ $JOB_COMPLETION_INDEX = 1 ] || sleep 1000", completionMode="Indexed", completions=3, parallelism=3,
                    successPolicy={"rules": [{"succeededIndexes": "1"}]}), namespace=namespace)
    assert ended(atoll, namespace, "bad", "Failed")[0] == "PodFailurePolicy"
    reason, j = ended(atoll, namespace, "limit", "Failed")
    assert reason == "BackoffLimitExceeded" and j["status"]["failed"] == 1
    assert ended(atoll, namespace, "late", "Failed")[0] == "DeadlineExceeded"
    reason, j = ended(atoll, namespace, "early", "Complete")
    assert reason == "SuccessPolicy" and j["status"]["completedIndexes"] == "1"


def test_job_is_suspended_resumed_and_removed(atoll, namespace):
    atoll.apply(job("pause", "sleep 1", suspend=True, ttlSecondsAfterFinished=1), namespace=namespace)
    until(lambda: any(c["type"] == "Suspended" and c["status"] == "True"
                      for c in atoll.get("job", "pause", namespace).get("status", {}).get("conditions", [])), what="Suspended")
    assert not pods_of(atoll, namespace, "pause")
    atoll.kubectl("-n", namespace, "patch", "job", "pause", "-p", json.dumps({"spec": {"suspend": False}}))
    until(lambda: atoll.get("job", "pause", namespace) is None, 40, what="job removed after its time to live")
    until(lambda: not pods_of(atoll, namespace, "pause"), what="pods of it gone")
