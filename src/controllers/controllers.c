/* The service `controllers`: the engine with every reconciler that is linked in. */
#include <stdlib.h>

#include "client/engine.h"
#include "proc/service.h"

enum { WRITES_AT_ONCE = 16 };

static struct {
    struct api_client *client;
    const struct reconciler **list;
    struct engine *engine;
} state;

static int start(struct service_ctx *ctx, struct err *err) {
    (void)err;
    size_t n;
    state.client = api_client_new(ctx->loop, "api.sock");
    api_client_widen(state.client, WRITES_AT_ONCE);
    state.list = reconcilers(&n);
    state.engine = engine_new(ctx->loop, state.client, state.list, n, "controllers");
    service_ready(ctx);
    return 0;
}

static bool stop(struct service_ctx *ctx) {
    (void)ctx;
    engine_free(state.engine);
    api_client_free(state.client);
    free(state.list);
    return false;
}

static const struct service controllers_service = {
    .name = "controllers", .start = start, .stop = stop};
SERVICE(controllers_service);
