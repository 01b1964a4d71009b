#include "sp/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "sp/endpoints/endpoint.h"
#include "sp/links/edge.h"
#include "sp/sp_service.h"

typedef unsigned long long ull;

/* Subscriptions, which come from a role that only receives, are no messages. */
static void role_add(struct sp_role_figures *f, enum sp_role role, const struct sp_counters *c) {
    const struct sp_protocol *p = sp_protocol_of_role(role);
    f->messages += (p->sends ? c->messages_in : 0) + (p->receives ? c->messages_out : 0);
    f->bytes += (p->sends ? c->bytes_in : 0) + (p->receives ? c->bytes_out : 0);
    f->dropped += c->dropped;
}

static void all_add(struct sp_figures *f, enum sp_role role, const struct sp_counters *c) {
    const struct sp_protocol *p = sp_protocol_of_role(role);
    if (p->sends) {
        f->messages_in += c->messages_in;
        f->bytes_in += c->bytes_in;
    }
    if (p->receives) f->messages_out += c->messages_out;
    f->dropped += c->dropped;
    f->gaps += c->gaps;
}

void sp_figures_take(const struct sp_topology *t, struct sp_figures *ret) {
    *ret = (struct sp_figures){.wanted_links = t->edges.n};
    for (unsigned r = 0; r < SP_ROLE_COUNT; r++) all_add(ret, (enum sp_role)r, &t->gone[r]);
    for (size_t i = 0; i < t->pipes.n; i++) {
        const struct sp_pipe *p = t->pipes.v[i];
        if (!p) continue;
        all_add(ret, p->role, &p->counters);
        if (p->edge) {
            ret->links++;
            continue;
        }
        struct sp_role_figures *f = &ret->roles[p->role];
        ret->clients++;
        f->clients++;
        f->queued = MAX_OF(f->queued, (uint64_t)p->out.n);
        role_add(f, p->role, &p->counters);
    }
    for (unsigned r = 0; r < SP_ROLE_COUNT; r++)
        role_add(&ret->roles[r], (enum sp_role)r, &t->gone_local[r]);
    for (size_t i = 0; i < t->edges.n; i++)
        ret->connected_edges += t->edges.v[i]->peers > 0 || t->edges.v[i]->config->listen;
}

void sp_meters_look(struct sp_topology *t) {
    struct sp_figures f;
    uint64_t now = loop_now_ms(t->loop);
    sp_figures_take(t, &f);
    sp_meter_look(&t->meter, f.messages_in, f.bytes_in, now);
    for (unsigned r = 0; r < SP_ROLE_COUNT; r++)
        sp_meter_look(&t->meters[r], f.roles[r].messages, f.roles[r].bytes, now);
    for (size_t i = 0; i < t->edges.n; i++) {
        struct sp_counters c = {0};
        uint64_t queued, queued_bytes;
        sp_edge_sum(t->edges.v[i], &c, &queued, &queued_bytes);
        sp_meter_look(&t->edges.v[i]->meter, c.messages_in + c.messages_out,
                      c.bytes_in + c.bytes_out, now);
    }
}

static void role_line(const struct sp_topology *t, const struct sp_figures *f, enum sp_role role,
                      struct buf *out) {
    const struct sp_role_figures *r = &f->roles[role];
    buf_printf(out, "role %s clients=%llu messages=%llu messages_per_second=%llu",
               sp_protocol_of_role(role)->name, (ull)r->clients, (ull)r->messages,
               (ull)t->meters[role].messages_per_second);
    buf_printf(out, " bytes_per_second=%llu dropped=%llu queued=%llu\n",
               (ull)t->meters[role].bytes_per_second, (ull)r->dropped, (ull)r->queued);
}

