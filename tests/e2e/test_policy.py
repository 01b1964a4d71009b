"""ValidatingAdmissionPolicy: rules in CEL, put into effect by bindings, seen from kubectl and from raw requests."""
import json
import subprocess
import uuid

import pytest

import atoll_cluster as ac
from test_admission import Raw

GROUP = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{GROUP}/validatingadmissionpolicies", f"{GROUP}/validatingadmissionpolicybindings"


@pytest.fixture(scope="module")
def raw(root):
    return Raw(root)


@pytest.fixture
def ns(raw):
    name = f"pol-{uuid.uuid4().hex[:6]}"
    assert raw("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": {"policy": name, "environment": "prod"}}})[0] == 201
    yield name
    raw("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def policy(raw, ns):
    """Makes a policy and its binding for one namespace; both go when the test ends."""
    made = []

    def make(validations=(), resources=("configmaps",), group="", operations=("CREATE", "UPDATE"), actions=("Deny",), binding=None, **spec):
        name = f"p-{uuid.uuid4().hex[:6]}"
        if isinstance(validations, str):
            validations = [{"expression": validations}]
        rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": list(operations), "resources": list(resources)}
        body = {"metadata": {"name": name}, "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": list(validations), **spec}}
        status, answer = raw("POST", POLICIES, body)
        assert status == 201, answer
        made.append(f"{POLICIES}/{name}")
        status, answer = raw("POST", BINDINGS, {"metadata": {"name": name}, "spec": {
            "policyName": name, "validationActions": list(actions),
            "matchResources": {"namespaceSelector": {"matchLabels": {"policy": ns}}}, **(binding or {})}})
        assert status == 201, answer
        made.append(f"{BINDINGS}/{name}")
        return name

    yield make
    for path in made:
        raw("DELETE", path)


def configmap(raw, ns, data=None, user=None, groups=(), **meta):
    name = meta.pop("name", f"c-{uuid.uuid4().hex[:6]}")
    return raw("POST", f"/api/v1/namespaces/{ns}/configmaps", {"metadata": {"name": name, **meta}, "data": data or {}}, user=user, groups=groups)


def refusal(answer):
    return answer["code"], answer["reason"], answer["message"]


def test_a_validation_that_fails_refuses_the_request_in_upstreams_words(raw, ns, policy):
    name = policy([{"expression": "object.data.size() <= 1", "message": "one entry at most"}])
    assert configmap(raw, ns, {"a": "1"})[0] == 201
    status, answer = configmap(raw, ns, {"a": "1", "b": "2"}, name="two")
    why = f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: one entry at most"
    assert status == 422 and refusal(answer) == (422, "Invalid", f'configmaps "two" is forbidden: {why}')
    assert answer["details"]["causes"] == [{"message": why}]


def test_messages_and_reasons(raw, ns, policy):
    policy([{"expression": "!('a' in object.data)", "reason": "Forbidden"},
            {"expression": "!('b' in object.data)", "messageExpression": "'b is ' + object.data.b"},
            {"expression": "!('c' in object.data)", "messageExpression": "object.data.nothing", "message": "the plain one"}])
    status, answer = configmap(raw, ns, {"a": "1"})
    assert (status, answer["reason"]) == (403, "Forbidden") and answer["message"].endswith("failed expression: !('a' in object.data)")
    assert configmap(raw, ns, {"b": "two"})[1]["message"].endswith("denied request: b is two")
    assert configmap(raw, ns, {"c": "1"})[1]["message"].endswith("denied request: the plain one")


def test_an_expression_without_an_answer_follows_the_failure_policy(raw, ns, policy):
    policy("object.data.missing == 'x'")
    status, answer = configmap(raw, ns, {"a": "1"})
    assert status == 422 and "expression 'object.data.missing == 'x'' resulted in error: no such key: missing" in answer["message"]


def test_failure_policy_ignore_lets_pass(raw, ns, policy):
    policy("object.data.missing == 'x'", failurePolicy="Ignore")
    assert configmap(raw, ns, {"a": "1"})[0] == 201
    assert configmap(raw, ns, {"missing": "y"})[0] == 422


