/* How `atoll why` says what it found out: for people, and as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "cli/why.h"

enum { SOME_NODES = 10, SOME_NAMES = 5 };

static int32_t priority(const struct core_v1_pod *p) {
    return p->spec.priority ? *p->spec.priority : 0;
}

/* ---- nodes that do not fit, grouped by what refuses them ---- */

struct group {
    const char *plugin, *reasons;
    const char **names;
    size_t n;
};

static const char *joined(struct arena *a, const struct sched_why *why) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < why->n; i++) buf_printf(&b, "%s%s", i ? ", " : "", why->text[i]);
    return arena_strn(a, buf_view(&b));
}

static int larger_first(const void *x, const void *y) {
    const struct group *p = x, *q = y;
    return p->n != q->n ? (p->n < q->n) - (p->n > q->n) : strcmp(p->reasons, q->reasons);
}

static struct group *grouped(const struct why *w, size_t *ret_n) {
    const struct explanation *e = &w->explanation;
    struct group *v = ARENA_ARRAY(w->a, struct group, e->n + 1);
    size_t n = 0;
    for (size_t i = 0; i < e->n; i++) {
        const struct explain_node *node = &e->nodes[i];
        if (node->fits) continue;
        const char *reasons = joined(w->a, node->why);
        size_t at = 0;
        while (at < n &&
               !(str_eq(v[at].reasons, reasons) && str_eq(v[at].plugin, node->why->plugin)))
            at++;
        if (at == n)
            v[n++] = (struct group){.plugin = str_or(node->why->plugin, "-"),
                                    .reasons = reasons,
                                    .names = ARENA_ARRAY(w->a, const char *, e->n)};
        v[at].names[v[at].n++] = node->name;
    }
    qsort(v, n, sizeof *v, larger_first);
    *ret_n = n;
    return v;
}

static void print_names(const struct why *w, const char *const *names, size_t n) {
    size_t shown = w->all ? n : MIN_OF(n, (size_t)SOME_NAMES);
    for (size_t i = 0; i < shown; i++) printf("%s%s", i ? ", " : "", names[i]);
    if (shown < n) printf(" and %zu more", n - shown);
}

static void print_refusals(const struct why *w) {
    size_t n, width = 6;
    const struct group *v = grouped(w, &n);
    if (!n) return;
    for (size_t i = 0; i < n; i++) width = MAX_OF(width, strlen(v[i].plugin));
    printf("\n%zu of %zu nodes do not fit:\n  %-*s  %5s  REASON\n",
           w->explanation.n - w->explanation.n_fit, w->explanation.n, (int)width, "FILTER",
           "NODES");
    for (size_t i = 0; i < n; i++) {
        printf("  %-*s  %5zu  %s (", (int)width, v[i].plugin, v[i].n, v[i].reasons);
        print_names(w, v[i].names, v[i].n);
        puts(")");
    }
}

static void print_preemption(const struct why *w) {
    const struct explanation *e = &w->explanation;
    if ((e->n_fit && !e->preempts_on) || !e->n) return;
    if (e->barred) {
        printf("\nIt may not take the room of other pods: %s\n", e->barred);
        return;
    }
    if (!e->preempts_on) {
        puts("\nTo remove pods of lower priority would not help.");
        return;
    }
    if (e->n_victims)
        printf("\nIt would take the room of others on node %s: ", e->preempts_on);
    else
        printf("\nIt fits on node %s once those are gone that leave it already.", e->preempts_on);
    print_names(w, e->victims, e->n_victims);
    puts("");
    if (e->n_fit) return;
    printf("Nodes where it would fit without pods of lower priority:");
    for (size_t i = 0; i < e->n; i++)
        if (e->nodes[i].victims)
            printf(" %s (%zu pod%s)", e->nodes[i].name, e->nodes[i].victims,
                   e->nodes[i].victims == 1 ? "" : "s");
    puts("");
}

/* ---- nodes that fit, the best first ---- */

static int better_first(const void *x, const void *y) {
    const struct explain_node *p = *(const struct explain_node *const *)x,
                              *q = *(const struct explain_node *const *)y;
    return p->total != q->total ? (p->total < q->total) - (p->total > q->total)
                                : strcmp(p->name, q->name);
}

static const struct explain_node **ranked(const struct why *w) {
    const struct explanation *e = &w->explanation;
    const struct explain_node **v = ARENA_ARRAY(w->a, const struct explain_node *, e->n_fit + 1);
    size_t n = 0;
    for (size_t i = 0; i < e->n; i++)
        if (e->nodes[i].fits) v[n++] = &e->nodes[i];
    qsort(v, n, sizeof(struct explain_node *), better_first);
    return v;
}

