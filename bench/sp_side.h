/*
 * One end of a messaging system, as the programs bench_sp_NAME measure it (sp_load.c): each system
 * is one file that defines these functions. All of them block; what fails ends the program with a
 * line.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct side;

/* role: pub, sub (of everything), req, rep. address: what the system takes for one; for ours it is
 * the directory of a topology. Returns when it is connected and, for sub, subscribed. */
struct side *side_open(const char *role, const char *address);
void side_send(struct side *s, const void *p, size_t n);
/* As many messages of n bytes one behind the other, in the fastest way there is. */
void side_send_many(struct side *s, const void *p, size_t n, size_t count);
void side_flush(struct side *s); /* nothing is kept back any more */
/* The length of the next message, -1: none has come within ms. */
long side_receive(struct side *s, void *p, size_t n, int ms);
uint64_t side_lost(struct side *s); /* that the system itself has counted */
void side_close(struct side *s);    /* after what was sent is on its way */

__attribute__((noreturn, format(printf, 1, 2))) void side_die(const char *format, ...);
