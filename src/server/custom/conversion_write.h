/*
 * A write of an object whose kind has a conversion webhook: the current object becomes one in the
 * version of the request before it is changed, and the changed one becomes one in the stored
 * version before it is stored.
 */
#pragma once

#include "server/verbs/write.h"

/* err NULL: done. */
typedef void write_form_fn(struct write *w, const struct err *err);
/* w->current in the version of the request. False: it needs no webhook, fn is not called. */
bool write_current_form(struct write *w, write_form_fn *fn);
/* w->object in the stored version, and w->asked what it was made from. False: as above. */
bool write_stored_form(struct write *w, write_form_fn *fn);
/* w->asked, at the revision of what was stored. */
struct slice write_asked_form(struct write *w, struct slice stored);
