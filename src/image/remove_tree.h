/* rm -r by descriptors: never follows links. Errors are ignored: what stays is found and removed at
 * the next start. */
#pragma once

void remove_tree(const char *path);
void remove_tree_at(int dir, const char *name);
