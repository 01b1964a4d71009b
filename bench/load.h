/* Clients of the load generators: one request under way at a time, on a unix or TCP socket, with or
 * without TLS, HTTP/1.1 or HTTP/2. Each has a connection of its own, or with HTTP/2 a stream of one
 * that several share. They never retry: any answer but 200 and 201 and any early end is an error.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load;
struct h2_client;

/* An HTTP/1.1 answer while it arrives: the lines of its head are looked at where they lie, its body
 * is counted and thrown away. */
struct answer {
    enum {
        ANSWER_STATUS,
        ANSWER_HEADER,
        ANSWER_LENGTH,
        ANSWER_CHUNK_HEAD,
        ANSWER_CHUNK,
        ANSWER_CHUNK_TAIL,
        ANSWER_LAST_TAIL
    } state;
    bool ok; /* 200 or 201 */
    bool sized, chunked;
    uint64_t left;  /* of the body or of the chunk */
    uint64_t bytes; /* of body so far */
    size_t line_n;
    char line[1024]; /* the first line_n bytes of one whose end has not come */
};

void answer_begin(struct answer *a);
/* 1: complete, 0: more is to come, −1: not HTTP. */
int answer_feed(struct answer *a, const char *p, size_t n);

struct client {
    struct load *load;
    struct h2_client *h2; /* NULL: HTTP/1.1; its first client owns the connection */
    SSL *ssl;             /* NULL: plain */
    int fd;               /* −1: another client's connection */
    bool dead;
    uint64_t sent_ns, number; /* of the request that is under way */
    struct answer answer;
    struct h2_stream {
        size_t body_sent;
        uint64_t bytes; /* of the answer's body so far */
        bool ok;        /* the answer under way began with 200 or 201 */
        bool grpc_ok;   /* … and ended with grpc-status 0 */
    } stream;
    struct client *next_idle;
};

/* Where a server listens and how to speak to it. */
struct place {
    const char *unix_path; /* NULL: loopback, port */
    long port;
    SSL_CTX *tls; /* NULL: plain */
};

uint64_t now_ns(void);
_Noreturn void die(const char *what);
/* A client context; cert and key may be NULL. */
SSL_CTX *tls_client(bool h2, const char *cert, const char *key);
/* Connects and shakes hands, then makes the socket non-blocking. ret_ssl NULL when plain. */
int dial(const struct place *p, SSL **ret_ssl);
char *file_read(const char *path, size_t *ret_n);
/* Writes value over the n characters at p (NULL: nowhere), with leading zeros. */
void digits_put(char *p, size_t n, uint64_t value);

/* Both return the bytes moved, 0 for "nothing now", −1 when the connection is of no more use. */
long client_read(struct client *c, void *p, size_t n);
long client_write(struct client *c, const void *p, size_t n);
/* After a read of got bytes, where wanted would have fitted: whether another one is worth while
 * before the socket is readable again. */
bool client_has_more(const struct client *c, size_t got, size_t wanted);

/* Writes the number and the time of the client's request into the body that all of them share. */
void client_fill(const struct client *c);
/* The answer is complete: counts it and, while there is something left to do, sends the next. */
void client_answered(struct client *c, bool ok, uint64_t bytes);

/* HTTP/2 (load_h2.c). With a body it is a POST, and gRPC when the flag says so. */
struct h2_request {
    const char *path;
    char *body; /* as long as the client lives; may change between requests */
    size_t body_n;
    bool grpc;
};
struct h2_client *h2_client_new(struct client *owner, const struct h2_request *request);
void h2_client_free(struct h2_client *h);
void h2_client_request(struct client *c);
int h2_client_input(struct h2_client *h, const void *p, size_t n); /* −1: of no more use */
