/* What tests of the spool share: one spool, and readers that check what they
 * read. Included by one .c file per program. */
#ifndef SPOOL_HELPER_H
#define SPOOL_HELPER_H

#include "lib/spool.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/mem.h"
#include "t/unit/loop_helper.h"

#define KIB 1024
#define MIB (1024 * KIB)
#define WINDOW (128 * KIB)
#define MAX_READERS 4

static struct loop *loop;
static struct spool *spool;
static struct spool_settings settings;
static char dir[64];
static int writable_calls;

/* A reader that checks what it reads. */
struct probe {
	struct spool_reader reader;
	int ready;
	bool remove_in_ready, free_in_ready;
};
static struct probe probes[MAX_READERS];

static inline void writable(void *owner)
{
	cr_assert_eq(owner, &settings);
	writable_calls++;
}

static inline void setup(void)
{
	strcpy(dir, "/tmp/waypost-spool-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	loop = loop_new();
	settings = (struct spool_settings){ .window = WINDOW, .dir = dir };
	spool = spool_new(loop, &settings, writable, &settings);
}

static inline void teardown(void)
{
	spool_free(&spool);
	loop_free(&loop);
	rmdir(dir);
}

static inline void restart(size_t window, const char *where)
{
	spool_free(&spool);
	settings.window = window;
	settings.dir = where;
	spool = spool_new(loop, &settings, writable, &settings);
}

/* Runs what was deferred. */
static inline void pump(void)
{
	pass(loop);
}

static inline void probe_ready(struct spool_reader *reader)
{
	struct probe *probe = container_of(reader, struct probe, reader);

	probe->ready++;
	if (probe->remove_in_ready)
		spool_reader_remove(reader);
	if (probe->free_in_ready)
		spool_free(&spool);
}

static inline void add(int count)
{
	int i;

	for (i = 0; i < count; i++)
		spool_reader_add(spool, &probes[i].reader, probe_ready);
}

/* The message is a fixed sequence, so any byte can be checked alone. */
static inline char byte_at(uint64_t pos)
{
	return (char)((pos * 2654435761u) >> 16 ^ pos);
}

static inline void fill(char *to, uint64_t pos, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		to[i] = byte_at(pos + i);
}

static inline void put(size_t len)
{
	char *data = mem_alloc(len);

	fill(data, spool_size(spool), len);
	spool_append(spool, data, len);
	mem_free(&data);
}

static inline void check_bytes(const struct iovec *iov, uint64_t pos, size_t len)
{
	const char *data = iov->iov_base;
	size_t i;

	for (i = 0; i < len; i++)
		if (data[i] != byte_at(pos + i))
			cr_assert_fail("wrong byte at %ju",
				       (uintmax_t)(pos + i));
}

/* Reads at most max bytes, in whatever pieces come; returns how many. */
static inline size_t take(struct probe *probe, size_t max)
{
	struct iovec iov[3];
	size_t taken = 0;

	while (taken < max) {
		int n = spool_peek(&probe->reader, iov, 3), i;
		size_t got = 0;

		if (n == 0)
			break;
		for (i = 0; i < n && taken + got < max; i++) {
			size_t len = iov[i].iov_len;

			cr_assert_gt(len, 0);
			if (len > max - taken - got)
				len = max - taken - got;
			check_bytes(&iov[i], probe->reader.pos + got, len);
			got += len;
		}
		spool_advance(&probe->reader, got);
		taken += got;
	}
	return taken;
}

/* Bytes written that it has not read. */
static inline uint64_t left(const struct probe *probe)
{
	return spool_size(spool) - probe->reader.pos;
}

/* Whether it has read the whole, finished message. */
static inline bool at_end(const struct probe *probe)
{
	return !probe->reader.lost && spool_finished(spool) &&
	       left(probe) == 0;
}

static inline void take_all(struct probe *probe)
{
	uint64_t rest = left(probe);

	cr_assert_eq(take(probe, SIZE_MAX), rest);
}

/* How many descriptors are open on files in the directory. */
static inline int open_files(void)
{
	DIR *fds = opendir("/proc/self/fd");
	char path[300], target[300];
	struct dirent *entry;
	int count = 0;

	while ((entry = readdir(fds)) != NULL) {
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/self/fd/%s",
			 entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		if (len > 0 && strncmp(target, dir, strlen(dir)) == 0)
			count++;
	}
	closedir(fds);
	return count;
}

static inline void limit_files(rlim_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#endif
