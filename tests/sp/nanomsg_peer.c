/* See peer.h; the library is nanomsg. */
#include "peer.h"

#include <nanomsg/bus.h>
#include <nanomsg/nn.h>
#include <nanomsg/pair.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/pubsub.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/survey.h>

static const struct {
    const char *name;
    int protocol;
    bool receives, answers;
} roles[] = {
    {"pub", NN_PUB, false, false},          {"sub", NN_SUB, true, false},
    {"push", NN_PUSH, false, false},        {"pull", NN_PULL, true, false},
    {"req", NN_REQ, true, false},           {"rep", NN_REP, true, true},
    {"surveyor", NN_SURVEYOR, true, false}, {"respondent", NN_RESPONDENT, true, true},
    {"bus", NN_BUS, true, false},           {"pair", NN_PAIR, true, false},
};
static int s;

static void need(bool good, const char *what) {
    if (!good) peer_fail(what, nn_strerror(nn_errno()));
}

static void send_body(const char *body, size_t n) { need(nn_send(s, body, n, 0) >= 0, "send"); }

static int receive(char *body, size_t size) { return nn_recv(s, body, size, NN_DONTWAIT); }

int main(int argc, char **argv) {
    size_t i = 0, n = sizeof roles / sizeof roles[0];
    if (argc != 4) return 2;
    while (i < n && strcmp(roles[i].name, argv[1]) != 0) i++;
    if (i == n) return 2;
    s = nn_socket(AF_SP, roles[i].protocol);
    need(s >= 0, "socket");
    int least = 20, most = 100;
    nn_setsockopt(s, NN_SOL_SOCKET, NN_RECONNECT_IVL, &least, sizeof least);
    nn_setsockopt(s, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, &most, sizeof most);
    if (roles[i].protocol == NN_SUB)
        need(nn_setsockopt(s, NN_SUB, NN_SUB_SUBSCRIBE, "", 0) == 0, "subscribe");
    int end = strcmp(argv[2], "listen") == 0 ? nn_bind(s, argv[3]) : nn_connect(s, argv[3]);
    need(end >= 0, argv[3]);
    struct peer_library l = {send_body, receive, -1, roles[i].answers};
    size_t size = sizeof l.receive_fd;
    if (roles[i].receives)
        need(nn_getsockopt(s, NN_SOL_SOCKET, NN_RCVFD, &l.receive_fd, &size) == 0, "RCVFD");
    return peer_run(&l);
}
