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

struct plugins {
    const struct admission_plugin **v; /* by order */
    size_t n;
};

static struct plugins all, mutators, validators;

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

static void plugins_init(struct plugins *p, size_t room) {
    p->v = calloc(room ? room : 1, sizeof *p->v);
    if (!p->v) abort();
}

static void load_plugins(const struct api *api) {
    size_t n = (size_t)(__stop_atoll_admission - __start_atoll_admission);
    plugins_init(&all, n);
    plugins_init(&mutators, n);
    plugins_init(&validators, n);
    for (size_t i = 0; i < n; i++)
        if (!is_off(api, __start_atoll_admission[i]->name))
            all.v[all.n++] = __start_atoll_admission[i];
    qsort(all.v, all.n, sizeof *all.v, by_order);
    for (size_t i = 0; i < all.n; i++) {
        if (all.v[i]->mutate) mutators.v[mutators.n++] = all.v[i];
        if (all.v[i]->validate) validators.v[validators.n++] = all.v[i];
    }
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
    const struct plugins *pass = ad->validating ? &validators : &mutators;
    while (ad->next < pass->n) {
        const struct admission_plugin *p = pass->v[ad->next++];
        if (!applies(p, ad)) continue;
        int answer = ad->validating ? p->validate(ad) : p->mutate(ad);
        if (answer == ADMISSION_LATER) return;
        if (answer == ADMISSION_OK) continue;
        ad->done(ad, answer);
        return;
    }
    ad->done(ad, ADMISSION_OK);
}

static void start(struct admission *ad, bool validating, void (*done)(struct admission *, int)) {
    if (!all.v) load_plugins(ad->api);
    ad->validating = validating;
    ad->done = done;
    ad->next = 0;
    run(ad);
}

void admission_start(struct api *api) {
    if (!all.v) load_plugins(api);
    for (size_t i = 0; i < all.n; i++)
        if (all.v[i]->start) all.v[i]->start(api);
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
    for (size_t i = 0; ad->waited && i < all.n && answer == ADMISSION_OK; i++)
        if (all.v[i]->still && applies(all.v[i], ad)) answer = all.v[i]->still(ad);
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
