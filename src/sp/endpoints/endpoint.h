/*
 * Socket files: one per role and door, and one per declared filter. A file is bound under a
 * temporary name and renamed over the old one, so the name is always there, even while the service
 * restarts. Owner, group and mode come from the topology; SO_PEERCRED tells who connected.
 *
 * A door is a way to speak on such a socket, registered by one line: seqpacket
 * (endpoint_seqpacket.c), ipc (link.c), ring (ring_door.c).
 */
#pragma once

#include "sp/declare/topology.h"

struct sp_door {
    const char *name;      /* "seqpacket" */
    const char *directory; /* below the topology's, "" or ".ring" */
    const char *suffix;    /* of the file, "" or ".ipc" */
    int socket_type;       /* SOCK_SEQPACKET or SOCK_STREAM */
    bool filters;          /* has files sub@FILTER too */
    /* May be NULL: does this role have such a file? */
    bool (*wanted)(const struct sp_config *config, enum sp_role role);
    /* Somebody whom the topology lets in has connected; takes over fd, which does not block. */
    void (*accepted)(struct sp_endpoint *e, int fd, const struct sp_credentials *who);
};
#define SP_DOOR(sym)                                                                               \
    __attribute__((                                                                                \
        used, retain,                                                                              \
        section("atoll_sp_doors"))) static const struct sp_door *const sp_door_p_##sym = &sym

struct sp_endpoint {
    struct sp_topology *topology;
    const struct sp_door *door;
    enum sp_role role;
    const char *name;                      /* the file, relative to the topology's directory */
    const struct sp_filter_config *filter; /* of sub@…; NULL: none */
    bool granted;                          /* in .pods */
    int fd;
    struct fd_watch *watch;
    uid_t owner; /* of the file, as it was made */
    gid_t group;
    mode_t mode;
    bool wanted;
    uint64_t accepted, refused;
};

/* Makes all files that the config asks for and takes away those it does not. */
int sp_endpoints_apply(struct sp_topology *t, struct err *err);
void sp_endpoints_close(struct sp_topology *t, bool remove_files);
/* Whoever has connected to a file sub@… by now is subscribed when this returns. Doors call it
 * between reading messages and handing them on: what was sent after a connect() had returned then
 * finds its subscription. */
void sp_endpoints_catch_up(struct sp_topology *t);
/*
 * Directories with the same files for pods: .pods/ROLE and .pods/ROLE+ROLE, of roles that are
 * granted to pods. Nobody but root enters .pods; the node mounts one of them into a pod which the
 * API has admitted, so whoever connects there may. A directory, since files in it are replaced.
 */
enum { SP_PLACES_MAX = 3, SP_PLACE_BYTES = 48 };
/* Where the files of a role stand, relative to the topology's directory: "" and those for pods,
 * with a final slash. Returns how many. */
size_t sp_endpoint_places(const struct sp_config *c, enum sp_role role,
                          char ret[SP_PLACES_MAX][SP_PLACE_BYTES]);
/* Opens the directory of a file below dir, made if need be; *ret_base is the file's name there. */
int sp_endpoint_directory(int dir, const char *name, const char **ret_base, struct err *err);
/* Removes directories that hold no file. */
void sp_endpoint_directories_tidy(const struct sp_topology *t);
