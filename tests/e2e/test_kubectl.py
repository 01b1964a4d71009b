"""kubectl against the API: what it shows, what it refuses and with which words."""
import base64
import json
import re
import threading
import time

import pytest

from atoll_cluster import IMAGE, run, until


def deployment(name="d", replicas=1, **meta):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, **meta}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"a": name}}, "template": {"metadata": {"labels": {"a": name}}, "spec": {
            "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "100000"]}]}}}}


@pytest.fixture
def k(atoll, namespace):
    return lambda *a, **kw: atoll.kubectl("-n", namespace, *a, **kw)


def apply(k, *objects, check=True, verb="apply", more=()):
    for o in objects:
        o.setdefault("apiVersion", "v1")
    return k(verb, "-f", "-", *more, text=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)} if len(objects) > 1 else objects[0]), check=check)


def test_api_resources_and_versions(k):
    out = k("api-resources", "-o", "wide").stdout
    for name, short, group, kind in (("pods", "po", "v1", "Pod"), ("deployments", "deploy", "apps/v1", "Deployment"), ("services", "svc", "v1", "Service"),
                                     ("endpointslices", "", "discovery.k8s.io/v1", "EndpointSlice"), ("leases", "", "coordination.k8s.io/v1", "Lease"),
                                     ("clusterroles", "", "rbac.authorization.k8s.io/v1", "ClusterRole")):
        assert re.search(rf"^{name} +{short} *{group} +(true|false) +{kind} ", out, re.M), name
    assert "apps/v1" in k("api-versions").stdout
    assert re.search(r"Server Version: v1\.32\.\d+\+atoll", k("version").stdout)
    assert "is running at" in k("cluster-info").stdout


def test_explain_of_every_kind(k):
    for kind in ("pod", "deployment.spec.strategy", "service.spec", "configmap", "secret", "node.status", "endpointslice", "lease", "role.rules", "event",
                 "replicaset", "namespace", "serviceaccount", "endpoints"):
        out = k("explain", kind).stdout
        assert "KIND:" in out and "DESCRIPTION:" in out and "<none>" not in out, kind
    r = k("explain", "pod.spec.nonsense", check=False)
    assert r.returncode == 1 and 'field "nonsense" does not exist' in r.stderr


def test_can_i(k, namespace):
    assert k("auth", "can-i", "create", "pods").stdout == "yes\n"
    assert k("auth", "can-i", "list", "secrets", "--as", f"system:serviceaccount:{namespace}:default", check=False).stdout == "no\n"
    assert re.search(r"^\*\.\* +\[\] +\[\] +\[\*\]", k("auth", "can-i", "--list").stdout, re.M)
    out = k("auth", "can-i", "--list", "--as", f"system:serviceaccount:{namespace}:default").stdout
    assert "selfsubjectaccessreviews.authorization.k8s.io" in out and "/healthz" in out
    assert "system:admin" in k("auth", "whoami").stdout or "kubernetes-admin" in k("auth", "whoami").stdout


