#include "cel/fixture.h"

#include "api/registry.h"
#include "base/own.h"
#include "base/test.h"

static const char document[] =
    "{\"name\":\"web\",\"replicas\":3,\"weight\":0.5,\"on\":true,\"none\":null,"
    "\"labels\":{\"app\":\"web\",\"tier\":\"front\"},\"ports\":[80,443],"
    "\"items\":[{\"name\":\"a\",\"size\":1},{\"name\":\"b\",\"size\":2},{\"name\":\"c\"}],"
    "\"text\":\"a\\u00e4\\n\\\"q\\\"\",\"empty\":{},\"list\":[],\"large\":9007199254740993,"
    "\"a-b\":1,\"nested\":{\"deep\":{\"er\":[1,[2,[3]]]}}}";
static const char pod[] =
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\","
    "\"creationTimestamp\":\"2024-01-02T03:04:05Z\",\"labels\":{\"app\":\"web\"}},"
    "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"registry.example/i:1\","
    "\"ports\":[{\"containerPort\":80}],\"securityContext\":{\"privileged\":false}}],"
    "\"hostNetwork\":false},\"status\":{}}";

static const struct cel_type *pod_type(struct arena *a) {
    return cel_api_type(a, api_kind_by_name("", "v1", "Pod")->type);
}

struct cel_env *cel_fixture_env(struct arena *a) {
    struct cel_env *env = cel_env_new(a);
    cel_declare(env, "self", cel_type(CEL_DYN));
    cel_declare(env, "pod", pod_type(a));
    cel_declare(env, "n", cel_type(CEL_INT));
    cel_declare(env, "s", cel_type(CEL_STRING));
    cel_declare(env, "list", cel_list_type(a, cel_type(CEL_INT)));
    cel_declare(env, "authorizer", cel_type(CEL_AUTHORIZER));
    return env;
}

static void authorize(void *user, struct arena *a, const struct cel_check *check, bool *ret_allowed,
                      const char **ret_reason) {
    *ret_allowed = str_eq(check->verb, "get") &&
                   (str_eq(check->resource, "pods") || str_eq(check->path, "/healthz"));
    *ret_reason = *ret_allowed ? "it may" : "it may not";
}

static int run(struct arena *a, const char *expression, const char *self, struct cel_value *ret,
               const char **problem, bool *compiles) {
    static const struct cel_check request = {.group = "",
                                             .version = "v1",
                                             .resource = "pods",
                                             .subresource = "",
                                             .ns = "ns",
                                             .name = "p",
                                             .verb = "",
                                             .field_selector = "",
                                             .label_selector = "",
                                             .service_account_ns = "",
                                             .service_account = ""};
    struct cel_env *env = cel_fixture_env(a);
    struct cel_program *p = NULL;
    static const struct cel_value numbers[] = {
        {.kind = CEL_INT, .i = 1}, {.kind = CEL_INT, .i = 2}, {.kind = CEL_INT, .i = 3}};
    *compiles = cel_compile(a, env, expression, &p, problem) == 0;
    if (!*compiles) return -1;
    struct cel_value vars[] = {
        cel_json(a, cel_type(CEL_DYN), slice_of(self ? self : document)),
        cel_json(a, pod_type(a), slice_of(pod)),
        cel_int(7),
        cel_text("text"),
        cel_list(a, numbers, 3),
        cel_authorizer(a, &request),
    };
    struct cel_run r = {.a = a,
                        .vars = vars,
                        .n_vars = ARRAY_LEN(vars),
                        .budget = CEL_COST_PER_CALL,
                        .authorize = authorize};
    return cel_eval(p, &r, ret, problem);
}

void cel_cases(const struct cel_case *v, size_t n, const char *self) {
    for (size_t i = 0; i < n; i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        OWN(buf_done) struct buf b = {0};
        struct cel_value value = {0};
        const char *problem = NULL;
        bool compiles;
        int rc = run(a, v[i].expression, self, &value, &problem, &compiles);
        if (!compiles) fail_msg("%s does not compile: %s", v[i].expression, problem);
        if (v[i].gives && rc < 0) fail_msg("%s: %s", v[i].expression, problem);
        if (rc == 0) cel_encode(&b, value);
        if (!v[i].gives && rc == 0) fail_msg("%s gives %s", v[i].expression, b.p);
        if (v[i].gives && !str_eq(b.p, v[i].gives))
            fail_msg("%s gives %s, not %s", v[i].expression, b.p, v[i].gives);
        if (!v[i].gives && !strstr(problem, v[i].problem))
            fail_msg("%s: %s, not %s", v[i].expression, problem, v[i].problem);
    }
}

void cel_wrong_cases(const struct cel_case *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct cel_program *p = NULL;
        const char *problem = "";
        if (cel_compile(a, cel_fixture_env(a), v[i].expression, &p, &problem) == 0)
            fail_msg("%s compiles", v[i].expression);
        if (!strstr(problem, v[i].problem))
            fail_msg("%s: %s, not %s", v[i].expression, problem, v[i].problem);
    }
}
