/*
 * One request on node.sock: a chunked answer (logs) or an upgrade (exec, attach, port-forward) to
 * WebSocket or SPDY/3.1.
 * The handler gets the request, answers now or later, and is told when the client goes away.
 */
#pragma once

#include "node/agent.h"
#include "proto/http.h"

enum { STREAM_HIGH_BYTES = 512 * 1024, STREAM_INPUT_HIGH_BYTES = 256 * 1024 };

struct stream;

struct stream_request {
    const char *method, *path; /* decoded */
    struct http_query query;
    struct http_headers headers;
};

struct stream_ops {
    /* A WebSocket message. SPDY with channels: as of v5.channel.k8s.io; without: raw bytes. */
    void (*message)(void *state, bool text, struct slice data);
    void (*drain)(void *state);  /* the queue is empty again; may be NULL */
    void (*closed)(void *state); /* last call: the client went away, or the stream ended */
    void (*ready)(void *state);  /* once: the client has opened its channels; may be NULL */
};

typedef void stream_handler(struct agent *g, struct stream *s, const struct stream_request *r);

struct arena *stream_arena(struct stream *s);
/* An error as a Status object, then the end. */
void stream_fail(struct stream *s, const struct err *err);
void stream_set(struct stream *s, const struct stream_ops *ops, void *state);
/* A chunked answer. Each write returns the bytes that wait to be sent. */
void stream_begin(struct stream *s, int status, const char *content_type);
size_t stream_write(struct stream *s, struct slice data);
void stream_end(struct stream *s); /* complete; closed() follows when all is sent */
/* 101 with one of the protocols; ERR_BAD_REQUEST when the client offers none of them. */
int stream_upgrade(struct stream *s, const char *const *protocols, const char **ret_protocol,
                   struct err *err);
/* 101 to SPDY/3.1; what follows are its frames, the handler's to read and write as they are. */
int stream_upgrade_spdy(struct stream *s, const char *const *protocols, struct err *err);
struct channels_manner { /* what the chosen protocol can do */
    bool input_can_end;  /* v5, SPDY: CHANNEL_CLOSE ends stdin alone */
    bool plain_status;   /* v1: an error is told as text, success by silence */
};
/* The channels of exec and attach, over either transport; channels: bits 1u << CHANNEL_…. */
int stream_upgrade_channels(struct stream *s, unsigned channels, struct channels_manner *ret,
                            struct err *err);
size_t stream_channel(struct stream *s, unsigned char channel, struct slice data);
size_t stream_message(struct stream *s, struct slice data); /* binary, as it is */
/* The transport's way to say goodbye (WebSocket: close with this code), then as stream_end. */
void stream_close(struct stream *s, unsigned code);
size_t stream_queued(const struct stream *s);
void stream_pause(struct stream *s, bool pause); /* stops reading from the client */

/* A boolean of the query, in any spelling that Go's ParseBool takes for true. */
bool stream_flag(const struct http_query *q, const char *key);

/* The handlers, one per path prefix. */
/* By whole path: figures (stream_usage.c), health, the pods, the directory of logs. */
bool stream_is_report(const char *path);
stream_handler stream_report, stream_health, stream_pods, stream_log_index;
stream_handler stream_logs, stream_exec, stream_attach, stream_portforward;

/* Finds pod and container of /VERB/NS/POD[/CONTAINER], with upstream's words when it cannot.
 * `container` may be NULL: the pod alone is meant. */
int stream_target(struct agent *g, const struct stream_request *r, struct arena *a,
                  struct pod **ret_pod, struct container **ret_container, struct err *err);
