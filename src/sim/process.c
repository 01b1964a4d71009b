#include "sim/process.h"

#include <stdlib.h>

#include "base/own.h"
#include "client/client.h"
#include "proc/service.h"
#include "sim/wire.h"

struct sim_process {
    struct sim_process *next;
    const char *name; /* its socket */
    bool running;
    unsigned starts;
    void (*start)(struct sim *s, struct sim_process *p);
    void (*stop)(struct sim *s, struct sim_process *p);
    /* controllers */
    struct api_client *client;
    struct engine *engine;
    const struct reconciler *const *list;
    size_t n;
    const struct reconciler **all; /* malloc'd */
    /* a service */
    struct service_ctx ctx;
};

/* ---- controllers ---- */

static void controllers_start(struct sim *s, struct sim_process *p) {
    p->client = api_client_new(s->loop, p->name);
    p->engine = engine_new(s->loop, p->client, p->list, p->n, "controllers");
}

/* What is under way fails, and nothing new gets out: so that nobody waits for an answer any more.
 */
static void silence(struct sim *s, struct sim_process *p) {
    uint64_t due;
    wire_cut(s, p->name, true);
    for (int i = 0; i < 1000 && loop_next_ms(s->loop, &due) && due <= s->now_us / 1000; i++)
        loop_run_due(s->loop);
}

static void controllers_stop(struct sim *s, struct sim_process *p) {
    engine_free(p->engine);
    silence(s, p);
    api_client_free(p->client);
    wire_cut(s, p->name, false);
    p->engine = NULL;
    p->client = NULL;
}

/* ---- services ---- */

static void service_start(struct sim *s, struct sim_process *p) {
    static const struct settings settings = {.node_name = "sim", .root = "", .instance = "sim"};
    struct err err;
    p->ctx.settings = &settings;
    p->ctx.loop = s->loop;
    if (p->ctx.service->start(&p->ctx, &err) < 0)
        sim_violation(s, "%s does not start: %s", p->ctx.service->name, err.text);
}

static void service_stop(struct sim *s, struct sim_process *p) {
    silence(s, p);
    if (p->ctx.service->stop) p->ctx.service->stop(&p->ctx);
    wire_cut(s, p->name, false);
}

/* ---- both ---- */

static struct sim_process *process_find(struct sim *s, const char *name) {
    for (struct sim_process *p = s->processes; p; p = p->next)
        if (str_eq(p->name, name)) return p;
    return NULL;
}

static void start(struct sim *s, struct sim_process *p) {
    if (p->running) return;
    p->running = true;
    p->starts++;
    p->start(s, p);
}

static void stop(struct sim *s, struct sim_process *p) {
    if (!p->running) return;
    p->running = false;
    p->stop(s, p);
}

static void on_restart(struct sim *s, void *user) {
    struct sim_process *p = user;
    sim_say(s, "%s starts", p->name);
    start(s, p);
}

void process_kill(struct sim *s, const char *name, uint64_t down_us) {
    struct sim_process *p = process_find(s, name);
    if (!p || !p->running) return;
    sim_say(s, "%s is killed", name);
    stop(s, p);
    sim_after(s, down_us, on_restart, p);
}

void processes_restart(struct sim *s) {
    for (struct sim_process *p = s->processes; p; p = p->next) {
        stop(s, p);
        start(s, p);
    }
}

static struct sim_process *process_new(struct sim *s, const char *name) {
    struct sim_process *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->name = name;
    p->next = s->processes;
    return s->processes = p;
}

void processes_start(struct sim *s, const struct reconciler *const *list, size_t n) {
    struct sim_process *p = process_new(s, SIM_CONTROLLERS);
    p->start = controllers_start;
    p->stop = controllers_stop;
    p->list = list;
    p->n = n;
    if (!list) p->list = p->all = reconcilers(&p->n);
    start(s, p);
    const struct service *scheduler = service_find("scheduler");
    if (!scheduler) return;
    p = process_new(s, SIM_SCHEDULER);
    p->start = service_start;
    p->stop = service_stop;
    p->ctx.service = scheduler;
    start(s, p);
}

void processes_free(struct sim *s) {
    while (s->processes) {
        struct sim_process *p = s->processes;
        s->processes = p->next;
        stop(s, p);
        free(p->all);
        free(p);
    }
}
