/* Tests of claims and volumes: what users write, and what becomes of it. */
#pragma once

#include "controllers/fixture.h"
#include "controllers/volumes/binding.h"

/* spec and more are JSON members, each beginning with a comma; metadata too. ReadWriteOnce, of the
 * size that is said. The uid of a claim is "uid-NAME". */
void given_claim(struct world *w, const char *name, const char *size, const char *metadata,
                 const char *spec);
/* phase Available. */
void given_volume(struct world *w, const char *name, const char *size, const char *metadata,
                  const char *spec);
void given_class(struct world *w, const char *name, const char *provisioner, const char *more);
/* Both sides until nothing is written any more. */
void settle_claim(struct world *w, const char *claim);
void settle_volume(struct world *w, const char *volume);
/* The claim is bound to the volume and both say so. */
void assert_tied(const struct world *w, const char *claim, const char *volume);
void assert_pending(const struct world *w, const char *claim);
/* An Event of the next run: "REASON: message" begins so. */
void assert_tells(const struct world *w, const char *reconciler, const char *key,
                  const char *event);
void drop_claim(struct world *w, const char *name);
/* What the API says of a claim that is asked for: it is not there. */
void claim_is_gone(struct world *w, const char *name);

#define IN_CLASS(name) ",\"storageClassName\":\"" name "\""
#define NAMES_VOLUME(name) ",\"volumeName\":\"" name "\""
#define KEPT_FOR(claim) ",\"claimRef\":{\"namespace\":\"default\",\"name\":\"" claim "\"}"
#define TIED_TO(claim, uid)                                                                        \
    ",\"claimRef\":{\"namespace\":\"default\",\"name\":\"" claim "\",\"uid\":\"" uid "\"}"
#define WAITS ",\"volumeBindingMode\":\"WaitForFirstConsumer\""
#define SELECTED(node) ",\"annotations\":{\"" CLAIM_SELECTED_NODE "\":\"" node "\"}"
#define ONLY_ON(node)                                                                              \
    ",\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":"     \
    "\"kubernetes.io/hostname\",\"operator\":\"In\",\"values\":[\"" node "\"]}]}]}}"
