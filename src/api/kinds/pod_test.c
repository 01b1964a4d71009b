#include <string.h>

#include "api/kinds/kinds_test.h"
#include "api/rules/pods.h"
#include "base/buf.h"
#include "base/slice.h"

#define META "'metadata':{'name':'p','namespace':'default'}"
#define POD(spec) "{" META ",'spec':{" spec "}}"
#define ONE(rest) POD("'containers':[{'name':'c','image':'i:1'" rest "}]")

#define SUBDOMAIN                                                                                  \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "  \
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

/* What is refused, and in which words; "" is what is allowed. */
static const struct {
    const char *json, *causes;
} pod_rule_cases[] = {
    {ONE(""), ""},
    {POD(""), "spec.containers: Required value"},
    {POD("'containers':[{'image':'i'}]"), "spec.containers[0].name: Required value"},
    {POD("'containers':[{'name':'c'}]"), "spec.containers[0].image: Required value"},
    {POD("'restartPolicy':'Sometimes','containers':[{'name':'c','image':'i'}]"),
     "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", "
     "\"OnFailure\", \"Never\""},
    {ONE(",'imagePullPolicy':'X'"),
     "spec.containers[0].imagePullPolicy: Unsupported value: \"X\": supported values: "
     "\"Always\", \"IfNotPresent\", \"Never\""},
    {POD("'containers':[{'name':'c','image':'i'},{'name':'c','image':'j'}]"),
     "spec.containers[1].name: Duplicate value: \"c\""},
    {POD("'containers':[{'name':'c','image':'i'}],'initContainers':[{'name':'c','image':'j'}]"),
     "spec.initContainers[0].name: Duplicate value: \"c\""},
    {ONE(",'volumeMounts':[{'name':'v','mountPath':'/x'}]"),
     "spec.containers[0].volumeMounts[0].name: Not found: \"v\""},
    {POD("'volumes':[{'name':'v'}],'containers':[{'name':'c','image':'i'}]"), ""}, /* emptyDir */
    {POD("'volumes':[{'name':'v','csi':{'driver':'D_','nodePublishSecretRef':{}}},{'name':'f','fc':"
         "{"
         "'targetWWNs':['w']}},{'name':'i','iscsi':{'iqn':'q','targetPortal':'p','lun':256}}],"
         "'containers':[{'name':'c','image':'i','volumeDevices':[{'name':'v','devicePath':'/d'},{"
         "'name':'x','devicePath':'/e'}]}]"),
     "spec.volumes[2].iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive\n"
     "spec.volumes[0].csi.driver: Invalid value: \"d_\": " SUBDOMAIN "\n"
     "spec.volumes[0].csi.nodePublishSecretRef.name: Required value\n"
     "spec.volumes[1].fc.lun: Required value: lun is required if targetWWNs is specified\n"
     "spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": can only use volume source "
     "type of PersistentVolumeClaim or Ephemeral for block mode\n"
     "spec.containers[0].volumeDevices[1].name: Not found: \"x\""},
    {POD("'affinity':{'nodeAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{'weight':"
         "1,"
         "'preference':{'matchFields':[{'key':'metadata.name','operator':'In','values':['a','N']}]}"
         "}]}},'containers':[{'name':'c','image':'i'}]"),
     "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference."
     "matchFields[0].values: Required value: must be only one value when `operator` is 'In' or "
     "'NotIn' for node field selector\n"
     "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference."
     "matchFields[0].values[1]: Invalid value: \"N\": " SUBDOMAIN},
    {POD("'dnsConfig':{'searches':['a.b.','_tcp.c','.','A']},'containers':[{'name':'c','image':'i'"
         "}]"),
     "spec.dnsConfig.searches[3]: Invalid value: \"A\": " SUBDOMAIN},
    {POD("'securityContext':{'sysctls':[{'name':'a','value':'1'},{'name':'a','value':'2'}]},"
         "'containers':[{'name':'c','image':'i'}]"),
     "spec.securityContext.sysctls[1].name: Duplicate value: \"a\""},
    {ONE(",'resources':{'requests':{'hugepages-2Mi':'2Mi'}}"),
     "spec.containers[0].resources.limits: Required value: Limit must be set for non "
     "overcommitable "
     "resources"},
    {ONE(",'lifecycle':{'preStop':{'httpGet':{'port':1,'httpHeaders':[{'name':'a "
         "b','value':''}]}}}"),
     "spec.containers[0].lifecycle.preStop.httpGet.httpHeaders: Invalid value: \"a b\": a valid "
     "HTTP "
     "header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
     "validation is '[-A-Za-z0-9]+')"},
    {POD("'volumes':[{'name':'v','emptyDir':{},'hostPath':{'path':'/x'}}],"
         "'containers':[{'name':'c','image':'i'}]"),
     "spec.volumes[0]: Forbidden: may not specify more than 1 volume type"},
    {POD("'volumes':[{'name':'v','configMap':{'name':'m','items':[{'key':'k','path':'../x'}]}}"
         "],'containers':[{'name':'c','image':'i'}]"),
     "spec.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'"},
    {POD("'topologySpreadConstraints':[{'topologyKey':'a','whenUnsatisfiable':'DoNotSchedule',"
         "'minDomains':0,'matchLabelKeys':['k']},{'maxSkew':-1,'topologyKey':'a',"
         "'whenUnsatisfiable':'DoNotSchedule','labelSelector':{'matchLabels':{'k':'v'}},"
         "'matchLabelKeys':['k']}],'containers':[{'name':'c','image':'i'}]"),
     "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero\n"
     "spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero\n"
     "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when "
     "labelSelector is not set\n"
     "spec.topologySpreadConstraints[1].maxSkew: Invalid value: -1: must be greater than zero\n"
     "spec.topologySpreadConstraints[1].matchLabelKeys[0]: Invalid value: \"k\": exists in both "
     "matchLabelKeys and labelSelector\n"
     "spec.topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}: Duplicate value: "
     "\"{a, DoNotSchedule}\""},
    {ONE(",'livenessProbe':{}"),
     "spec.containers[0].livenessProbe: Required value: must specify a handler type"},
    {ONE(",'livenessProbe':{'successThreshold':2,'exec':{'command':['x']}}"),
     "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"},
    {ONE(",'readinessProbe':{'exec':{'command':['x']},'tcpSocket':{'port':1}}"),
     "spec.containers[0].readinessProbe: Forbidden: may not specify more than 1 handler type"},
    {ONE(",'resources':{'limits':{'cpu':'1'},'requests':{'cpu':'2'}}"),
     "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal "
     "to cpu limit of 1"},
    {ONE(",'resources':{'limits':{'gpu':'1'}}"),
     "spec.containers[0].resources.limits: Invalid value: \"gpu\": must be a standard resource "
     "for containers\n"
     "spec.containers[0].resources.requests: Invalid value: \"gpu\": must be a standard "
     "resource for containers"},
    {ONE(",'env':[{'name':'A','valueFrom':{}}]"),
     "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: "
     "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"},
    {ONE(",'env':[{'name':'A','value':'1'},{'name':'A','value':'2'}]"), ""},
    {ONE(",'env':[{'name':'A','valueFrom':{'fieldRef':{'fieldPath':'metadata.labels"
         "[\\u0027a b\\u0027]'}}}]"),
     "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"a b\": name "
     "part "
     "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
     "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
     "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"},
    {ONE(",'ports':[{'name':'a','containerPort':1},{'name':'a','containerPort':2}]"),
     "spec.containers[0].ports[1].name: Duplicate value: \"a\""},
    {POD("'hostNetwork':true,'containers':[{'name':'c','image':'i','ports':[{'containerPort':1,"
         "'hostPort':2}]}]"),
     "spec.containers[0].ports[0].containerPort: Invalid value: 1: must match `hostPort` when "
     "`hostNetwork` is true"},
    {POD("'initContainers':[{'name':'a','image':'i','readinessProbe':{'exec':{'command':['x']}}"
         "}],'containers':[{'name':'c','image':'i'}]"),
     "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers "
     "without restartPolicy=Always"},
    {ONE(",'restartPolicy':'Always'"),
     "spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers"},
    {POD("'tolerations':[{'operator':'Exists','value':'x'}],'containers':[{'name':'c','image':"
         "'i'}]"),
     "spec.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` "
     "is 'Exists'"},
    {POD("'dnsPolicy':'None','containers':[{'name':'c','image':'i'}]"),
     "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"},
    {ONE(",'securityContext':{'privileged':true,'allowPrivilegeEscalation':false}"),
     "spec.containers[0].securityContext: Invalid value: {}: cannot set "
     "`allowPrivilegeEscalation` to false and `privileged` to true"},
};

