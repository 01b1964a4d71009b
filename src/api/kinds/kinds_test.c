#include "api/kinds/kinds_test.h"

#include <inttypes.h>
#include <string.h>

#include "api/codec/convert.h"
#include "base/buf.h"
#include "base/slice.h"

static char *quotes(struct arena *a, const char *s) {
    char *out = arena_str(a, s);
    for (char *p = out; *p; p++)
        if (*p == '\'') *p = '"';
    return out;
}

struct api_object *test_load(struct arena *a, const char *api_version, const char *kind,
                             const char *json) {
    const struct api_kind *k = api_kind_by_api_version(api_version, kind);
    if (!k) fail_msg("no kind %s", kind);
    const struct api_decode_opts opts = {.unknown = API_UNKNOWN_STRICT};
    struct err err = {0};
    void *obj = NULL;
    if (api_decode(a, k->type, slice_of(quotes(a, json)), &opts, &obj, &err) < 0)
        fail_msg("%s: %s", json, err.text);
    api_default(a, k->type, obj);
    const struct api_behavior *b = api_kind_behavior(k);
    if (b && b->defaults) b->defaults(a, obj);
    return obj;
}

const char *test_causes(struct arena *a, const char *api_version, const char *kind,
                        const struct api_object *o, const struct api_object *old) {
    const struct api_kind *k = api_kind_by_api_version(api_version, kind);
    const struct api_behavior *b = api_kind_behavior(k);
    struct api_causes causes = {.a = a};
    api_validate(k->type, o, old, "", &causes);
    api_validate_metadata(k, &o->metadata, old ? &old->metadata : NULL, &causes);
    if (b && b->validate) b->validate(o, old, "", &causes);
    OWN(buf_done) struct buf text = {0};
    for (size_t i = 0; i < causes.n; i++)
        buf_printf(&text, "%s%s: %s", i ? "\n" : "", causes.v[i].field, causes.v[i].message);
    return arena_strn(a, buf_view(&text));
}

void test_validations(const struct validation *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        const struct validation *v = &cases[i];
        struct api_object *o = test_load(a, v->api_version, v->kind, v->json);
        assert_string_equal(test_causes(a, v->api_version, v->kind, o, NULL), v->causes);
    }
}

const char *test_row(struct arena *a, const char *api_version, const char *kind,
                     const struct api_object *o) {
    const struct api_behavior *b = api_kind_behavior(api_kind_by_api_version(api_version, kind));
    struct api_cell *cells = ARENA_ARRAY(a, struct api_cell, b->n_columns);
    OWN(buf_done) struct buf text = {0};
    b->row(a, o, TEST_NOW_NS, cells);
    for (size_t i = 0; i < b->n_columns; i++) {
        if (i) buf_char(&text, '|');
        if (cells[i].kind == CELL_INT)
            buf_i64(&text, cells[i].i);
        else
            buf_str(&text, cells[i].s);
    }
    return arena_strn(a, buf_view(&text));
}

TEST(behaviours_are_whole) {
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        const struct api_behavior *b = api_kind_behavior(kinds[i]);
        if (!b) continue;
        assert_true(!b->columns == !b->row);
        assert_true(!b->field == !b->fields);
    }
}

/* Of several forms of one resource exactly one is stored, and the others convert both ways. */
TEST(converted_kinds_have_a_stored_form) {
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        if (!(kinds[i]->flags & API_CONVERTED)) continue;
        OWN(arena_free_p) struct arena *a = arena_new();
        const struct api_kind *stored = NULL;
        for (size_t j = 0; j < n; j++) {
            if (!str_eq(kinds[j]->store_prefix, kinds[i]->store_prefix)) continue;
            if (kinds[j]->flags & API_CONVERTED) continue;
            assert_null(stored);
            stored = kinds[j];
        }
        assert_non_null(stored);
        struct api_object *o = api_convert(a, kinds[i], stored, api_object_new(a, kinds[i]));
        assert_string_equal(o->api_version, stored->api_version);
        assert_string_equal(api_convert(a, stored, kinds[i], o)->api_version,
                            kinds[i]->api_version);
    }
}

TEST(kinds_know_the_fields_they_list) {
    OWN(arena_free_p) struct arena *a = arena_new();
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        const struct api_behavior *b = api_kind_behavior(kinds[i]);
        if (!b || !b->field) continue;
        struct api_object *o = api_object_new(a, kinds[i]);
        for (const char *const *f = b->fields; *f; f++)
            if (!b->field(a, o, *f)) fail_msg("%s %s", kinds[i]->kind, *f);
        assert_null(b->field(a, o, "spec.nothing"));
    }
}

