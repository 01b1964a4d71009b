/* Every maximum of the system, in one place. Units stand last in each name. */
#pragma once

enum {
    /* Input documents */
    LIMIT_JSON_DEPTH = 64,
    LIMIT_DECODE_BYTES = 64 * 1024 * 1024, /* memory of one decoded object */
    LIMIT_CAUSES = 1000,                   /* of one 422 answer */
    LIMIT_CAUSES_BYTES = 1024 * 1024,      /* of their text; the last one may be longer */
    LIMIT_PATHS_BYTES = 16 * 1024 * 1024,  /* paths of fields that one validation writes */
    LIMIT_RESOURCES = 1000,                /* names in one list of amounts */
    LIMIT_POD_RESOURCES = 4096,            /* names in all lists of a pod's containers */
    LIMIT_YAML_ALIASES = 128,
    LIMIT_YAML_NODES = 200000,
    LIMIT_YAML_REPEATED = 10000,                /* values that the aliases of a text stand for */
    LIMIT_SCHEDULER_CONFIGURATION = 256 * 1024, /* bytes of text */
    LIMIT_OBJECT_BYTES = 3 * 1024 * 1024 / 2,   /* one stored object; upstream's etcd limit */
    LIMIT_STORE_VALUE_BYTES = LIMIT_OBJECT_BYTES + 64, /* the same, sealed */
    LIMIT_BODY_BYTES = 3 * 1024 * 1024,                /* one request body, as kube-apiserver */
    LIMIT_JSON_PATCH_OPS = 10000,
    LIMIT_JSON_PATCH_MOVES = 64 * 1024 * 1024, /* of elements behind one added or removed */
    LIMIT_PATCH_LIST_ITEMS = 4096,             /* of two lists merged by a strategic patch */
    LIMIT_SELECTOR_TERMS = 1000,
    LIMIT_RULE_ACTIONS = 200000, /* comparisons of one check whether rules cover others */
    LIMIT_RULE_COMPARISONS = 10 * 1000 * 1000, /* and of the words in them */
    LIMIT_POLICY_EXPRESSIONS = 1000,           /* validations of a policy, and variables */
    LIMIT_CUSTOM_RULES = 5000, /* of one schema, each of which is compiled and kept */
    LIMIT_TOKEN_BYTES = 16 * 1024,
    LIMIT_JWK_SET_KEYS = 100,
    LIMIT_AUDIT_QUEUE_BYTES = 8 * 1024 * 1024,
    LIMIT_AUDIT_FILE_BYTES = 64 * 1024 * 1024,
    LIMIT_OPENAPI_BYTES = 1024 * 1024,                 /* the document of one aggregated API */
    LIMIT_AGGREGATED_OPENAPI_BYTES = 16 * 1024 * 1024, /* what is kept of all of them */
    LIMIT_AUTHN_WAITING = 1000, /* requests whose token somebody else has to be asked about */

    /* HTTP */
    LIMIT_HTTP_LINE_BYTES = 16 * 1024,
    LIMIT_HTTP_HEADER_BYTES = 64 * 1024,
    LIMIT_HTTP_HEADERS = 128,
    LIMIT_HTTP_CONNECTIONS = 4096,
    LIMIT_HTTP2_STREAMS = 250,
    LIMIT_HTTP2_NUISANCES = 1000,      /* control frames and resets one peer may send at once */
    LIMIT_HTTP2_NUISANCES_PER_S = 100, /* and then per second */
    LIMIT_HTTP_BODIES_BYTES = 64 * 1024 * 1024, /* unfinished large bodies, all together */
    LIMIT_HTTP_QUEUED_BYTES = 32 * 1024 * 1024, /* unread answers; beyond, only small pieces */
    LIMIT_HTTP_IDLE_MS = 120 * 1000,
    LIMIT_HTTP_REQUEST_MS = 60 * 1000,
    LIMIT_HTTP_HEAD_MS = 10 * 1000, /* the whole request head must have arrived */
    LIMIT_FLOW_WAITING = 20000, /* requests that wait for their turn, before they are looked at */
    LIMIT_FLOW_WAITING_BYTES = 64 * 1024 * 1024, /* bodies of requests that wait, per level */
    LIMIT_WEBSOCKET_FRAME_BYTES = 1024 * 1024,