TEST(pod_rules) {
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(pod_rule_cases); i++) {
        struct api_object *o = test_load(a, "v1", "Pod", pod_rule_cases[i].json);
        const char *got = test_causes(a, "v1", "Pod", o, NULL);
        if (strcmp(got, pod_rule_cases[i].causes) != 0)
            fail_msg("%s\n  got:  %s\n  want: %s", pod_rule_cases[i].json, got,
                     pod_rule_cases[i].causes);
    }
}

TEST(pod_updates_change_little) {
    static const struct {
        const char *json;
        const char *cause; /* how it begins */
    } cases[] = {
        {ONE(""), ""},
        {POD("'containers':[{'name':'c','image':'other'}]"),
         "spec: Forbidden: pod updates may not"},
        {POD("'containers':[{'name':'c','image':'i:2'}]"), ""},
        {POD("'activeDeadlineSeconds':5,'containers':[{'name':'c','image':'i:1'}]"), ""},
        {POD("'tolerations':[{'operator':'Exists'}],'containers':[{'name':'c','image':'i:1'}]"),
         ""},
        {POD("'nodeName':'n','containers':[{'name':'c','image':'i:1'}]"),
         "spec: Forbidden: pod updates may not change fields other than "
         "`spec.containers[*].image`,"},
        {POD("'containers':[{'name':'c','image':'i:1'},{'name':'d','image':'i:1'}]"),
         "spec.containers: Forbidden: pod updates may not add or remove containers"},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *old = test_load(a, "v1", "Pod", ONE(""));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_object *o = test_load(a, "v1", "Pod", cases[i].json);
        const char *got = test_causes(a, "v1", "Pod", o, old);
        if (!str_starts(got, cases[i].cause) || (!*cases[i].cause && *got))
            fail_msg("%s\n  got: %s", cases[i].json, got);
    }
}

