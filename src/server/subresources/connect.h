/*
 * Admission of connections (exec, attach, port-forward, proxy): nothing is written, but plugins and
 * webhooks may refuse.
 */
#pragma once

#include "server/api.h"

/* Asks admission about CONNECT to the subresource of the named object of c->kind, then calls go; it
 * answers itself when it is refused. */
void connect_admit(struct call *c, const char *ns, const char *name,
                   void (*go)(struct call *c, void *user), void *user);
