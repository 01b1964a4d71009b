/*
 * GPUs in thousandths: what pods ask of the devices of a node, what a node has left, and what it
 * costs the cluster to place one there: idle GPU that the pods to come could no longer use. Pure
 * functions, for the plugin GPUFragmentation and the replay of traces alike.
 *
 * What pods will come is learnt from those that came (struct gpu_demand): the typical ones with
 * their shares, and prices of shares of a device: how much of a device one takes when shares are
 * put together as well as can be (duals of the cutting stock problem, gpu_prices.c).
 *
 * cost = 20 · (worth of the devices by price, before − after)          share: which device, and
 * gaps
 *      + usable GPU before − after, over typical pods, CPU considered  fragmentation
 *      + idle GPU / 80 − 2 · free CPUs + CPU after / 2 · (idle + 500)  full ones, long on CPU,
 * first
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GPU_WHOLE = 1000,          /* milli */
    GPU_DEVICES_MAX = 16,      /* of a node */
    GPU_MODELS_MAX = 32,       /* of a cluster; further ones count as the last */
    GPU_ASKS_MAX = 1024,       /* different ones that are remembered */
    GPU_TYPICAL_MAX = 192,     /* that the cost looks at */
    GPU_SHARES_MAX = 48,       /* sizes of shares that have a price */
    GPU_TYPICAL_PERMILLE = 950 /* so many of all pods are typical */
};

struct gpu_ask {
    int64_t cpu_milli;
    uint32_t models; /* bit by model; 0: any */
    uint16_t devices;
    uint16_t milli; /* of each; less than GPU_WHOLE only with one device */
};

struct gpu_room { /* what a node has left */
    int64_t cpu_milli;
    float usable; /* kept by gpu_cost; negative: unknown */
    uint8_t model, n;
    uint16_t idle[GPU_DEVICES_MAX];
};

struct gpu_type {
    struct gpu_ask ask;
    double share; /* of the typical ones */
};

struct gpu_model_view { /* typical pods that may use a model, as columns */
    size_t n_shares, n_wholes;
    float share_cpu[GPU_TYPICAL_MAX], share_part[GPU_TYPICAL_MAX], share_milli[GPU_TYPICAL_MAX];
    uint8_t share_size[GPU_TYPICAL_MAX]; /* index of its size */
    float whole_cpu[GPU_TYPICAL_MAX], whole_part[GPU_TYPICAL_MAX];
    uint8_t whole_devices[GPU_TYPICAL_MAX];
};

struct gpu_demand {
    struct {
        struct gpu_ask ask;
        double seen;
    } asks[GPU_ASKS_MAX];
    size_t n_asks;
    double seen, settled_at;
    uint64_t version; /* of what follows */
    struct gpu_type typical[GPU_TYPICAL_MAX];
    size_t n_typical;
    float worth[GPU_WHOLE + 1];   /* of so much idle on one device, by price */
    uint8_t sizes[GPU_WHOLE + 1]; /* how many sizes of typical shares are at most so large */
    size_t n_sizes;
    struct gpu_model_view view[GPU_MODELS_MAX];
};

/* A pod came. Old ones fade: after GPU_FADE pods their weight is halved. */
enum { GPU_FADE = 20000 };
void gpu_demand_add(struct gpu_demand *d, const struct gpu_ask *ask);
/* Decides anew what is typical, when `always` or a quarter more pods came; true: costs changed. */
bool gpu_demand_settle(struct gpu_demand *d, bool always);

bool gpu_ask_is_share(const struct gpu_ask *ask);
bool gpu_fits(const struct gpu_room *room, const struct gpu_ask *ask);
unsigned gpu_idle(const struct gpu_room *room);
/* What it costs to place the pod there, where it fits; lower is better. In thousandths of a GPU,
 * times GPU_COST_UNIT. ret_devices: the devices it gets, bit by index; not NULL. */
enum { GPU_COST_UNIT = 16 };
int64_t gpu_cost(const struct gpu_demand *d, struct gpu_room *room, const struct gpu_ask *ask,
                 uint32_t *ret_devices);
/* Takes the devices from the room (sign 1) or gives them back (−1), and the CPU. */
void gpu_take(struct gpu_room *room, const struct gpu_ask *ask, uint32_t devices, int sign);
/* The first whole devices that are idle: which ones does not matter. */
uint32_t gpu_whole_devices(const struct gpu_room *room, const struct gpu_ask *ask);

/* gpu_prices.c: worth[milli] for shares of those sizes (milli, below GPU_WHOLE), so many of each:
 * the most that can be made of the room when each share is worth its price. A whole device is worth
 * GPU_WHOLE. n ≤ GPU_SHARES_MAX. */
void gpu_prices(const unsigned *sizes, const double *counts, size_t n, float worth[GPU_WHOLE + 1]);
