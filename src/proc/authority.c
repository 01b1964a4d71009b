#include "proc/authority.h"

#include <linux/capability.h>
#include <string.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/slice.h"
#include "proc/service.h"

#define CAP(name) (UINT64_C(1) << CAP_##name)
#define CLIENT (CALLS_BASE | CALLS_CONNECT)

const struct authority authority_table[] = {
    {.name = "init",
     .user_why = "makes directories and sockets, spawns and restarts the rows below; serves only "
                 "root on init.sock",
     .calls = CALLS_UNRESTRICTED,
     .keeps_root = true,
     .socket = "init.sock",
     .socket_mode = 0600},
    {.name = "store",
     .uid = 61001,
     .user_why = "owns the state: one SQLite database in its own directory, nothing else",
     .calls = CALLS_BASE | CALLS_FILES_WRITE,
     .paths = {{"@/var/lib/atoll/store", PATH_READ | PATH_WRITE}},
     .socket = "store.sock",
     .socket_mode = 0666,
     .peers = {"api"},
     .state_dir = "store",
     .state_mode = 0700,
     .open_files = 256,
     .data_mib = 2048},
    {.name = "keys",
     .uid = 61002,
     .user_why = "holds every private key, read before the sandbox closes; no files, no network",
     .calls = CALLS_BASE,
     .socket = "keys.sock",
     .socket_mode = 0666,
     .peers = {"api", "egress", "sp"},
     .state_dir = "keys",
     .state_mode = 0700,
     .state_of_root = true,
     .open_files = 256,
     .data_mib = 64},
    {.name = "api",
     .uid = 61003,
     .user_why = "speaks TLS and HTTP on sockets it was handed; opens no file, holds no key",
     .calls = CLIENT,
     .awaited = true,
     .socket = "api.sock",
     .socket_mode = 0666,
     .peers = {"controllers", "scheduler", "node", "network", "dns", "image", "sp"},
     .fds = {"api_tcp", "api_gateway"},
     .stage = 1,
     .open_files = 16384,
     .data_mib = 4096},
    {.name = "egress",
     .uid = 61011,
     .user_why = "the api's only way out: connects where webhooks, aggregated APIs and proxied "
                 "pods are; holds no key and no secret",
     .calls = CLIENT | CALLS_FILES_READ | CALLS_INET,
     .tcp = TCP_CONNECT,
     .paths = {{"/etc", PATH_READ},
               {"/run/systemd/resolve", PATH_READ},
               {"/run/resolvconf", PATH_READ},
               {"/run/NetworkManager", PATH_READ}},
     .socket = "egress.sock",
     .socket_mode = 0666,
     .peers = {"api"},
     .stage = 1,
     .open_files = 2 * LIMIT_EGRESS_CONNECTIONS + 200,
     .data_mib = 512},
    {.name = "controllers",
     .uid = 61004,
     .user_why = "reconciles objects; an ordinary client of the API",
     .calls = CLIENT,
     .follows = true,
     .stage = 2,
     .open_files = 256,
     .data_mib = 2048},
    {.name = "scheduler",
     .uid = 61005,
     .user_why = "places pods; an ordinary client of the API",
     .calls = CLIENT,
     .follows = true,
     .stage = 2,
     .open_files = 256,
     .data_mib = 2048},
    {.name = "broker",
     .uid = 0,
     .user_why = "the one privileged helper: mounts, namespaces, cgroups, OCI runtime; obeys only "
                 "node, checks every field again",
     .calls = CALLS_UNRESTRICTED,
     .keeps_root = true,
     .mount_namespace = true,
     .socket = "broker.sock",
     .socket_mode = 0666,
     .peers = {"node"},
     .state_dir = "pods",
     .state_mode = 0711,
     .stage = 2,
     .open_files = 16384,
     .processes = 8192,
     .data_mib = 2048},
    {.name = "image",
     .uid = 61008,
     .user_why = "pulls and unpacks images: network out, its own directory, a child per unpack",
     .calls = CLIENT | CALLS_FILES_WRITE | CALLS_INET | CALLS_NETLINK | CALLS_THREADS | CALLS_SPAWN,
     /* layers keep their owners, modes and file capabilities; Landlock keeps that in its directory
      */
     .capabilities = CAP(CHOWN) | CAP(FOWNER) | CAP(FSETID) | CAP(DAC_OVERRIDE) | CAP(SETFCAP),
     .tcp = TCP_CONNECT,
     .paths = {{"@/var/lib/atoll/image", PATH_READ | PATH_WRITE | PATH_WHITEOUT},
               {"/etc", PATH_READ},
               {"/usr", PATH_READ | PATH_EXECUTE},
               {"/lib", PATH_READ | PATH_EXECUTE},
               {"/lib64", PATH_READ | PATH_EXECUTE},
               {"/proc", PATH_READ | PATH_WRITE},
               {"/run/systemd/resolve", PATH_READ},
               {"/run/resolvconf", PATH_READ},
               {"/run/NetworkManager", PATH_READ},
               {"/dev/null", PATH_READ | PATH_WRITE},
               {"%exe", PATH_READ | PATH_EXECUTE}},
     .socket = "image.sock",
     .socket_mode = 0666,
     .peers = {"node"},
     .state_dir = "image",
     .state_mode = 0711,
     .follows = true,
     .stage = 2,
     .open_files = 1024,
     .processes = 64,
     .data_mib = 1024},
    {.name = "network",
     .uid = 61009,
     .user_why = "configures links and nftables: CAP_NET_ADMIN in the host's network namespace",
     .calls = CLIENT | CALLS_FILES_READ | CALLS_INET | CALLS_NETLINK,
     .capabilities = CAP(NET_ADMIN),
     .paths = {{"/proc/sys/net", PATH_READ | PATH_WRITE}, {"/sys/class/net", PATH_READ}},
     .socket = "network.sock",
     .socket_mode = 0666,
     .peers = {"node"},
     .state_dir = "network",
     .state_mode = 0700,
     .stage = 2,
     .open_files = 1000, /* libnftables aborts on descriptors ≥ 1024 */
     .data_mib = 512},
    {.name = "node",
     .uid = 61006,
     .user_why = "converges this machine's pods; asks broker, image and network; probes pods",
     .calls = CLIENT | CALLS_FILES_READ | CALLS_INET,
     .tcp = TCP_CONNECT,
     .paths = {{"/proc", PATH_READ},
               {"/sys", PATH_READ},
               {"/etc", PATH_READ},
               {"/run/systemd/resolve", PATH_READ},
               {"/run/resolvconf", PATH_READ},
               {"/run/NetworkManager", PATH_READ},
               {"@/var/lib/atoll/image/layers", PATH_READ},
               {"@/var/log/atoll/pods", PATH_READ}},
     .socket = "node.sock",
     .socket_mode = 0666,
     .peers = {"api"},
     .stage = 2,
     .open_files = 4096,
     .data_mib = 1024},
    {.name = "dns",
     .uid = 61010,
     .user_why = "answers names on port 53 sockets it was handed; asks upstream resolvers",
     .calls = CLIENT | CALLS_FILES_READ | CALLS_INET,
     .tcp = TCP_CONNECT,
     .paths = {{"/etc", PATH_READ},
               {"/run/systemd/resolve", PATH_READ},
               {"/run/resolvconf", PATH_READ},
               {"/run/NetworkManager", PATH_READ}},
     .fds = {"udp53", "tcp53"},
     .stage = 2,
     .open_files = 1024,
     .data_mib = 512},
    {.name = "sp",
     .uid = 61012,
     .user_why = "carries messages between socket files in its directory and declared peers; gives "
                 "each file the owner that its topology names",
     .calls = CLIENT | CALLS_FILES_WRITE | CALLS_INET,
     .capabilities = CAP(CHOWN),
     .tcp = TCP_CONNECT | TCP_BIND,
     .paths = {{"@/run/atoll/sp", PATH_READ | PATH_WRITE},
               {"%config", PATH_READ},
               {"@/etc/sp", PATH_READ},
               {"/etc", PATH_READ},
               {"/run/systemd/resolve", PATH_READ},
               {"/run/resolvconf", PATH_READ},
               {"/run/NetworkManager", PATH_READ}},
     .stage = 2,
     .open_files = LIMIT_SP_PIPES + 4096,
     .data_mib = 2048},
};

