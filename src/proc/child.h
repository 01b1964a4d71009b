/* Children that do not outlive who made them. */
#pragma once

#include <sys/types.h>

/* fork(2), but the kernel kills the child (PR_SET_PDEATHSIG) when the thread that made it ends:
 * what a killed service was about to do is never finished behind the back of its successor. A child
 * that changes its user has to ask for it again. */
pid_t child_fork(void);
