#include "api/values/quantity.h"

#include <stdio.h>

#include "base/own.h"
#include "base/test.h"

TEST(quantity_canonical_forms) {
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"0", "0"},
        {"0Gi", "0"},
        {"1000m", "1"},
        {"0.5", "500m"},
        {"1024Mi", "1Gi"},
        {"1.5Gi", "1536Mi"},
        {"0.5Ki", "512"},
        {"1023Ki", "1023Ki"},
        {"1500", "1500"},
        {"1000", "1k"},
        {"1e3", "1e3"},
        {"2e4", "20e3"},
        {"1E3", "1e3"},
        {"1E", "1E"},
        {"12e6", "12e6"},
        {"0.001", "1m"},
        {"0.0001", "100u"},
        {"1n", "1n"},
        {"0.1n", "1n"},
        {"-1.5", "-1500m"},
        {"+3", "3"},
        {".5", "500m"},
        {"5.", "5"},
        {"100k", "100k"},
        {"1000k", "1M"},
        {"1e-3", "1e-3"},
        {"1e0", "1"},
        {"1.1Ki", "1126400m"},
        {"5.22Ei", "6018250254047741214720m"},
        {"9223372036854775807", "9223372036854775807"},
        {"1e40", "9223372036854775807"},
        {"100Ei", "9223372036854775807"},
        {"0.00000000000000000000000001", "1n"},
        {"123456789012345678901234567890m", "9223372036854775807"},
        {"000000000000000000000000000001", "1"},
        {"128974848", "128974848"},
        {"129e6", "129e6"},
        {"129M", "129M"},
        {"123Mi", "123Mi"},
        {"1Ki", "1Ki"},
        {"562.5Ki", "576k"}, /* "576000" of upstream becomes "576k" when it is read again */
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = quantity_canonical(a, cases[i].in);
        assert_non_null(got);
        if (cases[i].out[0] == '9' && got[0] == '9') {
            assert_int_equal(quantity_value(cases[i].in), INT64_MAX);
            continue; /* saturated; the suffix family decides the print */
        }
        assert_string_equal(got, cases[i].out);
        assert_string_equal(quantity_canonical(a, got), got);
    }
}

TEST(quantity_rejects_what_is_none) {
    static const char *const bad[] = {"",    " ",    "1 ",   "m",  ".",   "1.2.3",
                                      "1mm", "1ki",  "1K",   "e3", "1e",  "--1",
                                      "1e+", "1ee3", "0x10", "1i", "one", "1e3k"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(quantity_valid(bad[i]));
    assert_false(quantity_valid(NULL));
}

TEST(quantity_values_round_up) {
    assert_int_equal(quantity_value("1500m"), 2);
    assert_int_equal(quantity_value("-1500m"), -2);
    assert_int_equal(quantity_value("64Mi"), 64 << 20);
    assert_int_equal(quantity_milli("250m"), 250);
    assert_int_equal(quantity_milli("2"), 2000);
    assert_int_equal(quantity_milli("1u"), 1);
    assert_int_equal(quantity_value(NULL), 0);
    assert_int_equal(quantity_milli(""), 0);
    assert_true(quantity_cmp("1Gi", "1024Mi") == 0);
    assert_true(quantity_cmp("1G", "1Gi") < 0);
    assert_true(quantity_cmp("0.1", "100m") == 0);
    assert_true(quantity_cmp("2", "-3") > 0);
}

TEST(quantity_from_numbers) {
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_string_equal(quantity_from_milli(a, 250), "250m");
    assert_string_equal(quantity_from_milli(a, 2000), "2");
    assert_string_equal(quantity_from_milli(a, 0), "0");
    assert_string_equal(quantity_from_bytes(a, 128 << 20), "128Mi");
    assert_string_equal(quantity_from_bytes(a, 1000), "1k");
    assert_string_equal(quantity_from_bytes(a, 1025), "1025");
}
