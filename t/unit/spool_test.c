#include "lib/spool.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/mem.h"

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

static void writable(void *owner)
{
	cr_assert_eq(owner, &settings);
	writable_calls++;
}

static void setup(void)
{
	strcpy(dir, "/tmp/waypost-spool-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	loop = loop_new();
	settings = (struct spool_settings){ .window = WINDOW, .dir = dir };
	spool = spool_new(loop, &settings, writable, &settings);
}

static void teardown(void)
{
	spool_free(&spool);
	loop_free(&loop);
	cr_expect_eq(rmdir(dir), 0, "left files behind: %s", strerror(errno));
}

TestSuite(spool, .init = setup, .fini = teardown, .timeout = 60);

static void restart(size_t window, const char *where)
{
	spool_free(&spool);
	settings.window = window;
	settings.dir = where;
	spool = spool_new(loop, &settings, writable, &settings);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

/* Runs what was deferred. */
static void pump(void)
{
	loop_post(loop, stop, loop);
	loop_run(loop);
}

static void probe_ready(struct spool_reader *reader)
{
	struct probe *probe = container_of(reader, struct probe, reader);

	probe->ready++;
	if (probe->remove_in_ready)
		spool_reader_remove(reader);
	if (probe->free_in_ready)
		spool_free(&spool);
}

static void add(int count)
{
	int i;

	for (i = 0; i < count; i++)
		spool_reader_add(spool, &probes[i].reader, probe_ready);
}

/* The message is a fixed sequence, so any byte can be checked alone. */
static char byte_at(uint64_t pos)
{
	return (char)((pos * 2654435761u) >> 16 ^ pos);
}

static void fill(char *to, uint64_t pos, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		to[i] = byte_at(pos + i);
}

static void put(size_t len)
{
	char *data = mem_alloc(len);

	fill(data, spool_size(spool), len);
	spool_append(spool, data, len);
	mem_free(&data);
}

static void check_bytes(const struct iovec *iov, uint64_t pos, size_t len)
{
	const char *data = iov->iov_base;
	size_t i;

	for (i = 0; i < len; i++)
		if (data[i] != byte_at(pos + i))
			cr_assert_fail("wrong byte at %ju",
				       (uintmax_t)(pos + i));
}

/* Reads at most max bytes, in whatever pieces come; returns how many. */
static size_t take(struct probe *probe, size_t max)
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

static void take_all(struct probe *probe)
{
	uint64_t left = spool_left(&probe->reader);

	cr_assert_eq(take(probe, SIZE_MAX), left);
}

/* How many descriptors are open on files in the directory. */
static int open_files(void)
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

static void limit_files(rlim_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(spool, a_small_message)
{
	size_t room;
	char *to;

	add(1);
	to = spool_reserve(spool, &room);
	cr_assert_geq(room, 4 * KIB);
	fill(to, 0, 1000);
	spool_commit(spool, 1000);
	cr_expect_eq(probes[0].ready, 0, "not inside the call");
	pump();
	cr_expect_eq(probes[0].ready, 1);
	cr_expect_eq(spool_size(spool), 1000);
	cr_expect_eq(spool_left(&probes[0].reader), 1000);
	cr_expect_not(spool_finished(spool));
	take_all(&probes[0]);
	cr_expect_not(spool_at_end(&probes[0].reader));
	spool_finish(spool);
	pump();
	cr_expect(spool_finished(spool));
	cr_expect(spool_at_end(&probes[0].reader));
	cr_expect_eq(probes[0].ready, 2);
	cr_expect_lt(spool_memory(spool), 16 * KIB + 1);
}

Test(spool, a_slow_reader_does_not_hold_up_a_fast_one)
{
	size_t most = 0;

	add(2);
	while (spool_size(spool) < 50 * MIB) {
		put(64 * KIB);
		take_all(&probes[0]);
		cr_assert_not(spool_full(spool));
		if (spool_memory(spool) > most)
			most = spool_memory(spool);
	}
	spool_finish(spool);
	cr_expect(spool_at_end(&probes[0].reader));
	cr_expect_eq(open_files(), 1);
	take_all(&probes[1]);
	cr_expect(spool_at_end(&probes[1].reader));
	cr_expect_eq(open_files(), 0);
	cr_expect_leq(most, WINDOW + 2 * 64 * KIB, "%zu", most);
	cr_expect_eq(writable_calls, 0);
}

Test(spool, a_full_disk_loses_only_the_slow_reader)
{
	add(3);
	limit_files(300 * KIB);
	while (!probes[1].reader.lost) {
		put(10 * KIB);
		take_all(&probes[0]);
		cr_assert_lt(spool_size(spool), MIB);
	}
	cr_expect(probes[2].reader.lost);
	cr_expect_eq(probes[1].reader.error, EFBIG);
	cr_expect_not(spool_full(spool));
	cr_expect_eq(open_files(), 0);
	probes[1].ready = 0;
	pump();
	cr_expect_eq(probes[1].ready, 1);
	cr_expect_eq(take(&probes[1], 1), 0);
	put(MIB);
	take_all(&probes[0]);
	spool_finish(spool);
	pump();
	cr_expect(spool_at_end(&probes[0].reader));
	cr_expect_not(spool_at_end(&probes[1].reader));
	cr_expect_eq(probes[1].ready, 1, "lost is told once");
}

Test(spool, no_directory)
{
	restart(WINDOW, "/nonexistent");
	add(2);
	while (spool_size(spool) < MIB) {
		put(60 * KIB);
		take_all(&probes[0]);
		cr_assert_not(spool_full(spool));
	}
	cr_expect(probes[1].reader.lost);
	cr_expect_eq(probes[1].reader.error, ENOENT);
	cr_expect_not(probes[0].reader.lost);
}
