#include "proc/settings.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/test.h"
#include "proc/free_range.h"

TEST(settings_have_defaults_and_derived_addresses) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct settings s, back;
    struct err err;
    struct settings_choice choice = {.root = "/x", .node_name = "n1"};
    assert_int_equal(settings_resolve(&choice, a, &s, &err), 0);
    assert_string_equal(s.gateway_ip, "10.244.0.1");
    assert_string_equal(s.dns_ip, "10.96.0.10");
    assert_string_equal(s.api_ip, "10.96.0.1");
    assert_int_equal(s.api_port, 6443);
    assert_int_equal(strlen(s.instance), 8);
    OWN(buf_done) struct buf b = {0};
    settings_write(&b, &s);
    assert_int_equal(settings_read(buf_view(&b), a, &back, &err), 0);
    assert_string_equal(back.instance, s.instance);
    assert_string_equal(back.root, "/x");
    assert_int_equal(back.api_port, 6443);
    choice.root = "/y";
    assert_int_equal(settings_resolve(&choice, a, &back, &err), 0);
    assert_string_not_equal(back.instance, s.instance);
}

TEST(bad_settings_are_refused_by_name) {
    static const struct {
        struct settings_choice choice;
        const char *field;
    } cases[] = {
        {{.listen = "6443"}, "--listen"},
        {{.listen = "1.2.3.4:0"}, "--listen"},
        {{.listen = "1.2.3.4:70000"}, "--listen"},
        {{.listen = "::1:6443"}, "--listen"},
        {{.listen = "localhost:6443"}, "--listen"},
        {{.node_name = "Upper"}, "--node-name"},
        {{.node_name = "-a"}, "--node-name"},
        {{.pod_cidr = "10.0.0.0"}, "--pod-cidr"},
        {{.pod_cidr = "10.0.0.1/24"}, "--pod-cidr"},
        {{.pod_cidr = "10.0.0.0/30"}, "--pod-cidr"},
        {{.pod_cidr = "fd00::/64"}, "--pod-cidr"},
        {{.service_cidr = "10.0.0.0/x"}, "--service-cidr"},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct settings s;
        struct err err;
        struct settings_choice choice = cases[i].choice;
        choice.root = "";
        assert_int_equal(settings_resolve(&choice, a, &s, &err), -EINVAL);
        assert_string_equal(err.field, cases[i].field);
    }
    struct settings_choice overlap = {
        .root = "", .pod_cidr = "10.96.3.0/24", .service_cidr = "10.96.0.0/16"};
    struct settings s;
    assert_int_equal(settings_resolve(&overlap, a, &s, NULL), -EINVAL);
    struct settings_choice six = {.root = "", .listen = "[::1]:7000"};
    assert_int_equal(settings_resolve(&six, a, &s, NULL), 0);
    assert_int_equal(s.api_port, 7000);
}

TEST(a_second_atoll_gets_ranges_of_its_own) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const char routes[] = "Iface\tDestination\tGateway\nat1\t0000600A\t0\nat1\t0000F40A\t0\n"
                                 "at2\t0001F40A\t0\n";
    struct settings_choice choice = {0};
    free_ranges_choose_from(&choice, slice_of(routes), a);
    assert_string_equal(choice.pod_cidr, "10.244.2.0/24");
    assert_string_equal(choice.service_cidr, "10.98.0.0/16");
    struct settings_choice given = {.pod_cidr = "10.1.0.0/24"};
    free_ranges_choose_from(&given, slice_of(routes), a);
    assert_string_equal(given.pod_cidr, "10.1.0.0/24");
    assert_string_equal(given.service_cidr, "10.97.0.0/16");
    struct settings_choice alone = {0};
    free_ranges_choose_from(&alone, slice_of(""), a);
    assert_string_equal(alone.pod_cidr, "10.244.0.0/24");
    assert_string_equal(alone.service_cidr, "10.96.0.0/16");
}

TEST(settings_of_identities_go_along) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct settings s, back;
    struct err err;
    struct settings_choice choice = {
        .root = "",
        .node_name = "n1",
        .auth = {.oidc_issuer_url = "https://issuer.example", .oidc_client_id = "kubernetes"}};
    assert_int_equal(settings_resolve(&choice, a, &s, &err), 0);
    OWN(buf_done) struct buf b = {0};
    settings_write(&b, &s);
    assert_int_equal(settings_read(buf_view(&b), a, &back, &err), 0);
    assert_string_equal(back.auth.oidc_issuer_url, "https://issuer.example");
    assert_true(str_empty(back.auth.oidc_ca_file));
    choice.auth.oidc_issuer_url = "http://issuer.example";
    assert_int_equal(settings_resolve(&choice, a, &s, &err), -EINVAL);
    assert_string_equal(err.field, "--oidc-issuer-url");
    choice.auth.oidc_issuer_url = "";
    assert_true(settings_resolve(&choice, a, &s, &err) < 0);
    choice.auth = (struct settings_auth){.audit_policy_file = "/nonexistent"};
    assert_true(settings_resolve(&choice, a, &s, &err) < 0);
    assert_non_null(strstr(err.text, "--audit-policy-file"));
}

TEST(admission_plugins_are_switched_by_their_names) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct settings s;
    struct err err;
    struct settings_choice choice = {
        .root = "", .node_name = "n1", .auth.disable_admission_plugins = "LimitRanger, Priority"};
    assert_int_equal(settings_resolve(&choice, a, &s, &err), 0);
    assert_true(settings_list_has(s.auth.disable_admission_plugins, "Priority"));
    assert_false(settings_list_has(s.auth.disable_admission_plugins, "Limit"));
    assert_false(settings_list_has(NULL, "Limit"));
    choice.auth.enable_admission_plugins = "Priority";
    assert_int_equal(settings_resolve(&choice, a, &s, &err), -EINVAL);
    assert_non_null(strstr(err.text, "[Priority] in enable-admission-plugins and"));
    choice.auth.enable_admission_plugins = "AlwaysNo";
    assert_int_equal(settings_resolve(&choice, a, &s, &err), -EINVAL);
    assert_string_equal(err.field, "--enable-admission-plugins");
    assert_non_null(strstr(err.text, "enable-admission-plugins plugin \"AlwaysNo\" is unknown"));
}
