#include "scheduler/place/profiles.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/own.h"
#include "proto/yaml.h"

/* ---- which plugins ---- */

/* Upstream's that do nothing here which one could leave out: what they do has its place elsewhere.
 */
static const char *const elsewhere[] = {"PrioritySort", "DefaultBinder", "SchedulingGates",
                                        "DynamicResources", "DefaultPreemption"};

static bool is_elsewhere(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
        if (str_eq(name, elsewhere[i])) return true;
    return false;
}

static const struct sched_plugin *plugin_named(const char *name) {
    const struct sched_plugin *list[SCHED_PLUGINS_MAX];
    size_t n = sched_plugins(list);
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i]->name, name)) return list[i];
    return NULL;
}

struct making { /* one profile */
    struct arena *a;
    struct sched_profile *p;
    char at[64]; /* profiles[0] */
    struct err *err;
};

enum point { POINT_NONE = 0, POINT_FILTER = 1, POINT_SCORE = 2 };
struct point_of { /* a member of Plugins, and what it stands for here */
    const char *name;
    size_t offset;
    unsigned acts;
};
#define POINT(json, field, acts)                                                                   \
    { json, offsetof(struct kubescheduler_v1_plugins, field), acts }
/* All at once first, so that a single point has the last word. */
static const struct point_of points[] = {
    POINT("multiPoint", multi_point, POINT_FILTER | POINT_SCORE),
    POINT("preEnqueue", pre_enqueue, POINT_NONE),
    POINT("queueSort", queue_sort, POINT_NONE),
    POINT("preFilter", pre_filter, POINT_NONE),
    POINT("filter", filter, POINT_FILTER),
    POINT("postFilter", post_filter, POINT_NONE),
    POINT("preScore", pre_score, POINT_NONE),
    POINT("score", score, POINT_SCORE),
    POINT("reserve", reserve, POINT_NONE),
    POINT("permit", permit, POINT_NONE),
    POINT("preBind", pre_bind, POINT_NONE),
    POINT("bind", bind, POINT_NONE),
    POINT("postBind", post_bind, POINT_NONE),
};

static struct sched_step *step_add(struct sched_profile *p, const struct sched_plugin *plugin) {
    size_t at = 0;
    while (at < p->n && (p->v[at].plugin->order < plugin->order ||
                         (p->v[at].plugin->order == plugin->order &&
                          strcmp(p->v[at].plugin->name, plugin->name) <= 0))) {
        if (p->v[at].plugin == plugin) return &p->v[at];
        at++;
    }
    memmove(&p->v[at + 1], &p->v[at], (p->n - at) * sizeof p->v[0]);
    p->n++;
    p->v[at] = (struct sched_step){.plugin = plugin, .weight = plugin->weight};
    return &p->v[at];
}

static void take_away(struct sched_profile *p, const char *name, const struct point_of *at) {
    bool all = str_eq(name, "*");
    if (str_eq(at->name, "postFilter") || str_eq(at->name, "multiPoint"))
        p->without_preemption |= all || str_eq(name, "DefaultPreemption");
    for (size_t i = 0; i < p->n; i++) {
        if (!all && !str_eq(p->v[i].plugin->name, name)) continue;
        if (at->acts & POINT_FILTER) p->v[i].filter = false;
        if (at->acts & POINT_SCORE) p->v[i].score = false;
    }
}

static int unknown(const struct making *m, const struct point_of *at, const char *list, size_t i,
                   const char *name) {
    err_field(m->err, ERR_INVALID,
              arena_printf(m->a, "%s.plugins.%s.%s[%zu].name", m->at, at->name, list, i),
              "Invalid value: \"%.100s\": no plugin has that name", name);
    return -EINVAL;
}

