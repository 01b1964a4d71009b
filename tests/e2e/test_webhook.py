"""Admission webhooks: HTTPS servers of this test, asked by Atoll."""
import itertools
import json
import threading
import time

import pytest

import atoll_cluster as ac
import webhook_server as ws
from test_api import Api

RULE = {"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
NAMESPACES = itertools.count()


@pytest.fixture
def cluster(root, request):
    """Shared Atoll without pods; every test gets its own namespace and cleans its configurations up."""
    a = ac.Atoll.__new__(ac.Atoll)
    a.root = root
    a.kubeconfig, a.sock = f"{root}/etc/atoll/admin.kubeconfig", f"{root}/run/atoll/api.sock"
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")
    a.ns = f"hooks-{name[:40].strip('-')}-{next(NAMESPACES)}"  # the one before, of a name that began alike, may still be on its way out
    a.servers, a.made = [], []
    a.kubectl("create", "namespace", a.ns)
    yield a
    for kind, name in a.made:
        a.kubectl("delete", kind, name, "--ignore-not-found")
    for s in a.servers:
        s.close()
    a.kubectl("delete", "namespace", a.ns, "--wait=false")


def serve(cluster, decide, **kw):
    s = ws.Server(ws.review_answer(decide), **kw)
    cluster.servers.append(s)
    return s


def hook(cluster, server, name="hook.example.com", path="/", **more):
    return {"name": name, "clientConfig": {"url": f"https://127.0.0.1:{server.port}{path}", "caBundle": server.bundle}, "rules": [RULE],
            "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": cluster.ns}}, **more}


def configure(cluster, kind, *hooks, name=None):
    name = name or f"{cluster.ns}-{kind.lower()[:3]}"
    cluster.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration", "metadata": {"name": name},
                   "webhooks": list(hooks)})
    cluster.made.append((f"{kind.lower()}webhookconfiguration", name))


def config_map(cluster, name, check=True, *more, **data):
    o = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    return cluster.kubectl("create", "-n", cluster.ns, "-f", "-", *more, check=check, text=json.dumps(o))


def data(cluster, name):
    return cluster.get("configmap", name, namespace=cluster.ns)["data"]


