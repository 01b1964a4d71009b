/* The service `network`: pod links on request of the node agent, service load balancing from what
 * the API says. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "client/client.h"
#include "network/links.h"
#include "network/nft.h"
#include "network/services.h"
#include "proc/authority.h"
#include "proc/ipc.h"
#include "proc/service.h"
#include "wire/network.h"

/* Changes that arrive within this time share one transaction; a rollout of 20 pods is a few,
 * not 60. */
enum { GATHER_MS = 5, RETRY_MS = 500 };

static struct network {
    struct service_ctx *ctx;
    struct nft *nft;
    struct links links;
    struct ipc_listener *listener;
    struct api_client *client;
    struct informer *services, *slices, *pods;
    struct timer *gather;
    struct rules applied;
    bool table_made;
    char table[32], bridge[16];
} net;

static void write_sysctl(const char *path, const char *value) {
    FILE *f = fopen(path, "we");
    if (!f || fputs(value, f) < 0) log_warn("sysctl_failed", "path=%s", path);
    if (f) fclose(f);
}

static const char bridge_sysctl[] = "/proc/sys/net/bridge/bridge-nf-call-iptables";

static void load_module(const char *name) {
    char *const argv[] = {"modprobe", "--quiet", (char *)name, NULL}, *const env[] = {NULL};
    pid_t pid;
    int status;
    if (posix_spawn(&pid, "/sbin/modprobe", NULL, NULL, argv, env) != 0) return;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
}

static int prepare(struct service_ctx *ctx, struct err *err) {
    const struct settings *s = ctx->settings;
    snprintf(net.table, sizeof net.table, "atoll_%s", s->instance);
    snprintf(net.bridge, sizeof net.bridge, "at%.8s", s->instance);
    write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
    /* Pods of one bridge reach each other through Services: their packets must pass the address
     * translation. The module that does this is the one that nothing loads on its own. */
    if (access(bridge_sysctl, F_OK) < 0) load_module("br_netfilter");
    if (access(bridge_sysctl, F_OK) == 0)
        write_sysctl(bridge_sysctl, "1");
    else
        log_warn("no_br_netfilter",
                 "effect=\"pods of this node cannot reach each other through Services\"");
    return nft_open(&net.nft, err);
}

static void apply(void *user) {
    (void)user;
    struct rules wanted = {0};
    OWN(buf_done) struct buf commands = {0};
    struct err err = {0};
    services_to_rules(net.services, net.slices, &wanted);
    host_ports_to_rules(net.pods, &wanted);
    const struct settings *s = net.ctx->settings;
    if (!net.table_made) rules_base(&commands, net.table, net.bridge, s->pod_cidr, s->api_port);
    rules_diff(&commands, net.table, &net.applied, &wanted);
    if (commands.n && nft_run(net.nft, commands.p, &err) < 0) {
        log_error("rules_refused", "error=\"%s\"", err.text);
        rules_done(&wanted);
        /* Start again from nothing: one transaction, so traffic sees no gap. */
        rules_done(&net.applied);
        net.table_made = false;
        timer_start(net.gather, RETRY_MS, 0);
        return;
    }
    net.table_made = true;
    rules_done(&net.applied);
    net.applied = wanted;
}

static void changed(void *user, enum informer_event e, const struct api_object *now,
                    const struct api_object *old) {
    (void)user, (void)e, (void)now, (void)old;
    if (!informer_synced(net.services) || !informer_synced(net.slices) ||
        !informer_synced(net.pods))
        return;
    if (!timer_active(net.gather)) timer_start(net.gather, net.table_made ? GATHER_MS : 0, 0);
}

/* Most pods publish nothing: their changes cost nothing here. */
static void pod_changed(void *user, enum informer_event e, const struct api_object *now,
                        const struct api_object *old) {
    bool matters = e == INFORMER_SYNCED || pod_has_host_ports((const struct core_v1_pod *)now);
    if (matters) changed(user, e, now, old);
}

