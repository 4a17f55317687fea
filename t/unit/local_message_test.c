/* The message as local delivery gets it. */
#include "backends/local/message.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/str.h"

#define MEMORY 4096

static struct loop *loop;
static struct spool *spool;
static struct local_message message;
static struct str content;
static unsigned calls;
static char dir[64];

static void not_writable(void *owner)
{
	(void)owner;
}

static void done(struct local_message *done_message)
{
	cr_assert_eq(done_message, &message);
	calls++;
}

static bool only_names; /* a file system without O_TMPFILE */

int open(const char *path, int flags, ...)
{
	va_list args;
	int mode;

	va_start(args, flags);
	mode = va_arg(args, int);
	va_end(args);
	if (only_names && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void setup(void)
{
	const struct spool_settings settings = { .window = 131072,
						 .dir = "/tmp" };

	strcpy(dir, "/tmp/waypost-mail-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	loop = loop_new();
	spool = spool_new(loop, &settings, not_writable, NULL);
}

static void teardown(void)
{
	local_message_stop(&message);
	spool_free(&spool);
	loop_free(&loop);
	str_free(&content);
	cr_assert_eq(rmdir(dir), 0, "a file was left");
}

TestSuite(local_message, .init = setup, .fini = teardown, .timeout = 60);

static void stop(struct loop_timer *timer)
{
	loop_stop(timer->loop);
}

/* What is deferred runs. */
static void pass(void)
{
	struct loop_timer timer;

	loop_timer_open(&timer, loop, stop);
	loop_timer_set(&timer, 0);
	loop_run(loop);
	loop_timer_close(&timer);
}

static void start(enum smtp_form form)
{
	local_message_start(&message, spool, form, MEMORY, dir, done,
			    NULL);
}

static void append(const char *text)
{
	spool_append(spool, text, strlen(text));
	pass();
}

static void finish(void)
{
	spool_finish(spool);
	pass();
	cr_assert_eq(calls, 1);
	cr_assert_eq(message.error, 0, "%s", strerror(message.error));
	cr_assert(message.complete);
	str_clear(&content);
	str_reserve(&content, message.size + 1);
	cr_assert_eq(pread(message.fd, content.data, message.size + 1, 0),
		     (ssize_t)message.size);
	str_grown(&content, message.size);
}

Test(local_message, dots_are_taken_out_and_lines_end_with_lf)
{
	start(SMTP_FORM_DOTS);
	append("Subject: x\r\n\r\n..dot\r\n...\r\nend.\r\n");
	finish();
	cr_assert_str_eq(str_c(&content), "Subject: x\n\n.dot\n..\nend.\n");
}

Test(local_message, however_it_is_cut)
{
	const char *text = "a\r\n..b\r\n\r\n..\r\nc\rd\r\r\ne\nf\r\n";
	char one[2] = "";

	start(SMTP_FORM_DOTS);
	for (; *text != '\0'; text++) {
		one[0] = *text;
		append(one);
	}
	finish();
	cr_assert_str_eq(str_c(&content), "a\n.b\n\n.\nc\rd\r\ne\nf\n");
}

Test(local_message, chunks_are_not_stuffed)
{
	start(SMTP_FORM_OCTETS);
	append("..a\r\n.\r\nb\r");
	finish();
	cr_assert_str_eq(str_c(&content), "..a\n.\nb\r");
}

Test(local_message, nothing_at_all)
{
	start(SMTP_FORM_DOTS);
	finish();
	cr_assert_eq(message.size, 0);
}

/* A user's process must not change what others get. */
static void expect_read_only(void)
{
	char path[64];

	cr_assert_lt(write(message.fd, "x", 1), 0);
	cr_assert_lt(ftruncate(message.fd, 0), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", message.fd);
	if (geteuid() != 0)
		cr_assert_lt(open(path, O_WRONLY), 0);
}

Test(local_message, a_small_one_is_sealed)
{
	start(SMTP_FORM_DOTS);
	append("hello\r\n");
	finish();
	cr_assert(message.in_memory);
	expect_read_only();
	cr_assert_eq(fcntl(message.fd, F_GET_SEALS) & F_SEAL_WRITE,
		     F_SEAL_WRITE);
}

/* What the system calls the file that it is in. */
static const char *name_of_file(void)
{
	static char name[256];
	char own[64];
	ssize_t len;

	snprintf(own, sizeof(own), "/proc/self/fd/%d", message.fd);
	len = readlink(own, name, sizeof(name) - 1);
	cr_assert_gt(len, 0);
	name[len] = '\0';
	return name;
}

static void keep_large_one(void)
{
	char *text = mem_alloc(3 * MEMORY + 1);
	unsigned i;

	for (i = 0; i < 3 * MEMORY; i += 64) {
		memset(text + i, 'a' + (int)(i / 64 % 26), 64);
		memcpy(text + i + 62, "\r\n", 2);
	}
	start(SMTP_FORM_DOTS);
	append("first\r\n");
	append(text);
	append("last\r\n");
	finish();
	cr_assert_not(message.in_memory);
	expect_read_only();
	cr_assert_eq(message.size, 6 + 3 * MEMORY / 64 * 63 + 5);
	cr_assert_eq(memcmp(content.data, "first\naaa", 9), 0);
	cr_assert_str_eq(content.data + message.size - 6, "\nlast\n");
	mem_free(&text);
}

Test(local_message, a_large_one_goes_to_a_file_that_has_no_name)
{
	keep_large_one();
	cr_assert_null(strstr(name_of_file(), "waypost.mail"), "%s",
		       name_of_file());
}

Test(local_message, where_files_have_names_it_is_taken_away)
{
	only_names = true;
	keep_large_one();
	cr_assert_not_null(strstr(name_of_file(), "waypost.mail"), "%s",
			   name_of_file());
	cr_assert_not_null(strstr(name_of_file(), " (deleted)"));
}

Test(local_message, no_place_for_the_file)
{
	char *text = mem_alloc(2 * MEMORY + 1);

	memset(text, 'x', 2 * MEMORY);
	local_message_start(&message, spool, SMTP_FORM_DOTS, MEMORY,
			    "/nonexistent", done, NULL);
	append(text);
	cr_assert_eq(calls, 1);
	cr_assert_eq(message.error, ENOENT);
	cr_assert_not(message.complete);
	append(text);
	spool_finish(spool);
	pass();
	cr_assert_eq(calls, 1);
	mem_free(&text);
}

Test(local_message, stopped_in_the_middle)
{
	start(SMTP_FORM_DOTS);
	append("half of\r\n");
	local_message_stop(&message);
	local_message_stop(&message);
	append("it\r\n");
	spool_finish(spool);
	pass();
	cr_assert_eq(calls, 0);
}
