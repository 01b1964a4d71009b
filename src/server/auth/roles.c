#include "server/auth/roles.h"

#include "base/own.h"

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
        {READ, "discovery.k8s.io", "endpointslices", 0, 0}, {                                      \
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
        {ALL, "coordination.k8s.io", "leases", 0, 0}, {                                            \
        WRITE, "events.k8s.io", "events", 0, 0                                                     \
    }

static const struct role_rule cluster_admin[] = {{"*", "*", "*", 0, 0}, {"*", 0, 0, 0, "*"}};
static const struct role_rule view[] = {VIEW_RULES};
static const struct role_rule edit[] = {VIEW_RULES, EDIT_RULES};
static const struct role_rule admin[] = {
    VIEW_RULES,
    EDIT_RULES,
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
    {"create,get,list,watch,update,patch", "", "nodes", 0, 0},
    {"update,patch", "", "nodes/status", 0, 0},
    {"get,list,watch,delete", "", "pods", 0, 0},
    {"update,patch", "", "pods/status", 0, 0},
    {"create", "", "pods/eviction", 0, 0},
    {"get,list,watch", "",
     "configmaps,secrets,serviceaccounts,services,namespaces,"
     "persistentvolumeclaims,persistentvolumes",
     0, 0},
    {"create", "", "serviceaccounts/token", 0, 0},
    {"create,update,patch", ",events.k8s.io", "events", 0, 0},
    {"create,get,update,patch,delete", "coordination.k8s.io", "leases", 0, 0},
    {"get,list,watch", "node.k8s.io", "runtimeclasses", 0, 0},
    {"create", "authentication.k8s.io", "tokenreviews", 0, 0},
    {"create", "authorization.k8s.io", "localsubjectaccessreviews,subjectaccessreviews", 0, 0},
};

/* Controllers converge every kind; they create only what they are made for, and no roles. */
static const struct role_rule atoll_controllers[] = {
    {"get,list,watch,patch,update,delete,deletecollection", "*", "*", 0, 0},
    {"create", "",
     "configmaps,endpoints,events,pods,serviceaccounts,serviceaccounts/token,secrets,"
     "persistentvolumeclaims,persistentvolumes",
     0, 0},
    {"create", "apps", "replicasets,controllerrevisions", 0, 0},
    {"create", "batch", "jobs", 0, 0},
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
    {READ, "apps", "replicasets,statefulsets", 0, 0},
    {READ, "policy", "poddisruptionbudgets", 0, 0},
    {READ, "storage.k8s.io,scheduling.k8s.io", "*", 0, 0},
    {"create", "", "bindings,pods/binding", 0, 0},
    {"delete", "", "pods", 0, 0},
    {"patch,update", "", "pods/status", 0, 0},
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

#define ROLE(name, rules)                                                                          \
    { name, rules, ARRAY_LEN(rules) }
const struct role_default role_defaults[] = {
    ROLE("cluster-admin", cluster_admin),
    ROLE("admin", admin),
    ROLE("edit", edit),
    ROLE("view", view),
    ROLE("system:discovery", discovery),
    ROLE("system:basic-user", basic_user),
    ROLE("system:public-info-viewer", public_info),
    ROLE("system:monitoring", monitoring),
    ROLE("system:service-account-issuer-discovery", issuer_discovery),
    ROLE("system:auth-delegator", auth_delegator),
    ROLE("system:node", node),
    ROLE("system:atoll:controllers", atoll_controllers),
    ROLE("system:atoll:scheduler", atoll_scheduler),
    ROLE("system:atoll:network", atoll_network),
    ROLE("system:atoll:dns", atoll_dns),
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
    {"system:node", "system:node", "Group", "system:nodes"},
    {"system:atoll:controllers", "system:atoll:controllers", "User", "system:atoll:controllers"},
    {"system:atoll:scheduler", "system:atoll:scheduler", "User", "system:atoll:scheduler"},
    {"system:atoll:network", "system:atoll:network", "User", "system:atoll:network"},
    {"system:atoll:dns", "system:atoll:dns", "User", "system:atoll:dns"},
};
const size_t binding_defaults_n = ARRAY_LEN(binding_defaults);
