/* Tables and bare metadata; the columns themselves are tested with their kinds. */
#include "server/media/table.h"

#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

#define OBJECT                                                                                     \
    "{\"metadata\":{\"name\":\"x\",\"namespace\":\"a\",\"resourceVersion\":\"7\","                 \
    "\"creationTimestamp\":\"1970-01-01T00:00:00Z\"}}"

struct shown {
    struct loop *loop;
    struct api api;
    struct call c;
};

static int64_t nine_years_ns(void *user) { return (int64_t)(9 * 365 + 3) * 24 * 3600 * 1000000000; }

static void open_shown(struct shown *s, const struct api_kind *k, const char *include) {
    static const struct loop_env env = {.wall_ns = nine_years_ns};
    *s = (struct shown){.loop = loop_new(&env)};
    s->api.loop = s->loop;
    s->c = (struct call){.api = &s->api, .a = arena_new(), .kind = k, .include_object = include};
}

static void close_shown(struct shown *s) {
    arena_free(s->c.a);
    loop_free(s->loop);
}

TEST(a_list_says_how_it_goes_on_and_how_much_is_left) {
    static const struct {
        struct list_meta meta;
        const char *text;
    } cases[] = {
        {{.remaining = -1}, "{}"},
        {{.revision = 5, .remaining = -1}, "{\"resourceVersion\":\"5\"}"},
        {{.revision = 5, .next = "n\"", .remaining = 3},
         "{\"resourceVersion\":\"5\",\"continue\":\"n\\\"\",\"remainingItemCount\":3}"},
        {{.next = "n", .remaining = -1}, "{\"continue\":\"n\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(buf_done) struct buf b = {0};
        list_meta_encode(&b, &cases[i].meta);
        assert_string_equal(b.p, cases[i].text);
    }
}

TEST(a_kind_without_columns_has_a_name_and_an_age) {
    static const struct api_kind unknown = {.kind = "Thing"};
    struct shown s;
    OWN(buf_done) struct buf b = {0};
    open_shown(&s, &unknown, "None");
    table_object(&b, &s.c, SLICE(OBJECT));
    assert_non_null(strstr(b.p, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\","
                                "\"metadata\":{\"resourceVersion\":\"7\"},"));
    assert_non_null(strstr(b.p, "[{\"name\":\"Name\",\"type\":\"string\",\"format\":\"name\""));
    /* As kubectl writes ages: from eight years on only years. */
    assert_non_null(strstr(b.p, "\"rows\":[{\"cells\":[\"x\",\"9y\"]}]}\n"));
    close_shown(&s);
}

TEST(a_row_has_as_much_of_its_object_as_was_asked) {
    static const struct {
        const char *include, *text;
    } cases[] = {
        {"None", "]},{"},
        {"Object", "],\"object\":" OBJECT "},{"},
        {"Metadata", "],\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":"
                     "\"meta.k8s.io/v1\",\"metadata\":{\"name\":\"x\","},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct shown s;
        OWN(buf_done) struct buf b = {0};
        open_shown(&s, api_kind_by_name("", "v1", "ConfigMap"), cases[i].include);
        for (int n = 0; n < 2; n++) table_row(&b, &s.c, s.c.a, SLICE(OBJECT));
        if (!strstr(b.p, cases[i].text)) fail_msg("%s: %s", cases[i].include, b.p);
        close_shown(&s);
    }
}

TEST(later_pieces_of_a_watch_leave_the_columns_out) {
    struct shown s;
    OWN(buf_done) struct buf b = {0};
    open_shown(&s, api_kind_by_name("", "v1", "Pod"), "None");
    table_head(&b, &s.c, &(struct list_meta){.remaining = -1}, false);
    table_tail(&b);
    assert_string_equal(b.p, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\","
                             "\"metadata\":{},\"columnDefinitions\":null,\"rows\":[]}\n");
    close_shown(&s);
}
