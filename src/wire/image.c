#include "wire/image.h"

#include "base/limits.h"

void image_pull_request_pack(struct buf *b, const struct image_pull_request *r) {
    pack_str(b, r->ref);
    pack_str(b, r->username);
    pack_str(b, r->password);
}

int image_pull_request_unpack(struct slice s, struct arena *a, struct image_pull_request *ret) {
    struct unpack u = unpack_init(s);
    struct image_pull_request r;
    r.ref = unpack_str(&u, a);
    r.username = unpack_str(&u, a);
    r.password = unpack_str(&u, a);
    int e = unpack_end(&u);
    if (e == 0) *ret = r;
    return e;
}

void image_from_dir_pack(struct buf *b, const struct image_from_dir *r) {
    pack_str(b, r->name);
    pack_str(b, r->config_json);
}

int image_from_dir_unpack(struct slice s, struct arena *a, struct image_from_dir *ret) {
    struct unpack u = unpack_init(s);
    struct image_from_dir r;
    r.name = unpack_str(&u, a);
    r.config_json = unpack_str(&u, a);
    int e = unpack_end(&u);
    if (e == 0) *ret = r;
    return e;
}

static void pack_list(struct buf *b, const char **v, uint32_t n) {
    pack_u32(b, n);
    for (uint32_t i = 0; i < n; i++) pack_str(b, v[i]);
}

static uint32_t unpack_list(struct unpack *u, struct arena *a, const char ***ret) {
    uint32_t n = unpack_u32(u);
    if (n > u->left.n / 4) u->bad = true; /* each takes four bytes at least */
    if (u->bad) n = 0;
    *ret = ARENA_ARRAY(a, const char *, n);
    for (uint32_t i = 0; i < n; i++) (*ret)[i] = unpack_str(u, a);
    return n;
}

void image_info_pack(struct buf *b, const struct image_info *i) {
    pack_str(b, i->id);
    pack_str(b, i->repo_digest);
    pack_list(b, i->names, i->n_names);
    pack_u64(b, i->size_bytes);
    pack_list(b, i->layers, i->n_layers);
    pack_list(b, i->entrypoint, i->n_entrypoint);
    pack_list(b, i->cmd, i->n_cmd);
    pack_list(b, i->env, i->n_env);
    pack_str(b, i->working_dir);
    pack_str(b, i->user);
    pack_str(b, i->stop_signal);
}

int image_info_unpack(struct unpack *u, struct arena *a, struct image_info *ret) {
    struct image_info i;
    i.id = unpack_str(u, a);
    i.repo_digest = unpack_str(u, a);
    i.n_names = unpack_list(u, a, &i.names);
    i.size_bytes = unpack_u64(u);
    i.n_layers = unpack_list(u, a, &i.layers);
    i.n_entrypoint = unpack_list(u, a, &i.entrypoint);
    i.n_cmd = unpack_list(u, a, &i.cmd);
    i.n_env = unpack_list(u, a, &i.env);
    i.working_dir = unpack_str(u, a);
    i.user = unpack_str(u, a);
    i.stop_signal = unpack_str(u, a);
    if (i.n_layers > LIMIT_IMAGE_LAYERS) u->bad = true;
    if (u->bad) return -1;
    *ret = i;
    return 0;
}
