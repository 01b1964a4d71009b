/*
 * The long work on images: pull, import, image from a directory. Blocking; runs in a worker process
 * of its own, one per request, which holds neither the catalog nor any client. Layers that are
 * complete stay even when the job fails later: the next try finds them.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "wire/image.h"

struct job {
    struct arena *arena;
    const char *root;           /* of this Atoll */
    const char *state;          /* absolute: ROOT/var/lib/atoll/image, with layers/ and spool/ */
    const char *insecure_hosts; /* one host[:port] a line */
    struct {
        struct image_info *v;
        size_t n;
    } images; /* what the catalog shall hold afterwards */
};

int job_pull(struct job *j, const struct image_pull_request *r, struct err *err);
/* archive_fd: OCI layout or docker-archive tar, possibly compressed. name "" = the names inside. */
int job_import(struct job *j, const char *name, int archive_fd, struct err *err);
/* tar_fd: a stream of the directory's content. */
int job_from_dir(struct job *j, const struct image_from_dir *r, int tar_fd, struct err *err);
