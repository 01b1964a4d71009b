/* Every namespace has the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`, a copy of
 * the one in kube-system. */
#include <string.h>

#include "base/own.h"
#include "client/projection.h"
#include "controllers/common.h"

static const char ca_name[] = "kube-root-ca.crt";

/* There may be many ConfigMaps; all but this one are of interest to the garbage collector only. */
static bool is_root_ca(const struct api_object *o) { return str_eq(o->metadata.name, ca_name); }

static const char *const head[] = {"metadata", NULL};
static const struct api_keep keep[] = {{&core_v1_config_map_type, head, NULL}, {NULL, NULL, NULL}};
static const struct projection config_maps = {
    .group = "", .kind = "ConfigMap", .keep = keep, .whole = is_root_ca};
PROJECTION(config_maps);

static void want_account(const struct world *w, const char *ns, struct plan *p) {
    if (world_get(w, "ServiceAccount", ns, "default")) return;
    struct api_object *o =
        api_object_new(plan_arena(p), api_kind_by_name("", "v1", "ServiceAccount"));
    o->metadata.namespace = ns;
    o->metadata.name = "default";
    plan_create(p, o);
}

/* Whatever else somebody wrote into it goes. */
static void restore(const struct core_v1_config_map *have, const char *pem, struct plan *p) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"metadata\":{\"resourceVersion\":");
    buf_json_str(&b, slice_of(have->metadata.resource_version));
    buf_str(&b, "},\"data\":{\"ca.crt\":");
    buf_json_str(&b, slice_of(pem));
    for (size_t i = 0; i < have->data.n; i++) {
        if (str_eq(have->data.v[i].key, "ca.crt")) continue;
        buf_char(&b, ',');
        buf_json_str(&b, slice_of(have->data.v[i].key));
        buf_str(&b, ":null");
    }
    buf_str(&b, "}}");
    plan_patch(p, (const struct api_object *)have, "", "application/merge-patch+json",
               slice_from(arena_copy(plan_arena(p), b.p, b.n), b.n));
}

static void want_root_ca(const struct world *w, const char *ns, struct plan *p) {
    const struct core_v1_config_map *origin =
        (const struct core_v1_config_map *)world_get(w, "ConfigMap", "kube-system", ca_name);
    const struct core_v1_config_map *have =
        (const struct core_v1_config_map *)world_get(w, "ConfigMap", ns, ca_name);
    const char *pem = origin ? str_map_get(&origin->data, "ca.crt") : NULL;
    if (!pem || (have && str_eq(str_map_get(&have->data, "ca.crt"), pem))) return;
    struct arena *a = plan_arena(p);
    if (have) {
        restore(have, pem, p);
        return;
    }
    struct core_v1_config_map *cm =
        (struct core_v1_config_map *)api_object_new(a, api_kind_by_name("", "v1", "ConfigMap"));
    cm->metadata.namespace = ns;
    cm->metadata.name = ca_name;
    str_map_set(a, &cm->metadata.annotations, "kubernetes.io/description",
                "The certificate authority of this cluster: verifies the API server.");
    str_map_set(a, &cm->data, "ca.crt", pem);
    plan_create(p, (struct api_object *)cm);
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const struct api_object *ns = world_get(w, "Namespace", NULL, key);
    if (!ns || ns->metadata.deletion_timestamp) return 0;
    want_account(w, ns->metadata.name, p);
    want_root_ca(w, ns->metadata.name, p);
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r;
    const struct api_object *o = now ? now : old;
    const char *name = o->metadata.name;
    if (strcmp(k->kind, "Namespace") == 0)
        keys_add(out, name);
    else if (strcmp(k->kind, "ServiceAccount") == 0 && str_eq(name, "default"))
        keys_add(out, o->metadata.namespace);
    else if (strcmp(k->kind, "ConfigMap") == 0 && str_eq(name, ca_name)) {
        if (!str_eq(o->metadata.namespace, "kube-system")) {
            keys_add(out, o->metadata.namespace);
            return;
        }
        const struct api_object *ns;
        size_t at = 0;
        while ((ns = world_next(w, "Namespace", NULL, &at))) keys_add(out, ns->metadata.name);
    }
}

static const char *const watches[] = {"Namespace", "ServiceAccount", "ConfigMap", NULL};
static const struct reconciler serviceaccount = {.name = "serviceaccount",
                                                 .kind = "Namespace",
                                                 .watches = watches,
                                                 .map = map,
                                                 .reconcile = reconcile};
RECONCILER(serviceaccount);