def test_variables_namespace_and_request(raw, ns, policy):
    policy("variables.both == 'prod/admin-x' || request.operation != 'CREATE'", variables=[
        {"name": "environment", "expression": "namespaceObject.metadata.labels['environment']"},
        {"name": "both", "expression": "variables.environment + '/' + request.userInfo.username"}])
    assert configmap(raw, ns, {}, user="admin-x", groups=["system:masters"])[0] == 201
    status, answer = configmap(raw, ns, {}, user="admin-y", groups=["system:masters"])
    assert status == 422, answer


def test_match_conditions(raw, ns, policy):
    policy("false", matchConditions=[{"name": "not-exempt", "expression": "!has(object.metadata.labels) || !('exempt' in object.metadata.labels)"}])
    assert configmap(raw, ns)[0] == 422
    assert configmap(raw, ns, labels={"exempt": "yes"})[0] == 201


def test_updates_see_both_objects_and_deletions_the_old_one(raw, ns, policy):
    policy("request.operation == 'DELETE' ? !('keep' in oldObject.data) : oldObject == null || object.data.size() >= oldObject.data.size()",
           operations=["CREATE", "UPDATE", "DELETE"])
    assert configmap(raw, ns, {"keep": "1", "x": "2"}, name="c")[0] == 201
    path = f"/api/v1/namespaces/{ns}/configmaps/c"
    merge = "application/merge-patch+json"
    assert raw("PATCH", path, {"data": {"x": None}}, content=merge)[0] == 422
    assert raw("PATCH", path, {"data": {"y": "3"}}, content=merge)[0] == 200
    assert raw("DELETE", path)[0] == 422
    assert raw("PATCH", path, {"data": {"keep": None, "z": "1"}}, content=merge)[0] == 200
    assert raw("DELETE", path)[0] == 200


def test_the_authorizer(raw, ns, policy):
    policy("authorizer.group('').resource('secrets').namespace('kube-system').check('delete').allowed()")
    raw("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "metadata": {"name": f"edit-{ns}"}, "subjects": [{"kind": "User", "name": "editor"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"edit-{ns}"}})
    raw("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {
        "metadata": {"name": f"edit-{ns}"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]})
    assert configmap(raw, ns)[0] == 201
    status, answer = configmap(raw, ns, user="editor")
    assert status == 422, answer


def test_warnings_and_audit_do_not_refuse(raw, ns, policy, root):
    name = policy([{"expression": "object.data.size() == 0", "message": "not empty"}], actions=["Warn", "Audit"],
                  auditAnnotations=[{"key": "size", "valueExpression": "string(object.data.size())"}])
    status, answer = configmap(raw, ns, {"a": "1"}, name="warned")
    assert status == 201, answer
    assert any(f"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}': not empty" in w for w in raw.warnings), raw.warnings

    def event():
        with open(f"{root}/var/log/atoll/audit.log") as log:
            found = [e for e in map(json.loads, log) if e.get("objectRef", {}).get("namespace") == ns and f"{name}/size" in e.get("annotations", {})]
        return found and found[0]["annotations"]

    annotations = ac.until(event, what="audit event")
    assert annotations[f"{name}/size"] == "1"
    failure = json.loads(annotations["validation.policy.admission.k8s.io/validation_failure"])[0]
    assert failure["policy"] == name and failure["message"] == "not empty" and failure["validationActions"] == ["Warn", "Audit"]


def test_resources_may_be_left_out(raw, ns, policy):
    left_out = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"], "resourceNames": ["free"]}]
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
    policy("false", matchConstraints={"resourceRules": rules, "excludeResourceRules": left_out})
    assert configmap(raw, ns, name="free")[0] == 201
    assert configmap(raw, ns, name="other")[0] == 422


@pytest.mark.parametrize("match, expected", [("Equivalent", 422), ("Exact", 201)])
def test_a_rule_of_one_version_meets_requests_of_another_unless_it_must_be_exact(raw, ns, policy, match, expected):
    rules = [{"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["horizontalpodautoscalers"]}]
    policy("object.apiVersion != 'autoscaling/v1'", matchConstraints={"resourceRules": rules, "matchPolicy": match})
    body = {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}, "maxReplicas": 3}}
    assert raw("POST", f"/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers", body)[0] == expected


