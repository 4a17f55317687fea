#include "backends/local/maildir/name.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t next_us(void)
{
	static _Atomic uint64_t last;
	uint64_t seen = atomic_load(&last), next;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	do {
		next = (uint64_t)now.tv_sec * 1000000 +
		       (uint64_t)now.tv_nsec / 1000;
		if (next <= seen)
			next = seen + 1;
	} while (!atomic_compare_exchange_weak(&last, &seen, next));
	return next;
}

void maildir_name_make(char name[MAILDIR_BASE_MAX], const char *hostname)
{
	uint64_t us = next_us();
	size_t len = (size_t)snprintf(name, MAILDIR_BASE_MAX,
				      "%" PRIu64 ".M%" PRIu64 "P%ld.",
				      us / 1000000, us % 1000000, (long)getpid());

	for (; *hostname != '\0' && len + 5 <= MAILDIR_BASE_MAX; hostname++) {
		unsigned char c = (unsigned char)*hostname;

		if (c <= ' ' || c >= 0x7f || strchr("/:,\\", c) != NULL)
			len += (size_t)snprintf(name + len,
						MAILDIR_BASE_MAX - len,
						"\\%03o", c);
		else
			name[len++] = (char)c;
	}
	name[len] = '\0';
}

/* Each LF without a CR would be one byte more with CRLF. */
void maildir_sizes_add(struct maildir_sizes *sizes, const char *data, size_t len)
{
	const char *at = data, *end = data + len;

	if (len == 0)
		return;
	sizes->size += len;
	sizes->vsize += len;
	while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		char before = at > data ? at[-1] : sizes->last;

		sizes->vsize += before != '\r';
		at++;
	}
	sizes->last = end[-1];
}

void maildir_name_finish(char name[MAILDIR_NAME_MAX], const char *base,
			 const struct maildir_sizes *sizes)
{
	snprintf(name, MAILDIR_NAME_MAX, "%s,S=%" PRIu64 ",W=%" PRIu64, base,
		 sizes->size, sizes->vsize);
}
