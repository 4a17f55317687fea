#include "lib/rawlog.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/str.h"
#include "t/files.h"

static struct files files;
static atomic_uint counter;
static struct str text;

static void setup(void)
{
	files_init(&files);
	atomic_init(&counter, 0);
	text = (struct str)STR_INIT;
}

static void teardown(void)
{
	files_done(&files);
	str_free(&text);
}

TestSuite(rawlog, .init = setup, .fini = teardown);

static bool matches(const char *pattern, const char *what)
{
	regex_t regex;
	bool found;

	cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	found = regexec(&regex, what, 0, NULL, 0) == 0;
	regfree(&regex);
	return found;
}

/* The path of the only file with that end, or "" when there is none. */
static const char *find(const char *end)
{
	static char path[512];
	const char *name = "";
	struct dirent *entry;
	DIR *dir = opendir(files.dir);

	path[0] = '\0';
	while ((entry = readdir(dir)) != NULL) {
		name = entry->d_name;
		if (strlen(name) < strlen(end) ||
		    strcmp(name + strlen(name) - strlen(end), end) != 0)
			continue;
		cr_assert_str_empty(path, "two: %s and %s", path, name);
		snprintf(path, sizeof(path), "%s/%s", files.dir, name);
	}
	closedir(dir);
	return path;
}

static struct rawlog *opened(void)
{
	struct rawlog *rawlog;
	struct err err = { "" };

	cr_assert_eq(rawlog_open(files.dir, &counter, &rawlog, &err), 1, "%s",
		     err.text);
	return rawlog;
}

static void put(struct rawlog *rawlog, enum rawlog_direction direction,
		const char *data)
{
	struct err err = { "" };

	cr_assert_eq(rawlog_write(rawlog, direction, data, strlen(data), &err),
		     0, "%s", err.text);
}

static void check_file(const char *end, const char *pattern)
{
	str_clear(&text);
	files_read(find(end), &text);
	cr_assert(matches(pattern, str_c(&text)), "%s: '%s'", end,
		  str_c(&text));
}

#define STAMP "[0-9]{10}\\.[0-9]{6} "

