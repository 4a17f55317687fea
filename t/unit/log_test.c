#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "lib/str.h"

static char dir[64];
static char path[96], info_path[96], debug_path[96], moved[96];
static struct log_settings settings;
static struct err err;

static void setup(void)
{
	strcpy(dir, "/tmp/log_test.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/main.txt", dir);
	snprintf(info_path, sizeof(info_path), "%s/info.txt", dir);
	snprintf(debug_path, sizeof(debug_path), "%s/debug.txt", dir);
	snprintf(moved, sizeof(moved), "%s/moved.txt", dir);
	settings = (struct log_settings){
		.path = path,
		.info_path = "",
		.debug_path = "",
		.timestamp = "",
		.syslog_facility = "mail",
		.prefix = "p: ",
	};
}

static void teardown(void)
{
	log_close();
	unlink(path);
	unlink(info_path);
	unlink(debug_path);
	unlink(moved);
	rmdir(dir);
}

TestSuite(log, .init = setup, .fini = teardown, .timeout = 20);

static void start(void)
{
	cr_assert_eq(log_open(&settings, &err), 0, "%s", err.text);
}

static struct str contents(const char *name)
{
	struct str text = STR_INIT;
	int fd = open(name, O_RDONLY);
	ssize_t got;

	cr_assert_geq(fd, 0, "no file %s", name);
	while ((got = read(fd, str_reserve(&text, 65536), 65536)) > 0)
		str_grown(&text, (size_t)got);
	str_grown(&text, 0);
	close(fd);
	return text;
}

static void expect(const char *name, const char *wanted)
{
	struct str text = contents(name);

	cr_assert_str_eq(str_c(&text), wanted, "%s holds: %s", name,
			 str_c(&text));
	str_free(&text);
}

Test(log, texts_are_written_as_they_are)
{
	const struct log_ctx ctx = { NULL, "me" };

	start();
	log_info(&ctx, "%s", "100%s\n\\");
	log_debug(&ctx, "off");
	log_error(NULL, "%s", "");
	expect(path, "p: Info: me: 100%s\\x0a\\x5c\np: Error: \n");
}

Test(log, a_line_is_made_of_pieces)
{
	const struct log_ctx ctx = { NULL, "me" };
	struct str *line;

	start();
	log_info(NULL, "before");
	line = log_begin(LOG_LEVEL_INFO, &ctx);
	str_puts(line, "one");
	str_printf(line, " %s", "two\n");
	log_end();
	log_begin(LOG_LEVEL_WARNING, NULL);
	log_end();
	cr_assert_null(log_begin(LOG_LEVEL_DEBUG, NULL));
	log_error(NULL, "behind");
	expect(path, "p: Info: before\np: Info: me: one two\\x0a\n"
		     "p: Warning: \np: Error: behind\n");
}

Test(log, a_context_may_leave_no_room_for_the_text)
{
	char name[9000];
	const struct log_ctx ctx = { NULL, name };
	struct str text;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	start();
	log_error(&ctx, "lost");
	text = contents(path);
	cr_assert_lt(text.len, 8192 + 8);
	cr_assert_str_eq(strstr(str_c(&text), "n ["), "n [...]\n");
	str_free(&text);
}

Test(log, lines_wait_for_the_flush_and_errors_do_not)
{
	start();
	log_info(NULL, "one %d", 1);
	log_warning(NULL, "two");
	expect(path, "");
	log_flush();
	expect(path, "p: Info: one 1\np: Warning: two\n");
	log_info(NULL, "three");
	log_error(NULL, "four");
	expect(path, "p: Info: one 1\np: Warning: two\n"
		     "p: Info: three\np: Error: four\n");
	log_fatal(NULL, "five");
	expect(path, "p: Info: one 1\np: Warning: two\n"
		     "p: Info: three\np: Error: four\np: Fatal: five\n");
}

Test(log, contexts_come_outermost_first)
{
	struct log_ctx outer = { NULL, "session" };
	struct log_ctx silent = { &outer, NULL };
	struct log_ctx inner = { &silent, "a\nb" };

	start();
	log_error(&inner, "x");
	log_error(&inner, "c\\d");
	expect(path, "p: Error: session: a\\x0ab: x\n"
		     "p: Error: session: a\\x0ab: c\\x5cd\n");
}

