/* The lines of a watch, out of pieces as they come in from the network. */
#ifndef LIB_ETCD_LINES_H
#define LIB_ETCD_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/str.h"

struct etcd_lines {
	struct str buf;
	size_t max;	/* of a line, in bytes without its end */
	size_t start;	/* of the line that is read */
	size_t scanned; /* up to there it has no end */
};

void etcd_lines_init(struct etcd_lines *lines, size_t max);
void etcd_lines_free(struct etcd_lines *lines);

/* What came next. Take all lines before more is added. */
void etcd_lines_add(struct etcd_lines *lines, const char *data, size_t len);

/* 1: a line, without its end, valid until the next call; 0: there is no whole
 * one; -1: it is too long. Empty lines are left out. */
int etcd_lines_next(struct etcd_lines *lines, const char **line, size_t *len);

/* After the end of all: whether there is a line without an end (etcd says so
 * when it is stopped), which is then given as above. */
bool etcd_lines_rest(struct etcd_lines *lines, const char **line, size_t *len);

#endif
