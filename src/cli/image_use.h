/*
 * Which pod stands on an image: its layers lie under the root file systems of containers, so an
 * image in use must not be removed. Found in the kernel's list of mounts, whoever runs or not.
 */
#pragma once

#include "base/arena.h"
#include "base/slice.h"
#include "wire/image.h"

/* The uid of a pod with a mount on all layers of the image, or NULL. mounts: text of a mountinfo
 * file. */
const char *image_use_find(struct arena *a, struct slice mounts, const struct image_info *image);

/* "NAMESPACE/NAME" of such a pod, or NULL. Moves the calling process into the pods' mount
 * namespace, if there is one. */
const char *image_use_pod(struct arena *a, const char *root, const struct image_info *image);
