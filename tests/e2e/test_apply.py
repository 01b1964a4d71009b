"""Server-side apply, managedFields of every write, dryRun and fieldValidation: raw requests and real kubectl."""
import json
import os
import time
import uuid

import pytest

import atoll_cluster as ac
from test_api import Api, cm

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSONP = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


@pytest.fixture(scope="module")
def sock(root):
    return os.path.join(root, "run/atoll/api.sock")


@pytest.fixture
def api(sock):
    return Api(sock, {"User-Agent": "tester/1.0 (linux)"})


@pytest.fixture(scope="module")
def ns(sock):
    api, name = Api(sock), "apply-" + uuid.uuid4().hex[:6]
    assert api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
    ac.until(lambda: api("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default")[0] == 200)
    yield name
    api("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def name():
    return "o-" + uuid.uuid4().hex[:8]


def maps(ns, name=""):
    return f"/api/v1/namespaces/{ns}/configmaps" + (f"/{name}" if name else "")


def deployments(ns, name=""):
    return f"/apis/apps/v1/namespaces/{ns}/deployments" + (f"/{name}" if name else "")


def apply(api, path, obj, manager="a", force=None, **query):
    q = "&".join([f"fieldManager={manager}"] + ([f"force={force}"] if force is not None else []) + [f"{k}={v}" for k, v in query.items()])
    return api("PATCH", f"{path}?{q}", obj, content=APPLY)


def config(name, data=None, **metadata):
    o = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}
    if data is not None:
        o["data"] = data
    return o


def deployment(name, replicas=None, **container):
    spec = {"selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i:1", **container}]}}}
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def managers(obj):
    """{(manager, operation, subresource): fieldsV1}"""
    return {(e["manager"], e["operation"], e.get("subresource", "")): e["fieldsV1"] for e in obj["metadata"].get("managedFields", [])}


# ---- ownership ----

def test_apply_creates_and_answers_201_then_200(api, ns, name):
    status, o = apply(api, maps(ns, name), config(name, {"a": "1"}))
    assert status == 201 and o["data"] == {"a": "1"}
    (entry,) = o["metadata"]["managedFields"]
    assert {k: entry[k] for k in ("manager", "operation", "apiVersion", "fieldsType")} == {
        "manager": "a", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}} and entry["time"].endswith("Z")
    status, again = apply(api, maps(ns, name), config(name, {"a": "1"}))
    assert status == 200 and again["metadata"] == o["metadata"], "a second time changes nothing"


def test_apply_takes_yaml(api, ns, name):
    status, o = api("PATCH", f"{maps(ns, name)}?fieldManager=y", f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  a: b\n",
                    content=APPLY)
    assert status == 201 and o["data"] == {"a": "b"}


