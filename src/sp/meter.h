/* Rates: what a counter has grown by in the last second or so. */
#pragma once

#include <stdint.h>

struct sp_meter {
    uint64_t messages, bytes, at_ms; /* at the last look */
    uint64_t messages_per_second, bytes_per_second;
};

static inline void sp_meter_look(struct sp_meter *m, uint64_t messages, uint64_t bytes,
                                 uint64_t now_ms) {
    uint64_t passed_ms = now_ms - m->at_ms;
    if (passed_ms < 100) return;
    if (m->at_ms && messages >= m->messages && bytes >= m->bytes) {
        m->messages_per_second = ((messages - m->messages) * 1000 + passed_ms / 2) / passed_ms;
        m->bytes_per_second = ((bytes - m->bytes) * 1000 + passed_ms / 2) / passed_ms;
    }
    m->messages = messages;
    m->bytes = bytes;
    m->at_ms = now_ms;
}
