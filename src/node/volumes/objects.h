/*
 * ConfigMaps and Secrets that pods here refer to: each is watched by itself (the node may see no
 * others) for as long as a pod holds it. A change kicks the pods that hold it.
 */
#pragma once

#include "client/client.h"
#include "node/volumes/downward.h"

struct objects;
struct pod;

struct objects *objects_new(struct api_client *c, void (*changed)(struct pod *holder));
/* Watches for pod p from now on. */
enum lookup objects_get(struct objects *o, struct pod *p, const struct api_kind *k, const char *ns,
                        const char *name, const struct api_object **ret);
void objects_release(struct objects *o, struct pod *p); /* all that p holds */