static void edge_line(const struct sp_edge *e, struct buf *out) {
    const struct sp_edge_config *c = e->config;
    struct sp_counters sum = {0};
    uint64_t queued, queued_bytes;
    sp_edge_sum(e, &sum, &queued, &queued_bytes);
    buf_printf(out, "edge %s role=%s %s=%s state=%s peers=%u", c->name,
               sp_protocol_of_role(c->role)->name, c->listen ? "listen" : "dial", c->address_text,
               sp_edge_state_name(e->state), e->peers);
    if (!str_empty(c->organisation)) buf_printf(out, " organisation=%s", c->organisation);
    buf_printf(out, " messages_per_second=%llu bytes_per_second=%llu in=%llu out=%llu dropped=%llu",
               (ull)e->meter.messages_per_second, (ull)e->meter.bytes_per_second,
               (ull)sum.messages_in, (ull)sum.messages_out, (ull)sum.dropped);
    buf_printf(out, " filtered=%llu gaps=%llu queued=%llu queued_bytes=%llu subscriptions=%u",
               (ull)sum.filtered, (ull)sum.gaps, (ull)queued, (ull)queued_bytes, e->subscriptions);
    buf_printf(out, " handshakes_failed=%llu", (ull)e->handshakes_failed);
    buf_printf(out, "%s%s\n", e->last_error[0] ? " error=" : "", e->last_error);
}

void sp_status_text(const struct sp_topology *t, struct buf *out) {
    struct sp_figures f;
    sp_figures_take(t, &f);
    const struct sp_config *c = t->config;
    buf_printf(out, "topology %s\npattern %s\ngeneration %lld\nready %s\n", c->name,
               t->pattern->name, (long long)c->generation, t->stopping ? "no" : "yes");
    buf_printf(out, "clients %llu\nlinks %llu\nwanted_links %llu\nconnected_edges %llu\n",
               (ull)f.clients, (ull)f.links, (ull)f.wanted_links, (ull)f.connected_edges);
    buf_printf(out, "messages_per_second %llu\nbytes_per_second %llu\ndropped %llu\n",
               (ull)t->meter.messages_per_second, (ull)t->meter.bytes_per_second, (ull)f.dropped);
    buf_printf(out, "queue messages=%u bytes=%llu policy=%s\n", c->queue.messages,
               (ull)c->queue.bytes, sp_policy_name(c->queue.policy));
    for (unsigned r = 0; r < SP_ROLE_COUNT; r++)
        if (sp_role_in((enum sp_role)r, c->pattern)) role_line(t, &f, (enum sp_role)r, out);
    for (size_t i = 0; i < t->edges.n; i++) edge_line(t->edges.v[i], out);
}

void sp_stats_text(const struct sp_topology *t, struct buf *out) {
    struct sp_figures f;
    struct sp_counters all = {0};
    sp_figures_take(t, &f);
    for (unsigned r = 0; r < SP_ROLE_COUNT; r++) sp_counters_add(&all, &t->gone[r]);
    for (size_t i = 0; i < t->pipes.n; i++)
        if (t->pipes.v[i]) sp_counters_add(&all, &t->pipes.v[i]->counters);
    buf_printf(out, "messages_in %llu\nbytes_in %llu\nmessages_out %llu\nbytes_out %llu\n",
               (ull)all.messages_in, (ull)all.bytes_in, (ull)all.messages_out, (ull)all.bytes_out);
    buf_printf(out, "dropped %llu\nfiltered %llu\ngaps %llu\nerrors %llu\n", (ull)all.dropped,
               (ull)all.filtered, (ull)all.gaps, (ull)all.errors);
    uint64_t accepted = 0, refused = 0;
    for (size_t i = 0; i < t->endpoints.n; i++) {
        accepted += t->endpoints.v[i]->accepted;
        refused += t->endpoints.v[i]->refused;
    }
    buf_printf(out, "accepted %llu\nrefused %llu\nbroken_peers %llu\n", (ull)accepted, (ull)refused,
               (ull)t->broken);
    buf_printf(out, "service_message_bytes %zu\n", sp_message_total_bytes());
    if (t->pattern->describe) t->pattern->describe(t, out);
}

