#include "proc/child.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

pid_t child_fork(void) {
    pid_t parent = getpid(), pid = fork();
    if (pid != 0) return pid;
    /* The parent may have gone before the kernel was asked. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent) _exit(1);
    return 0;
}