static bool same_everywhere(const struct explain_node *const *v, size_t n, size_t score) {
    for (size_t i = 1; i < n; i++)
        if (v[i]->scores[score].score != v[0]->scores[score].score) return false;
    return true;
}

static void print_score(const struct explain_score *s, bool *first) {
    printf("%s%s %d×%" PRId64, *first ? "" : ", ", s->plugin, s->weight, s->score);
    *first = false;
}

static void print_scores(const struct why *w) {
    const struct explanation *e = &w->explanation;
    const struct explain_node **v = ranked(w);
    size_t shown = w->all ? e->n_fit : MIN_OF(e->n_fit, (size_t)SOME_NODES), width = 4;
    if (!e->n_fit) return;
    for (size_t i = 0; i < shown; i++) width = MAX_OF(width, strlen(v[i]->name));
    printf("\n%zu of %zu nodes fit:\n  %-*s  TOTAL  SCORES (weight×score)\n", e->n_fit, e->n,
           (int)width, "NODE");
    for (size_t i = 0; i < shown; i++) {
        bool first = true;
        printf("%s %-*s  %5" PRId64 "  ", str_eq(v[i]->name, e->chosen) ? "*" : " ", (int)width,
               v[i]->name, v[i]->total);
        for (size_t k = 0; k < e->n_scores; k++)
            if (!same_everywhere(v, e->n_fit, k)) print_score(&v[i]->scores[k], &first);
        puts(first ? "-" : "");
    }
    if (shown < e->n_fit) printf("  and %zu more (--all)\n", e->n_fit - shown);
    bool first = true;
    printf("  the same on all: ");
    for (size_t k = 0; k < e->n_scores; k++)
        if (v[0]->scores[k].score && same_everywhere(v, e->n_fit, k))
            print_score(&v[0]->scores[k], &first);
    puts(first ? "nothing" : "");
}

/* ---- the pod ---- */

static bool is_registered(const struct explanation *e, const char *node) {
    for (size_t i = 0; i < e->n; i++)
        if (str_eq(e->nodes[i].name, node)) return true;
    return false;
}

/* Why it has no node although nothing about the pod itself stops it. */
static void print_hold(const struct explanation *e) {
    if (e->held) {
        size_t n = strlen(e->held);
        if (n && e->held[n - 1] == '.') n--;
        printf(": %.*s", (int)n, e->held);
        return;
    }
    if (!e->chosen) return;
    printf(" yet: %s would be the best now", e->chosen);
    if (e->together > 1)
        printf(", but at least %d pods of its group get nodes together or none does", e->together);
}

static void print_state(const struct why *w) {
    const struct core_v1_pod *p = w->pod;
    const struct core_v1_pod_condition *c = pod_condition_get(p, "PodScheduled");
    if (!str_empty(p->spec.node_name)) {
        printf("Pod %s/%s is on node %s", p->metadata.namespace, p->metadata.name,
               p->spec.node_name);
        if (!is_registered(&w->explanation, p->spec.node_name))
            printf(", which is not registered: nobody runs it");
        if (c && str_eq(c->status, "True") && !str_empty(c->last_transition_time))
            printf(" since %s", c->last_transition_time);
        puts(pod_is_terminal(p) ? " (it has ended)." : ".");
        return;
    }
    printf("Pod %s/%s has no node", p->metadata.namespace, p->metadata.name);
    if (pod_is_terminal(p) || pod_is_terminating(p))
        printf(" and will get none: it %s", pod_is_terminal(p) ? "has ended" : "is being deleted");
    else if (p->spec.scheduling_gates.n) {
        printf(": it waits for %zu scheduling gate%s to be removed:", p->spec.scheduling_gates.n,
               p->spec.scheduling_gates.n == 1 ? "" : "s");
        for (size_t i = 0; i < p->spec.scheduling_gates.n; i++)
            printf("%s %s", i ? "," : "", p->spec.scheduling_gates.v[i].name);
    } else if (w->other_scheduler)
        printf(": schedulerName %s is of no profile here, another scheduler has to place it",
               str_or(p->spec.scheduler_name, ""));
    else
        print_hold(&w->explanation);
    puts(".");
}

static void print_request(const struct why *w) {
    const struct core_v1_pod *p = w->pod;
    struct pod_resources r = pod_requests(&p->spec);
    printf("It asks for %" PRId64 "m CPU and %" PRId64
           " MiB of memory, has priority %d%s%s%s, and %s profile %s.\n",
           r.cpu_milli, r.memory_bytes >> 20, priority(p),
           str_empty(p->spec.priority_class_name) ? "" : " (",
           str_or(p->spec.priority_class_name, ""),
           str_empty(p->spec.priority_class_name) ? "" : ")",
           w->other_scheduler ? "would be placed as follows by" : "is placed by",
           w->explanation.profile->name);
}

