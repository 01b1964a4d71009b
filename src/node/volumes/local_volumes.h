/*
 * The node's own persistent volumes: those that the provisioner atoll.dev/local has made for it.
 * When the claim of one has gone and its policy is Delete, the directory is removed and then the
 * volume. What no object tells to remove stays.
 */
#pragma once

struct agent;
struct local_volumes;

struct local_volumes *local_volumes_new(struct agent *g);
