/*
 * The channels of exec and attach over SPDY/3.1 streams, one stream each, named by the header
 * streamtype (kubectl before 1.31): bytes in, bytes out, no I/O. Sizes of windows are not kept:
 * client-go neither announces what it consumed nor waits for it; TCP holds the sender back.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum channel { /* their numbers in the WebSocket protocols, too */
               CHANNEL_STDIN,
               CHANNEL_STDOUT,
               CHANNEL_STDERR,
               CHANNEL_ERROR,
               CHANNEL_RESIZE,
               CHANNELS,
               CHANNEL_CLOSE = 255, /* WebSocket v5: the next byte names a channel that ended */
};

struct spdy_channels_events {
    /* All expected streams are there; called once. What came before is told after this. */
    void (*ready)(void *user);
    void (*data)(void *user, enum channel channel, struct slice data); /* resize: whole lines */
    void (*end)(void *user, enum channel channel); /* nothing more from the client; once */
};

struct spdy_channels;
/* expected: a bit per channel, 1u << CHANNEL_…; answers to the client are appended to out. */
struct spdy_channels *spdy_channels_new(unsigned expected, struct buf *out,
                                        const struct spdy_channels_events *ev, void *user);
void spdy_channels_free(struct spdy_channels *c);
/* Eats everything. ERR_BAD_REQUEST or ERR_TOO_LARGE: the connection is to be closed. */
int spdy_channels_feed(struct spdy_channels *c, struct slice bytes, struct err *err);
bool spdy_channels_ready(const struct spdy_channels *c);
/* To a stream that the client did not open, or took back, nothing is written. */
void spdy_channels_write(struct spdy_channels *c, enum channel channel, struct slice data);
void spdy_channels_end(struct spdy_channels *c); /* ends all streams towards the client */
