/* The client against a registry on loopback that says what the test wants. */
#include "image/registry.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"
#include "image/digest.h"
#include "proc/child.h"

struct page {
    const char *path;   /* how a request's target begins */
    const char *wanted; /* a line of the request; NULL: any request */
    const char *status, *headers, *body;
};

static pid_t server;
static int listener;
static uint16_t port;

static const struct page *page_for(const struct page *pages, const char *request) {
    const char *target = strchr(request, ' ');
    for (const struct page *p = pages; target && p->path; p++)
        if (str_starts(target + 1, p->path) && (!p->wanted || strstr(request, p->wanted))) return p;
    return NULL;
}

static void serve_one(int fd, const struct page *pages) {
    static const struct page none = {"", NULL, "404 Not Found", "", "{\"errors\":[]}"};
    char request[4096];
    size_t n = 0;
    request[0] = 0;
    while (!strstr(request, "\r\n\r\n") && n < sizeof request - 1) {
        ssize_t got = read(fd, request + n, sizeof request - 1 - n);
        if (got <= 0) return;
        n += (size_t)got;
        request[n] = 0;
    }
    const struct page *p = page_for(pages, request);
    if (!p) p = &none;
    dprintf(fd, "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s", p->status,
            strlen(p->body), p->headers, p->body);
}

/* The port is known before the pages have to be. */
static void bind_server(void) {
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof sa;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &n), 0);
    port = ntohs(sa.sin_port);
}

static void serve(const struct page *pages) {
    server = child_fork(); /* not even a test that failed leaves it behind */
    if (server) return;
    for (;;) {
        int c = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (c < 0) _exit(1);
        serve_one(c, pages);
        close(c);
    }
}

static void served(void) {
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    close(listener);
}

static void open_registry(struct registry *r, struct arena *a, const char *user) {
    struct image_reference ref = {
        .host = arena_printf(a, "127.0.0.1:%u", port), .repository = "team/app", .tag = "latest"};
    struct err err;
    if (registry_open(r, a, &ref, user, "secret", NULL, &err) < 0) fail_msg("%s", err.text);
}

static int blob(struct registry *r, const char *digest, uint64_t size_bytes, char got[64],
                struct err *err) {
    OWN(close_p) int fd = fileno(tmpfile());
    int rc = registry_blob(r, digest, size_bytes, fd, err);
    ssize_t n = pread(fd, got, 63, 0);
    got[n > 0 ? n : 0] = 0;
    return rc;
}

#define REFUSAL                                                                                    \
    "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"a page that is longer than the "        \
    "blob\"}]}"
#define HELLO "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

TEST(a_blob_is_taken_only_with_its_size_and_digest) {
    static const struct page pages[] = {
        {"/v2/team/app/blobs/" HELLO, NULL, "200 OK", "", "hello"},
        {"/v2/team/app/blobs/sha256:1", NULL, "200 OK", "", "hello"},
        {0}};
    OWN(arena_free_p) struct arena *a = arena_new();
    struct registry r;
    struct err err;
    char got[64];
    bind_server();
    serve(pages);
    open_registry(&r, a, "");
    assert_int_equal(blob(&r, HELLO, 5, got, &err), 0);
    assert_string_equal(got, "hello");
    assert_true(blob(&r, HELLO, 6, got, &err) < 0);
    assert_int_equal(err.reason, ERR_INVALID);
    assert_true(blob(&r, HELLO, 4, got, &err) < 0);
    assert_int_equal(err.reason, ERR_TOO_LARGE);
    assert_true(blob(&r, "sha256:1", 5, got, &err) < 0);
    assert_int_equal(err.reason, ERR_INVALID);
    assert_true(blob(&r, "sha256:2", 5, got, &err) < 0);
    assert_int_equal(err.reason, ERR_NOT_FOUND); /* its page is longer than five bytes */
    registry_close(&r);
    served();
}

TEST(a_token_is_fetched_with_the_password_and_shown_instead_of_it) {
    char challenge[160];
    struct page pages[] = {
        {"/token?service=a%20b&scope=repository%3Ateam%2Fapp%3Apull",
         "Authorization: Basic amFuZTpzZWNyZXQ=", "200 OK", "", "{\"token\":\"t1\"}"},
        {"/v2/team/app/blobs/" HELLO, "Authorization: Bearer t1", "200 OK", "", "hello"},
        {"/v2/", NULL, "401 Unauthorized", challenge, REFUSAL},
        {0}};
    OWN(arena_free_p) struct arena *a = arena_new();
    struct registry r;
    struct err err;
    char got[64];
    bind_server();
    snprintf(challenge, sizeof challenge,
             "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\",service=\"a b\"\r\n",
             port);
    serve(pages);
    open_registry(&r, a, "jane");
    if (blob(&r, HELLO, 5, got, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(got, "hello");
    registry_close(&r);
    served();
}

TEST(a_registry_that_wants_a_login_says_so_to_who_has_none) {
    static const struct page basic[] = {
        {"/v2/", "Authorization: Basic amFuZTpzZWNyZXQ=", "200 OK", "", "{}"},
        {"/v2/", NULL, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"r\"\r\n", REFUSAL},
        {0}};
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf body = {0};
    struct registry r;
    struct err err;
    char digest[80];
    bind_server();
    serve(basic);
    open_registry(&r, a, "");
    assert_true(registry_manifest(&r, "latest", &body, digest, &err) < 0);
    assert_int_equal(err.reason, ERR_UNAUTHORIZED);
    assert_int_equal(body.n, 0); /* the refusal is no manifest */
    registry_close(&r);
    open_registry(&r, a, "jane");
    if (registry_manifest(&r, "latest", &body, digest, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(body.p, "{}");
    registry_close(&r);
    served();
}

TEST(a_manifest_asked_for_by_digest_has_it) {
    static const struct page pages[] = {{"/v2/team/app/manifests/", NULL, "200 OK", "", "hello"},
                                        {0}};
    OWN(arena_free_p) struct arena *a = arena_new();
    struct registry r;
    struct err err;
    char digest[80], other[] = HELLO;
    other[sizeof other - 2] ^= 1;
    bind_server();
    serve(pages);
    open_registry(&r, a, "");
    OWN(buf_done) struct buf body = {0}, wrong = {0};
    assert_int_equal(registry_manifest(&r, HELLO, &body, digest, &err), 0);
    assert_string_equal(digest, HELLO);
    assert_true(registry_manifest(&r, other, &wrong, digest, &err) < 0);
    assert_int_equal(err.reason, ERR_INVALID);
    registry_close(&r);
    served();
}
