#include "scheduler/gpu/gpu.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

static const float price_weight = 20, shared_weight = 0.2F, idle_weight = 1.0F / 80,
                   cpu_weight = 2.0F / 1000, tail_weight = 0.5F, tail_idle = 500;

bool gpu_ask_is_share(const struct gpu_ask *ask) {
    return ask->devices == 1 && ask->milli < GPU_WHOLE;
}

/* ---- demand ---- */

static bool same_ask(const struct gpu_ask *x, const struct gpu_ask *y) {
    return x->cpu_milli == y->cpu_milli && x->models == y->models && x->devices == y->devices &&
           x->milli == y->milli;
}

static void fade(struct gpu_demand *d) {
    size_t kept = 0;
    d->seen /= 2;
    d->settled_at /= 2;
    for (size_t i = 0; i < d->n_asks; i++) {
        d->asks[i].seen /= 2;
        if (d->asks[i].seen < 0.2)
            d->seen -= d->asks[i].seen;
        else
            d->asks[kept++] = d->asks[i];
    }
    d->n_asks = kept;
}

void gpu_demand_add(struct gpu_demand *d, const struct gpu_ask *ask) {
    size_t i = 0;
    while (i < d->n_asks && !same_ask(&d->asks[i].ask, ask)) i++;
    if (i == GPU_ASKS_MAX) {
        fade(d); /* makes room sooner or later; until then rare asks are not remembered */
        if (d->n_asks == GPU_ASKS_MAX) return;
        i = d->n_asks;
    }
    if (i == d->n_asks) {
        d->asks[i].ask = *ask;
        d->asks[i].seen = 0;
        d->n_asks++;
    }
    d->asks[i].seen++;
    if (++d->seen >= 2 * GPU_FADE) fade(d);
}

static int by_seen(const void *x, const void *y) {
    const struct gpu_type *a = x, *b = y;
    if (a->share != b->share) return a->share > b->share ? -1 : 1;
    if (a->ask.cpu_milli != b->ask.cpu_milli) return a->ask.cpu_milli < b->ask.cpu_milli ? -1 : 1;
    int p = a->ask.devices * GPU_WHOLE + a->ask.milli,
        q = b->ask.devices * GPU_WHOLE + b->ask.milli;
    if (p != q) return p - q;
    return a->ask.models < b->ask.models ? -1 : a->ask.models > b->ask.models;
}

static void choose_typical(struct gpu_demand *d, const struct gpu_type *all) {
    double sum = 0;
    d->n_typical = 0;
    while (d->n_typical < MIN_OF(d->n_asks, (size_t)GPU_TYPICAL_MAX) &&
           sum * 1000 < d->seen * GPU_TYPICAL_PERMILLE) {
        sum += all[d->n_typical].share;
        d->typical[d->n_typical] = all[d->n_typical];
        d->n_typical++;
    }
    for (size_t i = 0; i < d->n_typical; i++) d->typical[i].share /= sum;
}

/* Every size of shares counts, typical or not, up to GPU_SHARES_MAX. */
static void set_worth(struct gpu_demand *d, const struct gpu_type *all) {
    unsigned sizes[GPU_SHARES_MAX];
    double counts[GPU_SHARES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < d->n_asks; i++) {
        size_t j = 0;
        if (!gpu_ask_is_share(&all[i].ask) || !all[i].ask.milli) continue;
        while (j < n && sizes[j] != all[i].ask.milli) j++;
        if (j == GPU_SHARES_MAX) continue;
        if (j == n) {
            sizes[n] = all[i].ask.milli;
            counts[n++] = 0;
        }
        counts[j] += all[i].share;
    }
    gpu_prices(sizes, counts, n, d->worth);
}

static void set_sizes(struct gpu_demand *d) {
    bool used[GPU_WHOLE + 1] = {false};
    for (size_t i = 0; i < d->n_typical; i++)
        if (gpu_ask_is_share(&d->typical[i].ask)) used[d->typical[i].ask.milli] = true;
    d->n_sizes = 0;
    for (size_t r = 0; r <= GPU_WHOLE; r++) {
        d->n_sizes += used[r] && d->n_sizes < GPU_SHARES_MAX;
        d->sizes[r] = (uint8_t)d->n_sizes;
    }
}