Test(log, everything_from_outside_is_escaped)
{
	start();
	log_error(NULL, "%s", "a\r\nb\tc\x7f\\d \xc3\xa4\x01");
	expect(path, "p: Error: a\\x0d\\x0ab\\x09c\\x7f\\x5cd \xc3\xa4\\x01\n");
}

Test(log, debug_lines_only_when_wanted)
{
	start();
	log_debug(NULL, "no");
	cr_assert_not(log_enabled(LOG_LEVEL_DEBUG));
	cr_assert(log_enabled(LOG_LEVEL_INFO));
	settings.debug = true;
	start();
	log_debug(NULL, "yes");
	cr_assert(log_enabled(LOG_LEVEL_DEBUG));
	log_flush();
	expect(path, "p: Debug: yes\n");
}

Test(log, levels_go_to_their_files)
{
	settings.info_path = info_path;
	settings.debug_path = debug_path;
	settings.debug = true;
	start();
	log_debug(NULL, "d1");
	log_info(NULL, "i1");
	log_warning(NULL, "w1");
	log_debug(NULL, "d2");
	log_flush();
	expect(path, "p: Warning: w1\n");
	expect(info_path, "p: Info: i1\n");
	expect(debug_path, "p: Debug: d1\np: Debug: d2\n");
}

Test(log, debug_goes_where_info_goes)
{
	settings.info_path = info_path;
	settings.debug = true;
	start();
	log_info(NULL, "i");
	log_debug(NULL, "d");
	log_info(NULL, "j");
	log_flush();
	expect(info_path, "p: Info: i\np: Debug: d\np: Info: j\n");
	expect(path, "");
}

Test(log, long_lines_are_cut_and_marked)
{
	char *text = mem_alloc(20001);
	struct str got;

	start();
	memset(text, 'x', 20000);
	log_error(NULL, "%s", text);
	memset(text, 1, 3000); /* escaped: 12000 bytes */
	text[3000] = '\0';
	log_error(NULL, "%s", text);
	got = contents(path);
	mem_free(&text);
	text = strchr(got.data, '\n');
	cr_assert_leq(text - got.data, 8192);
	cr_assert_geq(text - got.data, 8000);
	cr_assert_eq(strncmp(text - 6, " [...]", 6), 0);
	cr_assert_leq(strlen(text + 1), 8193);
	cr_assert_str_eq(got.data + got.len - 7, " [...]\n");
	str_free(&got);
}

Test(log, a_line_is_not_cut_inside_a_character)
{
	struct str text = STR_INIT, got;
	int i, shift;

	for (shift = 0; shift < 2; shift++) {
		str_clear(&text);
		str_puts(&text, shift ? "x" : "");
		for (i = 0; i < 5000; i++)
			str_puts(&text, "\xc3\xa4");
		unlink(path);
		start();
		log_error(NULL, "%s", str_c(&text));
		got = contents(path);
		cr_assert_eq((unsigned char)got.data[got.len - 8], 0xa4);
		str_free(&got);
	}
	str_free(&text);
}

Test(log, many_lines_fill_the_buffer_without_loss)
{
	struct str got;
	size_t i, lines = 0;

	start();
	for (i = 0; i < 5000; i++)
		log_info(NULL, "line %zu", i);
	log_flush();
	got = contents(path);
	for (i = 0; i < got.len; i++)
		lines += got.data[i] == '\n';
	cr_assert_eq(lines, 5000);
	cr_assert_str_eq(got.data + got.len - strlen("line 4999\n"),
			 "line 4999\n");
	str_free(&got);
}

Test(log, timestamps_follow_the_format)
{
	struct str got;
	unsigned year, usecs;
	char tail[32];

	settings.timestamp = "%Y.%{usecs}_ ";
	start();
	log_error(NULL, "x");
	got = contents(path);
	cr_assert_eq(sscanf(got.data, "%4u.%6u_ p: %31s", &year, &usecs, tail),
		     3, "%s", got.data);
	cr_assert_geq(year, 2020);
	cr_assert_str_eq(tail, "Error:");
	str_free(&got);
	/* the cached text does not outlive the format */
	unlink(path);
	settings.timestamp = "T%% ";
	start();
	log_error(NULL, "x");
	expect(path, "T% p: Error: x\n");
}