def test_a_validating_webhook_refuses_and_its_words_reach_the_client(cluster):
    s = serve(cluster, lambda path, r: {"allowed": r["object"]["data"].get("ok") == "yes",
                                        "status": {"code": 403, "message": "not ok"}, "warnings": ["mind the gap"]})
    configure(cluster, "Validating", hook(cluster, s))
    refused = config_map(cluster, "bad", False, ok="no")
    assert 'admission webhook "hook.example.com" denied the request: not ok' in refused.stderr
    assert "Warning: mind the gap" in config_map(cluster, "good", True, ok="yes").stderr
    assert cluster.get("configmap", "bad", namespace=cluster.ns) is None
    method, path, headers, body = s.seen[0]
    request = json.loads(body)["request"]
    assert (method, path) == ("POST", "/?timeout=5s")
    assert request["operation"] == "CREATE" and request["namespace"] == cluster.ns and request["name"] == "bad"
    assert request["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert request["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert request["oldObject"] is None and request["dryRun"] is False and request["userInfo"]["username"]
    assert request["options"]["kind"] == "CreateOptions"


def test_audit_annotations_reach_the_log_from_writes_and_deletions(cluster):
    s = serve(cluster, lambda path, r: {"allowed": True, "auditAnnotations": {"seen": r["operation"]}})
    rule = {**RULE, "operations": ["CREATE", "DELETE"]}
    configure(cluster, "Validating", hook(cluster, s, rules=[rule]))
    config_map(cluster, "annotated", a="b")
    cluster.kubectl("delete", "configmap", "-n", cluster.ns, "annotated")

    def told():
        with open(f"{cluster.root}/var/log/atoll/audit.log") as log:
            return {e["verb"]: e["annotations"]["hook.example.com/seen"] for e in map(json.loads, log)
                    if e.get("objectRef", {}).get("namespace") == cluster.ns and "hook.example.com/seen" in e.get("annotations", {})}

    ac.until(lambda: len(told()) == 2, what="audit events")
    assert told() == {"create": "CREATE", "delete": "DELETE"}


def annotations(cluster, uri):
    """Of the newest finished write to this path."""
    with open(f"{cluster.root}/var/log/atoll/audit.log") as log:
        found = [e["annotations"] for e in map(json.loads, log) if e["requestURI"].startswith(uri) and e["verb"] == "create"]
    return found[-1] if found else None


def test_the_audit_log_says_who_changed_and_who_was_not_asked(cluster):
    s = serve(cluster, lambda path, r: ws.json_patch({"op": "add", "path": "/data/more", "value": "x"}) if path.startswith("/change") else {"allowed": True})
    away = {"url": f"https://127.0.0.1:{ac.free_port()}/", "caBundle": s.bundle}
    configure(cluster, "Mutating", hook(cluster, s, "a.example.com"), hook(cluster, s, "b.example.com", "/change"),
              hook(cluster, s, "c.example.com", failurePolicy="Ignore", clientConfig=away))
    configure(cluster, "Validating", hook(cluster, s, "d.example.com"), hook(cluster, s, "e.example.com", failurePolicy="Ignore", clientConfig=away))
    config_map(cluster, "audited", a="b")
    found = ac.until(lambda: annotations(cluster, f"/api/v1/namespaces/{cluster.ns}/configmaps"), what="the audit event")
    for index, name in enumerate("abc"):
        assert json.loads(found[f"mutation.webhook.admission.k8s.io/round_0_index_{index}"]) == {
            "configuration": f"{cluster.ns}-mut", "webhook": f"{name}.example.com", "mutated": name == "b"}
    assert found["failed-open.mutation.webhook.admission.k8s.io/round_0_index_2"] == "c.example.com"
    assert found["failed-open.validating.webhook.admission.k8s.io/round_0_index_1"] == "e.example.com"
    assert not [k for k in found if k.startswith("patch.")]


def test_mutating_webhooks_run_in_order_and_again_when_they_ask_for_it(cluster):
    def decide(path, r):
        d = r["object"]["data"]
        if path.startswith("/first"):
            n = int(d.get("first", "0")) + 1
            return ws.json_patch({"op": "add", "path": "/data/first", "value": str(n)})
        return ws.json_patch({"op": "add", "path": "/data/second", "value": "after " + d["first"]})

    s = serve(cluster, decide)
    configure(cluster, "Mutating", hook(cluster, s, "a.example.com", "/first", reinvocationPolicy="IfNeeded"),
              hook(cluster, s, "b.example.com", "/second"))
    config_map(cluster, "m", True, a="b")
    assert data(cluster, "m") == {"a": "b", "first": "2", "second": "after 1"}
    assert [p.split("?")[0] for _, p, _, _ in s.seen] == ["/first", "/second", "/first"]


def test_mutations_are_defaulted_pruned_and_validated(cluster):
    def decide(path, r):
        if r["object"]["metadata"]["name"] == "broken":
            return ws.json_patch({"op": "add", "path": "/data/in~1valid", "value": "x"})
        return ws.json_patch({"op": "add", "path": "/nonsense", "value": 1},
                             {"op": "replace", "path": "/metadata/namespace", "value": "default"},
                             {"op": "add", "path": "/metadata/labels", "value": {"by": "webhook"}})

    s = serve(cluster, decide)
    configure(cluster, "Mutating", hook(cluster, s))
    config_map(cluster, "fine", True, a="b")
    got = cluster.get("configmap", "fine", namespace=cluster.ns)
    assert got["metadata"]["labels"] == {"by": "webhook"} and "nonsense" not in got
    assert "Invalid" in config_map(cluster, "broken", False, a="b").stderr


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
def test_failure_policy_decides_when_nobody_answers(cluster, policy):
    s = serve(cluster, lambda path, r: {"allowed": True})
    h = hook(cluster, s, failurePolicy=policy)
    h["clientConfig"]["url"] = f"https://127.0.0.1:{ac.free_port()}/"
    configure(cluster, "Validating", h)
    r = config_map(cluster, "x", False)
    if policy == "Ignore":
        assert r.returncode == 0
    else:
        assert 'failed calling webhook "hook.example.com": failed to call webhook: Post "https://127.0.0.1:' in r.stderr
        assert "connect: connection refused" in r.stderr and "InternalError" in r.stderr


def test_a_slow_webhook_is_given_up_in_its_time_and_holds_up_nobody_else(cluster):
    asked, answered = threading.Event(), threading.Event()

    def decide(path, r):
        asked.set()
        answered.wait(20)
        return {"allowed": True}

    s = serve(cluster, decide)
    configure(cluster, "Validating", hook(cluster, s, timeoutSeconds=3))
    waiting = cluster.start_kubectl("create", "configmap", "slow", "-n", cluster.ns)
    assert asked.wait(10)
    begin = time.monotonic()
    assert Api(cluster.sock)("GET", "/readyz")[0] == 200
    assert time.monotonic() - begin < 2 and waiting.poll() is None
    _, err = waiting.communicate(timeout=10)
    assert waiting.returncode and "context deadline exceeded" in err and time.monotonic() - begin < 8
    answered.set()


def test_an_untrusted_certificate_is_not_talked_to(cluster):
    s, other = (serve(cluster, lambda path, r: {"allowed": True}) for _ in range(2))
    h = hook(cluster, s)
    h["clientConfig"]["caBundle"] = other.bundle
    configure(cluster, "Validating", h)
    assert "x509: certificate signed by unknown authority" in config_map(cluster, "x", False).stderr
    assert not s.seen


def test_selectors_and_conditions_say_what_matters(cluster):
    s = serve(cluster, lambda path, r: {"allowed": False})
    configure(cluster, "Validating", hook(cluster, s, objectSelector={"matchLabels": {"watched": "yes"}},
                                          matchConditions=[{"name": "c", "expression": "!object.metadata.name.startsWith('free')"}]))
    config_map(cluster, "unlabelled")
    o = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "free-1", "labels": {"watched": "yes"}}}
    cluster.kubectl("create", "-n", cluster.ns, "-f", "-", text=json.dumps(o))
    assert not s.seen
    o["metadata"]["name"] = "bound"
    r = cluster.kubectl("create", "-n", cluster.ns, "-f", "-", text=json.dumps(o), check=False)
    assert "denied the request without explanation" in r.stderr


