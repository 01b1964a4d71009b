#include <string.h>

#include "base/own.h"
#include "base/regex.h"
#include "base/test.h"

static const struct {
    const char *pattern, *text;
    int begin, end; /* -1: no match */
} cases[] = {
    {"", "abc", 0, 0},
    {"b", "abc", 1, 2},
    {"^b", "abc", -1, 0},
    {"^a", "abc", 0, 1},
    {"c$", "abc", 2, 3},
    {"^abc$", "abc", 0, 3},
    {"^abc$", "abcd", -1, 0},
    {"a*", "aaa", 0, 3},
    {"a*?", "aaa", 0, 0},
    {"a+?", "aaa", 0, 1},
    {"(?U)a+", "aaa", 0, 1},
    {"(?U)a+?", "aaa", 0, 3},
    {"a|ab", "ab", 0, 1},
    {"ab|a", "ab", 0, 2},
    {"(a|ab)(c|bcd)", "abcd", 0, 4},
    {"x{2}", "axxxb", 1, 3},
    {"x{2,}", "axxxb", 1, 4},
    {"x{1,2}", "axxxb", 1, 3},
    {"x{1,2}?", "axxxb", 1, 2},
    {"x{0}", "x", 0, 0},
    {"x{,2}", "x{,2}", 0, 5},
    {"a{", "a{", 0, 2},
    {"[a-c]+", "xxabcd", 2, 5},
    {"[^a-c]+", "abxyc", 2, 4},
    {"[]a]+", "x]a]", 1, 4},
    {"[a-]+", "x-a-", 1, 4},
    {"[\\d_]+", "ab12_", 2, 5},
    {"[[:alpha:]]+", "12ab3", 2, 4},
    {"[[:^alpha:]]+", "ab12c", 2, 4},
    {"\\d+", "ab123", 2, 5},
    {"\\D+", "12ab3", 2, 4},
    {"\\w+", "-ab_1-", 1, 5},
    {"\\s+", "a \t\nb", 1, 4},
    {"\\S+", "  ab ", 2, 4},
    {"\\bfoo\\b", "a foo b", 2, 5},
    {"\\bfoo\\b", "afoo", -1, 0},
    {"\\Boo", "foo", 1, 3},
    {"\\Aa\\z", "a", 0, 1},
    {"a.c", "abc", 0, 3},
    {"a.c", "a\nc", -1, 0},
    {"(?s)a.c", "a\nc", 0, 3},
    {"(?m)^b$", "a\nb\nc", 2, 3},
    {"^b$", "a\nb\nc", -1, 0},
    {"(?i)aBc", "xABC", 1, 4},
    {"(?i)[a-c]+", "xABC", 1, 4},
    {"(?i:a)b", "Ab", 0, 2},
    {"(?i:a)b", "AB", -1, 0},
    {"a(?i)b|c", "aB", 0, 2},
    {"(?i)ä", "Ä", 0, 2},
    {"(?-i)a", "a", 0, 1},
    {"(?P<year>\\d{4})-(?<month>\\d\\d)", "on 2024-05", 3, 10},
    {"\\x41\\x{42}\\103", "ABC", 0, 3},
    {"\\Qa.b\\E.", "a.bc", 0, 4},
    {"\\.\\*\\/\\-", ".*/-", 0, 4},
    {"\\t\\n", "\t\n", 0, 2},
    {"é+", "caféé", 3, 7},
    {"^.$", "é", 0, 2},
    {"\\p{L}+", "1äb2", 1, 4},
    {"\\pN+", "a12", 1, 3},
    {"\\P{L}+", "a12b", 1, 3},
    {"\\p{^L}+", "a12b", 1, 3},
    {"[\\p{Lu}x]+", "aXÄx", 1, 5},
    {"(a*)*", "aab", 0, 2},
    {"(a|b)*?c", "ababc", 0, 5},
    {"(|a)+", "aa", 0, 0},
    {"(?:)*x", "x", 0, 1},
    {"^(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)(\\.(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)){3}$",
     "192.168.0.255", 0, 13},
    {"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", "a-b.example.com", 0,
     15},
    {"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "-a", -1, 0},
    {"^([0-9]{1,5}(h|m|s|ms)){1,4}$", "1h30m", 0, 5},
    {"a$b", "a", -1, 0},
    {"$", "ab", 2, 2},
};

TEST(regex_finds_the_preferred_leftmost_match) {
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct regex *re = NULL;
        struct err err = {0};
        size_t begin = 0, end = 0;
        if (regex_compile(a, slice_of(cases[i].pattern), &re, &err) < 0)
            fail_msg("%s: %s", cases[i].pattern, err.text);
        bool found = regex_find(re, slice_of(cases[i].text), 0, &begin, &end);
        if (found != (cases[i].begin >= 0) ||
            (found && ((int)begin != cases[i].begin || (int)end != cases[i].end)))
            fail_msg("%s in %s: %d %zu-%zu", cases[i].pattern, cases[i].text, found, begin, end);
        assert_int_equal(regex_matches(re, slice_of(cases[i].text)), found);
    }
}

