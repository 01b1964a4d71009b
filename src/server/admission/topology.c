/*
 * Topology: what several Topologies declare together must not let messages go round in a circle.
 * TopologyGrant: a pod takes only roles that a Topology grants to its service account or namespace.
 */
#include "api/rules/topology_grant.h"
#include "api/rules/topology_graph.h"
#include "server/admission/plugin.h"

#define GROUP "sp.atoll.dev"

struct topologies {
    const struct sp_v1_topology **v;
    size_t n;
};

static struct topologies stored(struct admission *ad) {
    struct topologies l = {0};
    const struct resource *r = cache_of_kind(&ad->api->cache, ad->kind);
    if (!r) return l;
    struct key_cursor at = key_index_seek(&r->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&r->index, &at));) {
        struct api_object *decoded;
        if (api_object_decode(ad->a, ad->kind, object_json(o), &decoded, NULL) < 0) continue;
        *ARENA_PUSH(ad->a, &l) = (const void *)decoded;
    }
    return l;
}

static int no_cycle(struct admission *ad) {
    const struct sp_v1_topology *t = (const void *)ad->object;
    const struct sp_v1_topology_spec *s = &t->spec;
    const char *field;
    if (!s->edges.n && !s->exports.n && !s->imports.n) return 0;
    struct topologies all = stored(ad);
    const char *cycle = topology_cycle(ad->a, t, all.v, all.n, &field);
    return cycle ? admission_forbid(ad, arena_printf(ad->a, "%s: %s", field, cycle)) : 0;
}

static const struct admission_plugin plugin = {.name = "Topology",
                                               .order = ORDER_TOPOLOGY,
                                               .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                               .group = GROUP,
                                               .plural = "topologies",
                                               .validate = no_cycle};
ADMISSION_PLUGIN(plugin);

/* ---- pods ---- */

static int refuse(struct admission *ad, const char *why) {
    return admission_forbid(
        ad, arena_printf(ad->a, "metadata.annotations[" TOPOLOGY_ANNOTATION "]: %s", why));
}

static int grant_check(struct admission *ad, const struct core_v1_pod *pod,
                       const struct topology_grant *g) {
    const struct api_kind *k = api_kind_by_plural(GROUP, "v1", "topologies");
    struct object *o = admission_find(ad, GROUP, "topologies", "", g->topology);
    struct api_object *t;
    struct err err = {0};
    if (!k || !o) return refuse(ad, arena_printf(ad->a, "topology \"%s\" not found", g->topology));
    int r = api_object_decode(ad->a, k, object_json(o), &t, &ad->err);
    if (r < 0) return r;
    r = topology_granted((const void *)t, g, ad->ns,
                         str_or(pod->spec.service_account_name, "default"), &err);
    return r < 0 ? refuse(ad, err.text) : 0;
}

static int granted(struct admission *ad) {
    const struct core_v1_pod *pod = (const void *)ad->object;
    const char *asked = str_map_get(&pod->metadata.annotations, TOPOLOGY_ANNOTATION);
    struct topology_grants grants;
    struct err err = {0};
    if (str_empty(asked)) return 0;
    if (ad->old && str_eq(str_map_get(&ad->old->metadata.annotations, TOPOLOGY_ANNOTATION), asked))
        return 0;
    if (topology_grants_parse(ad->a, asked, &grants, &err) < 0) return refuse(ad, err.text);
    for (size_t i = 0; i < grants.n; i++) {
        int r = grant_check(ad, pod, &grants.v[i]);
        if (r < 0) return r;
    }
    return 0;
}

static const struct admission_plugin grant_plugin = {.name = "TopologyGrant",
                                                     .order = ORDER_TOPOLOGY,
                                                     .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                                     .group = "",
                                                     .plural = "pods",
                                                     .validate = granted};
ADMISSION_PLUGIN(grant_plugin);
