#include "backends/local/quota/maildirsize.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "t/unit/maildir_tree_helper.h"

static struct quota_amount used;

static bool ignore_junk(const void *context, const char *mailbox)
{
	(void)context;
	return strcmp(mailbox, "Junk") == 0;
}

static void make_folder(const char *name)
{
	static const char *const subs[] = { "cur", "new", "tmp" };
	char path[128];
	size_t i;

	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s/x", name, subs[i]);
		unlink(files_write(&files, path, ""));
	}
}

static void setup(void)
{
	files_init(&files);
	locate(files.dir, "");
	make_folder(".");
}

TestSuite(maildirsize, .init = setup, .fini = teardown);

static struct maildirsize *with_limit(uint64_t bytes, uint64_t messages)
{
	const struct quota_amount limit = { bytes, messages };

	return maildirsize_new(&tree, &limit, true, ignore_junk, NULL);
}

static struct maildirsize *with_weak_limit(uint64_t bytes)
{
	const struct quota_amount limit = { bytes, 0 };

	return maildirsize_new(&tree, &limit, false, ignore_junk, NULL);
}

static void put_mail(const char *folder, unsigned number, unsigned size)
{
	char name[128];

	snprintf(name, sizeof(name), "%s/new/%u.M1P1.h,S=%u,W=%u", folder, number,
		 size, size);
	files_write(&files, name, "");
}

/* What the file says; "" when there is none. */
static const char *file(void)
{
	static struct str text;

	str_clear(&text);
	if (access(files_path(&files, "maildirsize"), F_OK) == 0)
		files_read(files.path, &text);
	return str_c(&text);
}

static void set_file(const char *text, long age)
{
	struct timespec times[2];

	files_write(&files, "maildirsize", text);
	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= age;
	times[1] = times[0];
	utimensat(AT_FDCWD, files.path, times, 0);
}

static void expect_get(struct maildirsize *size, uint64_t bytes,
		       uint64_t messages)
{
	cr_expect_eq(maildirsize_get(size, &used, &err), 0, "%s", err.text);
	cr_expect_eq(used.bytes, bytes, "%zu", (size_t)used.bytes);
	cr_expect_eq(used.messages, messages, "%zu", (size_t)used.messages);
	maildirsize_free(&size);
}

Test(maildirsize, made_of_what_is_there)
{
	make_folder(".Sent");
	make_folder(".Junk");
	put_mail(".", 1, 100);
	put_mail(".", 2, 50);
	put_mail(".Sent", 3, 7);
	put_mail(".Junk", 4, 1000);
	files_write(&files, "cur/without-size:2,S", "12345");
	files_write(&files, "cur/1.h,S=5:2,S", "");
	files_write(&files, "cur/..not", "12345");
	files_write(&files, "tmp/1.h,S=500", "");
	expect_get(with_limit(1000, 0), 167, 5);
	cr_expect_str_eq(file(), "1000S\n167 5\n");
}

Test(maildirsize, believed_when_it_is_good)
{
	put_mail(".", 1, 100);
	set_file("1000S,9C\n500 2\n-100 -1\n", 100000);
	expect_get(with_limit(1000, 9), 400, 1);
	cr_expect_str_eq(file(), "1000S,9C\n500 2\n-100 -1\n");
}

/* As "doveadm quota get" of Dovecot 2.3.19 does it: the same files, the same
 * decisions. */
Test(maildirsize, doubted)
{
	static const struct {
		const char *text;
		long age;
		bool doubted;
	} rows[] = {
		{ "1000S\n1000 9\n", 0, false },
		{ "1000S\n1001 9\n", 0, false },
		{ "1000S\n1001 9\n", 901, true },
		{ "1000S\n1001 9\n", 890, false },
		{ "1000S\n900 9\n101 1\n", 0, true },
		{ "1000S\n900 9\n100 1\n", 0, false },
		{ "1000S\n1100 9\n-200 1\n", 0, false },
		{ "1001S\n1 1\n", 0, true },
		{ "1000S,5C\n1 1\n", 0, true },
		{ "1000S,0C\n1 1\n", 0, false },
		{ "1000S", 0, true },
		{ "", 0, true },
		{ "1000S\nx\n", 0, true },
	};
	size_t i;

	put_mail(".", 1, 200);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct maildirsize *size = with_limit(1000, 0);

		set_file(rows[i].text, rows[i].age);
		cr_expect_eq(maildirsize_get(size, &used, &err), 0);
		cr_expect_str_eq(file(), rows[i].doubted ? "1000S\n200 1\n" :
							   rows[i].text);
		cr_expect_eq(used.bytes == 200, rows[i].doubted, "%s",
			     rows[i].text);
		maildirsize_free(&size);
	}
}