TEST(pod_defaults_are_upstreams) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct core_v1_pod *pod = (struct core_v1_pod *)test_load(
        a, "v1", "Pod",
        POD("'volumes':[{'name':'v','configMap':{'name':'m'}},{'name':'e','emptyDir':{}}],"
            "'containers':[{'name':'c','image':'localhost:5000/i','ports':[{'containerPort':80}],"
            "'livenessProbe':{'httpGet':{'port':80}},'resources':{'limits':{'cpu':'1000m'}},"
            "'env':[{'name':'A','valueFrom':{'fieldRef':{'fieldPath':'metadata.name'}}}]}]"));
    api_encode(&b, &core_v1_pod_spec_type, &pod->spec);
    assert_string_equal(
        b.p,
        "{\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"m\",\"defaultMode\":420}},"
        "{\"name\":\"e\",\"emptyDir\":{}}],"
        "\"containers\":[{\"name\":\"c\",\"image\":\"localhost:5000/i\",\"ports\":[{"
        "\"containerPort\":80,\"protocol\":\"TCP\"}],\"env\":[{\"name\":\"A\",\"valueFrom\":{"
        "\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":\"metadata.name\"}}}],\"resources\":{"
        "\"limits\":{\"cpu\":\"1\"},\"requests\":{\"cpu\":\"1\"}},\"livenessProbe\":{\"httpGet\":{"
        "\"path\":\"/\",\"port\":80,\"scheme\":\"HTTP\"},\"timeoutSeconds\":1,\"periodSeconds\":10,"
        "\"successThreshold\":1,\"failureThreshold\":3},\"terminationMessagePath\":"
        "\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\",\"imagePullPolicy\":"
        "\"Always\"}],\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,"
        "\"dnsPolicy\":\"ClusterFirst\",\"securityContext\":{},\"schedulerName\":"
        "\"default-scheduler\",\"enableServiceLinks\":true}");
}

