#include "proto/delegated_key.h"

#include <openssl/ec.h>
#include <stdlib.h>

#include "base/own.h"

struct delegated_key {
    delegated_sign_fn *sign;
    void *user;
    EC_KEY_METHOD *method;
};

/* OpenSSL 3.0 has no public way to delegate one signature but a provider or the older method table
 * of EC_KEY. The table is deprecated, present, and a tenth of the code. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int key_slot(void) {
    static int slot = -1;
    if (slot < 0) slot = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return slot;
}

static int sign_elsewhere(int type, const unsigned char *digest, int digest_n, unsigned char *out,
                          unsigned *ret_n, const BIGNUM *kinv, const BIGNUM *rp, EC_KEY *key) {
    struct delegated_key *d = EC_KEY_get_ex_data(key, key_slot());
    OWN(buf_done) struct buf der = {0};
    if (!d || digest_n < 0) return 0;
    if (d->sign(d->user, slice_from(digest, (size_t)digest_n), &der, NULL) < 0) return 0;
    if (der.n == 0 || der.n > (size_t)ECDSA_size(key)) return 0;
    memcpy(out, der.p, der.n);
    *ret_n = (unsigned)der.n;
    return 1;
}

static ECDSA_SIG *sign_sig_elsewhere(const unsigned char *digest, int digest_n, const BIGNUM *kinv,
                                     const BIGNUM *rp, EC_KEY *key) {
    unsigned char der[256];
    unsigned n = 0;
    if (ECDSA_size(key) > (int)sizeof der ||
        !sign_elsewhere(0, digest, digest_n, der, &n, kinv, rp, key))
        return NULL;
    const unsigned char *p = der;
    return d2i_ECDSA_SIG(NULL, &p, (long)n);
}

struct delegated_key *delegated_key_new(delegated_sign_fn *sign, void *user) {
    struct delegated_key *d = calloc(1, sizeof *d);
    if (!d) abort();
    *d = (struct delegated_key){sign, user, EC_KEY_METHOD_new(EC_KEY_OpenSSL())};
    if (!d->method || key_slot() < 0) abort();
    EC_KEY_METHOD_set_sign(d->method, sign_elsewhere, NULL, sign_sig_elsewhere);
    return d;
}

void delegated_key_free(struct delegated_key *d) {
    if (!d) return;
    EC_KEY_METHOD_free(d->method);
    free(d);
}

EVP_PKEY *delegated_key_for(struct delegated_key *d, X509 *leaf) {
    EVP_PKEY *public_key = X509_get0_pubkey(leaf);
    const EC_KEY *ec = public_key ? EVP_PKEY_get0_EC_KEY(public_key) : NULL;
    EC_KEY *own = ec ? EC_KEY_dup(ec) : NULL;
    EVP_PKEY *key = EVP_PKEY_new();
    if (own && key && EC_KEY_set_method(own, d->method) && EC_KEY_set_ex_data(own, key_slot(), d) &&
        EVP_PKEY_assign_EC_KEY(key, own))
        return key;
    EC_KEY_free(own);
    EVP_PKEY_free(key);
    return NULL;
}
#pragma GCC diagnostic pop
