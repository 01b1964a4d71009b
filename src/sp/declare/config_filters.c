/* Filters that `atoll sp filter --config` has added stand beside the files of people, who may have
 * written comments there: NAME.filters is a Topology with nothing but its name and spec.filters. */
#include <errno.h>

#include "api/registry.h"
#include "api/rules/topology_graph.h"
#include "base/limits.h"
#include "base/own.h"
#include "sp/declare/config_topology.h"

static bool is_there(struct arena *a, const struct sp_v1_topology *t,
                     const struct sp_v1_topology_filter *f) {
    const char *name = topology_filter_name(a, f);
    for (size_t i = 0; i < t->spec.filters.n; i++)
        if (str_eq(topology_filter_name(a, &t->spec.filters.v[i]), name)) return true;
    return false;
}

int sp_filters_amend(int dir, struct sp_v1_topology *t, struct arena *a, struct err *err) {
    const struct api_kind *k = api_kind_by_name("sp.atoll.dev", "v1", "Topology");
    struct api_decode_opts strict = {.unknown = API_UNKNOWN_STRICT};
    OWN(buf_done) struct buf text = {0};
    char file[TOPOLOGY_FILTERS_FILE_BYTES];
    void *object = NULL;
    if (topology_filters_file(t->metadata.name, file) < 0) return 0; /* no name that can be */
    int r = sp_file_read(dir, file, LIMIT_SP_CONFIG_FILE_BYTES, &text, err);
    if (r == -ENOENT) return 0;
    if (r == 0) {
        struct slice kept = slice_from(arena_copy(a, text.p, text.n), text.n);
        r = api_decode(a, k->type, kept, &strict, &object, err);
    }
    if (r < 0) return err_wrap(err, "%s", file);
    const struct sp_v1_topology *more = object;
    for (size_t i = 0; i < more->spec.filters.n; i++)
        if (!is_there(a, t, &more->spec.filters.v[i]))
            *ARENA_PUSH(a, &t->spec.filters) = more->spec.filters.v[i];
    return 0;
}