TEST(rows_of_empty_objects_do_not_crash) {
    OWN(arena_free_p) struct arena *a = arena_new();
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        const struct api_behavior *b = api_kind_behavior(kinds[i]);
        struct api_object *o = api_object_new(a, kinds[i]);
        struct api_causes causes = {.a = a};
        if (b && b->defaults) b->defaults(a, o);
        if (b && b->prepare) b->prepare(a, o, NULL);
        if (b && b->validate) b->validate(o, NULL, "", &causes);
        if (b && b->row) assert_non_null(test_row(a, kinds[i]->api_version, kinds[i]->kind, o));
    }
}

struct rule_case {
    const char *api_version, *kind, *json, *old, *causes;
};

/* The first cause of each, so that one document shows one rule. */
static void check_rules(const struct rule_case *cases, size_t n) {
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < n; i++) {
        const struct rule_case *c = &cases[i];
        struct api_object *o = test_load(a, c->api_version, c->kind, c->json);
        struct api_object *old = c->old ? test_load(a, c->api_version, c->kind, c->old) : NULL;
        const struct api_behavior *b =
            api_kind_behavior(api_kind_by_api_version(c->api_version, c->kind));
        if (b && b->prepare && old) b->prepare(a, o, old);
        const char *got = test_causes(a, c->api_version, c->kind, o, old);
        if (strcmp(got, c->causes) != 0)
            fail_msg("%s\n  got:  %s\n  want: %s", c->json, got, c->causes);
    }
}

#define META "'metadata':{'name':'x','namespace':'default'}"
#define SVC "{" META ",'spec':{"

TEST(service_rules) {
    static const struct rule_case cases[] = {
        {"v1", "Service", SVC "'ports':[{'port':80}]}}", NULL, ""},
        {"v1", "Service", SVC "}}", NULL, "spec.ports: Required value"},
        {"v1", "Service", SVC "'clusterIP':'None'}}", NULL, ""},
        {"v1", "Service", SVC "'ports':[{'port':80},{'name':'b','port':81}]}}", NULL,
         "spec.ports[0].name: Required value"},
        {"v1", "Service", SVC "'ports':[{'name':'a','port':80},{'name':'a','port':81}]}}", NULL,
         "spec.ports[1].name: Duplicate value: \"a\""},
        {"v1", "Service", SVC "'ports':[{'port':80,'nodePort':30000}]}}", NULL,
         "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"},
        {"v1", "Service", SVC "'type':'ExternalName'}}", NULL, "spec.externalName: Required value"},
        {"v1", "Service", SVC "'type':'Magic','ports':[{'port':80}]}}", NULL,
         "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", "
         "\"ExternalName\", \"LoadBalancer\", \"NodePort\""},
        {"v1", "Service", SVC "'clusterIP':'1.2.3','ports':[{'port':80}]}}", NULL,
         "spec.clusterIPs[0]: Invalid value: \"1.2.3\": must be a valid IP address, (e.g. 10.9.8.7 "
         "or 2001:db8::ffff)"},
        {"v1", "Service", SVC "'clusterIP':'10.0.0.2','ports':[{'port':80}]}}",
         SVC "'clusterIP':'10.0.0.1','ports':[{'port':80}]}}",
         "spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"},
        {"v1", "Service", SVC "'ports':[{'port':80}]}}",
         SVC "'clusterIP':'10.0.0.1','ports':[{'port':80}]}}", ""},
        {"v1", "Service", SVC "'ports':[{'port':80}]}}",
         SVC "'type':'NodePort','clusterIP':'10.0.0.1','ports':[{'port':80,'nodePort':30001}]}}",
         ""},
        {"v1", "Service", SVC "'ports':[{'port':0}]}}", NULL,
         "spec.ports[0].port: Required value\n"
         "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive"},
        {"v1", "Service", SVC "'ports':[{'port':70000}]}}", NULL,
         "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive\n"
         "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive"},
    };
    check_rules(cases, ARRAY_LEN(cases));
}

#define TEMPLATE(label)                                                                            \
    "'template':{'metadata':{'labels':{'app':'" label                                              \
    "'}},'spec':{'containers':[{'name':'c','image':'i:1'}]}}"
#define DEPLOY(rest) "{" META ",'spec':{" rest "}}"
#define SELECTOR "'selector':{'matchLabels':{'app':'a'}}"

