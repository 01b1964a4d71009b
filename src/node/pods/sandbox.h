/* The pod's sandbox: namespaces by the broker, the link by the network service; and their end. Each
 * call sets p->busy and kicks the worker when it is over. */
#pragma once

#include "node/agent.h"

void sandbox_create(struct pod *p); /* → p->sandbox_ready */
void sandbox_link(struct pod *p);   /* → p->linked, p->ip */
void sandbox_remove(struct pod *p); /* → p->torn_down */
void sandbox_forget(struct pod *p); /* logs and the API object → p->removed */
/* What the broker still runs of the pod is taken over. */
void sandbox_adopt(struct pod *p, const struct broker_container_state *running, size_t n);
/* After the broker was away: ends that were missed, starts that were not answered. */
void sandbox_resync(struct pod *p, const struct broker_container_state *list, size_t n);
