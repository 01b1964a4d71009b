/* Reports of what is used: the kubelet's summary (stats/v1alpha1) and Prometheus' text format. */
#include <inttypes.h>

#include "base/own.h"
#include "base/times.h"
#include "node/status/usage.h"

static double seconds(uint64_t ns) { return (double)ns / 1e9; }

static void put_time(struct buf *b, const char *key, int64_t ns) {
    char text[TIME_TEXT_MAX];
    time_format(text, ns);
    buf_printf(b, "\"%s\":\"%s\"", key, text);
}

/* ---- the summary ---- */

static void put_usage(struct buf *b, const struct usage *u, int64_t at_ns, int64_t available) {
    buf_str(b, ",\"cpu\":{");
    put_time(b, "time", at_ns);
    if (u->rated) buf_printf(b, ",\"usageNanoCores\":%" PRIu64, u->nanocores);
    buf_printf(b, ",\"usageCoreNanoSeconds\":%" PRIu64 "},\"memory\":{", u->cpu_ns);
    put_time(b, "time", at_ns);
    if (available >= 0) buf_printf(b, ",\"availableBytes\":%" PRId64, available);
    buf_printf(
        b, ",\"usageBytes\":%" PRIu64 ",\"workingSetBytes\":%" PRIu64 ",\"rssBytes\":%" PRIu64 "}",
        u->usage_bytes, u->working_set_bytes, u->rss_bytes);
}

static void put_named(struct buf *b, const char *key, const char *value) {
    buf_printf(b, "\"%s\":", key);
    buf_json_str(b, slice_of(str_or(value, "")));
}

static int64_t left_of(const struct usage_container *c) {
    if (!c->memory_limit_bytes) return -1;
    return c->memory_limit_bytes > c->u.working_set_bytes
               ? (int64_t)(c->memory_limit_bytes - c->u.working_set_bytes)
               : 0;
}

static void put_pod(struct buf *b, const struct usage_pod *p, int64_t at_ns) {
    buf_str(b, "{\"podRef\":{");
    put_named(b, "name", p->name);
    buf_char(b, ',');
    put_named(b, "namespace", p->ns);
    buf_char(b, ',');
    put_named(b, "uid", p->uid);
    buf_str(b, "},");
    put_time(b, "startTime", p->started_ns);
    buf_str(b, ",\"containers\":[");
    for (size_t i = 0; i < p->n; i++) {
        buf_str(b, i ? ",{" : "{");
        put_named(b, "name", p->v[i].name);
        buf_char(b, ',');
        put_time(b, "startTime", p->v[i].started_ns);
        put_usage(b, &p->v[i].u, at_ns, left_of(&p->v[i]));
        buf_char(b, '}');
    }
    buf_char(b, ']');
    put_usage(b, &p->u, at_ns, -1);
    buf_char(b, '}');
}

void usage_summary(struct buf *b, const struct usage_report *r) {
    buf_str(b, "{\"node\":{");
    put_named(b, "nodeName", r->node);
    buf_char(b, ',');
    put_time(b, "startTime", r->boot_ns);
    put_usage(b, &r->machine, r->at_ns, r->available_bytes);
    buf_printf(b, "},\"windowNanoSeconds\":%" PRId64 ",\"pods\":[", r->window_ns);
    for (size_t i = 0; i < r->n; i++) {
        if (i) buf_char(b, ',');
        put_pod(b, &r->v[i], r->at_ns);
    }
    buf_str(b, "]}\n");
}

/* ---- Prometheus ---- */