Test(maildirsize, doubted_when_it_is_long)
{
	struct str text = STR_INIT;
	unsigned i;

	put_mail(".", 1, 200);
	str_puts(&text, "1000S\n500 1\n");
	for (i = 0; i < 1276; i++)
		str_puts(&text, "0 0\n");
	cr_assert_eq(text.len, 5116);
	set_file(str_c(&text), 0);
	expect_get(with_limit(1000, 0), 500, 1);
	str_puts(&text, "0 0\n");
	set_file(str_c(&text), 0);
	expect_get(with_limit(1000, 0), 200, 1);
	cr_expect_str_eq(file(), "1000S\n200 1\n");
	str_free(&text);
}

Test(maildirsize, its_limit_holds_against_a_weak_one)
{
	struct maildirsize *size = with_weak_limit(1000);

	put_mail(".", 1, 200);
	set_file("300S,7C\n100 1\n", 0);
	cr_expect_eq(maildirsize_get(size, &used, &err), 0);
	cr_expect_eq(maildirsize_limit(size).bytes, 300);
	cr_expect_eq(maildirsize_limit(size).messages, 7);
	/* also when it is made anew */
	set_file("300S,7C\nx\n", 0);
	expect_get(size, 200, 1);
	cr_expect_str_eq(file(), "300S,7C\n200 1\n");
	/* but not when it cannot be read */
	set_file("x\n1 1\n", 0);
	expect_get(with_weak_limit(1000), 200, 1);
	cr_expect_str_eq(file(), "1000S\n200 1\n");
}

Test(maildirsize, neither_file_nor_limit)
{
	struct maildirsize *size = with_weak_limit(0);
	const struct quota_amount more = { 50, 1 };

	put_mail(".", 1, 200);
	cr_expect_eq(maildirsize_get(size, &used, &err), 0);
	cr_expect_eq(used.bytes, 0);
	cr_expect_str_eq(file(), "");
	/* as in Dovecot, the first mail changes that */
	put_mail(".", 2, 50);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), 0, "%s", err.text);
	cr_expect_str_eq(file(), "0S\n250 2\n");
	cr_expect_eq(used.bytes, 250);
	maildirsize_free(&size);
}

Test(maildirsize, adding)
{
	struct maildirsize *size = with_limit(1000, 0);
	const struct quota_amount more = { 50, 1 };

	set_file("1000S\n100 1\n", 0);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), 0);
	cr_expect_eq(used.bytes, 150);
	cr_expect_eq(used.messages, 2);
	cr_expect_str_eq(file(), "1000S\n100 1\n50 1\n");
	maildirsize_begin(size);
	maildirsize_begin(size);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), 0);
	cr_expect_eq(used.bytes, 200);
	cr_expect_str_eq(file(), "1000S\n100 1\n50 1\n50 1\n");
	maildirsize_free(&size);
}

/* What is there already must not be added to that. */
Test(maildirsize, adding_to_what_is_not_good)
{
	struct maildirsize *size = with_limit(1000, 0);
	const struct quota_amount more = { 50, 1 };

	put_mail(".", 1, 50);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), 0);
	cr_expect_str_eq(file(), "1000S\n50 1\n");
	set_file("1000S\n5 1", 0);
	maildirsize_begin(size);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), 0);
	cr_expect_str_eq(file(), "1000S\n50 1\n");
	/* nor is more than one line of a full mailbox believed */
	set_file("1000S\n990 1\n", 0);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), 0);
	cr_expect_str_eq(file(), "1000S\n50 1\n");
	cr_expect_eq(used.bytes, 50);
	maildirsize_free(&size);
}

/* As Dovecot does it, which does not know of locks. */
Test(maildirsize, another_file_comes_in_between)
{
	struct maildirsize *size = with_limit(1000, 0);
	const struct quota_amount more = { 50, 1 };
	char from[512];

	set_file("1000S\n100 1\n", 0);
	maildirsize_begin(size);
	snprintf(from, sizeof(from), "%s",
		 files_write(&files, "other", "1000S\n300 3\n"));
	cr_assert_eq(rename(from, files_path(&files, "maildirsize")), 0);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), 0);
	cr_expect_str_eq(file(), "1000S\n300 3\n50 1\n");
	maildirsize_free(&size);
}

