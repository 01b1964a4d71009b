/*
 * Objects that a watch is about to send, in the version of the watch: made by a webhook, some
 * together, while the watch waits.
 */
#pragma once

#include "server/custom/conversion.h"

enum { CONVERTED_TOGETHER = 64 };
struct watch_conversion;

struct watch_conversion *conversion_watch_new(void);
/* Adds an object to the question, of which a reference is kept. False: it is full. */
bool conversion_watch_add(struct watch_conversion *v, struct object *o);
bool conversion_watch_is_full(const struct watch_conversion *v);

/* err: the conversion failed; NULL: the objects can be found. */
typedef void conversion_watch_fn(void *user, const struct err *err);
/* Answers later, never before this returns; not at all once v has been freed. */
void conversion_watch_run(struct watch_conversion *v, struct api *api, const struct api_kind *to,
                          conversion_watch_fn *fn, void *user);
bool conversion_watch_is_running(const struct watch_conversion *v); /* NULL is allowed */
/* o as it can be shown as k: itself or what has been made of it, borrowed from v; NULL: it has to
 * be asked about first. v may be NULL. */
struct object *conversion_watch_form(const struct watch_conversion *v, const struct api_kind *k,
                                     struct object *o);
void conversion_watch_free(struct watch_conversion *v); /* running or not; NULL is allowed */