static void head(struct buf *b, const char *name, const char *type, const char *help) {
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Names of objects need no escaping here; images might. */
static void put_label(struct buf *b, const char *key, const char *value, bool first) {
    buf_printf(b, "%s%s=\"", first ? "" : ",", key);
    for (const char *p = str_or(value, ""); *p; p++) {
        if (*p == '\\' || *p == '"') buf_char(b, '\\');
        if (*p == '\n')
            buf_str(b, "\\n");
        else
            buf_char(b, *p);
    }
    buf_char(b, '"');
}

static void put_labels(struct buf *b, const char *name, const struct usage_pod *p,
                       const struct usage_container *c) {
    buf_printf(b, "%s{", name);
    if (c) put_label(b, "container", c->name, true);
    put_label(b, "namespace", p->ns, !c);
    put_label(b, "pod", p->name, false);
    buf_str(b, "} ");
}

enum figure { FIGURE_CPU, FIGURE_WORKING_SET, FIGURE_USAGE, FIGURE_RSS, FIGURE_CACHE };

static void put_figure(struct buf *b, const struct usage *u, enum figure f, int64_t at_ns) {
    switch (f) {
    case FIGURE_CPU: buf_printf(b, "%.9g", seconds(u->cpu_ns)); break;
    case FIGURE_WORKING_SET: buf_printf(b, "%" PRIu64, u->working_set_bytes); break;
    case FIGURE_USAGE: buf_printf(b, "%" PRIu64, u->usage_bytes); break;
    case FIGURE_RSS: buf_printf(b, "%" PRIu64, u->rss_bytes); break;
    case FIGURE_CACHE: buf_printf(b, "%" PRIu64, u->cache_bytes); break;
    }
    buf_printf(b, " %" PRId64 "\n", at_ns / 1000000);
}

static void containers(struct buf *b, const struct usage_report *r, const char *name,
                       const char *type, const char *help, enum figure f) {
    head(b, name, type, help);
    for (size_t i = 0; i < r->n; i++)
        for (size_t j = 0; j < r->v[i].n; j++) {
            put_labels(b, name, &r->v[i], &r->v[i].v[j]);
            put_figure(b, &r->v[i].v[j].u, f, r->at_ns);
        }
}

static void pods(struct buf *b, const struct usage_report *r, const char *name, const char *type,
                 const char *help, enum figure f) {
    head(b, name, type, help);
    for (size_t i = 0; i < r->n; i++) {
        put_labels(b, name, &r->v[i], NULL);
        put_figure(b, &r->v[i].u, f, r->at_ns);
    }
}

static void machine(struct buf *b, const struct usage_report *r, const char *name, const char *type,
                    const char *help, enum figure f) {
    head(b, name, type, help);
    buf_printf(b, "%s ", name);
    put_figure(b, &r->machine, f, r->at_ns);
}

void usage_resource(struct buf *b, const struct usage_report *r) {
    static const char cpu[] = "Cumulative cpu time consumed, in core-seconds";
    static const char memory[] = "Current working set, in bytes";
    containers(b, r, "container_cpu_usage_seconds_total", "counter", cpu, FIGURE_CPU);
    containers(b, r, "container_memory_working_set_bytes", "gauge", memory, FIGURE_WORKING_SET);
    head(b, "container_start_time_seconds", "gauge", "Start, in seconds since 1970");
    for (size_t i = 0; i < r->n; i++)
        for (size_t j = 0; j < r->v[i].n; j++) {
            put_labels(b, "container_start_time_seconds", &r->v[i], &r->v[i].v[j]);
            buf_printf(b, "%.9g\n", (double)r->v[i].v[j].started_ns / 1e9);
        }
    machine(b, r, "node_cpu_usage_seconds_total", "counter", cpu, FIGURE_CPU);
    machine(b, r, "node_memory_working_set_bytes", "gauge", memory, FIGURE_WORKING_SET);
    pods(b, r, "pod_cpu_usage_seconds_total", "counter", cpu, FIGURE_CPU);
    pods(b, r, "pod_memory_working_set_bytes", "gauge", memory, FIGURE_WORKING_SET);
    head(b, "resource_scrape_error", "gauge", "1 when something could not be read");
    buf_str(b, "resource_scrape_error 0\n");
}

/* With the labels that cAdvisor gives; the pod's own group has an empty container. */
static void cadvisor(struct buf *b, const struct usage_report *r, const char *name,
                     const char *type, const char *help, enum figure f) {
    head(b, name, type, help);
    for (size_t i = 0; i < r->n; i++)
        for (size_t j = 0; j <= r->v[i].n; j++) {
            const struct usage_pod *p = &r->v[i];
            const struct usage_container *c = j < p->n ? &p->v[j] : NULL;
            buf_printf(b, "%s{", name);
            put_label(b, "container", c ? c->name : "", true);
            if (f == FIGURE_CPU) put_label(b, "cpu", "total", false);
            buf_printf(b, ",id=\"/pod%s%s%s\"", p->uid, c ? "/" : "", c ? c->id : "");
            put_label(b, "image", c ? c->image : "", false);
            put_label(b, "name", c ? c->id : "", false);
            put_label(b, "namespace", p->ns, false);
            put_label(b, "pod", p->name, false);
            buf_str(b, "} ");
            put_figure(b, c ? &c->u : &p->u, f, r->at_ns);
        }
}

void usage_cadvisor(struct buf *b, const struct usage_report *r) {
    cadvisor(b, r, "container_cpu_usage_seconds_total", "counter",
             "Cumulative cpu time consumed, in core-seconds", FIGURE_CPU);
    cadvisor(b, r, "container_memory_working_set_bytes", "gauge", "Current working set, in bytes",
             FIGURE_WORKING_SET);
    cadvisor(b, r, "container_memory_usage_bytes", "gauge", "Memory in use, in bytes",
             FIGURE_USAGE);
    cadvisor(b, r, "container_memory_rss", "gauge", "Anonymous memory, in bytes", FIGURE_RSS);
    cadvisor(b, r, "container_memory_cache", "gauge", "Page cache, in bytes", FIGURE_CACHE);
    head(b, "container_spec_memory_limit_bytes", "gauge", "Memory limit; 0 is none");
    for (size_t i = 0; i < r->n; i++)
        for (size_t j = 0; j < r->v[i].n; j++) {
            put_labels(b, "container_spec_memory_limit_bytes", &r->v[i], &r->v[i].v[j]);
            buf_printf(b, "%" PRIu64 "\n", r->v[i].v[j].memory_limit_bytes);
        }
    head(b, "machine_cpu_cores", "gauge", "CPUs of this machine");
    buf_printf(b, "machine_cpu_cores %.9g\n", (double)r->cpus_milli / 1000.0);
    head(b, "machine_memory_bytes", "gauge", "Memory of this machine");
    buf_printf(b, "machine_memory_bytes %" PRId64 "\n", r->memory_bytes);
}

void usage_agent(struct buf *b, const struct usage_report *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) n += r->v[i].n;
    head(b, "kubelet_node_name", "gauge", "The node's name. The count is always 1");
    buf_str(b, "kubelet_node_name{");
    put_label(b, "node", r->node, true);
    buf_str(b, "} 1\n");
    head(b, "kubelet_running_pods", "gauge", "Pods with a running container");
    buf_printf(b, "kubelet_running_pods %zu\n", r->n);
    head(b, "kubelet_running_containers", "gauge", "Running containers");
    buf_printf(b, "kubelet_running_containers{container_state=\"running\"} %zu\n", n);
}
