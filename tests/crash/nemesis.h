/* Does harm to the services of a running Atoll while a test works with it: kill -9, or a pause. */
#pragma once

#include "disk.h"

struct nemesis {
    const char *atoll, *root; /* the program, and the root of the Atoll to harm */
    struct disk_random random;
    unsigned kills, pauses;
};

/* One act: api or store is killed or stopped for a while (≤ 300 ms); returns when it is over.
 * False: the services cannot be found. */
bool nemesis_strike(struct nemesis *n);
