/* atoll status: the services of the running Atoll with their memory and restarts. */
#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"
#include "cli/verb.h"
#include "proc/init.h"

static void print_json(const struct init_status *s, uint64_t init_pss, const uint64_t *pss,
                       uint64_t total) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"services\":[");
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct init_service_status *v = &s->services[i];
        buf_printf(&b,
                   "%s{\"name\":\"%s\",\"pid\":%u,\"memory_pss_bytes\":%" PRIu64
                   ",\"restarts\":%u,\"uptime_s\":%.3f,\"ready\":%s}",
                   i ? "," : "", v->name, v->pid, pss[i], v->restarts, (double)v->uptime_ms / 1000,
                   v->ready ? "true" : "false");
    }
    buf_printf(&b,
               "],\"init\":{\"pid\":%u,\"memory_pss_bytes\":%" PRIu64
               ",\"uptime_s\":%.3f},\"total_memory_pss_bytes\":%" PRIu64 ",\"instance\":\"%s\"",
               s->pid, init_pss, (double)s->uptime_ms / 1000, total, s->settings.instance);
    buf_str(&b, ",\"root\":");
    buf_json_str(&b, slice_of(str_or(s->settings.root, "/")));
    buf_printf(&b,
               ",\"listen\":\"%s\",\"node\":\"%s\",\"pod_cidr\":\"%s\",\"service_cidr\":\"%s\","
               "\"dns_ip\":\"%s\",\"ready\":%s,\"ready_after_ms\":%" PRIu64 "}",
               s->settings.listen, s->settings.node_name, s->settings.pod_cidr,
               s->settings.service_cidr, s->settings.dns_ip, s->ready_ms ? "true" : "false",
               s->ready_ms);
    puts(b.p);
}

static void print_text(const struct init_status *s, uint64_t init_pss, const uint64_t *pss,
                       uint64_t total) {
    printf("Atoll under %s (instance %s, node %s): API https://%s, pods %s, services %s\n\n",
           str_or(s->settings.root, "/"), s->settings.instance, s->settings.node_name,
           s->settings.listen, s->settings.pod_cidr, s->settings.service_cidr);
    printf("%-12s %8s %-8s %9s %9s %10s\n", "SERVICE", "PID", "STATE", "RESTARTS", "UPTIME", "PSS");
    printf("%-12s %8u %-8s %9s %8" PRIu64 "s %6" PRIu64 " KiB\n", "init", s->pid, "ready", "-",
           s->uptime_ms / 1000, init_pss / 1024);
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct init_service_status *v = &s->services[i];
        const char *state = v->ready ? "ready" : v->pid ? "starting" : "down";
        printf("%-12s %8u %-8s %9u %8" PRIu64 "s %6" PRIu64 " KiB%s%s\n", v->name, v->pid, state,
               v->restarts, v->uptime_ms / 1000, pss[i] / 1024, *v->failure ? "  " : "",
               v->ready ? "" : v->failure);
    }
    printf("\n%u services and init: %.1f MiB\n", s->n_services, (double)total / (1 << 20));
}

static int status_run(const struct verb *v, int argc, char **argv) {
    const char *output = NULL, *root;
    const struct cli_option options[] = {
        {"-o", "json", "machine-readable output", &output, NULL},
    };
    struct cli_args args;
    struct err err;
    struct init_status s;
    OWN(arena_free_p) struct arena *a = arena_new();
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), 0, &args);
    if (status != CLI_CONTINUE) return status;
    if (output && !str_eq(output, "json")) return cli_usage(v, "-o: only json is known");
    status = cli_root(v, &args, a, &root);
    if (status != CLI_CONTINUE) return status;
    if (cli_init_status(root, a, &s, &err) < 0) return cli_err(v, &err);
    uint64_t *pss = ARENA_ARRAY(a, uint64_t, s.n_services + 1);
    uint64_t init_pss = cli_pss_bytes(s.pid), total = init_pss;
    for (uint32_t i = 0; i < s.n_services; i++) {
        pss[i] = s.services[i].pid ? cli_pss_bytes(s.services[i].pid) : 0;
        total += pss[i];
    }
    (output ? print_json : print_text)(&s, init_pss, pss, total);
    return 0;
}

static const struct verb status_verb = {"status", "[-o json]",
                                        "show services, their memory and restarts", status_run};
VERB(status_verb);
