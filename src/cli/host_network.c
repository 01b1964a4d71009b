#include "cli/host_network.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"

static void bridge_name(char out[IFNAMSIZ], const char *instance) {
    snprintf(out, IFNAMSIZ, "at%.8s", instance);
}

bool host_bridge_exists(const char *instance) {
    char name[IFNAMSIZ];
    bridge_name(name, instance);
    return if_nametoindex(name) != 0;
}

void host_bridge_remove(const char *instance) {
    struct ifreq request = {0};
    bridge_name(request.ifr_name, instance);
    OWN(close_p) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    ioctl(fd, SIOCSIFFLAGS, &request); /* flags 0: down, else it cannot be deleted */
    ioctl(fd, SIOCBRDELBR, request.ifr_name);
}

/* Runs one nftables command; loaded only when needed. Returns its status, −1 without library. */
static int nft_run(const char *command) {
    void *library = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return -1;
    void *(*make)(unsigned) = (void *(*)(unsigned))dlsym(library, "nft_ctx_new");
    int (*quiet_out)(void *) = (int (*)(void *))dlsym(library, "nft_ctx_buffer_output");
    int (*quiet_err)(void *) = (int (*)(void *))dlsym(library, "nft_ctx_buffer_error");
    int (*run)(void *, const char *) =
        (int (*)(void *, const char *))dlsym(library, "nft_run_cmd_from_buffer");
    void (*done)(void *) = (void (*)(void *))dlsym(library, "nft_ctx_free");
    int status = -1;
    if (make && quiet_out && quiet_err && run && done) {
        void *ctx = make(0);
        if (ctx) {
            quiet_out(ctx);
            quiet_err(ctx);
            status = run(ctx, command);
            done(ctx);
        }
    }
    dlclose(library);
    return status;
}

static int table_command(const char *verb, const char *instance) {
    char command[64];
    snprintf(command, sizeof command, "%s table ip atoll_%.8s", verb, instance);
    return nft_run(command);
}

bool host_table_exists(const char *instance) { return table_command("list", instance) == 0; }
void host_table_remove(const char *instance) { table_command("delete", instance); }
