#include "server/auth/roles.h"

#include "base/arena.h"
#include "base/own.h"
#include "server/auth/rules.h"

#define READ "get,list,watch"
#define WRITE "create,delete,deletecollection,patch,update"
#define ALL READ "," WRITE

/* What view, edit and admin have in common, by group. */
#define CORE_OPEN                                                                                  \
    "configmaps,endpoints,events,limitranges,namespaces,namespaces/status,persistentvolumeclaims," \
    "persistentvolumeclaims/status,pods,pods/log,pods/status,replicationcontrollers,"              \
    "replicationcontrollers/scale,replicationcontrollers/status,resourcequotas,"                   \
    "resourcequotas/status,serviceaccounts,services,services/status,bindings"
#define CORE_WRITE                                                                                 \
    "configmaps,endpoints,events,persistentvolumeclaims,pods,replicationcontrollers,"              \
    "replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy"
#define CORE_STREAMS "pods/attach,pods/exec,pods/portforward,pods/proxy"
#define APPS_OPEN                                                                                  \
    "controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,"              \
    "deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,"            \
    "statefulsets/scale,statefulsets/status"
#define APPS_WRITE                                                                                 \
    "daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,"                   \
    "replicasets/scale,statefulsets,statefulsets/scale"
#define BATCH "cronjobs,cronjobs/status,jobs,jobs/status"
#define NETWORKING "ingresses,ingresses/status,networkpolicies"

#define VIEW_RULES                                                                                 \
    {READ, "", CORE_OPEN, 0, 0}, {READ, "apps", APPS_OPEN, 0, 0}, {READ, "batch", BATCH, 0, 0},    \
        {READ, "networking.k8s.io", NETWORKING, 0, 0},                                             \
        {READ, "autoscaling", "horizontalpodautoscalers,horizontalpodautoscalers/status", 0, 0},   \
        {READ, "policy", "poddisruptionbudgets,poddisruptionbudgets/status", 0, 0},                \
        {READ, "discovery.k8s.io", "endpointslices", 0, 0},                                        \
        {READ, "scheduling.x-k8s.io", "elasticquotas,podgroups,podgroups/status", 0, 0},           \
        {READ, "sp.atoll.dev", "topologies,topologies/status", 0, 0}, {                            \
        READ, "events.k8s.io", "events", 0, 0                                                      \
    }

#define EDIT_RULES                                                                                 \
    {READ, "", "secrets," CORE_STREAMS, 0, 0}, {"create", "", "pods/eviction", 0, 0},              \
        {"impersonate", "", "serviceaccounts", 0, 0},                                              \
        {"create", "", "serviceaccounts/token", 0, 0}, {WRITE, "", CORE_WRITE, 0, 0},              \
        {WRITE, "", CORE_STREAMS, 0, 0}, {WRITE, "apps", APPS_WRITE, 0, 0},                        \
        {WRITE, "batch", "cronjobs,jobs", 0, 0},                                                   \
        {WRITE, "networking.k8s.io", "ingresses,networkpolicies", 0, 0},                           \
        {WRITE, "autoscaling", "horizontalpodautoscalers", 0, 0},                                  \
        {WRITE, "policy", "poddisruptionbudgets", 0, 0},                                           \
        {WRITE, "scheduling.x-k8s.io", "podgroups", 0, 0},                                         \
        {ALL, "coordination.k8s.io", "leases", 0, 0}, {                                            \
        WRITE, "events.k8s.io", "events", 0, 0                                                     \
    }

static const struct role_rule cluster_admin[] = {{"*", "*", "*", 0, 0}, {"*", 0, 0, 0, "*"}};
static const struct role_rule aggregate_to_view[] = {VIEW_RULES};
static const struct role_rule aggregate_to_edit[] = {EDIT_RULES};
static const struct role_rule aggregate_to_admin[] = {
    {"create", "authorization.k8s.io", "localsubjectaccessreviews", 0, 0},
    {ALL, "rbac.authorization.k8s.io", "rolebindings,roles", 0, 0},
};
static const struct role_rule discovery[] = {
    {"get", 0, 0, 0,
     "/api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,"
     "/version,/version/"}};