const size_t authority_count = ARRAY_LEN(authority_table);

const struct authority *authority_find(const char *name) {
    for (size_t i = 0; i < authority_count; i++)
        if (str_eq(authority_table[i].name, name)) return &authority_table[i];
    return NULL;
}

uid_t service_uid(const char *name) {
    const struct authority *row = authority_find(name);
    return row ? row->uid : (uid_t)-1;
}

const char *service_name_of_uid(uid_t uid) {
    for (size_t i = 0; uid != 0 && i < authority_count; i++)
        if (authority_table[i].uid == uid) return authority_table[i].name;
    return NULL;
}

size_t authority_peers(const char *name, uid_t ret[AUTHORITY_LIST_MAX]) {
    const struct authority *row = authority_find(name);
    size_t n = 0;
    for (size_t i = 0; row && i < AUTHORITY_LIST_MAX && row->peers[i]; i++)
        ret[n++] = service_uid(row->peers[i]);
    return n;
}

/* ---- the table as text ---- */

static const char *const call_names[] = {"base",    "connect", "files-read", "files-write", "inet",
                                         "netlink", "threads", "spawn",      "unrestricted"};

static void print_calls(struct buf *b, const struct authority *row) {
    const char *separator = "";
    for (size_t i = 0; i < ARRAY_LEN(call_names); i++) {
        if (!(row->calls & 1u << i)) continue;
        buf_printf(b, "%s%s", separator, call_names[i]);
        separator = "+";
    }
}