def test_deletions_updates_and_dry_runs_are_told(cluster):
    s = serve(cluster, lambda path, r: {"allowed": r["operation"] != "DELETE", "status": {"message": "it stays"}})
    h = hook(cluster, s)
    h["rules"] = [{**RULE, "operations": ["*"]}]
    configure(cluster, "Validating", h)
    config_map(cluster, "kept", True, a="1")
    cluster.kubectl("patch", "configmap", "kept", "-n", cluster.ns, "-p", '{"data":{"a":"2"}}', "--dry-run=server")
    r = cluster.kubectl("delete", "configmap", "kept", "-n", cluster.ns, check=False)
    assert "denied the request: it stays" in r.stderr
    create, update, delete = [json.loads(b)["request"] for _, _, _, b in s.seen]
    assert update["operation"] == "UPDATE" and update["dryRun"] is True and update["oldObject"]["data"] == {"a": "1"}
    assert update["object"]["data"] == {"a": "2"} and update["options"]["kind"] == "PatchOptions"
    assert delete["object"] is None and delete["oldObject"]["data"] == {"a": "1"}


def test_a_webhook_behind_a_service_is_reached_at_its_endpoints(cluster):
    """No pods here: the endpoints are kept by hand and lead to the machine's own address."""
    s = serve(cluster, lambda path, r: {"allowed": False, "status": {"message": "by " + path}}, address="192.0.2.1",
              names=[f"hook.{cluster.ns}.svc"])
    cluster.apply({"kind": "Service", "metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443, "targetPort": s.port}]}},
                  {"kind": "Endpoints", "metadata": {"name": "hook"},
                   "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": s.port}]}]}, namespace=cluster.ns)
    h = hook(cluster, s)
    h["clientConfig"] = {"service": {"namespace": cluster.ns, "name": "hook", "path": "/p"}, "caBundle": s.bundle}
    configure(cluster, "Validating", h)
    assert "denied the request: by /p?timeout=5s" in config_map(cluster, "x", False).stderr
    cluster.apply({"kind": "Endpoints", "metadata": {"name": "hook"},
                   "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": ac.free_port()}]}]}, namespace=cluster.ns)
    r = config_map(cluster, "x", False)
    assert f'Post "https://hook.{cluster.ns}.svc:443/p?timeout=5s": dial tcp 192.0.2.1:' in r.stderr


def test_webhooks_cannot_lock_their_own_configurations(cluster):
    s = serve(cluster, lambda path, r: {"allowed": False})
    rule = {"operations": ["*"], "apiGroups": ["admissionregistration.k8s.io"], "apiVersions": ["*"], "resources": ["*"]}
    configure(cluster, "Validating", {**hook(cluster, s), "rules": [rule]})
    configure(cluster, "Mutating", {**hook(cluster, s), "rules": [rule]})
    cluster.kubectl("delete", "validatingwebhookconfiguration", f"{cluster.ns}-val")
    assert not s.seen


