#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "t/unit/spool_helper.h"

TestSuite(spool_file, .init = setup, .fini = teardown, .timeout = 60);

Test(spool_file, a_full_disk_loses_only_the_slow_reader)
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
	cr_expect(at_end(&probes[0]));
	cr_expect_not(at_end(&probes[1]));
	cr_expect_eq(probes[1].ready, 1, "lost is told once");
}

Test(spool_file, no_directory)
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

Test(spool_file, a_directory_that_is_none)
{
	restart(WINDOW, "/dev/null");
	add(2);
	put(WINDOW + 1);
	cr_expect_not(probes[1].reader.lost);
	take_all(&probes[0]);
	cr_expect(probes[1].reader.lost);
	cr_expect_eq(probes[1].reader.error, ENOTDIR);
}

Test(spool_file, a_later_reader_can_be_lost_too)
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

Test(spool_file, only_who_needs_the_file_is_lost)
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

Test(spool_file, without_a_file_a_late_reader_has_time_to_catch_up)
{
	write_till_full();
	take_all(&probes[1]);
	cr_expect_not(spool_full(spool));
	wait_ms(100);
	cr_expect_not(probes[0].reader.lost || probes[1].reader.lost);
}

Test(spool_file, without_a_file_a_stuck_reader_is_lost_in_the_end)
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

Test(spool_file, without_a_file_a_reader_that_drips_is_lost_in_the_end)
{
	int i;

	write_till_full();
	for (i = 0; i < 200 && !probes[1].reader.lost; i++) {
		take(&probes[1], 10);
		wait_ms(10);
	}
	cr_expect(probes[1].reader.lost);
	cr_expect_not(spool_full(spool));
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

Test(spool_file, a_file_that_cannot_be_read_loses_its_reader)
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

Test(spool_file, all_readers_lost)
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

Test(spool_file, a_file_system_without_o_tmpfile)
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
