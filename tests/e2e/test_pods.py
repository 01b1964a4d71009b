"""What a pod may ask of its node beyond the everyday: sources, volumes, probes, hooks, ends and limits."""
import base64
import json
import os
import re
import subprocess
import time

import pytest

from atoll_cluster import IMAGE, process_of, run, sh, until


def test_pod_with_everything(atoll, pods, tmp_path):
    """Init containers, a sidecar, every kind of volume, every source of environment, probes of all kinds and hooks in one manifest."""
    (tmp_path / "file").write_text("of the host\n")
    atoll.apply({"kind": "ConfigMap", "metadata": {"name": "cm"}, "data": {"a": "one\n", "b": "two\n", "ENV_A": "from-cm"}, "binaryData": {"bin": "AAEC"}},
                {"kind": "Secret", "metadata": {"name": "sec"}, "stringData": {"pw": "s3cret", "SEC_A": "from-sec"}}, namespace=pods.namespace)
    mounts = [("cm", "/v/cm"), ("items", "/v/items"), ("sec", "/v/sec"), ("down", "/v/down"), ("proj", "/v/proj"), ("empty", "/v/empty"),
              ("mem", "/v/mem"), ("dir", "/v/dir"), ("file", "/v/file"), ("made", "/v/made")]
    name = pods.make(
        [sh("sleep 100000", volumeMounts=[*({"name": n, "mountPath": p} for n, p in mounts),
                                          {"name": "cm", "mountPath": "/v/sub", "subPath": "b"},
                                          {"name": "dir", "mountPath": "/v/ro", "readOnly": True}],
            env=[{"name": "PLAIN", "value": "x"}, {"name": "EXPANDED", "value": "<$(PLAIN)> $$(PLAIN) $(NONE)"},
                 {"name": "CM", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "ENV_A"}}},
                 {"name": "OPT", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "none", "optional": True}}},
                 {"name": "SEC", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "pw"}}},
                 {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                 {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                 {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
                 {"name": "SA", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
                 {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                 {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}],
            envFrom=[{"configMapRef": {"name": "cm"}}, {"secretRef": {"name": "sec"}, "prefix": "P_"}],
            resources={"requests": {"cpu": "50m", "memory": "16Mi"}, "limits": {"cpu": "250m", "memory": "64Mi"}},
            startupProbe={"exec": {"command": ["true"]}, "periodSeconds": 1}, livenessProbe={"tcpSocket": {"port": 8080}, "initialDelaySeconds": 2},
            readinessProbe={"httpGet": {"path": "/etc/passwd", "port": 8080, "httpHeaders": [{"name": "X-Y", "value": "z"}]}, "periodSeconds": 1},
            lifecycle={"postStart": {"exec": {"command": ["sh", "-c", "echo started > /v/empty/hook"]}},
                       "preStop": {"httpGet": {"path": "/bye", "port": 8080}}})],
        metadata={"annotations": {"note": "with \"quotes\""}},
        initContainers=[{"name": "one", **sh("echo one >> /v/empty/order"), "volumeMounts": [{"name": "empty", "mountPath": "/v/empty"}]},
                        {"name": "side", "restartPolicy": "Always", **sh("mkdir -p /w; echo side >> /v/empty/order; exec httpd -f -p 8080 -h /"),
                         "volumeMounts": [{"name": "empty", "mountPath": "/v/empty"}]},
                        {"name": "two", **sh("cat /v/empty/order; echo two >> /v/empty/order"), "volumeMounts": [{"name": "empty", "mountPath": "/v/empty"}]}],
        volumes=[{"name": "cm", "configMap": {"name": "cm"}},
                 {"name": "items", "configMap": {"name": "cm", "defaultMode": 0o400, "items": [{"key": "a", "path": "deep/er/a", "mode": 0o444}, {"key": "b", "path": "b"}]}},
                 {"name": "sec", "secret": {"secretName": "sec", "defaultMode": 0o440}},
                 {"name": "down", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                                                            {"path": "notes", "fieldRef": {"fieldPath": "metadata.annotations['note']"}},
                                                            {"path": "mem", "resourceFieldRef": {"containerName": "c", "resource": "requests.memory"}}]}},
                 {"name": "proj", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "me", "expirationSeconds": 600}},
                                                            {"configMap": {"name": "cm", "items": [{"key": "a", "path": "a"}]}},
                                                            {"secret": {"name": "sec", "items": [{"key": "pw", "path": "pw"}]}},
                                                            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
                 {"name": "empty", "emptyDir": {}}, {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
                 {"name": "dir", "hostPath": {"path": str(tmp_path), "type": "Directory"}},
                 {"name": "file", "hostPath": {"path": f"{tmp_path}/file", "type": "File"}},
                 {"name": "made", "hostPath": {"path": f"{tmp_path}/made/here", "type": "DirectoryOrCreate"}}])
    p = pods.running(name, 40)
    env = dict(line.split("=", 1) for line in pods.sh(name, "env").splitlines() if "=" in line)
    want = {"PLAIN": "x", "EXPANDED": "<x> $(PLAIN) $(NONE)", "CM": "from-cm", "SEC": "s3cret", "NODE": "n1", "LABEL": name, "SA": "default",
            "CPU": "250", "MEM": "64", "ENV_A": "from-cm", "P_SEC_A": "from-sec", "HOST": p["status"]["hostIP"], "HOSTNAME": name}
    assert {k: env.get(k) for k in want} == want and "OPT" not in env and "KUBERNETES_SERVICE_HOST" in env
    assert pods.sh(name, "cat /v/cm/a /v/cm/b /v/sub /v/items/deep/er/a; cat /v/sec/pw") == "one\ntwo\ntwo\none\ns3cret"
    assert pods.sh(name, "stat -Lc %a /v/items/deep/er/a /v/items/b /v/sec/pw; od -An -tx1 /v/cm/bin").split() == ["444", "400", "440", "00", "01", "02"]
    assert pods.sh(name, "cat /v/down/labels; echo; cat /v/down/notes; echo; cat /v/down/mem") == f'app="{name}"\nwith "quotes"\n16777216'
    assert pods.sh(name, "cat /v/proj/a /v/proj/pw; echo; cat /v/proj/name; ls /v/proj") == f"one\ns3cret\n{name}a\nname\npw\ntoken\n"
    claims = pods.sh(name, "cut -d. -f2 /v/proj/token").strip()
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert claims["aud"] == ["me"] and claims["sub"] == f"system:serviceaccount:{pods.namespace}:default" and claims["kubernetes.io"]["pod"]["name"] == name
    assert pods.sh(name, "cat /v/empty/order /v/empty/hook").split() == ["one", "side", "two", "started"]
    assert "tmpfs /v/mem tmpfs" in pods.sh(name, "mount | grep ' /v/mem ' | sed 's/.* on //; s/ type / /; s/^/tmpfs /'")
    assert int(pods.sh(name, "df -k /v/mem | tail -1 | awk '{print $2}'")) == 4096
    assert pods.sh(name, "cat /v/dir/file /v/file") == "of the host\nof the host\n" and (tmp_path / "made/here").is_dir()
    assert "Read-only" in pods.kubectl("exec", name, "-c", "c", "--", "touch", "/v/ro/x", check=False).stderr
    limits = pods.sh(name, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || "
                     "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max").split()
    assert limits[0] == str(64 << 20) and limits[1] == "25000"
    until(lambda: "restart" not in pods.kubectl("get", "pod", name).stdout and pods.get(name)["status"]["containerStatuses"][0]["started"])
    s = p["status"]
    assert [c["name"] for c in s["initContainerStatuses"]] == ["one", "side", "two"] and s["qosClass"] == "Burstable"
    assert s["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed" and "running" in s["initContainerStatuses"][1]["state"]
    atoll.kubectl("-n", pods.namespace, "patch", "cm", "cm", "-p", '{"data":{"a":"changed\\n","b":"changed\\n"}}')
    atoll.kubectl("-n", pods.namespace, "label", "pod", name, "more=labels")
    until(lambda: pods.sh(name, "cat /v/cm/a /v/proj/a /v/items/deep/er/a") == "changed\n" * 3, 90, what="the new content")
    until(lambda: 'more="labels"' in pods.sh(name, "cat /v/down/labels"), 90)
    assert pods.sh(name, "cat /v/sub") == "two\n", "a subPath is never updated"
    out = pods.kubectl("describe", "pod", name).stdout
    for text in ("Init Containers:", "Projected (a volume that contains injected data", "SizeLimit:  4Mi", "HostPathType:  Directory", "Startup:", "QoS Class:                   Burstable"):
        assert text in out, text


def test_service_account_token_works_from_inside(atoll, pods):
    """https://kubernetes.default with the mounted CA: known by name, allowed little, then allowed by a role."""
    name = pods.make([{"command": ["sleep", "100000"]}])
    pods.running(name)
    d = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert pods.sh(name, f"ls {d}; cat {d}/namespace").split() == ["ca.crt", "namespace", "token", pods.namespace]
    pid = process_of(pods.get(name)["metadata"]["uid"], b"sleep")
    base, where = f"/proc/{pid}/root{d}", ["nsenter", "-t", pid, "-n"]
    token = open(f"{base}/token").read()
    ip = atoll.get("service", "kubernetes")["spec"]["clusterIP"]

    def ask(path, *more):
        r = run(*where, "curl", "-sS", "--cacert", f"{base}/ca.crt", "--resolve", f"kubernetes.default:443:{ip}", "-H", f"Authorization: Bearer {token}",
                *more, f"https://kubernetes.default{path}")
        return json.loads(r.stdout)
    assert ask("/version")["gitVersion"].startswith("v1.32")
    refused = ask(f"/api/v1/namespaces/{pods.namespace}/pods")
    assert refused["code"] == 403 and f'User "system:serviceaccount:{pods.namespace}:default" cannot list resource "pods"' in refused["message"]
    pods.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    pods.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={pods.namespace}:default")
    until(lambda: ask(f"/api/v1/namespaces/{pods.namespace}/pods").get("kind") == "PodList")
    assert ask(f"/api/v1/namespaces/{pods.namespace}/secrets")["code"] == 403
    r = run(*where, "curl", "-sS", "--cacert", f"{base}/ca.crt", "--resolve", f"kubernetes.default:443:{ip}", "https://kubernetes.default/api")
    assert json.loads(r.stdout)["code"] == 401


def test_environment_of_services(atoll, pods):
    atoll.apply({"kind": "Service", "metadata": {"name": "some-svc"}, "spec": {"ports": [{"name": "web", "port": 81}]}}, namespace=pods.namespace)
    ip = atoll.get("service", "some-svc", pods.namespace)["spec"]["clusterIP"]
    env = None
    for i in range(5):  # a pod may start before the agent has seen the Service: the next one has it
        name = pods.make([sh("env; sleep 1000")])
        pods.running(name)
        env = pods.sh(name, "env").split("\n")
        if f"SOME_SVC_SERVICE_HOST={ip}" in env:
            break
    assert f"SOME_SVC_SERVICE_HOST={ip}" in env and "SOME_SVC_SERVICE_PORT_WEB=81" in env and f"SOME_SVC_PORT_81_TCP=tcp://{ip}:81" in env


@pytest.mark.parametrize("type,ok", [("Directory", False), ("File", False), ("Socket", False), ("FileOrCreate", True), ("DirectoryOrCreate", True)])
def test_host_path_types_are_checked(pods, tmp_path, type, ok):
    name = pods.make([sh("sleep 1000", volumeMounts=[{"name": "h", "mountPath": "/h"}])], volumes=[
        {"name": "h", "hostPath": {"path": f"{tmp_path}/absent", "type": type}}])
    if ok:
        pods.running(name)
        return
    until(lambda: [e for e in pods.events(name) if e["type"] == "Warning" and "hostPath type check failed" in e["message"]], what="the reason")
    assert "RunContainerError" in pods.kubectl("get", "pod", name).stdout
    assert not os.path.exists(f"{tmp_path}/absent")


@pytest.mark.parametrize("kind,probe", [("exec", {"exec": {"command": ["cat", "/tmp/ok"]}}), ("http", {"httpGet": {"path": "/tmp/ok", "port": 80}}),
                                        ("tcp", {"tcpSocket": {"port": 81}})])
def test_startup_readiness_and_liveness_by(pods, kind, probe):
    """Startup holds the others back; readiness follows the state; liveness restarts."""
    timing = {"periodSeconds": 1, "timeoutSeconds": 2}
    script = "rm -f /tmp/ok; httpd -p 80 -h /; sleep 1; while true; do if [ -f /tmp/ok ]; then timeout 1 nc -l -p 81; else sleep 0.05; fi; done"
    name = pods.make([sh(script, startupProbe={**probe, **timing, "failureThreshold": 60}, readinessProbe={**probe, **timing, "failureThreshold": 1},
                         livenessProbe={**probe, **timing, "failureThreshold": 3})])
    pods.phase(name, "Running")
    until(lambda: [e for e in pods.events(name) if e["reason"] == "Unhealthy" and "Startup probe failed" in e["message"]], what="startup failure event")
    s = pods.container(name)
    assert s["started"] is False and s["ready"] is False and s["restartCount"] == 0
    pods.sh(name, "touch /tmp/ok")
    pods.running(name)
    assert pods.container(name)["started"] is True
    pods.sh(name, "rm /tmp/ok")
    until(lambda: not pods.container(name)["ready"], what="not ready")
    until(lambda: pods.container(name)["restartCount"] == 1, 30, what="restart")
    reasons = {(e["reason"], e["message"].split(":")[0]) for e in pods.events(name)}
    assert ("Unhealthy", "Liveness probe failed") in reasons and any(r == "Killing" for r, _ in reasons), reasons


def test_post_start_that_fails_kills_the_container(pods):
    name = pods.make([sh("sleep 1000", lifecycle={"postStart": {"exec": {"command": ["sh", "-c", "exit 3"]}}})])
    until(lambda: [e for e in pods.events(name) if e["reason"] == "FailedPostStartHook"], what="FailedPostStartHook")
    until(lambda: pods.container(name).get("restartCount", 0) >= 1)


def test_container_that_ignores_term_is_killed_after_its_grace(pods):
    name = pods.make([sh("trap '' TERM; while true; do sleep 0.1; done")], terminationGracePeriodSeconds=2)
    pods.running(name)
    began = time.monotonic()
    pods.kubectl("delete", "pod", name)
    assert 1.9 < time.monotonic() - began < 8


def test_force_delete_is_at_once(pods):
    name = pods.make([sh("trap '' TERM; while true; do sleep 0.1; done")], terminationGracePeriodSeconds=60)
    pods.running(name)
    began = time.monotonic()
    pods.kubectl("delete", "pod", name, "--force", "--grace-period=0")
    assert time.monotonic() - began < 5 and pods.get(name) is None


@pytest.mark.parametrize("policy,code,phase", [("Never", 0, "Succeeded"), ("Never", 3, "Failed"), ("OnFailure", 0, "Succeeded")])
def test_restart_policy(pods, policy, code, phase):
    name = pods.make([sh(f"exit {code}")], restartPolicy=policy)
    s = pods.phase(name, phase)["status"]["containerStatuses"][0]
    assert s["restartCount"] == 0 and s["state"]["terminated"]["exitCode"] == code
    assert s["state"]["terminated"]["reason"] == ("Completed" if code == 0 else "Error")
    assert pods.kubectl("get", "pod", name).stdout.split()[7] == ("Completed" if code == 0 else "Error")


def test_on_failure_restarts_until_it_succeeds(pods):
    name = pods.make([sh("test -f /d/again || { touch /d/again; exit 1; }", volumeMounts=[{"name": "d", "mountPath": "/d"}])], restartPolicy="OnFailure",
                     volumes=[{"name": "d", "emptyDir": {}}])
    assert pods.phase(name, "Succeeded")["status"]["containerStatuses"][0]["restartCount"] == 1


def test_crash_loop_doubles_its_delay(pods):
    name = pods.make([sh("exit 1")])
    seen = []
    for delay in ("10s", "20s"):
        w = until(lambda: (w := pods.container(name).get("state", {}).get("waiting")) and w.get("reason") == "CrashLoopBackOff" and
                  f"back-off {delay} restarting failed container" in w.get("message", "") and w, 30, what=f"back-off {delay}")
        seen.append((delay, time.monotonic(), w))
    assert seen[1][1] - seen[0][1] >= 8
    assert pods.container(name)["restartCount"] == 2
    assert "CrashLoopBackOff" in pods.kubectl("get", "pod", name).stdout
    assert [e for e in pods.events(name) if e["reason"] == "BackOff" and "Back-off restarting failed container" in e["message"]]


def test_init_container_that_fails_holds_the_pod(pods):
    name = pods.make([sh("sleep 1000")], initContainers=[{"name": "i", **sh("exit 5")}])
    until(lambda: re.search(r"Init:(Error|CrashLoopBackOff)", pods.kubectl("get", "pod", name).stdout), what="Init:CrashLoopBackOff")
    p = pods.get(name)["status"]
    assert p["phase"] == "Pending" and p["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    name = pods.make([sh("sleep 1000")], initContainers=[{"name": "i", **sh("exit 5")}], restartPolicy="Never")
    assert pods.phase(name, "Failed")["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 5


def test_out_of_memory_says_so_and_restarts(pods):
    name = pods.make([sh("x=a; while true; do x=$x$x; done", resources={"limits": {"memory": "16Mi"}})])
    until(lambda: pods.container(name).get("lastState", {}).get("terminated", {}).get("reason") == "OOMKilled", what="OOMKilled")
    assert pods.container(name)["lastState"]["terminated"]["exitCode"] == 137


@pytest.mark.parametrize("resources,qos", [({}, "BestEffort"), ({"requests": {"memory": "64Mi"}}, "Burstable"), ({"limits": {"cpu": "100m", "memory": "64Mi"}}, "Guaranteed")])
def test_quality_of_service(pods, resources, qos):
    """Scores for the out-of-memory killer as the class earns them, as far as the machine may lower them."""
    name = pods.make([sh("sleep 1000", resources=resources)])
    assert pods.running(name)["status"]["qosClass"] == qos
    score = int(pods.sh(name, "cat /proc/1/oom_score_adj"))
    may_lower = int(re.search(r"CapBnd:\s+(\w+)", open("/proc/self/status").read()).group(1), 16) >> 24 & 1
    assert score == 1000 if qos == "BestEffort" else 2 < score < 1000 if qos == "Burstable" else score == (-997 if may_lower else 0)


def test_security_context(pods):
    name = pods.make([sh("sleep 1000", securityContext={"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                                                        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
                         volumeMounts=[{"name": "d", "mountPath": "/d"}])],
                     securityContext={"runAsUser": 1000, "runAsGroup": 1001, "fsGroup": 2000, "supplementalGroups": [3000],
                                      "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]},
                     volumes=[{"name": "d", "emptyDir": {}}])
    pods.running(name)
    assert pods.sh(name, "id -u; id -g; id -G; stat -c %g /d").split() == ["1000", "1001", "1001", "2000", "3000", "2000"]
    status = pods.sh(name, "cat /proc/self/status; cat /proc/sys/net/ipv4/ip_unprivileged_port_start")
    assert re.search(r"NoNewPrivs:\s+1", status) and re.search(r"CapBnd:\s+0000000000000400", status) and re.search(r"Seccomp:\s+2", status)
    assert status.endswith("\n80\n")
    assert "Read-only" in pods.kubectl("exec", name, "--", "touch", "/x", check=False).stderr and pods.sh(name, "touch /d/x && echo ok") == "ok\n"
    name = pods.make([{"command": ["sleep", "1000"], "securityContext": {"runAsNonRoot": True}}])
    w = pods.waiting(name, "CreateContainerConfigError")
    assert "run as root" in w["message"] or "non-root" in w["message"].lower(), w


def test_privileged_and_host_network(pods):
    name = pods.make([sh("sleep 1000", securityContext={"privileged": True})], hostNetwork=True, hostPID=True)
    p = pods.running(name)
    assert p["status"]["podIP"] == p["status"]["hostIP"]
    capabilities = lambda text: re.search(r"CapBnd:\s+(\w+)", text).group(1)  # noqa: E731
    assert capabilities(pods.sh(name, "cat /proc/self/status")) == capabilities(open("/proc/1/status").read())


def test_logs_in_every_way(pods):
    name = pods.make([sh("for i in $(seq 100); do echo line $i; done; echo err >&2; trap 'echo bye; exit 0' TERM; while true; do sleep 0.1; done"),
                      sh("echo second; sleep 100000")])
    pods.running(name)
    logs = lambda *a: pods.kubectl("logs", name, *a).stdout  # noqa: E731
    until(lambda: "err" in logs("-c", "c"))
    assert "defaulted" in pods.kubectl("logs", name).stderr.lower()
    assert logs("-c", "c", "--tail=3") == "line 99\nline 100\nerr\n" and logs("-c", "c1") == "second\n"
    assert logs("-c", "c", "--limit-bytes=6") == "line 1" and "second" in logs("--all-containers", "--prefix")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line 1\n", logs("-c", "c", "--timestamps"))
    assert logs("-c", "c", "--since=1h").count("\n") == 101
    stamp = logs("-c", "c", "--timestamps", "--tail=1").split()[0]
    assert logs("-c", "c", f"--since-time={stamp}").endswith("err\n") and logs("-c", "c", "--since-time=2099-01-01T00:00:00Z") == ""
    f = pods.atoll.start_kubectl("-n", pods.namespace, "logs", "-f", name, "-c", "c", "--tail=1")
    assert f.stdout.readline() == "err\n"
    pods.kubectl("delete", "pod", name, "--wait=false")
    assert f.communicate(timeout=20)[0] == "bye\n"


def test_previous_logs(pods):
    name = pods.make([sh("test -f /d/x && { echo second; exec sleep 1000; }; touch /d/x; echo first; exit 1", volumeMounts=[{"name": "d", "mountPath": "/d"}])],
                     volumes=[{"name": "d", "emptyDir": {}}])
    until(lambda: pods.kubectl("logs", name, check=False).stdout == "second\n", 30)
    assert pods.kubectl("logs", name, "--previous").stdout == "first\n"
    other = pods.make([sh("sleep 1000")])
    pods.running(other)
    r = pods.kubectl("logs", other, "--previous", check=False)
    assert r.returncode == 1 and f'previous terminated container "c" in pod "{other}" not found' in r.stderr


def test_exec_codes_input_terminal_and_errors(pods):
    name = pods.make([sh("sleep 1000"), sh("sleep 1000")])
    pods.running(name)
    for code in (0, 1, 7, 126, 255):
        assert pods.kubectl("exec", name, "-c", "c", "--", "sh", "-c", f"exit {code}", check=False).returncode == code
    big = "0123456789abcdef" * 60000
    assert pods.kubectl("exec", "-i", name, "-c", "c", "--", "cat", text=big).stdout == big
    assert pods.kubectl("exec", "-i", name, "-c", "c1", "--", "wc", "-c", text=big).stdout.strip() == str(len(big))
    r = pods.kubectl("exec", name, "-c", "c", "--", "no-such-program", check=False)
    assert r.returncode == 127 or r.returncode == 126 or (r.returncode == 1 and "no-such-program" in r.stderr)
    assert "no-such-program" in r.stderr and "not found" in r.stderr
    r = pods.kubectl("exec", name, "-c", "none", "--", "true", check=False)
    assert r.returncode == 1 and "container none is not valid for pod" in r.stderr, r.stderr
    r = run("script", "-qec", f"kubectl --kubeconfig {pods.atoll.kubeconfig} -n {pods.namespace} exec -it {name} -c c -- sh -c 'tty; stty size; echo x'", "/dev/null")
    assert "/dev/pts/" in r.stdout or "/dev/console" in r.stdout, r.stdout


def test_attach_gets_output_and_gives_input(pods):
    name = pods.make([sh("while read x; do echo got $x; done; echo end; sleep 1000", stdin=True, stdinOnce=True)])
    pods.running(name)
    p = pods.atoll.start_kubectl("-n", pods.namespace, "attach", "-i", name, stdin=subprocess.PIPE)
    p.stdin.write("one\n")
    p.stdin.flush()
    assert p.stdout.readline() == "got one\n"
    p.stdin.write("two\n")
    p.stdin.flush()
    assert p.stdout.readline() == "got two\n"
    p.kill()
    p.communicate()


def test_kubectl_run_with_a_terminal_and_its_exit_code(pods):
    r = pods.kubectl("run", "once", f"--image={IMAGE}", "--restart=Never", "--rm", "-i", "--command", "--", "sh", "-c", "read x; echo read $x; exit 4", text="hello\n",
                     check=False)
    assert "read hello" in r.stdout and r.returncode == 4, (r.stdout, r.stderr)
    until(lambda: pods.get("once") is None)


def test_active_deadline(pods):
    name = pods.make([sh("sleep 1000")], activeDeadlineSeconds=1)
    assert pods.phase(name, "Failed")["status"]["reason"] == "DeadlineExceeded"


def test_termination_message(pods):
    name = pods.make([sh("echo from file > /dev/termination-log; exit 1"), sh("echo from log; exit 1", terminationMessagePolicy="FallbackToLogsOnError")], restartPolicy="Never")
    s = pods.phase(name, "Failed")["status"]["containerStatuses"]
    assert [c["state"]["terminated"]["message"] for c in s] == ["from file\n", "from log\n"]


def test_arguments_and_working_directory(pods):
    name = pods.make([{"command": ["echo", "$(A)"], "args": ["b", "$$(A)"], "env": [{"name": "A", "value": "a"}], "workingDir": "/made/for/me"},
                      {**sh("pwd"), "workingDir": "/made/for/me"}], restartPolicy="Never")
    pods.phase(name, "Succeeded")
    assert pods.kubectl("logs", name, "-c", "c").stdout == "a b $(A)\n" and pods.kubectl("logs", name, "-c", "c1").stdout == "/made/for/me\n"


def test_host_aliases_and_dns_config(pods):
    name = pods.make([sh("sleep 1000")], hostAliases=[{"ip": "192.0.2.9", "hostnames": ["foo", "bar"]}], dnsPolicy="None",
                     dnsConfig={"nameservers": ["192.0.2.53"], "searches": ["my.search"], "options": [{"name": "ndots", "value": "2"}]})
    pods.running(name)
    assert re.search(r"^192\.0\.2\.9\s+foo\s+bar$", pods.sh(name, "cat /etc/hosts"), re.M)
    text = pods.sh(name, "cat /etc/resolv.conf")
    assert "nameserver 192.0.2.53" in text and "search my.search" in text and "options ndots:2" in text


def test_image_that_is_absent_says_why(pods):
    name = pods.make([{"image": "127.0.0.1:1/none:1"}])
    w = pods.waiting(name, "ImagePullBackOff")
    assert 'Back-off pulling image "127.0.0.1:1/none:1"' in w["message"]
    assert [e for e in pods.events(name) if e["reason"] == "Failed" and "127.0.0.1:1/none:1" in e["message"]]
    out = pods.kubectl("get", "pod", name).stdout
    assert "ImagePullBackOff" in out or "ErrImagePull" in out


def test_big_logs_are_rotated(atoll, pods):
    name = pods.make([sh("i=0; while [ $i -lt 300000 ]; do echo \"$i ----------------------------------------------------------------\"; i=$((i+1)); done; sleep 1000")])
    pods.running(name)
    until(lambda: pods.kubectl("logs", name, "--tail=1").stdout.startswith("299999 "), 60, what="the last line")
    uid = pods.get(name)["metadata"]["uid"]
    files = [os.path.join(d, f) for d, _, names in os.walk(f"{atoll.root}/var/log") for f in names if uid in d]
    assert len(files) > 1 and all(os.path.getsize(f) <= 11 << 20 for f in files), files
    lines = pods.kubectl("logs", name, "--tail=200000").stdout.splitlines()
    numbers = [int(line.split()[0]) for line in lines]
    assert numbers == list(range(300000 - len(numbers), 300000)), "the newest file, without a gap (as upstream)"


def test_sub_path_of_an_expression_and_optional_sources(pods):
    name = pods.make(
        [sh("echo x > /d/file; sleep 1000", env=[{"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            envFrom=[{"configMapRef": {"name": "none", "optional": True}}],
            volumeMounts=[{"name": "d", "mountPath": "/d", "subPathExpr": "at/$(ME)"}, {"name": "d", "mountPath": "/all"}, {"name": "o", "mountPath": "/o"}])],
        volumes=[{"name": "d", "emptyDir": {}}, {"name": "o", "configMap": {"name": "none", "optional": True}}])
    pods.running(name)
    assert pods.sh(name, f"cat /all/at/{name}/file; ls /o") == "x\n"


def test_missing_volume_source_is_waited_for_and_told(atoll, pods):
    name = pods.make([sh("cat /s/k; sleep 1000", volumeMounts=[{"name": "s", "mountPath": "/s"}])], volumes=[{"name": "s", "secret": {"secretName": "later"}}])
    until(lambda: [e for e in pods.events(name) if e["reason"] == "FailedMount" and 'secret "later" not found' in e["message"]], what="FailedMount")
    assert "ContainerCreating" in pods.kubectl("get", "pod", name).stdout
    atoll.apply({"kind": "Secret", "metadata": {"name": "later"}, "stringData": {"k": "v"}}, namespace=pods.namespace)
    pods.running(name)


# ---- where pods go ----

def test_pod_that_fits_nowhere_says_why(pods):
    name = pods.make([sh("sleep 1", resources={"requests": {"cpu": "1000"}})])
    m = until(lambda: [e["message"] for e in pods.events(name) if e["reason"] == "FailedScheduling"], what="FailedScheduling")[0]
    assert m.startswith("0/1 nodes are available: 1 Insufficient cpu."), m
    c = [c for c in pods.get(name)["status"]["conditions"] if c["type"] == "PodScheduled"][0]
    assert (c["status"], c["reason"]) == ("False", "Unschedulable") and "Insufficient cpu" in c["message"]


def test_node_selector_waits_for_its_label(atoll, pods):
    name = pods.make([sh("sleep 1000")], nodeSelector={"disk": "fast"})
    until(lambda: [e for e in pods.events(name) if "didn't match Pod's node affinity/selector" in e["message"]], what="FailedScheduling")
    atoll.kubectl("label", "node", "n1", "disk=fast")
    try:
        pods.running(name)
    finally:
        atoll.kubectl("label", "node", "n1", "disk-")


def test_taints_are_tolerated_or_not(atoll, pods):
    atoll.kubectl("taint", "node", "n1", "only=mine:NoSchedule")
    try:
        name = pods.make([sh("sleep 1000")])
        until(lambda: [e for e in pods.events(name) if "had untolerated taint {only: mine}" in e["message"]], what="FailedScheduling")
        other = pods.make([sh("sleep 1000")], tolerations=[{"key": "only", "operator": "Exists"}])
        pods.running(other)
    finally:
        atoll.kubectl("taint", "node", "n1", "only-")
    pods.running(name)


def test_cordon_drain_uncordon(atoll, pods):
    atoll.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "d"}}, "template": {
        "metadata": {"labels": {"a": "d"}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "1000"]}]}}}},
        namespace=pods.namespace)
    pods.kubectl("rollout", "status", "deploy/d", "--timeout=30s")
    old = atoll.items("pods", "-l", "a=d", namespace=pods.namespace)[0]["metadata"]["name"]
    try:
        r = atoll.kubectl("drain", "n1", "--pod-selector=a=d", "--timeout=30s")
        assert "evicting pod" in r.stdout + r.stderr and "SchedulingDisabled" in atoll.kubectl("get", "nodes").stdout
        assert pods.get(old) is None
        until(lambda: [e for e in atoll.items("events", namespace=pods.namespace) if e["reason"] == "FailedScheduling" and "were unschedulable" in e["message"]])
    finally:
        atoll.kubectl("uncordon", "n1")
    pods.kubectl("rollout", "status", "deploy/d", "--timeout=30s")


