/*
 * What this machine and its containers use: CPU time and memory, asked of the broker when
 * somebody asks. A rate needs two looks: the second comes a moment after the first, unless there
 * was one within the last minute.
 */
#pragma once

#include "node/agent.h"

struct usage {
    uint64_t cpu_ns;    /* since it started */
    uint64_t nanocores; /* now: nanoseconds of CPU per second */
    uint64_t working_set_bytes, usage_bytes, rss_bytes, cache_bytes;
    bool known, rated; /* the rest holds; nanocores holds */
};

struct usage_container {
    const char *name, *id, *image;
    int64_t started_ns;
    uint64_t memory_limit_bytes; /* 0 = none */
    struct usage u;
};
struct usage_pod {
    const char *ns, *name, *uid;
    int64_t started_ns;
    struct usage u; /* of the pod's own control group */
    struct usage_container *v;
    size_t n;
};
struct usage_report {
    const char *node;
    int64_t at_ns, window_ns, boot_ns; /* wall clock; window: what the rates are means of */
    int64_t cpus_milli, memory_bytes, available_bytes;
    struct usage machine;
    struct usage_pod *v;
    size_t n;
};

/* Called once, from the loop; everything is borrowed. */
typedef void usage_fn(void *user, const struct usage_report *r);
struct usage_wish;
struct usage_wish *usage_ask(struct agent *g, usage_fn *fn, void *user);
void usage_cancel(struct usage_wish *w); /* before fn was called; NULL is allowed */

/* ---- usage_text.c: pure ---- */
void usage_summary(struct buf *b, const struct usage_report *r);  /* /stats/summary, JSON */
void usage_resource(struct buf *b, const struct usage_report *r); /* /metrics/resource */
void usage_cadvisor(struct buf *b, const struct usage_report *r); /* /metrics/cadvisor */
void usage_agent(struct buf *b, const struct usage_report *r);    /* /metrics */
