#include "image/registry.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "image/digest.h"
#include "proto/json.h"

enum { CONNECT_TIMEOUT_S = 15, STALL_S = 60, REDIRECTS_MAX = 5, REFUSAL_BYTES_MAX = 1 << 20 };

static bool is_loopback(const char *host) {
    return str_starts(host, "localhost:") || str_eq(host, "localhost") ||
           str_starts(host, "127.") || str_starts(host, "[::1]");
}

static bool is_listed(const char *host, const char *list) {
    struct slice rest = slice_of(list), line;
    while (slice_cut(&rest, '\n', &line))
        if (slice_is(slice_trim(line), host)) return true;
    return false;
}

int registry_open(struct registry *r, struct arena *a, const struct image_reference *ref,
                  const char *username, const char *password, const char *insecure_hosts,
                  struct err *err) {
    *r = (struct registry){
        .arena = a, .repository = ref->repository, .username = username, .password = password};
    int e = curl_library_load(&r->lib, err);
    if (e < 0) return e;
    const char *host = str_eq(ref->host, "docker.io") ? "registry-1.docker.io" : ref->host;
    bool plain = is_loopback(host) || is_listed(host, str_or(insecure_hosts, ""));
    r->base = arena_printf(a, "%s://%s", plain ? "http" : "https", host);
    r->lib->curl_global_init_p(CURL_GLOBAL_DEFAULT);
    r->curl = r->lib->curl_easy_init_p();
    return r->curl ? 0 : err_set(err, ERR_INTERNAL, "libcurl cannot start");
}

void registry_close(struct registry *r) {
    if (r->curl) r->lib->curl_easy_cleanup_p(r->curl);
    free(r->authorization);
    *r = (struct registry){0};
}

struct transfer {
    const struct registry *registry;
    struct buf *body; /* or … */
    int fd;
    struct digest *digest;
    uint64_t got, limit, refusal;
    char challenge[2048];
};

/* What comes with another status than 200 is a page about it: neither content nor as small as
 * that, but bounded all the same. */
static bool is_content(struct transfer *t, size_t bytes, size_t *ret_taken) {
    const struct registry *r = t->registry;
    long status = 0;
    r->lib->curl_easy_getinfo_p(r->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) return true;
    t->refusal += bytes;
    *ret_taken = t->refusal > REFUSAL_BYTES_MAX ? 0 : bytes;
    return false;
}

static size_t on_body(char *p, size_t size, size_t n, void *user) {
    struct transfer *t = user;
    size_t bytes = size * n, taken;
    if (!is_content(t, bytes, &taken)) return taken;
    t->got += bytes;
    if (t->got > t->limit) return 0; /* ends the transfer */
    if (t->digest) digest_add(t->digest, slice_from(p, bytes));
    if (t->body) buf_append(t->body, p, bytes);
    for (size_t done = 0; !t->body && done < bytes;) {
        ssize_t w = write(t->fd, p + done, bytes - done);
        if (w < 0) return 0;
        done += (size_t)w;
    }
    return bytes;
}

static size_t on_header(char *p, size_t size, size_t n, void *user) {
    static const char name[] = "www-authenticate:";
    struct transfer *t = user;
    size_t bytes = size * n, head = sizeof name - 1;
    if (bytes > head && strncasecmp(p, name, head) == 0 && bytes - head < sizeof t->challenge) {
        struct slice v = slice_trim(slice_from(p + head, bytes - head));
        memcpy(t->challenge, v.p, v.n);
        t->challenge[v.n] = 0;
    }
    return bytes;
}

#define SET(r, option, value) (r)->lib->curl_easy_setopt_p((r)->curl, (option), (value))