static const struct role_rule basic_user[] = {
    {"create", "authorization.k8s.io", "selfsubjectaccessreviews,selfsubjectrulesreviews", 0, 0},
    {"create", "authentication.k8s.io", "selfsubjectreviews", 0, 0}};
static const struct role_rule public_info[] = {
    {"get", 0, 0, 0, "/healthz,/livez,/readyz,/version,/version/"}};
static const struct role_rule monitoring[] = {
    {"get", 0, 0, 0,
     "/healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,"
     "/readyz/*"}};
static const struct role_rule issuer_discovery[] = {
    {"get", 0, 0, 0, "/.well-known/openid-configuration,/openid/v1/jwks,/openid/v1/jwks/"}};
static const struct role_rule auth_delegator[] = {
    {"create", "authentication.k8s.io", "tokenreviews", 0, 0},
    {"create", "authorization.k8s.io", "subjectaccessreviews", 0, 0}};
static const struct role_rule node[] = {
    {"create", "authentication.k8s.io", "tokenreviews", 0, 0},
    {"create", "authorization.k8s.io", "localsubjectaccessreviews,subjectaccessreviews", 0, 0},
    {READ, "", "services", 0, 0},
    {READ ",create,patch,update", "", "nodes", 0, 0},
    {"patch,update", "", "nodes/status", 0, 0},
    {"create,patch,update", ",events.k8s.io", "events", 0, 0},
    {READ ",create,delete", "", "pods", 0, 0},
    {"patch,update", "", "pods/status", 0, 0},
    {"create", "", "pods/eviction", 0, 0},
    {READ, "", "configmaps,secrets", 0, 0},
    {"get", "", "persistentvolumeclaims,persistentvolumes", 0, 0},
    {"get,patch,update", "", "persistentvolumeclaims/status", 0, 0},
    {"get", "", "endpoints", 0, 0},
    {READ ",create", "certificates.k8s.io", "certificatesigningrequests", 0, 0},
    {"create,delete,get,patch,update", "coordination.k8s.io", "leases", 0, 0},
    {"get", "storage.k8s.io", "volumeattachments", 0, 0},
    {"create", "", "serviceaccounts/token", 0, 0},
    {READ, "storage.k8s.io", "csidrivers", 0, 0},
    {"create,delete,get,patch,update", "storage.k8s.io", "csinodes", 0, 0},
    {READ, "node.k8s.io", "runtimeclasses", 0, 0},
};
static const struct role_rule node_bootstrapper[] = {
    {READ ",create", "certificates.k8s.io", "certificatesigningrequests", 0, 0}};
static const struct role_rule node_problem_detector[] = {
    {"get", "", "nodes", 0, 0},
    {"patch", "", "nodes/status", 0, 0},
    {"create,patch,update", ",events.k8s.io", "events", 0, 0}};
static const struct role_rule node_proxier[] = {
    {"list,watch", "", "services,endpoints", 0, 0},
    {READ, "", "nodes", 0, 0},
    {"create,patch,update", ",events.k8s.io", "events", 0, 0},
    {"list,watch", "discovery.k8s.io", "endpointslices", 0, 0}};
static const struct role_rule kubelet_api_admin[] = {
    {READ ",proxy", "", "nodes", 0, 0},
    {"*", "", "nodes/log,nodes/metrics,nodes/proxy,nodes/stats", 0, 0}};
static const struct role_rule kube_aggregator[] = {{READ, "", "endpoints,services", 0, 0}};
static const struct role_rule kube_dns[] = {{"list,watch", "", "endpoints,services", 0, 0}};
static const struct role_rule volume_provisioner[] = {
    {READ ",create,delete", "", "persistentvolumes", 0, 0},
    {READ ",update", "", "persistentvolumeclaims", 0, 0},
    {READ, "storage.k8s.io", "storageclasses", 0, 0},
    {"watch", "", "events", 0, 0},
    {"create,patch,update", ",events.k8s.io", "events", 0, 0}};

#define CERTIFICATES "certificates.k8s.io"
static const struct role_rule csr_node_client[] = {
    {"create", CERTIFICATES, "certificatesigningrequests/nodeclient", 0, 0}};
static const struct role_rule csr_self_node_client[] = {
    {"create", CERTIFICATES, "certificatesigningrequests/selfnodeclient", 0, 0}};
