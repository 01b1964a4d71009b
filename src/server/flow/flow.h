/*
 * API priority and fairness: which requests run at once, and in which order the others follow
 * (flowcontrol.apiserver.k8s.io/v1). A FlowSchema puts a request into a priority level and, by its
 * user or namespace, into a flow. A level has seats: a request holds its seats from when it begins
 * until it has been answered. Who finds no free seat waits in one of the level's queues, or gets
 * 429.
 *
 * Seats alone do not make this server fair, since most requests are over before the next one is
 * read. So the time that each flow's requests take is measured, too: a flow that takes more than
 * half of it waits in its queue as well, and the queues get a bounded slice of each turn of the
 * loop, the one that has had least first.
 */
#pragma once

#include "server/api.h"

struct flow;

/* The handler of the server: each request goes to api_handle when its sender has a turn. */
request_fn flow_take;

struct flow *flow_new(struct api *api);
/* The cache is filled: makes the default objects where they are missing and takes what there is.
 * Before this every request runs at once. */
void flow_start(struct flow *f);
/* Runs it, now or in its turn, or answers 429. User and route must be known. */
void flow_run(struct call *c, void (*run)(struct call *c));
/* apiserver_flowcontrol_… */
void flow_metrics(const struct flow *f, struct buf *b);
