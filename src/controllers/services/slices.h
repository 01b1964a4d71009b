/* EndpointSlices that a controller keeps for a Service: their names and labels, and the writing of
 * those that differ. The controllers tell their own apart by the label managed-by. Pure. */
#pragma once

#include "controllers/common.h"

enum { SLICE_ENDPOINTS_MAX = 100 }; /* one change moves one small object */

struct slice_set {
    const struct world *w;
    struct plan *p;
    const char *manager;               /* value of the label */
    const char *service;               /* name of the Service */
    const struct api_object *owner;    /* who the slices go with: Service or Endpoints */
    const struct str_map *annotations; /* what each must bear; NULL: nothing is done about them */
    size_t n;                          /* wanted so far */
    struct {
        const char **v;
        size_t n;
    } names;
};

/* The next wanted slice, empty, with the owner's labels. Its name follows from the owner and its
 * number, so that two controllers cannot both make it. address_type: "IPv4", "IPv6". */
struct discovery_v1_endpoint_slice *slice_next(struct slice_set *s, const char *address_type);
/* It is filled: created or updated where it differs from what there is. */
void slice_put(struct slice_set *s, struct discovery_v1_endpoint_slice *want);
/* Deletes this manager's slices of the Service that were not put. */
void slices_finish(struct slice_set *s);

/* The Service that a changed slice of this manager belongs to wakes. */
void map_slice_to_service(const char *manager, const struct api_object *slice, struct keys *out);
