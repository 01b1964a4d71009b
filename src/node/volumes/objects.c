#include "node/volumes/objects.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/own.h"
#include "base/vec.h"

struct entry {
    struct objects *owner;
    char *key, *ns, *name;
    const struct api_kind *kind;
    struct informer *informer;
    VEC(struct pod *) holders;
};

struct objects {
    struct api_client *client;
    void (*changed)(struct pod *holder);
    struct map entries; /* "plural/ns/name" → struct entry */
};

struct objects *objects_new(struct api_client *c, void (*changed)(struct pod *holder)) {
    struct objects *o = calloc(1, sizeof *o);
    if (!o) abort();
    o->client = c;
    o->changed = changed;
    return o;
}

static void entry_free(struct entry *e) {
    informer_free(e->informer);
    vec_done(&e->holders);
    free(e->key);
    free(e->ns);
    free(e->name);
    free(e);
}

static void on_event(void *user, enum informer_event e, const struct api_object *now,
                     const struct api_object *old) {
    struct entry *entry = user;
    for (size_t i = 0; i < entry->holders.n; i++) entry->owner->changed(entry->holders.v[i]);
}

static char *copy(const char *s) {
    char *r = strdup(s);
    if (!r) abort();
    return r;
}

static struct entry *entry_make(struct objects *o, const struct api_kind *k, const char *key,
                                const char *ns, const char *name) {
    struct entry *e = calloc(1, sizeof *e);
    if (!e) abort();
    e->owner = o;
    e->kind = k;
    e->key = copy(key), e->ns = copy(ns), e->name = copy(name);
    map_put(&o->entries, slice_of(key), e);
    OWN(buf_done) struct buf fields = {0};
    buf_printf(&fields, "metadata.namespace=%s,metadata.name=%s", ns, name);
    e->informer = informer_new(o->client, k, fields.p, NULL, on_event, e);
    return e;
}

enum lookup objects_get(struct objects *o, struct pod *p, const struct api_kind *k, const char *ns,
                        const char *name, const struct api_object **ret) {
    OWN(buf_done) struct buf key = {0};
    buf_printf(&key, "%s/%s/%s", k->plural, ns, name);
    struct entry *e = map_get(&o->entries, buf_view(&key));
    if (!e) e = entry_make(o, k, key.p, ns, name);
    bool held = false;
    for (size_t i = 0; i < e->holders.n && !held; i++) held = e->holders.v[i] == p;
    if (!held) vec_push(&e->holders, p);
    *ret = informer_get(e->informer, ns, name);
    if (*ret) return LOOKUP_FOUND;
    return informer_synced(e->informer) ? LOOKUP_MISSING : LOOKUP_PENDING;
}

void objects_release(struct objects *o, struct pod *p) {
    VEC(struct entry *) dead = {0};
    size_t at = 0;
    struct map_entry *m;
    while ((m = map_next(&o->entries, &at))) {
        struct entry *e = m->value;
        for (size_t i = 0; i < e->holders.n; i++) {
            if (e->holders.v[i] != p) continue;
            vec_swap_remove(&e->holders, i);
            break;
        }
        if (!e->holders.n) vec_push(&dead, e);
    }
    for (size_t i = 0; i < dead.n; i++) {
        map_del(&o->entries, slice_of(dead.v[i]->key));
        entry_free(dead.v[i]);
    }
    vec_done(&dead);
}
