#include "server/transport/budget.h"

#include "base/limits.h"

enum { SMALL_BODY_BYTES = 64 * 1024 };

static size_t queued_bytes, body_bytes;

void budget_queued(size_t before, size_t now) { queued_bytes += now - before; }

bool budget_is_short(void) { return queued_bytes > LIMIT_HTTP_QUEUED_BYTES; }

bool budget_body_take(size_t have, size_t more) {
    if (have + more > SMALL_BODY_BYTES && body_bytes + more > LIMIT_HTTP_BODIES_BYTES) return false;
    body_bytes += more;
    return true;
}

void budget_body_give(size_t n) { body_bytes -= n; }
