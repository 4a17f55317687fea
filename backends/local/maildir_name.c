#include "backends/local/maildir_name.h"

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

void maildir_name_finish(char name[MAILDIR_NAME_MAX], const char *base,
			 uint64_t size, uint64_t vsize)
{
	snprintf(name, MAILDIR_NAME_MAX, "%s,S=%" PRIu64 ",W=%" PRIu64, base,
		 size, vsize);
}
