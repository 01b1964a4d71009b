/* OIDC discovery of service-account tokens (KEP-1393): others can verify them without asking. */
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "base/own.h"
#include "server/api.h"
#include "server/auth/authn.h"

static void configuration(struct call *c) {
    const char *issuer = authn_issuer(c->api, c->a);
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"issuer\":");
    buf_json_str(&b, slice_of(issuer));
    buf_str(&b, ",\"jwks_uri\":");
    buf_json_str(&b, slice_of(arena_printf(c->a, "%s/openid/v1/jwks", issuer)));
    buf_str(&b, ",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":["
                "\"public\"],\"id_token_signing_alg_values_supported\":[\"ES256\"]}\n");
    reply_json(c, 200, buf_view(&b));
}

/* RFC 7517, RFC 7518 section 6.2: the two halves of the uncompressed point. */
static void keys(struct call *c) {
    unsigned char point[65];
    size_t n = 0;
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"keys\":[");
    if (EVP_PKEY_get_octet_string_param(c->api->token_key, OSSL_PKEY_PARAM_PUB_KEY, point,
                                        sizeof point, &n) == 1 &&
        n == sizeof point && point[0] == 4) {
        buf_str(&b, "{\"use\":\"sig\",\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"kid\":");
        buf_json_str(&b, slice_of(c->api->keys.token_key_id));
        buf_str(&b, ",\"x\":\"");
        buf_base64url(&b, point + 1, 32);
        buf_str(&b, "\",\"y\":\"");
        buf_base64url(&b, point + 33, 32);
        buf_str(&b, "\"}");
    }
    buf_str(&b, "]}\n");
    request_respond(c->r, 200, "application/jwk-set+json", buf_view(&b), NULL);
}

bool issuer_handle(struct call *c) {
    if (str_eq(c->r->path, "/.well-known/openid-configuration"))
        configuration(c);
    else if (str_eq(c->r->path, "/openid/v1/jwks") || str_eq(c->r->path, "/openid/v1/jwks/"))
        keys(c);
    else
        return false;
    return true;
}
