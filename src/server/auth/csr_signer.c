/*
 * The signers of kubernetes.io: approves node certificates whose asker may have them, has keys sign
 * what is approved, and removes requests that are done with or were never decided.
 */
#include "base/log.h"
#include "base/own.h"
#include "base/times.h"
#include "proto/csr.h"
#include "server/auth/auth.h"
#include "server/auth/authz.h"
#include "server/commit.h"
#include "server/keys_link.h"
#include "server/verbs/remove.h"

#define GROUP "certificates.k8s.io"
enum { CLEAN_MS = 60 * 1000, DECIDED_S = 3600, PENDING_S = 24 * 3600 };
typedef struct certificates_v1_certificate_signing_request csr_object;

static struct {
    struct api *api;
    struct map busy; /* names of requests that are being signed */
} signer;

static const struct api_kind *kind(void) {
    return api_kind_by_plural(GROUP, "v1", "certificatesigningrequests");
}

static bool has(const csr_object *r, const char *type) {
    for (size_t i = 0; i < r->status.conditions.n; i++)
        if (str_eq(r->status.conditions.v[i].type, type)) return true;
    return false;
}

static struct object *stored(const char *name) {
    return resource_get(cache_of_kind(&signer.api->cache, kind()), "", name);
}

static csr_object *decode(struct arena *a, const struct object *o) {
    struct api_object *r;
    return api_object_decode(a, kind(), object_json(o), &r, NULL) == 0 ? (void *)r : NULL;
}

static void on_stored(void *user, struct slice json, const struct err *err) {
    if (err && err->reason != ERR_CONFLICT && err->reason != ERR_NOT_FOUND)
        log_warn("certificate_not_stored", "reason=\"%s\"", err->text);
}

static void store(csr_object *r, uint64_t revision) {
    commit_submit(signer.api, &(struct commit){STORE_UPDATE, kind(), (void *)r, revision},
                  on_stored, NULL);
}

static void add_condition(struct arena *a, csr_object *r, const char *type, const char *reason,
                          const char *message) {
    char now[TIME_TEXT_MAX];
    time_format(now, loop_wall_ns(signer.api->loop));
    const char *at = arena_str(a, now);
    *ARENA_PUSH(a, &r->status.conditions) =
        (struct certificates_v1_certificate_signing_request_condition){.type = type,
                                                                       .status = "True",
                                                                       .reason = reason,
                                                                       .message = message,
                                                                       .last_update_time = at,
                                                                       .last_transition_time = at};
}

/* ---- signing ---- */

static void on_signed(void *user, struct slice pem, const struct err *err) {
    OWN(free_p) char *name = user;
    OWN(arena_free_p) struct arena *a = arena_new();
    map_del(&signer.busy, slice_of(name));
    struct object *o = stored(name);
    csr_object *r = o ? decode(a, o) : NULL;
    if (!r || !str_empty(r->status.certificate) || has(r, "Failed") || !has(r, "Approved")) return;
    if (err && err->reason == ERR_UNAVAILABLE) return; /* keys is away: the timer tries again */
    if (err) {
        add_condition(a, r, "Failed", "SignerValidationFailure", err->text);
    } else {
        OWN(buf_done) struct buf coded = {0};
        buf_base64(&coded, pem.p, pem.n);
        r->status.certificate = arena_strn(a, buf_view(&coded));
    }
    store(r, o->revision);
}

static void sign(struct arena *a, const csr_object *r) {
    OWN(buf_done) struct buf pem = {0};
    if (buf_unbase64(&pem, slice_of(str_or(r->spec.request, ""))) < 0) return;
    unsigned usages = 0;
    for (size_t i = 0; i < r->spec.usages.n; i++) usages |= csr_usage_bit(r->spec.usages.v[i]);
    struct keys_certificate want = {
        .request_pem = arena_strn(a, buf_view(&pem)),
        .signer = (uint8_t)csr_signer_of(r->spec.signer_name),
        .usages = usages,
        .expiration_seconds =
            r->spec.expiration_seconds ? (uint32_t)*r->spec.expiration_seconds : 0};
    char *name = strdup(r->metadata.name);
    if (!name) abort();
    map_put(&signer.busy, slice_of(name), &signer);
    keys_link_certificate(signer.api, &want, on_signed, name);
}

/* ---- approving nodes' own certificates ---- */

