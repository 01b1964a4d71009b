/* Why no node fits, in upstream's words. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/place/plugin.h"

__attribute__((format(printf, 2, 0))) static void refuse(struct sched_why *why, const char *fmt,
                                                         va_list ap) {
    if (why && why->n < ARRAY_LEN(why->text))
        vsnprintf(why->text[why->n++], SCHED_REASON_MAX, fmt, ap);
}

bool sched_refuse(struct sched_why *why, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    refuse(why, fmt, ap);
    va_end(ap);
    return false;
}

bool sched_refuse_for_good(struct sched_why *why, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    refuse(why, fmt, ap);
    va_end(ap);
    if (why) why->hopeless = true;
    return false;
}

static int by_text(const void *x, const void *y) {
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

const char *tally_text(struct arena *a, size_t n_nodes, const struct tally *t) {
    OWN(buf_done) struct buf b = {0};
    const char **lines = ARENA_ARRAY(a, const char *, t->n + 1);
    for (size_t i = 0; i < t->n; i++)
        lines[i] = arena_printf(a, "%zu %s", t->v[i].nodes, t->v[i].reason);
    qsort(lines, t->n, sizeof *lines, by_text);
    buf_printf(&b, "0/%zu nodes are available", n_nodes);
    for (size_t i = 0; i < t->n; i++) buf_printf(&b, "%s %s", i ? "," : ":", lines[i]);
    buf_char(&b, '.');
    return arena_strn(a, buf_view(&b));
}
