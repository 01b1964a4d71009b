/*
 * The node authoriser: a user system:node:NAME in group system:nodes may read the Secrets,
 * ConfigMaps, claims and volumes that pods bound to that node refer to, make tokens of their
 * service accounts, and keep its own node, lease and pods' status. What it may do to resources that
 * are not divided by node is in the rules of the cluster role system:node, of which there is no
 * binding.
 */
#pragma once

#include "server/api.h"
#include "server/auth/rules.h"

struct node_authz;
struct node_authz *node_authz_new(struct api *api);
void node_authz_free(struct node_authz *n);
bool node_authz_allows(struct node_authz *n, const struct user *u, const struct attributes *at);
/* "n1" for a member of system:nodes called system:node:n1; NULL for everybody else. */
const char *node_identity(const struct user *u);