TEST(regex_goes_on_behind_a_match) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct regex *re;
    size_t begin = 0, end = 0;
    assert_int_equal(regex_compile(a, SLICE("a+"), &re, NULL), 0);
    assert_true(regex_find(re, SLICE("aabaa"), 2, &begin, &end));
    assert_int_equal(begin, 3);
    assert_int_equal(end, 5);
    assert_false(regex_find(re, SLICE("aab"), 2, &begin, &end));
    assert_false(regex_find(re, SLICE("a"), 5, &begin, &end));
}

TEST(regex_refuses_what_re2_refuses) {
    static const struct {
        const char *pattern, *problem;
    } wrong[] = {
        {"[a", "missing closing ]: `[a`"},
        {"(a", "missing closing ): `(a`"},
        {"a)", "unexpected ): `a)`"},
        {"*a", "missing argument to repetition operator: `*a`"},
        {"a**", "invalid nested repetition operator"},
        {"a{1001}", "invalid repeat count"},
        {"a{3,2}", "invalid repeat count"},
        {"\\1", "invalid escape sequence"},
        {"\\y", "invalid escape sequence"},
        {"[b-a]", "invalid character class range"},
        {"[[:nothing:]]", "invalid character class range"},
        {"\\p{Nothing}", "invalid character class range"},
        {"(?=a)", "invalid or unsupported Perl syntax"},
        {"(?!a)", "invalid or unsupported Perl syntax"},
        {"(?<=a)", "invalid named capture"},
        {"(?P<>a)", "invalid named capture"},
        {"a\\", "trailing backslash at end of expression"},
        {"((a{100}){100}){100}", "expression too large"},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct regex *re = NULL;
        struct err err = {0};
        if (regex_compile(a, slice_of(wrong[i].pattern), &re, &err) == 0)
            fail_msg("%s compiles", wrong[i].pattern);
        if (!strstr(err.text, wrong[i].problem)) fail_msg("%s: %s", wrong[i].pattern, err.text);
    }
}

TEST(regex_groups_nest_only_so_deep) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct regex *re = NULL;
    char deep[1001];
    memset(deep, '(', 1000);
    deep[1000] = 0;
    assert_int_not_equal(regex_compile(a, slice_of(deep), &re, NULL), 0);
    /* Nothing, 1000 times 1000 times …: must not take that long. */
    assert_int_equal(
        regex_compile(a, SLICE("((((((){1000}){1000}){1000}){1000}){1000}){1000}"), &re, NULL), 0);
}

/* What makes backtracking engines run for years. */
TEST(regex_takes_linear_time) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct regex *re = NULL;
    char *text = arena_alloc(a, 50001);
    memset(text, 'a', 50000);
    assert_int_equal(regex_compile(a, SLICE("^(a|aa)+$|^(a+)+b$|(x*)*y"), &re, NULL), 0);
    assert_true(regex_matches(re, slice_from(text, 50000)));
    assert_int_equal(regex_compile(a, SLICE("^(a+)+$"), &re, NULL), 0);
    text[49999] = 'b';
    assert_false(regex_matches(re, slice_from(text, 50000)));
}

TEST(regex_reads_bad_utf8_as_replacement_characters) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct regex *re = NULL;
    assert_int_equal(regex_compile(a, SLICE("^a.b$"), &re, NULL), 0);
    assert_true(regex_matches(re, SLICE("a\xff"
                                        "b")));
    assert_true(regex_matches(re, SLICE("a\xc3\xa4"
                                        "b")));
    assert_int_equal(regex_compile(a, SLICE("^\xff$"), &re, NULL), 0);
    assert_true(regex_matches(re, SLICE("\xfe")));
}
