#include "wire/keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void keys_public_pack(struct buf *b, const struct keys_public *k) {
    pack_str(b, k->ca_pem);
    pack_str(b, k->serving_chain_pem);
    pack_str(b, k->token_public_pem);
    pack_str(b, k->token_key_id);
    pack_str(b, k->front_proxy_ca_pem);
}

int keys_public_unpack(struct slice s, struct arena *a, struct keys_public *ret) {
    struct unpack u = unpack_init(s);
    struct keys_public k = {0};
    k.ca_pem = unpack_str(&u, a);
    k.serving_chain_pem = unpack_str(&u, a);
    k.token_public_pem = unpack_str(&u, a);
    k.token_key_id = unpack_str(&u, a);
    k.front_proxy_ca_pem = unpack_str(&u, a);
    int r = unpack_end(&u);
    if (r == 0) *ret = k;
    return r;
}

void keys_certificate_pack(struct buf *b, const struct keys_certificate *c) {
    pack_str(b, c->request_pem);
    pack_u8(b, c->signer);
    pack_u32(b, c->usages);
    pack_u32(b, c->expiration_seconds);
}

int keys_certificate_unpack(struct slice s, struct arena *a, struct keys_certificate *ret) {
    struct unpack u = unpack_init(s);
    struct keys_certificate c = {0};
    c.request_pem = unpack_str(&u, a);
    c.signer = unpack_u8(&u);
    c.usages = unpack_u32(&u);
    c.expiration_seconds = unpack_u32(&u);
    int r = unpack_end(&u);
    if (r == 0) *ret = c;
    return r;
}

static const char seal_head[] = "seal-", seal_tail[] = ".key";
enum { SEAL_DIGITS = 8 };

void keys_seal_name(char ret[KEYS_SEAL_NAME_MAX], uint32_t id) {
    snprintf(ret, KEYS_SEAL_NAME_MAX, "%s%0*u%s", seal_head, SEAL_DIGITS, id, seal_tail);
}

uint32_t keys_seal_id(const char *name) {
    struct slice s = slice_of(name);
    uint64_t id;
    if (s.n != sizeof seal_head - 1 + SEAL_DIGITS + sizeof seal_tail - 1 ||
        !slice_starts(s, seal_head) ||
        strcmp(name + sizeof seal_head - 1 + SEAL_DIGITS, seal_tail) != 0)
        return 0;
    return slice_u64(slice_from(name + sizeof seal_head - 1, SEAL_DIGITS), &id) < 0 ? 0
                                                                                    : (uint32_t)id;
}

void keys_seal_pack(struct buf *b, const struct keys_seal *k) {
    pack_u32(b, (uint32_t)k->n);
    for (size_t i = 0; i < k->n; i++) {
        pack_u32(b, k->v[i].id);
        pack_slice(b, slice_from((const char *)k->v[i].bytes, KEYS_SEAL_BYTES));
    }
}

int keys_seal_unpack(struct slice s, struct keys_seal *ret) {
    struct unpack u = unpack_init(s);
    struct keys_seal k = {.n = unpack_u32(&u)};
    if (k.n > KEYS_SEAL_MAX) return -EBADMSG;
    for (size_t i = 0; i < k.n; i++) {
        k.v[i].id = unpack_u32(&u);
        struct slice bytes = unpack_slice(&u);
        if (bytes.n != KEYS_SEAL_BYTES) return -EBADMSG;
        memcpy(k.v[i].bytes, bytes.p, bytes.n);
    }
    int r = unpack_end(&u);
    if (r == 0) *ret = k;
    return r;
}