static const struct role_rule approve_client[] = {
    {"approve", CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-client", 0}};
static const struct role_rule approve_kubelet[] = {
    {"approve", CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-client-kubelet", 0}};
static const struct role_rule approve_serving[] = {
    {"approve", CERTIFICATES, "signers", "kubernetes.io/kubelet-serving", 0}};
static const struct role_rule approve_legacy[] = {
    {"approve", CERTIFICATES, "signers", "kubernetes.io/legacy-unknown", 0}};

/* Controllers converge every kind; they create only what they are made for, and no roles. */
static const struct role_rule atoll_controllers[] = {
    {"get,list,watch,patch,update,delete,deletecollection", "*", "*", 0, 0},
    {"create", "",
     "configmaps,endpoints,events,pods,pods/eviction,serviceaccounts,serviceaccounts/token,secrets,"
     "persistentvolumeclaims,persistentvolumes",
     0, 0},
    {"create", "apps", "replicasets,controllerrevisions", 0, 0},
    {"create", "batch", "jobs", 0, 0},
    {"create", "autoscaling.k8s.io", "verticalpodautoscalercheckpoints", 0, 0},
    {"create", "discovery.k8s.io", "endpointslices", 0, 0},
    {"create", "coordination.k8s.io", "leases", 0, 0},
    {"create", "events.k8s.io", "events", 0, 0},
    {"get", 0, 0, 0, "*"},
};
static const struct role_rule atoll_scheduler[] = {
    {READ, "",
     "nodes,namespaces,pods,persistentvolumeclaims,persistentvolumes,services,"
     "replicationcontrollers",
     0, 0},
    {READ, "", "configmaps", "atoll-scheduler", 0},
    {"patch", "", "persistentvolumeclaims", 0, 0}, /* the node that was selected */
    {READ, "apps", "replicasets,statefulsets", 0, 0},
    {READ, "policy", "poddisruptionbudgets", 0, 0},
    {READ, "storage.k8s.io,scheduling.k8s.io,scheduling.x-k8s.io", "*", 0, 0},
    {"create", "", "bindings,pods/binding", 0, 0},
    {"delete", "", "pods", 0, 0},
    {"patch,update", "", "pods/status", 0, 0},
    {"patch", "", "nodes/status", 0, 0}, /* the mark of energy mode */
    {"patch,update", "scheduling.x-k8s.io", "elasticquotas/status", 0, 0},
    {"create,patch,update", ",events.k8s.io", "events", 0, 0},
    {"create,get,list,update,watch", "coordination.k8s.io", "leases", 0, 0},
};
static const struct role_rule atoll_network[] = {
    {READ, "", "endpoints,namespaces,nodes,pods,services", 0, 0},
    {READ, "discovery.k8s.io", "endpointslices", 0, 0},
    {READ, "networking.k8s.io", "networkpolicies", 0, 0},
    {"create,patch,update", ",events.k8s.io", "events", 0, 0},
};
static const struct role_rule atoll_dns[] = {
    {READ, "", "endpoints,namespaces,nodes,pods,services", 0, 0},
    {READ, "discovery.k8s.io", "endpointslices", 0, 0},
};

/* Declares by what is there, and writes what it sees. */
static const struct role_rule atoll_sp[] = {
    {READ, "sp.atoll.dev", "topologies", 0, 0},
    {"get,patch,update", "sp.atoll.dev", "topologies/status", 0, 0},
};

static const struct role_rule metrics_reader[] = {
    {READ, "metrics.k8s.io", "nodes,pods", 0, 0},
};

#define PART(name, rules, to)                                                                      \
    { name, rules, ARRAY_LEN(rules), to }
#define ROLE(name, rules) PART(name, rules, NULL)
const struct role_default role_defaults[] = {
    ROLE("cluster-admin", cluster_admin),
    {"admin", NULL, 0, NULL},
    {"edit", NULL, 0, "admin"},
    {"view", NULL, 0, "edit"},
    PART("system:aggregate-to-admin", aggregate_to_admin, "admin"),
    PART("system:aggregate-to-edit", aggregate_to_edit, "edit"),
    PART("system:aggregate-to-view", aggregate_to_view, "view"),
    PART("system:aggregated-metrics-reader", metrics_reader, "view"),
    ROLE("system:discovery", discovery),
    ROLE("system:basic-user", basic_user),
    ROLE("system:public-info-viewer", public_info),
    ROLE("system:monitoring", monitoring),
    ROLE("system:service-account-issuer-discovery", issuer_discovery),
    ROLE("system:auth-delegator", auth_delegator),
    ROLE("system:node", node),
    ROLE("system:node-bootstrapper", node_bootstrapper),
    ROLE("system:node-problem-detector", node_problem_detector),
    ROLE("system:node-proxier", node_proxier),
    ROLE("system:kubelet-api-admin", kubelet_api_admin),
    ROLE("system:kube-aggregator", kube_aggregator),
    ROLE("system:kube-dns", kube_dns),
    ROLE("system:persistent-volume-provisioner", volume_provisioner),
    ROLE("system:certificates.k8s.io:certificatesigningrequests:nodeclient", csr_node_client),
    ROLE("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
         csr_self_node_client),
    ROLE("system:certificates.k8s.io:kube-apiserver-client-approver", approve_client),
    ROLE("system:certificates.k8s.io:kube-apiserver-client-kubelet-approver", approve_kubelet),
    ROLE("system:certificates.k8s.io:kubelet-serving-approver", approve_serving),
    ROLE("system:certificates.k8s.io:legacy-unknown-approver", approve_legacy),
    ROLE("system:atoll:controllers", atoll_controllers),
    ROLE("system:atoll:scheduler", atoll_scheduler),
    ROLE("system:atoll:network", atoll_network),
    ROLE("system:atoll:dns", atoll_dns),
    ROLE("system:atoll:sp", atoll_sp),
};
const size_t role_defaults_n = ARRAY_LEN(role_defaults);

const struct binding_default binding_defaults[] = {
    {"cluster-admin", "cluster-admin", "Group", "system:masters"},
    {"system:discovery", "system:discovery", "Group", "system:authenticated"},
    {"system:basic-user", "system:basic-user", "Group", "system:authenticated"},
    {"system:public-info-viewer", "system:public-info-viewer", "Group", "system:authenticated"},
    {"system:monitoring", "system:monitoring", "Group", "system:monitoring"},
    {"system:service-account-issuer-discovery", "system:service-account-issuer-discovery", "Group",
     "system:serviceaccounts"},
    {"system:node", "system:node", NULL, NULL},
    {"system:node-proxier", "system:node-proxier", "User", "system:kube-proxy"},
    {"system:atoll:controllers", "system:atoll:controllers", "User", "system:atoll:controllers"},
    {"system:atoll:scheduler", "system:atoll:scheduler", "User", "system:atoll:scheduler"},
    {"system:atoll:network", "system:atoll:network", "User", "system:atoll:network"},
    {"system:atoll:dns", "system:atoll:dns", "User", "system:atoll:dns"},
    {"system:atoll:sp", "system:atoll:sp", "User", "system:atoll:sp"},
};
const size_t binding_defaults_n = ARRAY_LEN(binding_defaults);

static struct str_list list_of(struct arena *a, const char *text) {
    struct str_list l = {0};
    struct slice left = slice_of(text), one;
    while (text && slice_cut(&left, ',', &one)) *ARENA_PUSH(a, &l) = arena_strn(a, one);
    return l;
}

bool role_default_allows(const char *name, const struct attributes *at) {
    static struct arena *kept; /* of the process: the one role that is asked for, as rules */
    static struct rbac_v1_policy_rule_list rules;
    static const struct role_default *role;
    if (!kept) kept = arena_new();
    if (!role || !str_eq(role->name, name)) {
        arena_reset(kept);
        rules = (struct rbac_v1_policy_rule_list){0};
        role = role_defaults;
        while (!str_eq(role->name, name)) role++;
        for (size_t i = 0; i < role->n_rules; i++) {
            const struct role_rule *r = &role->rules[i];
            *ARENA_PUSH(kept, &rules) =
                (struct rbac_v1_policy_rule){.verbs = list_of(kept, r->verbs),
                                             .api_groups = list_of(kept, r->groups),
                                             .resources = list_of(kept, r->resources),
                                             .resource_names = list_of(kept, r->names),
                                             .non_resource_urls = list_of(kept, r->paths)};
        }
    }
    for (size_t i = 0; i < rules.n; i++)
        if (rule_allows(&rules.v[i], at)) return true;
    return false;
}