def test_creation_is_owned_by_the_user_agent(api, ns, name):
    status, o = api("POST", deployments(ns), deployment(name, 2))
    assert status == 201
    fields = managers(o)[("tester", "Update", "")]
    assert fields["f:spec"]["f:replicas"] == {}
    container = fields["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert container["."] == {} and container["f:image"] == {} and container["f:imagePullPolicy"] == {}
    assert "f:status" not in fields and "f:name" not in fields.get("f:metadata", {})


def test_atolls_own_services_are_told_apart(api, ns, name):
    api("POST", deployments(ns), deployment(name, 1))
    o = ac.until(lambda: (lambda o: o if "status" in str(managers(o)) else None)(api("GET", deployments(ns, name))[1]), what="a status")
    assert ("atoll-controllers", "Update", "status") in managers(o)
    sets = api("GET", f"/apis/apps/v1/namespaces/{ns}/replicasets?labelSelector=app%3D{name}")[1]["items"]
    assert ("atoll-controllers", "Update", "") in managers(sets[0])


def test_fieldmanager_wins_over_the_user_agent(api, ns, name):
    o = api("POST", maps(ns) + "?fieldManager=me", cm(name, a="1"))[1]
    assert set(managers(o)) == {("me", "Update", "")}


def test_updates_move_fields_and_managers_without_fields_vanish(api, ns, name):
    api("POST", maps(ns) + "?fieldManager=one", cm(name, a="1"))
    o = api("PATCH", maps(ns, name) + "?fieldManager=two", {"data": {"a": "2"}}, content=MERGE)[1]
    assert managers(o) == {("one", "Update", ""): {"f:data": {}}, ("two", "Update", ""): {"f:data": {"f:a": {}}}}
    o = api("PATCH", maps(ns, name) + "?fieldManager=three", {"data": None}, content=MERGE)[1]
    assert "managedFields" not in o["metadata"] or not o["metadata"]["managedFields"]


def test_a_write_that_changes_nothing_touches_nothing(api, ns, name):
    _, o = api("POST", maps(ns) + "?fieldManager=one", cm(name, a="1"))
    for body, content in (({"data": {"a": "1"}}, MERGE), ([{"op": "replace", "path": "/data/a", "value": "1"}], JSONP)):
        status, again = api("PATCH", maps(ns, name) + "?fieldManager=two", body, content=content)
        assert status == 200 and again["metadata"] == o["metadata"]


def test_two_appliers_share_and_the_last_one_removes(api, ns, name):
    apply(api, maps(ns, name), config(name, {"a": "1", "b": "1"}), "one")
    status, o = apply(api, maps(ns, name), config(name, {"a": "1"}), "two")
    assert status == 200 and set(managers(o)) == {("one", "Apply", ""), ("two", "Apply", "")}
    o = apply(api, maps(ns, name), config(name), "one")[1]
    assert o["data"] == {"a": "1"} and set(managers(o)) == {("two", "Apply", "")}
    o = apply(api, maps(ns, name), config(name), "two")[1]
    assert "data" not in o


def test_conflicts_are_listed_with_one_cause_each(api, ns, name):
    apply(api, maps(ns, name), config(name, {"a": "1", "b": "1"}), "one")
    status, e = apply(api, maps(ns, name), config(name, {"a": "2"}), "two")
    assert status == 409 and e["reason"] == "Conflict"
    assert e["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert e["details"]["causes"] == [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}]
    status, e = apply(api, maps(ns, name), config(name, {"a": "2", "b": "2"}), "two")
    assert e["message"] == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b'
    assert len(e["details"]["causes"]) == 2
    assert api("GET", maps(ns, name))[1]["data"] == {"a": "1", "b": "1"}
    status, o = apply(api, maps(ns, name), config(name, {"a": "2"}), "two", force="true")
    assert status == 200 and o["data"] == {"a": "2", "b": "1"}
    assert managers(o) == {("one", "Apply", ""): {"f:data": {"f:b": {}}}, ("two", "Apply", ""): {"f:data": {"f:a": {}}}}


def test_conflicts_with_an_updater_name_the_version(api, ns, name):
    api("POST", deployments(ns) + "?fieldManager=kubectl-create", deployment(name, 1))
    status, e = apply(api, deployments(ns, name), deployment(name, 3), "x")
    assert status == 409
    assert e["message"] == 'Apply failed with 1 conflict: conflict with "kubectl-create" using apps/v1: .spec.replicas'


def test_items_by_several_keys_are_removed_one_by_one(api, ns, name):
    ports = [{"containerPort": 80, "name": "w"}, {"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}]
    status, o = apply(api, deployments(ns, name), deployment(name, ports=ports), "one")
    assert status == 201, o
    keys = managers(o)[("one", "Apply", "")]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']["f:ports"]
    assert set(keys) == {'k:{"containerPort":53,"protocol":"TCP"}', 'k:{"containerPort":53,"protocol":"UDP"}', 'k:{"containerPort":80,"protocol":"TCP"}'}
    o = apply(api, deployments(ns, name), deployment(name, ports=ports[:1] + ports[2:]), "one")[1]
    got = o["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert sorted((p["containerPort"], p["protocol"]) for p in got) == [(53, "TCP"), (80, "TCP")]


def test_containers_of_two_appliers_live_side_by_side(api, ns, name):
    apply(api, deployments(ns, name), deployment(name, env=[{"name": "A", "value": "1"}]), "one")
    second = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
              "spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "B", "value": "2"}]}, {"name": "d", "image": "i:2"}]}}}}
    status, o = apply(api, deployments(ns, name), second, "two")
    assert status == 200, o
    containers = o["spec"]["template"]["spec"]["containers"]
    assert [c["name"] for c in containers] == ["c", "d"] and [e["name"] for e in containers[0]["env"]] == ["A", "B"]
    del second["spec"]["template"]["spec"]["containers"][1]
    o = apply(api, deployments(ns, name), second, "two")[1]
    assert [c["name"] for c in o["spec"]["template"]["spec"]["containers"]] == ["c"]


def test_sets_hold_what_each_manager_put_in(api, ns, name):
    apply(api, maps(ns, name), config(name, finalizers=["x.io/a"]), "one")
    o = apply(api, maps(ns, name), config(name, finalizers=["x.io/b"]), "two")[1]
    assert o["metadata"]["finalizers"] == ["x.io/a", "x.io/b"]
    assert managers(o)[("two", "Apply", "")] == {"f:metadata": {"f:finalizers": {'v:"x.io/b"': {}}}}
    o = apply(api, maps(ns, name), config(name), "one")[1]
    assert o["metadata"]["finalizers"] == ["x.io/b"]
    apply(api, maps(ns, name), config(name), "two")


def test_atomic_parts_are_replaced_whole(api, ns, name):
    d = deployment(name)
    d["spec"]["template"]["spec"]["nodeSelector"] = {"a": "1", "b": "1"}
    apply(api, deployments(ns, name), d, "one")
    d["spec"]["template"]["spec"]["nodeSelector"] = {"b": "1"}
    o = apply(api, deployments(ns, name), d, "one")[1]
    assert o["spec"]["template"]["spec"]["nodeSelector"] == {"b": "1"}
    assert managers(o)[("one", "Apply", "")]["f:spec"]["f:template"]["f:spec"]["f:nodeSelector"] == {}


def test_a_field_given_up_gets_its_default_again(api, ns, name):
    apply(api, deployments(ns, name), deployment(name, 5), "one")
    o = apply(api, deployments(ns, name), deployment(name), "one")[1]
    assert o["spec"]["replicas"] == 1


def test_quantities_written_otherwise_are_no_conflict(api, ns, name):
    api("POST", deployments(ns) + "?fieldManager=one", deployment(name, resources={"limits": {"cpu": "500m"}}))
    status, o = apply(api, deployments(ns, name), deployment(name, resources={"limits": {"cpu": "0.5"}}), "two")
    assert status == 200, o


# ---- rules of the request ----

@pytest.mark.parametrize("query, code, message", [
    ("", 422, "fieldManager: Required value: is required for apply patch"),
    ("?fieldManager=" + "x" * 129, 422, "fieldManager: Too long: may not be more than 128 bytes"),
    ("?fieldManager=a%07b", 422, "fieldManager: Invalid value"),
    ("?fieldManager=a&dryRun=bad", 422, 'dryRun: Unsupported value: "bad": supported values: "All"'),
    ("?fieldManager=a&fieldValidation=bad", 422, 'fieldValidation: Unsupported value: "bad"'),
])
def test_options_of_an_apply_are_checked(api, ns, name, query, code, message):
    status, e = api("PATCH", maps(ns, name) + query, config(name), content=APPLY)
    assert status == code and message in e["message"] and e["message"].startswith('PatchOptions.meta.k8s.io "" is invalid: ')


@pytest.mark.parametrize("change, code, message", [
    (lambda o: o.pop("kind"), 400, "'Kind' is missing"),
    (lambda o: o.pop("apiVersion"), 400, "'apiVersion' is missing"),
    (lambda o: o.update(apiVersion="v2"), 400, "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1"),
    (lambda o: o.update(kind="Secret"), 400, "Incorrect kind"),
    (lambda o: o["metadata"].update(name="other"), 400, "the name of the object (other) does not match the name on the URL"),
    (lambda o: o["metadata"].update(namespace="other"), 400, "namespace of the"),
    (lambda o: o["metadata"].update(managedFields=[{"manager": "x"}]), 400, "metadata.managedFields must be nil"),
    (lambda o: o["metadata"].update(uid="u"), 409, "uid mismatch"),
    (lambda o: o["metadata"].update(resourceVersion="1"), 400, "resourceVersion should not be set on objects to be created"),
    (lambda o: o.update(foo=1), 400, ".foo: field not declared in schema"),
    (lambda o: o.update(data=[]), 400, ".data: expected map, got a list"),
])
def test_what_cannot_be_applied(api, ns, name, change, code, message):
    o = config(name, {"a": "1"})
    change(o)
    status, e = apply(api, maps(ns, name), o)
    assert status == code and message in e["message"], e
    assert api("GET", maps(ns, name))[0] == 404


def test_a_body_that_is_no_map_is_refused(api, ns, name):
    for body in ("- a", "1", "a: [", "", "{"):
        status, e = api("PATCH", maps(ns, name) + "?fieldManager=x", body, content=APPLY)
        assert status == 400 and e["message"].startswith("error decoding YAML"), (body, e)


def test_force_is_only_for_apply(api, ns, name):
    api("POST", maps(ns), cm(name))
    status, e = api("PATCH", maps(ns, name) + "?force=true", {}, content=MERGE)
    assert status == 422 and "force: Forbidden: may not be specified for non-apply patch" in e["message"]


def test_resourceversion_is_a_precondition(api, ns, name):
    _, o = apply(api, maps(ns, name), config(name, {"a": "1"}))
    stale = o["metadata"]["resourceVersion"]
    _, o = apply(api, maps(ns, name), config(name, {"a": "2"}))
    assert apply(api, maps(ns, name), config(name, {"a": "3"}, resourceVersion=stale))[0] == 409
    assert apply(api, maps(ns, name), config(name, {"a": "3"}, resourceVersion=o["metadata"]["resourceVersion"]))[0] == 200


def test_apply_that_would_create_needs_the_right_to_create(sock, api, ns, name):
    role = "/apis/rbac.authorization.k8s.io/v1/namespaces/" + ns
    api("POST", role + "/roles", {"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch", "get"]}]})
    api("POST", role + "/rolebindings", {"metadata": {"name": name}, "subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}],
                                         "roleRef": {"kind": "Role", "name": name, "apiGroup": "rbac.authorization.k8s.io"}})
    eve = Api(sock, {"Impersonate-User": "eve"})
    ac.until(lambda: eve("GET", maps(ns, "kube-root-ca.crt"))[0] == 200, what="the role")
    status, e = apply(eve, maps(ns, name), config(name))
    assert status == 403 and 'cannot create resource "configmaps"' in e["message"]
    apply(api, maps(ns, name), config(name, {"a": "1"}))
    assert apply(eve, maps(ns, name), config(name, {"b": "1"}), "eve")[0] == 200


# ---- managedFields of clients ----

def test_a_client_can_reset_and_cannot_break_them(api, ns, name):
    apply(api, maps(ns, name), config(name, {"a": "1"}), "one")
    bad = [{"manager": "x", "operation": "Nonsense", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]
    o = api("PATCH", maps(ns, name), {"metadata": {"managedFields": bad}}, content=MERGE)[1]
    assert set(managers(o)) == {("one", "Apply", "")}
    good = [{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}]
    o = api("PATCH", maps(ns, name), {"metadata": {"managedFields": good}}, content=MERGE)[1]
    assert set(managers(o)) == {("x", "Apply", "")}
    for reset in ([{}], []):
        apply(api, maps(ns, name), config(name, {"a": "1"}), "one", force="true")
        o = api("PATCH", maps(ns, name), {"metadata": {"managedFields": reset}}, content=MERGE)[1]
        assert "managedFields" not in o["metadata"], reset


def test_an_object_without_entries_is_not_tracked_until_it_is_applied(api, ns, name):
    api("POST", maps(ns), cm(name, a="1"))
    api("PATCH", maps(ns, name), {"metadata": {"managedFields": [{}]}}, content=MERGE)
    o = api("PATCH", maps(ns, name), {"data": {"b": "1"}}, content=MERGE)[1]
    assert "managedFields" not in o["metadata"]
    status, e = apply(api, maps(ns, name), config(name, {"a": "2"}), "x")
    assert status == 409 and 'conflict with "before-first-apply" using v1: .data.a' in e["message"]
    o = apply(api, maps(ns, name), config(name, {"a": "1"}), "x")[1]
    assert set(managers(o)) == {("before-first-apply", "Update", ""), ("x", "Apply", "")}


def test_a_put_without_entries_keeps_them(api, ns, name):
    apply(api, maps(ns, name), config(name, {"a": "1"}), "one")
    o = api("PUT", maps(ns, name) + "?fieldManager=two", cm(name, a="1", b="1"))[1]
    assert set(managers(o)) == {("one", "Apply", ""), ("two", "Update", "")}


def test_old_updaters_are_joined(api, ns, name):
    api("POST", maps(ns) + "?fieldManager=m0", cm(name, k0="1"))
    for i in range(1, 13):
        o = api("PATCH", maps(ns, name) + f"?fieldManager=m{i}", {"data": {f"k{i}": "1"}}, content=MERGE)[1]
    names = [m[0] for m in managers(o)]
    assert len(names) == 10 and "ancient-changes" in names


# ---- subresources ----

def test_status_and_main_are_owned_apart(api, ns, name):
    api("POST", deployments(ns) + "?fieldManager=one", deployment(name))
    o = api("PATCH", deployments(ns, name) + "/status?fieldManager=two", {"status": {"observedGeneration": 7}, "spec": {"replicas": 9}}, content=MERGE)[1]
    assert managers(o)[("two", "Update", "status")] == {"f:status": {"f:observedGeneration": {}}}
    assert o["spec"]["replicas"] == 1


def test_status_can_be_applied(api, ns, name):
    path = f"/api/v1/namespaces/{ns}/services/{name}"
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}
    assert apply(api, path, service)[0] == 201
    status = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"type": "NodePort"},
              "status": {"conditions": [{"type": "Good", "status": "True", "reason": "Yes", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}
    code, o = apply(api, path + "/status", status, "s")
    assert code == 200, o
    assert o["spec"]["type"] == "ClusterIP" and o["status"]["conditions"][0]["type"] == "Good"
    assert list(managers(o)[("s", "Apply", "status")]) == ["f:status"]
    assert apply(api, f"/api/v1/namespaces/{ns}/services/none/status", {**status, "metadata": {"name": "none"}}, "s")[0] == 404


def test_main_apply_does_not_own_status(api, ns, name):
    d = deployment(name)
    d["status"] = {"replicas": 3}
    o = apply(api, deployments(ns, name), d)[1]
    assert "f:status" not in managers(o)[("a", "Apply", "")]


def test_scale_owns_the_replicas(api, ns, name):
    apply(api, deployments(ns, name), deployment(name, 1), "one")
    api("PATCH", deployments(ns, name) + "/scale?fieldManager=two", {"spec": {"replicas": 2}}, content=MERGE)
    o = api("GET", deployments(ns, name))[1]
    assert managers(o)[("two", "Update", "scale")] == {"f:spec": {"f:replicas": {}}}
    status, e = apply(api, deployments(ns, name), deployment(name, 1), "one")
    assert status == 409 and 'conflict with "two" with subresource "scale" using apps/v1: .spec.replicas' in e["message"]
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": name}, "spec": {"replicas": 4}}
    status, e = apply(api, deployments(ns, name) + "/scale", scale, "three")
    assert status == 409
    status, s = apply(api, deployments(ns, name) + "/scale", scale, "three", force="true")
    assert status == 200 and s["kind"] == "Scale" and s["spec"]["replicas"] == 4
    o = api("GET", deployments(ns, name))[1]
    assert managers(o)[("three", "Apply", "scale")] == {"f:spec": {"f:replicas": {}}} and o["spec"]["replicas"] == 4


# ---- custom resources ----

WIDGET = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.apply.example.org"}, "spec": {
    "group": "apply.example.org", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"}, "versions": [{
        "name": "v1", "served": True, "storage": True,
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size.replicas", "statusReplicasPath": ".status.replicas"}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "color": {"type": "string"}, "speed": {"type": "integer", "default": 5},
                "size": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"], "items": {
                    "type": "object", "required": ["port"], "properties": {
                        "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": {"type": "string"}}}}}},
            "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "phase": {"type": "string"}}}}}}}]}}


