/*
 * Memory that clients make this process hold, over all connections: answers they do not read and
 * bodies they do not finish. Each alone is limited where it grows; these are the sums.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Copied bytes that wait to be sent: outq.c tells. Past LIMIT_HTTP_QUEUED_BYTES those who could
 * queue more in advance do not (request_memory_is_short). */
void budget_queued(size_t before, size_t now);
bool budget_is_short(void);

/* A body of `have` bytes wants `more`; small ones always may, also while large ones fill the
 * budget. */
bool budget_body_take(size_t have, size_t more);
void budget_body_give(size_t n);
