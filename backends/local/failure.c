#include "backends/local/failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FAILURE_PATH_MAX 320

enum local_status failure_status(int error)
{
	switch (error) {
	case EDQUOT:
		return LOCAL_OVER_QUOTA;
	case ENOSPC:
		return LOCAL_NO_SPACE;
	case EACCES:
	case EPERM:
	case EROFS:
		return LOCAL_NO_ACCESS;
	case ENOENT:
	case ESTALE:
	case ENODEV:
	case ENXIO:
	case ENOTCONN:
	case EHOSTDOWN:
	case EHOSTUNREACH:
		return LOCAL_GONE;
	default:
		return LOCAL_FAILED;
	}
}

enum local_status failure_program_status(int error)
{
	switch (error) {
	case ENOENT:
	case EACCES:
	case ENOTDIR:
	case ENOEXEC:
	case ELOOP:
		return LOCAL_MISCONFIGURED;
	default:
		return LOCAL_FAILED;
	}
}

int failure_set_as(struct local_result *result, enum local_status status,
		   int error, const char *what, const char *path)
{
	size_t len = strlen(path);
	const char *end = len > FAILURE_PATH_MAX
				  ? path + len - FAILURE_PATH_MAX : path;
	int used;

	result->status = status;
	result->error = error;
	used = snprintf(result->text, sizeof(result->text),
			"cannot %.32s %s%s: %.96s", what,
			end != path ? "..." : "", end, strerror(error));
	if (error == EACCES || error == EPERM)
		snprintf(result->text + used, sizeof(result->text) - (size_t)used,
			 " (as uid %lu, gid %lu)", (unsigned long)geteuid(),
			 (unsigned long)getegid());
	return -1;
}

int failure_set(struct local_result *result, int error, const char *what,
		const char *path)
{
	return failure_set_as(result, failure_status(error), error, what, path);
}