@pytest.fixture(scope="module")
def widgets(sock, ns):
    api, crds = Api(sock), "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert api("POST", crds, WIDGET)[0] == 201
    path = f"/apis/apply.example.org/v1/namespaces/{ns}/widgets"
    ac.until(lambda: api("GET", path)[0] == 200, what="widgets")
    yield path
    api("DELETE", f"{crds}/{WIDGET['metadata']['name']}")


def widget(name, **spec):
    return {"apiVersion": "apply.example.org/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


def test_custom_resources_are_merged_by_their_schema(api, widgets, name):
    path = f"{widgets}/{name}"
    status, o = apply(api, path, widget(name, color="red", tags=["a"], whole={"a": "1", "b": "1"}, free={"x": {"y": 1}, "l": [1]},
                                        ports=[{"port": 80, "name": "w"}, {"port": 80, "protocol": "UDP"}]), "one")
    assert status == 201, o
    assert managers(o)[("one", "Apply", "")]["f:spec"] == {
        "f:color": {}, "f:tags": {'v:"a"': {}}, "f:whole": {}, "f:free": {"f:x": {".": {}, "f:y": {}}, "f:l": {}},
        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}},
                    'k:{"port":80,"protocol":"UDP"}': {".": {}, "f:port": {}, "f:protocol": {}}}}
    assert o["spec"]["speed"] == 5
    status, o = apply(api, path, widget(name, tags=["b"], free={"x": {"z": 2}}), "two")
    assert status == 200 and o["spec"]["tags"] == ["a", "b"] and o["spec"]["free"]["x"] == {"y": 1, "z": 2}
    status, e = apply(api, path, widget(name, color="blue"), "two")
    assert status == 409 and e["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.color'
    o = apply(api, path, widget(name, color="red", ports=[{"port": 80, "name": "w"}]), "one")[1]
    assert [p["protocol"] for p in o["spec"]["ports"]] == ["TCP"] and "whole" not in o["spec"]
    status, e = apply(api, path, widget(name, nonsense=1), "one")
    assert status == 400 and ".spec.nonsense: field not declared in schema" in e["message"]


def test_creation_of_a_custom_resource_is_owned(api, widgets, name):
    status, o = api("POST", widgets + "?fieldManager=one", widget(name, color="red"))
    assert status == 201
    assert managers(o) == {("one", "Update", ""): {"f:spec": {".": {}, "f:color": {}, "f:speed": {}}}}
    o = api("PATCH", f"{widgets}/{name}?fieldManager=two", {"spec": {"color": "blue"}}, content=MERGE)[1]
    assert managers(o)[("two", "Update", "")] == {"f:spec": {"f:color": {}}}


def test_status_and_scale_of_a_custom_resource(api, widgets, name):
    path = f"{widgets}/{name}"
    apply(api, path, widget(name, size={"replicas": 1}), "one")
    status, o = apply(api, path + "/status", {**widget(name, color="no"), "status": {"phase": "Up"}}, "two")
    assert status == 200 and o["status"] == {"phase": "Up"} and "color" not in o["spec"], o
    assert managers(o)[("two", "Apply", "status")] == {"f:status": {"f:phase": {}}}
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": name}, "spec": {"replicas": 4}}
    status, s = apply(api, path + "/scale", scale, "three", force="true")
    assert status == 200 and s["spec"]["replicas"] == 4, s
    o = api("GET", path)[1]
    assert o["spec"]["size"]["replicas"] == 4 and managers(o)[("three", "Apply", "scale")] == {"f:spec": {"f:size": {"f:replicas": {}}}}


def test_unknown_and_repeated_fields_of_custom_resources(api, widgets, name):
    for body, finding in ((widget(name, nonsense=1), 'unknown field "spec.nonsense"'),
                          ({**widget(name), "metadata": {"name": name, "foo": 1}}, 'unknown field "metadata.foo"')):
        status, e = api("POST", widgets + "?fieldValidation=Strict", body)
        assert status == 400 and finding in e["message"], e
        status, headers, _ = api.raw("POST", widgets + "?dryRun=All", json.dumps(body))
        assert status == 201 and finding.replace('"', '\\"') in "".join(headers.get_all("Warning", []))
    twice = json.dumps(widget(name, color="red")).replace('"color"', '"color": "x", "color"')
    status, e = api("POST", widgets + "?fieldValidation=Strict", twice)
    assert status == 400 and 'duplicate field "spec.color"' in e["message"], e
    assert api("POST", widgets + "?dryRun=All", widget(name))[0] == 201 and api("GET", f"{widgets}/{name}")[0] == 404


def test_a_definition_that_makes_lists_granular_or_atomic_keeps_the_sets_usable(sock, ns, name):
    """As upstream's reconcileManagedFieldsWithSchemaChanges: sets are read by the schema of today."""
    api, crds = Api(sock), "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    crd = json.loads(json.dumps(WIDGET).replace("widgets", "gadgets").replace("Widget", "Gadget").replace("apply.example", "turn.example"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    keyed = dict(schema["ports"])
    schema["ports"] = {k: v for k, v in keyed.items() if k in ("type", "items")}
    assert api("POST", crds, crd)[0] == 201
    path = f"/apis/turn.example.org/v1/namespaces/{ns}/gadgets/{name}"
    gadget = lambda **spec: {"apiVersion": "turn.example.org/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": spec}
    ac.until(lambda: api("GET", path)[0] == 404 and api("GET", path.rpartition("/")[0])[0] == 200, what="gadgets")

    def turn(change):
        o = api("GET", f"{crds}/{crd['metadata']['name']}")[1]
        change(o["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])
        assert api("PUT", f"{crds}/{crd['metadata']['name']}", o)[0] == 200

    try:
        one = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
        o = apply(api, path, gadget(ports=one, whole={"a": "1"}), "one")[1]
        assert managers(o)[("one", "Apply", "")] == {"f:spec": {"f:ports": {}, "f:whole": {}}}
        turn(lambda p: (p.update(ports=keyed), p["whole"].pop("x-kubernetes-map-type")))
        # Another manager adds an item and a key without a conflict; the first one's stay the first one's.
        status, o = apply(api, path, gadget(ports=[{"port": 82}], whole={"b": "2"}), "two")
        assert status == 200 and [p["port"] for p in o["spec"]["ports"]] == [80, 81, 82], o
        assert o["spec"]["whole"] == {"a": "1", "b": "2"}
        ports = managers(o)[("one", "Apply", "")]["f:spec"]["f:ports"]
        assert {k for k in ports if k != "."} == {'k:{"port":80,"protocol":"TCP"}', 'k:{"port":81,"protocol":"TCP"}'}
        status, e = apply(api, path, gadget(ports=[{"port": 80, "name": "z"}]), "two")
        assert status == 409 and 'conflict with "one"' in e["message"], e
        # What the first one no longer applies goes, item by item.
        o = apply(api, path, gadget(ports=one[:1], whole={"a": "1"}), "one")[1]
        assert [p["port"] for p in o["spec"]["ports"]] == [80, 82], o
        # And back: the list is one thing again, and both have it.
        turn(lambda p: (p["ports"].pop("x-kubernetes-list-type"), p["ports"].pop("x-kubernetes-list-map-keys")))
        status, e = apply(api, path, gadget(ports=[{"port": 1}], whole={"a": "1"}), "one")
        assert status == 409 and e["message"] == 'Apply failed with 1 conflict: conflict with "two": .spec.ports', e
        o = api("PATCH", path + "?fieldManager=three", {"spec": {"ports": [{"port": 9}]}}, content=MERGE)[1]
        assert managers(o)[("three", "Update", "")] == {"f:spec": {"f:ports": {}}}
        assert all("f:ports" not in f["f:spec"] for who, f in managers(o).items() if who[0] != "three"), managers(o)
    finally:
        api("DELETE", f"{crds}/{crd['metadata']['name']}")


# ---- dry run ----

def pod(name):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def version(api, path):
    status, o = api("GET", path)
    return o["metadata"]["resourceVersion"] if status == 200 else None


def test_a_dry_run_tells_the_time_of_now(api, ns, name):
    path = f"/api/v1/namespaces/{ns}/configmaps"
    _, o = api("POST", f"{path}?fieldManager=one", cm(name, a="1"))
    time.sleep(1.1)
    _, dry = api("PATCH", f"{path}/{name}?fieldManager=one&dryRun=All", {"data": {"a": "2"}}, content=MERGE)
    before, now = o["metadata"]["managedFields"][0]["time"], dry["metadata"]["managedFields"][0]["time"]
    assert now > before and dry["metadata"]["creationTimestamp"] == before
    assert api("GET", f"{path}/{name}")[1]["metadata"]["managedFields"][0]["time"] == before


def test_what_a_cluster_begins_with_says_whose_it_is(api):
    for path in ("/api/v1/namespaces/kube-system", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication",
                 "/apis/rbac.authorization.k8s.io/v1/clusterroles/view", "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical"):
        entry, = api("GET", path)[1]["metadata"]["managedFields"][:1]
        assert entry["manager"] == "atoll" and entry["operation"] == "Update" and entry["fieldsV1"] and entry["time"]


def test_dry_runs_change_nothing(api, ns, name):
    path, pods = maps(ns, name), f"/api/v1/namespaces/{ns}/pods"
    status, o = api("POST", maps(ns) + "?dryRun=All", cm(name, a="1"))
    assert status == 201 and managers(o) and version(api, path) is None
    status, o = apply(api, path, config(name, {"a": "1"}), dryRun="All")
    assert status == 201 and managers(o) and version(api, path) is None
    api("POST", maps(ns), cm(name, a="1"))
    before = version(api, path)
    for method, body, content in (("PUT", cm(name, a="2"), "application/json"), ("PATCH", {"data": {"a": "2"}}, MERGE),
                                  ("PATCH", {"data": {"a": "2"}}, STRATEGIC), ("PATCH", [{"op": "add", "path": "/data/a", "value": "2"}], JSONP)):
        status, o = api(method, path + "?dryRun=All", body, content=content)
        assert status == 200 and o["data"]["a"] == "2" and version(api, path) == before
    status, o = apply(api, path, config(name, {"a": "2"}), force="true", dryRun="All")
    assert status == 200 and o["data"]["a"] == "2" and version(api, path) == before
    assert api("DELETE", path + "?dryRun=All")[0] == 200 and version(api, path) == before
    assert api("DELETE", path, {"dryRun": ["All"]})[0] == 200 and version(api, path) == before
    assert api("DELETE", maps(ns) + "?dryRun=All")[0] == 200 and version(api, path) == before
    assert api("POST", pods, pod(name))[0] == 201
    before = version(api, f"{pods}/{name}")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    assert api("POST", f"{pods}/{name}/eviction?dryRun=All", eviction)[0] == 201
    assert api("POST", f"{pods}/{name}/eviction", {**eviction, "deleteOptions": {"dryRun": ["All"]}})[0] == 201
    assert api("PATCH", f"{pods}/{name}/status?dryRun=All", {"status": {"phase": "Running"}}, content=MERGE)[0] == 200
    assert api("GET", f"{pods}/{name}")[1]["status"]["phase"] == "Pending"
    assert version(api, f"{pods}/{name}") == before or api("GET", f"{pods}/{name}")[0] == 200


def test_dry_runs_of_binding_scale_and_token(api, ns, name):
    pods = f"/api/v1/namespaces/{ns}/pods"
    unplaced = pod(name)
    unplaced["spec"]["schedulerName"] = "nobody"
    assert api("POST", pods, unplaced)[0] == 201
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}}
    assert api("POST", f"{pods}/{name}/binding?dryRun=All", binding)[0] == 201
    assert "nodeName" not in api("GET", f"{pods}/{name}")[1]["spec"]
    api("POST", deployments(ns), deployment(name, 1))
    status, s = api("PATCH", deployments(ns, name) + "/scale?dryRun=All", {"spec": {"replicas": 0}}, content=MERGE)
    assert status == 200 and s["spec"].get("replicas", 0) == 0 and api("GET", deployments(ns, name))[1]["spec"]["replicas"] == 1
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    status, t = api("POST", f"/api/v1/namespaces/{ns}/serviceaccounts/default/token?dryRun=All", request)
    assert status == 201, t


@pytest.mark.parametrize("method, tail, body", [
    ("POST", "", "new"), ("PUT", "/NAME", "old"), ("PATCH", "/NAME", {}), ("DELETE", "/NAME", None), ("DELETE", "", None)])
def test_a_dry_run_that_is_no_dry_run(api, ns, name, method, tail, body):
    api("POST", maps(ns), cm(name))
    sent = {"new": cm(name + "x"), "old": cm(name)}.get(body, body) if not isinstance(body, dict) else body
    status, e = api(method, maps(ns) + tail.replace("NAME", name) + "?dryRun=bad", sent, content=MERGE if method == "PATCH" else "application/json")
    assert status == 422 and 'dryRun: Unsupported value: "bad": supported values: "All"' in e["message"], e
    assert api("GET", maps(ns, name))[0] == 200


# ---- fieldValidation ----

UNKNOWN = [
    ("POST", "", lambda n: {**cm(n), "foo": 1}, "application/json", 'unknown field "foo"'),
    ("POST", "", lambda n: json.dumps({**cm(n)})[:-1] + ',"data":{"a":"1"},"data":{"a":"2"}}', "application/json", 'duplicate field "data"'),
    ("POST", "", lambda n: {**cm(n), "metadata": {"name": n, "foo": 1}}, "application/json", 'unknown field "metadata.foo"'),
    ("PUT", "/NAME", lambda n: {**cm(n), "foo": 1}, "application/json", 'unknown field "foo"'),
    ("PATCH", "/NAME", lambda n: {"foo": 1}, MERGE, 'unknown field "foo"'),
    ("PATCH", "/NAME", lambda n: {"metadata": {"foo": 1}}, STRATEGIC, 'unknown field "metadata.foo"'),
    ("PATCH", "/NAME", lambda n: [{"op": "add", "path": "/foo", "value": 1}], JSONP, 'unknown field "foo"'),
    ("PATCH", "/NAME", lambda n: '{"data":{"a":"1"},"data":{"a":"2"}}', MERGE, 'duplicate field "data"'),
]


@pytest.mark.parametrize("method, tail, body, content, finding", UNKNOWN)
def test_strict_refuses_warn_tells_ignore_is_silent(api, ns, name, method, tail, body, content, finding):
    if tail:
        api("POST", maps(ns), cm(name))
    path, body = maps(ns) + tail.replace("NAME", name), body(name)
    body = body if isinstance(body, str) else json.dumps(body)
    status, e = api(method, path + "?fieldValidation=Strict", body, content=content)
    assert status == (422 if method == "PATCH" else 400) and finding in e["message"], e
    status, headers, _ = api.raw(method, path + "?fieldValidation=Warn&dryRun=All", body, content)
    assert status in (200, 201) and finding.replace('"', '\\"') in "".join(headers.get_all("Warning", [])), (status, headers.get_all("Warning"))
    status, headers, _ = api.raw(method, path + "?fieldValidation=Ignore", body, content)
    assert status in (200, 201) and not headers.get_all("Warning")


def test_duplicates_in_an_applied_object(api, ns, name):
    body = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '1'}}\ndata: {{a: '2'}}\n"
    status, e = api("PATCH", f"{maps(ns, name)}?fieldManager=x&fieldValidation=Strict", body, content=APPLY)
    assert status == 400 and 'duplicate field "data"' in e["message"]
    status, headers, data = api.raw("PATCH", f"{maps(ns, name)}?fieldManager=x&dryRun=All", body, APPLY)
    assert status == 201 and "duplicate" in headers.get("Warning", "") and json.loads(data)["data"] == {"a": "2"}
    status, headers, _ = api.raw("PATCH", f"{maps(ns, name)}?fieldManager=x&fieldValidation=Ignore", body, APPLY)
    assert status == 201 and not headers.get("Warning")