void sp_peers_text(const struct sp_topology *t, struct buf *out) {
    buf_str(out, "id role door edge pid uid gid in out dropped gaps queued bytes peer\n");
    for (size_t i = 0; i < t->pipes.n; i++) {
        const struct sp_pipe *p = t->pipes.v[i];
        if (!p) continue;
        const struct sp_counters *c = &p->counters;
        buf_printf(out, "%u %s %s %s %d %u %u %llu %llu %llu %llu %u %llu %s\n", p->id,
                   sp_protocol_of_role(p->role)->name, p->ops->door,
                   p->edge ? p->edge->config->name : "-", (int)p->who.pid, p->who.uid, p->who.gid,
                   (ull)c->messages_in, (ull)c->messages_out, (ull)c->dropped, (ull)c->gaps,
                   p->out.n, (ull)p->out.bytes, str_or(p->who.name, "-"));
    }
}

void sp_graph_text(const struct sp_topology *t, struct buf *out) {
    struct sp_figures f;
    sp_figures_take(t, &f);
    buf_printf(out, "%s (%s)\n", t->config->name, t->pattern->name);
    for (unsigned r = 0; r < SP_ROLE_COUNT; r++) {
        if (!sp_role_in((enum sp_role)r, t->config->pattern)) continue;
        const struct sp_protocol *p = sp_protocol_of_role((enum sp_role)r);
        const char *arrow = p->sends && p->receives ? "<->" : p->sends ? "-->" : "<--";
        buf_printf(out, "  %llu x %s %s\n", (ull)f.roles[r].clients, p->name, arrow);
    }
    for (size_t i = 0; i < t->edges.n; i++) {
        const struct sp_edge *e = t->edges.v[i];
        buf_printf(out, "  %s %s as %s %s, %u peers\n", e->config->listen ? "listens" : "dials",
                   e->config->address_text, sp_protocol_of_role(e->config->role)->name,
                   sp_edge_state_name(e->state), e->peers);
    }
}

/* ---- files ---- */

static int replace(int dir, const char *name, const struct buf *text) {
    static const char fresh[] = ".fresh-text";
    OWN(close_p)
    int fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || fchmod(fd, 0644) < 0) return -errno;
    ssize_t n = write(fd, text->p, text->n);
    if (n < 0 || (size_t)n != text->n || renameat(dir, fresh, dir, name) < 0) {
        int e = errno ? errno : EIO;
        unlinkat(dir, fresh, 0);
        return -e;
    }
    return 0;
}

/* Any traffic moves this; so nothing is written while nothing happens. */
static uint64_t mark_of(const struct sp_topology *t) {
    uint64_t mark = t->broken + t->meter.messages_per_second;
    for (size_t i = 0; i < t->pipes.n; i++) {
        const struct sp_pipe *p = t->pipes.v[i];
        if (p)
            mark += p->counters.messages_in + p->counters.messages_out + p->counters.dropped +
                    p->counters.errors + p->out.n;
    }
    for (size_t i = 0; i < t->endpoints.n; i++) mark += t->endpoints.v[i]->refused;
    return mark;
}

void sp_status_write(struct sp_topology *t) {
    static const struct {
        const char *name;
        void (*text)(const struct sp_topology *t, struct buf *out);
    } files[] = {{"status", sp_status_text},
                 {"stats", sp_stats_text},
                 {"peers", sp_peers_text},
                 {"graph", sp_graph_text}};
    sp_meters_look(t);
    uint64_t mark = mark_of(t);
    if (!t->changed && mark == t->written_mark) return;
    t->changed = false;
    t->written_mark = mark;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        OWN(buf_done) struct buf text = {0};
        files[i].text(t, &text);
        int r = replace(t->dir_fd, files[i].name, &text);
        if (r == 0) continue;
        t->changed = true; /* again in a second */
        sp_log(t->service, "status_not_written", "topology=%s file=%s errno=%d", t->config->name,
               files[i].name, -r);
        return;
    }
}
