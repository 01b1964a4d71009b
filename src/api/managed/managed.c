#include "api/managed/managed.h"

#include <stdlib.h>

#include "api/managed/merge.h"
#include "api/managed/reconcile.h"
#include "base/limits.h"
#include "base/own.h"

struct manager {
    managed_entry e;
    struct fields set;
    bool changed; /* set is not what e.fields_v1 says */
};
struct managers {
    struct manager *v;
    size_t n;
};

static bool is_apply(const managed_entry *e) { return str_eq(e->operation, "Apply"); }

static bool same_manager(const managed_entry *x, const managed_entry *y) {
    return str_eq(x->manager, y->manager) && str_eq(x->operation, y->operation) &&
           str_eq(x->subresource, y->subresource) &&
           (is_apply(x) || str_eq(x->api_version, y->api_version));
}

static struct managers load(const struct managed_write *w, const managed_list *l) {
    struct managers out = {0};
    struct reconcile r = {.a = w->a, .shape = w->shape, .live = w->before};
    for (size_t i = 0; i < l->n; i++) {
        struct manager *m = ARENA_PUSH(w->a, &out);
        m->e = l->v[i];
        if (fields_parse(w->a, m->e.fields_v1, true, &m->set, NULL) < 0)
            out.n--;
        else if (w->reconcile && w->before.n)
            m->changed = fields_reconcile(&r, &m->set, &m->set);
    }
    return out;
}

static struct manager *find(struct managers *ms, const managed_entry *e) {
    for (size_t i = 0; i < ms->n; i++)
        if (same_manager(&ms->v[i].e, e)) return &ms->v[i];
    return NULL;
}

static managed_entry entry_of(const struct managed_write *w, const char *operation) {
    return (managed_entry){.manager = str_or(w->manager, "unknown"),
                           .operation = operation,
                           .api_version = w->api_version,
                           .time = w->now,
                           .fields_type = "FieldsV1",
                           .subresource = w->subresource};
}

/* ---- the list of entries ---- */

static int order_text(const char *x, const char *y) { return strcmp(x ? x : "", y ? y : ""); }

static int order(const void *x, const void *y) {
    const managed_entry *one = x, *two = y;
    int c = order_text(one->operation, two->operation);
    if (!c) c = order_text(one->time, two->time);
    if (!c) c = order_text(one->manager, two->manager);
    if (!c) c = order_text(one->api_version, two->api_version);
    return c ? c : order_text(one->subresource, two->subresource);
}

static void store_entry(struct arena *a, struct managed *out, const struct manager *m) {
    managed_entry *e = ARENA_PUSH(a, &out->entries);
    *e = m->e;
    if (!m->changed) return;
    OWN(buf_give) struct buf b = buf_take();
    buf_reserve(&b, 2000); /* enough for most */
    fields_write(&b, &m->set);
    e->fields_v1 = slice_from(arena_copy(a, b.p, b.n), b.n);
}

/* Oldest first. */
static int order_age(const void *x, const void *y) {
    const struct manager *one = *(struct manager *const *)x, *two = *(struct manager *const *)y;
    int c = order_text(one->e.time, two->e.time);
    return c ? c : order_text(one->e.manager, two->e.manager);
}

/* The entry that takes in older ones of a version: one there is, or the first of the oldest. */
static struct manager *bucket(struct managers *ms, struct manager *const *old, size_t n,
                              const char *version) {
    const managed_entry wanted = {
        .manager = "ancient-changes", .operation = "Update", .api_version = version};
    struct manager *m = find(ms, &wanted);
    for (size_t i = 0; i < n && !m; i++)
        if (str_eq(old[i]->e.api_version, version)) m = old[i];
    return m;
}

/* Joins the oldest Update entries of each version under one name until there are few enough. */
static void cap(struct arena *a, struct managers *ms) {
    struct manager **old = ARENA_ARRAY(a, struct manager *, ms->n + 1);
    size_t n = 0;
    for (size_t i = 0; i < ms->n; i++)
        if (!is_apply(&ms->v[i].e) && !fields_empty(&ms->v[i].set)) old[n++] = &ms->v[i];
    if (n <= MANAGED_UPDATE_ENTRIES) return;
    qsort(old, n, sizeof *old, order_age);
    size_t left = n;
    for (size_t i = 0; i < n && left > MANAGED_UPDATE_ENTRIES; i++) {
        struct manager *into = bucket(ms, old, n, old[i]->e.api_version);
        if (into == old[i]) continue;
        into->set = fields_union(a, &into->set, &old[i]->set);
        into->changed = true;
        into->e.manager = "ancient-changes";
        into->e.subresource = NULL;
        into->e.time = old[i]->e.time;
        old[i]->set = (struct fields){0};
        left--;
    }
}

