/*
 * GPUs of the cluster's nodes, device by device, as the snapshot keeps them.
 *
 * A pod asks for whole devices by an extended resource whose name ends in /gpu (nvidia.com/gpu: 2)
 * or for a share of one by atoll.io/gpu-milli (1 to 999; multiples of 1000 are whole devices). A
 * node offers devices by allocatable …/gpu; shares of them need nothing more. Which model it has
 * says the label nvidia.com/gpu.product. The devices that a pod got stand in its annotation
 * atoll.io/gpu-index ("0", "2,3"), written with its binding.
 */
#pragma once

#include "api/types.h"
#include "scheduler/gpu/gpu.h"
#include "scheduler/snapshot/resources.h"

#define GPU_MILLI_RESOURCE "atoll.io/gpu-milli"
#define GPU_INDEX_ANNOTATION "atoll.io/gpu-index"
#define GPU_MODEL_LABEL "nvidia.com/gpu.product"

struct snapshot;
struct sched_node;
struct sched_pod;

struct gpu_cluster { /* of a snapshot, once it has a node with GPUs */
    struct gpu_demand demand;
    char *models[GPU_MODELS_MAX];
    size_t n_models;
};

/* What resources ask of GPUs; devices 0: nothing. False: in a way that no node can serve. */
bool gpu_ask_of(const struct resources *asks, struct gpu_ask *ret);
/* Devices that the resources offer. */
unsigned gpu_devices_of(const struct resources *offers);
/* "0,2" out of bits 0 and 2, and back; what is wrong or beyond GPU_DEVICES_MAX counts as none. */
enum { GPU_INDEX_TEXT_MAX = 3 * GPU_DEVICES_MAX + 1 };
void gpu_index_text(uint32_t devices, char text[GPU_INDEX_TEXT_MAX]);
uint32_t gpu_index_parse(const char *text);

/* ---- called by snapshot.c ---- */

/* The node's object is new: its devices, less what its pods have. */
void gpu_node_put(struct snapshot *s, struct sched_node *n);
void gpu_node_done(struct sched_node *n);
/* A pod came to its node: gets the devices its annotation names, or the best ones. */
void gpu_pod_put(struct snapshot *s, struct sched_pod *p, const struct core_v1_pod *pod);
/* Its devices are counted (1) or free again (−1). */
void gpu_pod_count(struct sched_pod *p, int sign);
void gpu_cluster_done(struct snapshot *s);

/* The devices that a counted pod has, as text; false: none. */
bool gpu_index_of(const struct snapshot *s, const char *uid, char text[GPU_INDEX_TEXT_MAX]);
