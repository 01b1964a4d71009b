#include "server/flow/flow_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "base/test.h"

static const struct flowcontrol_v1_flow_schema *schema(struct arena *a, const char *name,
                                                       int precedence, const char *rules) {
    struct api_object *o;
    struct err err = {0};
    const struct api_kind *k =
        api_kind_by_plural("flowcontrol.apiserver.k8s.io", "v1", "flowschemas");
    const char *json = arena_printf(a,
                                    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{"
                                    "\"matchingPrecedence\":%d,\"rules\":[%s]}}",
                                    name, precedence, rules);
    if (api_object_decode(a, k, slice_of(json), &o, &err) < 0) fail_msg("%s", err.text);
    return (void *)o;
}

#define POD_READERS                                                                                \
    "{\"subjects\":[{\"kind\":\"Group\",\"group\":{\"name\":\"readers\"}},{\"kind\":"              \
    "\"ServiceAccount\",\"serviceAccount\":{\"namespace\":\"a\",\"name\":\"*\"}}],"                \
    "\"resourceRules\":[{\"verbs\":[\"get\",\"list\"],\"apiGroups\":[\"\"],\"resources\":["        \
    "\"pods\",\"pods/log\"],\"namespaces\":[\"a\"]}],\"nonResourceRules\":[{\"verbs\":[\"get\"],"  \
    "\"nonResourceURLs\":[\"/x/*\",\"/y\"]}]}"

struct asked {
    const char *user, *group, *verb, *api_group, *plural, *subresource, *ns, *path;
    bool matches;
};

TEST(schemas_match_by_subject_and_rule) {
    static const struct asked table[] = {
        {"u", "readers", "get", "", "pods", "", "a", NULL, true},
        {"u", "readers", "get", "", "pods", "log", "a", NULL, true},
        {"u", "readers", "get", "", "pods", "status", "a", NULL, false},
        {"u", "readers", "get", "", "pods", "", "b", NULL, false},
        {"u", "readers", "list", "", "pods", "", "", NULL, false}, /* cluster scope */
        {"u", "readers", "create", "", "pods", "", "a", NULL, false},
        {"u", "readers", "get", "apps", "pods", "", "a", NULL, false},
        {"u", "others", "get", "", "pods", "", "a", NULL, false},
        {"system:serviceaccount:a:b", "others", "get", "", "pods", "", "a", NULL, true},
        {"system:serviceaccount:ab:b", "others", "get", "", "pods", "", "a", NULL, false},
        {"u", "readers", "get", "", "", "", "", "/x/z", true},
        {"u", "readers", "get", "", "", "", "", "/y", true},
        {"u", "readers", "get", "", "", "", "", "/y/z", false},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    struct flow f = {0};
    struct flow_schema one = {.object = schema(a, "s", 5, POD_READERS)};
    vec_push(&f.schemas, one);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct asked *q = &table[i];
        const char *groups[] = {"system:authenticated", q->group};
        struct request r = {.path = q->path};
        struct call c = {.r = &r,
                         .user = {.name = q->user, .groups = {groups, 2}},
                         .route = {.is_resource = !q->path,
                                   .verb = q->verb,
                                   .group = q->api_group,
                                   .plural = q->plural,
                                   .subresource = q->subresource,
                                   .ns = q->ns}};
        if ((flow_classify(&f, &c) != NULL) != q->matches) fail_msg("row %zu", i);
    }
    vec_done(&f.schemas);
}

TEST(a_hand_has_different_cards_and_all_are_dealt) {
    unsigned seen[128] = {0}, hand[6];
    uint64_t h = 1;
    for (int i = 0; i < 20000; i++) {
        h = h * 6364136223846793005ULL + 1442695040888963407ULL;
        flow_deal(h ^ h >> 31, 128, 6, hand);
        for (int j = 0; j < 6; j++) {
            assert_true(hand[j] < 128);
            if (j) assert_true(hand[j - 1] < hand[j]);
            seen[hand[j]]++;
        }
    }
    for (int i = 0; i < 128; i++) assert_in_range(seen[i], 700, 1200);
    flow_deal(12345, 3, 8, hand); /* more than there are: all */
    assert_int_equal(hand[0] + hand[1] + hand[2], 3);
}

TEST(flows_differ_by_what_distinguishes_them) {
    struct call x = {.user = {.name = "x"}, .route = {.ns = "n"}};
    struct call y = {.user = {.name = "y"}, .route = {.ns = "n"}};
    struct flow_schema s = {.distinguisher = FLOW_BY_USER, .hash = 7};
    assert_true(flow_hash(&s, &x) != flow_hash(&s, &y));
    s.distinguisher = FLOW_BY_NAMESPACE;
    assert_true(flow_hash(&s, &x) == flow_hash(&s, &y));
    s.distinguisher = FLOW_ONE;
    assert_true(flow_hash(&s, &x) == 7);
}

/* A level with one queue, and who has been run. */
struct served {
    struct api api;
    struct flow *f;
    struct flow_level *level;
    struct arena *a;
    char order[16];
};

static struct served *served; /* of the test that runs */

static void serve(struct call *c) {
    snprintf(served->order + strlen(served->order), 3, "%s ", c->user.name);
    c->r->on_over(c->r->on_over_user);
}

static void served_open(struct served *s) {
    static const char *const everything = "{\"subjects\":[{\"kind\":\"Group\",\"group\":{\"name\":"
                                          "\"*\"}}],\"nonResourceRules\":[{\"verbs\":[\"*\"],"
                                          "\"nonResourceURLs\":[\"*\"]}]}";
    *s = (struct served){.a = arena_new(), .api.loop = loop_new(NULL)};
    s->f = s->api.flow = flow_new(&s->api);
    s->level = ARENA_NEW(s->a, struct flow_level);
    *s->level = (struct flow_level){.nominal = 2, .n_queues = 1, .hand = 1, .queue_limit = 10};
    s->level->queues = ARENA_ARRAY(s->a, struct flow_queue, 1);
    vec_push(&s->f->levels, s->level);
    struct flow_schema one = {.object = schema(s->a, "s", 5, everything),
                              .level = s->level,
                              .distinguisher = FLOW_BY_USER};
    vec_push(&s->f->schemas, one);
    served = s;
}

static void served_done(struct served *s) {
    timer_free(s->f->timer);
    arena_free(s->f->arena);
    while (s->f->free_tickets) {
        struct flow_ticket *t = s->f->free_tickets;
        s->f->free_tickets = t->next;
        free(t);
    }
    vec_done(&s->level->active);
    vec_done(&s->f->levels);
    vec_done(&s->f->schemas);
    free(s->f);
    loop_free(s->api.loop);
    arena_free(s->a);
}

static void arrives(struct served *s, const char *user) {
    static const char *groups[] = {"all"};
    struct call *c = ARENA_NEW(s->a, struct call);
    *c = (struct call){.api = &s->api, .a = s->a, .user = {.name = user, .groups = {groups, 1}}};
    c->r = ARENA_NEW(s->a, struct request);
    c->r->path = "/x";
    c->route.verb = "get";
    flow_run(c, serve);
}

TEST(who_has_credit_passes_other_flows_but_not_his_own_requests) {
    struct served s;
    served_open(&s);
    s.level->in_use = s.level->nominal;
    arrives(&s, "x");
    arrives(&s, "y");
    assert_string_equal(s.order, ""); /* there was no seat */
    s.level->in_use = 0;
    arrives(&s, "x");
    assert_string_equal(s.order, ""); /* x has one that waits */
    arrives(&s, "z");
    assert_string_equal(s.order, "z ");
    for (int i = 0; i < 100 && s.f->waiting; i++) loop_run_once(s.api.loop, 10);
    assert_string_equal(s.order, "z x y x ");
    served_done(&s);
}
