#include "controllers/workloads/rollout.h"

#include "base/own.h"

int32_t rollout_amount(const struct int_or_string *v, int32_t replicas, bool up) {
    int64_t percent = 25;
    if (v && v->kind == IOS_INT) return v->i;
    if (v && v->kind == IOS_STRING) {
        uint64_t n;
        struct slice s = slice_of(v->s);
        if (s.n && s.p[s.n - 1] == '%') s.n--;
        if (slice_u64(s, &n) < 0 || n > 1000000) return 0;
        percent = (int64_t)n;
    }
    return (int32_t)((replicas * percent + (up ? 99 : 0)) / 100);
}

void rollout_limits(const struct int_or_string *surge, const struct int_or_string *unavailable,
                    int32_t replicas, int32_t *ret_surge, int32_t *ret_unavailable) {
    int32_t s = rollout_amount(surge, replicas, true),
            u = rollout_amount(unavailable, replicas, false);
    if (s <= 0 && u <= 0) u = 1;
    *ret_surge = MAX_OF(s, 0);
    *ret_unavailable = MIN_OF(MAX_OF(u, 0), replicas);
}

static void grow_current(struct rollout *r) {
    int32_t total = MAX_OF(r->current.replicas, r->current.pods);
    for (size_t i = 0; i < r->n_old; i++) total += MAX_OF(r->old[i].replicas, r->old[i].pods);
    if (r->current.replicas >= r->replicas) {
        r->current.want = r->replicas;
        return;
    }
    int32_t room = MAX_OF(r->replicas + r->surge - total, 0);
    r->current.want = r->current.replicas + MIN_OF(room, r->replicas - r->current.replicas);
}

void rollout_step(struct rollout *r) {
    for (size_t i = 0; i < r->n_old; i++) r->old[i].want = r->old[i].replicas;
    grow_current(r);
    /* What may go: everything above the floor, where replicas of the new set that are not available
     * yet keep their share. */
    int32_t total = r->current.replicas, available = r->current.available;
    for (size_t i = 0; i < r->n_old; i++) {
        total += r->old[i].replicas;
        available += MIN_OF(r->old[i].available, r->old[i].replicas);
    }
    int32_t floor = r->replicas - r->unavailable;
    int32_t unready_new = MAX_OF(r->current.replicas - r->current.available, 0);
    int32_t may_go = total - floor - unready_new;
    /* First those that serve nobody. */
    for (size_t i = 0; i < r->n_old && may_go > 0; i++) {
        int32_t sick = MIN_OF(MAX_OF(r->old[i].want - r->old[i].available, 0), may_go);
        r->old[i].want -= sick;
        may_go -= sick;
    }
    may_go = MIN_OF(may_go, available - floor);
    for (size_t i = 0; i < r->n_old && may_go > 0; i++) {
        int32_t down = MIN_OF(r->old[i].want, may_go);
        r->old[i].want -= down;
        may_go -= down;
    }
}

void rollout_recreate(struct rollout *r, int32_t old_pods) {
    bool busy = old_pods > 0;
    for (size_t i = 0; i < r->n_old; i++) {
        busy |= r->old[i].replicas > 0;
        r->old[i].want = 0;
    }
    r->current.want = busy ? r->current.replicas : r->replicas;
}

void rollout_scale(struct rollout *r) {
    struct rollout_set *only = &r->current, *largest = &r->current;
    size_t active = r->current.replicas > 0;
    int64_t total = r->current.replicas, left;
    r->current.want = r->current.replicas;
    for (size_t i = 0; i < r->n_old; i++) {
        struct rollout_set *s = &r->old[i];
        s->want = s->replicas;
        total += s->replicas;
        if (s->replicas > 0 && active++ == 0) only = s;
        if (s->replicas > largest->replicas) largest = s;
    }
    if (active <= 1) {
        only->want = r->replicas;
        return;
    }
    left = (r->replicas > 0 ? r->replicas + r->surge : 0) - total;
    int64_t change = left, whole = total + change;
    for (size_t i = 0; i <= r->n_old; i++) {
        struct rollout_set *s = i < r->n_old ? &r->old[i] : &r->current;
        int64_t share = (2 * s->replicas * whole + total) / (2 * total) - s->replicas; /* rounded */
        share = change > 0 ? MIN_OF(share, left) : MAX_OF(share, left);
        s->want += (int32_t)share;
        left -= share;
    }
    largest->want = (int32_t)MAX_OF(largest->want + left, 0);
}
