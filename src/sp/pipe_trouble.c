/* What goes wrong with a peer by its own doing is counted, and said once. */
#include "sp/links/edge.h"
#include "sp/sp_service.h"

static void say(const struct sp_pipe *p, const char *event, const char *why) {
    const struct sp_topology *t = p->topology;
    if (!t->service) return;
    sp_log(t->service, event, "topology=%s role=%s edge=%s pid=%d uid=%u peer=\"%s\" reason=\"%s\"",
           t->config->name, sp_protocol_of_role(p->role)->name,
           p->edge ? p->edge->config->name : "-", (int)p->who.pid, p->who.uid, p->who.name, why);
}

void sp_pipe_lost(struct sp_pipe *p, uint64_t n, const char *why) {
    p->counters.dropped += n;
    if (!n || p->why_lost == why) return;
    p->why_lost = why;
    say(p, "messages_dropped", why);
}

void sp_pipe_fault(struct sp_pipe *p, const char *why) {
    p->counters.errors++;
    if (!p->closing) say(p, "peer_closed", why);
    sp_pipe_close(p, why);
}
