/* See peer.h; the library is nng. */
#include "peer.h"

#include <nng/nng.h>
#include <nng/protocol/bus0/bus.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pair1/pair.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/protocol/survey0/respond.h>
#include <nng/protocol/survey0/survey.h>
#include <nng/supplemental/tls/tls.h>

static const struct {
    const char *name;
    int (*open)(nng_socket *s);
    bool receives, answers;
} roles[] = {
    {"pub", nng_pub0_open, false, false},          {"sub", nng_sub0_open, true, false},
    {"push", nng_push0_open, false, false},        {"pull", nng_pull0_open, true, false},
    {"req", nng_req0_open, true, false},           {"rep", nng_rep0_open, true, true},
    {"surveyor", nng_surveyor0_open, true, false}, {"respondent", nng_respondent0_open, true, true},
    {"bus", nng_bus0_open, true, false},           {"pair", nng_pair0_open, true, false},
    {"pair1", nng_pair1_open, true, false},
};
static nng_socket s;

static void need(int r, const char *what) {
    if (r) peer_fail(what, nng_strerror(r));
}

static void send_body(const char *body, size_t n) { need(nng_send(s, (void *)body, n, 0), "send"); }

static int receive(char *body, size_t size) {
    return nng_recv(s, body, &size, NNG_FLAG_NONBLOCK) == 0 ? (int)size : -1;
}

static nng_tls_config *tls(char **argv, bool listens) {
    nng_tls_config *c;
    need(nng_tls_config_alloc(&c, listens ? NNG_TLS_MODE_SERVER : NNG_TLS_MODE_CLIENT), "TLS");
    need(nng_tls_config_ca_file(c, argv[0]), argv[0]);
    need(nng_tls_config_cert_key_file(c, argv[1], NULL), argv[1]);
    need(nng_tls_config_auth_mode(c, NNG_TLS_AUTH_MODE_REQUIRED), "authentication mode");
    if (!listens) need(nng_tls_config_server_name(c, argv[2]), "server name");
    return c;
}

int main(int argc, char **argv) {
    size_t i = 0, n = sizeof roles / sizeof roles[0];
    if (argc != 4 && argc != 7) return 2;
    while (i < n && strcmp(roles[i].name, argv[1]) != 0) i++;
    if (i == n) return 2;
    need(roles[i].open(&s), "socket");
    nng_socket_set_ms(s, NNG_OPT_RECONNMINT, 20);
    nng_socket_set_ms(s, NNG_OPT_RECONNMAXT, 100);
    if (strcmp(argv[1], "sub") == 0)
        need(nng_socket_set(s, NNG_OPT_SUB_SUBSCRIBE, "", 0), "subscribe");
    if (strcmp(argv[2], "listen") == 0) {
        nng_listener l;
        need(nng_listener_create(&l, s, argv[3]), argv[3]);
        if (argc == 7)
            need(nng_listener_set_ptr(l, NNG_OPT_TLS_CONFIG, tls(argv + 4, true)), "TLS");
        need(nng_listener_start(l, 0), argv[3]);
    } else {
        nng_dialer d;
        need(nng_dialer_create(&d, s, argv[3]), argv[3]);
        if (argc == 7) need(nng_dialer_set_ptr(d, NNG_OPT_TLS_CONFIG, tls(argv + 4, false)), "TLS");
        need(nng_dialer_start(d, NNG_FLAG_NONBLOCK), argv[3]);
    }
    struct peer_library l = {send_body, receive, -1, roles[i].answers};
    if (roles[i].receives) need(nng_socket_get_int(s, NNG_OPT_RECVFD, &l.receive_fd), "RECVFD");
    return peer_run(&l);
}
