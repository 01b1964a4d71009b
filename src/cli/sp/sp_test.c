#include "cli/sp/sp_cli.h"

#include "base/own.h"
#include "base/test.h"

static const char status[] =
    "topology quotes\npattern pubsub\nready yes\nclients 4\nlinks 1\n"
    "role pub clients=1 dropped=0\nrole sub clients=3 dropped=7\n"
    "edge exchange role=sub dial=tcp://10.0.0.1:5000 state=connected peers=1\n"
    "edge bank role=pub listen=tls+tcp://*:6000 state=listening peers=0 organisation=bank "
    "error=certificate of a stranger, a=b\n"
    "nothing\n\nrole\n";

TEST(status_files_are_read) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct sp_view v;
    sp_view_parse(a, status, &v);
    assert_string_equal(v.name, "quotes");
    assert_string_equal(sp_fact(&v.values, "pattern"), "pubsub");
    assert_int_equal(v.roles.n, 2);
    assert_int_equal(sp_fact_number(&v.roles.v[1], "dropped"), 7);
    assert_int_equal(v.edges.n, 2);
    assert_string_equal(v.edges.v[1].name, "bank");
    assert_string_equal(sp_fact(&v.edges.v[1], "error"), "certificate of a stranger, a=b");
    assert_string_equal(sp_fact(&v.edges.v[1], "missing"), "");
}

TEST(a_topology_is_drawn_with_what_comes_and_what_goes) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf out = {0};
    struct sp_view v;
    sp_view_parse(a, status, &v);
    sp_graph_text_draw(a, &v, &out);
    assert_string_equal(
        out.p, "1 pub                              ──┬─▶ quotes (pubsub) ──┬─▶ 3 sub\n"
               "exchange dials tcp://10.0.0.1:5000 ──┘                     └─▶ bank (bank) listens "
               "tls+tcp://*:6000 [listening]\n");
}

TEST(a_drawing_holds_what_names_say_as_text) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf out = {0};
    struct sp_view v;
    sp_view_parse(a, "topology a\npattern bus\nedge <b>& role=bus dial=ipc:///\"x\n", &v);
    sp_graph_svg_draw(a, &v, 1, &out);
    assert_non_null(strstr(out.p, "&lt;b&gt;&amp; dials ipc:///&quot;x"));
    assert_null(strstr(out.p, "<b>"));
    assert_true(str_ends(out.p, "</svg>\n"));
}

TEST(bytes_of_strangers_do_not_move_the_cursor) {
    static const char *const cases[][2] = {
        {"plain é", "plain é"},
        {"a\x1b[2J\n", "a\\x1b[2J\\x0a"},
        {"\xff\xc3", "\\xff\\xc3"},
        {"\xc2\x9b"
         "x",
         "\\xc2\\x9bx"},
        {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(buf_done) struct buf out = {0};
        sp_cli_escape(&out, slice_of(cases[i][0]));
        assert_string_equal(out.p, cases[i][1]);
    }
}