static bool asker_may(const csr_object *r, const char *subresource) {
    struct user u = {r->spec.username, r->spec.uid, r->spec.groups, r->spec.extra};
    struct attributes at = {.verb = "create",
                            .group = GROUP,
                            .resource = "certificatesigningrequests",
                            .subresource = subresource,
                            .name = "",
                            .ns = ""};
    return u.name && authz_allows(signer.api->authz, &u, &at);
}

static bool approve(struct arena *a, csr_object *r, uint64_t revision) {
    OWN(buf_done) struct buf pem = {0};
    struct csr c;
    if (csr_signer_of(r->spec.signer_name) != CSR_SIGNER_CLIENT_KUBELET) return false;
    if (buf_unbase64(&pem, slice_of(str_or(r->spec.request, ""))) < 0 ||
        csr_parse(a, buf_view(&pem), &c, NULL) < 0)
        return false;
    unsigned usages = 0;
    for (size_t i = 0; i < r->spec.usages.n; i++) usages |= csr_usage_bit(r->spec.usages.v[i]);
    bool fits = csr_signable(&c, CSR_SIGNER_CLIENT_KUBELET, usages, NULL) == 0;
    bool self = str_eq(c.common_name, r->spec.username);
    csr_done(&c);
    if (!fits) return false;
    if (self && asker_may(r, "selfnodeclient"))
        add_condition(a, r, "Approved", "AutoApproved",
                      "Auto approving self kubelet client certificate after SubjectAccessReview.");
    else if (asker_may(r, "nodeclient"))
        add_condition(a, r, "Approved", "AutoApproved",
                      "Auto approving kubelet client certificate after SubjectAccessReview.");
    else
        return false;
    store(r, revision);
    return true;
}

static void look_at(const struct object *o) {
    OWN(arena_free_p) struct arena *a = arena_new();
    csr_object *r = decode(a, o);
    if (!r || !csr_signer_of(r->spec.signer_name) || !str_empty(r->status.certificate) ||
        has(r, "Denied") || has(r, "Failed"))
        return;
    if (has(r, "Approved")) {
        if (!map_gets(&signer.busy, r->metadata.name)) sign(a, r);
    } else {
        approve(a, r, o->revision);
    }
}

/* Writes are not made from inside an event. */
static void look_later(void *user) {
    OWN(free_p) char *name = user;
    struct object *o = stored(name);
    if (o) look_at(o);
}

static void on_request(void *user, const struct event *e) {
    if (e->type == EVENT_DELETED) return;
    char *name = strdup(object_name(e->now));
    if (!name) abort();
    loop_defer(signer.api->loop, look_later, name);
}

/* ---- cleaning ---- */

static void on_removed(void *user, struct slice json, bool gone, const struct err *err) {}

static bool is_old(const csr_object *r, int64_t now_ns) {
    int64_t at_ns;
    bool decided = has(r, "Denied") || has(r, "Failed") || !str_empty(r->status.certificate);
    const char *since = r->metadata.creation_timestamp;
    for (size_t i = 0; i < r->status.conditions.n; i++)
        since = str_or(r->status.conditions.v[i].last_update_time, since);
    if (!since || time_parse(since, &at_ns) < 0) return false;
    return now_ns - at_ns > (decided ? DECIDED_S : PENDING_S) * 1000000000LL;
}

static void clean(void *user) {
    const struct resource *res = cache_of_kind(&signer.api->cache, kind());
    int64_t now_ns = loop_wall_ns(signer.api->loop);
    OWN(arena_free_p) struct arena *a = arena_new();
    struct str_list old = {0};
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        csr_object *r = decode(a, o);
        if (r && is_old(r, now_ns))
            *ARENA_PUSH(a, &old) = r->metadata.name;
        else
            on_request(NULL, &(struct event){.type = EVENT_MODIFIED, .now = o});
    }
    struct remove_options options = {.grace_s = -1};
    for (size_t i = 0; i < old.n; i++)
        remove_object(signer.api, kind(), "", old.v[i], &options, on_removed, NULL);
}

void csr_signer_start(struct api *api) {
    signer.api = api;
    resource_listen(cache_of_kind(&api->cache, kind()), on_request, NULL);
    timer_start(timer_new(api->loop, clean, NULL), 0, CLEAN_MS);
}
