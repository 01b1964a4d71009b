/*
 * What lies between the processes and the API: latency, answers that get lost, watches that lag,
 * break off or repeat themselves. Stands in for the sockets of client/connection.h.
 */
#pragma once

#include "sim/api.h"

void wire_new(struct sim *s);
void wire_free(struct sim *s);
/* Every connection of the process breaks; refuse: no new one is made either. */
void wire_cut(struct sim *s, const char *process, bool refuse);
/* One stream of events breaks off, with what it has not told yet; compacted: and its reader has to
 * list again. n chooses which. */
void wire_break_watch(struct sim *s, uint64_t n, bool compacted);
/* That one tells nothing for so long. */
void wire_hold_watch(struct sim *s, uint64_t n, uint64_t for_us);
/* That one tells its last changes once more. */
void wire_repeat_watch(struct sim *s, uint64_t n);

struct sim_wire_stats {
    uint64_t requests, lists, watches, changes_told;
};
struct sim_wire_stats wire_stats(const struct sim *s);
