/* Server-side apply, as far as it is more than the merge (src/api/managed): names, managers,
 * conflicts, creation. */
#include "base/own.h"
#include "base/test.h"
#include "server/auth/authz.h"
#include "server/fixture.h"

static void open_for(struct fixture *f, const char *verb) {
    fixture_open(f);
    f->api.authz = authz_new(&f->api);
    fixture_put(f, "clusterroles.rbac.authorization.k8s.io",
                arena_printf(f->arena,
                             "{\"metadata\":{\"name\":\"r\"},\"rules\":[{\"verbs\":[\"%s\"],"
                             "\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"]}]}",
                             verb));
    fixture_put(f, "clusterrolebindings.rbac.authorization.k8s.io",
                "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":"
                "\"r\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"tester\"}]}");
}

static void done(struct fixture *f) {
    authz_free(f->api.authz);
    fixture_done(f);
}

static int apply(struct fixture *f, const char *query, const char *data) {
    const char *body = arena_printf(
        f->arena,
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: a}\ndata: {%s}\n", data);
    return ask(f, verb_patch,
               &(struct asked){.verb = "patch",
                               .plural = "configmaps",
                               .ns = "a",
                               .name = "x",
                               .query = query,
                               .body = body,
                               .content_type = "application/apply-patch+yaml"});
}

static const char *value(struct fixture *f, const char *key) {
    const struct core_v1_config_map *m = fixture_get(f, "configmaps", "a", "x");
    assert_non_null(m);
    return str_map_get(&m->data, key);
}

TEST(apply_makes_what_is_not_there_and_says_so) {
    struct fixture f;
    open_for(&f, "create");
    assert_int_equal(apply(&f, "fieldManager=one", "k: v"), 201);
    assert_string_equal(value(&f, "k"), "v");
    assert_answer(&f, "\"manager\":\"one\",\"operation\":\"Apply\"");
    assert_int_equal(apply(&f, "fieldManager=one", "k: w"), 200);
    assert_string_equal(value(&f, "k"), "w");
    done(&f);
}

TEST(who_may_not_create_makes_nothing_by_apply) {
    struct fixture f;
    open_for(&f, "patch");
    assert_int_equal(apply(&f, "fieldManager=one", "k: v"), 403);
    assert_answer(&f, "cannot create resource \\\"configmaps\\\"");
    assert_null(fixture_get(&f, "configmaps", "a", "x"));
    done(&f);
}

TEST(what_its_manager_no_longer_says_goes_and_what_others_say_stays) {
    struct fixture f;
    open_for(&f, "create");
    assert_int_equal(apply(&f, "fieldManager=one", "k: v, l: v"), 201);
    assert_int_equal(apply(&f, "fieldManager=two", "m: v, l: v"), 200);
    assert_int_equal(apply(&f, "fieldManager=one", ""), 200);
    assert_null(value(&f, "k"));
    assert_string_equal(value(&f, "l"), "v"); /* of both */
    assert_string_equal(value(&f, "m"), "v");
    done(&f);
}

TEST(what_another_manager_says_is_a_conflict_unless_forced) {
    struct fixture f;
    open_for(&f, "create");
    assert_int_equal(apply(&f, "fieldManager=one", "k: v"), 201);
    assert_int_equal(apply(&f, "fieldManager=two", "k: w"), 409);
    assert_answer(&f, "conflict with \\\"one\\\"");
    assert_answer(&f, ".data.k");
    assert_string_equal(value(&f, "k"), "v");
    assert_int_equal(apply(&f, "fieldManager=two&force=true", "k: w"), 200);
    assert_string_equal(value(&f, "k"), "w");
    assert_int_equal(apply(&f, "fieldManager=one", "k: v"), 409); /* now it is the other's */
    done(&f);
}

TEST(an_apply_names_its_manager_and_its_object) {
    struct fixture f;
    open_for(&f, "create");
    assert_int_equal(apply(&f, "", "k: v"), 422);
    assert_answer(&f, "fieldManager: Required value: is required for apply patch");
    static const struct {
        const char *body, *message;
    } cases[] = {
        {"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\n", "name"},
        {"apiVersion: v2\nkind: ConfigMap\nmetadata:\n  name: x\n",
         "Incorrect version specified in apply patch"},
        {"apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\n",
         "Incorrect kind specified in apply patch"},
        {"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  managedFields:\n  - manager: "
         "m\n",
         "metadata.managedFields must be nil"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int status = ask(&f, verb_patch,
                         &(struct asked){.verb = "patch",
                                         .plural = "configmaps",
                                         .ns = "a",
                                         .name = "x",
                                         .query = "fieldManager=one",
                                         .body = cases[i].body,
                                         .content_type = "application/apply-patch+yaml"});
        assert_answer(&f, cases[i].message);
        assert_in_range(status, 400, 422);
    }
    assert_int_equal(f.writes, 0);
    done(&f);
}
