/*
 * The image of a container: present or pulled, by imagePullPolicy, with the pod's pull secrets.
 * Says what happened in the words that kubectl users know.
 */
#pragma once

#include "node/agent.h"
#include "wire/image.h"

struct image_result {
    const struct image_info *info; /* NULL: failed */
    const char *reason;            /* ErrImagePull, ErrImageNeverPull, InvalidImageName */
    const char *message;
};
/* The result lives during the call. */
typedef void image_fn(void *user, const struct image_result *r);

/* Makes sure that the container's image is there; fn is called once, later. The caller holds the
 * pod. */
void image_ensure(struct container *c, image_fn *fn, void *user);

/* ---- pure parts ---- */
/* Always, IfNotPresent or Never: the spec's, else Always for :latest or no tag. */
const char *image_policy(const struct core_v1_container *c);
bool image_reference_valid(const char *ref);
/* Looks for the registry in a .dockerconfigjson; 0 and the credentials, or -ENOENT. */
int image_credentials(struct arena *a, struct slice docker_config, const char *ref,
                      const char **ret_user, const char **ret_password);
