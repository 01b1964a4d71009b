/*
 * Crashes of the store, on a disk in memory (disk.h), against an oracle (model.h).
 *
 *   store_crash kill   [--seed N] [--images N]   kill -9 before, inside and after every persistent
 *                                                call of a workload, then random ones
 *   store_crash power  [--seed N] [--images N]   power failures
 *   store_crash faults [--seed N] [--images N]   every persistent call fails once, in every way
 *   store_crash lies   [--seed N]                the test of the test: a disk whose syncs do
 * nothing must be found out
 *
 * A problem prints the seed, the call and what is wrong, and ends with 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "base/slice.h"
#include "model.h"
#include "store/sqlite.h"

enum { OPERATIONS = 200, POWER_IMAGES = 4 };

struct run {
    uint64_t seed, images, images_max;
    struct disk *a, *b;
    struct model *model;
    struct disk_random random;
    void (*image)(struct run *r, bool after);
    uint64_t one_in; /* images at one call in this many */
    uint64_t call;
    bool after, stop;
    time_t told;
};

static void progress(struct run *r, const char *mode) {
    time_t now = time(NULL);
    if (now - r->told < 10) return;
    if (r->told)
        fprintf(stderr, "  %s: %llu of %llu images, seed %llu\n", mode,
                (unsigned long long)r->images, (unsigned long long)r->images_max,
                (unsigned long long)r->seed);
    r->told = now;
}

static void check_image(struct run *r) {
    r->images++;
    if (!model_check(r->model, "b/store.db", &r->random)) r->stop = true;
}

static void image_killed(struct run *r, bool after) {
    for (int cut = 0; cut <= (after ? 0 : 1) && !r->stop; cut++) {
        disk_image_killed(r->a, r->b, cut, &r->random);
        check_image(r);
    }
}

static void image_power(struct run *r, bool after) {
    for (int i = 0; i < POWER_IMAGES && !r->stop; i++) {
        disk_image_power(r->a, r->b, &r->random);
        check_image(r);
    }
}

static void on_call(void *user, uint64_t n, bool after) {
    struct run *r = user;
    if (r->stop || !r->image || r->images >= r->images_max) return;
    if (r->one_in > 1 && disk_below(&r->random, r->one_in)) return;
    r->call = n;
    r->after = after;
    r->image(r, after);
}

static void run_begin(struct run *r) {
    r->a = disk_new("a");
    r->b = disk_new("b");
    r->model = model_new(r->seed);
    r->random.state = r->seed * 7919 + 1;
    disk_hook(r->a, on_call, r);
}

static bool run_end(struct run *r) {
    const char *problem = model_problem(r->model);
    bool good = !*problem;
    if (!good)
        printf("seed %llu, %s call %llu: %s\n", (unsigned long long)r->seed,
               r->after ? "after" : "before", (unsigned long long)r->call, problem);
    model_free(r->model);
    disk_free(r->a);
    disk_free(r->b);
    return good;
}

/* The whole workload with images on the way. */
static bool workload(struct run *r) {
    struct store_backend *b;
    struct err err;
    if (store_sqlite.open("a/store.db", &b, &err) < 0) {
        printf("seed %llu: %s\n", (unsigned long long)r->seed, err.text);
        return false;
    }
    for (int i = 0; i < OPERATIONS && !r->stop; i++) {
        if (model_step(r->model, b) == 0) continue;
        printf("seed %llu, operation %d: the store failed on a good disk\n",
               (unsigned long long)r->seed, i);
        r->stop = true;
    }
    b->ops->close(b);
    return true;
}

static bool crashes(struct run *r, const char *mode) {
    while (r->images < r->images_max && !r->stop) {
        run_begin(r);
        bool good = workload(r);
        good = run_end(r) && good && !r->stop;
        if (!good) return false;
        progress(r, mode);
        r->seed++;
    }
    return true;
}

/* ---- kill -9 ---- */

static bool kill_all(struct run *r) {
    uint64_t max = r->images_max;
    r->image = image_killed;
    r->images_max = UINT64_MAX;
    run_begin(r); /* every call of one workload */
    bool good = workload(r);
    if (!run_end(r) || !good || r->stop) return false;
    r->images_max = r->images + max;
    r->one_in = 50;
    r->seed++;
    return crashes(r, "kill");
}

/* ---- failing calls ---- */

static bool write_one(struct store_backend *b) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct store_write w = {STORE_CREATE, SLICE("/restarted"), 0, 7, SLICE("{\"rv\":\"\"}")};
    struct store_result res;
    return b->ops->write(b, a, &w, 1, &res, NULL) == 0 && res.reason == ERR_NONE;
}

static uint64_t revision_of(struct store_backend *b) {
    struct store_stats st;
    b->ops->stats(b, &st);
    return st.revision;
}

/* The process ends and is started again on the same disk, and then the power fails: all that the
 * second one has shown is there, also what the first one had no answer for. */
