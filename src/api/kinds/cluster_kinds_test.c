/* Autoscalers, networking, policy, storage, quotas, priorities and the forms of older clients. */
#include <string.h>

#include "api/codec/convert.h"
#include "api/kinds/kinds_test.h"
#include "base/buf.h"
#include "base/slice.h"

#define META "'metadata':{'name':'x','namespace':'n'}"
#define CLUSTER "'metadata':{'name':'x'}"

#define HPA(fields)                                                                                \
    "{" META ",'spec':{'scaleTargetRef':{'kind':'Deployment','name':'d'}," fields "}}"

TEST(autoscaler_says_what_is_wrong) {
    static const struct validation cases[] = {
        {"autoscaling/v2", "HorizontalPodAutoscaler", HPA("'maxReplicas':2"), ""},
        {"autoscaling/v2", "HorizontalPodAutoscaler", HPA("'minReplicas':0,'maxReplicas':0"),
         "spec.metrics: Forbidden: must specify at least one Object or External metric to support "
         "scaling to zero replicas\n"
         "spec.maxReplicas: Invalid value: 0: must be greater than 0"},
        {"autoscaling/v2", "HorizontalPodAutoscaler",
         HPA("'minReplicas':0,'maxReplicas':2,'metrics':[{'type':'External','external':{'metric':{"
             "'name':'q'},'target':{'type':'Value','value':'1'}}}]"),
         ""},
        {"autoscaling/v2", "HorizontalPodAutoscaler",
         HPA("'maxReplicas':2,'metrics':[{'type':'Pods','resource':{'name':'cpu','target':{'type':"
             "'Value'}}}]"),
         "spec.metrics[0].pods: Required value: must populate information for the given metric "
         "source\n"
         "spec.metrics[0].resource: Forbidden: must populate the given metric source only\n"
         "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a "
         "target raw value or a target utilization"},
        {"autoscaling/v2", "HorizontalPodAutoscaler",
         HPA("'maxReplicas':2,'behavior':{'scaleUp':{'stabilizationWindowSeconds':3601,'policies':"
             "[{'type':'Cats','value':0,'periodSeconds':1801}]}}"),
         "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than "
         "or "
         "equal to 3600\n"
         "spec.behavior.scaleUp.policies[0].type: Unsupported value: \"Cats\": supported values: "
         "\"Percent\", \"Pods\"\n"
         "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero\n"
         "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than "
         "or "
         "equal to 1800"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(autoscaler_shows_present_and_wanted_values) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o = test_load(
        a, "autoscaling/v2", "HorizontalPodAutoscaler",
        "{'metadata':{'name':'x','creationTimestamp':'2023-11-14T22:12:20Z'},'spec':{"
        "'scaleTargetRef':{'kind':'Deployment','name':'d'},'maxReplicas':5,'metrics':[{'type':"
        "'Resource','resource':{'name':'cpu','target':{'type':'Utilization','averageUtilization':"
        "80}}},"
        "{'type':'Pods','pods':{'metric':{'name':'m'},'target':{'type':'AverageValue','"
        "averageValue':"
        "'100m'}}},{'type':'External'}]},'status':{'currentReplicas':2,'currentMetrics':[{'type':"
        "'Resource','resource':{'name':'cpu','current':{'averageUtilization':20}}}]}}");
    assert_string_equal(test_row(a, "autoscaling/v2", "HorizontalPodAutoscaler", o),
                        "x|Deployment/d|cpu: 20%/80%, <unknown>/100m + 1 more...|1|5|2|60s");
}

TEST(network_policy_says_what_is_wrong) {
    static const struct validation cases[] = {
        {"networking.k8s.io/v1", "NetworkPolicy",
         "{" META ",'spec':{'podSelector':{},'ingress':[{'ports':[{'protocol':'ICMP','port':0},"
         "{'endPort':5},{'port':9,'endPort':8}],'from':[{},{'ipBlock':{'cidr':'10.0.0.0/"
         "8','except':"
         "['10.0.0.0/8','11.0.0.0/9','10.1.0.0/16']},'podSelector':{}}]}],'policyTypes':['Both']}}",
         "spec.ingress[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: "
         "\"SCTP\", \"TCP\", \"UDP\"\n"
         "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive\n"
         "spec.ingress[0].ports[1].port: Required value: may not be empty when `endPort` is "
         "specified\n"
         "spec.ingress[0].ports[2].endPort: Invalid value: 8: must be greater than or equal to "
         "`port`\n"
         "spec.ingress[0].from[0]: Required value: must specify a peer\n"
         "spec.ingress[0].from[1].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a "
         "strict "
         "subset of `cidr`\n"
         "spec.ingress[0].from[1].ipBlock.except[1]: Invalid value: \"11.0.0.0/9\": must be a "
         "strict "
         "subset of `cidr`\n"
         "spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer\n"
         "spec.policyTypes[0]: Unsupported value: \"Both\": supported values: \"Egress\", "
         "\"Ingress\""},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(ingress_says_what_is_wrong) {
    static const struct validation cases[] = {
        {"networking.k8s.io/v1", "Ingress", "{" META ",'spec':{}}",
         "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"},
        {"networking.k8s.io/v1", "Ingress",
         "{" META
         ",'spec':{'defaultBackend':{'service':{'name':'s','port':{'name':'p','number':1}}},"
         "'rules':[{'host':'10.0.0.1','http':{'paths':[{'path':'a//"
         "b','pathType':'Prefix','backend':"
         "{}},{'path':'/'}]}}]}}",
         "spec.defaultBackend: Invalid value: \"\": cannot set both port name & port number\n"
         "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address\n"
         "spec.rules[0].http.paths[0].path: Invalid value: \"a//b\": must be an absolute path\n"
         "spec.rules[0].http.paths[0].path: Invalid value: \"a//b\": must not contain '//'\n"
         "spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is "
         "required\n"
         "spec.rules[0].http.paths[1].pathType: Required value: pathType must be specified"},
        {"networking.k8s.io/v1", "IngressClass",
         "{" CLUSTER ",'spec':{'controller':'nginx','parameters':{'kind':'K','name':'n','scope':"
         "'Namespace'}}}",
         "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'\n"
         "spec.controller: Invalid value: \"nginx\": must be a domain-prefixed path (such as "
         "\"acme.io/foo\")"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(budgets_priorities_and_runtimes_say_what_is_wrong) {
    static const struct validation cases[] = {
        {"policy/v1", "PodDisruptionBudget", "{" META ",'spec':{'minAvailable':'101%'}}",
         "spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"},
        {"scheduling.k8s.io/v1", "PriorityClass",
         "{'metadata':{'name':'system-mine'},'value':1,'preemptionPolicy':'Maybe'}",
         "preemptionPolicy: Unsupported value: \"Maybe\": supported values: \"Never\", "
         "\"PreemptLowerPriority\"\n"
         "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for "
         "system use only. error: system-mine is not a known system priority class"},
        {"scheduling.k8s.io/v1", "PriorityClass",
         "{'metadata':{'name':'system-node-critical'},'value':2000001000}", ""},
        {"scheduling.k8s.io/v1", "PriorityClass", "{" CLUSTER ",'value':1000000001}",
         "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(names_are_as_free_as_upstream) {
    static const struct validation cases[] = {
        {"policy/v1", "PodDisruptionBudget",
         "{'metadata':{'name':'B_1','namespace':'n'},'spec':{}}", ""},
        {"v1", "Event",
         "{'metadata':{'name':'B_1','namespace':'n'},'involvedObject':{'namespace':'n'}}", ""},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_causes causes = {.a = a};
        struct api_object *o = test_load(a, cases[i].api_version, cases[i].kind, cases[i].json);
        api_validate_metadata(api_kind_by_api_version(cases[i].api_version, cases[i].kind),
                              &o->metadata, NULL, &causes);
        assert_int_equal(causes.n, 0);
    }
}

TEST(the_rest_says_what_is_wrong) {
    static const struct validation cases[] = {
        {"v1", "Node", "{" CLUSTER ",'status':{'capacity':{'cpu':'-1'},'allocatable':{'cpu':'1'}}}",
         "status.capacity.cpu: Invalid value: \"-1\": must be greater than or equal to 0"},
        {"v1", "Secret", "{" META ",'type':'kubernetes.io/ssh-auth','data':{'ssh-privatekey':''}}",
         "data[ssh-privatekey]: Required value"},
        {"networking.k8s.io/v1", "Ingress",
         "{" META ",'spec':{'defaultBackend':{'resource':{'kind':'a/b'}}}}",
         "spec.defaultBackend.resource.kind: Invalid value: \"a/b\": may not contain '/'\n"
         "spec.defaultBackend.resource.name: Required value: name is required"},
        {"v1", "LimitRange", "{" META ",'spec':{'limits':[{'type':'a/b/c'}]}}",
         "spec.limits[0].type: Invalid value: \"a/b/c\": a qualified name must consist of "
         "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
         "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
         "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and "
         "'/' (e.g. 'example.com/MyName')"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(storage_says_what_is_wrong) {
    static const struct validation cases[] = {
        {"v1", "PersistentVolume",
         "{" CLUSTER ",'spec':{'accessModes':['ReadWriteOncePod','ReadOnlyMany'],'capacity':"
         "{'storage':'0'},'local':{'path':'/a/../b'},'hostPath':{'path':'/'},"
         "'persistentVolumeReclaimPolicy':'Recycle'}}",
         "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes\n"
         "spec.local: Forbidden: may not specify more than 1 volume type\n"
         "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero\n"
         "spec.local.path: Invalid value: \"/a/../b\": must not contain '..'\n"
         "spec.nodeAffinity: Required value: Local volume requires node affinity\n"
         "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount "
         "of "
         "'/'"},
        {"v1", "PersistentVolumeClaim", "{" META ",'spec':{}}",
         "spec.accessModes: Required value: at least 1 access mode is required\n"
         "spec.resources[storage]: Required value"},
        {"storage.k8s.io/v1", "StorageClass", "{" CLUSTER ",'reclaimPolicy':'Burn'}",
         "provisioner: Required value\n"
         "reclaimPolicy: Unsupported value: \"Burn\": supported values: \"Delete\", \"Retain\""},
        {"storage.k8s.io/v1", "VolumeAttachment",
         "{" CLUSTER ",'spec':{'attacher':'a','nodeName':'n','source':{}}}",
         "spec.source: Required value: must specify exactly one of inlineVolumeSpec and "
         "persistentVolumeName"},
        {"v1", "PersistentVolume",
         "{" CLUSTER ",'spec':{'accessModes':['ReadOnlyMany'],'capacity':{'storage':'1'},'csi':{"
         "'driver':'D.e','volumeHandle':'h','nodeStageSecretRef':{'name':'s'}},'nodeAffinity':{"
         "'required':{'nodeSelectorTerms':[{'matchExpressions':[{'key':'k','operator':'In'}]}]}}}}",
         "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values: Required "
         "value: must be specified when `operator` is 'In' or 'NotIn'\n"
         "spec.csi.nodeStageSecretRef.namespace: Required value"},
        {"storage.k8s.io/v1", "StorageClass",
         "{" CLUSTER ",'provisioner':'p','allowedTopologies':[{'matchLabelExpressions':[{'key':'k',"
         "'values':['a','a']},{'key':'k','values':['b']}]},{}]}",
         "allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"\n"
         "allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: \"k\"\n"
         "allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\""},
        {"snapshot.storage.k8s.io/v1", "VolumeSnapshot", "{" META ",'spec':{'source':{}}}",
         "spec.source: Invalid value: \"\": exactly one of persistentVolumeClaimName and "
         "volumeSnapshotContentName must be set"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(quotas_and_ranges_say_what_is_wrong) {
    static const struct validation cases[] = {
        {"v1", "ResourceQuota",
         "{" META ",'spec':{'hard':{'cats':'1','pods':'1500m'},'scopes':['BestEffort',"
         "'NotBestEffort']}}",
         "spec.hard[cats]: Invalid value: \"cats\": must be a standard resource for quota\n"
         "spec.hard[pods]: Invalid value: \"1500m\": must be an integer\n"
         "spec.scopes: Invalid value: \"\": conflicting scopes"},
        {"v1", "LimitRange",
         "{" META ",'spec':{'limits':[{'type':'Pod','min':{'cpu':'2'},'max':{'cpu':'1'},'default':"
         "{'cpu':'1'}},{'type':'Container','max':{'cpu':'1'},'maxLimitRequestRatio':{'cpu':'500m'}}"
         "]}}",
         "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'\n"
         "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1\n"
         "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default "
         "value 1\n"
         "spec.limits[1].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less "
         "than "
         "1"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(quotas_keep_their_scopes_but_not_their_selectors) {
    static const struct {
        const char *spec, *causes;
    } cases[] = {
        {"'scopeSelector':{'matchExpressions':[{'scopeName':'PriorityClass','operator':'In',"
         "'values':['b']}]}",
         ""},
        {"'scopes':['BestEffort']",
         "spec.scopes: Invalid value: [\"BestEffort\"]: field is immutable"},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *old = test_load(a, "v1", "ResourceQuota", "{" META ",'spec':{}}");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *json = arena_printf(a, "{" META ",'spec':{%s}}", cases[i].spec);
        struct api_object *now = test_load(a, "v1", "ResourceQuota", json);
        assert_string_equal(test_causes(a, "v1", "ResourceQuota", now, old), cases[i].causes);
    }
}

TEST(limit_range_fills_in_what_follows) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_limit_range *l = (void *)test_load(
        a, "v1", "LimitRange",
        "{" META
        ",'spec':{'limits':[{'type':'Container','max':{'cpu':'4'},'min':{'memory':'1Mi'}}]}}");
    const struct core_v1_limit_range_item *item = &l->spec.limits.v[0];
    assert_string_equal(str_map_get(&item->default_, "cpu"), "4");
    assert_string_equal(str_map_get(&item->default_request, "cpu"), "4");
    assert_string_equal(str_map_get(&item->default_request, "memory"), "1Mi");
}

TEST(autoscaler_forms_carry_everything) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct api_kind *v2 = api_kind_by_plural("autoscaling", "v2", "horizontalpodautoscalers");
    const struct api_kind *v1 = api_kind_by_plural("autoscaling", "v1", "horizontalpodautoscalers");
    struct api_object *o = test_load(
        a, "autoscaling/v2", "HorizontalPodAutoscaler",
        HPA("'maxReplicas':5,'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{'"
            "type':"
            "'Utilization','averageUtilization':70}}},{'type':'External','external':{'metric':{'"
            "name':"
            "'q'},'target':{'type':'Value','value':'3'}}}],'behavior':{'scaleUp':{'selectPolicy':"
            "'Min'}}"));
    o->api_version = v2->api_version;
    o->kind = v2->kind;
    struct autoscaling_v1_horizontal_pod_autoscaler *old = (void *)api_convert(a, v2, v1, o);
    assert_int_equal(*old->spec.target_cpu_utilization_percentage, 70);
    assert_non_null(
        str_map_get(&old->metadata.annotations, "autoscaling.alpha.kubernetes.io/metrics"));
    struct api_object *back = api_convert(a, v1, v2, (void *)old);
    assert_true(api_equal(v2->type, back, o));
}

TEST(endpoint_slice_forms_carry_node_and_zone) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct api_kind *v1 = api_kind_by_plural("discovery.k8s.io", "v1", "endpointslices");
    const struct api_kind *beta =
        api_kind_by_plural("discovery.k8s.io", "v1beta1", "endpointslices");
    struct api_object *o = test_load(a, "discovery.k8s.io/v1", "EndpointSlice",
                                     "{" META ",'addressType':'IPv4','endpoints':[{'addresses':"
                                     "['192.0.2.1'],'nodeName':'n1','zone':'z1'}],'ports':[]}");
    o->api_version = v1->api_version;
    o->kind = v1->kind;
    struct discovery_v1beta1_endpoint_slice *old = (void *)api_convert(a, v1, beta, o);
    assert_string_equal(str_map_get(&old->endpoints.v[0].topology, "kubernetes.io/hostname"), "n1");
    assert_string_equal(str_map_get(&old->endpoints.v[0].topology, "topology.kubernetes.io/zone"),
                        "z1");
    assert_true(api_equal(v1->type, api_convert(a, beta, v1, (void *)old), o));
}
