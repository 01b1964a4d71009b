/* The scores that a replay can decide by: ours, and the published ones it is measured against. */
#include <math.h>

#include "base/own.h"
#include "sim/replay.h"

/* What scores are normalised by. */
static const double most_cpu_milli = 128000, most_gpu_milli = 8000;

unsigned replay_group(const struct gpu_ask *ask) {
    if (gpu_ask_is_share(ask)) return 0;
    return ask->devices == 1 ? 1 : ask->devices == 2 ? 2 : ask->devices == 4 ? 3 : 4;
}

/* Of the devices with enough, the one with the least. */
static uint32_t best_fit_devices(const struct gpu_room *room, const struct gpu_ask *ask) {
    if (!gpu_ask_is_share(ask)) return gpu_whole_devices(room, ask);
    unsigned best = room->n;
    for (unsigned i = 0; i < room->n; i++)
        if (room->idle[i] >= ask->milli && (best == room->n || room->idle[i] < room->idle[best]))
            best = i;
    return best < room->n ? 1u << best : 0;
}

/* The less alike what is left and what is asked, the better (after Tetris). */
static int64_t dot_product(const struct replay *r, struct replay_node *n,
                           const struct replay_pod *p, uint32_t *ret_devices) {
    (void)r;
    double cpu = (double)n->room.cpu_milli * (double)p->ask.cpu_milli / most_cpu_milli /
                 most_cpu_milli,
           gpu = gpu_idle(&n->room) * (double)(p->ask.devices * p->ask.milli) / most_gpu_milli /
                 most_gpu_milli;
    *ret_devices = best_fit_devices(&n->room, &p->ask);
    return (int64_t)(100 * (1 - (cpu + gpu) / 2));
}

/* Pods that ask for as many devices come together; fuller nodes first (after Gandiva). */
static int64_t clustering(const struct replay *r, struct replay_node *n, const struct replay_pod *p,
                          uint32_t *ret_devices) {
    unsigned kinds = 0;
    (void)r;
    *ret_devices = best_fit_devices(&n->room, &p->ask);
    if (!p->ask.devices) return 0;
    for (int i = 0; i < REPLAY_GROUPS; i++) kinds += n->groups[i] > 0;
    int base = n->groups[replay_group(&p->ask)] ? (kinds == 1 ? 75 : 50) : (kinds ? 0 : 25);
    return base + 25 * (8000 - (int64_t)gpu_idle(&n->room)) / 8000;
}

static int by_size(const void *x, const void *y) {
    return *(const uint16_t *)x - *(const uint16_t *)y;
}

/* First devices in use, then idle ones of nodes in use, then idle nodes (after MLaaS in the Wild).
 */
static int64_t packing(const struct replay *r, struct replay_node *n, const struct replay_pod *p,
                       uint32_t *ret_devices) {
    const struct gpu_room *room = &n->room;
    uint16_t sorted[GPU_DEVICES_MAX];
    int whole = 0, opened = 0, left = p->ask.devices, idle_percent = 0;
    (void)r;
    *ret_devices = best_fit_devices(room, &p->ask);
    if (!p->ask.devices) return 0;
    for (int i = 0; i < room->n; i++) {
        sorted[i] = room->idle[i];
        whole += room->idle[i] == GPU_WHOLE;
    }
    if (whole == room->n) return MAX_OF(33 - whole, whole);
    qsort(sorted, room->n, sizeof *sorted, by_size);
    for (int i = 0; i < room->n && left; i++) {
        if (sorted[i] < p->ask.milli) continue;
        left--;
        opened += sorted[i] == GPU_WHOLE;
        idle_percent += sorted[i] / 10;
    }
    return opened ? MAX_OF(50 - opened, 33) : MAX_OF(100 - idle_percent / 10, 50);
}

static int64_t best_fit(const struct replay *r, struct replay_node *n, const struct replay_pod *p,
                        uint32_t *ret_devices) {
    (void)r;
    *ret_devices = best_fit_devices(&n->room, &p->ask);
    double cpu = (double)(n->room.cpu_milli - p->ask.cpu_milli) / most_cpu_milli,
           gpu = (double)((int)gpu_idle(&n->room) - p->ask.devices * p->ask.milli) / most_gpu_milli;
    return (int64_t)((1 - (cpu + gpu) / 2) * 100);
}

/* ---- fragmentation gradient descent ---- */

static double fragment(const struct gpu_demand *d, const struct gpu_room *room) {
    double sum = 0;
    unsigned idle = gpu_idle(room);
    if (!idle) return 0;
    for (size_t i = 0; i < d->n_typical; i++) {
        const struct gpu_ask *ask = &d->typical[i].ask;
        unsigned lost = 0;
        if (!ask->devices || !gpu_fits(room, ask))
            lost = idle;
        else
            for (unsigned j = 0; j < room->n; j++)
                if (room->idle[j] < ask->milli) lost += room->idle[j];
        sum += d->typical[i].share * lost;
    }
    return sum;
}

static int64_t fgd_after(const struct gpu_demand *d, const struct gpu_room *room,
                         const struct gpu_ask *ask, uint32_t devices) {
    struct gpu_room after = *room;
    gpu_take(&after, ask, devices, 1);
    double less = fragment(d, room) - fragment(d, &after);
    return (int64_t)(100 / (1 + exp(-less / 1000)));
}

static int64_t fgd(const struct replay *r, struct replay_node *n, const struct replay_pod *p,
                   uint32_t *ret_devices) {
    const struct gpu_room *room = &n->room;
    int64_t best = -1;
    if (!gpu_ask_is_share(&p->ask)) {
        *ret_devices = gpu_whole_devices(room, &p->ask);
        return fgd_after(r->demand, room, &p->ask, *ret_devices);
    }
    for (unsigned i = 0; i < room->n; i++) {
        if (room->idle[i] < p->ask.milli) continue;
        int64_t score = fgd_after(r->demand, room, &p->ask, 1u << i);
        if (score <= best) continue;
        best = score;
        *ret_devices = 1u << i;
    }
    return best;
}

static int64_t priced(const struct replay *r, struct replay_node *n, const struct replay_pod *p,
                      uint32_t *ret_devices) {
    return INT32_MAX / 2 - gpu_cost(r->demand, &n->room, &p->ask, ret_devices);
}

const struct replay_mode replay_modes[] = {
    {"random", "any node that fits, any device with enough", NULL, false, false},
    {"dotprod", "int(100 (1 - (cpu left * asked + gpu left * asked) / 2)), by 128 CPUs and 8 GPUs",
     dot_product, false, false},
    {"clustering",
     "25 for each of: used by pods of as many GPUs, idle node, by them alone; full first",
     clustering, false, false},
    {"packing", "devices in use, then idle devices of nodes in use, then idle nodes", packing,
     false},
    {"bestfit", "int(100 (1 - (cpu after + gpu after) / 2)), by 128 CPUs and 8 GPUs", best_fit,
     false},
    {"fgd", "int(100 sigmoid((fragment before - after) / 1000)) over typical pods (95 %)", fgd,
     false},
    {"atoll",
     "priced fragmentation: -gpu_cost() of src/scheduler/gpu/gpu.h over the same typical pods",
     priced, false, false},
    {"atoll-learnt", "the same, of the demand it knows only what has arrived", priced, true, false},
    {"scheduler", "API objects, every plugin of the default profile; demand learnt on the way",
     NULL, true, true},
    {NULL, NULL, NULL, false, false},
};