static void set_view(struct gpu_demand *d, unsigned model) {
    struct gpu_model_view *v = &d->view[model];
    memset(v, 0, sizeof *v);
    for (size_t i = 0; i < d->n_typical; i++) {
        const struct gpu_ask *a = &d->typical[i].ask;
        float cpu = a->cpu_milli ? 1 / (float)a->cpu_milli : 1;
        if (!a->devices || (a->models && !(a->models >> model & 1))) continue;
        if (gpu_ask_is_share(a)) {
            v->share_cpu[v->n_shares] = cpu;
            v->share_part[v->n_shares] = (float)d->typical[i].share;
            v->share_milli[v->n_shares] = a->milli;
            v->share_size[v->n_shares++] = d->sizes[a->milli];
        } else {
            v->whole_cpu[v->n_wholes] = cpu;
            v->whole_part[v->n_wholes] =
                (float)d->typical[i].share * (1 + shared_weight) * GPU_WHOLE * a->devices;
            v->whole_devices[v->n_wholes++] = (uint8_t)MIN_OF(a->devices, GPU_DEVICES_MAX + 1);
        }
    }
}

bool gpu_demand_settle(struct gpu_demand *d, bool always) {
    if (!always && d->seen < d->settled_at * 5 / 4) return false;
    struct gpu_type *all = calloc(d->n_asks + 1, sizeof *all);
    if (!all) abort();
    for (size_t i = 0; i < d->n_asks; i++)
        all[i] = (struct gpu_type){d->asks[i].ask, d->asks[i].seen};
    qsort(all, d->n_asks, sizeof *all, by_seen);
    choose_typical(d, all);
    set_worth(d, all);
    set_sizes(d);
    for (unsigned model = 0; model < GPU_MODELS_MAX; model++) set_view(d, model);
    free(all);
    d->settled_at = d->seen;
    d->version++;
    return true;
}

/* ---- rooms ---- */

bool gpu_fits(const struct gpu_room *room, const struct gpu_ask *ask) {
    unsigned enough = 0;
    if (room->cpu_milli < ask->cpu_milli) return false;
    if (!ask->devices) return true;
    if (ask->models && !(ask->models >> room->model & 1)) return false;
    for (unsigned i = 0; i < room->n; i++) enough += room->idle[i] >= ask->milli;
    return enough >= ask->devices;
}

unsigned gpu_idle(const struct gpu_room *room) {
    unsigned sum = 0;
    for (unsigned i = 0; i < room->n; i++) sum += room->idle[i];
    return sum;
}

uint32_t gpu_whole_devices(const struct gpu_room *room, const struct gpu_ask *ask) {
    uint32_t mask = 0;
    unsigned left = ask->devices;
    for (unsigned i = 0; i < room->n && left; i++)
        if (room->idle[i] == GPU_WHOLE) {
            mask |= 1u << i;
            left--;
        }
    return mask;
}

void gpu_take(struct gpu_room *room, const struct gpu_ask *ask, uint32_t devices, int sign) {
    room->cpu_milli -= sign * ask->cpu_milli;
    room->usable = -1;
    for (unsigned i = 0; i < room->n; i++)
        if (devices >> i & 1)
            room->idle[i] =
                (uint16_t)MIN_OF(MAX_OF(room->idle[i] - sign * (int)ask->milli, 0), GPU_WHOLE);
}

/* Partial sums side by side, which the compiler turns into vectors; columns end in zeros. */
enum { LANES = 4 };
static_assert(GPU_TYPICAL_MAX % LANES == 0, "columns are read in steps of LANES");

