/* atoll image: the images of this node. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/image_use.h"
#include "cli/verb.h"
#include "proc/ipc.h"
#include "wire/image.h"

enum { PULL_TIMEOUT_MS = 30 * 60 * 1000, QUICK_TIMEOUT_MS = 30 * 1000 };

struct call {
    const struct verb *v;
    const char *root;
    struct arena *arena;
    struct buf answer;
    uint16_t type;
};

/* One request to the image service. Prints and returns an exit status on failure, CLI_CONTINUE when
 * well. */
static int call_service(struct call *c, uint16_t type, struct slice body, int archive,
                        uint64_t timeout_ms) {
    struct err err = {0};
    OWN(close_p) int fd = -1;
    const char *path = arena_printf(c->arena, "%s/run/atoll/image.sock", c->root);
    if (ipc_connect_blocking(path, &fd, &err) < 0)
        return cli_fail(c->v, "no Atoll runs under %s: start it with 'atoll up'",
                        *c->root ? c->root : "/");
    if (ipc_call_blocking(fd, type, body, &archive, archive >= 0 ? 1 : 0, timeout_ms, &c->type,
                          &c->answer, NULL, 0, NULL, &err) < 0)
        return cli_fail(c->v, "%s", err.text);
    if (c->type != IPC_ERROR) return CLI_CONTINUE;
    ipc_decode_error(buf_view(&c->answer), &err);
    return cli_fail(c->v, "%s", err.text);
}

static void print_image(const struct image_info *i) {
    for (uint32_t j = 0; j < (i->n_names ? i->n_names : 1); j++)
        printf("%-60s %.19s %10.1f MB\n", i->n_names ? i->names[j] : "<none>", i->id,
               (double)i->size_bytes / 1e6);
}

static int print_list(struct call *c) {
    struct unpack u = unpack_init(buf_view(&c->answer));
    uint32_t n = c->type == IMAGE_INFO ? 1 : unpack_u32(&u);
    for (uint32_t i = 0; i < n; i++) {
        struct image_info info;
        if (image_info_unpack(&u, c->arena, &info) < 0)
            return cli_fail(c->v, "the image service gave a malformed answer");
        print_image(&info);
    }
    return unpack_end(&u) == 0 ? 0 : cli_fail(c->v, "the image service gave a malformed answer");
}

static int image_list(struct call *c) {
    int status = call_service(c, IMAGE_LIST, (struct slice){0}, -1, QUICK_TIMEOUT_MS);
    if (status != CLI_CONTINUE) return status;
    printf("%-60s %-19s %10s\n", "IMAGE", "ID", "SIZE");
    return print_list(c);
}

static int image_pull(struct call *c, const char *ref) {
    OWN(buf_done) struct buf body = {0};
    struct image_pull_request r = {.ref = ref, .username = "", .password = ""};
    image_pull_request_pack(&body, &r);
    int status = call_service(c, IMAGE_PULL, buf_view(&body), -1, PULL_TIMEOUT_MS);
    return status == CLI_CONTINUE ? print_list(c) : status;
}

/* Only the last name takes the layers along. */
static bool removes_layers(const struct image_info *i, const char *ref) {
    return i->n_names < 2 || str_eq(ref, i->id) || str_eq(ref, i->repo_digest);
}

static int image_remove(struct call *c, const char *ref) {
    OWN(buf_done) struct buf body = {0};
    struct image_info info;
    pack_str(&body, ref);
    int status = call_service(c, IMAGE_INSPECT, buf_view(&body), -1, QUICK_TIMEOUT_MS);
    if (status != CLI_CONTINUE) return status;
    struct unpack u = unpack_init(buf_view(&c->answer));
    if (image_info_unpack(&u, c->arena, &info) < 0 || unpack_end(&u) < 0)
        return cli_fail(c->v, "the image service gave a malformed answer");
    const char *pod = removes_layers(&info, ref) ? image_use_pod(c->arena, c->root, &info) : NULL;
    if (pod)
        return cli_fail(c->v, "image \"%s\" is in use by pod %s: delete the pod first", ref, pod);
    buf_clear(&c->answer);
    status = call_service(c, IMAGE_REMOVE, buf_view(&body), -1, QUICK_TIMEOUT_MS);
    if (status == CLI_CONTINUE) printf("removed %s\n", ref);
    return status == CLI_CONTINUE ? 0 : status;
}

