/* The two messages of grpc.health.v1 (protobuf, one field each). Pure. */
#include <errno.h>
#include <string.h>

#include "node/checks/grpc_check.h"

enum { FIELD_1_BYTES = 0x0a, FIELD_1_VARINT = 0x08, SERVICE_MAX = 0x3fff };

void grpc_health_request(struct buf *out, const char *service) {
    size_t n = service ? strlen(service) : 0;
    if (n > SERVICE_MAX) n = SERVICE_MAX;
    size_t body = n ? n + (n < 0x80 ? 2 : 3) : 0;
    char prefix[GRPC_PREFIX_BYTES] = {0, 0, 0, (char)(body >> 8), (char)(body & 0xff)};
    buf_append(out, prefix, sizeof prefix);
    if (!n) return;
    buf_char(out, FIELD_1_BYTES);
    if (n >= 0x80) buf_char(out, (char)((n & 0x7f) | 0x80));
    buf_char(out, (char)(n >= 0x80 ? n >> 7 : n));
    buf_append(out, service, n);
}

int grpc_health_status(struct slice m) {
    const unsigned char *p = (const unsigned char *)m.p;
    if (m.n < GRPC_PREFIX_BYTES || p[0] != 0) return -EBADMSG; /* compressed: never asked for */
    size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (n != m.n - GRPC_PREFIX_BYTES) return -EBADMSG;
    if (n == 0) return 0; /* a zero enum is left out */
    if (n < 2 || p[GRPC_PREFIX_BYTES] != FIELD_1_VARINT || p[GRPC_PREFIX_BYTES + 1] > 3)
        return -EBADMSG;
    return p[GRPC_PREFIX_BYTES + 1];
}