def test_host_ports_do_not_collide(pods):
    port = [{"containerPort": 8080, "hostPort": 18080}]
    one = pods.make([sh("mkdir -p /w; echo host > /w/index.html; httpd -f -p 8080 -h /w", ports=port)])
    pods.running(one)
    two = pods.make([sh("sleep 1000", ports=port)])
    until(lambda: [e for e in pods.events(two) if "didn't have free ports for the requested pod ports" in e["message"]], what="FailedScheduling")


def test_a_hundred_pods_on_the_node(own_atoll):
    a = own_atoll()
    a.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"}, "spec": {
        "replicas": 100, "selector": {"matchLabels": {"a": "many"}}, "template": {"metadata": {"labels": {"a": "many"}}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "100000"]}]}}}})
    a.kubectl("rollout", "status", "deploy/many", "--timeout=120s", timeout=150)
    p = a.items("pods", "-l", "a=many")
    assert len({x["status"]["podIP"] for x in p}) == 100 and all(x["status"]["containerStatuses"][0]["restartCount"] == 0 for x in p)
    a.kubectl("delete", "deploy", "many")
    until(lambda: not a.items("pods"), 60, what="all pods gone")
    # A grace of 0 removes the objects at once; the node takes the pods down afterwards, and leaks tells only of those without a shim.
    until(lambda: not os.listdir(f"{a.root}/run/atoll/pods"), 60, every=0.2, what="all pods down")
    assert a.leaks().stdout.startswith("nothing is left over"), a.leaks()


def test_a_pod_is_down_before_its_object_goes(atoll, pods):
    """Given a grace, a pod's object stays until the node has none of it left; started, starting or waiting for a volume."""
    names = [pods.make([sh("sleep 100000")]) for _ in range(6)]
    names += [pods.make([sh("sleep 1000")], volumes=[{"name": "v", "configMap": {"name": "none"}}]) for _ in range(2)]
    for name in names[:6]:
        pods.running(name)
    names += [pods.make([sh("sleep 1000")]) for _ in range(2)]
    uids = {p["metadata"]["uid"] for p in atoll.items("pods", namespace=pods.namespace)}
    there = f"{atoll.root}/run/atoll/pods"
    assert len(uids) == 10 and len(uids & set(os.listdir(there))) >= 6
    pods.kubectl("delete", "pods", *names, "--wait=false")

    def gone():
        left = {p["metadata"]["uid"] for p in atoll.items("pods", namespace=pods.namespace)}
        parts = (uids - left) & set(os.listdir(there))
        out = atoll.leaks().stdout
        assert not parts and not [u for u in uids - left if u in out], f"objects gone, parts not: {parts}\n{out}"
        return not left
    until(gone, 20, what="objects gone")
