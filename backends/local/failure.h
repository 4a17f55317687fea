/* What an errno means to a delivery. */
#ifndef BACKENDS_LOCAL_FAILURE_H
#define BACKENDS_LOCAL_FAILURE_H

#include "backends/local/mail/mail.h"

/* The status that stands for an errno of the file system. */
enum local_status failure_status(int error);

/* The same for a program that could not be started. */
enum local_status failure_program_status(int error);

/* Fills result: the status of error, and "cannot DO PATH: why", with our uid and
 * gid when they are the reason. Always -1, for callers to return. */
int failure_set(struct local_result *result, int error, const char *what,
		const char *path);

/* The same with another status than that of error. */
int failure_set_as(struct local_result *result, enum local_status status,
		   int error, const char *what, const char *path);

#endif
