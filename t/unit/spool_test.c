#include "lib/spool.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
	rmdir(dir);
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

Test(spool, an_empty_message)
{
	add(2);
	spool_finish(spool);
	pump();
	cr_expect_eq(probes[0].ready, 1);
	cr_expect_eq(probes[1].ready, 1);
	cr_expect_eq(take(&probes[0], 1), 0);
	cr_expect(spool_at_end(&probes[0].reader));
	cr_expect_eq(spool_memory(spool), 0);
}

Test(spool, a_reader_of_a_finished_empty_message_is_told)
{
	spool_finish(spool);
	add(1);
	pump();
	cr_expect_eq(probes[0].ready, 1);
	cr_expect(spool_at_end(&probes[0].reader));
}

Test(spool, ready_is_called_once_a_pass)
{
	add(1);
	put(100);
	put(100);
	spool_finish(spool);
	pump();
	cr_expect_eq(probes[0].ready, 1);
	pump();
	cr_expect_eq(probes[0].ready, 1);
	cr_expect_eq(take(&probes[0], SIZE_MAX), 200);
}

Test(spool, peeking_does_not_move)
{
	struct iovec a, b;

	add(1);
	put(1000);
	cr_assert_eq(spool_peek(&probes[0].reader, &a, 1), 1);
	cr_assert_eq(spool_peek(&probes[0].reader, &b, 1), 1);
	cr_expect_eq(a.iov_base, b.iov_base);
	cr_expect_eq(a.iov_len, 1000);
	spool_advance(&probes[0].reader, 400);
	cr_assert_eq(spool_peek(&probes[0].reader, &b, 1), 1);
	cr_expect_eq(b.iov_len, 600);
	check_bytes(&b, 400, 600);
	cr_expect_eq(spool_peek(&probes[0].reader, &b, 0), 0);
}

Test(spool, pieces_are_limited_by_max)
{
	struct iovec iov[2];

	add(1);
	put(WINDOW);
	cr_assert_eq(spool_peek(&probes[0].reader, iov, 1), 1);
	cr_assert_eq(spool_peek(&probes[0].reader, iov, 2), 2);
	check_bytes(&iov[0], 0, iov[0].iov_len);
	check_bytes(&iov[1], iov[0].iov_len, iov[1].iov_len);
	take_all(&probes[0]);
}

Test(spool, committing_less_than_reserved)
{
	size_t room, i;

	add(1);
	for (i = 0; i < 2000; i++) {
		char *to = spool_reserve(spool, &room);

		cr_assert_geq(room, 4 * KIB);
		memset(to, 'x', room);
		fill(to, spool_size(spool), i % 3 * 500);
		spool_commit(spool, i % 3 * 500);
		if (i % 50 == 0)
			take_all(&probes[0]);
	}
	take_all(&probes[0]);
	cr_expect_eq(spool_size(spool), (667 + 666 * 2) * 500);
}

Test(spool, without_readers_nothing_is_kept)
{
	put(10 * MIB);
	cr_expect_eq(spool_size(spool), 10 * MIB);
	cr_expect_not(spool_full(spool));
	cr_expect_leq(spool_memory(spool), 64 * KIB);
	spool_finish(spool);
	pump();
}

Test(spool, the_last_reader_to_leave_frees_the_memory)
{
	add(1);
	put(WINDOW + 1);
	cr_expect(spool_full(spool));
	spool_reader_remove(&probes[0].reader);
	cr_expect_not(spool_full(spool));
	cr_expect_leq(spool_memory(spool), 64 * KIB);
	pump();
	cr_expect_eq(writable_calls, 1);
	cr_expect_eq(probes[0].ready, 0, "not after the removal");
}

Test(spool, one_reader_more_than_the_window_behind_is_full)
{
	add(1);
	put(WINDOW);
	cr_expect_not(spool_full(spool));
	put(1);
	cr_expect(spool_full(spool));
	pump();
	cr_expect_eq(writable_calls, 0);
	take(&probes[0], 1);
	cr_expect_not(spool_full(spool));
	cr_expect_eq(writable_calls, 0, "not inside the call");
	pump();
	cr_expect_eq(writable_calls, 1);
	take_all(&probes[0]);
	pump();
	cr_expect_eq(writable_calls, 1);
	cr_expect_eq(open_files(), 0);
}

