#include "base/own.h"
#include "base/test.h"
#include "network/ipam.h"
#include "network/rules.h"

TEST(ipam_hands_out_each_address_once) {
    struct ipam m;
    assert_int_equal(ipam_init(&m, "10.1.0.0/29", NULL), 0);
    bool seen[8] = {0};
    for (int i = 0; i < 5; i++) {
        uint32_t ip = ipam_take(&m);
        assert_in_range(ip - m.base, 2, 6);
        assert_false(seen[ip - m.base]);
        seen[ip - m.base] = true;
    }
    assert_int_equal(ipam_take(&m), 0);
    ipam_give_back(&m, m.base + 3);
    assert_int_equal(ipam_take(&m), m.base + 3);
    ipam_done(&m);
}

TEST(ipam_never_gives_the_gateway) {
    struct ipam m;
    assert_int_equal(ipam_init(&m, "10.1.0.0/24", NULL), 0);
    assert_false(ipam_take_this(&m, m.base));
    assert_false(ipam_take_this(&m, m.base + 1));
    assert_false(ipam_take_this(&m, m.base + 255));
    assert_false(ipam_take_this(&m, m.base + 256));
    assert_true(ipam_take_this(&m, m.base + 9));
    assert_false(ipam_take_this(&m, m.base + 9));
    ipam_give_back(&m, m.base + 1);
    assert_false(ipam_take_this(&m, m.base + 1));
    ipam_done(&m);
}

TEST(cidr_rejects_what_is_no_range) {
    static const char *const bad[] = {"",           "10.0.0.0", "10.0.0.1/24", "10.0.0.0/31",
                                      "10.0.0.0/x", "::/64",    "10.0.0.0/4"};
    uint32_t base;
    unsigned prefix;
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(ipv4_parse_cidr(bad[i], &base, &prefix, &err) < 0);
    assert_int_equal(ipv4_parse_cidr("10.244.0.0/16", &base, &prefix, &err), 0);
    assert_int_equal(prefix, 16);
}

static const struct rules_backend two[] = {{0x0af40002, 80}, {0x0af40003, 8080}};

static struct rules_port web(size_t backends) {
    return (struct rules_port){.id = "default/web/",
                               .protocol = "tcp",
                               .cluster_ip = 0x0a600005,
                               .port = 80,
                               .node_port = 30080,
                               .backends = two,
                               .n_backends = backends};
}

TEST(rules_balance_over_all_backends) {
    struct rules none = {0}, r = {0};
    OWN(buf_done) struct buf out = {0};
    struct rules_port p = web(2);
    rules_add(&r, &p);
    rules_diff(&out, "t", &none, &r);
    assert_non_null(
        strstr(out.p, "numgen random mod 2 map { 0 : 10.244.0.2 . 80, 1 : 10.244.0.3 . 8080 }"));
    assert_non_null(strstr(out.p, "add element ip t services { 10.96.0.5 . tcp . 80 : goto s_"));
    assert_non_null(strstr(out.p, "add element ip t nodeports { tcp . 30080 : goto x_"));
    assert_non_null(strstr(out.p, "add element ip t hairpin { 10.244.0.3 . 10.244.0.3 }"));
    assert_true(strstr(out.p, "add chain") < strstr(out.p, "add rule"));
    assert_true(strstr(out.p, "add rule") < strstr(out.p, "add element"));
    rules_done(&r);
}

TEST(rules_without_backends_refuse) {
    struct rules none = {0}, r = {0};
    OWN(buf_done) struct buf out = {0};
    struct rules_port p = web(0);
    rules_add(&r, &p);
    rules_diff(&out, "t", &none, &r);
    assert_string_equal(out.p, "add element ip t refused { 10.96.0.5 . tcp . 80 : goto refuse }\n");
    rules_done(&r);
}

TEST(rules_base_does_not_track_who_asks_the_api_from_here) {
    OWN(buf_done) struct buf out = {0};
    rules_base(&out, "t", "b0", "10.244.0.0/24", 6443);
    const char *chain = strstr(out.p, "chain untracked {");
    assert_non_null(chain);
    const char *only =
        strstr(chain, "ip daddr != 127.0.0.0/8 return; ip saddr != 127.0.0.0/8 return;");
    assert_non_null(only);
    assert_true(strstr(only, "tcp dport 6443 notrack; tcp sport 6443 notrack; }"));
}

TEST(rules_diff_of_one_backend_touches_one_chain) {
    struct rules from = {0}, to = {0};
    OWN(buf_done) struct buf out = {0};
    struct rules_port p = web(2), q = web(1);
    rules_add(&from, &p);
    rules_add(&to, &p);
    rules_diff(&out, "t", &from, &to);
    assert_int_equal(out.n, 0);
    rules_done(&to);
    rules_add(&to, &q);
    rules_diff(&out, "t", &from, &to);
    assert_null(strstr(out.p, "services"));
    assert_non_null(strstr(out.p, "flush chain ip t s_"));
    assert_non_null(strstr(out.p, "delete element ip t hairpin { 10.244.0.3 . 10.244.0.3 }"));
    rules_done(&from);
    rules_done(&to);
}

TEST(rules_of_a_removed_service_delete_chains_last) {
    struct rules from = {0}, none = {0};
    OWN(buf_done) struct buf out = {0};
    struct rules_port p = web(2);
    rules_add(&from, &p);
    rules_diff(&out, "t", &from, &none);
    assert_true(strstr(out.p, "delete element") < strstr(out.p, "flush chain"));
    assert_true(strstr(out.p, "flush chain") < strstr(out.p, "delete chain"));
    rules_done(&from);
}

TEST(rules_keep_a_client_for_the_time_of_its_service) {
    struct rules from = {0}, to = {0}, none = {0};
    OWN(buf_done) struct buf out = {0};
    struct rules_port p = web(2);
    p.affinity_s = 7;
    rules_add(&from, &p);
    rules_diff(&out, "t", &none, &from);
    assert_non_null(strstr(out.p, "{ type ipv4_addr; flags dynamic,timeout; timeout 7s; size"));
    assert_non_null(strstr(out.p, "{ ip saddr }\nadd rule"));
    assert_non_null(strstr(out.p, " meta l4proto tcp dnat ip to 10.244.0.3:8080\n"));
    assert_non_null(strstr(out.p, " numgen random mod 2 vmap { 0 : goto b_"));
    assert_null(strstr(out.p, "jhash"));
    const char *set = strstr(out.p, "add set ip t c_"), *asks = strstr(out.p, " ip saddr @c_");
    assert_non_null(set);
    assert_true(set < strstr(out.p, "add rule") && strstr(out.p, "update @c_"));
    assert_true(asks && asks < strstr(out.p, "numgen"));
    /* Another time: other sets, the old ones last. */
    buf_clear(&out);
    p.affinity_s = 8;
    rules_add(&to, &p);
    rules_diff(&out, "t", &from, &to);
    assert_non_null(strstr(out.p, "timeout 8s"));
    assert_null(strstr(out.p, "element"));
    assert_true(strstr(out.p, "flush chain ip t b_") < strstr(out.p, "delete chain ip t b_"));
    assert_true(strstr(out.p, "delete chain ip t b_") < strstr(out.p, "delete set ip t c_"));
    /* One backend goes: what the other remembers stays. */
    buf_clear(&out);
    p.n_backends = 1;
    rules_done(&from);
    rules_add(&from, &p);
    rules_diff(&out, "t", &to, &from);
    assert_null(strstr(out.p, "add set"));
    assert_non_null(strstr(out.p, "delete set ip t c_"));
    rules_done(&from);
    rules_done(&to);
}
