"""The .api files against facts about Kubernetes 1.32 (tests/reference/fields-1.32.tsv): every field of every type, its JSON
type and whether it is required, in both directions. The reference is the models of @kubernetes/client-node, so names only."""
import importlib.machinery
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
SCHEMAS = sorted((TOP / "src/api/schema").glob("*.api"))

# Upstream marks these otherwise in OpenAPI than it writes them in JSON.
REQUIRED_ANYWAY = {
    "FlowSchemaSpec.matchingPrecedence", "ResourcePolicyRule.namespaces", "QueuingConfiguration.handSize",
    "QueuingConfiguration.queueLengthLimit", "QueuingConfiguration.queues", "CSINodeDriver.topologyKeys", "HorizontalPodAutoscalerStatus.currentMetrics", "PodFailurePolicyRule.onPodConditions",
    "StatefulSetOrdinals.start", "StatefulSetStatus.availableReplicas",
    "ClusterRole.rules", "Container.image", "ContainerImage.names", "EndpointSlice.ports", "EphemeralContainer.image", "Event.reportingComponent",
    "Event.reportingInstance", "ExecAction.command", "ProjectedVolumeSource.sources", "Role.rules",
}


def load_compiler():
    loader = importlib.machinery.SourceFileLoader("schemac", str(TOP / "tools/schemac"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("schemac", loader))
    loader.exec_module(module)
    return module


def read_schema():
    schema = load_compiler().Schema()
    for path in SCHEMAS:
        schema.read(path)
    schema.resolve()
    return schema


def read_facts():
    facts = {}
    for line in (TOP / "tests/reference/fields-1.32.tsv").read_text().splitlines():
        if not line.startswith("#"):
            model, field, json_type, need = line.split("\t")
            facts.setdefault(model, {})[field] = (json_type, need == "required")
    return facts


FACTS = read_facts()
SCHEMA = read_schema()


# Not of 1.32: an add-on, a configuration, and the forms that only older clients speak (docs/decisions).
NOT_THERE = {("autoscaling.k8s.io", "v1"), ("snapshot.storage.k8s.io", "v1"), ("scheduling.x-k8s.io", "v1alpha1"), ("descheduling.atoll.dev", "v1alpha1"), ("sp.atoll.dev", "v1"), ("kubescheduler.config.k8s.io", "v1"), ("batch", "v1beta1"), ("discovery.k8s.io", "v1beta1"), ("policy", "v1beta1")}
TYPES = [t for t in SCHEMA.types if (t.group.name, t.group.version) not in NOT_THERE]


def model_of(group, name):
    """The reference calls a type GroupV1Name where two groups have the name, else V1Name."""
    version = group.version.capitalize()
    for candidate in (group.prefix.split("_")[0].capitalize() + version + name, version + name):
        if candidate in FACTS:
            return candidate
    return None


def spelled(field):
    """The JSON type of a field in the words of the reference."""
    plain = {"quantity": "string", "duration": "string"}
    base = field.target.name if field.target else plain.get(field.base, field.base)
    return {"API_ONE": "", "API_LIST": "[]", "API_MAP": "map[string]", "API_MAP_OF_LISTS": "map[string][]"}[field.shape] + base


def reference_type(text):
    return re.sub(r"\b(?:Apiextensions|Apiregistration|Flowcontrol|Storage|Core|Discovery|Events|Authentication|Authorization|Rbac|Admissionregistration)?V[12](?=[A-Z])", "", text)


@pytest.mark.parametrize("t", TYPES, ids=lambda t: f"{t.group.alias}.{t.name}")
def test_fields_are_those_of_kubernetes(t):
    model = model_of(t.group, t.name)
    assert model, "the reference has no such type"
    facts = FACTS[model]
    assert {f.name for f in t.fields} == set(facts)
    assert {f.name: spelled(f) for f in t.fields} == {name: reference_type(kind) for name, (kind, _) in facts.items()}


@pytest.mark.parametrize("t", TYPES, ids=lambda t: f"{t.group.alias}.{t.name}")
def test_required_fields_are_those_of_kubernetes(t):
    facts = FACTS[model_of(t.group, t.name)]
    ours = {f.name for f in t.fields if {"API_ALWAYS", "API_REQUIRED", "API_EXPECTED"} & set(f.flags)}
    ours -= {name for name in ours if f"{t.name}.{name}" in REQUIRED_ANYWAY}
    theirs = {name for name, (_, required) in facts.items() if required}
    assert ours == theirs - {name for name in theirs if f"{t.name}.{name}" in REQUIRED_ANYWAY}


def test_every_stored_kind_has_a_list_upstream():
    for kind in SCHEMA.kinds:
        if "API_VIRTUAL" not in kind.flags and (kind.group.name, kind.group.version) not in NOT_THERE:
            assert model_of(kind.group, kind.values["list"]), kind.values["list"]


def test_protobuf_numbers_are_unique_in_each_message():
    for t in SCHEMA.types:
        numbers = [(f.embed, f.embed2, f.number) for f in t.fields if f.name not in ("apiVersion", "kind")]
        assert all(number > 0 for *_, number in numbers), t.name
        assert len(set(numbers)) == len(numbers), t.name


@pytest.mark.parametrize("text, problem", [
    ("group core v1 x\ntype A : Doc.\n  a  strin @1 : Doc.", "unknown type strin"),
    ("group core v1 x\ntype A : Doc.\n  a  string @1 colour : Doc.", "unknown attribute colour"),
    ("group core v1 x\ntype A : Doc.\n  a  string @1", "no doc text"),
    ("group core v1 x\ntype A : Doc.\n  a  A @1 : Doc.", "holds itself by value"),
    ("group core v1 x\ntype A : Doc.\n  a  int32 @1 : Doc.\n  a  int32 @2 : Doc.", "defined twice"),
    ("group core v1 x\ntype A : Doc.\n  a  []B @1 listmap(k) : Doc.\ntype B : Doc.\n  b string @1 : Doc.", "no key field k"),
    ("group core v1 x\nkind A as\ntype A : Doc.\n  a string @1 : Doc.", "scope="),
])
def test_the_compiler_says_what_is_wrong(tmp_path, text, problem):
    source = tmp_path / "bad.api"
    source.write_text(text + "\n")
    run = subprocess.run([TOP / "tools/schemac", tmp_path, source], capture_output=True, text=True)
    assert run.returncode != 0 and problem in run.stderr, run.stderr
