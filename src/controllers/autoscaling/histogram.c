#include "controllers/autoscaling/histogram.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/skim.h"

static const double growth = 1.05;       /* of a bucket over the one before */
static const double negligible = 0.0001; /* a weight that counts as none */
static const double half_life_ns = 24.0 * 3600 * 1e9;
static const double exponent_most = 100; /* before the reference moves on */
static const double heaviest = 10000;    /* of a written histogram */

const struct histogram_scale histogram_cpu = {0.01, 1000, 176};
const struct histogram_scale histogram_memory = {1e7, 1e12, 176};

void histogram_init(struct histogram *h, const struct histogram_scale *scale) {
    memset(h, 0, sizeof *h);
    h->scale = scale;
}

static double bucket_start(const struct histogram_scale *s, int bucket) {
    return bucket ? s->first * (pow(growth, bucket) - 1) / (growth - 1) : 0;
}

static int bucket_of(const struct histogram_scale *s, double value) {
    if (!(value >= s->first)) return 0;
    double n = floor(log(value * (growth - 1) / s->first + 1) / log(growth) + 1e-9);
    return n >= s->buckets ? s->buckets - 1 : (int)n;
}

/* Moves the reference so that exponents stay small: all older weights shrink. */
static void shift(struct histogram *h, int64_t to_ns) {
    double factor = exp2((double)(h->reference_ns - to_ns) / half_life_ns);
    h->total *= factor;
    for (int i = 0; i < h->scale->buckets; i++) h->weights[i] *= factor;
    h->reference_ns = to_ns;
}

void histogram_add(struct histogram *h, double value, double weight, int64_t at_ns) {
    if (!isfinite(value) || value < 0) return;
    if (!h->reference_ns) h->reference_ns = at_ns;
    if ((double)(at_ns - h->reference_ns) > exponent_most * half_life_ns) shift(h, at_ns);
    weight *= exp2((double)(at_ns - h->reference_ns) / half_life_ns);
    int i = bucket_of(h->scale, value);
    if (weight < 0 && -weight > h->weights[i]) weight = -h->weights[i];
    h->weights[i] += weight;
    h->total += weight;
    if (h->weights[i] < negligible) {
        h->total -= h->weights[i];
        h->weights[i] = 0;
    }
    if (h->total < 0) h->total = 0;
}

bool histogram_empty(const struct histogram *h) {
    for (int i = 0; i < h->scale->buckets; i++)
        if (h->weights[i] >= negligible) return false;
    return true;
}

double histogram_percentile(const struct histogram *h, double percentile) {
    double sum = 0, wanted = percentile * h->total;
    int last = 0, i = 0;
    if (histogram_empty(h)) return 0;
    for (int k = 0; k < h->scale->buckets; k++)
        if (h->weights[k] >= negligible) last = k;
    for (; i < last; i++) {
        sum += h->weights[i];
        if (sum >= wanted) break;
    }
    return bucket_start(h->scale, i + 1 < h->scale->buckets ? i + 1 : i);
}

void histogram_pack(const struct histogram *h, struct buf *b) {
    buf_printf(b, "%" PRId64 " %.17g", h->reference_ns, h->total);
    for (int i = 0; i < h->scale->buckets; i++)
        if (h->weights[i] > 0) buf_printf(b, " %d %.17g", i, h->weights[i]);
}

static bool next_double(struct slice *line, double *ret) {
    struct slice word;
    char text[40] = "", *end;
    if (!line->n) return false;
    slice_cut(line, ' ', &word);
    if (!word.n || word.n >= sizeof text) return false;
    memcpy(text, word.p, word.n);
    *ret = strtod(text, &end);
    return !*end && isfinite(*ret) && *ret >= 0;
}

bool histogram_unpack(struct histogram *h, struct slice line) {
    struct slice word;
    uint64_t reference;
    double bucket, weight;
    histogram_init(h, h->scale);
    slice_cut(&line, ' ', &word);
    if (slice_u64(word, &reference) < 0 || reference > INT64_MAX || !next_double(&line, &h->total))
        return false;
    h->reference_ns = (int64_t)reference;
    while (line.n) {
        if (!next_double(&line, &bucket) || !next_double(&line, &weight) ||
            bucket >= h->scale->buckets) {
            histogram_init(h, h->scale);
            return false;
        }
        h->weights[(int)bucket] = weight;
    }
    return true;
}

void histogram_write(const struct histogram *h, struct buf *b) {
    double most = 0;
    bool any = false;
    for (int i = 0; i < h->scale->buckets; i++) most = fmax(most, h->weights[i]);
    buf_char(b, '{');
    for (int i = 0; i < h->scale->buckets && most > 0; i++) {
        int weight = (int)lround(h->weights[i] / most * heaviest);
        if (weight <= 0) continue;
        buf_printf(b, "%s\"%d\":%d", any ? "," : "", i, weight);
        any = true;
    }
    buf_char(b, '}');
}

bool histogram_read(struct histogram *h, struct slice json, double total, int64_t reference_ns) {
    struct skim members = skim_init(json);
    struct slice key, value;
    double sum = 0;
    histogram_init(h, h->scale);
    while (skim_member(&members, &key, &value)) {
        uint64_t bucket, weight;
        if (slice_u64(key, &bucket) < 0 || slice_u64(value, &weight) < 0 ||
            bucket >= (uint64_t)h->scale->buckets || weight > (uint64_t)heaviest) {
            histogram_init(h, h->scale);
            return false;
        }
        h->weights[bucket] = (double)weight;
        sum += (double)weight;
    }
    if (!(total > 0) || !isfinite(total) || !(sum > 0)) {
        histogram_init(h, h->scale);
        return sum == 0;
    }
    for (int i = 0; i < h->scale->buckets; i++) h->weights[i] *= total / sum;
    h->total = total;
    h->reference_ns = reference_ns;
    return true;
}
