#include "server/auth/authn.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/limits.h"
#include "base/own.h"

void authn_add_group(struct arena *a, struct user *u, const char *group) {
    for (size_t i = 0; i < u->groups.n; i++)
        if (str_eq(u->groups.v[i], group)) return;
    *ARENA_PUSH(a, &u->groups) = group;
}

void authn_add_extra(struct arena *a, struct user *u, const char *key, const char *text) {
    if (!text) return;
    struct str_list_pair *pair = NULL;
    for (size_t i = 0; i < u->extra.n && !pair; i++)
        if (str_eq(u->extra.v[i].key, key)) pair = &u->extra.v[i];
    if (!pair) {
        pair = ARENA_PUSH(a, &u->extra);
        pair->key = key;
    }
    *ARENA_PUSH(a, &pair->value) = arena_str(a, text);
}

static int unauthorized(struct err *err) { return err_set(err, ERR_UNAUTHORIZED, "Unauthorized"); }

/* ---- unix socket ---- */

static int by_uid(struct call *c, uid_t uid, struct user *ret, struct err *err) {
    const char *service = uid ? service_name_of_uid(uid) : NULL;
    if (uid == 0) {
        ret->name = "system:admin";
        authn_add_group(c->a, ret, "system:masters");
    } else if (str_eq(service, "node")) {
        ret->name = arena_printf(c->a, "system:node:%s", c->api->settings->node_name);
        authn_add_group(c->a, ret, "system:nodes");
    } else if (service) {
        ret->name = arena_printf(c->a, "system:atoll:%s", service);
    } else {
        return unauthorized(err);
    }
    authn_add_group(c->a, ret, "system:authenticated");
    return 0;
}

/* ---- client certificate ---- */

static int by_certificate(struct call *c, struct user *ret, struct err *err) {
    const struct peer *p = c->r->peer;
    if (str_empty(p->common_name)) return unauthorized(err);
    ret->name = p->common_name; /* the connection lives as long as its requests */
    for (const char *const *o = p->organizations; o && *o; o++) authn_add_group(c->a, ret, *o);
    authn_add_group(c->a, ret, "system:authenticated");
    return 0;
}

/* ---- tokens ---- */

void *authn_public_key(const char *pem) {
    BIO *bio = BIO_new_mem_buf(pem, -1);
    if (!bio) return NULL;
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return key;
}

const char *authn_issuer(struct api *api, struct arena *a) {
    return arena_printf(a, "https://kubernetes.default.svc.%s", api->settings->cluster_domain);
}

bool authn_match_audiences(struct authn_ask *ask, bool (*have)(const void *of, const char *aud),
                           const void *of) {
    const char *own = authn_issuer(ask->api, ask->a);
    struct str_list standard = {.v = &own, .n = 1};
    const struct str_list *wanted = ask->audiences.n ? &ask->audiences : &standard;
    for (size_t i = 0; i < wanted->n; i++)
        if (have(of, wanted->v[i])) *ARENA_PUSH(ask->a, &ask->matched) = wanted->v[i];
    return ask->matched.n > 0;
}

static int (*const checkers[])(struct authn_ask *) = {bootstrap_token_check, service_token_check,
                                                      oidc_check, token_webhook_check};

int authn_token(struct authn_ask *ask) {
    if (strlen(ask->token) > LIMIT_TOKEN_BYTES)
        return err_set(&ask->err, ERR_UNAUTHORIZED, "the token is too long");
    for (size_t i = 0; i < ARRAY_LEN(checkers); i++) {
        int rc = checkers[i](ask);
        if (rc == 0) authn_add_group(ask->a, &ask->user, "system:authenticated");
        if (rc != AUTHN_NOT_MINE) return rc;
    }
    return err_set(&ask->err, ERR_UNAUTHORIZED, "invalid bearer token");
}

/* ---- a request ---- */

struct waiting {
    struct authn_ask ask;
    struct call *c;
    void (*later)(struct call *c, int result, const struct err *err);
};

static void on_token(struct authn_ask *ask, int result) {
    struct waiting *w = ask->user_data;
    struct err err;
    if (result == 0) {
        authn_add_group(ask->a, &ask->user, "system:authenticated");
        w->c->user = ask->user;
    } else {
        unauthorized(&err);
    }
    w->later(w->c, result, &err);
}

static int by_token(struct call *c, const char *authorization,
                    void (*later)(struct call *, int, const struct err *), struct err *err) {
    struct slice scheme, left = slice_of(authorization);
    if (!slice_cut(&left, ' ', &scheme) || !left.p || !slice_ieq(scheme, "bearer"))
        return unauthorized(err);
    struct waiting *w = ARENA_NEW(c->a, struct waiting);
    *w = (struct waiting){.c = c, .later = later};
    w->ask = (struct authn_ask){.api = c->api,
                                .a = c->a,
                                .token = arena_strn(c->a, slice_trim(left)),
                                .done = on_token,
                                .user_data = w};
    int rc = authn_token(&w->ask);
    if (rc < 0) return unauthorized(err);
    if (rc == 0) c->user = w->ask.user;
    return rc;
}

int authn_request(struct call *c, void (*later)(struct call *c, int result, const struct err *err),
                  struct err *err) {
    c->user = (struct user){0};
    const struct peer *p = c->r->peer;
    const char *authorization = http_header(&c->r->headers, "authorization");
    if (p->kind == PEER_TLS && p->has_certificate) return by_certificate(c, &c->user, err);
    if (authorization) return by_token(c, authorization, later, err);
    if (p->kind == PEER_UNIX) return by_uid(c, p->uid, &c->user, err);
    return unauthorized(err);
}
