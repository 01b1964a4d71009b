#include "server/subresources/proxies.h"

#include "base/test.h"

#include "base/own.h"

TEST(proxied_names_have_up_to_three_parts) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const struct {
        const char *text, *scheme, *name, *port;
    } good[] = {
        {"web", "", "web", ""},           {"web:80", "", "web", "80"},
        {"web:http", "", "web", "http"},  {"https:web:443", "https", "web", "443"},
        {"http:web:", "http", "web", ""}, {":web:80", "", "web", "80"},
    };
    static const char *const bad[] = {"", ":", "ftp:web:80", "a:b:c:d", "https::443"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct proxied_name n;
        assert_true(proxied_name_parse(a, good[i].text, &n));
        assert_string_equal(n.scheme, good[i].scheme);
        assert_string_equal(n.name, good[i].name);
        assert_string_equal(n.port, good[i].port);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct proxied_name n;
        if (proxied_name_parse(a, bad[i], &n)) fail_msg("%s", bad[i]);
    }
}

TEST(what_follows_proxy_stays_as_the_client_wrote_it) {
    assert_string_equal(proxied_rest("/api/v1/nodes/n/proxy/a%20b/?x=%2F", 5), "/a%20b/?x=%2F");
    assert_string_equal(proxied_rest("/api/v1/nodes/n/proxy", 5), "");
    assert_string_equal(proxied_rest("/api/v1/nodes/n/proxy?x=1", 5), "?x=1");
    assert_string_equal(proxied_rest("/api//v1/nodes/n/proxy//a", 5), "//a");
}
