/* argv[1] picks a service or a verb, nothing else. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/slice.h"
#include "cli/verb.h"
#include "proc/service.h"

/* Who starts us may have closed these; a file opened later must not become the one that errors are
 * written to. */
static void open_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) abort();
}

int main(int argc, char **argv) {
    open_standard_descriptors();
    if (argc > 1 && str_eq(argv[1], "service")) return service_main(argc, argv);
    return verb_main(argc, argv);
}
