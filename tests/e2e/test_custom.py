"""Custom resources: definitions in the shape of what operators install, and their objects with kubectl and the dynamic client."""
import http.client
import json
import socket
import threading

import pytest

import atoll_cluster as ac
import webhook_server as ws

MINUTES = r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"


def text(**kw):
    return {"type": "string", **kw}


def obj(properties=None, **kw):
    return {"type": "object", **({"properties": properties} if properties else {}), **kw}


def listmap(key, properties, **kw):
    return {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key], "items": obj(properties, required=[key]), **kw}


def version(name, schema, storage=True, served=True, **kw):
    return {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": schema}, **kw}


def definition(group, kind, versions, scope="Namespaced", plural=None, **names):
    plural = plural or kind.lower() + "s"
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": scope, "names": {"plural": plural, "kind": kind, **names}, "versions": versions}}


CONDITIONS = listmap("type", {"type": text(), "status": text(enum=["True", "False", "Unknown"]), "reason": text(), "message": text(),
                              "observedGeneration": {"type": "integer", "format": "int64"}, "lastTransitionTime": text(format="date-time")})
BACKUP = definition("ops.example.org", "Backup", [version(
    "v1", obj({"spec": obj({
        "schedule": text(pattern=MINUTES), "keep": {"type": "integer", "minimum": 1, "maximum": 30, "default": 7},
        "mode": text(enum=["full", "delta"], default="full"), "port": {"x-kubernetes-int-or-string": True},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": text()},
        "targets": listmap("name", {"name": text(), "path": text(), "weight": {"type": "integer", "default": 1}}),
        "free": obj(**{"x-kubernetes-preserve-unknown-fields": True}), "labels": obj(additionalProperties=text(maxLength=5)),
        "replicas": {"type": "integer"}}, required=["schedule"]),
        "status": obj({"conditions": CONDITIONS, "replicas": {"type": "integer"}, "selector": text()})}, description="A backup.", required=["spec"]),
    subresources={"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                                          "labelSelectorPath": ".status.selector"}},
    selectableFields=[{"jsonPath": ".spec.mode"}],
    additionalPrinterColumns=[
        {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"}, {"name": "Keep", "type": "integer", "jsonPath": ".spec.keep"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Mode", "type": "string", "priority": 1, "jsonPath": ".spec.mode"}])],
    shortNames=["bk"], categories=["ops"])


class Api:
    """The API over api.sock, as root."""

    def __init__(self, atoll):
        self.path = atoll.sock

    def __call__(self, method, path, body=None, content="application/json"):
        c = http.client.HTTPConnection("localhost", timeout=20)
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.settimeout(20)
        c.sock.connect(self.path)
        c.request(method, path, body=None if body is None else json.dumps(body), headers={"Content-Type": content})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, json.loads(data) if data.startswith(b"{") else data.decode()


@pytest.fixture
def api(atoll):
    return Api(atoll)


@pytest.fixture
def install(atoll):
    """Installs a definition for one test."""
    made = []

    def put(d):
        atoll.kubectl("apply", "-f", "-", text=json.dumps(d))
        made.append(d["metadata"]["name"])
        atoll.kubectl("wait", "--for=condition=established", "crd/" + made[-1], "--timeout=10s")

    yield put
    for name in made:
        atoll.kubectl("delete", "crd", name, "--ignore-not-found", "--timeout=20s")


@pytest.fixture
def backups(install):
    install(BACKUP)
    return "/apis/ops.example.org/v1/namespaces/{}/backups"


def backup(name="b", group="ops.example.org/v1", **spec):
    return {"apiVersion": group, "kind": "Backup", "metadata": {"name": name}, "spec": {"schedule": "0 3 * * *", **spec}}


def causes(answer):
    return {c["field"]: c["message"] for c in answer["details"]["causes"]}


def test_an_object_lives_like_a_built_in_one(atoll, namespace, backups):
    k = lambda *a, **kw: atoll.kubectl("-n", namespace, *a, **kw)
    assert "created" in k("apply", "-f", "-", text=json.dumps(backup(targets=[{"name": "a", "path": "/"}], port="http"))).stdout
    b = json.loads(k("get", "bk", "b", "-o", "json").stdout)
    assert b["spec"]["keep"] == 7 and b["spec"]["mode"] == "full" and b["spec"]["targets"][0]["weight"] == 1
    assert b["metadata"]["generation"] == 1 and "status" not in b
    k("patch", "bk", "b", "--subresource=status", "--type=merge", "-p",
      json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "spec": {"keep": 9}}))
    lines = k("get", "backups").stdout.splitlines()
    assert lines[0].split() == ["NAME", "SCHEDULE", "KEEP", "READY", "AGE"] and lines[1].split()[-3:-1] == ["7", "True"]
    assert "MODE" in k("get", "bk", "-o", "wide").stdout and "backup.ops.example.org/b" in k("get", "ops").stdout + k("get", "bk", "-o", "name").stdout
    k("apply", "-f", "-", text=json.dumps(backup(targets=[{"name": "a", "path": "/"}], port="http")))
    assert json.loads(k("get", "bk", "b", "-o", "json").stdout)["metadata"]["generation"] == 1
    k("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(backup(keep=8)))
    assert json.loads(k("get", "bk", "b", "-o", "json").stdout)["spec"] == {**backup(keep=8)["spec"], "mode": "full"}
    k("scale", "bk/b", "--replicas=3")
    assert json.loads(k("get", "bk", "b", "-o", "json").stdout)["spec"]["replicas"] == 3
    assert "fits" not in k("get", "bk", "--field-selector", "spec.mode=delta").stdout
    assert "b " in k("get", "bk", "--field-selector", "spec.mode=full").stdout
    k("delete", "bk", "b")
    assert k("get", "bk", "b", check=False).returncode


def test_validation_in_upstreams_words(api, namespace, backups):
    status, answer = api("POST", backups.format(namespace), backup(
        schedule="x", keep=31, mode="half", port=1.5, tags=["a", "a"], targets=[{"name": "t"}, {"name": "t"}], labels={"k": "toolong"}))
    assert status == 422 and answer["reason"] == "Invalid"
    assert causes(answer) == {
        "spec.schedule": f'Invalid value: "x": spec.schedule in body should match \'{MINUTES}\'',
        "spec.keep": "Invalid value: 31: spec.keep in body should be less than or equal to 30",
        "spec.mode": 'Unsupported value: "half": supported values: "full", "delta"',
        "spec.port": 'Invalid value: "number": spec.port in body must be of type integer,string: "number"',
        "spec.tags[1]": 'Duplicate value: "a"',
        "spec.targets[1]": 'Duplicate value: map[string]interface {}{"name":"t"}',
        "spec.labels.k": "Too long: may not be more than 5 bytes",
    }
    status, answer = api("POST", backups.format(namespace), {"apiVersion": "ops.example.org/v1", "kind": "Backup", "metadata": {"name": "n"}, "spec": {}})
    assert causes(answer) == {"spec.schedule": "Required value"}


def test_unknown_fields_are_told_or_dropped(api, namespace, backups):
    path = backups.format(namespace)
    body = backup(extra=1, free={"kept": {"x": 1}})
    body["odd"] = 2
    status, answer = api("POST", path + "?fieldValidation=Strict", body)
    assert status == 400 and 'unknown field "odd"' in answer["message"] and 'unknown field "spec.extra"' in answer["message"]
    status, answer = api("POST", path + "?fieldValidation=Ignore", body)
    assert status == 201 and answer["spec"] == {**backup(keep=7, mode="full")["spec"], "free": {"kept": {"x": 1}}} and "odd" not in answer


def test_updates_and_patches(api, namespace, backups):
    path = backups.format(namespace)
    _, made = api("POST", path, backup())
    without = backup(keep=9)
    status, answer = api("PUT", path + "/b", without)
    assert status == 422 and "must be specified for an update" in answer["message"]
    without["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    status, answer = api("PUT", path + "/b", without)
    assert status == 200 and answer["metadata"]["generation"] == 2
    assert api("PATCH", path + "/b", {"spec": {"keep": 3}}, "application/strategic-merge-patch+json")[0] == 415
    assert api("PATCH", path + "/b", [{"op": "replace", "path": "/spec/keep", "value": 4}], "application/json-patch+json")[1]["spec"]["keep"] == 4
    status, same = api("PATCH", path + "/b", {"metadata": {"labels": {"a": "b"}}}, "application/merge-patch+json")
    assert same["metadata"]["generation"] == 3, "labels are no part of the generation"


def test_discovery_and_openapi_follow_at_once(atoll, api, install):
    assert api("GET", "/apis/ops.example.org/v1")[0] == 404
    install(BACKUP)
    _, resources = api("GET", "/apis/ops.example.org/v1")
    assert {r["name"] for r in resources["resources"]} == {"backups", "backups/status", "backups/scale"}
    assert resources["resources"][0]["shortNames"] == ["bk"]
    _, document = api("GET", "/openapi/v3/apis/ops.example.org/v1")
    assert "org.example.ops.v1.Backup" in document["components"]["schemas"]
    assert "org.example.ops.v1.Backup" in api("GET", "/openapi/v2")[1]["definitions"]
    assert "A backup." in atoll.kubectl("explain", "backups").stdout
    atoll.kubectl("delete", "crd", "backups.ops.example.org")
    assert api("GET", "/apis/ops.example.org/v1")[0] == 404
    assert "org.example.ops.v1.Backup" not in api("GET", "/openapi/v2")[1]["definitions"]


def test_a_definition_that_is_wrong_is_refused(api):
    bad = definition("ops.example.org", "Thing", [version("v1", {"type": "object", "properties": {
        "spec": obj({"a": {"type": "array"}, "b": {"type": "integer", "default": "x"}, "c": {"properties": {}}, "d": text(pattern="(")},
                    anyOf=[{"properties": {"zz": {"minimum": 1}}}])}}), version("v2", obj())])
    status, answer = api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", bad)
    found = causes(answer)
    at = "spec.versions[0].schema.openAPIV3Schema.properties[spec]"
    assert status == 422
    assert found["spec.versions"].endswith("must have exactly one version marked as storage version")
    assert found[at + ".properties[a].items"] == "Required value: must be specified"
    assert found[at + ".properties[c].type"] == "Required value: must not be empty for specified object fields"
    assert found[at + ".properties[zz]"] == f"Required value: because it is defined in {at}.anyOf[0].properties[zz]"
    assert "must be a valid regular expression" in found[at + ".properties[d].pattern"]


def test_a_default_must_fit_its_schema(api):
    bad = definition("ops.example.org", "Thing", [version("v1", obj({"spec": obj({"b": {"type": "integer", "default": "x"}})}))])
    status, answer = api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", bad)
    assert status == 422 and "must be of type integer" in answer["message"]


def test_names_go_to_who_comes_first(atoll, install):
    simple = [version("v1", obj())]
    install(definition("names.example.org", "First", simple, shortNames=["nn"]))
    second = definition("names.example.org", "Second", simple, shortNames=["nn"])
    atoll.kubectl("apply", "-f", "-", text=json.dumps(second))
    def accepted():
        return {c["type"]: (c["status"], c["reason"]) for c in atoll.get("crd", "seconds.names.example.org").get("status", {}).get("conditions", [])}
    ac.until(lambda: accepted().get("NamesAccepted") == ("False", "ShortNamesConflict"), what="conflict")
    assert accepted()["Established"] == ("False", "NotAccepted")
    atoll.kubectl("delete", "crd", "firsts.names.example.org")
    ac.until(lambda: accepted().get("Established", ("", ""))[0] == "True", what="the second has the name now")
    atoll.kubectl("delete", "crd", "seconds.names.example.org")


GATE = obj({"spec": obj({
    "min": {"type": "integer"}, "max": {"type": "integer"}, "class": text(),
    "listeners": listmap("name", {"name": text(), "protocol": text(), "port": {"type": "integer"}},
                         **{"x-kubernetes-validations": [{"rule": "self.all(l, l.protocol != 'HTTP' || has(l.port))", "message": "HTTP needs a port"}]})},
    **{"x-kubernetes-validations": [
        {"rule": "self.min <= self.max", "messageExpression": "'min ' + string(self.min) + ' is above ' + string(self.max)", "fieldPath": ".min"},
        {"rule": "self.class == oldSelf.class", "message": "class is immutable", "reason": "FieldValueForbidden"}]})})
GATE["properties"]["spec"]["properties"]["listeners"]["items"]["x-kubernetes-validations"] = [
    {"rule": "!has(oldSelf.port) || self.port >= oldSelf.port", "message": "ports only grow"}]


def gate(name="g", **spec):
    return {"apiVersion": "net.example.org/v1", "kind": "Gate", "metadata": {"name": name},
            "spec": {"min": 1, "max": 2, "class": "x", "listeners": [{"name": "a", "protocol": "HTTP", "port": 80}], **spec}}


def test_rules_in_cel(api, install):
    install(definition("net.example.org", "Gate", [version("v1", GATE)], scope="Cluster"))
    path = "/apis/net.example.org/v1/gates"
    status, answer = api("POST", path, gate(min=3, listeners=[{"name": "a", "protocol": "HTTP"}]))
    assert status == 422
    assert causes(answer) == {"spec.min": 'Invalid value: "object": min 3 is above 2', "spec.listeners": 'Invalid value: "array": HTTP needs a port'}
    assert api("POST", path, gate())[0] == 201
    patch = {"spec": {"class": "z", "listeners": [{"name": "a", "protocol": "HTTP", "port": 70}]}}
    status, answer = api("PATCH", path + "/g", patch, "application/merge-patch+json")
    assert causes(answer) == {"spec": "Forbidden: class is immutable", "spec.listeners[0]": 'Invalid value: "object": ports only grow'}


def test_a_rule_that_does_not_compile_is_refused(api):
    bad = json.loads(json.dumps(GATE).replace("self.min <= self.max", "self.mini <= self.max"))
    status, answer = api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition("net.example.org", "Gate", [version("v1", bad)]))
    assert status == 422 and "compilation failed" in answer["message"] and "undefined field 'mini'" in answer["message"]


def test_a_rule_that_may_cost_too_much_is_refused(api):
    def answer(**bounds):
        names = {"type": "array", "items": text(maxLength=63), "x-kubernetes-validations": [{"rule": "self.all(x, self.exists_one(y, x == y))"}], **bounds}
        return api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All",
                   definition("net.example.org", "Costly", [version("v1", obj({"spec": obj({"names": names})}))], plural="costlies"))
    status, told = answer()
    assert status == 422 and "budget by factor of more than 100x" in told["message"]
    assert any(c["field"].endswith("properties[names].x-kubernetes-validations[0].rule") for c in told["details"]["causes"]), told
    assert answer(maxItems=32)[0] == 201


