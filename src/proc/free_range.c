#include "proc/free_range.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/own.h"

enum { CHOICES = 100 };

/* Lines: interface, destination as a hexadecimal number in network byte order, … (proc(5)). */
static bool has_route(struct slice routes, uint32_t network) {
    struct slice line;
    while (slice_cut(&routes, '\n', &line)) {
        char text[128];
        unsigned destination;
        snprintf(text, sizeof text, "%.*s", (int)MIN_OF(line.n, sizeof text - 1), line.p);
        if (sscanf(text, "%*s %8x", &destination) == 1 && destination == htonl(network))
            return true;
    }
    return false;
}

void free_ranges_choose_from(struct settings_choice *choice, struct slice routes, struct arena *a) {
    for (uint32_t n = 0; n < CHOICES; n++) {
        bool pods_taken = !choice->pod_cidr && has_route(routes, 10u << 24 | 244u << 16 | n << 8);
        bool services_taken =
            !choice->service_cidr && has_route(routes, 10u << 24 | (96 + n) << 16);
        if (pods_taken || services_taken) continue;
        if (!choice->pod_cidr) choice->pod_cidr = arena_printf(a, "10.244.%u.0/24", n);
        if (!choice->service_cidr) choice->service_cidr = arena_printf(a, "10.%u.0.0/16", 96 + n);
        return;
    }
}

void free_ranges_choose(struct settings_choice *choice, struct arena *a) {
    OWN(buf_done) struct buf routes = {0};
    OWN(fclose_p) FILE *f = fopen("/proc/net/route", "re");
    char piece[4096];
    for (size_t n; f && (n = fread(piece, 1, sizeof piece, f)) > 0;) buf_append(&routes, piece, n);
    if (f) free_ranges_choose_from(choice, buf_view(&routes), a);
}