Test(spool, full_again_before_the_writer_heard_of_it)
{
	add(1);
	put(WINDOW + 1);
	take(&probes[0], 1);
	put(1);
	cr_expect(spool_full(spool));
	pump();
	cr_expect_eq(writable_calls, 0);
	take(&probes[0], 1);
	pump();
	cr_expect_eq(writable_calls, 1);
}

Test(spool, readers_that_are_slow_together_stop_the_writer)
{
	add(2);
	put(WINDOW + 10);
	take(&probes[0], WINDOW / 2);
	cr_expect(spool_full(spool));
	cr_expect_eq(open_files(), 0);
	/* Now one of them is at most half the window behind. */
	take(&probes[0], 10);
	cr_expect_not(spool_full(spool));
	cr_expect_eq(open_files(), 1);
	pump();
	cr_expect_eq(writable_calls, 1);
	take_all(&probes[0]);
	take_all(&probes[1]);
	cr_expect_eq(open_files(), 0);
}

Test(spool, a_slow_reader_catches_up_while_it_is_written)
{
	add(2);
	while (spool_size(spool) < 2 * MIB) {
		put(50 * KIB);
		take_all(&probes[0]);
	}
	while (spool_left(&probes[1].reader) > 0) {
		if (spool_size(spool) < 4 * MIB)
			put(50 * KIB);
		take_all(&probes[0]);
		take(&probes[1], 70 * KIB);
	}
	cr_expect_eq(open_files(), 0);
	cr_expect_leq(spool_memory(spool), WINDOW + 64 * KIB);
	/* And can fall behind again. */
	put(WINDOW + 1);
	take_all(&probes[0]);
	cr_expect_eq(open_files(), 1);
	spool_finish(spool);
	take_all(&probes[1]);
	cr_expect(spool_at_end(&probes[1].reader));
}

Test(spool, when_the_fast_one_leaves_the_slow_one_sets_the_pace)
{
	add(2);
	while (spool_size(spool) < 2 * MIB) {
		put(50 * KIB);
		take_all(&probes[0]);
	}
	take(&probes[1], 10);
	spool_reader_remove(&probes[0].reader);
	cr_expect(spool_full(spool));
	take(&probes[1], 2 * MIB - WINDOW - 1);
	while (spool_full(spool))
		take(&probes[1], 10 * KIB);
	pump();
	cr_expect_eq(writable_calls, 1);
	take_all(&probes[1]);
	cr_expect_eq(open_files(), 0);
	cr_expect_leq(spool_memory(spool), 64 * KIB);
}

Test(spool, when_the_slow_one_leaves_the_file_goes)
{
	add(2);
	put(WINDOW + 1);
	take_all(&probes[0]);
	take(&probes[1], 1);
	cr_expect_eq(open_files(), 1);
	spool_reader_remove(&probes[1].reader);
	cr_expect_eq(open_files(), 0);
	cr_expect_leq(spool_memory(spool), 64 * KIB);
}

Test(spool, a_window_smaller_than_a_chunk)
{
	restart(4 * KIB, dir);
	add(2);
	while (spool_size(spool) < MIB) {
		put(3 * KIB);
		take_all(&probes[0]);
		cr_assert_not(spool_full(spool), "at %ju",
			      (uintmax_t)spool_size(spool));
	}
	take_all(&probes[1]);
}

Test(spool, removing_is_idempotent)
{
	struct spool_reader none = { .pos = 0 };

	add(3);
	put(10);
	spool_reader_remove(&none);
	spool_reader_remove(&probes[0].reader);
	spool_reader_remove(&probes[0].reader);
	cr_expect_eq(spool_left(&probes[0].reader), 0);
	cr_expect_not(spool_at_end(&probes[0].reader));
	spool_free(&spool);
	cr_expect_null(spool);
	spool_free(&spool);
	spool_reader_remove(&probes[1].reader);
	cr_expect_eq(take(&probes[1], 1), 0);
	pump();
	cr_expect_eq(probes[2].ready, 0);
}

Test(spool, removing_inside_ready)
{
	add(3);
	probes[0].remove_in_ready = probes[1].remove_in_ready = true;
	put(WINDOW + 1);
	pump();
	cr_expect_eq(probes[2].ready, 1);
	take_all(&probes[2]);
	pump();
	cr_expect_eq(writable_calls, 1);
	cr_expect_eq(probes[0].ready, 1);
}