def test_configurations_are_validated(cluster):
    s = serve(cluster, lambda path, r: {"allowed": True})
    bad = hook(cluster, s, name="short", timeoutSeconds=31, admissionReviewVersions=["v9"])
    bad["clientConfig"] = {"url": "http://x/"}
    o = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "bad"}, "webhooks": [bad]}
    err = cluster.kubectl("create", "-f", "-", text=json.dumps(o), check=False).stderr
    for words in ("should be a domain with at least three segments", "must be between 1 and 30 seconds", "'https' is the only allowed URL scheme",
                  "must include at least one of v1, v1beta1"):
        assert words in err, err


def test_connections_are_told_and_may_be_refused(atoll, namespace):
    s = ws.Server(ws.review_answer(lambda path, r: {"allowed": r["subResource"] != "exec", "status": {"message": "no shells"}}))
    rule = {"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/*"]}
    o = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": namespace}, "webhooks": [
        {"name": "shell.example.com", "clientConfig": {"url": f"https://127.0.0.1:{s.port}/", "caBundle": s.bundle}, "rules": [rule],
         "sideEffects": "None", "admissionReviewVersions": ["v1"], "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]}
    pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "c", "image": ac.IMAGE, "command": ["sleep", "100"]}]}}
    atoll.apply(o, pod, namespace=namespace)
    try:
        atoll.kubectl("wait", "-n", namespace, "pod/p", "--for=condition=Ready")
        r = atoll.kubectl("exec", "-n", namespace, "p", "--", "true", check=False)
        assert "denied the request: no shells" in r.stderr
        request = json.loads(s.seen[-1][3])["request"]
        assert request["operation"] == "CONNECT" and request["kind"]["kind"] == "PodExecOptions" and request["subResource"] == "exec"
        assert request["object"]["container"] == "c" and request["object"]["command"] == ["true"]
    finally:
        atoll.kubectl("delete", "validatingwebhookconfiguration", namespace)
        s.close()
    atoll.kubectl("exec", "-n", namespace, "p", "--", "true")


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
    "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
    "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}}}


def rules(group, *resources, operations=("*",), versions=("*",)):
    return [{"operations": list(operations), "apiGroups": [group], "apiVersions": list(versions), "resources": list(resources)}]


def requests(server):
    return [json.loads(b)["request"] for _, _, _, b in server.seen]


