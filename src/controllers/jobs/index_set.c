#include "controllers/jobs/index_set.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/own.h"

static void push(struct arena *a, struct index_set *s, int32_t first, int32_t last) {
    struct index_run *end = s->n ? &s->v[s->n - 1] : NULL;
    if (end && (int64_t)first <= (int64_t)end->last + 1) {
        end->last = MAX_OF(end->last, last);
        return;
    }
    *ARENA_PUSH(a, s) = (struct index_run){first, last};
}

static int by_first(const void *x, const void *y) {
    const struct index_run *a = x, *b = y;
    return (a->first > b->first) - (a->first < b->first);
}

static int by_value(const void *x, const void *y) {
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    return (a > b) - (a < b);
}

struct index_set index_set_parse(struct arena *a, const char *text, int32_t limit) {
    struct index_set raw = {0}, out = {0};
    struct slice left = slice_of(str_or(text, "")), part, low_text;
    while (slice_cut(&left, ',', &part)) {
        uint64_t low, high;
        slice_cut(&part, '-', &low_text);
        if (slice_u64(low_text, &low) < 0) continue;
        high = low;
        if (part.p && slice_u64(part, &high) < 0) continue;
        if (limit <= 0 || low >= (uint64_t)limit || high < low) continue;
        high = MIN_OF(high, (uint64_t)limit - 1);
        *ARENA_PUSH(a, &raw) = (struct index_run){(int32_t)low, (int32_t)high};
    }
    if (raw.n) qsort(raw.v, raw.n, sizeof *raw.v, by_first);
    for (size_t i = 0; i < raw.n; i++) push(a, &out, raw.v[i].first, raw.v[i].last);
    return out;
}

struct index_set index_set_union(struct arena *a, struct index_set x, struct index_set y) {
    struct index_set out = {0};
    size_t i = 0, j = 0;
    while (i < x.n || j < y.n) {
        bool left = j == y.n || (i < x.n && x.v[i].first <= y.v[j].first);
        struct index_run r = left ? x.v[i++] : y.v[j++];
        push(a, &out, r.first, r.last);
    }
    return out;
}

struct index_set index_set_with(struct arena *a, struct index_set s, struct index_list more) {
    struct index_set added = {0};
    if (!more.n) return s;
    qsort(more.v, more.n, sizeof *more.v, by_value);
    for (size_t i = 0; i < more.n; i++) push(a, &added, more.v[i], more.v[i]);
    return index_set_union(a, s, added);
}

/* The run that holds the index or the first one behind it. */
static size_t find(struct index_set s, int32_t index) {
    size_t low = 0, high = s.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s.v[mid].last < index)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool index_set_has(struct index_set s, int32_t index) {
    size_t i = find(s, index);
    return i < s.n && s.v[i].first <= index;
}

int64_t index_set_count(struct index_set s) {
    int64_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += (int64_t)s.v[i].last - s.v[i].first + 1;
    return n;
}

int64_t index_set_common(struct index_set x, struct index_set y) {
    int64_t n = 0;
    for (size_t i = 0, j = 0; i < x.n && j < y.n;) {
        int32_t first = MAX_OF(x.v[i].first, y.v[j].first);
        int32_t last = MIN_OF(x.v[i].last, y.v[j].last);
        if (first <= last) n += (int64_t)last - first + 1;
        if (x.v[i].last < y.v[j].last)
            i++;
        else
            j++;
    }
    return n;
}

int32_t index_set_gap(struct index_set s, int32_t from) {
    size_t i = find(s, from);
    return i < s.n && s.v[i].first <= from ? s.v[i].last + 1 : from;
}

const char *index_set_text(struct arena *a, struct index_set s) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < s.n; i++) {
        if (i) buf_char(&b, ',');
        buf_i64(&b, s.v[i].first);
        if (s.v[i].last == s.v[i].first) continue;
        buf_char(&b, s.v[i].last == s.v[i].first + 1 ? ',' : '-');
        buf_i64(&b, s.v[i].last);
    }
    return b.n ? arena_strn(a, buf_view(&b)) : NULL;
}