static int apply_point(const struct making *m, const struct point_of *at,
                       const struct kubescheduler_v1_plugin_set *set) {
    for (size_t i = 0; i < set->disabled.n; i++) {
        const char *name = set->disabled.v[i].name;
        if (!str_eq(name, "*") && !plugin_named(name) && !is_elsewhere(name))
            return unknown(m, at, "disabled", i, name);
        take_away(m->p, name, at);
    }
    for (size_t i = 0; i < set->enabled.n; i++) {
        const struct kubescheduler_v1_plugin *wanted = &set->enabled.v[i];
        const struct sched_plugin *plugin = plugin_named(wanted->name);
        if (str_eq(wanted->name, "DefaultPreemption")) m->p->without_preemption = false;
        if (!plugin && !is_elsewhere(wanted->name))
            return unknown(m, at, "enabled", i, wanted->name);
        if (!plugin || !at->acts) continue;
        struct sched_step *step = step_add(m->p, plugin);
        if (at->acts & POINT_FILTER) step->filter |= plugin->filter != NULL;
        if (!(at->acts & POINT_SCORE) || !plugin->score) continue;
        step->score = true;
        if (wanted->weight || !step->weight) step->weight = MAX_OF(wanted->weight, 1);
    }
    return 0;
}

/* ---- arguments ---- */

static int first_cause(const struct api_causes *causes, const char *at, struct err *err) {
    char field[256];
    snprintf(field, sizeof field, "%s%s%s", at, *at ? "." : "", causes->v[0].field);
    return err_field(err, ERR_INVALID, field, "%s", causes->v[0].message);
}

/* The field of err lies within `at`. */
static int deeper(struct err *err, const char *at) {
    char field[256];
    snprintf(field, sizeof field, "%.120s%s%.120s", at, *err->field ? "." : "", err->field);
    memcpy(err->field, field, sizeof field);
    return -EINVAL;
}

static int decode_args(const struct making *m, const struct kubescheduler_v1_plugin_config *c,
                       const struct sched_plugin *plugin, const char *at, void **ret) {
    struct api_causes causes = {.a = m->a};
    struct api_decode_opts strict = {.unknown = API_UNKNOWN_STRICT};
    if (api_decode(m->a, plugin->args_type, c->args, &strict, ret, m->err) < 0)
        return deeper(m->err, at);
    api_default(m->a, plugin->args_type, *ret);
    api_validate(plugin->args_type, *ret, NULL, "", &causes);
    return causes.n ? first_cause(&causes, at, m->err) : 0;
}

static int apply_config(const struct making *m, const struct kubescheduler_v1_plugin_config *c,
                        size_t i) {
    const struct sched_plugin *plugin = plugin_named(c->name);
    const char *at = arena_printf(m->a, "%s.pluginConfig[%zu]", m->at, i);
    void *args = NULL;
    if (!plugin && is_elsewhere(c->name)) return 0;
    if (!plugin)
        return err_field(m->err, ERR_INVALID, arena_printf(m->a, "%s.name", at),
                         "Invalid value: \"%.100s\": no plugin has that name", c->name);
    at = arena_printf(m->a, "%s.args", at);
    if (!c->args.p) return 0;
    if (!plugin->args_type)
        return err_field(m->err, ERR_INVALID, at, "Forbidden: %s takes no arguments", plugin->name);
    if (decode_args(m, c, plugin, at, &args) < 0) return -EINVAL;
    const void *made = sched_configure(m->a, plugin, args, m->err);
    if (!made && *m->err->text) return deeper(m->err, at);
    for (size_t j = 0; j < m->p->n; j++)
        if (m->p->v[j].plugin == plugin) m->p->v[j].args = made;
    return 0;
}

/* ---- the whole ---- */

static int make_profile(struct making *m, const struct kubescheduler_v1_kube_scheduler_profile *c) {
    *m->p = *sched_default_profile();
    m->p->name = arena_str(m->a, c->scheduler_name);
    for (size_t i = 0; c->plugins && i < ARRAY_LEN(points); i++) {
        const void *set = (const char *)c->plugins + points[i].offset;
        if (apply_point(m, &points[i], set) < 0) return -EINVAL;
    }
    /* What came in by name has its arguments too. */
    for (size_t i = 0; i < m->p->n; i++)
        if (m->p->v[i].plugin->by_name_only)
            m->p->v[i].args = sched_configure(m->a, m->p->v[i].plugin, NULL, m->err);
    for (size_t i = 0; i < c->plugin_config.n; i++)
        if (apply_config(m, &c->plugin_config.v[i], i) < 0) return -EINVAL;
    return 0;
}

