#include "server/verbs/continue.h"

#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

TEST(continue_tokens_round_trip_and_refuse_nonsense) {
    struct arena *a = arena_new();
    uint64_t revision = 0;
    struct slice start;
    const char *token = continue_encode(a, 42, SLICE("ns/na\"me"));
    assert_int_equal(continue_decode(a, token, &revision, &start), 0);
    assert_int_equal(revision, 42);
    assert_true(slice_is(start, "ns/na\"me"));
    static const char *const bad[] = {"", "x", "e30", "bm90IGpzb24", "!!!"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(continue_decode(a, bad[i], &revision, &start) < 0);
    arena_free(a);
}

static struct list_position position;
static bool refused;

static void parse(struct call *c) {
    refused = list_position_parse(c, &position) < 0;
    if (!refused) reply_text(c, 200, "");
}

static int positioned(struct fixture *f, const char *query) {
    return ask(f, parse, &(struct asked){.verb = "list", .plural = "configmaps", .query = query});
}

TEST(lists_are_refused_where_the_query_contradicts_itself) {
    static const struct {
        const char *query, *message;
        int status;
    } cases[] = {
        {"limit=many", "limit: \\\"many\\\" is not a number", 400},
        {"limit=-x", "limit: \\\"-x\\\" is not a number", 400},
        {"resourceVersion=x", "invalid resource version \\\"x\\\"", 400},
        {"resourceVersion=99", "Too large resource version: 99, current: 7", 504},
        {"resourceVersion=6&resourceVersionMatch=Some", "Unsupported value: \\\"Some\\\"", 422},
        {"resourceVersionMatch=Exact", "forbidden unless resourceVersion is provided", 422},
        {"resourceVersion=0&resourceVersionMatch=Exact", "forbidden for resourceVersion", 422},
        {"continue=nonsense", "continue key is not valid", 400},
        {"continue=x&resourceVersion=6", "not allowed when using continue", 400},
    };
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "configmaps", "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\"}}");
    fixture_put(&f, "configmaps", "{\"metadata\":{\"namespace\":\"a\",\"name\":\"y\"}}");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(positioned(&f, cases[i].query), cases[i].status);
        assert_answer(&f, cases[i].message);
        assert_true(refused);
    }
    fixture_done(&f);
}

TEST(a_list_is_exact_when_a_version_is_asked_for_by_name_or_with_a_limit) {
    static const struct {
        const char *query;
        uint64_t revision, limit;
        bool exact;
    } cases[] = {
        {"", 7, 0, false},
        {"resourceVersion=6", 7, 0, false},
        {"resourceVersion=0&limit=3", 7, 3, false},
        {"resourceVersion=6&limit=3", 6, 3, true},
        {"resourceVersion=6&limit=-1", 7, 0, false}, /* no limit */
        {"resourceVersion=6&resourceVersionMatch=Exact", 6, 0, true},
        {"resourceVersion=6&resourceVersionMatch=NotOlderThan&limit=3", 7, 3, false},
    };
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "configmaps", "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\"}}");
    fixture_put(&f, "configmaps", "{\"metadata\":{\"namespace\":\"a\",\"name\":\"y\"}}");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(positioned(&f, cases[i].query), 200);
        assert_int_equal(position.revision, cases[i].revision);
        assert_int_equal(position.limit, cases[i].limit);
        assert_int_equal(position.exact, cases[i].exact);
    }
    fixture_done(&f);
}

TEST(a_page_of_a_version_that_is_compacted_says_how_to_go_on) {
    struct fixture f;
    fixture_open(&f);
    const char *query =
        arena_printf(f.arena, "continue=%s", continue_encode(f.arena, 4, SLICE("a/x")));
    f.api.cache.compacted = 3;
    assert_int_equal(positioned(&f, query), 200);
    assert_true(position.exact && position.revision == 4 && slice_is(position.start, "a/x"));
    f.api.cache.compacted = 5;
    assert_int_equal(positioned(&f, query), 410);
    assert_answer(&f, continue_encode(f.arena, 0, SLICE("a/x")));
    fixture_done(&f);
}
