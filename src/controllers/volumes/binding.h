/*
 * The tie between a claim and its volume, which both name: the claim spec.volumeName, the volume
 * spec.claimRef. The volume is written first, so two claims never believe they have the same one;
 * each side's status follows from what both say. Pure.
 */
#pragma once

#include "api/rules/claims.h"
#include "controllers/common.h"

typedef struct core_v1_persistent_volume_claim claim_t;
typedef struct core_v1_persistent_volume volume_t;

const claim_t *claim_get(const struct world *w, const char *ns, const char *name);
const volume_t *volume_get(const struct world *w, const char *name);
/* The claim that the volume's claimRef names, if it is still the same one. */
const claim_t *volume_claim(const struct world *w, const volume_t *v);
/* Has the claim no volume yet, and may any that suits it become its own? */
bool claim_looks_for_volume(const claim_t *c);

/* The volume that is best for the claim, or NULL: one that is kept for it; otherwise, unless only
 * those are asked for, the smallest that suits it. node: from where it must be reached; NULL when
 * that does not matter. Claims that look for one at the same time are given different volumes among
 * those of equal size. */
const volume_t *binding_find(const struct world *w, struct arena *a, const claim_t *c,
                             bool only_kept, const struct core_v1_node *node);
/* Plans the writes that tie them; nothing when all is done but the status. */
void binding_make(struct plan *p, const volume_t *v, const claim_t *c);
/* Plans that the volume is free again, or, when a user kept it for the claim, still kept. */
void binding_undo(struct plan *p, const volume_t *v);

/* ---- provision.c ---- */

/* The claim's class has to make a volume: asks who does, or tells by an Event why that cannot be.
 * node is "" when none was selected. */
void provision(const struct world *w, struct plan *p, const claim_t *c, const char *node);
/* The class that claims get which name none; NULL: there is none. */
const char *default_class(const struct world *w);

/* ---- reclaim.c ---- */

/* Does what its policy says with a volume whose claim has gone. Returns the phase it shall have;
 * *ret_message says why it is Failed. */
const char *reclaim(const struct world *w, struct plan *p, const volume_t *v,
                    const char **ret_reason, const char **ret_message);
