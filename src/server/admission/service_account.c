/* ServiceAccount: every pod has one, with its token in a volume. */
#include <stdlib.h>

#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/media/body.h"

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

/* ---- what a pod may refer to ---- */

static bool env_secret(const struct core_v1_container *c, const char **env, const char **secret,
                       size_t *at) {
    for (; *at < c->env.n; (*at)++) {
        const struct core_v1_env_var *e = &c->env.v[*at];
        if (!e->value_from || !e->value_from->secret_key_ref) continue;
        *env = e->name;
        *secret = str_or(e->value_from->secret_key_ref->name, "");
        (*at)++;
        return true;
    }
    return false;
}

static bool uses_secrets(const struct core_v1_pod_spec *spec) {
    const char *env, *secret;
    for (size_t i = 0; i < spec->volumes.n; i++)
        if (spec->volumes.v[i].secret) return true;
    const struct core_v1_container_list *lists[] = {&spec->containers, &spec->init_containers};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (size_t j = 0, at = 0; j < lists[i]->n; j++, at = 0) {
            if (env_secret(&lists[i]->v[j], &env, &secret, &at)) return true;
            for (size_t k = 0; k < lists[i]->v[j].env_from.n; k++)
                if (lists[i]->v[j].env_from.v[k].secret_ref) return true;
        }
    return spec->image_pull_secrets.n > 0;
}

static bool projects_token(const struct core_v1_pod_spec *spec) {
    for (size_t i = 0; i < spec->volumes.n; i++) {
        const struct core_v1_projected_volume_source *p = spec->volumes.v[i].projected;
        for (size_t j = 0; p && j < p->sources.n; j++)
            if (p->sources.v[j].service_account_token) return true;
    }
    return false;
}

/* A mirror pod only shows what a node runs anyway: it may not bring anything from the API there. */
static int mirror_pod(struct admission *ad, const struct core_v1_pod_spec *spec) {
    if (!str_empty(spec->service_account_name))
        return admission_forbid(ad, "a mirror pod may not reference service accounts");
    if (uses_secrets(spec)) return admission_forbid(ad, "a mirror pod may not reference secrets");
    if (projects_token(spec))
        return admission_forbid(ad,
                                "a mirror pod may not use ServiceAccountToken volume projections");
    return 0;
}

static bool mountable(const struct core_v1_service_account *sa, const char *secret) {
    for (size_t i = 0; i < sa->secrets.n; i++)
        if (str_eq(sa->secrets.v[i].name, secret)) return true;
    return false;
}

static bool pullable(const struct core_v1_service_account *sa, const char *secret) {
    for (size_t i = 0; i < sa->image_pull_secrets.n; i++)
        if (str_eq(sa->image_pull_secrets.v[i].name, secret)) return true;
    return false;
}

static const char *limit_env(struct admission *ad, const struct core_v1_container_list *l,
                             const char *sort, const struct core_v1_service_account *sa) {
    const char *env, *secret;
    for (size_t i = 0, at = 0; i < l->n; i++, at = 0)
        while (env_secret(&l->v[i], &env, &secret, &at))
            if (!mountable(sa, secret))
                return arena_printf(ad->a,
                                    "%s %s with envVar %s referencing secret.secretName=\"%s\" is "
                                    "not allowed because service account %s does not reference "
                                    "that secret",
                                    sort, l->v[i].name, env, secret, sa->metadata.name);
    return NULL;
}

/* The annotation kubernetes.io/enforce-mountable-secrets: only secrets that the account lists. */
static int limit_secrets(struct admission *ad, const struct core_v1_pod_spec *spec,
                         const struct core_v1_service_account *sa) {
    for (size_t i = 0; i < spec->volumes.n; i++) {
        const struct core_v1_secret_volume_source *s = spec->volumes.v[i].secret;
        if (s && !mountable(sa, s->secret_name))
            return admission_forbid(
                ad, arena_printf(ad->a,
                                 "volume with secret.secretName=\"%s\" is not allowed because "
                                 "service account %s does not reference that secret",
                                 str_or(s->secret_name, ""), sa->metadata.name));
    }
    const char *why = limit_env(ad, &spec->init_containers, "init container", sa);
    if (!why) why = limit_env(ad, &spec->containers, "container", sa);
    for (size_t i = 0; i < spec->image_pull_secrets.n && !why; i++)
        if (!pullable(sa, spec->image_pull_secrets.v[i].name))
            why = arena_printf(ad->a,
                               "imagePullSecrets[%zu].name=\"%s\" is not allowed because service "
                               "account %s does not reference that imagePullSecret",
                               i, spec->image_pull_secrets.v[i].name, sa->metadata.name);
    return why ? admission_forbid(ad, why) : 0;
}

