/* What the API is told, and where the files of pods stand. */
#include "sp/declare/source_api.h"

#include "base/own.h"
#include "sp/endpoints/endpoint.h"
#include "sp/fixture.h"
#include "sp/status.h"

#define MORNING "2026-01-01T08:00:00Z"
#define NOON "2026-01-01T12:00:00Z"

static const struct meta_v1_condition *condition(const struct sp_v1_topology_status *s,
                                                 const char *type) {
    for (size_t i = 0; i < s->conditions.n; i++)
        if (str_eq(s->conditions.v[i].type, type)) return &s->conditions.v[i];
    return NULL;
}

TEST(a_status_counts_what_passes) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct source_api_memory m = {.generation = 3};
    struct sp_topology *t = fixture_topology(SP_PUBSUB, NULL);
    struct fake *pub = fixture_join(t, SP_PUB), *sub = fixture_join(t, SP_SUB);
    fixture_say(sub, "+a");
    sp_meters_look(t);
    for (int i = 0; i < 10; i++) fixture_say(pub, i < 4 ? "a" : "b");
    fixture_pass_ms(1000);
    sp_meters_look(t);
    struct sp_v1_topology_status *s = source_api_status(a, t, "n1", MORNING, &m);
    assert_int_equal(s->observed_generation, 3);
    assert_int_equal(s->totals.clients, 2);
    assert_int_equal(s->totals.messages_per_second, 10);
    assert_int_equal(s->endpoints.n, 2);
    assert_string_equal(s->endpoints.v[0].role, "pub");
    assert_int_equal(s->endpoints.v[0].messages, 10);
    assert_int_equal(s->endpoints.v[1].messages, 4);
    assert_int_equal(s->endpoints.v[1].messages_per_second, 4);
    assert_string_equal(condition(s, "Ready")->status, "True");
    assert_string_equal(condition(s, "Connected")->status, "True");
    fixture_end(t);
}

TEST(a_condition_keeps_the_time_of_its_last_change) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct source_api_memory m = {.generation = 1};
    struct sp_topology *t = fixture_topology(SP_BUSES, NULL);
    source_api_status(a, t, "n1", MORNING, &m);
    struct sp_v1_topology_status *s = source_api_status(a, t, "n1", NOON, &m);
    assert_string_equal(condition(s, "Ready")->last_transition_time, MORNING);
    m.error = "no such user";
    s = source_api_status(a, NULL, "n1", NOON, &m);
    assert_string_equal(condition(s, "Ready")->status, "False");
    assert_string_equal(condition(s, "Ready")->last_transition_time, NOON);
    assert_string_equal(condition(s, "Ready")->message, "no such user");
    fixture_end(t);
}

TEST(roles_that_pods_are_granted_have_files_of_their_own) {
    char places[SP_PLACES_MAX][SP_PLACE_BYTES];
    struct sp_config *c = sp_config_new("x", SP_PUBSUB);
    assert_int_equal(sp_endpoint_places(c, SP_SUB, places), 1);
    assert_string_equal(places[0], "");
    c->roles[SP_SUB].pods = true;
    assert_int_equal(sp_endpoint_places(c, SP_PUB, places), 1);
    assert_int_equal(sp_endpoint_places(c, SP_SUB, places), 2);
    assert_string_equal(places[1], ".pods/sub/");
    c->roles[SP_PUB].pods = true;
    assert_int_equal(sp_endpoint_places(c, SP_PUB, places), 3);
    assert_string_equal(places[1], ".pods/pub/");
    assert_string_equal(places[2], ".pods/pub+sub/");
    sp_config_free(c);
}

TEST(root_in_a_pod_is_not_root) {
    struct sp_credentials host = {.uid = 0}, pod = {.uid = 0, .granted = true};
    assert_int_equal(sp_credentials_account(&host), 0);
    assert_true(sp_credentials_account(&pod) != 0);
    struct sp_topology *t = fixture_topology(SP_PUBSUB, NULL);
    assert_true(sp_topology_admits(t, SP_SUB, &host, -1));
    assert_true(!sp_topology_admits(t, SP_SUB, &pod, -1));
    fixture_end(t);
}
