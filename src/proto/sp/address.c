#include "proto/sp/address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#include "base/slice.h"

enum { IPC_FILE_BYTES_MAX = 107, LABEL_BYTES_MAX = 63 }; /* sockaddr_un.sun_path; RFC 1035 */

static const char *const schemes[SP_SCHEME_COUNT] = {
    [SP_SCHEME_TCP] = "tcp", [SP_SCHEME_TLS] = "tls+tcp", [SP_SCHEME_WS] = "ws",
    [SP_SCHEME_WSS] = "wss", [SP_SCHEME_IPC] = "ipc",     [SP_SCHEME_INPROC] = "inproc",
};

const char *sp_scheme_name(enum sp_scheme scheme) { return schemes[scheme]; }

static int wrong(struct err *err, const char *what) {
    err_set(err, ERR_INVALID, "%s", what);
    return -EINVAL;
}

static int copy(char *to, size_t size, struct slice from, const char *what, struct err *err) {
    if (from.n >= size) return wrong(err, what);
    for (size_t i = 0; i < from.n; i++)
        if ((unsigned char)from.p[i] <= ' ' || from.p[i] == 0x7f)
            return wrong(err, "must not contain spaces or control characters");
    if (from.n) memcpy(to, from.p, from.n);
    to[from.n] = 0;
    return 0;
}

static bool is_ip(const char *host) {
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Letters, digits, '-' and '_' in labels of at most 63 bytes; not only digits and dots. */
static bool is_dns_name(const char *host) {
    size_t label = 0;
    bool letter = false;
    for (const char *p = host; *p; p++) {
        char c = *p;
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (c == '.') {
            if (!label) return false;
            label = 0;
            continue;
        }
        if (!alpha && !(c >= '0' && c <= '9') && !((c == '-' || c == '_') && label)) return false;
        letter |= alpha;
        if (++label > LABEL_BYTES_MAX) return false;
    }
    return label && letter;
}

static int host_parse(struct slice host, bool listen, struct sp_address *a, struct err *err) {
    bool bracketed = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (bracketed) host = slice_from(host.p + 1, host.n - 2);
    int r = copy(a->host, sizeof a->host, host, "the host has more than 253 bytes", err);
    if (r < 0) return r;
    if (!*a->host) return wrong(err, "has no host");
    bool v6 = strchr(a->host, ':') != NULL;
    if (v6 != bracketed) return wrong(err, "an IPv6 address, and nothing else, stands in brackets");
    if (is_ip(a->host)) return 0;
    if (v6) return wrong(err, "the host is not a valid IPv6 address");
    if (listen) return str_eq(a->host, "*") ? 0 : wrong(err, "the host must be an IP address or *");
    return is_dns_name(a->host) ? 0 : wrong(err, "the host must be an IP address or a DNS name");
}

static int internet_parse(struct slice rest, bool listen, struct sp_address *a, struct err *err) {
    bool web = a->scheme == SP_SCHEME_WS || a->scheme == SP_SCHEME_WSS;
    const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
    struct slice path = {0};
    uint64_t port;
    if (slash) {
        path = slice_from(slash, (size_t)(rest.p + rest.n - slash));
        rest.n -= path.n;
    }
    if (path.n && !web) return wrong(err, "only ws and wss have a path");
    const char *colon = rest.n ? memrchr(rest.p, ':', rest.n) : NULL;
    if (!colon) return wrong(err, "has no port");
    if (slice_u64(slice_from(colon + 1, (size_t)(rest.p + rest.n - colon - 1)), &port) < 0 ||
        port < 1 || port > 65535)
        return wrong(err, "the port must be between 1 and 65535, inclusive");
    a->port = (uint16_t)port;
    if (web && !path.n) path = SLICE("/");
    int r = copy(a->path, sizeof a->path, path, "the path has more than 255 bytes", err);
    if (r < 0) return r;
    return host_parse(slice_from(rest.p, (size_t)(colon - rest.p)), listen, a, err);
}

int sp_address_parse(const char *text, bool listen, struct sp_address *ret, struct err *err) {
    struct sp_address a = {0};
    const char *colon = strstr(text, "://");
    struct slice rest = colon ? slice_of(colon + 3) : (struct slice){0};
    int r;
    while (colon && a.scheme < SP_SCHEME_COUNT &&
           !slice_is(slice_from(text, (size_t)(colon - text)), schemes[a.scheme]))
        a.scheme++;
    if (!colon || a.scheme == SP_SCHEME_COUNT)
        return wrong(err, "must begin with tcp://, tls+tcp://, ws://, wss://, ipc:// or inproc://");
    if (a.scheme == SP_SCHEME_INPROC) {
        r = rest.n ? copy(a.path, sizeof a.path, rest, "the name has more than 255 bytes", err)
                   : wrong(err, "has no name");
    } else if (a.scheme == SP_SCHEME_IPC) {
        if (rest.n < 2 || *rest.p != '/') return wrong(err, "the file must be an absolute path");
        if (rest.n > IPC_FILE_BYTES_MAX) return wrong(err, "the file name has more than 107 bytes");
        r = copy(a.path, sizeof a.path, rest, "the file name is too long", err);
    } else {
        r = internet_parse(rest, listen, &a, err);
    }
    if (r == 0) *ret = a;
    return r;
}

void sp_address_text(const struct sp_address *a, char *ret, size_t size) {
    bool v6 = strchr(a->host, ':') != NULL;
    if (a->scheme >= SP_SCHEME_IPC)
        snprintf(ret, size, "%s://%s", schemes[a->scheme], a->path);
    else
        snprintf(ret, size, "%s://%s%s%s:%u%s", schemes[a->scheme], v6 ? "[" : "", a->host,
                 v6 ? "]" : "", (unsigned)a->port, a->path);
}

static bool is_loopback(const char *host) {
    struct in_addr v4;
    if (str_eq(host, "localhost") || str_eq(host, "::1")) return true;
    return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

static bool is_any(const char *host) {
    return str_eq(host, "*") || str_eq(host, "0.0.0.0") || str_eq(host, "::");
}

bool sp_address_reaches(const struct sp_address *dial, const struct sp_address *listen) {
    if (dial->scheme != listen->scheme || dial->port != listen->port ||
        !str_eq(dial->path, listen->path))
        return false;
    if (str_eq(dial->host, listen->host)) return true;
    if (str_eq(dial->host, "localhost")) return is_any(listen->host) || is_loopback(listen->host);
    return is_any(listen->host) && (is_loopback(dial->host) || is_any(dial->host));
}