def test_connections_may_be_refused(raw, ns, policy):
    containers = [{"name": name, "image": "none"} for name in ("closed", "open")]
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "ghost", "containers": containers}}
    assert raw("POST", f"/api/v1/namespaces/{ns}/pods", pod)[0] == 201
    policy("object.container != 'closed'", resources=("pods/exec",), operations=("CONNECT",))

    def answer(container):
        return raw("POST", f"/api/v1/namespaces/{ns}/pods/p/exec?container={container}&command=true&stdout=1")

    status, refused = answer("closed")
    assert status == 422 and "denied request: failed expression: object.container != 'closed'" in refused["message"]
    assert answer("open")[0] != 422


def test_parameters_by_name_and_by_selector(raw, ns, policy):
    def limit(name, value, **labels):
        assert configmap(raw, ns, {"max": value}, name=name, labels=labels)[0] == 201

    limit("limit-a", "3", limits=ns)
    limit("limit-b", "2", limits=ns)
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    rule = "object.spec.ports.size() <= int(params.data.max)"
    make = dict(resources=("services",), paramKind=kind)
    policy([{"expression": rule, "messageExpression": "'at most ' + params.data.max"}], **make,
           binding={"paramRef": {"name": "limit-a", "parameterNotFoundAction": "Deny"}})

    def service(n):
        return raw("POST", f"/api/v1/namespaces/{ns}/services", {"metadata": {"name": f"s-{uuid.uuid4().hex[:6]}"}, "spec": {
            "clusterIP": "None", "ports": [{"name": f"p{i}", "port": i + 1} for i in range(n)]}})

    assert service(3)[0] == 201
    status, answer = service(4)
    assert status == 422 and answer["message"].endswith("at most 3")
    policy([{"expression": rule, "messageExpression": "'at most ' + params.data.max"}], **make,
           binding={"paramRef": {"selector": {"matchLabels": {"limits": ns}}, "parameterNotFoundAction": "Deny"}})
    status, answer = service(3)
    assert status == 422 and answer["message"].endswith("at most 2")
    policy("params == null", **make, binding={"paramRef": {"name": "none", "parameterNotFoundAction": "Deny"}})
    assert "no params found for policy binding with `Deny` parameterNotFoundAction" in service(1)[1]["message"]


def test_expressions_must_compile(raw):
    def problem(**spec):
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        status, answer = raw("POST", POLICIES + "?dryRun=All", {"metadata": {"name": "wrong"}, "spec": {"matchConstraints": {"resourceRules": [rule]}, **spec}})
        return status, answer.get("message", "")

    assert problem(validations=[{"expression": "true"}])[0] == 201
    status, message = problem(validations=[{"expression": "request.foo == 1"}])
    assert status == 422 and "spec.validations[0].expression: Invalid value: \"request.foo == 1\": compilation failed: ERROR: <input>:1:8: undefined field 'foo'" in message
    assert "must evaluate to bool" in problem(validations=[{"expression": "1 + 1"}])[1]
    assert "undeclared reference to 'params'" in problem(validations=[{"expression": "params.x"}])[1]
    assert "must evaluate to string" in problem(validations=[{"expression": "true", "messageExpression": "1"}])[1]
    assert "undefined field 'later'" in problem(validations=[{"expression": "true"}], variables=[{"name": "first", "expression": "variables.later"}])[1]
    assert "validations or auditAnnotations must be non-empty" in problem()[1]
    status, message = problem(validations=[{"expression": "true\n&& true"}])
    assert status == 422 and "message must be specified if expression contains line breaks" in message


def test_bindings_are_validated(raw):
    def problem(**spec):
        return raw("POST", BINDINGS + "?dryRun=All", {"metadata": {"name": "wrong"}, "spec": {"policyName": "p", "validationActions": ["Deny"], **spec}})[1].get("message", "")

    assert problem() == ""
    assert "must not contain both Deny and Warn" in problem(validationActions=["Deny", "Warn"])
    assert 'Unsupported value: "Stop": supported values: "Audit", "Deny", "Warn"' in problem(validationActions=["Stop"])
    assert "spec.paramRef.parameterNotFoundAction: Required value" in problem(paramRef={"name": "x"})