Test(maildirsize, control_directory)
{
	struct maildirsize *size;
	char rest[128];
	struct stat st;

	snprintf(rest, sizeof(rest), ":CONTROL=%s/control", files.dir);
	locate(files.dir, rest);
	put_mail(".", 1, 50);
	size = with_limit(1000, 0);
	cr_expect_eq(maildirsize_recalculate(size, &used, &err), 0, "%s", err.text);
	cr_expect_eq(stat(files_path(&files, "control/maildirsize"), &st), 0);
	cr_expect_neq(stat(files_path(&files, "maildirsize"), &st), 0);
	maildirsize_free(&size);
}

/* Where there is no tmp beside it. */
Test(maildirsize, inbox_elsewhere)
{
	char rest[128];

	snprintf(rest, sizeof(rest), ":INBOX=%s/I", files.dir);
	cr_assert_eq(rmdir(files_path(&files, "tmp")), 0);
	locate(files.dir, rest);
	put_mail("I", 1, 50);
	put_mail(".", 1, 1000);
	expect_get(with_limit(1000, 0), 50, 1);
	cr_expect_str_eq(file(), "1000S\n50 1\n");
}

Test(maildirsize, mode_of_the_maildir)
{
	struct stat st;

	expect_get(with_limit(1000, 0), 0, 0);
	cr_assert_eq(stat(files_path(&files, "maildirsize"), &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
	unlink(files.path);
	chmod(files.dir, 0775);
	expect_get(with_limit(1000, 0), 0, 0);
	cr_assert_eq(stat(files_path(&files, "maildirsize"), &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0664);
}

Test(maildirsize, nothing_is_left_in_tmp)
{
	char command[128];

	put_mail(".", 1, 50);
	expect_get(with_limit(1000, 0), 50, 1);
	cr_expect_str_eq(file(), "1000S\n50 1\n");
	/* rmdir() is for empty directories */
	snprintf(command, sizeof(command), "%s/tmp", files.dir);
	cr_expect_eq(rmdir(command), 0);
}

/* A user whose first mail this is. */
Test(maildirsize, no_maildir_yet)
{
	locate(files_path(&files, "gone"), "");
	expect_get(with_limit(1000, 0), 0, 0);
	cr_expect_neq(access(files_path(&files, "gone"), F_OK), 0);
}

Test(maildirsize, what_is_no_file)
{
	struct maildirsize *size = with_limit(1000, 0);
	const struct quota_amount more = { 50, 1 };

	cr_assert_eq(mkfifo(files_path(&files, "maildirsize"), 0600), 0);
	cr_expect_eq(maildirsize_get(size, &used, &err), -1);
	cr_expect(strstr(err.text, "/maildirsize is no file: remove it") != NULL,
		  "%s", err.text);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), -1);
	maildirsize_free(&size);
}

/* The count is known, and only adding needs the file. */
Test(maildirsize, cannot_be_written)
{
	struct maildirsize *size = with_limit(1000, 0);
	const struct quota_amount more = { 50, 1 };

	put_mail(".", 1, 50);
	set_file("broken", 0);
	cr_assert_eq(rmdir(files_path(&files, "tmp")), 0);
	files_write(&files, "tmp", "no directory");
	cr_expect_eq(maildirsize_get(size, &used, &err), 0);
	cr_expect_eq(used.bytes, 50);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), -1);
	cr_expect(strstr(err.text, "cannot write ") != NULL, "%s", err.text);
	cr_expect_eq(maildirsize_recalculate(size, &used, &err), -1);
	cr_expect_eq(used.bytes, 50);
	maildirsize_free(&size);
}

Test(maildirsize, there_is_no_tmp)
{
	struct maildirsize *size = with_limit(1000, 0);
	const struct quota_amount more = { 50, 1 };

	put_mail(".", 1, 50);
	cr_assert_eq(rmdir(files_path(&files, "tmp")), 0);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), 0, "%s", err.text);
	cr_expect_eq(used.bytes, 50);
	cr_expect_str_eq(file(), "1000S\n50 1\n");
	maildirsize_free(&size);
}

/* Whoever looks next does not believe half a line. */
Test(maildirsize, no_space_in_the_middle_of_a_line)
{
	struct maildirsize *size = with_limit(1000, 0);
	const struct quota_amount more = { 50, 1 };
	struct rlimit limit, before;

	put_mail(".", 1, 50);
	set_file("1000S\n100 1\n", 0);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = strlen("1000S\n100 1\n50");
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), -1);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	cr_expect(strstr(err.text, "cannot write to ") != NULL &&
		  strstr(err.text, "/maildirsize: No space left on device") !=
			  NULL, "%s", err.text);
	cr_expect_str_eq(file(), "1000S\n100 1\n50");
	expect_get(size, 50, 1);
	cr_expect_str_eq(file(), "1000S\n50 1\n");
}

