/*
 * Histograms in which older samples weigh less and less: what recommendations of resources are made
 * from. Buckets grow by 5 %, so a percentile is known to about that. A sample's weight halves with
 * each half-life; instead of making the old ones lighter, newer ones weigh more. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

enum { HISTOGRAM_BUCKETS_MAX = 176 };

/* The ranges that the field uses: up to 1000 cores from 0.01, up to 1 TB from 10 MB. */
struct histogram_scale {
    double first, most; /* the upper end of bucket 0; what the last one begins below */
    int buckets;
};
extern const struct histogram_scale histogram_cpu, histogram_memory;

struct histogram {
    const struct histogram_scale *scale;
    int64_t reference_ns; /* a sample of this time weighs what its weight says */
    double weights[HISTOGRAM_BUCKETS_MAX];
    double total;
};

void histogram_init(struct histogram *h, const struct histogram_scale *scale);
/* weight < 0 takes a sample away that was added at that time. */
void histogram_add(struct histogram *h, double value, double weight, int64_t at_ns);
bool histogram_empty(const struct histogram *h);
/* The upper end of the bucket that holds the percentile (0 to 1); 0 when empty. */
double histogram_percentile(const struct histogram *h, double percentile);

/* All of it, exactly, as one line of text for a note. */
void histogram_pack(const struct histogram *h, struct buf *b);
bool histogram_unpack(struct histogram *h, struct slice line); /* false: malformed, h is empty */

/* Weights relative to the heaviest, as whole numbers up to 10000: {"0":10000,"7":12}. */
void histogram_write(const struct histogram *h, struct buf *b);
/* The reverse; total is the sum of weights. false: malformed, h is then empty. */
bool histogram_read(struct histogram *h, struct slice json, double total, int64_t reference_ns);
