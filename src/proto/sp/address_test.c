#include "proto/sp/address.h"

#include "base/own.h"
#include "base/slice.h"
#include "base/test.h"

TEST(sp_addresses_are_read_and_written) {
    static const struct {
        const char *text, *canonical, *why;
        bool listen;
    } cases[] = {
        {"tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555", NULL, false},
        {"tls+tcp://news.example.com:6000", "tls+tcp://news.example.com:6000", NULL, false},
        {"tcp://*:1", "tcp://*:1", NULL, true},
        {"tcp://[::1]:65535", "tcp://[::1]:65535", NULL, true},
        {"ws://h1:80", "ws://h1:80/", NULL, false},
        {"wss://10.0.0.1:443/a/b", "wss://10.0.0.1:443/a/b", NULL, true},
        {"ipc:///run/x.sock", "ipc:///run/x.sock", NULL, true},
        {"inproc://quotes", "inproc://quotes", NULL, false},
        {"udp://1.2.3.4:5", NULL, "must begin with", false},
        {"127.0.0.1:5555", NULL, "must begin with", false},
        {"tcp://1.2.3.4", NULL, "has no port", false},
        {"tcp://1.2.3.4:0", NULL, "the port must be", false},
        {"tcp://1.2.3.4:65536", NULL, "the port must be", false},
        {"tcp://1.2.3.4:18446744073709551617", NULL, "the port must be", false},
        {"tcp://:5", NULL, "has no host", false},
        {"tcp://1.2.3.4:5/x", NULL, "only ws and wss", false},
        {"tcp://::1:5", NULL, "brackets", false},
        {"tcp://[1.2.3.4]:5", NULL, "brackets", false},
        {"tcp://[::x]:5", NULL, "not a valid IPv6", false},
        {"tcp://1.2.3.400:5", NULL, "an IP address or a DNS name", false},
        {"tcp://a..b:5", NULL, "an IP address or a DNS name", false},
        {"tcp://*:5", NULL, "an IP address or a DNS name", false},
        {"tcp://localhost:5", NULL, "an IP address or *", true},
        {"tcp://a b:5", NULL, "spaces", false},
        {"ipc://x", NULL, "absolute", false},
        {"ipc:///", NULL, "absolute", false},
        {"inproc://", NULL, "has no name", false},
        {"tcp://", NULL, "has no port", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sp_address a;
        struct err err = {0};
        char text[600];
        int r = sp_address_parse(cases[i].text, cases[i].listen, &a, &err);
        if (cases[i].why) {
            assert_true(r < 0);
            assert_non_null(strstr(err.text, cases[i].why));
            continue;
        }
        assert_int_equal(r, 0);
        sp_address_text(&a, text, sizeof text);
        assert_string_equal(text, cases[i].canonical);
    }
}

static bool reaches(const char *dial, const char *listen) {
    struct sp_address d, l;
    assert_int_equal(sp_address_parse(dial, false, &d, NULL), 0);
    assert_int_equal(sp_address_parse(listen, true, &l, NULL), 0);
    return sp_address_reaches(&d, &l);
}

TEST(sp_address_knows_what_it_reaches) {
    assert_true(reaches("tcp://127.0.0.1:5", "tcp://127.0.0.1:5"));
    assert_true(reaches("tcp://localhost:5", "tcp://127.0.0.1:5"));
    assert_true(reaches("tcp://127.0.0.2:5", "tcp://*:5"));
    assert_true(reaches("tcp://[::1]:5", "tcp://[::]:5"));
    assert_true(reaches("ipc:///a", "ipc:///a"));
    assert_true(!reaches("tcp://127.0.0.2:5", "tcp://127.0.0.1:5"));
    assert_true(!reaches("tcp://127.0.0.1:6", "tcp://127.0.0.1:5"));
    assert_true(!reaches("tls+tcp://127.0.0.1:5", "tcp://127.0.0.1:5"));
    assert_true(!reaches("tcp://other.example:5", "tcp://*:5"));
    assert_true(!reaches("ipc:///a", "ipc:///b"));
    assert_true(!reaches("ws://127.0.0.1:5/a", "ws://127.0.0.1:5/b"));
}
