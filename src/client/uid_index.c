#include "client/uid_index.h"

void uid_index_done(struct uid_index *x) { set_done(&x->entries); }

static bool has_uid(const struct set_item *item, const void *uid) {
    return strcmp(cached_uid((const struct cached *)item), uid) == 0;
}

struct cached *uid_index_get(const struct uid_index *x, const char *uid) {
    return set_find(&x->entries, set_hash(slice_of(uid)), has_uid, uid);
}

void uid_index_put(struct uid_index *x, struct cached *e) {
    e->by_uid.hash = set_hash(slice_of(cached_uid(e)));
    struct cached *other = set_find(&x->entries, e->by_uid.hash, has_uid, cached_uid(e));
    if (other)
        set_replace(&x->entries, &other->by_uid, &e->by_uid);
    else
        set_add(&x->entries, &e->by_uid);
}

void uid_index_remove(struct uid_index *x, const struct api_kind *k,
                      const struct api_object *like) {
    const struct meta_v1_object_meta *m = &like->metadata;
    const struct cached *e = uid_index_get(x, m->uid);
    if (e && cached_kind(e) == k && strcmp(cached_ns(e), str_or(m->namespace, "")) == 0 &&
        strcmp(cached_name(e), str_or(m->name, "")) == 0)
        set_remove(&x->entries, &e->by_uid);
}
