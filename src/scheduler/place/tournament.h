/*
 * The best of many numbers by place, kept while they change: a tree whose inner nodes are the best
 * of eight, which share a line of the processor's cache. Level m (a power of two) stands in m…2m,
 * the next one up is m / 8, the last one 1: tree[1] is the best of all, leaves begin at width.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Zeroed; freed with free(). width: a power of two. */
uint64_t *tournament_new(size_t width);
/* Those leaves have other values now: what is above them follows. at is used up. */
void tournament_raise(uint64_t *tree, size_t width, uint32_t *at, size_t n);
void tournament_raise_all(uint64_t *tree, size_t width);