static void restarted(struct run *r) {
    struct store_backend *b, *after;
    struct err err;
    disk_fail(r->a, 0, DISK_FAULT_NONE);
    r->stop = true;
    if (store_sqlite.open("a/store.db", &b, &err) < 0) {
        printf("seed %llu, call %llu: the restart: %s\n", (unsigned long long)r->seed,
               (unsigned long long)r->call, err.text);
        return;
    }
    uint64_t revision = revision_of(b) + 1, found = 0;
    bool good = write_one(b);
    for (int i = 0; i < 2 && good; i++) {
        disk_image_power(r->a, r->b, &r->random);
        r->images++;
        good = store_sqlite.open("b/store.db", &after, &err) == 0;
        if (!good) break;
        found = revision_of(after);
        good = found == revision;
        after->ops->close(after);
    }
    sqlite_close_damaged((struct sqlite_backend *)b);
    r->stop = !good;
    if (!good)
        printf("seed %llu, call %llu: restarted, then without power: revision %llu of %llu%s\n",
               (unsigned long long)r->seed, (unsigned long long)r->call, (unsigned long long)found,
               (unsigned long long)revision, found ? "" : err.text);
}

/* Call n of the workload fails. False: there is no such call, or a problem. */
static bool fault_run(struct run *r, uint64_t n, enum disk_fault fault) {
    struct store_backend *b = NULL;
    struct err err;
    run_begin(r);
    disk_fail(r->a, n, fault);
    int rc = store_sqlite.open("a/store.db", &b, &err);
    for (int i = 0; i < OPERATIONS && rc == 0 && !r->stop; i++) {
        rc = model_step(r->model, b);
        if (rc == err_code(ERR_UNAVAILABLE))
            rc = 0; /* promised: nothing was applied, and it goes on */
    }
    bool came = disk_failed(r->a);
    if (rc < 0 && !came) {
        printf("seed %llu: the store failed before call %llu did\n", (unsigned long long)r->seed,
               (unsigned long long)n);
        r->stop = true;
    }
    r->call = n;
    for (int i = 0; i < 4 && came && !r->stop; i++) {
        if (i == 0)
            disk_image_killed(r->a, r->b, false, &r->random);
        else
            disk_image_power(r->a, r->b, &r->random);
        check_image(r);
    }
    if (b) sqlite_close_damaged((struct sqlite_backend *)b); /* as a killed process leaves it */
    if (came && !r->stop) restarted(r);
    return run_end(r) && came && !r->stop;
}

static bool faults(struct run *r) {
    while (r->images < r->images_max && !r->stop) {
        for (int fault = DISK_FAULT_IO; fault <= DISK_FAULT_FILES && !r->stop; fault++) {
            uint64_t n = 0;
            while (r->images < r->images_max && fault_run(r, n, (enum disk_fault)fault)) n++;
            progress(r, "faults");
        }
        r->seed++;
    }
    return !r->stop;
}

/* ---- the test of the test ---- */

static bool lies(struct run *r) {
    r->image = image_power;
    r->images_max = 20000;
    run_begin(r);
    disk_lie(r->a);
    bool found = workload(r) && *model_problem(r->model);
    model_free(r->model);
    disk_free(r->a);
    disk_free(r->b);
    if (!found) printf("a disk that loses synced writes was not noticed\n");
    return found;
}

static bool run_mode(const char *mode, struct run *r) {
    if (strcmp(mode, "kill") == 0) return kill_all(r);
    if (strcmp(mode, "faults") == 0) return faults(r);
    if (strcmp(mode, "lies") == 0) return lies(r);
    if (strcmp(mode, "power") != 0) {
        fprintf(stderr, "store_crash: mode %s: want kill, power, faults or lies\n", mode);
        exit(2);
    }
    r->image = image_power;
    return crashes(r, mode);
}

int main(int argc, char **argv) {
    struct run r = {.seed = 1, .images_max = 1000};
    if (argc < 2 || argc % 2) {
        fprintf(stderr, "usage: store_crash kill|power|faults|lies [--seed N] [--images N]\n");
        return 2;
    }
    for (int i = 2; i + 1 < argc; i += 2) {
        uint64_t n;
        uint64_t *to = strcmp(argv[i], "--seed") == 0     ? &r.seed
                       : strcmp(argv[i], "--images") == 0 ? &r.images_max
                                                          : NULL;
        if (!to || slice_u64(slice_of(argv[i + 1]), &n) < 0) {
            fprintf(stderr, "store_crash: %s %s: want --seed N or --images N\n", argv[i],
                    argv[i + 1]);
            return 2;
        }
        *to = n;
    }
    uint64_t seed = r.seed;
    bool good = run_mode(argv[1], &r);
    printf("%s: seeds %llu to %llu, %llu images: %s\n", argv[1], (unsigned long long)seed,
           (unsigned long long)r.seed, (unsigned long long)r.images, good ? "ok" : "FAILED");
    return good ? 0 : 1;
}
