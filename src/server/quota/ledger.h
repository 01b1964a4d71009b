/*
 * Keeps the books of ResourceQuotas (quota_book.h) in step with the cache, and status.used of the
 * quotas in step with the books. Only namespaces with quotas cost anything.
 */
#pragma once

#include "server/admission/plugin.h"
#include "server/quota/book.h"

/* Once, after the first snapshot: counts everything anew. */
void quota_ledger_start(struct api *api);
void quota_ledger_stop(void); /* for tests: a service ends with its process */
/* The books of the namespace; NULL: no quota there. */
struct quota_space *quota_ledger_space(const char *ns);
/* Objects of this kind count from now on, if they did not yet (custom resources come and go). */
void quota_ledger_watch(const struct api_kind *k);
/* After quota_release. */
void quota_ledger_tidy(struct quota_space *s);
