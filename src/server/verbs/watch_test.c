/* What a watcher gets to see, and how a watch ends. */
#include <string.h>

#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

static void put_map(struct fixture *f, const char *ns, const char *name, const char *team) {
    fixture_put(f, "configmaps",
                arena_printf(f->arena,
                             "{\"metadata\":{\"namespace\":\"%s\",\"name\":\"%s\","
                             "\"labels\":{\"team\":\"%s\"}}}",
                             ns, name, team));
}

static void begin(struct fixture *f, const char *query, int *status) {
    ask_begin(f, verb_watch,
              &(struct asked){.verb = "watch", .plural = "configmaps", .ns = "a", .query = query},
              status);
}

/* "ADDED x, DELETED y" of the frames so far; forgets them. */
static const char *frames(struct fixture *f) {
    static const char type_key[] = "{\"type\":\"", name_key[] = "\"name\":\"";
    const char *text = "";
    for (int i = 0; i < 20; i++) loop_run_once(f->loop, 1);
    buf_char(&f->answer, 0);
    for (const char *p = f->answer.p; (p = strstr(p, type_key)); p++) {
        const char *type = p + strlen(type_key), *end = strchr(p, '\n'),
                   *name = strstr(type, name_key);
        assert_non_null(end); /* one frame, one line */
        bool named = name && name < end;
        name = named ? name + strlen(name_key) : "";
        text = arena_printf(f->arena, "%s%s%.*s%s%.*s", text, *text ? ", " : "",
                            (int)strcspn(type, "\""), type, named ? " " : "",
                            (int)strcspn(name, "\""), name);
    }
    buf_clear(&f->answer);
    return text;
}

TEST(a_watch_shows_the_state_and_then_the_changes_of_its_namespace) {
    struct fixture f;
    int status;
    fixture_open(&f);
    put_map(&f, "a", "x", "red");
    put_map(&f, "b", "elsewhere", "red");
    begin(&f, "watch=1", &status);
    assert_string_equal(frames(&f), "ADDED x");
    put_map(&f, "a", "y", "red");
    put_map(&f, "b", "elsewhere", "blue");
    put_map(&f, "a", "x", "blue");
    assert_string_equal(frames(&f), "ADDED y, MODIFIED x");
    watches_end(&f.api);
    ask_wait(&f, &status);
    assert_int_equal(status, 200);
    fixture_done(&f);
}

TEST(a_watch_from_a_revision_shows_what_came_after_it) {
    struct fixture f;
    int status;
    fixture_open(&f);
    put_map(&f, "a", "x", "red");
    uint64_t revision = f.revision;
    put_map(&f, "a", "y", "red");
    begin(&f, arena_printf(f.arena, "resourceVersion=%llu", (unsigned long long)revision), &status);
    assert_string_equal(frames(&f), "ADDED y");
    watches_end(&f.api);
    ask_wait(&f, &status);
    fixture_done(&f);
}

/* What is put together for one of them is sent to those that see the same, and to no others. */
TEST(watchers_side_by_side_see_each_what_it_asked_for) {
    static const struct {
        const char *ns, *query;
    } watchers[] = {{"a", ""},
                    {"b", ""},
                    {"a", ""},
                    {"a", "labelSelector=team%3Dred"},
                    {"", ""},
                    {"", ""},
                    {"", "fieldSelector=metadata.name%3Dy"},
                    {"b", ""},
                    {"a", ""}};
    int status[ARRAY_LEN(watchers)];
    struct fixture f;
    fixture_open(&f);
    for (size_t i = 0; i < ARRAY_LEN(watchers); i++)
        ask_begin(&f, verb_watch,
                  &(struct asked){.verb = "watch",
                                  .plural = "configmaps",
                                  .ns = watchers[i].ns,
                                  .query = watchers[i].query},
                  &status[i]);
    frames(&f);
    put_map(&f, "a", "x", "red");
    assert_string_equal(frames(&f), "ADDED x, ADDED x, ADDED x, ADDED x, ADDED x, ADDED x");
    put_map(&f, "b", "y", "blue");
    assert_string_equal(frames(&f), "ADDED y, ADDED y, ADDED y, ADDED y, ADDED y");
    put_map(&f, "a", "x", "blue");
    assert_string_equal(frames(&f),
                        "MODIFIED x, MODIFIED x, DELETED x, MODIFIED x, MODIFIED x, MODIFIED x");
    watches_end(&f.api);
    for (size_t i = 0; i < ARRAY_LEN(watchers); i++) ask_wait(&f, &status[i]);
    fixture_done(&f);
}