/* ---- the plugin ---- */

static int apply(struct admission *ad, struct core_v1_pod_spec *spec, struct object *o) {
    const struct api_kind *k = api_kind_by_plural("", "v1", "serviceaccounts");
    struct api_object *decoded;
    if (api_object_decode(ad->a, k, object_json(o), &decoded, &ad->err) < 0) return -1;
    const struct core_v1_service_account *sa = (void *)decoded;
    if (!spec->image_pull_secrets.n) spec->image_pull_secrets = sa->image_pull_secrets;
    if (str_eq(str_map_get(&sa->metadata.annotations, "kubernetes.io/enforce-mountable-secrets"),
               "true")) {
        int rc = limit_secrets(ad, spec, sa);
        if (rc < 0) return rc;
    }
    if (!mounts_token(spec, sa)) return 0;
    const char *volume = body_generate_name(ad->c, "kube-api-access-");
    size_t n = mount_into(ad->a, &spec->init_containers, volume);
    n += mount_into(ad->a, &spec->containers, volume);
    if (n) add_volume(ad->a, spec, volume);
    return 0;
}

static int absent(struct admission *ad, const char *name) {
    return admission_forbid(ad, arena_printf(ad->a,
                                             "error looking up service account %s/%s: "
                                             "serviceaccount \"%s\" not found",
                                             ad->ns, name, name));
}

/* In a new namespace the controller makes "default" within moments: the pod waits for it. */
enum { WAIT_MS = 20, WAITS_MAX = 50 };

struct wait {
    struct admission *ad;
    struct timer *timer;
    unsigned n;
};

static void on_wait(void *user) {
    struct wait *w = user;
    struct admission *ad = w->ad;
    struct core_v1_pod_spec *spec = &((struct core_v1_pod *)(void *)ad->object)->spec;
    struct object *o = admission_find(ad, "", "serviceaccounts", ad->ns, "default");
    if (!o && ++w->n < WAITS_MAX) return;
    timer_free(w->timer);
    free(w);
    admission_resume(ad, o ? apply(ad, spec, o) : absent(ad, "default"));
}

static int wait_for_default(struct admission *ad) {
    struct wait *w = calloc(1, sizeof *w);
    if (!w) abort();
    w->ad = ad;
    w->timer = timer_new(ad->api->loop, on_wait, w);
    timer_start(w->timer, WAIT_MS, WAIT_MS);
    return ADMISSION_LATER;
}

static int pod_service_account(struct admission *ad) {
    struct core_v1_pod *pod = (void *)ad->object;
    struct core_v1_pod_spec *spec = &pod->spec;
    if (str_empty(spec->service_account_name)) spec->service_account_name = spec->service_account;
    if (str_map_get(&pod->metadata.annotations, "kubernetes.io/config.mirror"))
        return mirror_pod(ad, spec);
    if (str_empty(spec->service_account_name)) spec->service_account_name = "default";
    spec->service_account = spec->service_account_name;
    struct object *o =
        admission_find(ad, "", "serviceaccounts", ad->ns, spec->service_account_name);
    if (o) return apply(ad, spec, o);
    if (str_eq(spec->service_account_name, "default")) return wait_for_default(ad);
    return absent(ad, spec->service_account_name);
}

static const struct admission_plugin service_account = {.name = "ServiceAccount",
                                                        .order = ORDER_SERVICE_ACCOUNT,
                                                        .operations = ADMIT_CREATE,
                                                        .group = "",
                                                        .plural = "pods",
                                                        .mutate = pod_service_account};
ADMISSION_PLUGIN(service_account);
