#include "node/pods/sandbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "node/checks/probes.h"
#include "node/pods/container_spec.h"
#include "node/pods/dns_config.h"
#include "node/volumes/claims.h"
#include "node/volumes/objects.h"
#include "wire/network.h"

enum { RETRY_FIRST_MS = 100, RETRY_MAX_MS = 10 * 1000 };

static void done(struct pod *p) {
    p->busy = false;
    pod_kick(p);
    pod_unref(p);
}

static void failed(struct pod *p, const char *reason, const char *what, const struct err *err) {
    if (reason) pod_event(p, "Warning", reason, "%s: %s", what, err->text);
    log_warn("pod_step_failed", "pod=%s/%s what=\"%s\" error=\"%s\"", p->ns, p->name, what,
             err->text);
    backoff_grow(&p->retry, loop_now_ms(p->agent->loop), RETRY_FIRST_MS, RETRY_MAX_MS);
    done(p);
}

static void send_create(struct pod *p, link_reply_fn *fn) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0}, resolv = {0}, hosts = {0};
    struct agent *g = p->agent;
    struct dns_settings dns = {g->settings->dns_ip, g->settings->cluster_domain,
                               str_or(g->host.resolv_conf, "")};
    struct broker_pod spec;
    container_spec_pod(a, p, &spec);
    dns_resolv_conf(&resolv, p->object, &dns);
    dns_etc_hosts(&hosts, p->object, &dns, p->ip, str_or(g->host.hosts, ""));
    spec.resolv_conf = resolv.p ? resolv.p : "";
    spec.etc_hosts = hosts.p ? hosts.p : "";
    broker_pod_pack(&b, &spec);
    pod_ref(p);
    link_call(g->broker, BROKER_POD_CREATE, buf_view(&b), NULL, 0, fn, p);
}

static void take_fds(struct pod *p, struct ipc_msg *m) {
    int *slots[] = {&p->netns_fd, &p->netlink_fd};
    for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
        close_p(slots[i]);
        *slots[i] = i < m->n_fds ? m->fds[i] : -1;
        if (i < m->n_fds) m->fds[i] = -1;
    }
}

static void on_created(void *user, struct ipc_msg *m, const struct err *err) {
    struct pod *p = user;
    if (err) {
        failed(p, err->reason == ERR_UNAVAILABLE ? NULL : "FailedCreatePodSandBox",
               "Failed to create pod sandbox", err);
        return;
    }
    take_fds(p, m);
    p->sandbox_ready = true;
    done(p);
}

void sandbox_create(struct pod *p) {
    if (p->adopted_lost) {
        pod_event(p, "Normal", "SandboxChanged",
                  "Pod sandbox changed, it will be killed and re-created.");
        p->adopted_lost = false;
    }
    p->busy = true;
    send_create(p, on_created);
}

/* The second request of the same pod only renews its files: the address is known now. */
static void on_renewed(void *user, struct ipc_msg *m, const struct err *err) {
    struct pod *p = user;
    if (err) log_warn("hosts_not_written", "pod=%s/%s error=\"%s\"", p->ns, p->name, err->text);
    pod_unref(p);
}

static void on_linked(void *user, struct ipc_msg *m, const struct err *err) {
    struct pod *p = user;
    struct err bad = {0};
    if (!err) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct unpack u = unpack_init(m->body);
        const char *ip = unpack_str(&u, a);
        if (m->type == NETWORK_LINK_OK && unpack_end(&u) == 0 && *ip) {
            free(p->ip);
            p->ip = strdup(ip);
        } else {
            err_set(&bad, ERR_INTERNAL, "malformed answer of the network service");
            err = &bad;
        }
    }
    if (err) {
        failed(p, err->reason == ERR_UNAVAILABLE ? NULL : "FailedCreatePodSandBox",
               "Failed to set up the pod's network", err);
        return;
    }
    p->linked = true;
    close_p(&p->netns_fd);
    close_p(&p->netlink_fd);
    p->netns_fd = p->netlink_fd = -1;
    if (!p->host_network) send_create(p, on_renewed);
    done(p);
}

