#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

#define POD(name, more)                                                                            \
    "{\"metadata\":{\"namespace\":\"a\",\"name\":\"" name "\",\"labels\":{\"app\":\"w\"}},"        \
    "\"spec\":{\"terminationGracePeriodSeconds\":30,\"nodeName\":\"n\",\"containers\":[{\"name\":" \
    "\"c\",\"image\":\"i\"}]},\"status\":{" more "}}"
#define RUNS "\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]"
#define BUDGET(name, allowed)                                                                      \
    "{\"metadata\":{\"namespace\":\"a\",\"name\":\"" name "\"},\"spec\":{\"selector\":{"           \
    "\"matchLabels\":{\"app\":\"w\"}}},\"status\":{\"observedGeneration\":0,\"currentHealthy\":2," \
    "\"desiredHealthy\":2,\"expectedPods\":2,\"disruptionsAllowed\":" allowed ",\"conditions\":["  \
    "{\"type\":\"DisruptionAllowed\",\"status\":\"True\",\"reason\":\"SufficientPods\"}]}}"
#define BUDGETS "poddisruptionbudgets.policy"

static const struct asked evicts_x = {
    .verb = "create",
    .plural = "pods",
    .ns = "a",
    .name = "x",
    .subresource = "eviction",
    .body = "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"x\"}}"};

static struct asked evicts(const char *name, const char *body) {
    struct asked q = evicts_x;
    q.name = name;
    if (body) q.body = body;
    return q;
}

static const struct core_v1_pod *pod(struct fixture *f, const char *name) {
    return fixture_get(f, "pods", "a", name);
}

static bool is_going(struct fixture *f, const char *name) {
    const struct core_v1_pod *p = pod(f, name);
    return !p || p->metadata.deletion_timestamp;
}

static const struct policy_v1_pod_disruption_budget *budget(struct fixture *f) {
    return fixture_get(f, BUDGETS, "a", "b");
}

TEST(an_evicted_pod_is_told_why_and_gets_its_grace_period) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("x", RUNS));
    assert_int_equal(ask(&f, eviction_create, &evicts_x), 201);
    assert_answer(&f, "\"Success\"");
    const struct core_v1_pod *p = pod(&f, "x");
    assert_non_null(p->metadata.deletion_timestamp);
    assert_int_equal(*p->metadata.deletion_grace_period_seconds, 30);
    assert_int_equal(p->status.conditions.n, 2);
    assert_string_equal(p->status.conditions.v[1].type, "DisruptionTarget");
    assert_string_equal(p->status.conditions.v[1].reason, "EvictionByEvictionAPI");
    fixture_done(&f);
}

TEST(a_budget_without_disruptions_refuses_and_nothing_is_written) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("x", RUNS));
    fixture_put(&f, BUDGETS, BUDGET("b", "0"));
    assert_int_equal(ask(&f, eviction_create, &evicts_x), 429);
    assert_answer(&f, "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_answer(&f, "The disruption budget b needs 2 healthy pods and has 2 currently");
    assert_int_equal(f.writes, 0);
    assert_false(is_going(&f, "x"));
    fixture_done(&f);
}

TEST(an_eviction_charges_the_budget_before_the_pod_goes) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("x", RUNS));
    fixture_put(&f, BUDGETS, BUDGET("b", "1"));
    assert_int_equal(ask(&f, eviction_create, &evicts_x), 201);
    assert_int_equal(budget(&f)->status.disruptions_allowed, 0);
    assert_non_null(str_map_get(&budget(&f)->status.disrupted_pods, "x"));
    assert_string_equal(budget(&f)->status.conditions.v[0].status, "False");
    assert_string_equal(budget(&f)->status.conditions.v[0].reason, "InsufficientPods");
    assert_true(is_going(&f, "x"));
    fixture_done(&f);
}