    /* Messages between services */
    LIMIT_IPC_BYTES = 16 * 1024 * 1024,
    LIMIT_IPC_FDS = 16,
    LIMIT_IPC_QUEUE_BYTES = 64 * 1024 * 1024,

    LIMIT_EGRESS_CONNECTIONS = 2000, /* of the api service to the world, at once */

    /* Scalability protocols */
    LIMIT_SP_PREFIX_BYTES = 4096, /* of one subscription */
    LIMIT_SP_TOPOLOGIES = 256,
    LIMIT_SP_PIPES = 16384,         /* clients and links of the service */
    LIMIT_SP_PIPES_PER_USER = 4096, /* local clients of one user but root */
    LIMIT_SP_EDGES = 256,           /* of one topology */
    LIMIT_SP_FILTERS = 4096,        /* declared ones of one topology */
    LIMIT_SP_EDGE_PEERS = 4096,     /* of one edge that listens */
    LIMIT_SP_HANDSHAKES = 256,      /* unfinished at once on one edge or file */
    LIMIT_SP_RINGS = 2048,          /* clients that share memory; others use its sockets */
    LIMIT_SP_MEMORY_BYTES = 512 * 1024 * 1024, /* of all messages that wait in the service */
    LIMIT_SP_TRIE_BYTES = 256 * 1024 * 1024,   /* subscriptions of one topology */
    LIMIT_SP_SUBSCRIPTIONS_PER_PIPE = 2000000,
    LIMIT_SP_REQUESTS = 65536,                  /* of one topology without an answer */
    LIMIT_SP_RETAINED_BYTES = 64 * 1024 * 1024, /* of one topology */
    LIMIT_SP_LOG_LINES = 20, /* of one event that peers can cause, in ten seconds */
    LIMIT_SP_CONFIG_FILE_BYTES = 4 * 1024 * 1024,

    /* Store */
    LIMIT_STORE_KEY_BYTES = 1024,
    LIMIT_STORE_LOG_ROWS = 20000, /* changes that a watch can resume from and a list can look at */

    /* Watches */
    LIMIT_WATCH_QUEUE_BYTES = 8 * 1024 * 1024, /* a slower reader is closed, never skipped */
    LIMIT_WATCH_HISTORY_EVENTS = 20000,        /* per resource, kept in the api service's cache */

    /* Names (Kubernetes apimachinery validation; RFC 1123) */
    LIMIT_NAME_BYTES = 253,
    LIMIT_LABEL_BYTES = 63,
    LIMIT_ANNOTATIONS_BYTES = 256 * 1024,

    /* Node */
    LIMIT_PODS_PER_NODE = 110,
    LIMIT_CONTAINERS_PER_POD = 128,
    LIMIT_LOG_FILE_BYTES = 10 * 1024 * 1024,
    LIMIT_LOG_FILES = 5,
    LIMIT_TERMINATION_MESSAGE_BYTES = 4096,
    LIMIT_POD_SYSCTLS = 64,
    LIMIT_CONTAINER_ARGS = 16384,
    LIMIT_CONTAINER_ENV = 16384,             /* service variables count too */
    LIMIT_ARGUMENT_BYTES = 128 * 1024,       /* of an expanded text; more execve() does not take */
    LIMIT_ARGUMENTS_BYTES = 8 * 1024 * 1024, /* of a container's environment, or its command */
    LIMIT_CONTAINER_MOUNTS = 512,
    LIMIT_CONTAINER_GROUPS = 1024,
    LIMIT_CONTAINER_CAPABILITIES = 128,
    LIMIT_VOLUME_FILES = 4096,
    LIMIT_PASSWD_BYTES = 1024 * 1024, /* etc/passwd and etc/group of an image */
    LIMIT_PRIVILEGED_DEVICES = 1024,

    /* Images (hostile input) */
    LIMIT_IMAGE_LAYERS = 128,
    LIMIT_IMAGE_MANIFEST_BYTES = 4 * 1024 * 1024,
    LIMIT_IMAGE_FILES = 1000000,
    LIMIT_IMAGE_PATH_BYTES = 4096,
    LIMIT_IMAGE_DEPTH = 256,
};
#define LIMIT_IMAGE_UNPACKED_BYTES (16ULL << 30)
