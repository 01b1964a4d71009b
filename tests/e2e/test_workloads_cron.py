"""CronJobs with real kubectl and real pods."""
from atoll_cluster import IMAGE, until


def test_kubectl_create_cronjob(atoll, namespace):
    atoll.kubectl("-n", namespace, "create", "cronjob", "tick", f"--image={IMAGE}", "--schedule=@every 1s", "--", "echo", "it is time")

    def made():
        return [j for j in atoll.items("jobs", namespace=namespace) if j["metadata"]["ownerReferences"][0]["name"] == "tick"]
    job = until(made, 20, what="a job of the cronjob")[0]
    name, minutes = job["metadata"]["name"].rsplit("-", 1)
    assert name == "tick" and minutes.isdigit()
    assert job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].endswith("Z")
    atoll.kubectl("-n", namespace, "wait", "--for=condition=complete", f"job/{job['metadata']['name']}", "--timeout=40s")
    assert "it is time" in atoll.kubectl("-n", namespace, "logs", f"job/{job['metadata']['name']}").stdout
    status = until(lambda: (s := atoll.get("cronjob", "tick", namespace)["status"]).get("lastSuccessfulTime") and s, 10, what="success noted")
    assert status["lastScheduleTime"]
    atoll.kubectl("-n", namespace, "delete", "cronjob", "tick", "--timeout=30s")
    until(lambda: not atoll.items("jobs", namespace=namespace), 30, what="jobs gone with their cronjob")


def test_job_from_a_cronjob_that_is_suspended(atoll, namespace):
    atoll.kubectl("-n", namespace, "create", "cronjob", "yearly", f"--image={IMAGE}", "--schedule=0 0 1 1 *", "--", "echo", "by hand")
    atoll.kubectl("-n", namespace, "patch", "cronjob", "yearly", "-p", '{"spec":{"suspend":true,"timeZone":"Asia/Kolkata"}}')
    atoll.kubectl("-n", namespace, "create", "job", "now", "--from=cronjob/yearly")
    atoll.kubectl("-n", namespace, "wait", "--for=condition=complete", "job/now", "--timeout=40s")
    row = atoll.kubectl("-n", namespace, "get", "cronjob", "yearly", "--no-headers").stdout.split()
    assert row[:8] == ["yearly", "0", "0", "1", "1", "*", "Asia/Kolkata", "True"]
    assert atoll.items("jobs", namespace=namespace)[0]["metadata"]["ownerReferences"][0]["kind"] == "CronJob"


def test_cronjob_that_never_fires_is_told(atoll, namespace):
    bad = atoll.kubectl("-n", namespace, "create", "cronjob", "bad", f"--image={IMAGE}", "--schedule=61 * * * *", check=False)
    assert bad.returncode != 0 and "spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61" in bad.stderr
    atoll.kubectl("-n", namespace, "create", "cronjob", "never", f"--image={IMAGE}", "--schedule=0 0 30 2 *")

    def told():
        return [e for e in atoll.items("events", namespace=namespace) if e["reason"] == "InvalidSchedule"]
    event = until(told, 20, what="an event about the schedule")[0]
    assert event["type"] == "Warning" and "0 0 30 2 *" in event["message"]
    assert not atoll.items("jobs", namespace=namespace)
