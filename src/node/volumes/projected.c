/* projected: several sources in one directory; tokens of the service account live here. */
#include <errno.h>

#include "node/volumes/volumes.h"

static bool handles(const struct core_v1_volume *v) { return v->projected; }

static int add_token(struct arena *a, const struct volume_input *in,
                     const struct core_v1_service_account_token_projection *t,
                     struct volume_result *ret, struct err *err) {
    const char *token = NULL;
    int64_t expiry_s = t->expiration_seconds ? *t->expiration_seconds : 3600;
    int rc = in->source->token(in->source->user, t->audience, expiry_s, &token, err);
    if (rc < 0) return rc;
    const struct core_v1_pod_security_context *sc = in->facts->pod->spec.security_context;
    bool group = sc && sc->fs_group;
    volume_add_file(a, &ret->files, t->path, slice_of(arena_str(a, token)), group ? 0640 : 0644);
    return 0;
}

static int add_source(struct arena *a, const struct volume_input *in,
                      const struct core_v1_volume_projection *p, uint32_t mode,
                      struct volume_result *ret, struct err *err) {
    if (p->config_map)
        return volume_add_config_map(a, in, p->config_map->name, &p->config_map->items,
                                     p->config_map->optional && *p->config_map->optional, mode,
                                     &ret->files, err);
    if (p->secret)
        return volume_add_secret(a, in, p->secret->name, &p->secret->items,
                                 p->secret->optional && *p->secret->optional, mode, &ret->files,
                                 err);
    if (p->downward_api)
        return volume_add_downward(a, in, &p->downward_api->items, mode, &ret->files, err);
    if (p->service_account_token) return add_token(a, in, p->service_account_token, ret, err);
    return err_set(err, ERR_INVALID, "volume \"%s\": projected source is not supported",
                   in->volume->name);
}

/* Every source is asked before the first -EAGAIN is reported: all of them are fetched at once. */
static int render(struct arena *a, const struct volume_input *in, struct volume_result *ret,
                  struct err *err) {
    const struct core_v1_projected_volume_source *s = in->volume->projected;
    uint32_t mode = s->default_mode ? (uint32_t)*s->default_mode : 0644;
    int rc = 0;
    ret->content = true;
    ret->memory = true;
    for (size_t i = 0; i < s->sources.n; i++) {
        struct err e = {0};
        int one = add_source(a, in, &s->sources.v[i], mode, ret, &e);
        if (one == 0 || (rc < 0 && rc != -EAGAIN)) continue;
        rc = one;
        if (err) *err = e;
    }
    return rc;
}

static const struct volume_driver driver = {"projected", handles, render};
VOLUME_DRIVER(driver);