def test_scaling_is_told_as_a_scale_and_may_be_changed(cluster):
    seen = serve(cluster, lambda path, r: {"allowed": True})
    fixed = serve(cluster, lambda path, r: ws.json_patch({"op": "replace", "path": "/spec/replicas", "value": 0})
                  if r["object"]["spec"]["replicas"] == 7 else {"allowed": True})
    configure(cluster, "Mutating", hook(cluster, fixed, rules=rules("apps", "deployments/scale")))
    configure(cluster, "Validating", hook(cluster, seen, rules=rules("apps", "deployments/scale")))
    cluster.apply(DEPLOYMENT, namespace=cluster.ns)
    cluster.kubectl("patch", "deployment", "d", "-n", cluster.ns, "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":7}}')
    assert cluster.get("deployment", "d", namespace=cluster.ns)["spec"]["replicas"] == 0
    asked, told = requests(fixed)[0], requests(seen)[0]
    for r in (asked, told):
        assert r["kind"] == r["requestKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        assert r["resource"] == {"group": "apps", "version": "v1", "resource": "deployments"} and r["subResource"] == "scale"
        assert r["operation"] == "UPDATE" and r["object"]["kind"] == r["oldObject"]["kind"] == "Scale"
        assert r["oldObject"]["spec"].get("replicas", 0) == 0 and "template" not in r["object"]["spec"]
        assert r["oldObject"]["metadata"]["resourceVersion"]
    assert asked["object"]["spec"]["replicas"] == 7 and told["object"]["spec"].get("replicas", 0) == 0


def test_reviews_and_bindings_are_told_and_may_be_refused(cluster):
    s = serve(cluster, lambda path, r: {"allowed": r["kind"]["kind"] != "Binding", "status": {"message": "no bindings"}})
    everywhere = {k: v for k, v in hook(cluster, s).items() if k != "namespaceSelector"}
    everywhere["matchConditions"] = [{"name": "mine", "expression":
        "request.kind.kind == 'Binding' ? object.metadata.name == 'no' : request.kind.kind == 'TokenReview' ? object.spec.token == 'mine' : "
        f"object.spec.resourceAttributes.namespace == '{cluster.ns}'"}]
    configure(cluster, "Validating",
              {**everywhere, "name": "a.example.com", "rules": rules("authorization.k8s.io", "*") + rules("authentication.k8s.io", "tokenreviews")},
              {**everywhere, "name": "b.example.com", "rules": rules("", "bindings", "pods/binding")})

    def create(api_version, kind, spec, path):
        status, answer = Api(cluster.sock)("POST", path, {"apiVersion": api_version, "kind": kind, "spec": spec})
        assert status == 201, answer

    access = {"user": "u", "resourceAttributes": {"namespace": cluster.ns, "verb": "get", "resource": "pods"}}
    z, n = "/apis/authorization.k8s.io/v1", "/apis/authentication.k8s.io/v1"
    for kind, spec, path in (("SubjectAccessReview", access, f"{z}/subjectaccessreviews"),
                             ("SelfSubjectAccessReview", {k: access[k] for k in ("resourceAttributes",)}, f"{z}/selfsubjectaccessreviews"),
                             ("LocalSubjectAccessReview", access, f"{z}/namespaces/{cluster.ns}/localsubjectaccessreviews")):
        s.seen.clear()
        create("authorization.k8s.io/v1", kind, spec, path)
        r = requests(s)[0]
        assert r["kind"]["kind"] == kind and r["operation"] == "CREATE" and r["oldObject"] is None
        assert r["object"]["spec"]["resourceAttributes"]["namespace"] == cluster.ns
    s.seen.clear()
    create("authentication.k8s.io/v1", "TokenReview", {"token": "mine"}, f"{n}/tokenreviews")
    assert requests(s)[0]["resource"]["resource"] == "tokenreviews"
    target = {"kind": "Node", "name": "x"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "no"}, "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "none"}]}}
    cluster.apply(pod, namespace=cluster.ns)
    for path, resource, sub in ((f"/api/v1/namespaces/{cluster.ns}/bindings", "bindings", None),
                                (f"/api/v1/namespaces/{cluster.ns}/pods/no/binding", "pods", "binding")):
        s.seen.clear()
        o = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "no"}, "target": target}
        assert "denied the request: no bindings" in Api(cluster.sock)("POST", path, o)[1]["message"]
        r, = requests(s)
        assert r["kind"]["kind"] == "Binding" and r["resource"]["resource"] == resource and r.get("subResource") == sub
        assert r["object"]["target"]["name"] == "x" and r["operation"] == "CREATE"
    assert "nodeName" not in cluster.get("pod", "no", namespace=cluster.ns)["spec"]


@pytest.mark.parametrize("several", [False, True])
def test_the_status_of_a_webhook_that_refuses_a_deletion_reaches_the_client(cluster, several):
    s = serve(cluster, lambda path, r: {"allowed": False, "status": {"code": 418, "reason": "Teapot", "message": "it stays"}, "warnings": ["careful"]})
    configure(cluster, "Validating", hook(cluster, s, rules=rules("", "configmaps", operations=["DELETE"])))
    config_map(cluster, "kept", a="b")
    status, headers, body = Api(cluster.sock).raw("DELETE", f"/api/v1/namespaces/{cluster.ns}/configmaps" + ("" if several else "/kept"))
    body = json.loads(body)
    assert status == body["code"] == 418 and body["reason"] == "Teapot"
    assert body["message"] == 'admission webhook "hook.example.com" denied the request: it stays'
    assert "careful" in headers.get("warning", "")
    assert cluster.get("configmap", "kept", namespace=cluster.ns)


AUTOSCALER = {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}, "maxReplicas": 3}}


@pytest.mark.parametrize("policy", ["Equivalent", "Exact"])
def test_a_rule_of_one_version_meets_requests_of_another_unless_it_must_be_exact(cluster, policy):
    s = serve(cluster, lambda path, r: {"allowed": True})
    rule = {"operations": ["CREATE"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["horizontalpodautoscalers"]}
    configure(cluster, "Validating", hook(cluster, s, rules=[rule], matchPolicy=policy))
    o = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", **AUTOSCALER}
    cluster.kubectl("create", "-n", cluster.ns, "-f", "-", text=json.dumps(o))
    asked = [json.loads(body)["request"] for *_, body in s.seen]
    if policy == "Exact":
        assert asked == []
        return
    assert [(r["kind"]["version"], r["requestKind"]["version"], r["object"]["apiVersion"]) for r in asked] == [("v1", "v2", "autoscaling/v1")]
    assert asked[0]["resource"]["version"] == "v1" and asked[0]["requestResource"]["version"] == "v2"
