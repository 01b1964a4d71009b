/* managedFields of a write: who is the manager, and what the entries become. */
#include "api/managed/managed.h"

#include "api/table.h"
#include "base/own.h"
#include "server/media/body.h"
#include "server/media/convert.h"
#include "server/verbs/write.h"

/* Atoll's own services send one agent; who they are is known better. */
static const char *own_service(struct call *c) {
    static const char head[] = "system:atoll:";
    if (str_starts(c->user.name, head))
        return arena_printf(c->a, "atoll-%s", c->user.name + sizeof head - 1);
    return str_starts(c->user.name, "system:node:") ? "atoll-node" : "atoll";
}

/* What clients call themselves up to the first '/', as far as it can be printed. */
static const char *agent_name(struct call *c) {
    const char *agent = str_or(http_header(&c->r->headers, "user-agent"), "");
    OWN(buf_done) struct buf b = {0};
    for (; *agent && *agent != '/' && b.n < MANAGED_NAME_BYTES; agent++)
        if (*agent >= 0x20 && *agent < 0x7f) buf_char(&b, *agent);
    if (b.n && str_eq(b.p, "atoll")) return own_service(c);
    return b.n ? arena_strn(c->a, buf_view(&b)) : NULL;
}

/* Types of the tables live for ever, so does what was encoded last of them. */
static struct slice empty_object(struct arena *a, const struct api_kind *k) {
    static const struct api_type *last;
    static struct buf json;
    if (k->custom || k->type != last) {
        buf_clear(&json);
        api_encode(&json, k->type, api_new(a, k->type));
        last = k->custom ? NULL : k->type;
    }
    return slice_from(arena_copy(a, json.p, json.n), json.n);
}

/* Status writes of custom resources do not even take labels. */
static enum fields_part part_of(const struct api_kind *k, const char *subresource) {
    if (str_eq(subresource, "status")) return k->custom ? FIELDS_STATUS_ONLY : FIELDS_STATUS;
    return k->flags & API_HAS_STATUS ? FIELDS_MAIN : FIELDS_ALL;
}

struct managed_write write_manager(struct write *w) {
    struct call *c = w->c;
    const char *manager = http_query_get(&c->r->query, "fieldManager");
    return (struct managed_write){
        .a = c->a,
        .shape = shape_of_kind(c->kind),
        .part = part_of(c->kind, w->subresource),
        .reconcile = c->kind->custom != NULL, /* those of built-in kinds stay */
        .manager = str_empty(manager) ? agent_name(c) : manager,
        .api_version = c->kind->api_version,
        .subresource = *w->subresource ? w->subresource : NULL,
        .now = time_now(c),
        .empty = empty_object(c->a, storage_kind(c->kind)),
    };
}

/* The entries that this write goes on from. */
static managed_list entries_before(struct write *w) {
    const managed_list none = {0}, *sent = &w->sent_fields;
    const managed_list *was = w->old ? &w->old->metadata.managed_fields : &none;
    managed_list accepted;
    if (*w->subresource || managed_same(sent, was)) return *was;
    if (managed_is_reset(sent)) return none;
    if (sent->n && managed_accept(w->c->a, sent, &accepted) == 0 && accepted.n) return accepted;
    return *was;
}

void write_track(struct write *w) {
    struct call *c = w->c;
    struct meta_v1_object_meta *m = &w->object->metadata;
    if (!w->applied && w->untracked) {
        w->managed = (struct managed){.entries = m->managed_fields};
    } else if (!w->applied) {
        OWN(buf_give) struct buf json = buf_take();
        struct managed_write by = write_manager(w);
        managed_list was = entries_before(w);
        if (w->current) by.before = object_json(w->current);
        by.shape = shape_of_kind(storage_kind(c->kind));
        if (!c->kind->custom)
            by.api_version = storage_kind(c->kind)->api_version; /* of the fields */
        m->managed_fields = (managed_list){0};
        buf_reserve(&json, by.before.n);
        api_object_encode(&json, storage_kind(c->kind), w->object);
        managed_update(&by, &was, buf_view(&json), &w->managed);
    }
    m->managed_fields = w->managed.entries;
}