Test(spool, freeing_inside_ready)
{
	add(3);
	probes[1].free_in_ready = true;
	put(10);
	pump();
	cr_expect_null(spool);
	cr_expect_eq(probes[0].ready, 1);
	cr_expect_eq(probes[2].ready, 0);
}

Test(spool, a_directory_that_is_none)
{
	restart(WINDOW, "/dev/null");
	add(2);
	put(WINDOW + 1);
	cr_expect_not(probes[1].reader.lost);
	take_all(&probes[0]);
	cr_expect(probes[1].reader.lost);
	cr_expect_eq(probes[1].reader.error, ENOTDIR);
}

Test(spool, a_later_reader_can_be_lost_too)
{
	restart(WINDOW, "/nonexistent");
	add(3);
	put(WINDOW + 1);
	take_all(&probes[0]);
	cr_expect(probes[1].reader.lost && probes[2].reader.lost);
	spool_reader_remove(&probes[2].reader);
	put(WINDOW * 2);
	cr_expect(spool_full(spool), "nobody is ahead of a lost reader");
	take_all(&probes[0]);
	cr_expect_not(spool_full(spool));
}

Test(spool, only_who_needs_the_file_is_lost)
{
	restart(WINDOW, "/nonexistent");
	add(3);
	put(WINDOW);
	take_all(&probes[0]);
	take(&probes[1], WINDOW - 100);
	put(1);
	take_all(&probes[0]);
	cr_expect(probes[2].reader.lost);
	cr_expect_not(probes[1].reader.lost);
	cr_expect_not(spool_full(spool));
	take_all(&probes[1]);
}

static void stop_at_time(struct loop_timer *timer)
{
	loop_stop(timer->loop);
}

static void wait_ms(unsigned ms)
{
	struct loop_timer timer;

	loop_timer_open(&timer, loop, stop_at_time);
	loop_timer_set(&timer, ms);
	loop_run(loop);
	loop_timer_close(&timer);
}

static void write_till_full(void)
{
	settings.patience_ms = 50;
	restart(WINDOW, "/nonexistent");
	add(2);
	while (!spool_full(spool)) {
		cr_assert_lt(spool_size(spool), MIB);
		put(60 * KIB);
		take_all(&probes[0]);
	}
	cr_expect_not(probes[1].reader.lost);
}

Test(spool, without_a_file_a_late_reader_has_time_to_catch_up)
{
	write_till_full();
	take_all(&probes[1]);
	cr_expect_not(spool_full(spool));
	wait_ms(100);
	cr_expect_not(probes[0].reader.lost || probes[1].reader.lost);
}

Test(spool, without_a_file_a_stuck_reader_is_lost_in_the_end)
{
	write_till_full();
	take(&probes[1], 10);
	wait_ms(200);
	cr_expect(probes[1].reader.lost);
	cr_expect_eq(probes[1].reader.error, ENOENT);
	cr_expect_not(spool_full(spool), "the others go on");
	put(60 * KIB);
	take_all(&probes[0]);
	cr_expect_not(probes[0].reader.lost);
}

static void cut_the_file(void)
{
	char path[300], target[300];
	int fd;

	for (fd = 3; fd < 256; fd++) {
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		len = readlink(path, target, sizeof(target) - 1);
		if (len > 0 && strncmp(target, dir, strlen(dir)) == 0)
			cr_assert_eq(ftruncate(fd, 1000), 0);
	}
}

Test(spool, a_file_that_cannot_be_read_loses_its_reader)
{
	add(2);
	put(WINDOW + 1);
	take_all(&probes[0]);
	pump();
	probes[1].ready = 0;
	cut_the_file();
	cr_expect_eq(take(&probes[1], SIZE_MAX), 1000);
	cr_expect(probes[1].reader.lost);
	cr_expect_eq(probes[1].reader.error, EIO);
	cr_expect_eq(probes[1].ready, 0, "not inside the call");
	pump();
	cr_expect_eq(probes[1].ready, 1);
	cr_expect_eq(open_files(), 0);
	put(MIB);
	cr_expect(spool_full(spool));
	take_all(&probes[0]);
}

Test(spool, all_readers_lost)
{
	add(2);
	put(WINDOW + 1);
	take_all(&probes[0]);
	spool_reader_remove(&probes[0].reader);
	cut_the_file();
	take(&probes[1], SIZE_MAX);
	cr_expect(probes[1].reader.lost);
	put(MIB);
	cr_expect_not(spool_full(spool));
	cr_expect_leq(spool_memory(spool), 64 * KIB);
}