TEST(evictions_at_once_get_no_more_than_the_budget_allows) {
    struct fixture f;
    enum { PODS = 4, ALLOWED = 2 };
    static const char *const names[PODS] = {"x0", "x1", "x2", "x3"};
    int status[PODS], gone = 0, refused = 0;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("x0", RUNS));
    fixture_put(&f, "pods", POD("x1", RUNS));
    fixture_put(&f, "pods", POD("x2", RUNS));
    fixture_put(&f, "pods", POD("x3", RUNS));
    fixture_put(&f, BUDGETS, BUDGET("b", "2"));
    for (int i = 0; i < PODS; i++) {
        struct asked q = evicts(
            names[i], "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{}}");
        ask_begin(&f, eviction_create, &q, &status[i]);
    }
    for (int i = 0; i < PODS; i++) {
        ask_wait(&f, &status[i]);
        gone += status[i] == 201 && is_going(&f, names[i]);
        refused += status[i] == 429 && !is_going(&f, names[i]);
    }
    assert_int_equal(gone, ALLOWED);
    assert_int_equal(refused, PODS - ALLOWED);
    assert_int_equal(budget(&f)->status.disruptions_allowed, 0);
    fixture_done(&f);
}

static void others_take_the_last(struct fixture *f) {
    fixture_change(f, BUDGETS, BUDGET("b", "0"));
}
static void others_give_more(struct fixture *f) { fixture_change(f, BUDGETS, BUDGET("b", "7")); }

TEST(a_budget_that_changed_meanwhile_is_looked_at_again) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("x", RUNS));
    fixture_put(&f, BUDGETS, BUDGET("b", "1"));
    f.meanwhile = others_take_the_last;
    assert_int_equal(ask(&f, eviction_create, &evicts_x), 429);
    assert_false(is_going(&f, "x"));
    fixture_put(&f, BUDGETS, BUDGET("b", "1"));
    f.meanwhile = others_give_more;
    assert_int_equal(ask(&f, eviction_create, &evicts_x), 201);
    assert_int_equal(budget(&f)->status.disruptions_allowed, 6);
    fixture_done(&f);
}

TEST(a_pod_that_has_not_begun_costs_no_budget) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("x", "\"phase\":\"Pending\""));
    fixture_put(&f, BUDGETS, BUDGET("b", "0"));
    assert_int_equal(ask(&f, eviction_create, &evicts_x), 201);
    assert_true(is_going(&f, "x"));
    assert_int_equal(budget(&f)->status.disrupted_pods.n, 0);
    fixture_done(&f);
}

TEST(two_budgets_over_one_pod_are_an_error) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("x", RUNS));
    fixture_put(&f, BUDGETS, BUDGET("b", "1"));
    fixture_put(&f, BUDGETS, BUDGET("c", "1"));
    assert_int_equal(ask(&f, eviction_create, &evicts_x), 500);
    assert_answer(&f, "This pod has more than one PodDisruptionBudget");
    assert_int_equal(f.writes, 0);
    fixture_done(&f);
}

TEST(evictions_that_do_not_mean_this_pod_are_refused) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("x", RUNS));
    struct asked other = evicts("x", "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\","
                                     "\"metadata\":{\"name\":\"y\"}}");
    struct asked stale = evicts("x", "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\","
                                     "\"metadata\":{\"name\":\"x\"},\"deleteOptions\":{"
                                     "\"preconditions\":{\"uid\":\"another\"}}}");
    struct asked none = evicts("nobody", NULL);
    assert_int_equal(ask(&f, eviction_create, &other), 400);
    assert_answer(&f, "name in URL does not match name in Eviction object");
    assert_int_equal(ask(&f, eviction_create, &stale), 409);
    assert_answer(&f, "Precondition failed: UID in precondition: another");
    assert_int_equal(ask(&f, eviction_create, &none), 404);
    assert_false(is_going(&f, "x"));
    fixture_done(&f);
}

TEST(a_dry_eviction_asks_the_budget_and_writes_nothing) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("x", RUNS));
    fixture_put(&f, BUDGETS, BUDGET("b", "1"));
    struct asked q = evicts_x;
    q.query = "dryRun=All";
    assert_int_equal(ask(&f, eviction_create, &q), 201);
    assert_int_equal(f.writes, 0);
    fixture_put(&f, BUDGETS, BUDGET("b", "0"));
    assert_int_equal(ask(&f, eviction_create, &q), 429);
    fixture_done(&f);
}