TEST(image_pull_policy_follows_the_tag) {
    static const struct {
        const char *image, *policy;
    } cases[] = {
        {"i", "Always"},        {"i:latest", "Always"},          {"i:1", "IfNotPresent"},
        {"r:5000/i", "Always"}, {"r:5000/i:v1", "IfNotPresent"}, {"i@sha256:0", "IfNotPresent"}};
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *json =
            arena_printf(a, POD("'containers':[{'name':'c','image':'%s'}]"), cases[i].image);
        struct core_v1_pod *pod = (struct core_v1_pod *)test_load(a, "v1", "Pod", json);
        assert_string_equal(pod->spec.containers.v[0].image_pull_policy, cases[i].policy);
    }
}

#define BORN "'metadata':{'name':'p','creationTimestamp':'2023-11-14T22:12:20Z'"
#define SPEC "'spec':{'containers':[{'name':'a','image':'i'},{'name':'b','image':'i'}]"
#define RUNNING "'state':{'running':{}},'ready':true"

TEST(pod_rows_as_kubectl_prints_them) {
    static const struct {
        const char *json, *row;
    } cases[] = {
        {"{" BORN "}," SPEC "},'status':{'phase':'Pending'}}",
         "p|0/2|Pending|0|60s|<none>|<none>|<none>|<none>"},
        {"{" BORN "}," SPEC ",'nodeName':'n'},'status':{'phase':'Running','podIP':'10.0.0.5',"
         "'containerStatuses':[{'name':'a'," RUNNING "},{'name':'b','restartCount':3," RUNNING
         ",'lastState':{'terminated':{'exitCode':1,'finishedAt':'2023-11-14T22:08:20Z'}}}]}}",
         "p|2/2|Running|3 (5m ago)|60s|10.0.0.5|n|<none>|<none>"},
        {"{" BORN "}," SPEC
         "},'status':{'phase':'Running','containerStatuses':[{'name':'a'," RUNNING
         "},{'name':'b','state':{'waiting':{'reason':'CrashLoopBackOff'}}}]}}",
         "p|1/2|CrashLoopBackOff|0|60s|<none>|<none>|<none>|<none>"},
        {"{" BORN "}," SPEC "},'status':{'phase':'Succeeded','containerStatuses':[{'name':'a',"
         "'state':{'terminated':{'reason':'Completed','exitCode':0}}}]}}",
         "p|0/2|Completed|0|60s|<none>|<none>|<none>|<none>"},
        {"{" BORN "}," SPEC "},'status':{'phase':'Running','containerStatuses':[{'name':'a',"
         "'state':{'terminated':{'reason':'Completed','exitCode':0}}},{'name':'b'," RUNNING "}]}}",
         "p|1/2|NotReady|0|60s|<none>|<none>|<none>|<none>"},
        {"{" BORN "}," SPEC "},'status':{'phase':'Failed','containerStatuses':[{'name':'a',"
         "'state':{'terminated':{'exitCode':3}}}]}}",
         "p|0/2|ExitCode:3|0|60s|<none>|<none>|<none>|<none>"},
        {"{" BORN ",'deletionTimestamp':'2023-11-14T22:13:00Z'}," SPEC "},'status':{'phase':"
         "'Running','containerStatuses':[{'name':'a'," RUNNING "}]}}",
         "p|1/2|Terminating|0|60s|<none>|<none>|<none>|<none>"},
        {"{" BORN "}," SPEC ",'initContainers':[{'name':'x','image':'i'}]},'status':{'phase':"
         "'Pending','initContainerStatuses':[{'name':'x','state':{'running':{}}}]}}",
         "p|0/2|Init:0/1|0|60s|<none>|<none>|<none>|<none>"},
        {"{" BORN "}," SPEC ",'initContainers':[{'name':'x','image':'i'}]},'status':{'phase':"
         "'Pending','initContainerStatuses':[{'name':'x','restartCount':2,'state':{'terminated':{"
         "'exitCode':1,'reason':'Error'}}}]}}",
         "p|0/2|Init:Error|2|60s|<none>|<none>|<none>|<none>"},
        {"{" BORN "}," SPEC ",'initContainers':[{'name':'s','image':'i','restartPolicy':'Always'}],"
         "'readinessGates':[{'conditionType':'g'}]},'status':{'phase':'Running','conditions':["
         "{'type':'g','status':'True'}],'initContainerStatuses':[{'name':'s','started':"
         "true," RUNNING "}],'containerStatuses':[{'name':'a'," RUNNING "},{'name':'b'," RUNNING
         "}]}}",
         "p|3/3|Running|0|60s|<none>|<none>|<none>|1/1"},
        {"{" BORN "}," SPEC "},'status':{'phase':'Failed','reason':'Evicted'}}",
         "p|0/2|Evicted|0|60s|<none>|<none>|<none>|<none>"},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(test_row(a, "v1", "Pod", test_load(a, "v1", "Pod", cases[i].json)),
                            cases[i].row);
}

TEST(pod_requests_count_sidecars_and_init_steps) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct core_v1_pod *pod = (const struct core_v1_pod *)test_load(
        a, "v1", "Pod",
        POD("'overhead':{'cpu':'10m'},'initContainers':["
            "{'name':'a','image':'i','resources':{'requests':{'cpu':'1','memory':'10Mi'}}},"
            "{'name':'s','image':'i','restartPolicy':'Always','resources':{'requests':{'cpu':"
            "'100m','memory':'5Mi'}}},"
            "{'name':'b','image':'i','resources':{'requests':{'cpu':'500m'}}}],"
            "'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'200m','memory':"
            "'20Mi'},'limits':{'memory':'40Mi'}}}]"));
    struct pod_resources r = pod_requests(&pod->spec);
    assert_int_equal(r.cpu_milli, 1010); /* the first init container is the largest step */
    assert_int_equal(r.memory_bytes, 25 << 20);
    assert_string_equal(pod_qos_class(&pod->spec), "Burstable");
}