/* Makes open() refuse O_TMPFILE, as some file systems do. */
static void refuse_tmpfile(void)
{
	const uint32_t tmpfile_flag = O_TMPFILE & ~O_DIRECTORY;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, tmpfile_flag, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		cr_skip_test("no seccomp here");
	cr_assert_lt(open(dir, O_TMPFILE | O_RDWR, 0600), 0);
}

Test(spool, a_file_system_without_o_tmpfile)
{
	refuse_tmpfile();
	add(2);
	put(MIB);
	take_all(&probes[0]);
	cr_expect_eq(open_files(), 1);
	cr_expect_eq(rmdir(dir), 0, "the file has a name");
	take_all(&probes[1]);
	cr_expect_eq(mkdir(dir, 0700), 0);
}

/* --- random against the plain message --- */

struct script {
	uint32_t seed;
	uint64_t total;
	size_t slack; /* memory beyond the window that is fine */
};

static uint32_t next_random(struct script *script, uint32_t below)
{
	script->seed = script->seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)script->seed * below) >> 32);
}

static void random_write(struct script *script)
{
	size_t len = next_random(script, 40 * KIB), room;
	char *to;

	if (len > script->total - spool_size(spool))
		len = (size_t)(script->total - spool_size(spool));
	if (spool_finished(spool) || spool_full(spool))
		return;
	if (next_random(script, 2) == 0) {
		put(len);
	} else {
		to = spool_reserve(spool, &room);
		fill(to, spool_size(spool), len < room ? len : room);
		spool_commit(spool, len < room ? len : room);
	}
	if (spool_size(spool) == script->total)
		spool_finish(spool);
}

static void random_step(struct script *script, int count)
{
	uint32_t what = next_random(script, 100);
	struct probe *probe = &probes[next_random(script, (uint32_t)count)];
	int calls = writable_calls;
	bool was_full = spool_full(spool);

	if (what < 40)
		random_write(script);
	else if (what == 40 && next_random(script, 20) == 0)
		spool_reader_remove(&probe->reader);
	else if (what < 80) /* reader 0 is the fastest, and so on */
		take(probe, next_random(script, 60 * KIB) >>
				    (2 * (probe - probes)));
	else
		pump();
	cr_assert_leq(spool_memory(spool),
		      settings.window + script->slack);
	if (!was_full || spool_full(spool))
		return;
	pump();
	cr_assert_gt(writable_calls, calls, "the writer was not told");
}

static void random_run(uint32_t seed, size_t window, int count)
{
	struct script script = { seed, 0, (size_t)(count + 2) * 64 * KIB };
	int i, steps = 0;

	restart(window, dir);
	add(count);
	script.total = next_random(&script, 3 * MIB);
	while (!spool_finished(spool) && steps++ < 3000)
		random_step(&script, count);
	while (!spool_finished(spool)) {
		for (i = 0; i < count; i++)
			if (probes[i].reader.spool != NULL)
				take_all(&probes[i]);
		cr_assert_not(spool_full(spool), "stuck, seed %u", seed);
		random_write(&script);
	}
	for (i = 0; i < count; i++) {
		if (probes[i].reader.spool == NULL)
			continue;
		take_all(&probes[i]);
		cr_assert(spool_at_end(&probes[i].reader), "seed %u", seed);
	}
	cr_assert_eq(open_files(), 0);
}

Test(spool, random_readers)
{
	static const size_t windows[] = { 4 * KIB, 50 * KIB, WINDOW };
	uint32_t seed;

	for (seed = 1; seed <= 30; seed++)
		random_run(seed, windows[seed % 3], 1 + (int)seed % 4);
}

Test(spool, random_readers_and_a_full_disk)
{
	struct script script = { 7, 4 * MIB, 6 * 64 * KIB };
	int i, steps = 0;

	limit_files(400 * KIB);
	add(4);
	while (!spool_finished(spool)) {
		random_step(&script, 4);
		cr_assert_lt(steps++, 100000, "stuck");
	}
	for (i = 0; i < 4; i++) {
		struct spool_reader *reader = &probes[i].reader;

		if (reader->spool != NULL && !reader->lost)
			take_all(&probes[i]);
	}
	pump();
}
