/* The plugins in their order, and the two passes through them. */
#include "server/admission/plugin.h"

#include <stdlib.h>

#include "base/own.h"
#include "base/vec.h"
#include "proc/settings.h"
#include "server/media/convert.h"

/* Weak: a program without plugins (unit tests) has no such section. */
extern const struct admission_plugin *const __start_atoll_admission[] __attribute__((weak));
extern const struct admission_plugin *const __stop_atoll_admission[] __attribute__((weak));

struct admission_settled {
    struct admission_settled *next;
    admission_settled_fn *fn;
    void *user;
};

static struct {
    const struct admission_plugin **v; /* by order */
    size_t n;
} plugins;

static int by_order(const void *x, const void *y) {
    const struct admission_plugin *const *a = x, *const *b = y;
    return (int)(*a)->order - (int)(*b)->order;
}

/* What upstream has no plugin for cannot be switched off. */
static bool is_off(const struct api *api, const char *name) {
    const char *off = api->settings ? api->settings->auth.disable_admission_plugins : NULL;
    for (size_t i = 0; !str_empty(off) && settings_admission_plugins[i]; i++)
        if (str_eq(settings_admission_plugins[i], name)) return settings_list_has(off, name);
    return false;
}

static void load_plugins(const struct api *api) {
    size_t n = (size_t)(__stop_atoll_admission - __start_atoll_admission);
    plugins.v = calloc(n ? n : 1, sizeof *plugins.v);
    if (!plugins.v) abort();
    for (size_t i = 0; i < n; i++)
        if (!is_off(api, __start_atoll_admission[i]->name))
            plugins.v[plugins.n++] = __start_atoll_admission[i];
    qsort(plugins.v, plugins.n, sizeof *plugins.v, by_order);
}

static bool applies(const struct admission_plugin *p, const struct admission *ad) {
    if (!(p->operations & ad->operation)) return false;
    if (*ad->subresource && !p->subresources) return false;
    if (!p->plural) return true;
    const struct api_kind *k = ad->kind;
    /* The first letter tells nearly all of them apart, and this runs for every plugin and write. */
    return *p->plural == *k->plural && str_eq(p->plural, k->plural) && str_eq(p->group, k->group);
}

/* Plugins until one wants to wait or refuses. */
static void run(struct admission *ad) {
    while (ad->next < plugins.n) {
        const struct admission_plugin *p = plugins.v[ad->next++];
        int (*fn)(struct admission *) = ad->validating ? p->validate : p->mutate;
        if (!fn || !applies(p, ad)) continue;
        int answer = fn(ad);
        if (answer == ADMISSION_LATER) return;
        if (answer == ADMISSION_OK) continue;
        ad->done(ad, answer);
        return;
    }
    ad->done(ad, ADMISSION_OK);
}

static void start(struct admission *ad, bool validating, void (*done)(struct admission *, int)) {
    if (!plugins.v) load_plugins(ad->api);
    ad->validating = validating;
    ad->done = done;
    ad->next = 0;
    run(ad);
}

void admission_start(struct api *api) {
    if (!plugins.v) load_plugins(api);
    for (size_t i = 0; i < plugins.n; i++)
        if (plugins.v[i]->start) plugins.v[i]->start(api);
}

void admission_mutate(struct admission *ad, void (*done)(struct admission *ad, int answer)) {
    start(ad, false, done);
}

void admission_validate(struct admission *ad, void (*done)(struct admission *ad, int answer)) {
    start(ad, true, done);
}

static void on_validated(struct admission *ad, int answer) { ad->after(ad, answer); }

static void on_mutated(struct admission *ad, int answer) {
    if (answer == ADMISSION_OK)
        admission_validate(ad, on_validated);
    else
        ad->after(ad, answer);
}

void admission_ask(struct admission *ad, void (*done)(struct admission *ad, int answer)) {
    ad->after = done;
    admission_mutate(ad, on_mutated);
}

struct admission *admission_new(struct call *c, enum admission_operation operation,
                                struct object *current, const struct api_object *old) {
    struct admission *ad = ARENA_NEW(c->a, struct admission);
    *ad = (struct admission){.c = c,
                             .api = c->api,
                             .a = c->a,
                             .operation = operation,
                             .kind = storage_kind(c->kind),
                             .old = old,
                             .current = current ? object_ref(current) : NULL,
                             .subresource = str_or(c->route.subresource, ""),
                             .ns = c->kind->flags & API_NAMESPACED ? c->route.ns : "",
                             .name = c->route.name,
                             .dry_run = c->dry_run};
    return ad;
}

void admission_over(struct admission *ad, bool stored) {
    admission_settle(ad, stored);
    object_unref(ad->current);
    ad->current = NULL;
}

void admission_reply(struct admission *ad, int answer) {
    if (answer >= 0) return;
    if (ad->refusal.n)
        reply_json(ad->c, ad->refusal_code, ad->refusal);
    else
        reply_error(ad->c, &ad->err);
}

void admission_refused(struct admission *ad, int answer) {
    admission_over(ad, false);
    admission_reply(ad, answer);
}

int admission_still(struct admission *ad) {
    int answer = ADMISSION_OK;
    for (size_t i = 0; ad->waited && i < plugins.n && answer == ADMISSION_OK; i++)
        if (plugins.v[i]->still && applies(plugins.v[i], ad)) answer = plugins.v[i]->still(ad);
    return answer;
}

void admission_resume(struct admission *ad, int answer) {
    ad->waited = true;
    if (answer == ADMISSION_OK)
        run(ad);
    else
        ad->done(ad, answer);
}

void admission_on_settled(struct admission *ad, admission_settled_fn *fn, void *user) {
    struct admission_settled *s = ARENA_NEW(ad->a, struct admission_settled);
    *s = (struct admission_settled){ad->settled, fn, user};
    ad->settled = s;
}

void admission_settle(struct admission *ad, bool stored) {
    struct admission_settled *s = ad->settled;
    ad->settled = NULL;
    for (; s; s = s->next) s->fn(ad, stored, s->user);
}

struct object *admission_find(struct admission *ad, const char *group, const char *plural,
                              const char *ns, const char *name) {
    const struct api_kind *k = api_kind_by_plural(group, "v1", plural);
    struct resource *res = k ? cache_of_kind(&ad->api->cache, k) : NULL;
    return res ? resource_get(res, ns, name) : NULL;
}

int admission_forbid(struct admission *ad, const char *why) {
    return err_set(&ad->err, ERR_FORBIDDEN, "%s \"%s\" is forbidden: %s",
                   resource_title(ad->a, ad->kind->group, ad->kind->plural), ad->name, why);
}
