/*
 * namespaces/NAME/finalize, where the finalizers of a namespace's spec are taken away. With
 * ?whenEmpty=true it answers 409 while anything is in the namespace, or on its way into it: whoever
 * asks sees its objects late, and what came meanwhile would outlive it. Without, as upstream: for
 * people who want to be rid of a namespace whatever is left in it.
 */
#pragma once

#include "server/api.h"

void finalize_subresource(struct call *c);
