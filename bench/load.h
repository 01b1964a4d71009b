/* One keep-alive client of the load generator: GETs one path over and over, one request at a time.
 * Built on a unix or TCP socket, with or without TLS, HTTP/1.1 or HTTP/2. It never retries: any
 * answer but 200 and any early end is an error. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load;
struct h2_client;

struct client {
    struct load *load;
    struct h2_client *h2; /* NULL: HTTP/1.1 */
    SSL *ssl;             /* NULL: plain */
    int fd;
    bool dead;
    uint64_t sent_ns; /* of the request that is under way */
    char *in;         /* HTTP/1.1: the answer so far */
    size_t in_n;
};

enum { CLIENT_BUFFER_BYTES = 256 * 1024 };

/* Both return the bytes moved, 0 for "nothing now", −1 when the connection is of no more use. */
long client_read(struct client *c, void *p, size_t n);
long client_write(struct client *c, const void *p, size_t n);

/* The answer is complete: counts it and, while time is left, sends the next request. */
void client_answered(struct client *c, bool ok);

/* HTTP/2 (load_h2.c). */
struct h2_client *h2_client_new(struct client *c, const char *path);
void h2_client_free(struct h2_client *h);
int h2_client_request(struct h2_client *h);                        /* −1: of no more use */
int h2_client_input(struct h2_client *h, const void *p, size_t n); /* −1: of no more use */