/* What is put together once for all has every event once, wherever who asks for it stands, and
 * large objects, which are sent by themselves, in their place. */
TEST(a_watch_goes_on_from_any_place_of_what_others_have_seen) {
    enum { EVENTS = 6, LARGE = 3, LARGE_BYTES = 20000 };
    struct fixture f;
    int status[EVENTS + 2];
    uint64_t after[EVENTS + 1];
    fixture_open(&f);
    put_map(&f, "b", "elsewhere", "red");
    after[0] = f.revision;
    for (int i = 0; i < EVENTS; i++) {
        char *text = ARENA_ARRAY(f.arena, char, LARGE_BYTES);
        memset(text, 'x', LARGE_BYTES - 1);
        fixture_put(&f, "configmaps",
                    arena_printf(f.arena,
                                 "{\"metadata\":{\"namespace\":\"a\",\"name\":\"m%d\"},"
                                 "\"data\":{\"page\":\"%s\"}}",
                                 i, i == LARGE ? text : "x"));
        put_map(&f, "b", "elsewhere", i % 2 ? "red" : "blue");
        after[i + 1] = f.revision - i % 2; /* its own event, or that of the other namespace */
    }
    for (int i = 0; i <= EVENTS + 1; i++) {
        int from = i > EVENTS ? 0 : (i * 5) % (EVENTS + 1);
        const char *expected = "";
        for (int k = from; k < EVENTS; k++)
            expected = arena_printf(f.arena, "%s%sADDED m%d", expected, k > from ? ", " : "", k);
        begin(&f, arena_printf(f.arena, "resourceVersion=%llu", (unsigned long long)after[from]),
              &status[i]);
        assert_string_equal(frames(&f), expected);
    }
    watches_end(&f.api);
    for (int i = 0; i <= EVENTS + 1; i++) ask_wait(&f, &status[i]);
    fixture_done(&f);
}

TEST(what_enters_a_selection_is_new_and_what_leaves_it_is_gone) {
    struct fixture f;
    int status;
    fixture_open(&f);
    put_map(&f, "a", "x", "red");
    begin(&f, "labelSelector=team%3Dred", &status);
    assert_string_equal(frames(&f), "ADDED x");
    put_map(&f, "a", "x", "blue");
    put_map(&f, "a", "y", "blue");
    put_map(&f, "a", "y", "red");
    assert_string_equal(frames(&f), "DELETED x, ADDED y");
    watches_end(&f.api);
    ask_wait(&f, &status);
    fixture_done(&f);
}

TEST(the_end_of_the_state_is_marked_for_who_asks) {
    struct fixture f;
    int status;
    fixture_open(&f);
    put_map(&f, "a", "x", "red");
    begin(&f, "allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
          &status);
    for (int i = 0; i < 20; i++) loop_run_once(f.loop, 1);
    assert_answer(&f, "k8s.io/initial-events-end");
    assert_string_equal(frames(&f), "ADDED x, BOOKMARK");
    watches_end(&f.api);
    ask_wait(&f, &status);
    fixture_done(&f);
}

TEST(a_watch_is_refused_with_the_reason) {
    static const struct {
        const char *query, *message;
        int status;
    } cases[] = {
        {"resourceVersion=x", "invalid resource version", 400},
        {"resourceVersionMatch=Exact",
         "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided", 422},
        {"sendInitialEvents=true",
         "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan", 422},
        {"timeoutSeconds=-1", "timeoutSeconds", 400},
        {"labelSelector=%3D%3D", "found '=='", 400},
        {"sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=999999",
         "Too large resource version", 504},
    };
    struct fixture f;
    fixture_open(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int status;
        begin(&f, cases[i].query, &status);
        ask_wait(&f, &status);
        assert_answer(&f, cases[i].message);
        assert_int_equal(status, cases[i].status);
    }
    assert_int_equal(f.api.watchers, 0);
    fixture_done(&f);
}
