#include "scheduler/gpu/gpu_nodes.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/snapshot/snapshot.h"

static bool is_gpu(const char *resource) { return str_ends(resource, "/gpu"); }

bool gpu_ask_of(const struct resources *asks, struct gpu_ask *ret) {
    int64_t devices = 0, milli = 0;
    *ret = (struct gpu_ask){.cpu_milli = asks->cpu_milli};
    for (size_t i = 0; i < asks->n; i++)
        if (is_gpu(asks->v[i].name)) {
            if (devices) return false; /* of two makers */
            devices = asks->v[i].amount;
        } else if (!strcmp(asks->v[i].name, GPU_MILLI_RESOURCE))
            milli = asks->v[i].amount;
    if (devices && milli) return false;
    if (milli >= GPU_WHOLE) {
        if (milli % GPU_WHOLE) return false;
        devices = milli / GPU_WHOLE;
    } else if (milli > 0)
        devices = 1;
    if (devices < 0 || milli < 0 || devices > GPU_DEVICES_MAX) return false;
    ret->devices = (uint16_t)devices;
    ret->milli = (uint16_t)(!devices ? 0 : milli && milli < GPU_WHOLE ? milli : GPU_WHOLE);
    return true;
}

unsigned gpu_devices_of(const struct resources *offers) {
    for (size_t i = 0; i < offers->n; i++)
        if (is_gpu(offers->v[i].name))
            return (unsigned)MIN_OF(MAX_OF(offers->v[i].amount, 0), GPU_DEVICES_MAX);
    return 0;
}

void gpu_index_text(uint32_t devices, char text[GPU_INDEX_TEXT_MAX]) {
    size_t n = 0;
    text[0] = 0;
    for (unsigned i = 0; i < GPU_DEVICES_MAX; i++)
        if (devices >> i & 1)
            n += (size_t)snprintf(text + n, GPU_INDEX_TEXT_MAX - n, "%s%u", n ? "," : "", i);
}

uint32_t gpu_index_parse(const char *text) {
    uint32_t devices = 0;
    while (text && isdigit((unsigned char)*text)) {
        char *end;
        unsigned long i = strtoul(text, &end, 10);
        if (i >= GPU_DEVICES_MAX || (*end && *end != ',')) return 0;
        devices |= 1u << i;
        if (!*end) return devices;
        text = end + 1;
    }
    return 0;
}

/* ---- models ---- */

static int model_find(const struct gpu_cluster *g, const char *name) {
    for (size_t i = 0; i < g->n_models; i++)
        if (!strcmp(g->models[i], name)) return (int)i;
    return -1;
}

/* Beyond GPU_MODELS_MAX all count as the last. */
static uint8_t model_use(struct gpu_cluster *g, const char *name) {
    int i = model_find(g, name);
    if (i >= 0) return (uint8_t)i;
    if (g->n_models == GPU_MODELS_MAX) return GPU_MODELS_MAX - 1;
    char *copy = strdup(name);
    if (!copy) abort();
    g->models[g->n_models] = copy;
    return (uint8_t)g->n_models++;
}

static uint32_t model_bit(const struct gpu_cluster *g, const char *name) {
    int i = model_find(g, name);
    return i < 0 ? 0 : 1u << i;
}

/* Models that the pod's rules about the model's label allow; 0: any. For demand only: whether the
 * pod may use a node is NodeAffinity's affair. */
static uint32_t models_of(const struct gpu_cluster *g, const struct core_v1_pod *pod) {
    const char *one = str_map_get(&pod->spec.node_selector, GPU_MODEL_LABEL);
    const struct core_v1_node_affinity *affinity =
        pod->spec.affinity ? pod->spec.affinity->node_affinity : NULL;
    const struct core_v1_node_selector *required =
        affinity ? affinity->required_during_scheduling_ignored_during_execution : NULL;
    uint32_t models = 0;
    if (one) return model_bit(g, one);
    for (size_t i = 0; required && i < required->node_selector_terms.n; i++) {
        const struct core_v1_node_selector_term *t = &required->node_selector_terms.v[i];
        for (size_t j = 0; j < t->match_expressions.n; j++) {
            const struct core_v1_node_selector_requirement *r = &t->match_expressions.v[j];
            if (!str_eq(r->key, GPU_MODEL_LABEL) || !str_eq(r->operator, "In")) continue;
            for (size_t k = 0; k < r->values.n; k++) models |= model_bit(g, r->values.v[k]);
        }
    }
    return models;
}