def test_unknown_fields_inside_atomic_lists_of_an_applied_object(api, ns, name):
    d = deployment(name)
    d["spec"]["template"]["spec"]["tolerations"] = [{"key": "x", "operator": "Exists", "foo": 1}]
    status, e = apply(api, deployments(ns, name), d, fieldValidation="Strict")
    assert status == 400 and 'unknown field "spec.template.spec.tolerations[0].foo"' in e["message"]


# ---- kubectl ----

@pytest.fixture(scope="module")
def kubectl(root, ns):
    config = os.path.join(root, "etc/atoll/admin.kubeconfig")

    def call(*args, check=True, text=None):
        return ac.run("kubectl", "--kubeconfig", config, "-n", ns, *args, check=check, text=text)
    return call


def test_kubectl_server_side(kubectl, name):
    text = json.dumps(deployment(name, 1))
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", text=text).stdout
    assert kubectl("diff", "--server-side", "-f", "-", text=text).stdout == ""
    kubectl("scale", "deployment", name, "--replicas=2")
    r = kubectl("apply", "--server-side", "-f", "-", text=text, check=False)
    assert r.returncode and 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in r.stderr, r.stderr
    assert "--force-conflicts" in r.stderr
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
    shown = kubectl("get", "deployment", name, "-o", "yaml", "--show-managed-fields").stdout
    assert "manager: kubectl" in shown and "operation: Apply" in shown and "f:replicas: {}" in shown
    assert "managedFields" not in kubectl("get", "deployment", name, "-o", "yaml").stdout
    r = kubectl("diff", "--server-side", "-f", "-", text=json.dumps(deployment(name, 7)), check=False)
    assert r.returncode == 1 and "+  replicas: 7" in r.stdout, r.stdout + r.stderr