static int image_import(struct call *c, const char *file, const char *name) {
    OWN(buf_done) struct buf body = {0};
    OWN(close_p)
    int fd = strcmp(file, "-") == 0 ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) return cli_fail(c->v, "%s: %s", file, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return cli_fail(
            c->v, "%s is a directory: pack an OCI layout with tar, or use 'atoll image from-dir'",
            file);
    pack_str(&body, name ? name : "");
    int status = call_service(c, IMAGE_IMPORT, buf_view(&body), fd, PULL_TIMEOUT_MS);
    return status == CLI_CONTINUE ? print_list(c) : status;
}

static pid_t start_tar(const char *dir, int *ret_out) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) return -1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        execlp("tar", "tar", "--create", "--numeric-owner", "--sort=name", "--one-file-system",
               "--xattrs", "--directory", dir, ".", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    *ret_out = fds[0];
    return pid;
}

static int image_from_dir(struct call *c, const char *dir, const char *name, const char *config) {
    OWN(buf_done) struct buf body = {0};
    OWN(close_p) int fd = -1;
    struct stat st;
    int tar_status = 0;
    if (!name) return cli_usage(c->v, "from-dir needs --name REFERENCE");
    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return cli_fail(c->v, "%s is not a directory", dir);
    struct image_from_dir r = {.name = name, .config_json = config ? config : ""};
    image_from_dir_pack(&body, &r);
    pid_t pid = start_tar(dir, &fd);
    if (pid < 0) return cli_fail(c->v, "cannot start tar: %s", strerror(errno));
    int status = call_service(c, IMAGE_FROM_DIR, buf_view(&body), fd, PULL_TIMEOUT_MS);
    close(TAKE_FD(fd)); /* tar ends when nobody reads */
    while (waitpid(pid, &tar_status, 0) < 0 && errno == EINTR) {
    }
    if (status != CLI_CONTINUE) return status;
    if (!WIFEXITED(tar_status) || WEXITSTATUS(tar_status) > 1)
        return cli_fail(c->v, "tar could not read %s", dir);
    return print_list(c);
}

static int image_run(const struct verb *v, int argc, char **argv) {
    const char *name = NULL, *config = NULL;
    const struct cli_option options[] = {
        {.name = "--name",
         .argument = "REF",
         .help = "reference to store the image under",
         .value = &name},
        {.name = "--config",
         .argument = "JSON",
         .help = "OCI config fields for from-dir, e.g. {\"Cmd\":[\"/bin/sh\"]}",
         .value = &config}};
    struct cli_args args;
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), 2, &args);
    if (status != CLI_CONTINUE) return status;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct call c = {.v = v, .arena = a};
    status = cli_root(v, &args, a, &c.root);
    if (status != CLI_CONTINUE) return status;
    const char *what = args.n_words ? args.words[0] : "",
               *operand = args.n_words > 1 ? args.words[1] : NULL;
    bool is_list = strcmp(what, "ls") == 0;
    if (is_list && operand)
        status = cli_usage(v, "ls takes no argument");
    else if (is_list)
        status = image_list(&c);
    else if (!*what)
        status = cli_usage(v, "one of import, from-dir, pull, ls, rm is needed");
    else if (!str_eq(what, "pull") && !str_eq(what, "rm") && !str_eq(what, "import") &&
             !str_eq(what, "from-dir"))
        status = cli_usage(v, "unknown word \"%s\": one of import, from-dir, pull, ls, rm", what);
    else if (!operand)
        status = cli_usage(v, "%s needs an argument", what);
    else if (strcmp(what, "pull") == 0)
        status = image_pull(&c, operand);
    else if (strcmp(what, "rm") == 0)
        status = image_remove(&c, operand);
    else if (strcmp(what, "import") == 0)
        status = image_import(&c, operand, name);
    else
        status = image_from_dir(&c, operand, name, config);
    buf_done(&c.answer);
    return status;
}

static const struct verb image_verb = {
    "image",
    "import FILE [--name REF] | from-dir DIR --name REF [--config JSON] | pull REF | ls | rm REF",
    "the images of this node", image_run,
    "  import FILE                 takes the images of an archive (OCI layout, docker save; - is "
    "standard input)\n"
    "  from-dir DIR                makes an image of one layer from a directory\n"
    "  pull REF                    fetches an image from its registry\n"
    "  ls                          lists the images with their sizes\n"
    "  rm REF                      removes an image that no container uses\n"};
VERB(image_verb);
