/* Keeps the core up to date about what is neither pod nor node: an informer for each kind of
 * sources.h, and the configuration of profiles. Private to the service. */
#pragma once

#include "scheduler/acts.h"

struct feeds;

/* again is called after each change that may let a pod that waits go somewhere. */
struct feeds *feeds_new(struct api_client *client, struct acts *acts,
                        void (*again)(uint64_t delay_ms));
void feeds_free(struct feeds *f); /* after core_done: the core reads the profiles */
bool feeds_synced(const struct feeds *f);
