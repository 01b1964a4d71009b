/* Default address ranges that no other Atoll of this network namespace uses: so that a second one
 * starts without being told. */
#pragma once

#include "base/arena.h"
#include "base/slice.h"
#include "proc/settings.h"

/* Fills the ranges of *choice that are NULL: 10.244.N.0/24 and 10.(96+N).0.0/16 with the smallest N
 * that has no route yet. Leaves them NULL (the plain defaults) when routes cannot be read or all
 * are taken. */
void free_ranges_choose(struct settings_choice *choice, struct arena *a);

/* The same from the text of /proc/net/route. */
void free_ranges_choose_from(struct settings_choice *choice, struct slice routes, struct arena *a);
