#include "server/subresources/connect.h"

#include "server/admission/plugin.h"
#include "server/media/convert.h"

struct connecting {
    void (*go)(struct call *c, void *user);
    void *user;
};

static void on_asked(struct admission *ad, int answer) {
    struct connecting *x = ad->user;
    if (answer != ADMISSION_OK) {
        admission_refused(ad, answer);
        return;
    }
    admission_over(ad, false);
    x->go(ad->c, x->user);
}

void connect_admit(struct call *c, const char *ns, const char *name,
                   void (*go)(struct call *c, void *user), void *user) {
    struct object *o = c->resource ? resource_get(c->resource, ns, name) : NULL;
    struct api_object *old = NULL;
    struct err err;
    if (!o) {
        reply_not_found(c, name);
        return;
    }
    if (api_object_decode(c->a, storage_kind(c->kind), object_json(o), &old, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    struct connecting *x = ARENA_NEW(c->a, struct connecting);
    *x = (struct connecting){go, user};
    struct admission *ad = admission_new(c, ADMIT_CONNECT, o, old);
    ad->name = name;
    ad->user = x;
    admission_ask(ad, on_asked);
}