static int decode(struct arena *a, struct slice text,
                  const struct kubescheduler_v1_kube_scheduler_configuration **ret,
                  struct err *err) {
    OWN(buf_done) struct buf json = {0};
    struct api_causes causes = {.a = a};
    struct api_decode_opts strict = {.unknown = API_UNKNOWN_STRICT};
    void *made;
    if (text.n > LIMIT_SCHEDULER_CONFIGURATION)
        return err_set(err, ERR_TOO_LARGE, "larger than %d bytes", LIMIT_SCHEDULER_CONFIGURATION);
    int rc = yaml_to_json(text, &json, err);
    if (rc < 0) return rc;
    rc = api_decode(a, &kubescheduler_v1_kube_scheduler_configuration_type,
                    slice_of(arena_strn(a, buf_view(&json))), &strict, &made, err);
    if (rc < 0) return rc;
    struct kubescheduler_v1_kube_scheduler_configuration *c = made;
    api_validate(&kubescheduler_v1_kube_scheduler_configuration_type, c, NULL, "", &causes);
    if (causes.n) return first_cause(&causes, "", err);
    if (c->extenders.n)
        return err_field(err, ERR_INVALID, "extenders", "Forbidden: extenders are not supported");
    if (c->profiles.n > SCHED_PROFILES_MAX)
        return err_field(err, ERR_INVALID, "profiles", "Too many: %zu: must have at most %d items",
                         c->profiles.n, SCHED_PROFILES_MAX);
    *ret = c;
    return 0;
}

int sched_profiles_parse(struct slice text, struct sched_profiles **ret, struct err *err) {
    const struct kubescheduler_v1_kube_scheduler_configuration *c = NULL;
    struct sched_profiles *p = calloc(1, sizeof *p);
    struct err ignored;
    if (!p) abort();
    if (!err) err = &ignored;
    *err = (struct err){0};
    p->arena = arena_new();
    int rc = decode(p->arena, text, &c, err);
    p->v = ARENA_ARRAY(p->arena, struct sched_profile, rc < 0 ? 1 : c->profiles.n + 1);
    for (size_t i = 0; rc == 0 && i < c->profiles.n; i++) {
        struct making m = {.a = p->arena, .p = &p->v[i], .err = err};
        snprintf(m.at, sizeof m.at, "profiles[%zu]", i);
        rc = make_profile(&m, &c->profiles.v[i]);
        p->n++;
    }
    if (rc < 0) {
        sched_profiles_free(p);
        return rc;
    }
    if (!p->n) p->v[p->n++] = *sched_default_profile();
    *ret = p;
    return 0;
}

int sched_profiles_of(const struct core_v1_config_map *map, struct sched_profiles **ret,
                      struct err *err) {
    const char *text =
        map->data.n == 1 ? map->data.v[0].value : str_map_get(&map->data, SCHED_CONFIGURATION_KEY);
    if (!text)
        return err_field(err, ERR_INVALID, "data[" SCHED_CONFIGURATION_KEY "]", "Required value");
    return sched_profiles_parse(slice_of(text), ret, err);
}

void sched_profiles_free(struct sched_profiles *p) {
    if (!p) return;
    arena_free(p->arena);
    free(p);
}

const struct sched_profile *sched_profile_named(const struct sched_profiles *p, const char *name) {
    if (!p) {
        const struct sched_profile *usual = sched_default_profile();
        return str_eq(name, usual->name) ? usual : NULL;
    }
    for (size_t i = 0; i < p->n; i++)
        if (str_eq(p->v[i].name, name)) return &p->v[i];
    return NULL;
}

const struct sched_profile *snapshot_profile(const struct snapshot *s, const char *name) {
    const struct sched_profile *p = sched_profile_named(s->profiles, name);
    return p ? p : sched_default_profile();
}

void snapshot_use_profiles(struct snapshot *s, const struct sched_profiles *p) {
    places_done(s);
    s->profiles = p;
}
