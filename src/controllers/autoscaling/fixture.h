/* Tests of autoscalers: the Deployment default/web, its pods, and what these use. */
#pragma once

#include "controllers/autoscaling/hpa.h"
#include "controllers/fixture.h"

void add_web(struct world *w, int replicas);
/* The pod web-I, Running for long; requests: members of JSON. */
void add_web_pod(struct world *w, int i, const char *requests, bool ready);
/* Every pod's container uses this much now. */
void web_uses(struct world *w, int pods, const char *cpu, const char *memory);
