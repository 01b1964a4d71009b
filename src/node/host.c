#include "node/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/own.h"

enum { FILE_MAX = 64 * 1024, VERSION_WAIT_MS = 3000 };

extern char **environ;

static char *copy(const char *s) {
    char *r = strdup(s);
    if (!r) abort();
    return r;
}

/* The whole of a small file; "" when it cannot be read. */
static char *read_file(const char *path) {
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    OWN(buf_done) struct buf b = {0};
    char tmp[4096];
    ssize_t n;
    while (fd >= 0 && b.n < FILE_MAX && (n = read(fd, tmp, sizeof tmp)) > 0)
        buf_append(&b, tmp, (size_t)n);
    return buf_steal(&b);
}

static char *read_line(const char *path) {
    OWN(free_p) char *s = read_file(path);
    s[strcspn(s, "\n")] = 0;
    return copy(s);
}

static char *os_image(void) {
    OWN(free_p) char *text = read_file("/etc/os-release");
    struct slice rest = slice_of(text), line;
    while (slice_cut(&rest, '\n', &line)) {
        if (!slice_starts(line, "PRETTY_NAME=")) continue;
        line = slice_from(line.p + 12, line.n - 12);
        if (line.n >= 2 && line.p[0] == '"') line = slice_from(line.p + 1, line.n - 2);
        OWN(buf_done) struct buf b = {0};
        buf_slice(&b, line);
        return buf_steal(&b);
    }
    return copy("Linux");
}

/* The first line of `program --version`; empty when it does not answer in time. False: there is no
 * such program. */
static bool ask_version(const char *program, char *text, size_t n_max) {
    int pipes[2];
    text[0] = 0;
    if (pipe2(pipes, O_CLOEXEC) < 0) return true;
    posix_spawn_file_actions_t fa;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, pipes[1], STDOUT_FILENO);
    char *argv[] = {(char *)program, "--version", NULL};
    pid_t pid = -1;
    int rc = posix_spawnp(&pid, program, &fa, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    close(pipes[1]);
    struct pollfd pf = {.fd = pipes[0], .events = POLLIN};
    if (rc == 0 && poll(&pf, 1, VERSION_WAIT_MS) == 1) {
        ssize_t n = read(pipes[0], text, n_max - 1);
        text[n > 0 ? n : 0] = 0;
    }
    close(pipes[0]);
    if (rc == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    text[strcspn(text, "\n")] = 0;
    return rc == 0;
}

/* The runtime that the broker takes: the one named in the configuration, else crun, else runc. Its
 * version is the third word: "crun version 1.8.1"; "0.0.0" when it does not say. */
static void runtime_read(struct host_info *h, const struct service_ctx *ctx) {
    OWN(free_p) char *path = service_path(ctx, "/etc/atoll/runtime");
    OWN(free_p) char *chosen = read_line(path);
    const char *programs[] = {*chosen ? chosen : "crun", *chosen ? NULL : "runc"};
    char text[256] = "";
    size_t i = 0;
    while (i < ARRAY_LEN(programs) && programs[i] && !ask_version(programs[i], text, sizeof text))
        i++;
    if (i == ARRAY_LEN(programs) || !programs[i]) i = 0;
    const char *slash = strrchr(programs[i], '/');
    const char *version = strstr(text, " version ");
    h->runtime = copy(slash ? slash + 1 : programs[i]);
    if (version) text[version - text + 9 + (ptrdiff_t)strcspn(version + 9, " \n")] = 0;
    h->runtime_version = copy(version ? version + 9 : "0.0.0");
}

static int64_t meminfo(const char *text, const char *key) {
    struct slice rest = slice_of(text), line;
    while (slice_cut(&rest, '\n', &line)) {
        if (!slice_starts(line, key)) continue;
        line = slice_trim(slice_from(line.p + strlen(key), line.n - strlen(key)));
        struct slice number = line;
        uint64_t kib;
        slice_cut(&line, ' ', &number);
        if (slice_u64(number, &kib) == 0 && kib < (UINT64_MAX >> 12)) return (int64_t)kib * 1024;
    }
    return -1;
}

static int64_t cpu_milli(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0) return sysconf(_SC_NPROCESSORS_ONLN) * 1000;
    return (int64_t)CPU_COUNT(&set) * 1000;
}

