/*
 * The environment and the command line of a container: image, services, envFrom, env with
 * $(VAR) expansion (Kubernetes: Define Environment Variables, Define a Command and Arguments).
 * Pure.
 */
#pragma once

#include "base/map.h"
#include "node/volumes/downward.h"

struct env_input {
    const struct pod_facts *facts;
    const struct core_v1_container *container;
    const struct object_source *source;
    const struct core_v1_service *const *services; /* of the pod's namespace and
                                                      default/kubernetes, in name order */
    size_t n_services;
    const char *const *image_env; /* NAME=value, in order */
    size_t n_image_env;
};

/* Its lines are of the arena they were made in; environment_done frees the rest. */
struct environment {
    struct str_list lines; /* NAME=value */
    struct map places;     /* of a name: where its line stands */
    size_t bytes;          /* that were ever written */
};

void environment_done(struct environment *env);
/* Nothing more is taken once there is too much of it, which env_render tells. value NULL: "". */
void environment_set(struct arena *a, struct environment *env, const char *name, const char *value);

/* Into *ret, which is empty. -EAGAIN while an object is being fetched, -ENOENT when one or a key is
 * missing and not optional; err says which. */
int env_render(struct arena *a, const struct env_input *in, struct environment *ret,
               struct err *err);
/* $(NAME) by the rendered environment, $$ is $; what is not defined stays. NULL: it would be longer
 * than LIMIT_ARGUMENT_BYTES. */
const char *env_expand(struct arena *a, const char *text, const struct environment *env);
/* command and args over the image's entrypoint and cmd. */
int env_command(struct arena *a, const struct core_v1_container *c,
                const struct str_list *entrypoint, const struct str_list *cmd,
                const struct environment *env, struct str_list *ret, struct err *err);
