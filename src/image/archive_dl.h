/* libarchive and libcurl, loaded when a worker needs them: their dependencies would cost the idle
 * service megabytes. */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <curl/curl.h>

#include "base/err.h"

#define ARCHIVE_FUNCTIONS(X)                                                                       \
    X(archive_read_new)                                                                            \
    X(archive_read_free)                                                                           \
    X(archive_read_support_filter_all)                                                             \
    X(archive_read_support_format_raw)                                                             \
    X(archive_read_support_format_empty)                                                           \
    X(archive_read_support_format_tar)                                                             \
    X(archive_read_open_fd)                                                                        \
    X(archive_read_open)                                                                           \
    X(archive_read_next_header)                                                                    \
    X(archive_read_data)                                                                           \
    X(archive_error_string)                                                                        \
    X(archive_entry_pathname)                                                                      \
    X(archive_entry_hardlink)                                                                      \
    X(archive_entry_symlink)                                                                       \
    X(archive_entry_filetype)                                                                      \
    X(archive_entry_perm)                                                                          \
    X(archive_entry_uid)                                                                           \
    X(archive_entry_gid)                                                                           \
    X(archive_entry_mtime)                                                                         \
    X(archive_entry_mtime_nsec)                                                                    \
    X(archive_entry_size)                                                                          \
    X(archive_entry_xattr_reset)                                                                   \
    X(archive_entry_xattr_next)

#define CURL_FUNCTIONS(X)                                                                          \
    X(curl_global_init)                                                                            \
    X(curl_easy_init)                                                                              \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_perform)                                                                           \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_cleanup)                                                                           \
    X(curl_easy_strerror)                                                                          \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)

#define MEMBER(f) __typeof__(&(f)) f##_p;
struct archive_library {
    ARCHIVE_FUNCTIONS(MEMBER)
};
#undef curl_easy_setopt
#undef curl_easy_getinfo
struct curl_library {
    CURL_FUNCTIONS(MEMBER)
};
#undef MEMBER

/* The loaded library; stays loaded. */
int archive_library_load(const struct archive_library **ret, struct err *err);
int curl_library_load(const struct curl_library **ret, struct err *err);