static void link_add(struct ipc *c, struct ipc_msg *m) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf answer = {0};
    struct network_link l;
    struct err err = {0};
    char ip[IPV4_TEXT_MAX];
    int r = network_link_unpack(m->body, a, &l);
    if (r < 0 || m->n_fds != 2)
        r = err_set(&err, ERR_BAD_REQUEST, "a link needs a pod and two descriptors");
    else if (!*l.pod_uid || strlen(l.pod_uid) >= 64 || strpbrk(l.pod_uid, " \t\n"))
        r = err_set(&err, ERR_BAD_REQUEST, "pod_uid is not valid");
    else
        r = links_add(&net.links, l.pod_uid, l.want_ip, m->fds[0], m->fds[1], ip, &err);
    if (r < 0) {
        ipc_send_error(c, m->id, &err);
        return;
    }
    pack_str(&answer, ip);
    ipc_send(c, NETWORK_LINK_OK, m->id, buf_view(&answer), NULL, 0);
}

static void link_del(struct ipc *c, struct ipc_msg *m) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct unpack u = unpack_init(m->body);
    struct err err = {0};
    const char *uid = unpack_str(&u, a);
    int r = unpack_end(&u) < 0 ? err_set(&err, ERR_BAD_REQUEST, "malformed message")
                               : links_del(&net.links, uid, &err);
    if (r < 0)
        ipc_send_error(c, m->id, &err);
    else
        ipc_send(c, NETWORK_LINK_DEL_OK, m->id, (struct slice){0}, NULL, 0);
}

static void list_links(struct ipc *c, struct ipc_msg *m) {
    OWN(buf_done) struct buf answer = {0};
    pack_u32(&answer, (uint32_t)net.links.by_uid.n);
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&net.links.by_uid, &at))) {
        const struct link_entry *l = e->value;
        char ip[IPV4_TEXT_MAX];
        ipv4_format(ip, l->ip);
        pack_str(&answer, l->uid);
        pack_str(&answer, ip);
    }
    ipc_send(c, NETWORK_LINKS_OK, m->id, buf_view(&answer), NULL, 0);
}

static void on_message(struct ipc *c, struct ipc_msg *m, void *user) {
    static void (*const handlers[])(struct ipc *, struct ipc_msg *) = {
        [NETWORK_LINK_ADD] = link_add, [NETWORK_LINK_DEL] = link_del, [NETWORK_LINKS] = list_links};
    (void)user;
    if (m->type < ARRAY_LEN(handlers) && handlers[m->type]) {
        handlers[m->type](c, m);
        return;
    }
    struct err err = {0};
    err_set(&err, ERR_BAD_REQUEST, "unknown message type %u", m->type);
    ipc_send_error(c, m->id, &err);
}

static void accepted(struct ipc *c, void *user) {
    static const struct ipc_handler handler = {.message = on_message};
    (void)user;
    ipc_set_handler(c, &handler);
}

static int start(struct service_ctx *ctx, struct err *err) {
    const struct settings *s = ctx->settings;
    net.ctx = ctx;
    int r = links_init(&net.links, s->instance, s->pod_cidr, s->service_cidr, err);
    if (r < 0) return r;
    const uid_t allowed[] = {service_uid("node")};
    net.listener = ipc_listen(ctx->loop, service_fd(ctx, "listen"), allowed, ARRAY_LEN(allowed),
                              accepted, NULL);
    net.gather = timer_new(ctx->loop, apply, NULL);
    net.client = api_client_new(ctx->loop, "api.sock");
    net.services =
        informer_new(net.client, api_kind_by_name("", "v1", "Service"), NULL, NULL, changed, NULL);
    net.slices =
        informer_new(net.client, api_kind_by_name("discovery.k8s.io", "v1", "EndpointSlice"), NULL,
                     NULL, changed, NULL);
    /* Only pods of this node can have host ports here. */
    OWN(arena_free_p) struct arena *a = arena_new();
    net.pods =
        informer_new(net.client, api_kind_by_name("", "v1", "Pod"),
                     arena_printf(a, "spec.nodeName=%s", s->node_name), NULL, pod_changed, NULL);
    service_ready(ctx);
    return 0;
}

static bool stop(struct service_ctx *ctx) {
    (void)ctx;
    /* Links and rules stay: pods go on without this process. */
    informer_free(net.services);
    informer_free(net.slices);
    informer_free(net.pods);
    api_client_free(net.client);
    timer_free(net.gather);
    ipc_listener_free(net.listener);
    links_done(&net.links);
    rules_done(&net.applied);
    nft_close(net.nft);
    return false;
}

static const struct service network_service = {
    .name = "network", .prepare = prepare, .start = start, .stop = stop};
SERVICE(network_service);
