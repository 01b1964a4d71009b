#include "server/connect.h"

#include "server/admission/plugin.h"
#include "server/convert.h"

struct connecting {
    void (*go)(struct call *c, void *user);
    void *user;
};

static void over(struct admission *ad, int answer) {
    struct connecting *x = ad->user;
    admission_settle(ad, false);
    object_unref(ad->current);
    if (answer == ADMISSION_OK)
        x->go(ad->c, x->user);
    else if (answer < 0)
        reply_error(ad->c, &ad->err);
}

static void on_mutated(struct admission *ad, int answer) {
    if (answer == ADMISSION_OK)
        admission_validate(ad, over);
    else
        over(ad, answer);
}

void connect_admit(struct call *c, const char *ns, const char *name,
                   void (*go)(struct call *c, void *user), void *user) {
    struct object *o = c->resource ? resource_get(c->resource, ns, name) : NULL;
    struct api_object *old = NULL;
    struct err err;
    if (o && api_object_decode(c->a, storage_kind(c->kind), object_json(o), &old, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    struct connecting *x = ARENA_NEW(c->a, struct connecting);
    *x = (struct connecting){go, user};
    struct admission *ad = ARENA_NEW(c->a, struct admission);
    *ad = (struct admission){.c = c,
                             .api = c->api,
                             .a = c->a,
                             .operation = ADMIT_CONNECT,
                             .kind = storage_kind(c->kind),
                             .old = old,
                             .current = o ? object_ref(o) : NULL,
                             .subresource = c->route.subresource,
                             .ns = ns,
                             .name = name,
                             .user = x};
    admission_mutate(ad, on_mutated);
}
