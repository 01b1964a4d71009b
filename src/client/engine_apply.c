/* Engine: carries out one plan through the API. */
#include <stdlib.h>

#include "base/own.h"
#include "client/engine_private.h"

enum { PARALLEL_WRITES = 16 };

struct step_call {
    struct run *run;
    const struct plan_step *step;
};

static void run_end(struct run *run) {
    struct engine *e = run->engine;
    struct key *k = run->key;
    *run->list_prev = run->list_next;
    if (run->list_next) run->list_next->list_prev = run->list_prev;
    if (!plan_requeue_ms(run->plan, &k->requeue_ms)) k->requeue_ms = UINT64_MAX;
    plan_free(run->plan);
    if (e->stats.running-- == ENGINE_RUNS_MAX) engine_turn_soon(e);
    if (run->failed) {
        key_failed(k, &run->err);
    } else {
        k->failures = 0;
        free(TAKE(k->last_failure));
        if (awaits_seen(k)) {
            key_settle(k);
        } else {
            key_wait(k);
        }
    }
    free(run);
}

static void run_continue(struct run *run);

/* The engine has gone; answers may still be on their way. */
static void run_orphan_free(struct run *run) {
    if (run->outstanding) return;
    plan_free(run->plan);
    free(run);
}

/* A disruption budget forbids the eviction. */
static bool is_refused(const struct plan_step *s, const struct err *err) {
    return s->op == PLAN_EVICT && err && err->reason == ERR_TOO_MANY_REQUESTS;
}

/* Failures that mean that the wish has come true already, or that somebody may say no. */
static bool is_success(const struct plan_step *s, const struct err *err) {
    return !err || is_refused(s, err) ||
           ((s->op == PLAN_DELETE || s->op == PLAN_EVICT) &&
            (err->reason == ERR_NOT_FOUND || err->reason == ERR_CONFLICT));
}

static void step_report(struct engine *e, const struct plan_step *s, const struct api_object *obj,
                        const struct err *err) {
    bool create = s->op == PLAN_CREATE;
    if (!s->report_about) return;
    if (err && s->report_failed_text)
        event_record(e->recorder, s->report_about, "Warning", s->report_failed, "%s error: %s",
                     s->report_failed_text, err->text);
    else if (err)
        event_record(e->recorder, s->report_about, "Warning", s->report_failed, "Error %s: %s",
                     create ? "creating" : "deleting", err->text);
    else if (s->report_done_text)
        event_record(e->recorder, s->report_about, "Normal", s->report_done, "%s",
                     s->report_done_text);
    else
        event_record(e->recorder, s->report_about, "Normal", s->report_done, "%s %s: %s",
                     create ? "Created" : "Deleted", s->kind->singular,
                     str_or(obj ? obj->metadata.name : s->name, s->name));
}

static void failure_note(struct key *k, const struct plan_step *s, const struct err *err) {
    if (!s->report_about) return;
    free(k->last_failure);
    k->last_failure = strdup(err->text);
}

static void on_step(void *user, const struct api_object *obj, struct slice body,
                    const struct err *err) {
    struct step_call *call = user;
    struct run *run = call->run;
    const struct plan_step *s = call->step;
    free(call);
    run->outstanding--;
    if (!run->engine) {
        run_orphan_free(run);
        return;
    }
    run->engine->stats.writes++;
    bool refused = is_refused(s, err);
    if (!err || refused || !is_success(s, err)) step_report(run->engine, s, obj, err);
    if (s->op == PLAN_EVICT) { /* the answer is a Status, not the pod */
        obj = NULL;
        body = (struct slice){0};
    }
    if (refused) {
        /* nothing has changed */
    } else if (is_success(s, err)) {
        struct slice none = {0};
        await_add(run->key, s, err ? NULL : obj, err ? none : body);
    } else if (!run->failed) {
        run->failed = true;
        run->err = *err;
        failure_note(run->key, s, err);
    }
    run_continue(run);
}

static void send_create(struct engine *e, const struct plan_step *s, struct step_call *call) {
    api_create(e->client, s->kind, s->object, on_step, call);
}

static void send_update(struct engine *e, const struct plan_step *s, struct step_call *call) {
    api_update(e->client, s->kind, s->subresource, s->object, on_step, call);
}

static void send_patch(struct engine *e, const struct plan_step *s, struct step_call *call) {
    api_patch(e->client, s->kind, s->ns, s->name, s->subresource, s->content_type, s->body, on_step,
              call);
}