/* ---- nodes ---- */

static void learn(struct snapshot *s, const struct gpu_ask *ask, const struct core_v1_pod *pod) {
    struct gpu_ask one = *ask;
    one.models = ask->devices ? models_of(s->gpus, pod) : 0;
    gpu_demand_add(&s->gpus->demand, &one);
    if (!gpu_demand_settle(&s->gpus->demand, false)) return;
    for (size_t i = 0; i < s->nodes.n; i++)
        if (s->nodes.v[i]->gpus) s->nodes.v[i]->gpus->usable = -1;
    s->epoch++;
}

static bool has(const struct gpu_room *room, const struct gpu_ask *ask, uint32_t devices) {
    for (unsigned i = 0; i < GPU_DEVICES_MAX; i++)
        if (devices >> i & 1 && (i >= room->n || room->idle[i] < ask->milli)) return false;
    return (unsigned)__builtin_popcount(devices) == ask->devices;
}

void gpu_node_put(struct snapshot *s, struct sched_node *n) {
    unsigned devices = gpu_devices_of(&n->offers);
    gpu_node_done(n);
    if (!devices) return;
    if (!s->gpus) s->gpus = calloc(1, sizeof *s->gpus);
    n->gpus = calloc(1, sizeof *n->gpus);
    if (!s->gpus || !n->gpus) abort();
    n->gpus->n = (uint8_t)devices;
    n->gpus->usable = -1;
    n->gpus->model =
        model_use(s->gpus, str_or(str_map_get(&n->object->metadata.labels, GPU_MODEL_LABEL), ""));
    for (unsigned i = 0; i < devices; i++) n->gpus->idle[i] = GPU_WHOLE;
    for (size_t i = 0; i < n->pods.n; i++) {
        struct sched_pod *p = n->pods.v[i];
        if (p->away) continue;
        if (!has(n->gpus, &p->class->gpu, p->gpus)) p->gpus = 0;
        gpu_pod_count(p, 1);
    }
}

void gpu_node_done(struct sched_node *n) {
    free(n->gpus);
    n->gpus = NULL;
}

void gpu_pod_count(struct sched_pod *p, int sign) {
    struct gpu_room *room = p->node->gpus;
    if (!room || !p->gpus) return;
    struct gpu_ask ask = p->class->gpu;
    ask.cpu_milli = 0; /* the node counts it */
    gpu_take(room, &ask, p->gpus, sign);
}

void gpu_pod_put(struct snapshot *s, struct sched_pod *p, const struct core_v1_pod *pod) {
    struct gpu_room *room = p->node->gpus;
    const struct gpu_ask *ask = &p->class->gpu;
    if (s->gpus) learn(s, ask, pod);
    if (!ask->devices) return;
    /* Of a pod that has no node yet the annotation is only what its owner wrote. */
    p->gpus = str_empty(pod->spec.node_name)
                  ? 0
                  : gpu_index_parse(str_map_get(&pod->metadata.annotations, GPU_INDEX_ANNOTATION));
    if (!room) return; /* the node may come later */
    room->cpu_milli = p->node->offers.cpu_milli - p->node->used_cpu_milli;
    room->usable = -1;
    if (p->gpus) { /* more than is left: somebody else's decision, not counted by device */
        if (!has(room, ask, p->gpus)) p->gpus = 0;
    } else if (gpu_fits(room, ask))
        gpu_cost(&s->gpus->demand, room, ask, &p->gpus);
}

void gpu_cluster_done(struct snapshot *s) {
    for (size_t i = 0; s->gpus && i < s->gpus->n_models; i++) free(s->gpus->models[i]);
    free(s->gpus);
    s->gpus = NULL;
}

bool gpu_index_of(const struct snapshot *s, const char *uid, char text[GPU_INDEX_TEXT_MAX]) {
    const struct sched_pod *p = snapshot_pod(s, uid);
    if (!p || !p->gpus) return false;
    gpu_index_text(p->gpus, text);
    return true;
}
