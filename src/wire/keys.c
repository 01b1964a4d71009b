#include "wire/keys.h"

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
