/*
 * What api says to egress before the bytes flow: any bytes. Invariants: what is taken for a prelude
 * packs to bytes that are taken for the same one; the policy reads any address without harm.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/own.h"
#include "egress/policy.h"
#include "fuzz.h"
#include "wire/egress.h"

static struct arena *arena;

static void look_up(const struct egress_prelude *p) {
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET6, p->host, &v6.sin6_addr) == 1)
        policy_allows((enum egress_policy)p->policy, (const struct sockaddr *)&v6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice body, again;
    size_t used;
    struct egress_prelude first, second;
    if (!arena) arena = arena_new();
    arena_reset(arena);
    if (egress_frame(slice_from(data, size), &body, &used) != 1) return 0;
    FUZZ_ASSERT(used <= size && body.n <= EGRESS_FRAME_MAX_BYTES);
    if (egress_prelude_unpack(body, arena, &first) < 0) return 0;
    OWN(buf_done) struct buf one = {0}, two = {0};
    egress_prelude_pack(&one, &first);
    FUZZ_ASSERT(egress_frame(buf_view(&one), &again, &used) == 1);
    FUZZ_ASSERT(egress_prelude_unpack(again, arena, &second) == 0);
    egress_prelude_pack(&two, &second);
    FUZZ_ASSERT(slice_eq(buf_view(&one), buf_view(&two)));
    look_up(&first);
    return 0;
}
