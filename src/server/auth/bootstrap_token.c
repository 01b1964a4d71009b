/*
 * Bootstrap tokens: "abcdef.0123456789abcdef", kept in Secrets of type
 * bootstrap.kubernetes.io/token in kube-system.
 */
#include <openssl/crypto.h>

#include "base/own.h"
#include "base/times.h"
#include "server/auth/authn.h"
#include "server/storage/raw.h"

enum { ID_BYTES = 6, SECRET_BYTES = 16, GROUP_BYTES_MAX = 256 };
#define GROUP "system:bootstrappers"

static bool alphanumeric(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9'))) return false;
    return true;
}

static bool has_form(const char *t) {
    return strlen(t) == ID_BYTES + 1 + SECRET_BYTES && t[ID_BYTES] == '.' &&
           alphanumeric(t, ID_BYTES) && alphanumeric(t + ID_BYTES + 1, SECRET_BYTES);
}

/* A value of the Secret, decoded; "" when absent. */
static const char *data_of(struct arena *a, struct slice json, const char *key) {
    OWN(buf_done) struct buf text = {0};
    struct slice data, value;
    if (!raw_get(json, "data", &data) || !raw_get(data, key, &value)) return "";
    const char *coded = raw_string(a, value);
    if (!coded || buf_unbase64(&text, slice_of(coded)) < 0) return "";
    return arena_strn(a, buf_view(&text));
}

static bool same_secret(const char *x, const char *y) {
    return strlen(x) == SECRET_BYTES && strlen(y) == SECRET_BYTES &&
           CRYPTO_memcmp(x, y, SECRET_BYTES) == 0;
}

static bool expired(struct authn_ask *ask, const char *expiration) {
    int64_t end_ns;
    if (!*expiration) return false;
    return time_parse(expiration, &end_ns) < 0 || loop_wall_ns(ask->api->loop) >= end_ns;
}

/* system:bootstrappers:NAME of letters, digits, '-' and ':', not ending in a sign. */
static bool group_valid(struct slice g) {
    static const char prefix[] = GROUP ":";
    if (!slice_starts(g, prefix) || g.n <= sizeof prefix - 1 || g.n > GROUP_BYTES_MAX) return false;
    for (size_t i = sizeof prefix - 1; i < g.n; i++)
        if (!alphanumeric(g.p + i, 1) && (i + 1 == g.n || !strchr("-:", g.p[i]))) return false;
    return true;
}

static int put_groups(struct authn_ask *ask, const char *list) {
    struct slice left = slice_of(list), one;
    authn_add_group(ask->a, &ask->user, GROUP);
    while (*list && slice_cut(&left, ',', &one)) {
        if (!group_valid(one)) return -1;
        authn_add_group(ask->a, &ask->user, arena_strn(ask->a, one));
    }
    return 0;
}

static bool own_audience(const void *ask_p, const char *aud) {
    const struct authn_ask *ask = ask_p;
    return str_eq(aud, authn_issuer(ask->api, ask->a));
}

int bootstrap_token_check(struct authn_ask *ask) {
    if (!has_form(ask->token)) return AUTHN_NOT_MINE;
    const char *id = arena_strn(ask->a, slice_from(ask->token, ID_BYTES));
    const struct resource *res =
        cache_of_kind(&ask->api->cache, api_kind_by_plural("", "v1", "secrets"));
    struct object *o =
        resource_get(res, "kube-system", arena_printf(ask->a, "bootstrap-token-%s", id));
    if (!o) return err_set(&ask->err, ERR_UNAUTHORIZED, "invalid bearer token");
    struct arena *a = ask->a;
    struct slice json = object_json(o);
    if (raw_path_string(a, json, "metadata.deletionTimestamp") ||
        !str_eq(raw_path_string(a, json, "type"), "bootstrap.kubernetes.io/token") ||
        !same_secret(data_of(a, json, "token-secret"), ask->token + ID_BYTES + 1) ||
        !str_eq(data_of(a, json, "token-id"), id) || expired(ask, data_of(a, json, "expiration")) ||
        !str_eq(data_of(a, json, "usage-bootstrap-authentication"), "true") ||
        put_groups(ask, data_of(a, json, "auth-extra-groups")) < 0 ||
        !authn_match_audiences(ask, own_audience, ask))
        return err_set(&ask->err, ERR_UNAUTHORIZED, "invalid bearer token");
    ask->user.name = arena_printf(a, "system:bootstrap:%s", id);
    return 0;
}
