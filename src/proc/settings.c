#include "proc/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"

struct range {
    uint32_t first, last;
};

static const struct {
    const char *key;
    size_t at;
} members[] = {
    {"root", offsetof(struct settings, root)},
    {"instance", offsetof(struct settings, instance)},
    {"listen", offsetof(struct settings, listen)},
    {"node_name", offsetof(struct settings, node_name)},
    {"pod_cidr", offsetof(struct settings, pod_cidr)},
    {"service_cidr", offsetof(struct settings, service_cidr)},
    {"gateway_ip", offsetof(struct settings, gateway_ip)},
    {"dns_ip", offsetof(struct settings, dns_ip)},
    {"api_ip", offsetof(struct settings, api_ip)},
    {"cluster_domain", offsetof(struct settings, cluster_domain)},
};

static const char **member(const struct settings *s, size_t i) {
    return (const char **)((char *)s + members[i].at);
}

int settings_root(const char *typed, bool create, struct arena *a, const char **ret,
                  struct err *err) {
    if (!typed) typed = "/";
    if (!*typed) return err_field(err, ERR_BAD_REQUEST, "--root", "must not be empty");
    if (strpbrk(typed, "\n\t") || strlen(typed) > 3000)
        return err_field(err, ERR_BAD_REQUEST, "--root", "not a usable path");
    char *path = arena_str(a, typed);
    for (char *p = path + 1; create && *p; p++) { /* mkdir -p */
        if (*p != '/') continue;
        *p = 0;
        mkdir(path, 0755);
        *p = '/';
    }
    if (create && mkdir(path, 0755) < 0 && errno != EEXIST)
        return err_errno(err, errno, "cannot make the root directory %s", typed);
    OWN(free_p) char *real = realpath(path, NULL);
    if (!real) return err_errno(err, errno, "root directory %s", typed);
    struct stat st;
    if (stat(real, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(err, ERR_BAD_REQUEST, "--root %s is not a directory", typed);
    *ret = strcmp(real, "/") == 0 ? "" : arena_str(a, real);
    return 0;
}

static int parse_range(const char *name, const char *text, unsigned min_bits, unsigned max_bits,
                       struct range *ret, struct err *err) {
    char address[32];
    struct in_addr in;
    uint64_t bits;
    const char *slash = strchr(text, '/');
    if (!slash || (size_t)(slash - text) >= sizeof address ||
        slice_u64(slice_of(slash + 1), &bits) < 0)
        goto bad;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = 0;
    if (inet_pton(AF_INET, address, &in) != 1) goto bad;
    if (bits < min_bits || bits > max_bits)
        return err_field(err, ERR_BAD_REQUEST, name, "%s: the prefix must be /%u to /%u", text,
                         min_bits, max_bits);
    uint32_t mask = UINT32_MAX << (32 - bits);
    ret->first = ntohl(in.s_addr);
    if (ret->first & ~mask)
        return err_field(err, ERR_BAD_REQUEST, name, "%s: address bits are set beyond the prefix",
                         text);
    ret->last = ret->first | ~mask;
    return 0;
bad:
    return err_field(err, ERR_BAD_REQUEST, name, "%s: must be an IPv4 range such as 10.244.0.0/24",
                     text);
}

static const char *nth_address(struct arena *a, const struct range *r, uint32_t n) {
    struct in_addr in = {htonl(r->first + n)};
    char text[INET_ADDRSTRLEN];
    return arena_str(a, inet_ntop(AF_INET, &in, text, sizeof text));
}

int settings_split_listen(const char *listen, struct arena *a, const char **ret_address,
                          unsigned *ret_port, struct err *err) {
    const char *colon = strrchr(listen, ':');
    uint64_t port;
    if (!colon || slice_u64(slice_of(colon + 1), &port) < 0 || port == 0 || port > 65535) goto bad;
    struct slice host = {listen, (size_t)(colon - listen)};
    unsigned char bytes[sizeof(struct in6_addr)];
    int family = AF_INET;
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        host = (struct slice){host.p + 1, host.n - 2};
        family = AF_INET6;
    }
    const char *address = arena_strn(a, host);
    if (inet_pton(family, address, bytes) != 1) goto bad;
    *ret_address = address;
    *ret_port = (unsigned)port;
    return 0;
bad:
    return err_field(err, ERR_BAD_REQUEST, "--listen",
                     "%s: must be ADDRESS:PORT such as 127.0.0.1:6443", listen);
}

static bool is_node_name(const char *s) {
    size_t n = strlen(s);
    if (n == 0 || n > LIMIT_LABEL_BYTES) return false;
    for (size_t i = 0; i < n; i++) {
        bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9');
        if (!alnum && !((s[i] == '-' || s[i] == '.') && i > 0 && i + 1 < n)) return false;
    }
    return true;
}

/* The host's name made into a valid node name. */
static const char *default_node_name(struct arena *a) {
    char name[LIMIT_LABEL_BYTES + 1] = "";
    gethostname(name, sizeof name - 1);
    for (char *p = name; *p; p++) {
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
        if (*p == '_') *p = '-';
    }
    return arena_str(a, is_node_name(name) ? name : "atoll");
}

/* FNV-1a: the same root always gives the same names of bridge, tables and cgroups. */
static const char *instance_of(struct arena *a, const char *root) {
    uint32_t h = 2166136261u;
    for (const char *p = root; *p; p++) h = (h ^ (unsigned char)*p) * 16777619u;
    return arena_printf(a, "%08" PRIx32, h);
}

int settings_resolve(const struct settings_choice *choice, struct arena *a, struct settings *ret,
                     struct err *err) {
    struct settings s = {.root = choice->root,
                         .listen = str_or(choice->listen, "127.0.0.1:6443"),
                         .pod_cidr = str_or(choice->pod_cidr, "10.244.0.0/24"),
                         .service_cidr = str_or(choice->service_cidr, "10.96.0.0/16"),
                         .cluster_domain = "cluster.local"};
    const char *address;
    struct range pods, services;
    int r = settings_split_listen(s.listen, a, &address, &s.api_port, err);
    if (r == 0) r = settings_auth_resolve(&choice->auth, a, &s.auth, err);
    if (r == 0) r = parse_range("--pod-cidr", s.pod_cidr, 8, 28, &pods, err);
    if (r == 0) r = parse_range("--service-cidr", s.service_cidr, 8, 27, &services, err);
    if (r < 0) return r;
    if (pods.first <= services.last && services.first <= pods.last)
        return err_set(err, ERR_BAD_REQUEST, "--pod-cidr %s and --service-cidr %s overlap",
                       s.pod_cidr, s.service_cidr);
    s.node_name = choice->node_name ? choice->node_name : default_node_name(a);
    if (!is_node_name(s.node_name))
        return err_field(err, ERR_BAD_REQUEST, "--node-name",
                         "%s: must be lower-case letters, digits, '-' and '.', at most 63",
                         s.node_name);
    s.instance = instance_of(a, s.root);
    s.gateway_ip = nth_address(a, &pods, 1);
    s.api_ip = nth_address(a, &services, 1);
    s.dns_ip = nth_address(a, &services, 10);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) *member(&s, i) = arena_str(a, *member(&s, i));
    *ret = s;
    return 0;
}

