/*
 * Requests to the broker: any bytes. The first byte picks the message. Invariants: what decodes
 * packs to bytes that decode to the same bytes again; the checks of the broker's request read it
 * without harm.
 */
#include "base/own.h"
#include "broker/check.h"
#include "fuzz.h"
#include "wire/broker.h"

static struct arena *arena;

#define ROUND_TRIP(kind, s, check)                                                                 \
    do {                                                                                           \
        struct broker_##kind first, second;                                                        \
        struct err err;                                                                            \
        if (broker_##kind##_unpack((s), arena, &first) < 0) break;                                 \
        OWN(buf_done) struct buf one = {0}, two = {0};                                             \
        broker_##kind##_pack(&one, &first);                                                        \
        FUZZ_ASSERT(broker_##kind##_unpack(buf_view(&one), arena, &second) == 0);                  \
        broker_##kind##_pack(&two, &second);                                                       \
        FUZZ_ASSERT(slice_eq(buf_view(&one), buf_view(&two)));                                     \
        check(&first, &err);                                                                       \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    if (!arena) arena = arena_new();
    arena_reset(arena);
    struct slice s = slice_from(data + 1, size - 1);
    switch (data[0] % 5) {
    case 0: ROUND_TRIP(pod, s, check_pod); break;
    case 1: ROUND_TRIP(container, s, check_container); break;
    case 2: ROUND_TRIP(exec, s, check_exec); break;
    case 3: ROUND_TRIP(volume, s, check_volume); break;
    default: ROUND_TRIP(volume_write, s, check_volume_write); break;
    }
    return 0;
}
