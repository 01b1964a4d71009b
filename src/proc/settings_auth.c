/* The options about identities, audit and admission, as kube-apiserver names them. */
#include <errno.h>
#include <unistd.h>

#include "base/own.h"
#include "proc/settings.h"

#define ROW(option, argument, member, help)                                                        \
    { option, argument, help, offsetof(struct settings_auth, member) }

const struct settings_option settings_auth_options[] = {
    ROW("--oidc-issuer-url", "URL", oidc_issuer_url,
        "https URL of an OpenID Connect provider whose ID tokens are accepted"),
    ROW("--oidc-client-id", "ID", oidc_client_id, "the client that the tokens must be for"),
    ROW("--oidc-ca-file", "FILE", oidc_ca_file,
        "whom to trust for the provider; default the machine's list"),
    ROW("--oidc-username-claim", "CLAIM", oidc_username_claim, "default sub"),
    ROW("--oidc-username-prefix", "PREFIX", oidc_username_prefix,
        "before user names; - for none; default the issuer's URL and #, for email none"),
    ROW("--oidc-groups-claim", "CLAIM", oidc_groups_claim, "where the groups are; default none"),
    ROW("--oidc-groups-prefix", "PREFIX", oidc_groups_prefix, "before groups"),
    ROW("--oidc-required-claim", "KEY=VALUE,…", oidc_required_claim,
        "claims that must have these values"),
    ROW("--oidc-signing-algs", "ALG,…", oidc_signing_algs,
        "default RS256; also RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512"),
    ROW("--authentication-token-webhook-config-file", "FILE", token_webhook_file,
        "kubeconfig of a service that is asked about other tokens (TokenReview)"),
    ROW("--audit-policy-file", "FILE", audit_policy_file,
        "audit.k8s.io/v1 Policy; default: writes, refusals and reads of secrets, at Metadata"),
    ROW("--enable-admission-plugins", "NAME,…", enable_admission_plugins,
        "admission plugins that are to run; all that Atoll has run by default"),
    ROW("--disable-admission-plugins", "NAME,…", disable_admission_plugins,
        "admission plugins that are not to run, e.g. LimitRanger"),
};
const size_t settings_auth_options_n = ARRAY_LEN(settings_auth_options);

const char **settings_auth_member(const struct settings_auth *s, size_t i) {
    return (const char **)((char *)(uintptr_t)s + settings_auth_options[i].at);
}

static void key_of(char key[64], size_t i) {
    size_t n = 0;
    for (const char *p = settings_auth_options[i].name + 2; *p && n < 63; p++)
        key[n++] = *p == '-' ? '_' : *p;
    key[n] = 0;
}

void settings_auth_write(struct buf *b, const struct settings_auth *s) {
    char key[64];
    for (size_t i = 0; i < settings_auth_options_n; i++) {
        const char *value = *settings_auth_member(s, i);
        key_of(key, i);
        if (!str_empty(value)) buf_printf(b, "%s=%s\n", key, value);
    }
}

void settings_auth_read(struct slice text, struct arena *a, struct settings_auth *s) {
    char key[64];
    for (size_t i = 0; i < settings_auth_options_n; i++) {
        const char **member = settings_auth_member(s, i);
        key_of(key, i);
        if (!*member) *member = settings_line(text, key, a);
    }
}

static int absolute(struct arena *a, const char *option, const char **path, struct err *err) {
    if (str_empty(*path)) return 0;
    OWN(free_p) char *real = realpath(*path, NULL);
    if (!real || access(real, R_OK) < 0) return err_errno(err, errno, "%s %s", option, *path);
    *path = arena_str(a, real);
    return 0;
}

const char *const settings_admission_plugins[] = {
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "LimitRanger",
    "MutatingAdmissionWebhook",
    "NamespaceLifecycle",
    "NodeRestriction",
    "PersistentVolumeClaimResize",
    "PodSecurity",
    "Priority",
    "ResourceQuota",
    "RuntimeClass",
    "ServiceAccount",
    "StorageObjectInUseProtection",
    "TaintNodesByCondition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    NULL,
};

bool settings_list_has(const char *list, const char *name) {
    struct slice rest = slice_of(str_or(list, "")), one;
    while (slice_cut(&rest, ',', &one))
        if (slice_is(slice_trim(one), name)) return true;
    return false;
}

/* Every name of the option is a plugin that Atoll has, and the other option does not name it. */
static int check_plugins(const char *option, const char *list, const char *other, struct err *err) {
    struct slice rest = slice_of(list), one;
    while (*list && slice_cut(&rest, ',', &one)) {
        size_t i = 0;
        one = slice_trim(one);
        while (settings_admission_plugins[i] && !slice_is(one, settings_admission_plugins[i])) i++;
        if (!settings_admission_plugins[i])
            return err_field(err, ERR_BAD_REQUEST, option, "%s plugin \"%.*s\" is unknown",
                             option + 2, (int)one.n, one.p);
        if (settings_list_has(other, settings_admission_plugins[i]))
            return err_field(err, ERR_BAD_REQUEST, option,
                             "[%s] in enable-admission-plugins and disable-admission-plugins "
                             "overlapped",
                             settings_admission_plugins[i]);
    }
    return 0;
}

int settings_auth_resolve(const struct settings_auth *choice, struct arena *a,
                          struct settings_auth *ret, struct err *err) {
    struct settings_auth s = {0};
    for (size_t i = 0; i < settings_auth_options_n; i++) {
        const char *value = *settings_auth_member(choice, i);
        if (value && (strchr(value, '\n') || strlen(value) > 2000))
            return err_field(err, ERR_BAD_REQUEST, settings_auth_options[i].name,
                             "must be one line of at most 2000 bytes");
        *settings_auth_member(&s, i) = arena_str(a, str_or(value, ""));
    }
    if (*s.oidc_issuer_url && !str_starts(s.oidc_issuer_url, "https://"))
        return err_field(err, ERR_BAD_REQUEST, "--oidc-issuer-url",
                         "%s: 'oidc-issuer-url' (%s) has invalid scheme, require 'https'",
                         s.oidc_issuer_url, s.oidc_issuer_url);
    if (!*s.oidc_issuer_url != !*s.oidc_client_id)
        return err_set(err, ERR_BAD_REQUEST,
                       "--oidc-issuer-url and --oidc-client-id must be specified together");
    int r = absolute(a, "--oidc-ca-file", &s.oidc_ca_file, err);
    if (r == 0)
        r = absolute(a, "--authentication-token-webhook-config-file", &s.token_webhook_file, err);
    if (r == 0) r = absolute(a, "--audit-policy-file", &s.audit_policy_file, err);
    if (r == 0)
        r = check_plugins("--enable-admission-plugins", s.enable_admission_plugins, "", err);
    if (r == 0)
        r = check_plugins("--disable-admission-plugins", s.disable_admission_plugins,
                          s.enable_admission_plugins, err);
    if (r == 0) *ret = s;
    return r;
}
