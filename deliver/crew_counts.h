/* What a crew (deliver/crew.h) counts, for its worker process to show: in a file in
 * memory that the one writes and the other can only read. */
#ifndef DELIVER_CREW_COUNTS_H
#define DELIVER_CREW_COUNTS_H

#include <stdint.h>

#include "lib/err.h"

/* How a member has ended. */
enum crew_end {
	CREW_END_WELL,	    /* its work was done, or it was told to */
	CREW_END_TIMED_OUT, /* lmtp_delivery_timeout */
	CREW_END_KILLED,    /* by any other signal */
	CREW_END_FAILED,    /* it could not become the user, was not to, ... */
	CREW_ENDS,
};

struct crew_counts {
	uint64_t started, ended[CREW_ENDS];
	/* Now: */
	uint32_t members, busy, limit;
};

/* The name of an end, for people and Prometheus. */
const char *crew_end_name(enum crew_end end);

/* Makes the file (close-on-exec), as two descriptors: the crew's, and the worker
 * process's, which cannot be written to, nor opened anew for that by another user. */
int crew_counts_open(int fds_r[2], struct err *err);

/* Writes all of them; logs a failure. */
void crew_counts_write(int fd, const struct crew_counts *counts);

/* fd may be -1, and the file empty: all counts are 0. */
void crew_counts_read(int fd, struct crew_counts *counts_r);

#endif