TEST(deployment_rules) {
    static const struct rule_case cases[] = {
        {"apps/v1", "Deployment", DEPLOY(SELECTOR "," TEMPLATE("a")), NULL, ""},
        {"apps/v1", "Deployment", DEPLOY(TEMPLATE("a")), NULL, "spec.selector: Required value"},
        {"apps/v1", "Deployment", DEPLOY("'selector':{}," TEMPLATE("a")), NULL,
         "spec.selector: Invalid value: {}: empty selector is invalid for deployment"},
        {"apps/v1", "Deployment", DEPLOY(SELECTOR "," TEMPLATE("b")), NULL,
         "spec.template.metadata.labels: Invalid value: {\"app\":\"b\"}: `selector` does not match "
         "template `labels`"},
        {"apps/v1", "Deployment", DEPLOY("'replicas':-1," SELECTOR "," TEMPLATE("a")), NULL,
         "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
        {"apps/v1", "Deployment",
         DEPLOY("'strategy':{'type':'Recreate','rollingUpdate':{}}," SELECTOR "," TEMPLATE("a")),
         NULL,
         "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is "
         "'Recreate'"},
        {"apps/v1", "Deployment",
         DEPLOY("'strategy':{'rollingUpdate':{'maxSurge':0,'maxUnavailable':0}}," SELECTOR
                "," TEMPLATE("a")),
         NULL,
         "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when "
         "`maxSurge` is 0"},
        {"apps/v1", "Deployment",
         DEPLOY("'strategy':{'rollingUpdate':{'maxUnavailable':'101%'}}," SELECTOR
                "," TEMPLATE("a")),
         NULL,
         "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater "
         "than 100%"},
        {"apps/v1", "Deployment", DEPLOY("'selector':{'matchLabels':{'app':'b'}}," TEMPLATE("b")),
         DEPLOY(SELECTOR "," TEMPLATE("a")),
         "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable"},
        {"apps/v1", "Deployment",
         DEPLOY("'progressDeadlineSeconds':5,'minReadySeconds':5," SELECTOR "," TEMPLATE("a")),
         NULL,
         "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"},
    };
    check_rules(cases, ARRAY_LEN(cases));
}

#define ROLE_REF(name)                                                                             \
    "'roleRef':{'apiGroup':'rbac.authorization.k8s.io','kind':'ClusterRole','name':'" name "'}"

TEST(other_rules) {
    static const struct rule_case cases[] = {
        {"v1", "ConfigMap", "{" META ",'data':{'a':'1'},'binaryData':{'a':'MQ=='}}", NULL,
         "binaryData[a]: Invalid value: \"a\": duplicate of key present in data"},
        {"v1", "ConfigMap", "{" META ",'immutable':true,'data':{'a':'2'}}",
         "{" META ",'immutable':true,'data':{'a':'1'}}",
         "data: Forbidden: field is immutable when `immutable` is set"},
        {"v1", "ConfigMap", "{" META ",'data':{'a':'1'}}",
         "{" META ",'immutable':true,'data':{'a':'1'}}",
         "immutable: Forbidden: field is immutable when `immutable` is set"},
        {"v1", "Secret", "{" META ",'type':'kubernetes.io/tls','stringData':{'tls.crt':'x'}}", NULL,
         "data[tls.key]: Required value"},
        {"v1", "Secret", "{" META ",'type':'other'}", "{" META "}",
         "type: Invalid value: \"other\": field is immutable"},
        {"v1", "Secret",
         "{" META ",'type':'kubernetes.io/dockerconfigjson','stringData':{'.dockerconfigjson':"
         "'hush'}}",
         NULL,
         "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": not a JSON "
         "document"},
        {"v1", "Endpoints", "{" META ",'subsets':[{}]}", NULL,
         "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"},
        {"v1", "Endpoints", "{" META ",'subsets':[{'addresses':[{'ip':'127.0.0.1'}]}]}", NULL,
         "subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback "
         "range (127.0.0.0/8, ::1/128)"},
        {"discovery.k8s.io/v1", "EndpointSlice",
         "{" META ",'addressType':'IPv4','endpoints':[{'addresses':['::1']}]}", NULL,
         "endpoints[0].addresses[0]: Invalid value: \"::1\": must be an IPv4 address"},
        {"rbac.authorization.k8s.io/v1", "Role",
         "{" META ",'rules':[{'verbs':['get'],'nonResourceURLs':['/x']}]}", NULL,
         "rules[0].nonResourceURLs: Invalid value: \"/x\": namespaced rules cannot apply to "
         "non-resource URLs"},
        {"rbac.authorization.k8s.io/v1", "ClusterRoleBinding",
         "{'metadata':{'name':'x'},'subjects':[{'kind':'ServiceAccount','name':'d'}]," ROLE_REF(
             "a") "}",
         NULL, "subjects[0].namespace: Required value"},
        {"rbac.authorization.k8s.io/v1", "ClusterRoleBinding",
         "{'metadata':{'name':'x'}," ROLE_REF("b") "}",
         "{'metadata':{'name':'x'}," ROLE_REF("a") "}",
         "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
         "\"ClusterRole\",\"name\":\"b\"}: cannot change roleRef"},
        {"v1", "Event", "{" META ",'involvedObject':{'kind':'Pod','name':'p','namespace':'other'}}",
         NULL,
         "involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"},
        {"v1", "Node",
         "{'metadata':{'name':'n'},'spec':{'taints':[{'key':'a','effect':'NoSchedule'},"
         "{'key':'a','value':'b','effect':'NoSchedule'}]}}",
         NULL, "spec.taints[1]: Duplicate value: \"a:NoSchedule\""},
    };
    check_rules(cases, ARRAY_LEN(cases));
}

TEST(metadata_rules) {
    static const struct rule_case cases[] = {
        {"v1", "Namespace", "{'metadata':{'name':'a.b'}}", NULL,
         "metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label must consist of lower "
         "case alphanumeric characters or '-', and must start and end with an alphanumeric "
         "character (e.g. 'my-name',  or '123-abc', regex used for validation is "
         "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"},
        {"v1", "ConfigMap", "{'metadata':{'namespace':'default'}}", NULL,
         "metadata.name: Required value: name or generateName is required"},
        {"v1", "ConfigMap", "{'metadata':{'name':'x'}}", NULL,
         "metadata.namespace: Required value"},
        {"v1", "Node", "{'metadata':{'name':'x','namespace':'y'}}", NULL,
         "metadata.namespace: Forbidden: not allowed on this type"},
        {"v1", "ConfigMap", "{'metadata':{'name':'x','namespace':'d','finalizers':['mine']}}", NULL,
         "metadata.finalizers: Invalid value: \"mine\": name is neither a standard finalizer name "
         "nor is it fully qualified"},
        {"v1", "ConfigMap", "{'metadata':{'name':'x','namespace':'d','uid':'2'}}",
         "{'metadata':{'name':'x','namespace':'d','uid':'1'}}",
         "metadata.uid: Invalid value: \"2\": field is immutable"},
        {"v1", "ConfigMap", "{'metadata':{'name':'x','namespace':'d','finalizers':['a/b']}}",
         "{'metadata':{'name':'x','namespace':'d','deletionTimestamp':'2023-01-01T00:00:00Z'}}",
         "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being "
         "deleted, found new finalizers []string{\"a/b\"}"},
        {"rbac.authorization.k8s.io/v1", "ClusterRole", "{'metadata':{'name':'system:x'}}", NULL,
         ""},
    };
    check_rules(cases, ARRAY_LEN(cases));
}

TEST(events_convert_both_ways) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct api_kind *core = api_kind_by_name("", "v1", "Event");
    const struct api_kind *events = api_kind_by_name("events.k8s.io", "v1", "Event");
    struct api_object *o = test_load(
        a, "v1", "Event",
        "{" META ",'involvedObject':{'kind':'Pod','name':'p','namespace':'default'},'reason':'R',"
        "'message':'m','type':'Normal','count':3,'source':{'component':'c','host':'h'},"
        "'firstTimestamp':'2023-11-14T22:00:00Z','lastTimestamp':'2023-11-14T22:13:00Z',"
        "'reportingComponent':'rc','reportingInstance':'ri','action':'A',"
        "'series':{'count':4,'lastObservedTime':'2023-11-14T22:13:10.000000Z'}}");
    struct api_object *there = api_convert(a, core, events, o);
    assert_string_equal(there->api_version, "events.k8s.io/v1");
    assert_string_equal(((struct events_v1_event *)there)->regarding.name, "p");
    struct api_object *back = api_convert(a, events, core, there);
    o->api_version = "v1";
    o->kind = "Event";
    assert_true(api_equal(core->type, o, back));
    assert_string_equal(test_row(a, "events.k8s.io/v1", "Event", there),
                        "10s|Normal|R|pod/p||c, h|m|13m|4|x");
}

