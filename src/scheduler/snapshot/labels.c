/* Labels of pods: what they make of a class. The keys are few and stored once. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/snapshot/snapshot.h"

struct label_key {
    struct set_item item;
    uint32_t users;
    char text[];
};

static bool is_key(const struct set_item *item, const void *key) {
    return str_eq(((const struct label_key *)item)->text, key);
}

static const char *key_use(struct snapshot *s, const char *text) {
    uint32_t hash = set_hash(slice_of(text));
    struct label_key *k = set_find(&s->label_keys, hash, is_key, text);
    if (!k) {
        size_t n = strlen(text) + 1;
        k = calloc(1, sizeof *k + n);
        if (!k) abort();
        k->item.hash = hash;
        memcpy(k->text, text, n);
        set_add(&s->label_keys, &k->item);
    }
    k->users++;
    return k->text;
}

static void key_release(struct snapshot *s, const char *text) {
    struct label_key *k = (struct label_key *)(uintptr_t)(text - offsetof(struct label_key, text));
    if (--k->users) return;
    set_remove(&s->label_keys, &k->item);
    free(k);
}

struct wanted {
    const struct pod_class *class;
    const struct str_map *map;
};

static bool is_wanted(const struct set_item *item, const void *key) {
    const struct pod_labels *l = (const struct pod_labels *)item;
    const struct wanted *w = key;
    bool same = l->class == w->class && l->map.n == w->map->n;
    for (size_t i = 0; i < l->map.n && same; i++)
        same = str_eq(l->map.v[i].key, w->map->v[i].key) &&
               str_eq(l->map.v[i].value, str_or(w->map->v[i].value, ""));
    return same;
}

static struct pod_labels *labels_new(struct snapshot *s, const struct str_map *map) {
    size_t text_n = 0;
    for (size_t i = 0; i < map->n; i++) text_n += strlen(str_or(map->v[i].value, "")) + 1;
    struct pod_labels *l = calloc(1, sizeof *l + map->n * sizeof *l->v + text_n);
    if (!l) abort();
    char *text = (char *)(l->v + map->n);
    for (size_t i = 0; i < map->n; i++) {
        const char *value = str_or(map->v[i].value, "");
        size_t n = strlen(value) + 1;
        l->v[i] = (struct str_pair){key_use(s, map->v[i].key), memcpy(text, value, n)};
        text += n;
    }
    l->map = (struct str_map){l->v, map->n};
    l->users = 1;
    return l;
}

struct pod_labels *labels_use(struct snapshot *s, const struct core_v1_pod *pod) {
    struct pod_class *c = class_use(s, pod);
    struct wanted w = {c, &pod->metadata.labels};
    OWN(buf_done) struct buf key = {0};
    buf_append(&key, &c->hash, sizeof c->hash);
    key_map(&key, w.map);
    uint32_t hash = set_hash(buf_view(&key));
    struct pod_labels *l = set_find(&s->labels, hash, is_wanted, &w);
    if (l) {
        l->users++;
        class_release(s, c);
        return l;
    }
    l = labels_new(s, w.map);
    l->item.hash = hash;
    l->class = c;
    l->gang = gang_use(s, c->namespace, &l->map);
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&s->term_by_key, &at)))
        if (term_matches(s, e->value, l)) vec_push(&l->matches, e->value);
    set_add(&s->labels, &l->item);
    return l;
}

void labels_release(struct snapshot *s, struct pod_labels *l) {
    if (--l->users) return;
    set_remove(&s->labels, &l->item);
    for (size_t i = 0; i < l->map.n; i++) key_release(s, l->v[i].key);
    gang_release(s, l->gang);
    vec_done(&l->matches);
    class_release(s, l->class);
    free(l);
}