static float usable_by_shares(const struct gpu_model_view *v, const float *on, float cpu) {
    float sum[LANES] = {0};
    for (size_t i = 0; i < v->n_shares; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            float all = on[v->share_size[i + j]], pods = (float)(int)(cpu * v->share_cpu[i + j]);
            sum[j] +=
                v->share_part[i + j] * (MIN_OF(all, GPU_WHOLE * pods) +
                                        shared_weight * MIN_OF(all, v->share_milli[i + j] * pods));
        }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

static float usable_by_wholes(const struct gpu_model_view *v, int whole, float cpu) {
    float sum[LANES] = {0}, per[GPU_DEVICES_MAX + 2];
    for (int i = 1; i < GPU_DEVICES_MAX + 2; i++) per[i] = 0;
    for (int i = 1; i <= whole; i++) {
        int times = whole / i;
        per[i] = (float)times;
    }
    per[0] = 0;
    for (size_t i = 0; i < v->n_wholes; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            float pods = (float)(int)(cpu * v->whole_cpu[i + j]),
                  room = per[v->whole_devices[i + j]];
            sum[j] += v->whole_part[i + j] * MIN_OF(pods, room);
        }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

/* Idle GPU that a typical pod could use: on devices with enough, as far as the CPU goes. A share
 * counts twice: as if others filled its device (1), and alone (shared_weight). */
static float usable(const struct gpu_demand *d, const struct gpu_room *room) {
    const struct gpu_model_view *v = &d->view[room->model];
    float on[GPU_SHARES_MAX + 2], cpu = (float)room->cpu_milli + 0.5F;
    int whole = 0;
    for (size_t i = 0; i <= d->n_sizes; i++) on[i] = 0;
    for (unsigned i = 0; i < room->n; i++) {
        on[d->sizes[room->idle[i]]] += room->idle[i];
        whole += room->idle[i] == GPU_WHOLE;
    }
    for (size_t i = d->n_sizes; i--;) on[i] += on[i + 1];
    return usable_by_shares(v, on, cpu) + (whole ? usable_by_wholes(v, whole, cpu) : 0);
}

struct outcome {
    float cost;
    uint32_t devices;
};

static void consider(const struct gpu_demand *d, const struct gpu_room *room,
                     const struct gpu_ask *ask, uint32_t devices, float loss,
                     struct outcome *best) {
    struct gpu_room after = *room;
    gpu_take(&after, ask, devices, 1);
    float cost = price_weight * loss - (room->n ? usable(d, &after) : 0);
    if (best->devices == UINT32_MAX || cost < best->cost) *best = (struct outcome){cost, devices};
}

/* Only devices of the least loss by price are looked at further. */
static void consider_shares(const struct gpu_demand *d, const struct gpu_room *room,
                            const struct gpu_ask *ask, struct outcome *best) {
    float loss[GPU_DEVICES_MAX], least = 0;
    bool any = false;
    for (unsigned i = 0; i < room->n; i++) {
        if (room->idle[i] < ask->milli) continue;
        loss[i] =
            (float)(int)(d->worth[room->idle[i]] - d->worth[room->idle[i] - ask->milli] + 0.5F);
        if (!any || loss[i] < least) least = loss[i];
        any = true;
    }
    for (unsigned i = 0; i < room->n; i++) {
        bool again = room->idle[i] < ask->milli || loss[i] > least;
        for (unsigned j = 0; j < i && !again; j++) again = room->idle[j] == room->idle[i];
        if (!again) consider(d, room, ask, 1u << i, least, best);
    }
}

int64_t gpu_cost(const struct gpu_demand *d, struct gpu_room *room, const struct gpu_ask *ask,
                 uint32_t *ret_devices) {
    struct outcome best = {0, UINT32_MAX};
    if (room->n && room->usable < 0) room->usable = usable(d, room);
    if (gpu_ask_is_share(ask))
        consider_shares(d, room, ask, &best);
    else
        consider(d, room, ask, gpu_whole_devices(room, ask), 0, &best);
    float idle = (float)gpu_idle(room);
    float cost = best.cost + (room->n ? room->usable : 0) + idle * idle_weight -
                 (float)room->cpu_milli * cpu_weight +
                 tail_weight * (float)(room->cpu_milli - ask->cpu_milli) / (idle + tail_idle);
    *ret_devices = best.devices;
    return (int64_t)(cost * GPU_COST_UNIT);
}
