/* argv[1] picks a service or a verb, nothing else. */
#include "base/slice.h"
#include "cli/verb.h"
#include "proc/service.h"

int main(int argc, char **argv) {
    if (argc > 1 && str_eq(argv[1], "service")) return service_main(argc, argv);
    return verb_main(argc, argv);
}
