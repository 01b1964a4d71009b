#include "client/projection.h"

#include <sys/wait.h>
#include <unistd.h>

#include "api/types.h"
#include "base/own.h"
#include "base/test.h"
#include "client/cache.h"
#include "client/plan.h"
#include "client/world.h"

/* A kind of no reconciler of this program. */
static const char *const port[] = {"name", "port", NULL};
static const char *const spec[] = {"ports", "type", NULL};
static const char *const with_name[] = {"name", NULL};
static const struct api_keep service_keep[] = {{&core_v1_service_port_type, port, with_name},
                                               {&core_v1_service_spec_type, spec, NULL},
                                               {NULL, NULL, NULL}};
static const struct projection services = {.kind = "Service", .group = "", .keep = service_keep};
PROJECTION(services);

static const char text[] =
    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\",\"namespace\":\"d\","
    "\"annotations\":{\"a\":\"b\"}},\"spec\":{\"type\":\"NodePort\",\"clusterIP\":\"1.2.3.4\","
    "\"ports\":["
    "{\"port\":1},{\"name\":\"x\",\"port\":2,\"protocol\":\"TCP\"},{\"port\":3}]}}";

TEST(a_projected_object_has_what_is_kept_and_nothing_else) {
    struct world *w = world_test_new();
    const struct core_v1_service *s = (const struct core_v1_service *)world_add_json(w, text);
    assert_string_equal(s->spec.type, "NodePort");
    assert_true(!s->spec.cluster_ip);
    assert_int_equal(s->spec.ports.n, 1);
    assert_string_equal(s->spec.ports.v[0].name, "x");
    assert_int_equal(s->spec.ports.v[0].port, 2);
    assert_true(!s->spec.ports.v[0].protocol);
    assert_string_equal(str_map_get(&s->metadata.annotations, "a"),
                        "b"); /* a type that is not named */
    world_free(w);
}

static bool is_wanted(const struct api_object *o) { return str_eq(o->metadata.name, "wanted"); }
static const char *const head_fields[] = {"metadata", NULL};
static const struct api_keep head_keep[] = {{&core_v1_secret_type, head_fields, NULL},
                                            {NULL, NULL, NULL}};
static const struct projection secrets = {
    .kind = "Secret", .group = "", .keep = head_keep, .whole = is_wanted};
PROJECTION(secrets);

TEST(an_object_that_is_wanted_is_seen_whole) {
    struct world *w = world_test_new();
    const struct core_v1_secret *other = (const struct core_v1_secret *)world_add_json(
        w, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"other\","
           "\"namespace\":\"d\",\"finalizers\":[\"x/y\"]},\"type\":\"t\"}");
    const struct core_v1_secret *wanted = (const struct core_v1_secret *)world_add_json(
        w, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"wanted\","
           "\"namespace\":\"d\"},\"type\":\"t\"}");
    assert_int_equal(other->metadata.finalizers.n, 1);
    assert_true(!other->type);
    assert_string_equal(wanted->type, "t");
    world_free(w);
}

TEST(a_copy_of_metadata_decodes_no_more) {
    const struct api_kind *k = api_kind_by_name("", "v1", "Secret");
    struct cache *c = cache_new(k, true);
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o;
    struct slice json =
        SLICE("{\"metadata\":{\"name\":\"s\"},\"type\":\"t\",\"data\":{\"k\":\"dg==\"}}");
    assert_int_equal(projection_decode(a, k, cache_kept(c), json, &o), 0);
    assert_string_equal(o->metadata.name, "s");
    assert_string_equal(o->kind, "Secret");
    assert_int_equal(((struct core_v1_secret *)o)->data.n, 0);
    cache_want_all(c);
    assert_int_equal(projection_decode(a, k, cache_kept(c), json, &o), 0);
    assert_int_equal(((struct core_v1_secret *)o)->data.n, 1);
    cache_free(c);
}

static bool ends_the_program(void (*write)(struct plan *p, const struct api_object *o)) {
    struct world *w = world_test_new();
    const struct api_object *o = world_add_json(w, text);
    pid_t pid = fork();
    if (pid == 0) {
        OWN(plan_free_p) struct plan *p = plan_new();
        close(STDERR_FILENO);
        write(p, o);
        _exit(0);
    }
    int status = 0;
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    world_free(w);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void patch(struct plan *p, const struct api_object *o) {
    plan_patch(p, o, "", "application/merge-patch+json", SLICE("{}"));
}

TEST(a_projected_object_cannot_be_written_back_whole) {
    assert_true(ends_the_program(plan_update));
    assert_true(ends_the_program(plan_update_status));
    assert_true(!ends_the_program(patch));
}

static bool is_node_port(const struct api_object *o) {
    return str_eq(((const struct core_v1_service *)o)->spec.type, "NodePort");
}

TEST(what_is_forgotten_leaves_its_name_and_age) {
    const struct api_kind *k = api_kind_by_name("", "v1", "Service");
    struct cache *c = cache_new(k, false);
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o;
    assert_int_equal(api_object_decode(a, k, slice_of(text), &o, NULL), 0);
    cache_forget(c, is_node_port);
    o->metadata.resource_version = "7";
    struct cache_old old = cache_put_copy(c, o);
    assert_true(!old.entry);
    assert_true(!cache_get_whole(c, "d", "s"));
    const struct api_object *head = cache_get(c, "d", "s");
    assert_true(head);
    assert_string_equal(head->metadata.resource_version, "7");
    assert_int_equal(head->metadata.annotations.n, 0);
    ((struct core_v1_service *)o)->spec.type = "ClusterIP";
    old = cache_put_copy(c, o);
    assert_true(old.entry && old.entry->head && !cache_old_whole(&old));
    cache_old_free(&old);
    assert_true(cache_get_whole(c, "d", "s"));
    cache_free(c);
}
