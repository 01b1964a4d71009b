#include "server/keys_link.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"

enum { RETRY_MS = 10, SIGN_TIMEOUT_MS = 2000 };

static struct {
    struct timer *retry;
    const char *path;
    void (*ready)(void *user);
    bool has_public, has_seal, told;
} link_state;

static void on_closed(struct ipc *c, void *user) {
    struct api *api = user;
    api->keys_ipc = NULL;
    timer_start(link_state.retry, RETRY_MS, 0);
}

static void on_message(struct ipc *c, struct ipc_msg *m, void *user) {}

static void tell_if_complete(struct api *api) {
    if (link_state.told || !link_state.has_public || !link_state.has_seal) return;
    link_state.told = true;
    link_state.ready(api);
}

static void on_public(struct ipc *c, struct ipc_msg *m, void *user) {
    struct api *api = user;
    if (!m || m->type != KEYS_PUBLIC_OK || link_state.has_public) return;
    if (keys_public_unpack(m->body, api->arena, &api->keys) < 0) {
        log_error("keys_malformed", "message=public");
        return;
    }
    link_state.has_public = true;
    tell_if_complete(api);
}

static void on_seal(struct ipc *c, struct ipc_msg *m, void *user) {
    struct api *api = user;
    if (!m || m->type != KEYS_SEAL_OK) return;
    if (keys_seal_unpack(m->body, &api->seal.keys) < 0 || !api->seal.keys.n) {
        log_error("keys_malformed", "message=seal");
        return;
    }
    link_state.has_seal = true;
    tell_if_complete(api);
}

static void connect_now(void *user) {
    struct api *api = user;
    if (api->keys_ipc) return;
    struct ipc_handler h = {on_message, on_closed, api};
    if (ipc_connect(api->loop, link_state.path, &h, &api->keys_ipc, NULL) < 0) {
        api->keys_ipc = NULL;
        timer_start(link_state.retry, RETRY_MS, 0);
        return;
    }
    if (!link_state.has_public)
        ipc_call(api->keys_ipc, KEYS_PUBLIC, SLICE(""), NULL, 0, on_public, api);
    /* Also after keys was restarted: there may be a new one. */
    ipc_call(api->keys_ipc, KEYS_SEAL, SLICE(""), NULL, 0, on_seal, api);
}

void keys_link_start(struct api *api, const char *path, void (*ready)(void *user)) {
    link_state.path = path;
    link_state.ready = ready;
    link_state.retry = timer_new(api->loop, connect_now, api);
    timer_start(link_state.retry, 0, 0);
}

int keys_link_sign(void *user, struct slice digest, struct buf *ret_der, struct err *err) {
    struct api *api = user;
    for (int attempt = 0;; attempt++) {
        if (api->keys_fd < 0) {
            int rc = ipc_connect_blocking(link_state.path, &api->keys_fd, err);
            if (rc < 0) {
                api->keys_fd = -1;
                return rc;
            }
        }
        uint16_t type = 0;
        OWN(buf_done) struct buf body = {0};
        int rc = ipc_call_blocking(api->keys_fd, KEYS_SIGN_TLS, digest, NULL, 0, SIGN_TIMEOUT_MS,
                                   &type, &body, NULL, 0, NULL, err);
        if (rc == 0 && type == KEYS_SIGN_TLS_OK) {
            buf_append(ret_der, body.p, body.n);
            return 0;
        }
        if (rc == 0 && type == IPC_ERROR) return ipc_decode_error(buf_view(&body), err);
        close(api->keys_fd); /* keys was restarted: once more on a new connection */
        api->keys_fd = -1;
        if (attempt) return rc < 0 ? rc : err_set(err, ERR_INTERNAL, "keys answered nonsense");
    }
}

struct sign_call {
    keys_signed_fn *fn;
    void *user;
    uint16_t answer;
};

static void on_signed(struct ipc *c, struct ipc_msg *m, void *user) {
    struct sign_call t = *(struct sign_call *)user;
    free(user);
    struct err err;
    if (m && m->type == t.answer) {
        t.fn(t.user, m->body, NULL);
        return;
    }
    if (m && m->type == IPC_ERROR)
        ipc_decode_error(m->body, &err);
    else
        err_set(&err, ERR_UNAVAILABLE, "the keys service is not reachable");
    t.fn(t.user, SLICE(""), &err);
}

static void ask(struct api *api, uint16_t type, struct slice body, keys_signed_fn *fn, void *user) {
    if (!api->keys_ipc) {
        struct err err;
        err_set(&err, ERR_UNAVAILABLE, "the keys service is not reachable");
        fn(user, SLICE(""), &err);
        return;
    }
    struct sign_call *t = malloc(sizeof *t);
    if (!t) abort();
    *t = (struct sign_call){fn, user, (uint16_t)(type + 1)}; /* answers follow their requests */
    ipc_call(api->keys_ipc, type, body, NULL, 0, on_signed, t);
}

void keys_link_token(struct api *api, struct slice claims_json, keys_signed_fn *fn, void *user) {
    ask(api, KEYS_SIGN_TOKEN, claims_json, fn, user);
}

void keys_link_certificate(struct api *api, const struct keys_certificate *request,
                           keys_signed_fn *fn, void *user) {
    OWN(buf_done) struct buf body = {0};
    keys_certificate_pack(&body, request);
    ask(api, KEYS_SIGN_CERTIFICATE, buf_view(&body), fn, user);
}

struct seal_call {
    struct api *api;
    keys_done_fn *fn;
    void *user;
};

static void on_seal_again(struct ipc *c, struct ipc_msg *m, void *user) {
    struct seal_call s = *(struct seal_call *)user;
    free(user);
    struct err err = {0};
    struct keys_seal keys = {0};
    if (!m || m->type != KEYS_SEAL_OK)
        err_set(&err, ERR_UNAVAILABLE, "the keys service is not reachable");
    else if (keys_seal_unpack(m->body, &keys) < 0 || !keys.n)
        err_set(&err, ERR_INTERNAL, "keys answered nonsense");
    else
        s.api->seal.keys = keys;
    s.fn(s.user, err.reason ? &err : NULL);
}

void keys_link_seal(struct api *api, keys_done_fn *fn, void *user) {
    if (!api->keys_ipc) {
        struct err err;
        err_set(&err, ERR_UNAVAILABLE, "the keys service is not reachable");
        fn(user, &err);
        return;
    }
    struct seal_call *s = malloc(sizeof *s);
    if (!s) abort();
    *s = (struct seal_call){api, fn, user};
    ipc_call(api->keys_ipc, KEYS_SEAL, SLICE(""), NULL, 0, on_seal_again, s);
}
