/* DNS queries: what parses can be answered, and the answer stays within the client's size. */
#include "base/own.h"
#include "fuzz/fuzz.h"
#include "proto/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(buf_done) struct buf out = {0};
    struct dns_query q;
    struct dns_answer a;
    if (dns_parse_query(slice_from(data, size), &q) < 0) return 0;
    dns_begin(&a, &out, &q);
    for (uint32_t i = 0; i < 40; i++) dns_a(&a, q.name, 5, i);
    dns_srv(&a, q.name, 5, 80, 100, q.name);
    dns_soa(&a, "cluster.local", 5);
    dns_end(&a, &q, DNS_OK, true, q.udp_bytes);
    FUZZ_ASSERT(out.n <= q.udp_bytes);
    return 0;
}
