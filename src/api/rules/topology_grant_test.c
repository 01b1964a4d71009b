#include "api/rules/topology_grant.h"

#include <errno.h>

#include "base/own.h"
#include "base/test.h"

TEST(pods_ask_for_roles_of_topologies) {
    static const struct {
        const char *text, *read, *why;
    } cases[] = {
        {NULL, "", NULL},
        {"quotes:sub", "quotes/sub ", NULL},
        {"quotes:sub, orders:push", "quotes/sub orders/push ", NULL},
        {"q:sub,q:pub", "q/pub+sub ", NULL},
        {"a:bus,b.c:pair,d:respondent,d:surveyor", "a/bus b.c/pair d/surveyor+respondent ", NULL},
        {"quotes", NULL, "item \"quotes\": must be TOPOLOGY:ROLE"},
        {"quotes:sub,", NULL, "item \"\": must be TOPOLOGY:ROLE"},
        {"quotes:", NULL, "no such role"},
        {"quotes:subs", NULL, "no such role"},
        {":sub", NULL, "not a name"},
        {"../x:sub", NULL, "not a name"},
        {"q:sub,q:sub", NULL, "asked for twice"},
        {"q:sub,q:push", NULL, "another pattern"},
        {"q:bus,q:pair", NULL, "another pattern"},
        {"q:pub,q:sub,q:sub", NULL, "another pattern"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct topology_grants g;
        struct err err = {0};
        int r = topology_grants_parse(a, cases[i].text, &g, &err);
        if (cases[i].why) {
            assert_int_equal(r, -EINVAL);
            assert_non_null(strstr(err.text, cases[i].why));
            continue;
        }
        assert_int_equal(r, 0);
        const char *read = "";
        for (size_t j = 0; j < g.n; j++)
            read = arena_printf(a, "%s%s/%s ", read, g.v[j].topology, g.v[j].roles);
        assert_string_equal(read, cases[i].read);
    }
}

TEST(a_pod_asks_for_a_bounded_number_of_topologies) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct topology_grants g;
    struct err err = {0};
    const char *text = "t:sub";
    for (int i = 0; i < TOPOLOGY_GRANTS_MAX; i++) text = arena_printf(a, "%s,t%d:sub", text, i);
    assert_int_equal(topology_grants_parse(a, text, &g, &err), -EINVAL);
    assert_non_null(strstr(err.text, "more than 32"));
}

TEST(a_topology_grants_roles_to_service_accounts_and_namespaces) {
    const char *sub[] = {"sub"}, *both[] = {"team", "x"};
    struct sp_v1_topology_service_account trader = {"bank", "trader"};
    struct sp_v1_topology_access entries[] = {
        {.roles = {sub, 1}, .service_accounts = {&trader, 1}},
        {.namespaces = {both, 2}},
    };
    struct sp_v1_topology t = {.spec.access = {entries, 2}};
    static const struct {
        const char *roles, *ns, *account;
        bool granted;
    } cases[] = {
        {"sub", "bank", "trader", true},      {"pub", "bank", "trader", false},
        {"pub+sub", "bank", "trader", false}, {"sub", "bank", "default", false},
        {"sub", "other", "trader", false},    {"pub+sub", "team", "default", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct topology_grant g = {"q", cases[i].roles};
        struct err err = {0};
        int r = topology_granted(&t, &g, cases[i].ns, cases[i].account, &err);
        assert_int_equal(r, cases[i].granted ? 0 : -EACCES);
    }
    const char *any[] = {"*"};
    struct sp_v1_topology_access all = {.namespaces = {any, 1}};
    struct sp_v1_topology open = {.spec.access = {&all, 1}}, silent = {0};
    struct topology_grant g = {"q", "pub"};
    assert_int_equal(topology_granted(&open, &g, "n", "a", NULL), 0);
    assert_int_equal(topology_granted(&silent, &g, "n", "a", NULL), -EACCES);
}