def test_reviews_are_created_from_files(k, namespace):
    token = k("create", "token", "default").stdout.strip()
    out = json.loads(apply(k, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}, verb="create", more=("-o", "json")).stdout)
    assert out["status"]["authenticated"] and out["status"]["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    out = json.loads(apply(k, {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": "nobody", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": namespace}}}, verb="create", more=("-o", "json")).stdout)
    assert out["status"]["allowed"] is False


def test_run_attached_shows_output_once_and_gives_the_code(k):
    r = k("run", "once", f"--image={IMAGE}", "--restart=Never", "--rm", "--attach", "-q", "--command", "--", "sh", "-c", "sleep 1; echo said; exit 4", check=False)
    assert r.returncode == 4 and r.stdout.count("said") == 1, r


# ---- bad manifests: the words of upstream, and nothing stored ----

BAD = [
    ("unknown field", deployment() | {"spec": {**deployment()["spec"], "replicaz": 1}}, 'unknown field "spec.replicaz"'),
    ("wrong type", {"kind": "Service", "metadata": {"name": "d"}, "spec": {"ports": [{"port": "eighty"}]}}, "cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32"),
    ("string for map", {"kind": "ConfigMap", "metadata": {"name": "d"}, "data": "text"}, "cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string"),
    ("selector", {**deployment(), "spec": {**deployment()["spec"], "selector": {"matchLabels": {"x": "y"}}}},
     '`selector` does not match template `labels`'),
    ("name", {"kind": "ConfigMap", "metadata": {"name": "Bad_Name"}},
     'The ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters'),
    ("no containers", {"kind": "Pod", "metadata": {"name": "d"}, "spec": {"containers": []}}, "spec.containers: Required value"),
    ("no image", {"kind": "Pod", "metadata": {"name": "d"}, "spec": {"containers": [{"name": "c"}]}}, "spec.containers[0].image: Required value"),
    ("policy", {"kind": "Pod", "metadata": {"name": "d"}, "spec": {"restartPolicy": "Sometimes", "containers": [{"name": "c", "image": "x"}]}},
     'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'),
    ("port", {"kind": "Service", "metadata": {"name": "d"}, "spec": {"ports": [{"port": 70000}]}}, "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive"),
    ("quantity", {"kind": "Pod", "metadata": {"name": "d"}, "spec": {"containers": [{"name": "c", "image": "x", "resources": {"limits": {"cpu": "lots"}}}]}}, "quantities must match the regular expression"),
    ("request over limit", {"kind": "Pod", "metadata": {"name": "d"}, "spec": {"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]}},
     "must be less than or equal to cpu limit of 1"),
    ("duplicate names", {"kind": "Pod", "metadata": {"name": "d"}, "spec": {"containers": [{"name": "c", "image": "x"}, {"name": "c", "image": "x"}]}}, 'spec.containers[1].name: Duplicate value: "c"'),
    ("no such volume", {"kind": "Pod", "metadata": {"name": "d"}, "spec": {"containers": [{"name": "c", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}},
     'spec.containers[0].volumeMounts[0].name: Not found: "v"'),
    ("label", {"kind": "ConfigMap", "metadata": {"name": "d", "labels": {"a": "b c"}}}, "metadata.labels: Invalid value: \"b c\""),
    ("negative", {**deployment(), "spec": {**deployment()["spec"], "replicas": -1}}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    ("two handlers", {"kind": "Pod", "metadata": {"name": "d"}, "spec": {"containers": [{"name": "c", "image": "x", "livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}}]}},
     "may not specify more than 1 handler type"),
    ("secret data", {"kind": "Secret", "metadata": {"name": "d"}, "data": {"a": "not base64!"}}, "illegal base64 data"),
    ("kind", {"apiVersion": "v1", "kind": "Nonsense", "metadata": {"name": "d"}}, 'no matches for kind "Nonsense" in version "v1"'),
    ("namespace", {"kind": "ConfigMap", "metadata": {"name": "d", "namespace": "no-such-namespace"}}, 'namespaces "no-such-namespace" not found'),
]


@pytest.mark.parametrize("what,manifest,words", BAD, ids=[b[0] for b in BAD])
def test_bad_manifest_is_refused_with_its_path_and_nothing_is_stored(k, what, manifest, words):
    more = ("--validate=false",) if what in ("wrong type", "string for map", "quantity", "secret data", "kind") else ()
    where = (lambda *a, **kw: k("-n", "no-such-namespace", *a, **kw)) if what == "namespace" else k
    r = apply(where, json.loads(json.dumps(manifest)), check=False, verb="create", more=more)
    assert r.returncode == 1 and words in r.stderr, r.stderr
    assert k("get", "cm,secret,svc,deploy,pod", "-o", "name").stdout.split() == ["configmap/kube-root-ca.crt"]


def test_unknown_field_is_warned_or_ignored_on_request(k):
    bad = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "w"}, "dataz": {}}
    r = apply(k, bad, more=("--validate=warn",))
    assert 'unknown field "dataz"' in r.stderr and "configmap/w created" in r.stdout
    bad["metadata"]["name"] = "i"
    assert "Warning" not in apply(k, bad, more=("--validate=ignore",)).stderr


def test_syntax_errors_of_yaml_and_json(k):
    for text in ("kind: [", "{\"kind\":", "a: b\na: c\n"):
        assert k("apply", "-f", "-", text=text, check=False).returncode == 1


# ---- change ----

def test_apply_again_changes_merges_and_prunes_fields(k, atoll, namespace):
    cm = {"kind": "ConfigMap", "metadata": {"name": "c", "labels": {"x": "1"}}, "data": {"a": "1", "b": "2"}}
    assert apply(k, cm).stdout == "configmap/c created\n"
    assert apply(k, cm).stdout == "configmap/c unchanged\n"
    k("patch", "cm", "c", "--type=merge", "-p", '{"data":{"other":"kept"}}')
    cm["data"] = {"a": "3"}
    assert apply(k, cm).stdout == "configmap/c configured\n"
    assert atoll.get("cm", "c", namespace)["data"] == {"a": "3", "other": "kept"}


def test_patch_of_three_kinds(k, atoll, namespace):
    apply(k, deployment(replicas=0))
    k("patch", "deploy", "d", "--type=json", "-p", '[{"op":"add","path":"/metadata/labels","value":{"j":"1"}},{"op":"test","path":"/spec/replicas","value":0}]')
    k("patch", "deploy", "d", "--type=merge", "-p", '{"metadata":{"annotations":{"m":"1"}}}')
    k("patch", "deploy", "d", "--type=strategic", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"S","value":"1"}]}]}}}}')
    d = atoll.get("deploy", "d", namespace)
    assert d["metadata"]["labels"] == {"j": "1"} and d["metadata"]["annotations"]["m"] == "1"
    c = d["spec"]["template"]["spec"]["containers"][0]
    assert c["image"] == IMAGE and c["env"] == [{"name": "S", "value": "1"}]
    r = k("patch", "deploy", "d", "--type=json", "-p", '[{"op":"test","path":"/spec/replicas","value":5}]', check=False)
    assert r.returncode == 1
    r = k("patch", "deploy", "d", "-p", '{"spec":{"replicas":"many"}}', check=False)
    assert r.returncode == 1 and "cannot unmarshal string" in r.stderr or "expected" in r.stderr, r.stderr
    r = k("patch", "deploy", "d", "-p", '{"spec":{"selector":{"matchLabels":{"a":"e"}}}}', check=False)
    assert r.returncode == 1 and "field is immutable" in r.stderr or "does not match" in r.stderr, r.stderr


def test_server_dry_run_and_diff_change_nothing(k, atoll, namespace):
    cm = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    assert "created (server dry run)" in apply(k, cm, more=("--dry-run=server",)).stdout
    assert atoll.get("cm", "c", namespace) is None
    apply(k, cm)
    assert apply(k, cm, verb="diff").stdout == ""
    cm["data"]["a"] = "2"
    r = apply(k, cm, verb="diff", check=False)
    assert r.returncode == 1 and "-  a: \"1\"" in r.stdout and "+  a: \"2\"" in r.stdout
    assert "deleted (server dry run)" in k("delete", "cm", "c", "--dry-run=server").stdout and atoll.get("cm", "c", namespace)["data"] == {"a": "1"}


def test_everyday_verbs(k, atoll, namespace):
    k("create", "deployment", "web", f"--image={IMAGE}", "--replicas=2", "--", "sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")
    k("rollout", "status", "deploy/web", "--timeout=30s")
    k("expose", "deployment", "web", "--port=80", "--target-port=8080")
    k("label", "deploy", "web", "x=y")
    k("annotate", "deploy", "web", "note=z")
    k("set", "resources", "deploy", "web", "--limits=cpu=200m,memory=64Mi")
    k("set", "image", "deploy/web", f"*={IMAGE}")
    k("rollout", "status", "deploy/web", "--timeout=30s")
    assert k("get", "deploy", "web", "-o", "jsonpath={.status.readyReplicas}").stdout == "2"
    assert "web" in k("get", "deploy", "-l", "x=y", "--no-headers").stdout and "web" not in k("get", "deploy", "-l", "x!=y").stdout
    assert k("get", "pods", "--field-selector=status.phase=Running", "-o", "name").stdout.count("pod/web-") >= 2
    assert "CREATED" in k("get", "pods", "-o", "custom-columns=NAME:.metadata.name,CREATED:.metadata.creationTimestamp").stdout
    assert "readyReplicas" in k("get", "deploy", "web", "-o", "yaml").stdout
    assert "web" in k("describe", "svc", "web").stdout and "Endpoints:" in k("describe", "svc", "web").stdout
    assert "StrategyType:           RollingUpdate" in k("describe", "deploy", "web").stdout
    k("wait", "--for=condition=Available", "deploy/web", "--timeout=20s")
    k("wait", "--for=jsonpath={.status.replicas}=2", "deploy/web", "--timeout=20s")
    k("autoscale", "deploy", "web", "--max=3", check=False)
    assert re.search(r"pod/web.*\n", k("get", "all").stdout) and k("events").stdout
    k("delete", "deploy,svc", "web", "--timeout=30s")
    until(lambda: not atoll.items("pods", namespace=namespace))


def test_create_helpers(k):
    k("create", "secret", "generic", "s", "--from-literal=a=b")
    k("create", "configmap", "c", "--from-literal=a=b")
    k("create", "serviceaccount", "sa")
    assert k("create", "token", "sa").stdout.count(".") == 2
    k("create", "secret", "docker-registry", "r", "--docker-server=x", "--docker-username=u", "--docker-password=p")
    assert "kubernetes.io/dockerconfigjson" in k("get", "secret", "r").stdout
    k("create", "service", "nodeport", "np", "--tcp=80:80")
    assert re.search(r"np +NodePort +\S+ +<none> +80:3\d{4}/TCP", k("get", "svc", "np").stdout)
    r = k("create", "configmap", "c", check=False)
    assert r.returncode == 1 and 'configmaps "c" already exists' in r.stderr
    r = k("get", "cm", "none", check=False)
    assert r.returncode == 1 and 'configmaps "none" not found' in r.stderr
    r = k("get", "nonsense", check=False)
    assert r.returncode == 1 and "doesn't have a resource type \"nonsense\"" in r.stderr
    assert "p" not in k("describe", "secret", "s").stdout.split("a:")[1]


# ---- delete ----

@pytest.mark.parametrize("how", ["background", "foreground", "orphan"])
def test_propagation_of_deletion(k, atoll, namespace, how):
    apply(k, deployment(replicas=2))
    k("rollout", "status", "deploy/d", "--timeout=30s")
    k("delete", "deploy", "d", f"--cascade={how}", "--timeout=30s")
    assert atoll.get("deploy", "d", namespace) is None
    if how == "orphan":
        rs = until(lambda: [r for r in atoll.items("rs", namespace=namespace) if not r["metadata"].get("ownerReferences")])
        k("delete", "rs", rs[0]["metadata"]["name"], "--cascade=orphan")
        left = until(lambda: [p for p in atoll.items("pods", namespace=namespace) if not p["metadata"].get("ownerReferences")])
        assert len(left) == 2 and all("deletionTimestamp" not in p["metadata"] for p in left)
        return
    if how == "foreground":
        assert not atoll.items("rs", namespace=namespace)
    until(lambda: not atoll.items("rs", namespace=namespace) and not atoll.items("pods", namespace=namespace))


def test_orphaned_pods_are_adopted_again(k, atoll, namespace):
    apply(k, deployment(replicas=2))
    k("rollout", "status", "deploy/d", "--timeout=30s")
    before = {p["metadata"]["uid"] for p in atoll.items("pods", namespace=namespace)}
    k("delete", "deploy", "d", "--cascade=orphan")
    until(lambda: all(not r["metadata"].get("ownerReferences") for r in atoll.items("rs", namespace=namespace)))
    apply(k, deployment(replicas=2))
    k("rollout", "status", "deploy/d", "--timeout=30s")
    assert {p["metadata"]["uid"] for p in atoll.items("pods", namespace=namespace)} == before
    until(lambda: all(r["metadata"].get("ownerReferences") for r in atoll.items("rs", namespace=namespace)))


def test_finalizer_holds_an_object(k, atoll, namespace):
    apply(k, {"kind": "ConfigMap", "metadata": {"name": "f", "finalizers": ["example.org/hold"]}})
    k("delete", "cm", "f", "--wait=false")
    assert "deletionTimestamp" in atoll.get("cm", "f", namespace)["metadata"]
    k("patch", "cm", "f", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    until(lambda: atoll.get("cm", "f", namespace) is None)


def test_namespace_deletion_empties_it(atoll):
    name = "doomed"
    atoll.kubectl("create", "ns", name)
    until(lambda: atoll.items("sa", namespace=name))
    atoll.apply(deployment(replicas=2), {"kind": "ConfigMap", "metadata": {"name": "c"}}, {"kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}},
                namespace=name)
    atoll.kubectl("-n", name, "rollout", "status", "deploy/d", "--timeout=30s")
    atoll.kubectl("delete", "ns", name, "--timeout=40s")
    for kind in ("pods", "rs", "deploy", "cm", "svc", "sa", "ep", "endpointslices"):
        assert not atoll.items(kind, namespace=name), kind
    r = atoll.kubectl("-n", "default", "delete", "ns", "default", check=False)
    assert r.returncode == 1 and "forbidden" in r.stderr


# ---- rollouts ----

def test_rollout_that_cannot_succeed_keeps_the_old_pods_and_says_so(k, atoll, namespace):
    d = deployment(replicas=2)
    d["spec"]["progressDeadlineSeconds"] = 3
    apply(k, d)
    k("rollout", "status", "deploy/d", "--timeout=30s")
    k("set", "image", "deploy/d", "c=127.0.0.1:1/none:1")
    r = k("rollout", "status", "deploy/d", "--timeout=30s", check=False)
    assert r.returncode == 1 and "exceeded its progress deadline" in r.stderr, (r.stdout, r.stderr)
    assert atoll.get("deploy", "d", namespace)["status"]["availableReplicas"] == 2
    k("rollout", "undo", "deploy/d")
    assert "successfully rolled out" in k("rollout", "status", "deploy/d", "--timeout=30s").stdout


def test_recreate_strategy_never_runs_both(k, atoll, namespace):
    d = deployment(replicas=2)
    d["spec"]["strategy"] = {"type": "Recreate"}
    apply(k, d)
    k("rollout", "status", "deploy/d", "--timeout=30s")
    seen, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            live = [p for p in atoll.items("pods", namespace=namespace) if p["status"].get("phase") == "Running"]
            seen.append({p["metadata"]["labels"]["pod-template-hash"] for p in live})
    t = threading.Thread(target=look)
    t.start()
    k("set", "env", "deploy/d", "V=2")
    k("rollout", "status", "deploy/d", "--timeout=40s")
    stop.set()
    t.join()
    assert all(len(s) <= 1 for s in seen) and len(set().union(*seen)) == 2


# ---- who ----

def test_client_certificate_names_the_user(atoll, tmp_path):
    """The identity of the administrator's certificate; a certificate of another authority is nobody; without one, nobody."""
    raw = json.loads(atoll.kubectl("config", "view", "--raw", "-o", "json").stdout)
    user = raw["users"][0]["user"]
    for n in ("client-certificate-data", "client-key-data"):
        (tmp_path / n).write_bytes(base64.b64decode(user[n]))
    server = raw["clusters"][0]["cluster"]["server"]
    (tmp_path / "ca").write_bytes(base64.b64decode(raw["clusters"][0]["cluster"]["certificate-authority-data"]))
    curl = ["curl", "-sS", "--cacert", tmp_path / "ca"]
    mine = [*curl, "--cert", tmp_path / "client-certificate-data", "--key", tmp_path / "client-key-data"]
    body = ["-X", "POST", "-H", "Content-Type: application/json", "-d", "{}"]
    me = json.loads(run(*mine, *body, f"{server}/apis/authentication.k8s.io/v1/selfsubjectreviews").stdout)
    assert "system:masters" in me["status"]["userInfo"]["groups"]
    assert json.loads(run(*curl, f"{server}/api").stdout)["code"] == 401
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "k", "-out", tmp_path / "c", "-days", "1",
        "-subj", "/O=system:masters/CN=me")
    r = run(*curl, "--cert", tmp_path / "c", "--key", tmp_path / "k", f"{server}/api", check=False)
    assert r.returncode or json.loads(r.stdout)["code"] == 401
    assert run("curl", "-sS", f"{server}/api", check=False).returncode == 60, "the server's certificate is of its own authority"
    for version, ok in (("1.1", False), ("1.2", True), ("1.3", True)):
        r = run(*mine, f"--tlsv{version}", "--tls-max", version, f"{server}/version", check=False)
        assert (r.returncode == 0) == ok, version


def test_kubectl_with_a_service_account_token(atoll, k, namespace):
    token = k("create", "token", "default").stdout.strip()
    raw = json.loads(atoll.kubectl("config", "view", "--raw", "-o", "json").stdout)
    server = raw["clusters"][0]["cluster"]["server"]
    def me(*a):
        return run("kubectl", "--kubeconfig=/dev/null", f"--server={server}", "--insecure-skip-tls-verify", f"--token={token}", "-n", namespace, *a, check=False)
    r = me("get", "pods")
    assert r.returncode == 1 and f'User "system:serviceaccount:{namespace}:default" cannot list resource "pods" in API group "" in the namespace "{namespace}"' in r.stderr
    k("create", "rolebinding", "v", "--clusterrole=view", f"--serviceaccount={namespace}:default")
    until(lambda: me("get", "pods").returncode == 0)
    assert me("get", "secrets").returncode == 1 and me("create", "cm", "x").returncode == 1
    k("delete", "rolebinding", "v")
    until(lambda: me("get", "pods").returncode == 1)


# ---- watch ----

def test_watch_by_kubectl_sees_every_change(atoll, k, namespace):
    p = atoll.start_kubectl("-n", namespace, "get", "cm", "-w", "--no-headers", "--output-watch-events")
    assert p.stdout.readline().split()[:2] == ["ADDED", "kube-root-ca.crt"]
    for i in range(3):
        k("create", "cm", f"w{i}")
        assert p.stdout.readline().split()[:2] == ["ADDED", f"w{i}"]
        k("label", "cm", f"w{i}", "x=y")
        assert p.stdout.readline().split()[:2] == ["MODIFIED", f"w{i}"]
        k("delete", "cm", f"w{i}")
        assert p.stdout.readline().split()[:2] == ["DELETED", f"w{i}"]
    p.kill()
    p.communicate()


def test_watch_goes_on_over_the_death_of_the_api(atoll, k, namespace):
    """A client that resumes from its last version misses and repeats nothing, though api and store die meanwhile."""
    from kubernetes import client, config, watch
    config.load_kube_config(atoll.kubeconfig)
    v1 = client.CoreV1Api()
    version = v1.list_namespaced_config_map(namespace).metadata.resource_version
    seen, done = [], threading.Event()

    def follow():
        nonlocal version
        while not done.is_set() and len(seen) < 30:
            try:
                for e in watch.Watch().stream(v1.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=20):
                    version = e["object"].metadata.resource_version
                    seen.append((e["type"], e["object"].metadata.name))
                    if len(seen) >= 30:
                        return
            except Exception:
                time.sleep(0.05)
    t = threading.Thread(target=follow)
    t.start()
    made = []
    for i in range(30):
        if i in (10, 20):
            atoll.kill("api" if i == 10 else "store")

        def create():
            r = k("create", "cm", f"c{i}", check=False)
            return r.returncode == 0 or "already exists" in r.stderr
        until(create, 10)
        made.append(("ADDED", f"c{i}"))
    t.join(30)
    done.set()
    assert seen == made


# ---- sizes ----

def test_objects_that_are_too_big_are_refused(k, tmp_path):
    (tmp_path / "big").write_text("x" * 1100000)
    r = k("create", "cm", "big", f"--from-file={tmp_path}/big", check=False)
    assert 'ConfigMap "big" is invalid: []: Too long: may not be more than 1048576 bytes' in r.stderr, r.stderr
    r = k("create", "secret", "generic", "big", f"--from-file={tmp_path}/big", check=False)
    assert 'Secret "big" is invalid: data: Too long: may not be more than 1048576 bytes' in r.stderr, r.stderr


@pytest.mark.parametrize("body,content,code", [
    ("[" * 100000, "application/json", 400), ("{\"a\":" * 5000 + "1" + "}" * 5000, "application/json", 400), ("{", "application/json", 400), ("", "application/json", 400),
    ("x" * 4_000_000, "application/json", 413), ("hello", "text/plain", 415),
    ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"b{i}: &b{i} [{','.join([f'*b{i - 1}' if i else '*a'] * 9)}]\n" for i in range(9)), "application/yaml", 400)],
    ids=["brackets", "deep objects", "cut", "empty", "too big", "text", "aliases"])
def test_hostile_bodies_get_an_error_and_cost_little(atoll, tmp_path, body, content, code):
    (tmp_path / "body").write_text(body)
    before = atoll.services()["api"]
    r = run("curl", "-sS", "--unix-socket", atoll.sock, "-X", "POST", "-H", f"Content-Type: {content}", "--data-binary", f"@{tmp_path}/body",
            "http://x/api/v1/namespaces/default/configmaps")
    assert json.loads(r.stdout)["code"] == code, r.stdout
    after = atoll.services()["api"]
    assert after["pid"] == before["pid"] and after["memory_pss_bytes"] < before["memory_pss_bytes"] + (16 << 20)
