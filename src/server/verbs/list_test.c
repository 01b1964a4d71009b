#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

static int list(struct fixture *f, const char *ns, const char *query) {
    return ask(f, verb_list,
               &(struct asked){.verb = "list", .plural = "configmaps", .ns = ns, .query = query});
}

static void fill(struct fixture *f) {
    for (int i = 0; i < 5; i++)
        fixture_put(f, "configmaps",
                    arena_printf(f->arena,
                                 "{\"metadata\":{\"namespace\":\"a\",\"name\":\"m%d\",\"labels\":{"
                                 "\"odd\":\"%d\"}}}",
                                 i, i % 2));
    fixture_put(f, "configmaps", "{\"metadata\":{\"namespace\":\"b\",\"name\":\"m0\"}}");
}

/* "a/m0 a/m1 ": what the last list has, in its order. */
static const char *shown(struct fixture *f) {
    OWN(buf_done) struct buf b = {0};
    struct slice at = buf_view(&f->answer);
    static const char name[] = "\"name\":\"m", ns[] = "\"namespace\":\"";
    for (const char *p = at.p; (p = strstr(p, name)); p += sizeof name) {
        const char *space = strstr(p, ns);
        assert_non_null(space);
        buf_printf(&b, "%c/m%c ", space[sizeof ns - 1], p[sizeof name - 1]);
    }
    return arena_strn(f->arena, buf_view(&b));
}

static const char *next_page(struct fixture *f) {
    const char *p = strstr(f->answer.p, "\"continue\":\"");
    if (!p) return NULL;
    p += strlen("\"continue\":\"");
    return arena_strn(f->arena, slice_from(p, strcspn(p, "\"")));
}

TEST(lists_have_the_objects_of_a_namespace_or_of_all_in_the_order_of_their_keys) {
    struct fixture f;
    fixture_open(&f);
    fill(&f);
    assert_int_equal(list(&f, "a", NULL), 200);
    assert_string_equal(shown(&f), "a/m0 a/m1 a/m2 a/m3 a/m4 ");
    assert_int_equal(list(&f, NULL, NULL), 200);
    assert_string_equal(shown(&f), "a/m0 a/m1 a/m2 a/m3 a/m4 b/m0 ");
    assert_int_equal(list(&f, "c", NULL), 200);
    assert_string_equal(shown(&f), "");
    assert_answer(&f, "\"items\":[]");
    fixture_done(&f);
}

TEST(pages_say_how_many_remain_and_where_they_go_on) {
    struct fixture f;
    fixture_open(&f);
    fill(&f);
    assert_int_equal(list(&f, "a", "limit=2"), 200);
    assert_string_equal(shown(&f), "a/m0 a/m1 ");
    assert_answer(&f, "\"remainingItemCount\":3");
    assert_non_null(next_page(&f));
    fixture_done(&f);
}

TEST(a_page_that_is_exactly_full_is_the_last) {
    struct fixture f;
    fixture_open(&f);
    fill(&f);
    assert_int_equal(list(&f, "a", "limit=5"), 200);
    assert_null(next_page(&f));
    assert_null(strstr(f.answer.p, "remainingItemCount"));
    fixture_done(&f);
}

TEST(selectors_narrow_a_list_and_nothing_is_said_of_what_remains) {
    struct fixture f;
    fixture_open(&f);
    fill(&f);
    assert_int_equal(list(&f, "a", "labelSelector=odd%3D0"), 200);
    assert_string_equal(shown(&f), "a/m0 a/m2 a/m4 ");
    assert_int_equal(list(&f, "a", "labelSelector=odd%3D0&limit=1"), 200);
    assert_string_equal(shown(&f), "a/m0 ");
    assert_non_null(next_page(&f));
    assert_null(strstr(f.answer.p, "remainingItemCount"));
    assert_int_equal(list(&f, NULL, "fieldSelector=metadata.name%3Dm0"), 200);
    assert_string_equal(shown(&f), "a/m0 b/m0 ");
    assert_int_equal(list(&f, "a", "fieldSelector=metadata.name%21%3Dm0,metadata.name%21%3Dm1"),
                     200);
    assert_string_equal(shown(&f), "a/m2 a/m3 a/m4 ");
    assert_int_equal(list(&f, "a", "fieldSelector=spec.x%3D1"), 400);
    assert_answer(&f, "field label not supported: spec.x");
    fixture_done(&f);
}
