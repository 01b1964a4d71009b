/*
 * The store's side of src/wire/store.h over any backend. Writes that arrive in one turn of the loop
 * go into one commit; while it runs, the next ones gather in the sockets (group commit). After the
 * commit the watching connections get the events and the writers their answers, in the order of the
 * revisions; a writer that watches gets no event beside its answer. The backend's
 * own housekeeping waits until they have left. Long snapshots,
 * replays and ranges are sent in pieces as the peer reads them; a live watcher that does not read
 * is cut off by the ipc layer.
 */
#pragma once

#include "proc/ipc.h"
#include "store/backend.h"

struct store_server;

/* Borrows the backend. A failure after which nothing may be acknowledged ends the process. */
struct store_server *store_server_new(struct loop *l, struct store_backend *b);
void store_server_free(struct store_server *s); /* closes all connections; NULL is allowed */
/* Serves a new connection. Fits ipc_listen's `accepted`. */
void store_server_accept(struct ipc *c, void *server);
/* Commits what has arrived; for shutting down. */
void store_server_flush(struct store_server *s);
