/*
 * Bearer tokens and key sets: any bytes as a token, and as a JWKS after a line break. Invariants:
 * parsing says why it refuses; no token is signed by a key that did not sign it.
 */
#include <openssl/ec.h>
#include <string.h>

#include "base/own.h"
#include "fuzz.h"
#include "server/auth/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static EVP_PKEY *stranger;
    if (!stranger) stranger = EVP_EC_gen("P-256");
    struct slice token = slice_from(data, size), set = {0};
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    if (line) {
        token.n = (size_t)(line - data);
        set = slice_from(line + 1, size - token.n - 1);
    }
    struct jwk_set keys = {0};
    struct err err = {0};
    if (set.n && jwk_set_parse(set, &keys, &err) < 0) FUZZ_ASSERT(err.reason != ERR_NONE);
    OWN(jwt_done) struct jwt t = {0};
    err = (struct err){0};
    if (jwt_parse(token, &t, &err) < 0) {
        FUZZ_ASSERT(err.reason != ERR_NONE);
    } else {
        bool known;
        FUZZ_ASSERT(!jwt_signed_by(&t, stranger));
        FUZZ_ASSERT(jwt_algorithm_known(t.alg) || !jwk_set_signed(&keys, &t, &known));
        jwt_times(t.claims, 1700000000, 10);
        jwt_audience_has(t.claims, "a");
    }
    jwk_set_done(&keys);
    return 0;
}