static void send_delete(struct engine *e, const struct plan_step *s, struct step_call *call) {
    struct api_delete_opts opts = {.uid = s->object->metadata.uid,
                                   .propagation = s->propagation,
                                   .grace_period_s = s->grace_period_s};
    api_delete(e->client, s->kind, s->ns, s->name, &opts, on_step, call);
}

static void send_request(struct engine *e, const struct plan_step *s, struct step_call *call) {
    api_request(e->client, s->method, s->path, s->content_type, s->body, on_step, call);
}

static void send_evict(struct engine *e, const struct plan_step *s, struct step_call *call) {
    OWN(buf_done) struct buf path = {0}, body = {0};
    buf_printf(&path, "/api/v1/namespaces/%s/pods/%s/eviction", s->ns, s->name);
    buf_printf(&body,
               "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"%s\","
               "\"namespace\":\"%s\"},\"deleteOptions\":{\"preconditions\":{\"uid\":\"%s\"}}}",
               s->name, s->ns, s->object->metadata.uid);
    api_request(e->client, "POST", path.p, "application/json", buf_view(&body), on_step, call);
}

static const struct {
    void (*send)(struct engine *e, const struct plan_step *s, struct step_call *call);
    bool parallel; /* with others of the same operation */
} step_ops[] = {
    [PLAN_CREATE] = {send_create, true},
    [PLAN_UPDATE] = {send_update, false},
    [PLAN_UPDATE_STATUS] = {send_update, false},
    [PLAN_PATCH] = {send_patch, false},
    [PLAN_DELETE] = {send_delete, true},
    [PLAN_REQUEST] = {send_request, false},
    [PLAN_EVENT] = {NULL, false},
    [PLAN_NOTE] = {NULL, false},
    [PLAN_EVICT] = {send_evict, true},
};

static bool may_start(const struct run *run, const struct plan_step *s) {
    if (run->outstanding == 0) return true;
    const struct plan_step *before = plan_at(run->plan, run->next - 1);
    return step_ops[s->op].parallel && before->op == s->op && run->outstanding < PARALLEL_WRITES;
}

static void step_start(struct run *run, const struct plan_step *s) {
    struct engine *e = run->engine;
    run->next++;
    if (s->op == PLAN_EVENT) {
        event_record(e->recorder, s->object, s->event_type, s->reason, "%s", s->message);
        return;
    }
    if (s->op == PLAN_NOTE) {
        world_set_fact(e->world, s->name, loop_wall_ns(e->loop), s->body, NULL);
        return;
    }
    if (s->op != PLAN_REQUEST && !s->kind) {
        run->failed = true;
        err_set(&run->err, ERR_INTERNAL, "the plan names an unknown kind %s %s",
                str_or(s->object->api_version, "?"), str_or(s->object->kind, "?"));
        return;
    }
    struct step_call *call = calloc(1, sizeof *call);
    if (!call) abort();
    *call = (struct step_call){run, s};
    run->outstanding++;
    step_ops[s->op].send(e, s, call);
}

static void run_continue(struct run *run) {
    const struct plan_step *s;
    while (!run->failed && (s = plan_at(run->plan, run->next)) && may_start(run, s))
        step_start(run, s);
    if (run->outstanding == 0) run_end(run);
}

void key_run(struct key *k) {
    struct engine *e = k->controller->engine;
    struct run *run = calloc(1, sizeof *run);
    if (!run) abort();
    run->engine = e;
    run->key = k;
    run->plan = plan_new();
    plan_set_last_failure(run->plan, k->last_failure);
    run->list_next = e->runs;
    run->list_prev = &e->runs;
    if (e->runs) e->runs->list_prev = &run->list_next;
    e->runs = run;
    k->state = KEY_RUNNING;
    k->again = false;
    e->stats.running++;
    e->stats.reconciles++;
    if (k->controller->r->reconcile(e->world, k->text, run->plan, &run->err) < 0)
        run->failed = true;
    else
        plan_detach(run->plan);
    if (!run->failed) polls_set(k, run->plan);
    run_continue(run);
}

void engine_runs_abandon(struct engine *e) {
    while (e->runs) {
        struct run *run = e->runs;
        e->runs = run->list_next;
        run->engine = NULL;
        run_orphan_free(run);
    }
}
