/* The part of a mail that a process leaves in an mbox when it is killed while it writes
 * there. What it is about to do stands in FILE.lock, behind whose lock it is: whoever finds
 * that lock and takes it away can take the part away, too. */
#ifndef BACKENDS_LOCAL_MBOX_PART_H
#define BACKENDS_LOCAL_MBOX_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/str.h"

enum { MBOX_PART_START_MAX = 600, MBOX_PART_MAX = MBOX_PART_START_MAX + 32 };

struct mbox_part {
	off_t at; /* how long the mbox was */
	char start[MBOX_PART_START_MAX]; /* what is written there first, up to the end of
					  * the line "From ..." */
	size_t start_len; /* 0: nothing is known */
};

/* Appends what FILE.lock is to say; nothing when start is too long. It begins with a NUL,
 * where others see the end of FILE.lock. */
void mbox_part_write(struct str *out, off_t at, const char *start, size_t len);

/* Reads that. False, and nothing is known, unless it is whole. */
bool mbox_part_read(struct mbox_part *part, const char *data, size_t len);

/* Cuts the file, which is locked, back to where the part begins, if all that stands there
 * is one mail with that start: *end, its length, is less then. Returns whether it was. */
bool mbox_part_cut(const struct mbox_part *part, int fd, off_t *end);

#endif