static void save(struct arena *a, struct managers *ms, const managed_entry *self,
                 struct managed *ret) {
    cap(a, ms);
    *ret = (struct managed){0};
    for (size_t i = 0; i < ms->n; i++)
        if (!fields_empty(&ms->v[i].set)) store_entry(a, ret, &ms->v[i]);
    for (size_t i = 0; self && i < ret->entries.n; i++)
        if (same_manager(&ret->entries.v[i], self)) ret->touched = &ret->entries.v[i];
}

void managed_stamp(struct managed *m, const char *now) {
    if (m->touched) m->touched->time = now;
    m->touched = NULL;
    if (m->entries.n > 1) qsort(m->entries.v, m->entries.n, sizeof *m->entries.v, order);
}

/* ---- ordinary writes ---- */

/* Others lose what this write changes, everybody what it removes. */
static void yield(struct arena *a, struct managers *ms, const managed_entry *self,
                  const struct fields *changed, const struct fields *removed) {
    for (size_t i = 0; i < ms->n; i++) {
        struct manager *m = &ms->v[i];
        struct fields set = m->set;
        if (!same_manager(&m->e, self)) set = fields_difference(a, &set, changed);
        if (!fields_empty(removed)) set = fields_cut(a, &set, removed);
        if (fields_equal(&set, &m->set)) continue;
        m->set = set;
        m->changed = true;
    }
}

void managed_update(const struct managed_write *w, const managed_list *was, struct slice after,
                    struct managed *ret) {
    struct fields changed, removed;
    bool created = !w->before.n;
    *ret = (struct managed){.entries = *was};
    if (!created && !was->n) return; /* nobody was tracked: nobody is */
    fields_compare(w->a, w->shape, w->part, created ? w->empty : w->before, after, &changed,
                   &removed);
    if (fields_empty(&changed) && fields_empty(&removed)) return;
    struct managers ms = load(w, was);
    managed_entry self = entry_of(w, "Update");
    yield(w->a, &ms, &self, &changed, &removed);
    if (!fields_empty(&changed)) {
        struct manager *m = find(&ms, &self);
        if (!m) {
            m = ARENA_PUSH(w->a, &ms);
            m->e = self;
        }
        struct fields set = fields_union(w->a, &m->set, &changed);
        if (!fields_equal(&set, &m->set)) m->changed = true;
        m->set = set;
    }
    save(w->a, &ms, fields_empty(&changed) ? NULL : &self, ret);
}

/* ---- entries that a client sent ---- */

static bool is_blank(const managed_entry *e) {
    return str_empty(e->manager) && str_empty(e->operation) && str_empty(e->api_version) &&
           str_empty(e->time) && str_empty(e->fields_type) && str_empty(e->subresource) &&
           !e->fields_v1.n;
}

bool managed_is_reset(const managed_list *sent) {
    return sent->n == 0 ? sent->v != NULL : sent->n == 1 && is_blank(&sent->v[0]);
}

bool managed_same(const managed_list *x, const managed_list *y) {
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!same_manager(&x->v[i], &y->v[i]) || !str_eq(x->v[i].time, y->v[i].time) ||
            !str_eq(x->v[i].api_version, y->v[i].api_version) ||
            !slice_eq(x->v[i].fields_v1, y->v[i].fields_v1))
            return false;
    return true;
}

int managed_accept(struct arena *a, const managed_list *sent, managed_list *ret) {
    struct managers ms = {0};
    struct managed out;
    if (sent->n > MANAGED_SENT_ENTRIES) return -1;
    for (size_t i = 0; i < sent->n; i++) {
        const managed_entry *e = &sent->v[i];
        struct fields set;
        if ((!is_apply(e) && !str_eq(e->operation, "Update")) ||
            !str_eq(e->fields_type, "FieldsV1") || str_empty(e->api_version) ||
            (e->manager && strlen(e->manager) > MANAGED_NAME_BYTES) ||
            (e->subresource && strlen(e->subresource) > LIMIT_NAME_BYTES) ||
            fields_parse(a, e->fields_v1, false, &set, NULL) < 0)
            return -1;
        struct manager *m = find(&ms, e);
        if (!m) {
            m = ARENA_PUSH(a, &ms);
            m->e = *e;
        }
        m->set = fields_union(a, &m->set, &set);
        m->changed = true;
    }
    save(a, &ms, NULL, &out);
    managed_stamp(&out, NULL);
    *ret = out.entries;
    return 0;
}

/* ---- apply ---- */

