/* The C library's connection to syslog, in a process that closes what it does not know. */
#include "lib/log/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>


#define FILES 64
#define SYSLOGD 500 /* a descriptor, far from those that are given away next */

/* Only for this process. False: it may not. */
static bool make_syslog(void)
{
	const struct sockaddr_un addr = { AF_UNIX, "/dev/log" };
	int fd;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/dev", "tmpfs", 0, NULL) < 0)
		return false;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	cr_assert_eq(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(dup2(fd, SYSLOGD), SYSLOGD);
	close(fd);
	return true;
}

static bool got_line(const char *text)
{
	char line[1024];
	ssize_t got = recv(SYSLOGD, line, sizeof(line) - 1, 0);

	line[got > 0 ? got : 0] = '\0';
	return strstr(line, text) != NULL && strstr(line, "who: ") != NULL;
}

static unsigned count_empty(const int *files, int count)
{
	struct stat st;
	unsigned empty = 0;
	int i;

	for (i = 0; i < count; i++)
		empty += fstat(files[i], &st) == 0 && S_ISREG(st.st_mode) &&
			 st.st_size == 0;
	return empty;
}

/* In a process that has no other descriptors than these. Returns what went wrong. */
static const char *log_over_files(void)
{
	int files[FILES], i;

	log_error(NULL, "before");
	log_flush();
	if (!got_line("before"))
		return "the first line does not come";
	log_disconnect();
	close_range(STDERR_FILENO + 1, SYSLOGD - 1, 0);
	for (i = 0; i < FILES; i++)
		files[i] = memfd_create("file", 0);
	log_error(NULL, "behind");
	log_flush();
	if (!got_line("behind"))
		return "the second line does not come";
	if (count_empty(files, FILES) < FILES)
		return "a file was closed, or written to";
	log_close();
	return count_empty(files, FILES) < FILES ? "a file was closed" : NULL;
}

Test(log_syslog, what_gets_its_number_is_left_alone, .timeout = 20)
{
	const struct log_settings settings = {
		.path = "syslog", .info_path = "", .debug_path = "",
		.timestamp = "", .syslog_facility = "mail", .ident = "who",
		.prefix = "",
	};
	const char *wrong;
	struct err err;
	int status;
	pid_t pid;

	if (!make_syslog())
		cr_skip_test("needs root");
	cr_assert_eq(log_open(&settings, &err), 0, "%s", err.text);
	pid = fork();
	if (pid == 0) {
		wrong = log_over_files();
		if (wrong != NULL)
			fprintf(stderr, "%s\n", wrong);
		_exit(wrong != NULL);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}
