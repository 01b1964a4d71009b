/*
 * One request on node.sock: a chunked answer (logs) or a WebSocket (exec, attach, port-forward).
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
    void (*message)(void *state, bool text, struct slice data); /* a WebSocket message */
    void (*drain)(void *state);  /* the queue is empty again; may be NULL */
    void (*closed)(void *state); /* last call: the client went away, or the stream ended */
};

typedef void stream_handler(struct agent *g, struct stream *s, const struct stream_request *r);

struct arena *stream_arena(struct stream *s);
struct agent *stream_agent(struct stream *s);
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
size_t stream_channel(struct stream *s, unsigned char channel, struct slice data);
size_t stream_message(struct stream *s, struct slice data); /* binary, as it is */
void stream_close(struct stream *s, unsigned code); /* WebSocket close, then as stream_end */
size_t stream_queued(const struct stream *s);
void stream_pause(struct stream *s, bool pause); /* stops reading from the client */

/* A boolean of the query, in any spelling that Go's ParseBool takes for true. */
bool stream_flag(const struct http_query *q, const char *key);

/* The handlers, one per path prefix. */
stream_handler stream_logs, stream_exec, stream_attach, stream_portforward;

/* Finds pod and container of /VERB/NS/POD[/CONTAINER], with upstream's words when it cannot.
 * `container` may be NULL: the pod alone is meant. */
int stream_target(struct agent *g, const struct stream_request *r, struct arena *a,
                  struct pod **ret_pod, struct container **ret_container, struct err *err);
