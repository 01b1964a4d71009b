#include "server/flow/flow_impl.h"

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
