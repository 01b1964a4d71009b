#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"
#include "proc/settings.h"

static int resolve(const struct settings_auth *choice, struct arena *a, struct settings_auth *ret,
                   struct err *err) {
    *err = (struct err){0};
    return settings_auth_resolve(choice, a, ret, err);
}

TEST(every_option_survives_the_handover) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf text = {0};
    struct settings_auth s = {0}, again = {0};
    for (size_t i = 0; i < settings_auth_options_n; i++)
        *settings_auth_member(&s, i) = arena_printf(a, "value %zu=x", i);
    settings_auth_write(&text, &s);
    settings_auth_read(buf_view(&text), a, &again);
    for (size_t i = 0; i < settings_auth_options_n; i++) {
        assert_non_null(*settings_auth_member(&again, i));
        assert_string_equal(*settings_auth_member(&again, i), *settings_auth_member(&s, i));
    }
}

TEST(what_is_given_wins_over_what_is_read) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct settings_auth s = {.oidc_client_id = "mine"};
    settings_auth_read(SLICE("oidc_client_id=theirs\noidc_groups_claim=roles\n"), a, &s);
    assert_string_equal(s.oidc_client_id, "mine");
    assert_string_equal(s.oidc_groups_claim, "roles");
    assert_null(s.oidc_ca_file);
}

TEST(nothing_chosen_is_empty_not_absent) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct settings_auth none = {0}, ret = {0};
    struct err err;
    assert_int_equal(resolve(&none, a, &ret, &err), 0);
    for (size_t i = 0; i < settings_auth_options_n; i++)
        assert_string_equal(*settings_auth_member(&ret, i), "");
}

TEST(wrong_choices_name_their_option) {
    char *long_text = calloc(1, 2002);
    for (size_t i = 0; i < 2001; i++) long_text[i] = 'x';
    const struct {
        struct settings_auth choice;
        const char *says;
    } cases[] = {
        {{.oidc_issuer_url = "http://idp.example", .oidc_client_id = "c"}, "require 'https'"},
        {{.oidc_issuer_url = "https://idp.example"}, "specified together"},
        {{.oidc_client_id = "c"}, "specified together"},
        {{.oidc_groups_claim = "a\nroot=/"}, "one line"},
        {{.oidc_username_claim = long_text}, "one line"},
        {{.oidc_ca_file = "/no/such/file"}, "--oidc-ca-file /no/such/file"},
        {{.audit_policy_file = "/no/such/file"}, "--audit-policy-file"},
        {{.token_webhook_file = "/no/such/file"}, "--authentication-token-webhook-config-file"},
        {{.disable_admission_plugins = "LimitRanger,Nonsense"}, "\"Nonsense\" is unknown"},
        {{.enable_admission_plugins = "limitranger"}, "\"limitranger\" is unknown"},
        {{.enable_admission_plugins = "Priority",
          .disable_admission_plugins = "PodSecurity, Priority"},
         "[Priority] in enable-admission-plugins"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct settings_auth ret = {.oidc_client_id = "untouched"};
        struct err err;
        assert_true(resolve(&cases[i].choice, a, &ret, &err) < 0);
        if (!strstr(err.text, cases[i].says)) fail_msg("%zu: %s", i, err.text);
        assert_string_equal(ret.oidc_client_id, "untouched");
    }
    free(long_text);
}

TEST(files_become_absolute) {
    OWN(arena_free_p) struct arena *a = arena_new();
    char path[] = "/tmp/settings-auth-XXXXXX.pem", *name;
    int fd = mkstemps(path, 4);
    assert_true(fd >= 0);
    close(fd);
    OWN(free_p) char *was = getcwd(NULL, 0);
    name = strrchr(path, '/') + 1;
    assert_int_equal(chdir("/tmp"), 0);
    struct settings_auth choice = {.oidc_ca_file = name}, ret = {0};
    struct err err;
    int r = resolve(&choice, a, &ret, &err);
    assert_int_equal(chdir(was), 0);
    assert_int_equal(r, 0);
    assert_string_equal(ret.oidc_ca_file, path);
    unlink(path);
}

TEST(names_of_a_list_are_whole_words) {
    assert_true(settings_list_has("LimitRanger, PodSecurity", "PodSecurity"));
    assert_false(settings_list_has("LimitRanger,PodSecurity", "Pod"));
    assert_false(settings_list_has("", "PodSecurity"));
    assert_false(settings_list_has(NULL, "PodSecurity"));
}
