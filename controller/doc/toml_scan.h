/* A look at a TOML text before toml++ reads it.  Private to doc. */
#ifndef DOC_TOML_SCAN_H
#define DOC_TOML_SCAN_H

#include "base/str.h"

/*
 * NULL where the text nests at most a little deeper than 'depth_max' (the tree
 * is checked exactly later) and makes no more tables than toml++ can look up;
 * else why not, and '*at' is the byte.
 */
const char *toml_scan(struct str text, unsigned depth_max, size_t *at);

#endif