def test_policies_are_checked_against_the_schema(api, install):
    install(definition("net.example.org", "Gate", [version("v1", GATE)], scope="Cluster"))
    rule = {"apiGroups": ["net.example.org"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["gates"]}
    status, answer = api("POST", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies?dryRun=All", {
        "metadata": {"name": "gates"}, "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [
            {"expression": "object.spec.minimum > 0"}, {"expression": "object.spec.min > 0 && object.metadata.name != ''"}]}})
    assert status == 201, answer
    warning, = answer["status"]["typeChecking"]["expressionWarnings"]
    assert warning["fieldRef"] == "spec.validations[0].expression"
    assert "net.example.org/v1, Kind=Gate: ERROR: <input>:1:12: undefined field 'minimum'" in warning["warning"]


def test_a_status_begins_with_its_default(api, install, namespace):
    """As Gateway API's: conditions are Unknown until a controller speaks, whatever the creator says."""
    condition = {"type": "Accepted", "status": "Unknown", "lastTransitionTime": "1970-01-01T00:00:00Z"}
    install(definition("begin.example.org", "Gate", [version("v1", obj({
        "spec": obj({"class": text()}), "status": obj({"conditions": CONDITIONS, "n": {"type": "integer", "default": 3}}, default={"conditions": [condition]})}),
        subresources={"status": {}})]))
    path = f"/apis/begin.example.org/v1/namespaces/{namespace}/gates"
    gate = {"apiVersion": "begin.example.org/v1", "kind": "Gate", "metadata": {"name": "g"}, "spec": {"class": "x"}, "status": {"n": 9}}
    want = {"conditions": [condition], "n": 3}
    status, made = api("POST", path, gate)
    assert (status, made["status"]) == (201, want)
    assert not any("f:status" in m["fieldsV1"] for m in made["metadata"]["managedFields"])
    assert api("GET", path + "/g")[1]["status"] == want
    assert api("PUT", path + "/g/status", {**made, "status": {"n": 4}})[1]["status"] == {"n": 4}
    assert api("PATCH", path + "/g", {"spec": {"class": "y"}}, "application/merge-patch+json")[1]["status"] == {"n": 4}