/* An object that nobody was tracked of gets one owner of all it has. */
static managed_list base_entries(const struct managed_apply *m) {
    if (m->was->n || !m->w.before.n) return *m->was;
    struct managed_write first = m->w;
    struct managed out;
    first.manager = "before-first-apply";
    first.subresource = NULL;
    first.before = SLICE("");
    managed_update(&first, m->was, m->w.before, &out);
    managed_stamp(&out, m->w.now);
    return out.entries;
}

int managed_merge(struct managed_apply *m, const json_t *live, const json_t *config, json_t **ret,
                  struct err *err) {
    struct arena *a = m->w.a;
    OWN(buf_done) struct buf text = {0};
    json_canonical(&text, config);
    struct slice json = slice_from(arena_copy(a, text.p, text.n), text.n);
    int rc = fields_of_config(a, m->w.shape, m->w.part, json, &m->config, err);
    if (rc < 0) return rc;
    m->base = base_entries(m);
    managed_entry self = entry_of(&m->w, "Apply");
    struct managers ms = load(&m->w, &m->base);
    struct fields owned = m->config, last = {0};
    for (size_t i = 0; i < ms.n; i++) {
        if (same_manager(&ms.v[i].e, &self))
            last = ms.v[i].set;
        else
            owned = fields_union(a, &owned, &ms.v[i].set);
    }
    json_t *merged = live ? fields_merge(a, m->w.shape, live, config) : json_copy((json_t *)config);
    fields_prune(a, m->w.shape, merged, &last, &owned);
    *ret = merged;
    return 0;
}

struct collector {
    struct arena *a;
    const managed_entry *with;
    struct managed_conflict_list *out;
};

static void collect(void *user, struct slice path) {
    struct collector *c = user;
    if (c->out->n >= LIMIT_CAUSES) return;
    *ARENA_PUSH(c->a, c->out) = (struct managed_conflict){c->with, arena_strn(c->a, path)};
}

static void conflicts_of(const struct managed_apply *m, const struct managers *ms,
                         const managed_entry *self, const struct fields *changed,
                         struct managed_conflict_list *out) {
    struct arena *a = m->w.a;
    for (size_t i = 0; i < ms->n; i++) {
        if (same_manager(&ms->v[i].e, self)) continue;
        struct fields both = fields_intersection(a, &ms->v[i].set, changed);
        if (m->allowed) both = fields_difference(a, &both, m->allowed);
        managed_entry *with = arena_copy(a, &ms->v[i].e, sizeof ms->v[i].e);
        struct collector c = {a, with, out};
        fields_paths(&both, collect, &c);
    }
}

int managed_applied(struct managed_apply *m, struct slice after, struct managed *ret,
                    struct managed_conflict_list *ret_conflicts) {
    struct arena *a = m->w.a;
    struct fields changed, removed;
    fields_compare(a, m->w.shape, m->w.part, m->w.before.n ? m->w.before : m->w.empty, after,
                   &changed, &removed);
    struct managers ms = load(&m->w, &m->base);
    managed_entry self = entry_of(&m->w, "Apply");
    *ret_conflicts = (struct managed_conflict_list){0};
    if (!m->force) conflicts_of(m, &ms, &self, &changed, ret_conflicts);
    if (ret_conflicts->n) return -1;
    yield(a, &ms, &self, &changed, &removed);
    struct manager *mine = find(&ms, &self);
    if (!mine) {
        mine = ARENA_PUSH(a, &ms);
        mine->e = self;
    }
    mine->changed |= !fields_equal(&mine->set, &m->config);
    mine->set = m->config;
    mine->e.api_version = m->w.api_version;
    save(a, &ms, &self, ret);
    return 0;
}

const char *managed_entry_text(struct arena *a, const managed_entry *e) {
    const char *text = arena_printf(a, "\"%s\"", str_or(e->manager, ""));
    if (!str_empty(e->subresource))
        text = arena_printf(a, "%s with subresource \"%s\"", text, e->subresource);
    if (is_apply(e)) return text;
    return arena_printf(a, "%s using %s", text, str_or(e->api_version, ""));
}

const char *managed_conflicts_text(struct arena *a, const struct managed_conflict_list *l) {
    OWN(buf_done) struct buf b = {0};
    const managed_entry *with = NULL;
    if (l->n == 1)
        return arena_printf(a, "Apply failed with 1 conflict: conflict with %s: %s",
                            managed_entry_text(a, l->v[0].with), l->v[0].path);
    buf_printf(&b, "Apply failed with %zu conflicts: ", l->n);
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].with != with)
            buf_printf(&b, "%sconflicts with %s:", with ? "\n" : "",
                       managed_entry_text(a, l->v[i].with));
        with = l->v[i].with;
        buf_printf(&b, "\n- %s", l->v[i].path);
    }
    return arena_strn(a, buf_view(&b));
}