def test_the_status_says_what_does_not_fit_the_types(raw, ns, policy):
    name = policy([{"expression": "object.data.size() == object.spec.replicas"}, {"expression": "object.metadata.name != ''"}])
    status, answer = raw("GET", f"{POLICIES}/{name}")
    assert answer["status"]["observedGeneration"] == 1
    warning, = answer["status"]["typeChecking"]["expressionWarnings"]
    assert warning["fieldRef"] == "spec.validations[0].expression"
    assert "v1, Kind=ConfigMap: ERROR: <input>:1:29: undefined field 'spec'" in warning["warning"]
    status, answer = raw("PATCH", f"{POLICIES}/{name}", {"spec": {"validations": [{"expression": "true"}]}}, content="application/merge-patch+json")
    assert status == 200 and answer["status"] == {"observedGeneration": 2, "typeChecking": {}} and answer["metadata"]["generation"] == 2


def test_an_expression_that_costs_too_much_is_ended(raw, ns, policy):
    policy("[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, "
           "[1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, a + b + c + d + e + f > 0))))))")
    status, answer = configmap(raw, ns)
    assert status == 422 and "running out of cost budget" in answer["message"]


def test_conditions_of_webhooks_must_compile(raw):
    hook = {"name": "a.example.com", "clientConfig": {"url": "https://127.0.0.1:1"}, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "matchConditions": [{"name": "wrong", "expression": "object.x +"}]}
    status, answer = raw("POST", f"{GROUP}/validatingwebhookconfigurations", {"metadata": {"name": "wrong"}, "webhooks": [hook]})
    assert status == 422 and "webhooks[0].matchConditions[0].expression" in answer["message"] and "compilation failed" in answer["message"]


MANIFEST = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: "%(name)s"}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}
  variables:
  - {name: containers, expression: object.spec.template.spec.containers}
  validations:
  - expression: object.spec.replicas <= 5
    messageExpression: "'replicas must be no greater than 5, not %%d'.format([object.spec.replicas])"
  - expression: variables.containers.all(c, c.image.matches('^registry\\\\.example/'))
    message: images come from registry.example
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: "%(name)s"}
spec:
  policyName: "%(name)s"
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {policy: "%(ns)s"}}}
"""


@pytest.fixture
def kubectl(root):
    def run(*args, stdin=None):
        r = subprocess.run(["kubectl", "--kubeconfig", f"{root}/etc/atoll/admin.kubeconfig", *args], input=stdin, capture_output=True, text=True, timeout=60)
        return r.returncode, r.stdout, r.stderr
    return run


def test_kubectl(raw, ns, kubectl):
    name = f"deploy-{ns}"
    code, out, err = kubectl("apply", "-f", "-", stdin=MANIFEST % {"name": name, "ns": ns})
    assert code == 0, err
    try:
        create = ["-n", ns, "create", "deployment", "web", "--image=registry.example/web:1"]
        code, out, err = kubectl(*create, "--replicas=6")
        assert code == 1 and f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: replicas must be no greater than 5, not 6" in err, err
        code, out, err = kubectl("-n", ns, "create", "deployment", "web", "--image=elsewhere.example/web:1")
        assert code == 1 and "images come from registry.example" in err, err
        assert kubectl(*create, "--replicas=2")[0] == 0
        code, out, err = kubectl("-n", ns, "scale", "deployment", "web", "--replicas=3")
        assert code == 0, err
        code, out, err = kubectl("get", "validatingadmissionpolicies", name)
        assert out.split()[:4] == ["NAME", "VALIDATIONS", "PARAMKIND", "AGE"] and out.split()[4:7] == [name, "2", "<unset>"], out
        code, out, err = kubectl("get", "validatingadmissionpolicybindings", name)
        assert out.split()[4:7] == [name, name, "<unset>"], out
        code, out, err = kubectl("explain", "validatingadmissionpolicy.spec.validations.messageExpression")
        assert code == 0 and "CEL" in out, err
    finally:
        kubectl("delete", "-f", "-", stdin=MANIFEST % {"name": name, "ns": ns})