def test_several_versions(api, install, namespace):
    schema = obj({"spec": obj({"n": {"type": "integer"}})})
    install(definition("multi.example.org", "Job", [
        version("v1", schema), version("v1beta1", schema, storage=False, deprecated=True), version("v1alpha1", schema, storage=False, served=False)]))
    api("POST", f"/apis/multi.example.org/v1beta1/namespaces/{namespace}/jobs", {
        "apiVersion": "multi.example.org/v1beta1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"n": 1}})
    assert api("GET", f"/apis/multi.example.org/v1/namespaces/{namespace}/jobs/j")[1]["apiVersion"] == "multi.example.org/v1"
    assert api("GET", f"/apis/multi.example.org/v1beta1/namespaces/{namespace}/jobs")[1]["items"][0]["apiVersion"] == "multi.example.org/v1beta1"
    assert api("GET", f"/apis/multi.example.org/v1alpha1/namespaces/{namespace}/jobs")[0] == 404
    assert [v["version"] for v in api("GET", "/apis/multi.example.org")[1]["versions"]] == ["v1", "v1beta1"]
    assert api("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobs.multi.example.org")[1]["status"]["storedVersions"] == ["v1"]


@pytest.fixture
def converter():
    """v1 has spec.host "h:1", v2 has spec.name "h" and spec.port 1; objects called refuse are refused."""

    def convert(o, wanted):
        o = json.loads(json.dumps(o))
        o["apiVersion"] = wanted
        spec = o.get("spec", {})
        if wanted.endswith("/v2"):
            name, _, port = spec.pop("host", ":0").partition(":")
            spec.update(name=name, port=int(port))
        else:
            spec["host"] = f"{spec.pop('name', '')}:{spec.pop('port', 0)}"
        o["metadata"]["resourceVersion"] = "1"
        return o

    def answer(path, body):
        review = json.loads(body)
        request = review["request"]
        refused = any(o["metadata"]["name"] == "refuse" for o in request["objects"])
        response = {"uid": request["uid"], "result": {"status": "Failure", "message": "no"}} if refused else {
            "uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": [convert(o, request["desiredAPIVersion"]) for o in request["objects"]]}
        return 200, json.dumps({"kind": "ConversionReview", "apiVersion": review["apiVersion"], "response": response}).encode()

    server = ws.Server(answer)
    yield server
    server.close()


def test_versions_converted_by_a_webhook(atoll, api, install, namespace, converter):
    d = definition("conv.example.org", "Peer", [
        version("v1", obj({"spec": obj({"host": text()})})),
        version("v2", obj({"spec": obj({"name": text(), "port": {"type": "integer", "maximum": 99}})}), storage=False)])
    d["spec"]["conversion"] = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {
        "url": f"https://127.0.0.1:{converter.port}/convert", "caBundle": converter.bundle}}}
    install(d)
    v1, v2 = (f"/apis/conv.example.org/{v}/namespaces/{namespace}/peers" for v in ("v1", "v2"))
    peer = lambda v, title, **spec: {"apiVersion": "conv.example.org/" + v, "kind": "Peer", "metadata": {"name": title}, "spec": spec}
    status, made = api("POST", v2, peer("v2", "a", name="h", port=7))
    assert status == 201 and made["spec"] == {"name": "h", "port": 7} and made["apiVersion"] == "conv.example.org/v2"
    assert api("GET", v1 + "/a")[1]["spec"] == {"host": "h:7"}
    got = api("GET", v2 + "/a")[1]
    assert got["spec"] == made["spec"] and got["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert api("POST", v1, peer("v1", "b", host="i:8"))[0] == 201
    assert [i["spec"] for i in api("GET", v2)[1]["items"]] == [{"name": "h", "port": 7}, {"name": "i", "port": 8}]
    status, patched = api("PATCH", v2 + "/b", {"spec": {"port": 9}}, "application/merge-patch+json")
    assert status == 200 and patched["spec"] == {"name": "i", "port": 9} and patched["metadata"]["generation"] == 2
    assert api("PATCH", v2 + "/b", {"spec": {"port": 100}}, "application/merge-patch+json")[0] == 422
    assert api("GET", v1 + "/b")[1]["spec"] == {"host": "i:9"}
    watch = atoll.start_kubectl("get", "peers.v2.conv.example.org", "-n", namespace, "-w", "-o", "jsonpath={.spec.port} ", "--request-timeout=10s")
    assert watch.stdout.read(len("7 9 ")) == "7 9 "
    api("PUT", v1 + "/a", {**api("GET", v1 + "/a")[1], "spec": {"host": "h:5"}})
    api("DELETE", v1 + "/b")
    assert watch.stdout.read(len("5 9 ")) == "5 9 "
    watch.kill()
    status, answer = api("POST", v2, peer("v2", "refuse", name="x", port=1))
    assert status == 500 and answer["message"] == "conversion webhook for conv.example.org/v1, Kind=Peer failed: no"


def test_a_namespace_and_an_owner_take_them_along(atoll, namespace, backups):
    atoll.kubectl("create", "namespace", namespace + "-x")
    for ns in (namespace, namespace + "-x"):
        atoll.kubectl("-n", ns, "create", "-f", "-", text=json.dumps(backup()))
    atoll.kubectl("delete", "namespace", namespace + "-x", timeout=30)
    assert len(atoll.items("backups", "-A")) == 1
    uid = atoll.items("backups", namespace=namespace)[0]["metadata"]["uid"]
    atoll.apply({"kind": "ConfigMap", "metadata": {"name": "owned", "ownerReferences": [
        {"apiVersion": "ops.example.org/v1", "kind": "Backup", "name": "b", "uid": uid}]}}, namespace=namespace)
    atoll.kubectl("-n", namespace, "delete", "backup", "b")
    ac.until(lambda: atoll.kubectl("-n", namespace, "get", "cm", "owned", check=False).returncode, what="the dependent is gone")


def test_deleting_the_definition_waits_for_finalizers_and_ends_watches(atoll, api, namespace, install):
    install(BACKUP)
    body = backup()
    body["metadata"]["finalizers"] = ["example.org/wait"]
    path = f"/apis/ops.example.org/v1/namespaces/{namespace}/backups"
    assert api("POST", path, body)[0] == 201
    watch = atoll.start_kubectl("-n", namespace, "get", "backups", "-w", "-o", "name")
    atoll.kubectl("delete", "crd", "backups.ops.example.org", "--wait=false")
    ac.until(lambda: "deletionTimestamp" in api("GET", path + "/b")[1]["metadata"], what="the object is told to go")
    assert api("POST", path, backup("late"))[0] == 405
    api("PATCH", path + "/b", {"metadata": {"finalizers": None}}, "application/merge-patch+json")
    ac.until(lambda: atoll.kubectl("get", "crd", "backups.ops.example.org", check=False).returncode, what="the definition is gone")
    assert api("GET", path)[0] == 404
    assert watch.wait(10) is not None


def test_the_dynamic_client(atoll, namespace, backups):
    from kubernetes.dynamic import DynamicClient
    dynamic = DynamicClient(ac.client_of(atoll))
    kind = dynamic.resources.get(api_version="ops.example.org/v1", kind="Backup")
    seen = []
    watcher = threading.Thread(target=lambda: seen.extend(
        (e["type"], e["object"].metadata.name) for e in kind.watch(namespace=namespace, timeout=3)))
    watcher.start()
    kind.create(body=backup(), namespace=namespace)
    kind.patch(body={"metadata": {"name": "b"}, "spec": {"keep": 5}}, namespace=namespace, content_type="application/merge-patch+json")
    assert kind.get(name="b", namespace=namespace).spec.keep == 5
    kind.delete(name="b", namespace=namespace)
    watcher.join()
    assert [t for t, _ in seen] == ["ADDED", "MODIFIED", "DELETED"]


def test_nothing_is_lost_over_a_restart(own_atoll):
    atoll = own_atoll(image=False)
    atoll.kubectl("apply", "-f", "-", text=json.dumps(BACKUP))
    atoll.kubectl("wait", "--for=condition=established", "crd/backups.ops.example.org")
    atoll.kubectl("create", "-f", "-", text=json.dumps(backup()))
    changed = json.loads(json.dumps(BACKUP))
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["added"] = text(default="later")
    atoll.kubectl("apply", "-f", "-", text=json.dumps(changed))
    ac.until(lambda: atoll.items("backups")[0]["spec"].get("added") == "later", what="a default of today for an object of yesterday")
    atoll.kill("api")
    ac.until(lambda: atoll.kubectl("get", "backups", check=False).returncode == 0, what="api is back")
    assert atoll.items("backups")[0]["spec"]["added"] == "later"