static void print_waiting(const struct why *w) {
    const struct core_v1_pod *p = w->pod;
    const struct core_v1_pod_condition *c = pod_condition_get(p, "PodScheduled");
    if (!str_empty(p->spec.node_name)) return;
    if (!str_empty(p->status.nominated_node_name))
        printf("It made room on node %s and waits until that is free.\n",
               p->status.nominated_node_name);
    if (c && str_eq(c->status, "False"))
        printf("Reported%s%s: %s: %s\n", c->last_transition_time ? " at " : "",
               str_or(c->last_transition_time, ""), str_or(c->reason, "-"),
               str_or(c->message, "-"));
    if (w->tries)
        printf("Tried in vain %d time%s, last at %s.\n", w->tries, w->tries == 1 ? "" : "s",
               str_or(w->last_try, "-"));
    if (!w->explanation.message) return;
    bool same = c && str_eq(c->message, w->explanation.message);
    printf("Now: %s\n", same ? "the same" : w->explanation.message);
}

void why_print_text(const struct why *w) {
    print_state(w);
    print_request(w);
    if (w->profiles_error)
        printf("The configuration of the scheduler is wrong and may not be what it goes by: %s\n",
               w->profiles_error);
    print_waiting(w);
    print_refusals(w);
    print_preemption(w);
    print_scores(w);
}

/* ---- JSON ---- */

static void member(struct buf *b, const char *name, const char *value) {
    buf_printf(b, ",\"%s\":", name);
    if (value)
        buf_json_str(b, slice_of(value));
    else
        buf_str(b, "null");
}

static void json_pod(struct buf *b, const struct why *w) {
    const struct core_v1_pod *p = w->pod;
    const struct core_v1_pod_condition *c = pod_condition_get(p, "PodScheduled");
    buf_printf(b, "{\"pod\":{\"priority\":%d", priority(p));
    member(b, "namespace", p->metadata.namespace);
    member(b, "name", p->metadata.name);
    member(b, "node", p->spec.node_name);
    member(b, "nominatedNode", p->status.nominated_node_name);
    member(b, "schedulerName", p->spec.scheduler_name);
    member(b, "reportedReason", c ? c->reason : NULL);
    member(b, "reportedMessage", c ? c->message : NULL);
    buf_str(b, ",\"gates\":[");
    for (size_t i = 0; i < p->spec.scheduling_gates.n; i++) {
        if (i) buf_char(b, ',');
        buf_json_str(b, slice_of(p->spec.scheduling_gates.v[i].name));
    }
    buf_printf(b, "],\"failures\":%d", w->tries);
    member(b, "lastFailure", w->last_try);
    buf_char(b, '}');
}

static void json_node(struct buf *b, const struct explanation *e, const struct explain_node *n) {
    buf_printf(b, "{\"fits\":%s", n->fits ? "true" : "false");
    member(b, "name", n->name);
    if (!n->fits) {
        member(b, "filter", n->why->plugin);
        buf_str(b, ",\"reasons\":[");
        for (size_t i = 0; i < n->why->n; i++) {
            if (i) buf_char(b, ',');
            buf_json_str(b, slice_of(n->why->text[i]));
        }
        buf_printf(b, "],\"victims\":%zu}", n->victims);
        return;
    }
    buf_printf(b, ",\"total\":%" PRId64 ",\"scores\":[", n->total);
    for (size_t i = 0; i < e->n_scores; i++) {
        buf_printf(b, "%s{\"weight\":%d,\"score\":%" PRId64, i ? "," : "", n->scores[i].weight,
                   n->scores[i].score);
        member(b, "plugin", n->scores[i].plugin);
        buf_char(b, '}');
    }
    buf_str(b, "]}");
}

void why_print_json(const struct why *w) {
    const struct explanation *e = &w->explanation;
    OWN(buf_done) struct buf b = {0};
    json_pod(&b, w);
    member(&b, "profile", e->profile->name);
    member(&b, "configurationError", w->profiles_error);
    member(&b, "best", e->chosen);
    member(&b, "held", e->held);
    member(&b, "message", e->message);
    member(&b, "preemptionBarred", e->barred);
    member(&b, "preemptsOn", e->preempts_on);
    buf_str(&b, ",\"victims\":[");
    for (size_t i = 0; i < e->n_victims; i++) {
        if (i) buf_char(&b, ',');
        buf_json_str(&b, slice_of(e->victims[i]));
    }
    buf_str(&b, "],\"nodes\":[");
    for (size_t i = 0; i < e->n; i++) {
        if (i) buf_char(&b, ',');
        json_node(&b, e, &e->nodes[i]);
    }
    buf_str(&b, "]}");
    puts(b.p);
}