def test_kubectl_client_side_then_server_side(kubectl, name):
    kubectl("apply", "-f", "-", text=json.dumps(config(name, {"a": "1", "b": "1"})))
    assert kubectl("diff", "-f", "-", text=json.dumps(config(name, {"a": "1", "b": "1"}))).stdout == ""
    o = json.loads(kubectl("get", "cm", name, "-o", "json", "--show-managed-fields").stdout)
    assert set(managers(o)) == {("kubectl-client-side-apply", "Update", "")}
    kubectl("apply", "--server-side", "-f", "-", text=json.dumps(config(name, {"a": "2"})))
    o = json.loads(kubectl("get", "cm", name, "-o", "json", "--show-managed-fields").stdout)
    assert o["data"] == {"a": "2"}, "what client-side apply had put in is removed"
    assert {m[:2] for m in managers(o)} <= {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
    last = json.loads(o["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    assert last["data"] == {"a": "2"}
    kubectl("apply", "-f", "-", text=json.dumps(config(name, {"c": "3"})))
    assert json.loads(kubectl("get", "cm", name, "-o", "json").stdout)["data"] == {"c": "3"}


def test_the_server_itself_migrates_kubectls_fields(api, ns, name):
    """What kubectl up to 1.25 leaves to the server: conflicts with the annotation's own values do not count."""
    annotation = json.dumps(config(name, {"a": "1", "b": "1"}, namespace=ns))
    o = config(name, {"a": "1", "b": "1"}, annotations={"kubectl.kubernetes.io/last-applied-configuration": annotation})
    api("POST", maps(ns) + "?fieldManager=kubectl-client-side-apply", o)
    assert apply(api, maps(ns, name), config(name, {"a": "2"}), "other")[0] == 409
    status, o = apply(api, maps(ns, name), config(name, {"a": "2"}), "kubectl")
    assert status == 200 and o["data"]["a"] == "2", o
    assert json.loads(o["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])["data"] == {"a": "2"}
    api("PATCH", maps(ns, name) + "?fieldManager=edit", {"data": {"b": "9"}}, content=MERGE)
    status, e = apply(api, maps(ns, name), config(name, {"a": "2", "b": "3"}), "kubectl")
    assert status == 409 and 'conflict with "edit" using v1: .data.b' in e["message"]
