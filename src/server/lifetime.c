#include "server/lifetime.h"

#include "api/codec/codec.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "server/transport/listener.h"

/* Well within the time that init gives a service. */
enum { FINISH_MS = 3000, FINISH_CHECK_MS = 20 };

bool request_is_long_running(const struct route *r) {
    static const char *const subs[] = {"exec", "attach", "portforward", "proxy", "log"};
    if (str_eq(r->verb, "watch")) return true;
    for (size_t i = 0; r->is_resource && *r->subresource && i < ARRAY_LEN(subs); i++)
        if (str_eq(r->subresource, subs[i])) return true;
    return false;
}

int request_set_deadline(struct call *c, struct err *err) {
    const char *text = http_query_get(&c->r->query, "timeout");
    int64_t ns = 0;
    if (request_is_long_running(&c->route)) return 0;
    if (!str_empty(text) && (duration_parse(text, &ns) < 0 || ns < 0))
        return err_set(err, ERR_BAD_REQUEST,
                       "invalid timeout specified in the request URL - time: invalid duration "
                       "\"%s\"",
                       text);
    uint64_t ms = (uint64_t)ns / 1000000;
    if (ms == 0 || ms > LIMIT_HTTP_REQUEST_MS) ms = LIMIT_HTTP_REQUEST_MS;
    c->r->deadline_ms = c->r->received_ms + ms;
    return 0;
}

static uint64_t finish_at_ms;

static void check_finished(void *user) {
    struct api *api = user;
    size_t left = server_connections(api->server);
    if (left && loop_now_ms(api->loop) < finish_at_ms) return;
    if (left) log_warn("api_connections_cut", "connections=%zu", left);
    seal_done(&api->seal);
    loop_stop(api->loop);
}

void api_finish(struct api *api) {
    if (api->stopping) return;
    api->stopping = true;
    if (api->server) {
        server_close(api->server);
        watches_end(api);
    }
    finish_at_ms = loop_now_ms(api->loop) + FINISH_MS;
    timer_start(timer_new(api->loop, check_finished, api), 1, FINISH_CHECK_MS);
}
