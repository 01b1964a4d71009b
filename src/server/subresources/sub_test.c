/* Which subresources a kind has, and which container a stream is for. */
#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

#define POD(annotations, containers)                                                               \
    "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\"" annotations                                \
    "},\"spec\":{\"containers\":[" containers "]}}"
#define CONTAINER(name) "{\"name\":\"" name "\",\"image\":\"i\"}"

static bool handled;
static void handle(struct call *c) {
    handled = subresource_handle(c);
    if (!handled) reply_page_not_found(c);
}

static int get(struct fixture *f, const char *plural, const char *subresource, const char *query) {
    return ask(
        f, handle,
        &(struct asked){
            .plural = plural, .ns = "a", .name = "x", .subresource = subresource, .query = query});
}

TEST(a_kind_has_the_subresources_that_its_table_says) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("", CONTAINER("c")));
    assert_int_equal(get(&f, "pods", "status", NULL), 200);
    assert_int_equal(get(&f, "pods", "scale", NULL), 404);
    assert_false(handled);
    assert_int_equal(get(&f, "configmaps", "status", NULL), 404);
    assert_false(handled);
    assert_int_equal(get(&f, "configmaps", "log", NULL), 404);
    assert_false(handled);
    assert_int_equal(get(&f, "pods", "eviction", NULL), 405); /* it is only created */
    assert_true(handled);
    fixture_done(&f);
}

TEST(logs_of_a_pod_that_is_on_no_node_cannot_be_read) {
    struct fixture f;
    fixture_open(&f);
    assert_int_equal(get(&f, "pods", "log", NULL), 404);
    fixture_put(&f, "pods", POD("", CONTAINER("c")));
    assert_int_equal(get(&f, "pods", "log", NULL), 400);
    assert_answer(&f, "pod x does not have a host assigned");
    fixture_done(&f);
}

TEST(the_container_of_a_stream_is_named_or_clear) {
    static const struct {
        const char *annotations, *query, *message;
    } cases[] = {
        {"", "container=b", "does not have a host assigned"},
        {"", "container=z", "container z is not valid for pod x"},
        {"", "", "a container name must be specified for pod x, choose one of: [a b]"},
        {",\"annotations\":{\"kubectl.kubernetes.io/default-container\":\"b\"}", "",
         "does not have a host assigned"},
        {",\"annotations\":{\"kubectl.kubernetes.io/default-container\":\"z\"}", "",
         "container z is not valid for pod x"},
    };
    struct fixture f;
    fixture_open(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fixture_put(&f, "pods",
                    arena_printf(f.arena, POD("%s", CONTAINER("a") "," CONTAINER("b")),
                                 cases[i].annotations));
        assert_int_equal(get(&f, "pods", "log", cases[i].query), 400);
        assert_answer(&f, cases[i].message);
    }
    fixture_done(&f);
}