Test(log, reopening_follows_a_rotation)
{
	struct stat st;
	int fds[LOG_FILES];

	start();
	log_info(NULL, "before");
	cr_assert_eq(rename(path, moved), 0);
	log_reopen();
	log_error(NULL, "after");
	expect(moved, "p: Info: before\n");
	expect(path, "p: Error: after\n");
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	log_files(fds);
	cr_assert_neq(fcntl(fds[LOG_FILE_ERROR], F_GETFD) & FD_CLOEXEC, 0);
}

Test(log, a_file_that_cannot_be_reopened_stays)
{
	struct str got;

	start();
	cr_assert_eq(rename(path, moved), 0);
	cr_assert_eq(mkdir(path, 0700), 0);
	log_reopen();
	log_error(NULL, "still here");
	rmdir(path);
	got = contents(moved);
	cr_assert_not_null(strstr(got.data, path), "%s", got.data);
	cr_assert_not_null(strstr(got.data, "still here"));
	str_free(&got);
}

Test(log, a_failed_open_keeps_the_old_destinations)
{
	static const char *const bad_paths[] = { "/nonexistent/x", "/" };
	size_t i;

	start();
	for (i = 0; i < 2; i++) {
		settings.info_path = bad_paths[i];
		cr_assert_eq(log_open(&settings, &err), -1);
		cr_assert_not_null(strstr(err.text, bad_paths[i]));
	}
	settings.info_path = "";
	settings.syslog_facility = "nosuch";
	cr_assert_eq(log_open(&settings, &err), -1);
	cr_assert_not_null(strstr(err.text, "'nosuch'"));
	log_error(NULL, "alive");
	expect(path, "p: Error: alive\n");
}

Test(log, files_are_handed_over)
{
	int fds[LOG_FILES], copies[LOG_FILES], i;

	settings.debug_path = debug_path;
	settings.debug = true;
	start();
	log_files(fds);
	cr_assert_eq(fds[LOG_FILE_INFO], -1);
	for (i = 0; i < LOG_FILES; i++)
		copies[i] = fds[i] < 0 ? -1 : dup(fds[i]);
	settings.prefix = "q: ";
	cr_assert_eq(rename(path, moved), 0);
	cr_assert_eq(log_adopt(&settings, copies, &err), 0, "%s", err.text);
	log_info(NULL, "i");
	log_debug(NULL, "d");
	log_flush();
	expect(moved, "q: Info: i\n");
	expect(debug_path, "q: Debug: d\n");
	copies[LOG_FILE_DEBUG] = -1;
	cr_assert_eq(log_adopt(&settings, copies, &err), -1);
	cr_assert_not_null(strstr(err.text, debug_path));
}

/* Makes stderr the file at path, and says in the environment that it, or the
 * file at journal, is a stream of the journal. */