void sandbox_link(struct pod *p) {
    OWN(buf_done) struct buf b = {0};
    struct network_link l = {.pod_uid = p->uid,
                             .pod_namespace = p->ns,
                             .pod_name = p->name,
                             .want_ip = str_or(p->ip, str_or(p->object->status.pod_ip, ""))};
    network_link_pack(&b, &l);
    int fds[] = {p->netns_fd, p->netlink_fd};
    size_t n = p->netns_fd < 0 ? 0 : p->netlink_fd < 0 ? 1 : 2;
    p->busy = true;
    pod_ref(p);
    link_call(p->agent->network, NETWORK_LINK_ADD, buf_view(&b), fds, n, on_linked, p);
}

/* ---- the way down ---- */

static void on_removed(void *user, struct ipc_msg *m, const struct err *err) {
    struct pod *p = user;
    if (err && err->reason != ERR_NOT_FOUND) {
        failed(p, NULL, "remove the sandbox", err);
        return;
    }
    p->torn_down = true;
    p->sandbox_ready = false;
    p->linked = false;
    done(p);
}

static void on_unlinked(void *user, struct ipc_msg *m, const struct err *err) {
    struct pod *p = user;
    if (err && err->reason != ERR_NOT_FOUND) {
        failed(p, NULL, "remove the link", err);
        return;
    }
    OWN(buf_done) struct buf b = {0};
    pack_str(&b, p->uid);
    link_call(p->agent->broker, BROKER_POD_REMOVE, buf_view(&b), NULL, 0, on_removed, p);
}

void sandbox_remove(struct pod *p) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < p->n_containers; i++) probes_stop(p->containers[i]);
    objects_release(p->agent->objects, p);
    pod_tokens_done(p);
    pod_claims_done(p);
    p->volumes.n = 0;
    p->busy = true;
    pod_ref(p);
    pack_str(&b, p->uid);
    if (p->host_network)
        link_call(p->agent->broker, BROKER_POD_REMOVE, buf_view(&b), NULL, 0, on_removed, p);
    else
        link_call(p->agent->network, NETWORK_LINK_DEL, buf_view(&b), NULL, 0, on_unlinked, p);
}

static void on_object_deleted(void *user, const struct api_object *obj, struct slice body,
                              const struct err *err) {
    struct pod *p = user;
    if (err && err->reason != ERR_NOT_FOUND && err->reason != ERR_CONFLICT) {
        failed(p, NULL, "delete the object", err);
        return;
    }
    p->removed = true;
    done(p);
}

static void on_logs_removed(void *user, struct ipc_msg *m, const struct err *err) {
    struct pod *p = user;
    if (err && err->reason == ERR_UNAVAILABLE) {
        failed(p, NULL, "remove the logs", err);
        return;
    }
    if (p->vanished) {
        p->removed = true;
        done(p);
        return;
    }
    static const struct api_kind *kind;
    if (!kind) kind = api_kind_by_name("", "v1", "Pod");
    struct api_delete_opts opts = {.uid = p->uid, .grace_period_s = 0};
    api_delete(p->agent->client, kind, p->ns, p->name, &opts, on_object_deleted, p);
}

void sandbox_forget(struct pod *p) {
    OWN(buf_done) struct buf b = {0};
    pack_str(&b, p->uid);
    pack_str(&b, p->ns);
    pack_str(&b, p->name);
    p->busy = true;
    pod_ref(p);
    link_call(p->agent->broker, BROKER_LOG_REMOVE, buf_view(&b), NULL, 0, on_logs_removed, p);
}

/* ---- adoption ---- */