/* The listen address when it is a real one, else the first address that is not loopback. */
static char *host_address(const struct settings *s) {
    OWN(free_p) char *listen = copy(str_or(s->listen, ""));
    char *colon = strrchr(listen, ':');
    struct in_addr v4;
    if (colon) *colon = 0;
    if (inet_pton(AF_INET, listen, &v4) == 1 && v4.s_addr != 0 && (ntohl(v4.s_addr) >> 24) != 127)
        return copy(listen);
    struct ifaddrs *all = NULL;
    char text[INET_ADDRSTRLEN] = "";
    if (getifaddrs(&all) < 0) all = NULL;
    for (struct ifaddrs *i = all; i && !*text; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK))
            continue;
        struct sockaddr_in *in = (struct sockaddr_in *)i->ifa_addr;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        if (!strcmp(text, str_or(s->gateway_ip, ""))) *text = 0; /* the bridge of the pods */
    }
    if (all) freeifaddrs(all);
    return copy(*text ? text : "127.0.0.1");
}

static void read_uname(struct host_info *h) {
    struct utsname u;
    memset(&u, 0, sizeof u);
    uname(&u);
    h->kernel = copy(u.release);
    h->hostname = copy(u.nodename);
    bool x86 = !strcmp(u.machine, "x86_64"), arm = !strcmp(u.machine, "aarch64");
    h->architecture = copy(x86 ? "amd64" : arm ? "arm64" : u.machine);
}

int host_read(struct host_info *h, const struct service_ctx *ctx, struct err *err) {
    OWN(free_p) char *state = service_path(ctx, "/var/lib/atoll");
    OWN(free_p) char *logs = service_path(ctx, "/var/log/atoll/pods");
    OWN(free_p) char *memory = read_file("/proc/meminfo");
    struct statvfs fs;
    h->state_fd = open(state, O_PATH | O_DIRECTORY | O_CLOEXEC);
    h->meminfo_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    OWN(free_p) char *pods = service_path(ctx, "/run/atoll/pods");
    h->pods_fd = open(pods, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    h->logs_fd = open(logs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (h->state_fd < 0 || fstatvfs(h->state_fd, &fs) < 0)
        return err_errno(err, errno, "state directory %s", state);
    h->storage_bytes = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
    h->memory_bytes = meminfo(memory, "MemTotal:");
    if (h->memory_bytes <= 0) return err_set(err, ERR_INTERNAL, "/proc/meminfo has no MemTotal");
    h->cpu_milli = cpu_milli();
    read_uname(h);
    h->os_image = os_image();
    h->machine_id = read_line("/etc/machine-id");
    h->boot_id = read_line("/proc/sys/kernel/random/boot_id");
    runtime_read(h, ctx);
    h->resolv_conf = read_file("/etc/resolv.conf");
    h->hosts = read_file("/etc/hosts");
    h->ip = host_address(ctx->settings);
    return 0;
}

int64_t host_memory_available(const struct host_info *h) {
    char text[4096];
    ssize_t n = pread(h->meminfo_fd, text, sizeof text - 1, 0);
    if (n <= 0) return -1;
    text[n] = 0;
    return meminfo(text, "MemAvailable:");
}

void host_disk_available(const struct host_info *h, int *ret_percent_bytes,
                         int *ret_percent_inodes) {
    struct statvfs fs;
    *ret_percent_bytes = *ret_percent_inodes = -1;
    if (fstatvfs(h->state_fd, &fs) < 0) return;
    if (fs.f_blocks) *ret_percent_bytes = (int)(fs.f_bavail * 100 / fs.f_blocks);
    if (fs.f_files) *ret_percent_inodes = (int)(fs.f_favail * 100 / fs.f_files);
}
