#include "wire/network.h"

void network_link_pack(struct buf *b, const struct network_link *l) {
    pack_str(b, l->pod_uid);
    pack_str(b, l->pod_namespace);
    pack_str(b, l->pod_name);
    pack_str(b, l->want_ip);
}

int network_link_unpack(struct slice s, struct arena *a, struct network_link *ret) {
    struct unpack u = unpack_init(s);
    struct network_link l;
    l.pod_uid = unpack_str(&u, a);
    l.pod_namespace = unpack_str(&u, a);
    l.pod_name = unpack_str(&u, a);
    l.want_ip = unpack_str(&u, a);
    int r = unpack_end(&u);
    if (r == 0) *ret = l;
    return r;
}