/* The more writers, the longer they wait for each other. */
#define WRITERS 4
#define MAILS 220

/* Half of them go on for a while when nobody disturbs them any more: otherwise the
 * last file that is made anew would put all errors right. */
static unsigned mails_of(unsigned writer)
{
	return writer < WRITERS / 2 ? MAILS : MAILS + 50;
}

/* Saves mails of many sizes, as a delivery does. */
static void deliver(unsigned writer)
{
	struct quota_amount more = { 0, 1 };
	char from[512], to[512];
	unsigned i;

	for (i = 0; i < mails_of(writer); i++) {
		struct maildirsize *size = with_limit(0, 0);

		more.bytes = writer * 1000 + i;
		snprintf(from, sizeof(from), "%s/tmp/%u.%u", files.dir, writer, i);
		snprintf(to, sizeof(to), "%s/new/%u.%u.h,S=%u", files.dir, writer,
			 i, (unsigned)more.bytes);
		close(open(from, O_CREAT | O_WRONLY, 0600));
		if (maildirsize_get(size, &used, &err) < 0)
			_exit(1);
		maildirsize_begin(size);
		if (rename(from, to) < 0 ||
		    maildirsize_add(size, &more, &used, &err) < 0)
			_exit(2);
		maildirsize_free(&size);
	}
	_exit(0);
}

/* Has the file made anew all the time, or broken. */
static void disturb(bool spoil)
{
	for (;;) {
		struct maildirsize *size = with_limit(0, 0);
		int fd;

		if (spoil) {
			fd = open(files_path(&files, "maildirsize"),
				  O_WRONLY | O_APPEND);
			if (fd >= 0) {
				(void)!write(fd, "x\n", 2);
				close(fd);
			}
			usleep(3000);
		} else if (maildirsize_recalculate(size, &used, &err) < 0) {
			_exit(1);
		}
		maildirsize_free(&size);
	}
}

static void end_of(const pid_t *pids, unsigned from, unsigned to, bool killed)
{
	unsigned i;
	int status;

	for (i = from; i < to; i++) {
		if (killed)
			kill(pids[i], SIGKILL);
		cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
		cr_expect_eq(WIFSIGNALED(status), killed);
		if (!killed)
			cr_expect_eq(status, 0, "%x", status);
	}
}

static void storm(unsigned disturbers, bool spoil)
{
	struct quota_amount all = { 0, 0 };
	pid_t writers[WRITERS], others[2];
	unsigned i, j;

	for (i = 0; i < disturbers; i++) {
		others[i] = fork();
		if (others[i] == 0)
			disturb(spoil && i == 0);
	}
	for (i = 0; i < WRITERS; i++) {
		writers[i] = fork();
		if (writers[i] == 0)
			deliver(i);
		for (j = 0; j < mails_of(i); j++)
			all.bytes += i * 1000 + j;
		all.messages += mails_of(i);
	}
	end_of(writers, 0, WRITERS / 2, false);
	end_of(others, 0, disturbers, true);
	end_of(writers, WRITERS / 2, WRITERS, false);
	expect_get(with_limit(0, 0), all.bytes, all.messages);
}

/* More lines than fit: it is made anew meanwhile. No mail counts twice, none is
 * forgotten. */
Test(maildirsize, many_writers)
{
	storm(0, false);
}

Test(maildirsize, many_writers_while_it_is_made_anew)
{
	storm(2, false);
}

Test(maildirsize, many_writers_while_it_breaks)
{
	storm(1, true);
}

/* A lock of somebody who hangs holds nobody up for ever. */
Test(maildirsize, somebody_hangs)
{
	const struct quota_amount more = { 50, 1 };
	struct maildirsize *hangs = with_limit(1000, 0);
	struct maildirsize *size = with_limit(1000, 0);

	put_mail(".", 1, 50);
	set_file("1000S\nx\n", 0);
	maildirsize_begin(hangs);
	cr_expect_eq(maildirsize_add(size, &more, &used, &err), 0);
	cr_expect_str_eq(file(), "1000S\n50 1\n");
	maildirsize_free(&hangs);
	maildirsize_free(&size);
}