void settings_write(struct buf *b, const struct settings *s) {
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        buf_printf(b, "%s=%s\n", members[i].key, *member(s, i));
    buf_printf(b, "api_port=%u\n", s->api_port);
    settings_auth_write(b, &s->auth);
}

const char *settings_line(struct slice text, const char *key, struct arena *a) {
    struct slice line, name;
    while (slice_cut(&text, '\n', &line))
        if (slice_cut(&line, '=', &name) && line.p && slice_is(name, key))
            return arena_strn(a, line);
    return NULL;
}

int settings_read(struct slice text, struct arena *a, struct settings *ret, struct err *err) {
    struct settings s = {0};
    uint64_t port;
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        *member(&s, i) = settings_line(text, members[i].key, a);
        if (!*member(&s, i)) return err_set(err, ERR_INTERNAL, "settings lack %s", members[i].key);
    }
    const char *api_port = settings_line(text, "api_port", a);
    if (!api_port || slice_u64(slice_of(api_port), &port) < 0 || port > 65535)
        return err_set(err, ERR_INTERNAL, "settings lack api_port");
    s.api_port = (unsigned)port;
    settings_auth_read(text, a, &s.auth);
    *ret = s;
    return 0;
}

/* ---- the file ---- */

static int read_file(const char *path, struct arena *a, struct slice *ret, struct err *err) {
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    *ret = (struct slice){0};
    if (fd < 0) return errno == ENOENT ? 0 : err_errno(err, errno, "%s", path);
    char text[16 * 1024];
    ssize_t n = read(fd, text, sizeof text);
    if (n < 0) return err_errno(err, errno, "%s", path);
    ret->p = arena_copy(a, text, (size_t)n);
    ret->n = (size_t)n;
    return 0;
}

static int keep_range(const char *option, const char **given, const char *stored, bool has_state,
                      struct err *err) {
    if (stored && *given && has_state && !str_eq(stored, *given))
        return err_field(err, ERR_BAD_REQUEST, option,
                         "%s: this Atoll was made with %s; a range cannot change while state "
                         "exists (`atoll down --purge` removes it)",
                         *given, stored);
    if (!*given) *given = stored;
    return 0;
}

int settings_load(struct settings_choice *choice, bool has_state, struct arena *a,
                  struct err *err) {
    struct slice text;
    const char *path = arena_printf(a, "%s/etc/atoll/settings", choice->root);
    int r = read_file(path, a, &text, err);
    if (r < 0 || !text.p) return r;
    if (!choice->listen) choice->listen = settings_line(text, "listen", a);
    if (!choice->node_name) choice->node_name = settings_line(text, "node_name", a);
    settings_auth_read(text, a, &choice->auth);
    r = keep_range("--pod-cidr", &choice->pod_cidr, settings_line(text, "pod_cidr", a), has_state,
                   err);
    if (r < 0) return r;
    return keep_range("--service-cidr", &choice->service_cidr,
                      settings_line(text, "service_cidr", a), has_state, err);
}

int settings_save(const struct settings *s, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, "listen=%s\nnode_name=%s\npod_cidr=%s\nservice_cidr=%s\n", s->listen,
               s->node_name, s->pod_cidr, s->service_cidr);
    settings_auth_write(&b, &s->auth);
    const char *path = arena_printf(a, "%s/etc/atoll/settings", s->root);
    const char *fresh = arena_printf(a, "%s.new", path);
    OWN(close_p) int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return err_errno(err, errno, "%s", fresh);
    errno = ENOSPC; /* what a short write means */
    if (write(fd, b.p, b.n) != (ssize_t)b.n || fsync(fd) < 0 || rename(fresh, path) < 0)
        return err_errno(err, errno, "%s", path);
    return 0;
}
