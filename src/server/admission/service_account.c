/* ServiceAccount: every pod has one, with its token in a volume. */
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/body.h"

static const char token_path[] = "/var/run/secrets/kubernetes.io/serviceaccount";
enum { TOKEN_LIFE_S = 3607 };

static bool mounts_token(const struct core_v1_pod_spec *spec,
                         const struct core_v1_service_account *sa) {
    if (spec->automount_service_account_token) return *spec->automount_service_account_token;
    if (sa->automount_service_account_token) return *sa->automount_service_account_token;
    return true;
}

static bool has_mount(const struct core_v1_container *c) {
    for (size_t i = 0; i < c->volume_mounts.n; i++)
        if (str_eq(c->volume_mounts.v[i].mount_path, token_path)) return true;
    return false;
}

static size_t mount_into(struct arena *a, struct core_v1_container_list *l, const char *volume) {
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (has_mount(&l->v[i])) continue;
        struct core_v1_volume_mount *m = ARENA_PUSH(a, &l->v[i].volume_mounts);
        m->name = volume;
        m->mount_path = token_path;
        m->read_only = true;
        n++;
    }
    return n;
}

static void add_volume(struct arena *a, struct core_v1_pod_spec *spec, const char *name) {
    struct core_v1_volume *v = ARENA_PUSH(a, &spec->volumes);
    int64_t life_s = TOKEN_LIFE_S;
    int32_t mode = 0644;
    v->name = name;
    v->projected = ARENA_NEW(a, struct core_v1_projected_volume_source);
    v->projected->default_mode = arena_copy(a, &mode, sizeof mode);

    struct core_v1_volume_projection *p = ARENA_PUSH(a, &v->projected->sources);
    p->service_account_token = ARENA_NEW(a, struct core_v1_service_account_token_projection);
    p->service_account_token->path = "token";
    p->service_account_token->expiration_seconds = arena_copy(a, &life_s, sizeof life_s);

    p = ARENA_PUSH(a, &v->projected->sources);
    p->config_map = ARENA_NEW(a, struct core_v1_config_map_projection);
    p->config_map->name = "kube-root-ca.crt";
    *ARENA_PUSH(a, &p->config_map->items) =
        (struct core_v1_key_to_path){.key = "ca.crt", .path = "ca.crt"};

    p = ARENA_PUSH(a, &v->projected->sources);
    p->downward_api = ARENA_NEW(a, struct core_v1_downward_api_projection);
    struct core_v1_downward_api_volume_file *file = ARENA_PUSH(a, &p->downward_api->items);
    file->path = "namespace";
    file->field_ref = ARENA_NEW(a, struct core_v1_object_field_selector);
    file->field_ref->api_version = "v1";
    file->field_ref->field_path = "metadata.namespace";
}

static int pod_service_account(struct admission *ad) {
    struct core_v1_pod *pod = (void *)ad->object;
    struct core_v1_pod_spec *spec = &pod->spec;
    if (str_empty(spec->service_account_name)) spec->service_account_name = spec->service_account;
    if (str_empty(spec->service_account_name)) spec->service_account_name = "default";
    spec->service_account = spec->service_account_name;
    if (str_map_get(&pod->metadata.annotations, "kubernetes.io/config.mirror")) return 0;
    const struct api_kind *k = api_kind_by_plural("", "v1", "serviceaccounts");
    struct object *o = resource_get(cache_of_kind(&ad->api->cache, k), pod->metadata.namespace,
                                    spec->service_account_name);
    if (!o)
        return err_set(&ad->err, ERR_FORBIDDEN,
                       "pods \"%s\" is forbidden: error looking up service account %s/%s: "
                       "serviceaccount \"%s\" not found",
                       pod->metadata.name, pod->metadata.namespace, spec->service_account_name,
                       spec->service_account_name);
    struct api_object *decoded;
    if (api_object_decode(ad->a, k, object_json(o), &decoded, &ad->err) < 0) return -1;
    const struct core_v1_service_account *sa = (void *)decoded;
    if (!spec->image_pull_secrets.n) spec->image_pull_secrets = sa->image_pull_secrets;
    if (!mounts_token(spec, sa)) return 0;
    const char *volume = body_generate_name(ad->c, "kube-api-access-");
    size_t n = mount_into(ad->a, &spec->init_containers, volume);
    n += mount_into(ad->a, &spec->containers, volume);
    if (n) add_volume(ad->a, spec, volume);
    return 0;
}

static const struct admission_plugin service_account = {.name = "ServiceAccount",
                                                        .order = ORDER_SERVICE_ACCOUNT,
                                                        .operations = ADMIT_CREATE,
                                                        .group = "",
                                                        .plural = "pods",
                                                        .mutate = pod_service_account};
ADMISSION_PLUGIN(service_account);