static void stderr_to_file(const char *journal)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	struct stat st;
	char stream[64];

	cr_assert_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	close(fd);
	cr_assert_eq(stat(journal, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu",
		 (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	settings.path = "/dev/stderr";
	settings.timestamp = "T ";
	settings.debug = true;
}

static void log_all_levels(void)
{
	log_debug(NULL, "d");
	log_info(NULL, "i");
	log_warning(NULL, "w");
	log_error(NULL, "e\n");
	log_fatal(NULL, "f");
}

Test(log, the_journal_gets_priorities_and_no_timestamps)
{
	stderr_to_file(path);
	log_error(NULL, "before the configuration is read");
	start();
	log_all_levels();
	expect(path, "<3>waypost: Error: before the configuration is read\n"
		     "<7>p: Debug: d\n<6>p: i\n<4>p: Warning: w\n"
		     "<3>p: Error: e\\x0a\n<2>p: Fatal: f\n");
}

Test(log, what_is_said_has_its_priority_in_the_journal_only)
{
	stderr_to_file(path);
	log_say(LOG_LEVEL_ERROR, "one\ntwo");
	log_say(LOG_LEVEL_WARNING, "three\n");
	log_say(LOG_LEVEL_ERROR, "");
	unsetenv("JOURNAL_STREAM");
	log_say(LOG_LEVEL_FATAL, "four\n");
	expect(path, "<3>one\n<3>two\n<4>three\nfour\n");
}

Test(log, stderr_that_is_no_journal_is_a_file_like_others)
{
	stderr_to_file("/dev/null");
	start();
	log_info(NULL, "i");
	log_error(NULL, "e");
	setenv("JOURNAL_STREAM", "1:nonsense", 1);
	start();
	log_error(NULL, "f");
	unsetenv("JOURNAL_STREAM");
	start();
	log_error(NULL, "g");
	expect(path, "T p: Info: i\nT p: Error: e\nT p: Error: f\n"
		     "T p: Error: g\n");
}

Test(log, a_setting_says_whether_stderr_has_priorities)
{
	stderr_to_file("/dev/null");
	settings.priorities = LOG_PRIORITIES_YES;
	start();
	log_error(NULL, "e");
	stderr_to_file(path);
	settings.priorities = LOG_PRIORITIES_NO;
	start();
	log_error(NULL, "f");
	expect(path, "<3>p: Error: e\nT p: Error: f\n");
}

Test(log, files_have_no_priorities)
{
	stderr_to_file(path);
	settings.path = info_path;
	settings.priorities = LOG_PRIORITIES_YES;
	start();
	log_error(NULL, "e");
	expect(info_path, "T p: Error: e\n");
	expect(path, "");
}

Test(log, json_for_the_journal)
{
	struct str got;

	stderr_to_file(path);
	settings.format = LOG_FORMAT_JSON;
	start();
	log_error(NULL, "e");
	got = contents(path);
	cr_assert_eq(strncmp(got.data, "<3>{\"time\":\"", 12), 0, "%s",
		     got.data);
	str_free(&got);
}

/* As that of a service whose output is the journal's, which is a socket. */
Test(log, stdout_need_not_be_a_file)
{
	char got[64] = "";
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	cr_assert_eq(dup2(ends[0], STDOUT_FILENO), STDOUT_FILENO);
	settings.path = "/dev/stdout";
	start();
	log_error(NULL, "e");
	log_reopen();
	log_error(NULL, "f");
	cr_assert_eq(read(ends[1], got, sizeof(got) - 1), 24);
	cr_assert_str_eq(got, "p: Error: e\np: Error: f\n");
}

Test(log, a_full_disk_stops_nobody)
{
	settings.path = "/dev/full";
	start();
	log_info(NULL, "x");
	log_flush();
	log_error(NULL, "y");
}

static void *write_lines(void *arg)
{
	int i;

	for (i = 0; i < 2000; i++) {
		log_info(NULL, "%s%s%s%s", (char *)arg, (char *)arg,
			 (char *)arg, (char *)arg);
		if (i % 7 == 0)
			log_flush();
	}
	log_flush();
	return NULL;
}

static void limit_files(rlim_t size)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = size;
	setrlimit(RLIMIT_FSIZE, &limit);
}

/* Neither the rest of a line nor how many are missing. */
Test(log, what_a_full_disk_took_is_said)
{
	signal(SIGXFSZ, SIG_IGN);
	start();
	limit_files(20);
	log_error(NULL, "first");
	log_error(NULL, "second");
	log_error(NULL, "third");
	log_flush();
	expect(path, "p: Error: first\np: E");
	limit_files(RLIM_INFINITY);
	log_error(NULL, "fourth");
	log_flush();
	log_flush();
	expect(path, "p: Error: first\np: E\np: Error: fourth\n"
	       "p: Warning: 2 lines could not be written to the log: "
	       "File too large\n");
}

Test(log, lines_of_threads_do_not_mix_even_while_reopening)
{
	static char names[4][64];
	pthread_t threads[4];
	struct str got;
	char *line, *rest;
	int i, lines = 0;

	start();
	for (i = 0; i < 4; i++) {
		memset(names[i], 'a' + i, sizeof(names[i]) - 1);
		pthread_create(&threads[i], NULL, write_lines, names[i]);
	}
	for (i = 0; i < 20; i++) {
		log_reopen();
		start();
	}
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	got = contents(path);
	rest = got.data;
	while ((line = strsep(&rest, "\n")) != NULL && line[0] != '\0') {
		cr_assert_eq(strlen(line), 9 + 4 * 63, "%s", line);
		cr_assert_eq(strspn(line + 9, (char[]){ line[9], '\0' }),
			     4 * 63, "%s", line);
		lines++;
	}
	cr_assert_eq(lines, 8000);
	str_free(&got);
}
