#include "client/status.h"

#include "api/registry.h"
#include "base/own.h"

/* Reasons that matter to callers, for answers without a Status. */
static const struct {
    int http;
    enum err_reason reason;
} by_http[] = {
    {400, ERR_BAD_REQUEST},
    {401, ERR_UNAUTHORIZED},
    {403, ERR_FORBIDDEN},
    {404, ERR_NOT_FOUND},
    {405, ERR_METHOD_NOT_ALLOWED},
    {406, ERR_NOT_ACCEPTABLE},
    {409, ERR_CONFLICT},
    {410, ERR_GONE},
    {413, ERR_TOO_LARGE},
    {415, ERR_UNSUPPORTED_MEDIA_TYPE},
    {422, ERR_INVALID},
    {429, ERR_TOO_MANY_REQUESTS},
    {503, ERR_UNAVAILABLE},
    {504, ERR_TIMEOUT},
};

static enum err_reason reason_of_http(int http) {
    for (size_t i = 0; i < ARRAY_LEN(by_http); i++)
        if (by_http[i].http == http) return by_http[i].reason;
    return ERR_INTERNAL;
}

int api_status_err(int http_status, struct slice body, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    void *decoded;
    enum err_reason fallback = reason_of_http(http_status);
    if (api_decode(a, &meta_v1_status_type, body, NULL, &decoded, NULL) == 0) {
        const struct meta_v1_status *s = decoded;
        if (str_eq(s->kind, "Status")) {
            enum err_reason reason = str_empty(s->reason) ? fallback : err_reason_parse(s->reason);
            return err_set(err, reason, "%s", str_or(s->message, "no message"));
        }
    }
    return err_set(err, fallback, "the API server answered with HTTP status %d", http_status);
}

int api_status_object_err(struct slice status, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    void *decoded;
    int code = 500;
    if (api_decode(a, &meta_v1_status_type, status, NULL, &decoded, NULL) == 0)
        code = ((const struct meta_v1_status *)decoded)->code;
    return api_status_err(code, status, err);
}
