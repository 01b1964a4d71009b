#include "server/egress/target.h"

#include "base/test.h"

#include "base/own.h"

TEST(urls_become_targets) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const struct {
        const char *url, *host, *authority, *path;
        int port;
    } good[] = {
        {"https://a.example", "a.example", "a.example", "/", 443},
        {"https://a.example:8443/x?y=1#z", "a.example", "a.example:8443", "/x?y=1", 8443},
        {"https://[fd00::1]:99/v", "fd00::1", "[fd00::1]:99", "/v", 99},
        {"https://[fd00::1]", "fd00::1", "[fd00::1]", "/", 443},
        {"https://10.0.0.1?q", "10.0.0.1", "10.0.0.1", "/?q", 443},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct egress_target t;
        struct err err = {0};
        assert_int_equal(egress_target_url(a, good[i].url, false, &t, &err), 0);
        assert_string_equal(t.host, good[i].host);
        assert_string_equal(t.authority, good[i].authority);
        assert_string_equal(t.path, good[i].path);
        assert_int_equal(t.port, good[i].port);
        assert_true(t.tls);
        assert_int_equal(t.policy, EGRESS_BY_ADMINISTRATOR);
    }
}

TEST(urls_that_lead_nowhere_are_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const char *const bad[] = {
        "http://a.example",
        "ftp://a",
        "https://",
        "https://:443/",
        "https://u:p@a.example/",
        "https://a:0/",
        "https://a:65536/",
        "https://a:b/",
        "https://a\r\nHost: b/",
        "https://[fd00::1/",
        "https://[::1]x/",
        "https://a b/",
        "https://a.example/\\..\\",
        "a.example",
        "",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct egress_target t;
        struct err err = {0};
        if (egress_target_url(a, bad[i], false, &t, &err) == 0) fail_msg("%s", bad[i]);
        assert_int_equal(err.reason, ERR_INVALID);
    }
}