TEST(secret_string_data_becomes_data) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_secret *s = (struct core_v1_secret *)test_load(
        a, "v1", "Secret", "{" META ",'data':{'a':'eA==','b':'eQ=='},'stringData':{'b':'hello'}}");
    assert_int_equal(s->string_data.n, 0);
    assert_string_equal(str_map_get(&s->data, "a"), "eA==");
    assert_string_equal(str_map_get(&s->data, "b"), "aGVsbG8=");
    assert_string_equal(s->type, "Opaque");
}

TEST(namespace_gets_its_finalizer_and_label) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o = test_load(a, "v1", "Namespace", "{'metadata':{'name':'n'}}");
    const struct api_behavior *b = api_kind_behavior(api_kind_by_name("", "v1", "Namespace"));
    struct core_v1_namespace *n = (struct core_v1_namespace *)o;
    b->prepare(a, o, NULL);
    assert_string_equal(n->spec.finalizers.v[0], "kubernetes");
    assert_string_equal(n->status.phase, "Active");
    assert_string_equal(str_map_get(&n->metadata.labels, "kubernetes.io/metadata.name"), "n");
    assert_string_equal(test_row(a, "v1", "Namespace", o), "n|Active|<unknown>");
}

TEST(rows_as_kubectl_prints_them) {
#define BORN                                                                                       \
    "'metadata':{'name':'x','namespace':'default','creationTimestamp':'2023-11-14T22:03:20Z'"
    static const struct {
        const char *api_version, *kind, *json, *row;
    } cases[] = {
        {"apps/v1", "Deployment",
         "{" BORN "},'spec':{'replicas':3,'selector':{'matchLabels':{'app':'a'},"
         "'matchExpressions':[{'key':'t','operator':'In','values':['b','c']}]},'template':{'spec':"
         "{'containers':[{'name':'c','image':'i'},{'name':'d','image':'j'}]}}},"
         "'status':{'readyReplicas':2,'updatedReplicas':3,'availableReplicas':1}}",
         "x|2/3|3|1|10m|c,d|i,j|app=a,t in (b,c)"},
        {"v1", "Service",
         "{" BORN "},'spec':{'type':'NodePort','clusterIP':'10.0.0.1','selector':{'a':'b'},"
         "'ports':[{'port':80,'nodePort':30080},{'port':53,'protocol':'UDP'}]}}",
         "x|NodePort|10.0.0.1|<none>|80:30080/TCP,53/UDP|10m|a=b"},
        {"v1", "Service", "{" BORN "},'spec':{'type':'LoadBalancer'}}",
         "x|LoadBalancer|<none>|<pending>|<none>|10m|<none>"},
        {"v1", "Endpoints",
         "{" BORN "},'subsets':[{'addresses':[{'ip':'10.0.0.1'},{'ip':'10.0.0.2'}],'ports':["
         "{'name':'a','port':80},{'name':'b','port':81}]}]}",
         "x|10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...|10m"},
        {"discovery.k8s.io/v1", "EndpointSlice",
         "{" BORN "},'addressType':'IPv4','endpoints':[{'addresses':['10.0.0.1']}],'ports':["
         "{'port':80}]}",
         "x|IPv4|80|10.0.0.1|10m"},
        {"v1", "Node",
         "{'metadata':{'name':'n','creationTimestamp':'2023-11-04T22:13:20Z','labels':{"
         "'node-role.kubernetes.io/control-plane':''}},'spec':{'unschedulable':true},'status':{"
         "'conditions':[{'type':'Ready','status':'True'}],'addresses':[{'type':'InternalIP',"
         "'address':'1.2.3.4'}],'nodeInfo':{'kubeletVersion':'v1.32.0'}}}",
         "n|Ready,SchedulingDisabled|control-plane|10d|v1.32.0|1.2.3.4|<none>|<unknown>|<unknown>|"
         "<unknown>"},
        {"v1", "Secret", "{" BORN "},'data':{'a':'eA=='}}", "x|Opaque|1|10m"},
        {"rbac.authorization.k8s.io/v1", "RoleBinding",
         "{" BORN "},'roleRef':{'kind':'Role','name':'r'},'subjects':[{'kind':'User','name':'u'},"
         "{'kind':'ServiceAccount','name':'s','namespace':'n'},{'kind':'User','name':'v'}]}",
         "x|Role/r|10m|u, v||n/s"},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_object *o = test_load(a, cases[i].api_version, cases[i].kind, cases[i].json);
        assert_string_equal(test_row(a, cases[i].api_version, cases[i].kind, o), cases[i].row);
    }
}