static void print_capabilities(struct buf *b, const struct authority *row) {
    static const struct {
        uint64_t bit;
        const char *name;
    } names[] = {{CAP(CHOWN), "chown"},     {CAP(DAC_OVERRIDE), "dac_override"},
                 {CAP(FOWNER), "fowner"},   {CAP(FSETID), "fsetid"},
                 {CAP(SETFCAP), "setfcap"}, {CAP(NET_ADMIN), "net_admin"}};
    if (row->keeps_root || !row->capabilities) buf_str(b, row->keeps_root ? "all" : "none");
    for (size_t i = 0; !row->keeps_root && i < ARRAY_LEN(names); i++)
        if (row->capabilities & names[i].bit) buf_printf(b, "%s%s", b->n ? "," : "", names[i].name);
}

static void print_paths(struct buf *b, const struct authority *row) {
    if (row->keeps_root) buf_str(b, "all");
    if (!row->keeps_root && !row->paths[0].path) buf_str(b, "none");
    for (size_t i = 0; i < AUTHORITY_LIST_MAX && row->paths[i].path; i++)
        buf_printf(b, "%s%s:%s%s%s", i ? " " : "", row->paths[i].path,
                   row->paths[i].access & PATH_READ ? "r" : "",
                   row->paths[i].access & PATH_WRITE ? "w" : "",
                   row->paths[i].access & PATH_EXECUTE ? "x" : "");
}

static void print_list(struct buf *b, const char *const *list, size_t max) {
    if (!list[0]) buf_str(b, "-");
    for (size_t i = 0; i < max && list[i]; i++) buf_printf(b, "%s%s", i ? "," : "", list[i]);
}

void authority_print(struct buf *b) {
    buf_printf(b, "%-12s %-6s %-43s %-45s %s\n", "SERVICE", "UID", "CAPS", "SYSTEM CALLS", "WHY");
    for (size_t i = 0; i < authority_count; i++) {
        const struct authority *row = &authority_table[i];
        OWN(buf_done) struct buf calls = {0};
        print_calls(&calls, row);
        OWN(buf_done) struct buf caps = {0};
        print_capabilities(&caps, row);
        buf_printf(b, "%-12s %-6u %-43s %-45s %s\n", row->name, (unsigned)row->uid, caps.p, calls.p,
                   row->user_why);
    }
    buf_printf(b, "\n%-12s %-13s %-50s %-20s %-14s %s\n", "SERVICE", "SOCKET", "PEERS (and root)",
               "HANDED", "TCP", "FILES (@ = root directory)");
    for (size_t i = 0; i < authority_count; i++) {
        const struct authority *row = &authority_table[i];
        OWN(buf_done) struct buf peers = {0}, fds = {0}, paths = {0};
        print_list(&peers, row->peers, AUTHORITY_LIST_MAX);
        print_list(&fds, row->fds, ARRAY_LEN(row->fds));
        print_paths(&paths, row);
        buf_printf(b, "%-12s %-13s %-50s %-20s %-14s %s\n", row->name, str_or(row->socket, "-"),
                   peers.p, fds.p,
                   row->keeps_root          ? "all"
                   : row->tcp & TCP_BIND    ? "connect+listen"
                   : row->tcp & TCP_CONNECT ? "connect"
                                            : "none",
                   paths.p);
    }
}
