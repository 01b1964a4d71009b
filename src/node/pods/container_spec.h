/*
 * What the broker is asked to start: a container of the API with its image, environment, mounts
 * and security context, as one broker_container. Pure.
 */
#pragma once

#include "node/pods/env.h"
#include "node/pods/pod.h"
#include "wire/broker.h"
#include "wire/image.h"

struct container_input {
    const struct container *container;
    const char *id;
    uint32_t attempt;
    const struct pod_facts *facts;
    const struct object_source *source;
    const struct core_v1_service *const *services;
    size_t n_services;
    const struct image_info *image;
    const char *root; /* of this Atoll: its run/atoll/sp has the topologies that pods are granted */
};

/* -EAGAIN while a source is being fetched; else err is the text of CreateContainerConfigError. */
int container_spec_build(struct arena *a, const struct container_input *in,
                         struct broker_container *ret, struct err *err);
/* The sandbox: everything but resolv_conf and etc_hosts. */
void container_spec_pod(struct arena *a, const struct pod *p, struct broker_pod *ret);
