/* What the scheduler does to the world: requests to the API and Events. Private to the service. */
#pragma once

#include "client/client.h"
#include "proc/loop.h"
#include "scheduler/core/core.h"

struct acts {
    struct loop *loop;
    struct api_client *client; /* many requests at once */
    struct informer *pods;
    struct event_recorder *events;
    struct sched_core *core;
    struct timer *wake;       /* runs the core */
    struct request *requests; /* under way, or to be sent again */
};

/* When the clients are gone: forgets what is under way, and sends nothing again. */
void acts_done(struct acts *a);

/* Writes the status of every ElasticQuota whose use has changed since it was written. */
void acts_tell_quotas(struct acts *a);

/* Those of a core whose user is a struct acts. */
extern const struct sched_acts sched_acts_api;
