/* How init tells its status to the command line: the message in both directions. */
#include "base/own.h"
#include "base/pack.h"
#include "proc/init.h"
#include "proc/settings.h"

void init_status_pack(struct buf *b, const struct init_status *s) {
    OWN(buf_done) struct buf text = {0};
    settings_write(&text, &s->settings);
    pack_u32(b, s->pid);
    pack_u64(b, s->uptime_ms);
    pack_u64(b, s->ready_ms);
    pack_slice(b, buf_view(&text));
    pack_u32(b, s->n_services);
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct init_service_status *v = &s->services[i];
        pack_str(b, v->name);
        pack_u32(b, v->pid);
        pack_u32(b, v->restarts);
        pack_u64(b, v->uptime_ms);
        pack_bool(b, v->ready);
        pack_str(b, v->failure);
    }
}

int init_status_unpack(struct slice body, struct arena *a, struct init_status *ret,
                       struct err *err) {
    struct unpack u = unpack_init(body);
    struct init_status s = {0};
    s.pid = unpack_u32(&u);
    s.uptime_ms = unpack_u64(&u);
    s.ready_ms = unpack_u64(&u);
    struct slice text = unpack_slice(&u);
    s.n_services = unpack_u32(&u);
    if (u.bad || s.n_services > 64) return err_set(err, ERR_INTERNAL, "malformed status from init");
    s.services = ARENA_ARRAY(a, struct init_service_status, s.n_services);
    for (uint32_t i = 0; i < s.n_services; i++) {
        struct init_service_status *v = &s.services[i];
        v->name = unpack_str(&u, a);
        v->pid = unpack_u32(&u);
        v->restarts = unpack_u32(&u);
        v->uptime_ms = unpack_u64(&u);
        v->ready = unpack_bool(&u);
        v->failure = unpack_str(&u, a);
    }
    if (unpack_end(&u) < 0) return err_set(err, ERR_INTERNAL, "malformed status from init");
    int r = settings_read(text, a, &s.settings, err);
    if (r < 0) return r;
    *ret = s;
    return 0;
}
