#include "server/webhook/hooks.h"

#include "base/own.h"

enum { DEFAULT_TIMEOUT_S = 10, DEFAULT_PORT = 443 };

static struct webhooks *current[2];

static void take_rules(struct arena *a, struct webhook *h,
                       const struct admissionregistration_v1_rule_with_operations_list *rules) {
    h->rules = ARENA_ARRAY(a, struct match_rule, rules->n);
    for (h->n_rules = 0; h->n_rules < rules->n; h->n_rules++) {
        const struct admissionregistration_v1_rule_with_operations *r = &rules->v[h->n_rules];
        h->rules[h->n_rules] = (struct match_rule){.operations = r->operations,
                                                   .groups = r->api_groups,
                                                   .versions = r->api_versions,
                                                   .resources = r->resources,
                                                   .scope = r->scope};
    }
}

static void take_client(struct arena *a, struct webhook *h,
                        const struct admissionregistration_v1_webhook_client_config *c) {
    OWN(buf_done) struct buf pem = {0};
    if (!str_empty(c->ca_bundle) && buf_unbase64(&pem, slice_of(c->ca_bundle)) < 0)
        h->broken = "caBundle is not base64";
    h->ca_pem = arena_strn(a, buf_view(&pem));
    h->url = str_empty(c->url) ? NULL : c->url;
    if (h->url) return;
    if (!c->service) {
        h->broken = "webhook configuration must have either service or URL";
        return;
    }
    h->service_ns = c->service->namespace;
    h->service_name = c->service->name;
    h->service_path = c->service->path;
    h->service_port = c->service->port ? *c->service->port : DEFAULT_PORT;
}

static const char *version_of(const struct str_list *versions) {
    for (size_t i = 0; i < versions->n; i++)
        if (str_eq(versions->v[i], "v1") || str_eq(versions->v[i], "v1beta1"))
            return versions->v[i];
    return NULL;
}

static struct selector *selector_of(struct arena *a, struct webhook *h,
                                    const struct meta_v1_label_selector *ls) {
    static const struct meta_v1_label_selector all;
    struct selector *s = NULL;
    struct err err;
    if (selector_from_labels(a, ls ? ls : &all, &s, &err) < 0) {
        h->broken = arena_str(a, err.text);
        selector_from_labels(a, &all, &s, NULL);
    }
    return s;
}

/* The members that both kinds of webhook have under the same names. */
#define TAKE_WEBHOOK(a, h, w)                                                                      \
    do {                                                                                           \
        (h)->name = (w)->name;                                                                     \
        (h)->fail_open = str_eq((w)->failure_policy, "Ignore");                                    \
        (h)->equivalent = !str_eq((w)->match_policy, "Exact");                                     \
        (h)->timeout_s =                                                                           \
            (w)->timeout_seconds ? (uint32_t) * (w)->timeout_seconds : DEFAULT_TIMEOUT_S;          \
        (h)->version = version_of(&(w)->admission_review_versions);                                \
        (h)->namespaces = selector_of((a), (h), (w)->namespace_selector);                          \
        (h)->objects = selector_of((a), (h), (w)->object_selector);                                \
        take_client((a), (h), &(w)->client_config);                                                \
        take_rules((a), (h), &(w)->rules);                                                         \
        if ((w)->match_conditions.n)                                                               \
            (h)->conditions = webhook_conditions_new((a), &(w)->match_conditions, &(h)->broken);   \
    } while (0)

static struct webhook *push(struct webhooks *all, const char *configuration, bool mutating) {
    struct webhook *h = ARENA_PUSH(all->a, &all->list);
    h->configuration = configuration;
    h->mutating = mutating;
    return h;
}

static void take_configuration(struct webhooks *all, struct api_object *o, bool mutating) {
    if (mutating) {
        const struct admissionregistration_v1_mutating_webhook_configuration *c = (void *)o;
        for (size_t i = 0; i < c->webhooks.n; i++) {
            struct webhook *h = push(all, o->metadata.name, true);
            TAKE_WEBHOOK(all->a, h, &c->webhooks.v[i]);
            h->reinvoke = str_eq(c->webhooks.v[i].reinvocation_policy, "IfNeeded");
        }
    } else {
        const struct admissionregistration_v1_validating_webhook_configuration *c = (void *)o;
        for (size_t i = 0; i < c->webhooks.n; i++) {
            struct webhook *h = push(all, o->metadata.name, false);
            TAKE_WEBHOOK(all->a, h, &c->webhooks.v[i]);
        }
    }
}

static struct webhooks *build(const struct resource *res, const struct api_kind *k, bool mutating) {
    struct webhooks *all = calloc(1, sizeof *all);
    if (!all) abort();
    *all = (struct webhooks){.refs = 1, .a = arena_new(), .revision = res->changed};
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    struct api_object *decoded;
    for (struct object *o; (o = key_index_next(&res->index, &at));)
        if (api_object_decode(all->a, k, object_json(o), &decoded, NULL) == 0)
            take_configuration(all, decoded, mutating);
    return all;
}

void webhooks_unref(struct webhooks *w) {
    if (!w || --w->refs) return;
    arena_free(w->a);
    free(w);
}

struct webhooks *webhooks_get(struct api *api, bool mutating) {
    const char *plural =
        mutating ? "mutatingwebhookconfigurations" : "validatingwebhookconfigurations";
    static const struct api_kind *kinds[2]; /* every write asks for both */
    if (!kinds[mutating])
        kinds[mutating] = api_kind_by_plural("admissionregistration.k8s.io", "v1", plural);
    const struct api_kind *k = kinds[mutating];
    struct resource *res = k ? cache_of_kind(&api->cache, k) : NULL;
    if (!res || !res->index.n) return NULL;
    struct webhooks **now = &current[mutating];
    if (*now && (*now)->revision != res->changed) {
        webhooks_unref(*now);
        *now = NULL;
    }
    if (!*now) *now = build(res, k, mutating);
    (*now)->refs++;
    return *now;
}