TEST(pod_qos_classes) {
    static const struct {
        const char *resources, *class;
    } cases[] = {
        {"", "BestEffort"},
        {",'resources':{'requests':{'cpu':'1'}}", "Burstable"},
        {",'resources':{'limits':{'cpu':'1'}}", "Burstable"},
        {",'resources':{'limits':{'cpu':'1','memory':'1Gi'}}", "Guaranteed"},
        {",'resources':{'limits':{'cpu':'1','memory':'1Gi'},'requests':{'cpu':'1000m'}}",
         "Guaranteed"},
        {",'resources':{'limits':{'cpu':'1','memory':'1Gi'},'requests':{'cpu':'500m'}}",
         "Burstable"},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *json = arena_printf(a, ONE("%s"), cases[i].resources);
        const struct core_v1_pod *pod = (const struct core_v1_pod *)test_load(a, "v1", "Pod", json);
        assert_string_equal(pod_qos_class(&pod->spec), cases[i].class);
    }
}

TEST(pod_conditions_keep_their_transition_time) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_pod pod = {0};
    assert_true(pod_condition_set(a, &pod, "Ready", "False", "R", NULL, "2023-01-01T00:00:00Z"));
    assert_false(pod_condition_set(a, &pod, "Ready", "False", "R", NULL, "2023-01-02T00:00:00Z"));
    assert_true(pod_condition_set(a, &pod, "Ready", "False", "S", NULL, "2023-01-03T00:00:00Z"));
    assert_string_equal(pod.status.conditions.v[0].last_transition_time, "2023-01-01T00:00:00Z");
    assert_true(pod_condition_set(a, &pod, "Ready", "True", NULL, NULL, "2023-11-14T22:13:00Z"));
    assert_true(pod_is_ready(&pod));
    assert_int_equal(pod.status.conditions.n, 1);
}
