#include "proto/yaml.h"

#include <string.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/test.h"
#include "proto/json.h"

static void assert_json(const char *yaml, const char *json) {
    OWN(buf_done) struct buf out = {0};
    struct err err = {0};
    if (yaml_to_json(slice_of(yaml), &out, &err) < 0) fail_msg("%s: %s", yaml, err.text);
    assert_string_equal(out.p, json);
}

static void assert_refused(struct slice yaml, const char *part) {
    OWN(buf_done) struct buf out = {0};
    struct err err = {0};
    assert_true(yaml_to_json(yaml, &out, &err) < 0);
    if (!strstr(err.text, part)) fail_msg("%s lacks %s", err.text, part);
    assert_int_equal(err_http(err.reason), 400);
}

TEST(yaml_resolves_plain_scalars_as_kubectl_does) {
    static const struct {
        const char *plain, *json;
    } cases[] = {{"yes", "true"},
                 {"Off", "false"},
                 {"y", "true"},
                 {"~", "null"},
                 {"", "null"},
                 {"17", "17"},
                 {"017", "15"},
                 {"0o17", "15"},
                 {"0x1F", "31"},
                 {"0b101", "5"},
                 {"-5", "-5"},
                 {"+5", "5"},
                 {"1_000", "1000"},
                 {"1.5", "1.5"},
                 {".5", "0.5"},
                 {"1e3", "1000"},
                 {"5.", "5"},
                 {"-0", "0"},
                 {"1.2.3", "\"1.2.3\""},
                 {"100m", "\"100m\""},
                 {"1Gi", "\"1Gi\""},
                 {"2026-01-02", "\"2026-01-02\""},
                 {"-", "\"-\""},
                 {"'yes'", "\"yes\""},
                 {"\"17\"", "\"17\""},
                 {"!!str 17", "\"17\""},
                 {"0.10", "0.1"},
                 {"18446744073709551615", "18446744073709551615"},
                 {".", "\".\""},
                 {"099", "99"},
                 {"1e", "\"1e\""},
                 {"- -", "[[null]]"},
                 {"e5", "\"e5\""}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (strcmp(cases[i].plain, "") == 0 || strcmp(cases[i].plain, "-") == 0) continue;
        OWN(buf_done) struct buf in = {0}, want = {0};
        bool block = strcmp(cases[i].plain, "- -") == 0;
        if (block)
            buf_str(&in, "- -");
        else
            buf_printf(&in, "a: %s", cases[i].plain);
        if (strcmp(cases[i].plain, "~") == 0 || !block)
            buf_printf(&want, "{\"a\":%s}", cases[i].json);
        else
            buf_str(&want, cases[i].json);
        assert_json(in.p, want.p);
    }
}

TEST(yaml_writes_keys_as_strings_and_keeps_duplicates) {
    assert_json("1: a\ntrue: b\nk: c\nk: d",
                "{\"1\":\"a\",\"true\":\"b\",\"k\":\"c\",\"k\":\"d\"}");
}

TEST(yaml_follows_aliases_and_merges) {
    assert_json("x: &x {a: 1, b: 2}\nw: {<<: *x, b: 3}\nz: [*x]",
                "{\"x\":{\"a\":1,\"b\":2},\"w\":{\"a\":1,\"b\":3},\"z\":[{\"a\":1,\"b\":2}]}");
}

TEST(yaml_reads_block_text) {
    assert_json("a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}");
}

static int count(void *user, struct slice json) {
    buf_slice(user, json);
    buf_char(user, ';');
    return 0;
}

TEST(yaml_walks_documents_and_leaves_out_empty_ones) {
    OWN(buf_done) struct buf out = {0};
    assert_int_equal(
        yaml_each_document(SLICE("---\na: 1\n---\n# none\n---\nb: 2\n"), count, &out, NULL), 0);
    assert_string_equal(out.p, "{\"a\":1};{\"b\":2};");
}

TEST(yaml_refuses_hostile_and_broken_texts) {
    assert_refused(SLICE("a: [1"), "line ");
    assert_refused(SLICE("a: *b"), "unknown anchor");
    assert_refused(SLICE("a: &a [*a]"), "unknown anchor");
    assert_refused(SLICE("[a]: b"), "a key must be a scalar");
    assert_refused(SLICE("a: b\n---\nc: d"), "more than one document");
    assert_refused(SLICE("# nothing"), "no document");
    assert_refused(SLICE("a: \"x\\0\""), "NUL character");
    assert_refused(slice_from("a: \0", 4), "control characters");
    OWN(buf_done) struct buf deep = {0}, laughs = {0};
    for (int i = 0; i < LIMIT_JSON_DEPTH + 2; i++) buf_char(&deep, '[');
    assert_refused(buf_view(&deep), "nested too deeply");
    buf_str(&laughs, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++)
        buf_printf(&laughs, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
                   i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_refused(buf_view(&laughs), "aliases stand for too many values");
}

TEST(json_reader_agrees_with_jansson) {
    static const char *const texts[] = {"{}",
                                        "[]",
                                        " [1, 2.5e-3, -0, \"\\u00e9\\ud83d\\ude00\"] ",
                                        "\"x\"",
                                        "nul",
                                        "[1,]",
                                        "{,}",
                                        "[01]",
                                        "[1.]",
                                        "[.5]",
                                        "[1e]",
                                        "[\"\\x\"]",
                                        "[\"\t\"]",
                                        "{\"a\" 1}",
                                        "{\"a\":1 \"b\":2}",
                                        "[\"\\ud800x\"]",
                                        "[\"\\u0000\"]",
                                        "[\"\xc0\x80\"]",
                                        "[\"\xed\xa0\x80\"]",
                                        "[\"\xf4\x90\x80\x80\"]",
                                        "[true,false,null]",
                                        "[1 2]",
                                        "]",
                                        "",
                                        "[\"",
                                        "[\"\\",
                                        "[-]",
                                        "[\"\xe2\x82\xac\"]",
                                        "1 2"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        json_error_t why;
        struct json_reader r;
        json_t *tree = json_loads(texts[i], JSON_DECODE_ANY, &why);
        json_reader_init(&r, slice_of(texts[i]));
        bool accepted = json_skip(&r) == 0 && json_end(&r) == 0;
        if (accepted != (tree != NULL)) fail_msg("%s: jansson says %d", texts[i], tree != NULL);
        json_decref(tree);
    }
}

TEST(json_parse_refuses_duplicates_and_depth) {
    json_t *v = NULL;
    struct err err = {0};
    OWN(buf_done) struct buf deep = {0};
    assert_true(json_parse(SLICE("{\"a\":1,\"a\":2}"), &v, &err) < 0);
    for (int i = 0; i <= LIMIT_JSON_DEPTH; i++) buf_char(&deep, '[');
    for (int i = 0; i <= LIMIT_JSON_DEPTH; i++) buf_char(&deep, ']');
    assert_true(json_parse(buf_view(&deep), &v, &err) < 0);
    assert_int_equal(json_parse(slice_from(deep.p + 1, deep.n - 2), &v, &err), 0);
    json_decref(v);
}