Test(rawlog, names_and_lines)
{
	struct rawlog *rawlog = opened();
	char pattern[128];
	struct stat st;

	put(rawlog, RAWLOG_OUT, "220 hi\r\n");
	put(rawlog, RAWLOG_IN, "LHLO a\r\nNOOP\r\n");
	put(rawlog, RAWLOG_OUT, "250-b\r\n250 c\r\n");
	rawlog_free(&rawlog);
	cr_assert_null(rawlog);
	check_file(".1.in", "^" STAMP "LHLO a\r\n" STAMP "NOOP\r\n$");
	check_file(".1.out", "^" STAMP "220 hi\r\n" STAMP "250-b\r\n" STAMP
			     "250 c\r\n$");
	snprintf(pattern, sizeof(pattern),
		 "/[0-9]{8}-[0-9]{6}\\.%ld\\.1\\.in$", (long)getpid());
	cr_assert(matches(pattern, find(".in")), "%s", find(".in"));
	cr_assert_eq(stat(find(".in"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	cr_assert_eq(stat(find(".out"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
}

/* A line that comes in parts has one time; so has an empty one. */
Test(rawlog, parts_of_lines)
{
	struct rawlog *rawlog = opened();

	put(rawlog, RAWLOG_IN, "RS");
	put(rawlog, RAWLOG_OUT, "x\n");
	put(rawlog, RAWLOG_IN, "");
	put(rawlog, RAWLOG_IN, "ET\r");
	put(rawlog, RAWLOG_IN, "\n\n");
	put(rawlog, RAWLOG_IN, "NOOP");
	rawlog_free(&rawlog);
	check_file(".in", "^" STAMP "RSET\r\n" STAMP "\n" STAMP "NOOP$");
}

Test(rawlog, any_bytes_and_many)
{
	static char data[100000];
	struct rawlog *rawlog = opened();
	struct err err;
	size_t i, bytes = 0, stamps = 0;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (char)(i % 251);
	cr_assert_eq(rawlog_write(rawlog, RAWLOG_IN, data, sizeof(data), &err),
		     0);
	rawlog_free(&rawlog);
	files_read(find(".in"), &text);
	/* Past the times, it is what was written. */
	for (i = 0; i < text.len && bytes < sizeof(data); i++) {
		if (i == 0 || text.data[i - 1] == '\n') {
			stamps++;
			i += strlen("1700000000.123456 ");
		}
		cr_assert_eq(text.data[i], data[bytes++], "at %zu", i);
	}
	cr_assert_eq(bytes, sizeof(data));
	cr_assert_eq(i, text.len);
	cr_assert_eq(stamps, 400);
}

Test(rawlog, each_has_its_own_files)
{
	struct rawlog *a = opened(), *b = opened();

	put(a, RAWLOG_IN, "one\n");
	put(b, RAWLOG_IN, "two\n");
	rawlog_free(&a);
	rawlog_free(&b);
	check_file(".1.in", "^" STAMP "one\n$");
	check_file(".2.in", "^" STAMP "two\n$");
	check_file(".2.out", "^$");
}

Test(rawlog, no_directory_no_log)
{
	struct rawlog *rawlog = (struct rawlog *)&files;
	struct err err = { "" };

	cr_assert_eq(rawlog_open(files_path(&files, "none"), &counter, &rawlog,
				 &err), 0);
	cr_assert_null(rawlog);
	cr_assert_str_eq(err.text, "");
	cr_assert_eq(rawlog_write(rawlog, RAWLOG_IN, "x", 1, &err), 0);
	rawlog_free(&rawlog);
}

Test(rawlog, no_directory_but_a_file)
{
	struct rawlog *rawlog;
	struct err err = { "" };
	const char *path = files_write(&files, "file", "");

	cr_assert_eq(rawlog_open(path, &counter, &rawlog, &err), -1);
	cr_assert_null(rawlog);
	cr_assert_not_null(strstr(err.text, "Not a directory"), "%s",
			   err.text);
}

/* What is there stays as it is, whoever put it there. */
Test(rawlog, names_that_are_taken)
{
	struct rawlog *rawlog;
	struct err err = { "" };
	char stamp[32], name[80];
	time_t now = time(NULL), at;
	struct tm tm;

	for (at = now; at < now + 30; at++) {
		localtime_r(&at, &tm);
		strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
		snprintf(name, sizeof(name), "%s.%ld.1.out", stamp,
			 (long)getpid());
		cr_assert_eq(symlink("/dev/null", files_path(&files, name)), 0);
	}
	cr_assert_eq(rawlog_open(files.dir, &counter, &rawlog, &err), -1);
	cr_assert_not_null(strstr(err.text, "File exists"), "%s", err.text);
	cr_assert_str_empty(find(".in"));
	rawlog = opened();
	rawlog_free(&rawlog);
	check_file(".2.in", "^$");
}

Test(rawlog, one_error_then_silence)
{
	struct rawlog *rawlog = opened();
	struct rlimit limit = { 30, RLIM_INFINITY };
	struct err err = { "" };

	signal(SIGXFSZ, SIG_IGN);
	put(rawlog, RAWLOG_IN, "ok\n");
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(rawlog_write(rawlog, RAWLOG_IN, "too much\n", 9, &err),
		     -1);
	limit.rlim_cur = RLIM_INFINITY;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_not_null(strstr(err.text, ".1.in: File too large"), "%s",
			   err.text);
	put(rawlog, RAWLOG_IN, "more\n");
	put(rawlog, RAWLOG_OUT, "more\n");
	rawlog_free(&rawlog);
	str_clear(&text);
	files_read(find(".in"), &text);
	cr_assert_null(strstr(str_c(&text), "more"));
	check_file(".out", "^$");
}
