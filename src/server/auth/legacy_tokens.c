/*
 * Secrets of type kubernetes.io/service-account-token: filled with a token, the cluster's CA and
 * the namespace, and removed when their service account is. Such tokens have no end.
 */
#include "base/log.h"
#include "base/own.h"
#include "server/auth/auth.h"
#include "server/commit.h"
#include "server/keys_link.h"
#include "server/storage/raw.h"
#include "server/verbs/remove.h"

#define ANNOTATION "kubernetes.io/service-account."
#define CLAIM "kubernetes.io/serviceaccount/"

static struct {
    struct api *api;
    struct map busy; /* keys of secrets that are being signed */
} legacy;

static const struct api_kind *kind(const char *plural) {
    return api_kind_by_plural("", "v1", plural);
}

static struct object *stored(const char *plural, struct slice key) {
    return key_index_get(&cache_of_kind(&legacy.api->cache, kind(plural))->index, key);
}

static bool is_token(const struct object *o) {
    struct slice type;
    return raw_get(object_json(o), "type", &type) &&
           slice_is(type, "\"kubernetes.io/service-account-token\"");
}

static void *decode(struct arena *a, const char *plural, const struct object *o) {
    struct api_object *r;
    return o && api_object_decode(a, kind(plural), object_json(o), &r, NULL) == 0 ? r : NULL;
}

/* The account that the secret names, as long as it is still the same one. */
static struct core_v1_service_account *account_of(struct arena *a, const struct core_v1_secret *s) {
    const char *name = str_map_get(&s->metadata.annotations, ANNOTATION "name");
    const char *uid = str_map_get(&s->metadata.annotations, ANNOTATION "uid");
    if (str_empty(name)) return NULL;
    const char *key = arena_printf(a, "%s/%s", s->metadata.namespace, name);
    struct core_v1_service_account *sa =
        decode(a, "serviceaccounts", stored("serviceaccounts", slice_of(key)));
    return sa && (str_empty(uid) || str_eq(uid, sa->metadata.uid)) ? sa : NULL;
}

static void on_removed(void *user, struct slice json, bool gone, const struct err *err) {}

static void remove_secret(const struct core_v1_secret *s) {
    struct remove_options o = {.grace_s = -1, .uid = s->metadata.uid};
    remove_object(legacy.api, kind("secrets"), s->metadata.namespace, s->metadata.name, &o,
                  on_removed, NULL);
}

static void on_stored(void *user, struct slice json, const struct err *err) {
    if (err && err->reason != ERR_CONFLICT && err->reason != ERR_NOT_FOUND)
        log_warn("token_secret_not_stored", "reason=\"%s\"", err->text);
}

static void put(struct arena *a, struct str_map *m, const char *key, const char *text) {
    OWN(buf_done) struct buf coded = {0};
    buf_base64(&coded, text, strlen(text));
    str_map_set(a, m, key, arena_strn(a, buf_view(&coded)));
}

static void on_signed(void *user, struct slice token, const struct err *err) {
    OWN(free_p) char *key = user;
    OWN(arena_free_p) struct arena *a = arena_new();
    map_del(&legacy.busy, slice_of(key));
    struct object *o = stored("secrets", slice_of(key));
    struct core_v1_secret *s = decode(a, "secrets", o);
    struct core_v1_service_account *sa = s ? account_of(a, s) : NULL;
    if (err || !sa || !is_token(o)) return;
    put(a, &s->data, "token", arena_strn(a, token));
    put(a, &s->data, "ca.crt", legacy.api->keys.ca_pem);
    put(a, &s->data, "namespace", s->metadata.namespace);
    str_map_set(a, &s->metadata.annotations, ANNOTATION "uid", sa->metadata.uid);
    commit_submit(legacy.api,
                  &(struct commit){STORE_UPDATE, kind("secrets"), (void *)s, o->revision},
                  on_stored, NULL);
}

static void put_claim(struct buf *b, const char *key, const char *value) {
    buf_printf(b, "\"%s\":", key);
    buf_json_str(b, slice_of(value));
}

static void sign(struct arena *a, const char *key, const struct core_v1_secret *s,
                 const struct core_v1_service_account *sa) {
    const char *ns = s->metadata.namespace, *name = sa->metadata.name;
    OWN(buf_done) struct buf claims = {0};
    buf_char(&claims, '{');
    put_claim(&claims, "iss", "kubernetes/serviceaccount");
    buf_char(&claims, ',');
    put_claim(&claims, CLAIM "namespace", ns);
    buf_char(&claims, ',');
    put_claim(&claims, CLAIM "secret.name", s->metadata.name);
    buf_char(&claims, ',');
    put_claim(&claims, CLAIM "service-account.name", name);
    buf_char(&claims, ',');
    put_claim(&claims, CLAIM "service-account.uid", sa->metadata.uid);
    buf_char(&claims, ',');
    put_claim(&claims, "sub", arena_printf(a, "system:serviceaccount:%s:%s", ns, name));
    buf_char(&claims, '}');
    char *copy = strdup(key);
    if (!copy) abort();
    map_put(&legacy.busy, slice_of(key), &legacy);
    keys_link_token(legacy.api, buf_view(&claims), on_signed, copy);
}

/* Writes are not made from inside an event. */
static void look_at(void *user) {
    OWN(free_p) char *key = user;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct object *o = stored("secrets", slice_of(key));
    struct core_v1_secret *s = o && is_token(o) ? decode(a, "secrets", o) : NULL;
    if (!s || s->metadata.deletion_timestamp) return;
    struct core_v1_service_account *sa = account_of(a, s);
    if (!sa)
        remove_secret(s);
    else if (str_empty(str_map_get(&s->data, "token")) && !map_gets(&legacy.busy, key))
        sign(a, key, s, sa);
}

static void look_later(const struct object *o) {
    char *key = strndup(o->key, o->key_n);
    if (!key) abort();
    loop_defer(legacy.api->loop, look_at, key);
}

static void on_secret(void *user, const struct event *e) {
    if (e->type != EVENT_DELETED && is_token(e->now)) look_later(e->now);
}

static void on_account(void *user, const struct event *e) {
    if (e->type != EVENT_DELETED) return;
    const struct resource *res = cache_of_kind(&legacy.api->cache, kind("secrets"));
    OWN(buf_done) struct buf first = {0};
    buf_slice(&first, object_ns(e->now));
    buf_char(&first, '/');
    struct key_cursor at = key_index_seek(&res->index, buf_view(&first), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        if (!slice_eq(object_ns(o), object_ns(e->now))) return;
        if (is_token(o)) look_later(o);
    }
}

void legacy_tokens_start(struct api *api) {
    legacy.api = api;
    struct resource *secrets = cache_of_kind(&api->cache, kind("secrets"));
    resource_listen(secrets, on_secret, NULL);
    resource_listen(cache_of_kind(&api->cache, kind("serviceaccounts")), on_account, NULL);
    struct key_cursor at = key_index_seek(&secrets->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&secrets->index, &at));)
        if (is_token(o)) look_later(o);
}