/* The newest run of a container in the broker's list. */
static const struct broker_container_state *newest(const struct pod *p, const struct container *c,
                                                   const struct broker_container_state *list,
                                                   size_t n) {
    const struct broker_container_state *best = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(list[i].uid, p->uid) || !str_eq(list[i].name, c->name)) continue;
        if (!best || list[i].attempt > best->attempt ||
            (list[i].attempt == best->attempt && list[i].running))
            best = &list[i];
    }
    return best;
}

static const struct core_v1_container_status *api_status(const struct container *c) {
    const struct core_v1_pod_status *s = &c->pod->object->status;
    const struct core_v1_container_status_list *l =
        c->kind == CONTAINER_MAIN        ? &s->container_statuses
        : c->kind == CONTAINER_EPHEMERAL ? &s->ephemeral_container_statuses
                                         : &s->init_container_statuses;
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].name, c->name)) return &l->v[i];
    return NULL;
}

static void adopt_run(struct container *c, const struct broker_container_state *s) {
    const struct core_v1_container_status *known = api_status(c);
    if (strlen(s->id) >= CONTAINER_ID_BYTES) return;
    memcpy(c->id, s->id, strlen(s->id) + 1);
    c->attempt = s->attempt;
    termination_done(&c->now);
    c->started_ns = s->started_ns;
    c->state = CONTAINER_RUNNING; /* an end is told to container_exited below */
    if (s->running) {
        bool same = known && known->state.running;
        container_running(c, s->started_ns);
        c->started = same && known->started && *known->started;
        c->ready = same && known->ready;
        c->hook_done = true;
        c->restart.armed = c->attempt > 0;
        c->adopt_probes = true;
    } else {
        container_exited(c, s);
    }
}

static void forget_run(struct container *c) {
    const struct core_v1_container_status *known = api_status(c);
    bool was_running = known && known->state.running;
    if (!was_running || c->kind == CONTAINER_INIT) return;
    int64_t now_ns = loop_wall_ns(c->pod->agent->loop);
    termination_set(&c->now, "", 137, "ContainerStatusUnknown",
                    "The container could not be located when the pod was terminated", 0, now_ns);
    c->state = CONTAINER_TERMINATED;
}

void sandbox_adopt(struct pod *p, const struct broker_container_state *list, size_t n) {
    bool any = false;
    for (size_t i = 0; i < p->n_containers; i++) {
        struct container *c = p->containers[i];
        const struct broker_container_state *s = newest(p, c, list, n);
        if (!s) continue;
        any = true;
        adopt_run(c, s);
    }
    p->adopted = any;
    const char *phase = p->object->status.phase;
    if (any || str_eq(phase, "Succeeded") || str_eq(phase, "Failed")) {
        for (size_t i = 0; any && i < p->n_containers; i++)
            if (!newest(p, p->containers[i], list, n)) forget_run(p->containers[i]);
        if (!p->host_network && p->object->status.pod_ip) {
            free(p->ip);
            p->ip = strdup(p->object->status.pod_ip);
        }
        return;
    }
    /* Nothing is left of it (the machine was restarted): everything runs again. */
    p->adopted_lost = p->object->status.container_statuses.n > 0;
    p->initialized = false;
    for (size_t i = 0; i < p->n_containers; i++) {
        forget_run(p->containers[i]);
        if (p->containers[i]->kind == CONTAINER_INIT) p->containers[i]->state = CONTAINER_WAITING;
    }
}

void sandbox_resync(struct pod *p, const struct broker_container_state *list, size_t n) {
    if (p->state >= POD_TEARDOWN) return;
    for (size_t i = 0; i < p->n_containers; i++) {
        struct container *c = p->containers[i];
        const struct broker_container_state *s = newest(p, c, list, n);
        if (!s) {
            if (c->state == CONTAINER_RUNNING) container_lost(c);
        } else if (str_eq(s->id, c->id)) {
            if (!s->running) {
                container_exited(c, s);
            } else if (c->state == CONTAINER_WAITING) { /* its start was not answered */
                container_running(c, s->started_ns);
                container_post_start(c);
            }
        }
    }
    pod_kick(p);
}
