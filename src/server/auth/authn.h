/*
 * Who asks: a peer of the unix socket by its uid, a client certificate by its names, a bearer token
 * by whoever knows it: bootstrap tokens, service-account tokens, OIDC tokens, a review webhook.
 * There are no anonymous requests. Most answers are there at once; tokens for which keys or a
 * verdict must be fetched are answered later, from the loop.
 */
#pragma once

#include "server/api.h"

enum {
    AUTHN_LATER = 1,
    AUTHN_NOT_MINE = 2, /* of a checker: another one may know the token */
};

/* One token in question. Strings live as long as the arena, which must outlive the answer. */
struct authn_ask {
    struct api *api;
    struct arena *a;
    const char *token;
    struct str_list audiences; /* any of these will do; none = the API's own */
    /* Called once, after authn_token said AUTHN_LATER, with 0 or < 0. */
    void (*done)(struct authn_ask *ask, int result);
    void *user_data;
    /* The answer. */
    struct user user;
    struct str_list matched; /* those of the audiences that the token is for */
    struct err err;
};
/* 0: ask->user; < 0: ask->err; AUTHN_LATER. */
int authn_token(struct authn_ask *ask);

/* 0: c->user is filled; ERR_UNAUTHORIZED when nobody is recognised; AUTHN_LATER: `later` is called
 * with 0 or < 0. The request must not be answered in between. */
int authn_request(struct call *c, void (*later)(struct call *c, int result, const struct err *err),
                  struct err *err);

/* Impersonate-* headers: c->user becomes the one they name. ERR_FORBIDDEN when the caller may not
 * (verb "impersonate"). */
int authn_impersonate(struct call *c, struct err *err);

/* The audience of the API itself, and the issuer of all service-account tokens. */
const char *authn_issuer(struct api *api, struct arena *a);
/* The token's public key, from PEM; EVP_PKEY, NULL when it is none. */
void *authn_public_key(const char *pem);

/* ---- checkers: 0, < 0 with ask->err, AUTHN_LATER or AUTHN_NOT_MINE ---- */
int bootstrap_token_check(struct authn_ask *ask);
int service_token_check(struct authn_ask *ask);
int oidc_check(struct authn_ask *ask);
int token_webhook_check(struct authn_ask *ask);

/* For checkers: which of the asked audiences (or the API's own) are among `have`. */
bool authn_match_audiences(struct authn_ask *ask, bool (*have)(const void *of, const char *aud),
                           const void *of);
void authn_add_group(struct arena *a, struct user *u, const char *group);
void authn_add_extra(struct arena *a, struct user *u, const char *key, const char *text);