static int get(struct registry *r, const char *url, const char *accept, const char *authorization,
               struct transfer *t, long *ret_status, struct err *err) {
    t->registry = r;
    t->refusal = 0;
    struct curl_slist *headers = r->lib->curl_slist_append_p(NULL, accept);
    if (authorization) headers = r->lib->curl_slist_append_p(headers, authorization);
    SET(r, CURLOPT_URL, url);
    SET(r, CURLOPT_HTTPHEADER, headers);
    SET(r, CURLOPT_WRITEFUNCTION, on_body);
    SET(r, CURLOPT_WRITEDATA, t);
    SET(r, CURLOPT_HEADERFUNCTION, on_header);
    SET(r, CURLOPT_HEADERDATA, t);
    SET(r, CURLOPT_FOLLOWLOCATION, 1L);
    SET(r, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    SET(r, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(r, CURLOPT_REDIR_PROTOCOLS_STR, strncmp(url, "https", 5) == 0 ? "https" : "http,https");
    SET(r, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    SET(r, CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(r, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    SET(r, CURLOPT_NOSIGNAL, 1L);
    SET(r, CURLOPT_USERAGENT, "atoll/" ATOLL_VERSION);
    CURLcode code = r->lib->curl_easy_perform_p(r->curl);
    r->lib->curl_slist_free_all_p(headers);
    *ret_status = 0;
    r->lib->curl_easy_getinfo_p(r->curl, CURLINFO_RESPONSE_CODE, ret_status);
    if (code == CURLE_WRITE_ERROR && (t->got > t->limit || t->refusal > REFUSAL_BYTES_MAX))
        return err_set(err, ERR_TOO_LARGE, "%s: the answer is larger than announced", url);
    if (code == CURLE_WRITE_ERROR)
        return err_set(err, ERR_UNAVAILABLE, "%s: cannot be written, is the disk full?", url);
    if (code != CURLE_OK)
        return err_set(err, ERR_UNAVAILABLE, "%s: %s", url, r->lib->curl_easy_strerror_p(code));
    return 0;
}

/* key="value" of a challenge (RFC 9110, section 11.2). */
static const char *challenge_value(struct arena *a, const char *challenge, const char *key) {
    const char *at = strstr(challenge, arena_printf(a, "%s=\"", key));
    if (!at) return "";
    at += strlen(key) + 2;
    const char *end = strchr(at, '"');
    return end ? arena_strn(a, slice_from(at, (size_t)(end - at))) : "";
}

static void basic(struct registry *r) {
    OWN(buf_done) struct buf plain = {0}, line = {0};
    buf_printf(&plain, "%s:%s", r->username, r->password);
    buf_str(&line, "Authorization: Basic ");
    buf_base64(&line, plain.p, plain.n);
    explicit_bzero(plain.p, plain.n);
    free(r->authorization);
    r->authorization = buf_steal(&line);
}

static const char *escape(struct arena *a, const char *s) {
    OWN(buf_done) struct buf b = {0};
    for (; *s; s++) {
        bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                     (*s >= '0' && *s <= '9') || strchr("-._~", *s);
        if (plain)
            buf_char(&b, *s);
        else
            buf_printf(&b, "%%%02X", (unsigned char)*s);
    }
    return arena_strn(a, buf_view(&b));
}

static void json_free(json_t **j) { json_decref(*j); }

static int fetch_token(struct registry *r, const char *challenge, struct err *err) {
    struct arena *a = r->arena;
    OWN(buf_done) struct buf body = {0}, line = {0};
    OWN(json_free) json_t *doc = NULL;
    const char *realm = challenge_value(a, challenge, "realm"),
               *service = challenge_value(a, challenge, "service");
    if (!str_starts(realm, "http"))
        return err_set(err, ERR_UNAUTHORIZED, "the registry's challenge has no realm");
    const char *url = arena_printf(a, "%s%sservice=%s&scope=%s", realm,
                                   strchr(realm, '?') ? "&" : "?", escape(a, service),
                                   escape(a, arena_printf(a, "repository:%s:pull", r->repository)));
    struct transfer t = {.body = &body, .limit = 1 << 20};
    long status;
    char *was = TAKE(r->authorization);
    if (*r->username) basic(r);
    int e = get(r, url, "Accept: application/json", r->authorization, &t, &status, err);
    free(was);
    if (e < 0) return e;
    if (status != 200)
        return err_set(err, ERR_UNAUTHORIZED, "%s refused to give a token (HTTP %ld)", realm,
                       status);
    if (json_parse(buf_view(&body), &doc, err) < 0) return err_wrap(err, "token answer");
    const char *token = json_string_value(json_object_get(doc, "token"));
    if (!token) token = json_string_value(json_object_get(doc, "access_token"));
    if (!token || strpbrk(token, "\r\n"))
        return err_set(err, ERR_UNAUTHORIZED, "%s gave no token", realm);
    buf_printf(&line, "Authorization: Bearer %s", token);
    free(r->authorization);
    r->authorization = buf_steal(&line);
    return 0;
}

static int authenticate(struct registry *r, const char *challenge, struct err *err) {
    if (strncasecmp(challenge, "bearer ", 7) == 0) return fetch_token(r, challenge, err);
    if (strncasecmp(challenge, "basic", 5) == 0 && *r->username) {
        basic(r);
        return 0;
    }
    return err_set(err, ERR_UNAUTHORIZED, "%s: the registry wants a user name and a password",
                   r->base);
}

/* GET with at most one round of authentication. Only 200 is success. */
static int fetch(struct registry *r, const char *url, const char *accept, struct transfer *t,
                 struct err *err) {
    long status;
    for (int round = 0;; round++) {
        t->challenge[0] = 0;
        int e = get(r, url, accept, r->authorization, t, &status, err);
        if (e < 0) return e;
        if (status == 200) return 0;
        if (status != 401 || round || !*t->challenge) break;
        e = authenticate(r, t->challenge, err);
        if (e < 0) return e;
    }
    if (status == 404) return err_set(err, ERR_NOT_FOUND, "%s: not found", url);
    if (status == 401 || status == 403)
        return err_set(err, ERR_UNAUTHORIZED,
                       "%s: pull access denied, the repository does not exist or needs a login",
                       url);
    return err_set(err, ERR_UNAVAILABLE, "%s: unexpected status %ld", url, status);
}

int registry_manifest(struct registry *r, const char *reference, struct buf *body,
                      char digest_out[80], struct err *err) {
    static const char accept[] = "Accept: application/vnd.oci.image.index.v1+json, "
                                 "application/vnd.oci.image.manifest.v1+json, "
                                 "application/vnd.docker.distribution.manifest.list.v2+json, "
                                 "application/vnd.docker.distribution.manifest.v2+json";
    struct transfer t = {.body = body, .limit = LIMIT_IMAGE_MANIFEST_BYTES};
    int e =
        fetch(r, arena_printf(r->arena, "%s/v2/%s/manifests/%s", r->base, r->repository, reference),
              accept, &t, err);
    if (e < 0) return e;
    digest_of(buf_view(body), digest_out);
    if (image_digest_valid(reference) && strcmp(reference, digest_out) != 0)
        return err_set(err, ERR_INVALID, "the manifest's digest is %s, not %s", digest_out,
                       reference);
    return 0;
}

int registry_blob(struct registry *r, const char *digest, uint64_t size_bytes, int fd,
                  struct err *err) {
    struct transfer t = {.fd = fd, .digest = digest_new(), .limit = size_bytes};
    char got[80];
    int e = fetch(r, arena_printf(r->arena, "%s/v2/%s/blobs/%s", r->base, r->repository, digest),
                  "Accept: */*", &t, err);
    digest_end(t.digest, got);
    if (e < 0) return e;
    if (t.got != size_bytes || strcmp(got, digest) != 0)
        return err_set(err, ERR_INVALID, "blob %s is corrupt: got %llu bytes with digest %s",
                       digest, (unsigned long long)t.got, got);
    return 0;
}
