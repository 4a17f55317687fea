#include "t/unit/passdb_helper.h"

#include <pthread.h>

#include "lib/clock.h"
#include "passdb/passwd/read.h"
#include "passdb/passwd/watch.h"
#include "passdb/request.h"

static void open_file(struct helper *helper, const char *args)
{
	helper_add(helper, "passwd-file",
		   arena_printf(helper->arena, "%s%s/users", args,
				helper->dir));
	helper_open(helper);
}

Test(passwd_file, lines)
{
	struct helper helper;

	helper_init(&helper);
	helper.settings.username_chars = "";
	helper_write(&helper, "users",
		     "# jane:comment\n"
		     "jane:{PLAIN}secret:1000:1000:Jane:/home/jane:/bin/sh:"
		     "proxy=y  host=2001:db8::1 destuser=%n+%d flag \n"
		     "crlf:x::::::a=1\r\n"
		     "\n"
		     "\r\n"
		     ":x::::::a=1\n"
		     "short:x\n"
		     "empty:\n"
		     "five:x:1:2:g:h:s\n"
		     "mail:x::::::: host=ignored\n"
		     "o'neil \"x\":x::::::a=quoted\n"
		     "J\xc3\xb6rg:x::::::a=utf8\n"
		     "x:\t:::::: a=%%\n"
		     "last:x::::::a=end");
	open_file(&helper, "");
	helper_expect_fields(&helper, "jane", "proxy=y host=2001:db8::1 "
		      "destuser=jane+ flag=");
	helper_expect_fields(&helper, "crlf", "a=1");
	helper_expect_fields(&helper, "short", "");
	helper_expect_fields(&helper, "empty", "");
	helper_expect_fields(&helper, "five", "");
	helper_expect_fields(&helper, "mail", "");
	helper_expect_fields(&helper, "o'neil \"x\"", "a=quoted");
	helper_expect_fields(&helper, "x", "a=%");
	helper_expect_fields(&helper, "last", "a=end");
	cr_expect_eq(helper_lookup(&helper, "jan"), PASSDB_NOT_FOUND);
	cr_expect_eq(helper_lookup(&helper, "janet"), PASSDB_NOT_FOUND);
	cr_expect_eq(helper_lookup(&helper, "# jane"), PASSDB_NOT_FOUND);
	cr_expect_eq(helper_lookup(&helper, "short:x"), PASSDB_NOT_FOUND);
	cr_expect_eq(helper_lookup(&helper, "short:x\n"), PASSDB_NOT_FOUND);
	cr_expect_eq(helper_lookup(&helper, "\r"), PASSDB_NOT_FOUND);
	cr_expect_null(strstr(helper_log(&helper), "Error"));
	helper_close(&helper);
}

Test(passwd_file, username_format)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users", "Ujane:x::::::a=%u\n");
	open_file(&helper, "scheme=CRYPT  username_format=U%n ");
	helper_expect_fields(&helper, "jane@example.org", "a=jane@example.org");
	cr_assert_eq(helper_lookup(&helper, "joe@x"), PASSDB_NOT_FOUND);
	helper_close(&helper);
}

Test(passwd_file, broken_lines_cost_their_users_only)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users",
		     "good:x::::::a=1\n"
		     "nocolon\n"
		     "noname:x::::::a=1 =2\n"
		     "novar:x::::::a=%{nosuch}\n"
		     "control:x::::::a\tb=1\n"
		     "novar2:x::::::a=%{nosuch}\n"
		     "after:x::::::a=2\n");
	open_file(&helper, "");
	helper_expect_fields(&helper, "good", "a=1");
	helper_expect_fields(&helper, "after", "a=2");
	cr_expect_eq(helper_lookup(&helper, "nocolon"), PASSDB_FAIL);
	cr_expect_eq(helper_lookup(&helper, "noname"), PASSDB_FAIL);
	cr_expect_eq(helper_lookup(&helper, "novar"), PASSDB_FAIL);
	cr_expect_eq(helper_lookup(&helper, "novar2"), PASSDB_FAIL);
	cr_expect_eq(helper_lookup(&helper, "control"), PASSDB_FAIL);
	cr_expect(strstr(helper_log(&helper), "users:2: user nocolon: no ':'"));
	cr_expect(strstr(helper_log(&helper), "users:3: user noname: "));
	cr_expect(strstr(helper_log(&helper),
			 "users:4: user novar: unknown variable"));
	cr_expect(strstr(helper_log(&helper), "users:5: user control: "));
	cr_expect(strstr(helper_log(&helper), "users:6: user novar2: "));
	helper_close(&helper);
}

/* A password never gets into the log, not even from a line that is broken. */
Test(passwd_file, passwords_are_not_logged)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users", "jane:hunter2::::::a=1\n"
		     "joe:hunter2::::::=\n");
	open_file(&helper, "");
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_OK);
	cr_assert_eq(helper_lookup(&helper, "joe"), PASSDB_FAIL);
	cr_assert_null(strstr(helper_log(&helper), "hunter2"));
	helper_close(&helper);
}

Test(passwd_file, of_duplicates_the_first_counts)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users", "# x\njane:x::::::a=1\njoe:x\n"
		     "jane:x::::::a=2\n");
	open_file(&helper, "");
	helper_expect_fields(&helper, "jane", "a=1");
	cr_assert(strstr(helper_log(&helper), "users:4: user jane is already "
			 "in line 2"));
	helper_close(&helper);
}

Test(passwd_file, many_broken_lines_are_summed_up)
{
	struct str text = STR_INIT;
	struct helper helper;
	unsigned i;

	helper_init(&helper);
	for (i = 0; i < 100; i++)
		str_printf(&text, "user%u\n", i);
	helper_write(&helper, "users", str_c(&text));
	open_file(&helper, "");
	cr_assert_eq(helper_log_count(&helper, "no ':' behind"), 20);
	cr_assert(strstr(helper_log(&helper), "80 more lines"));
	str_free(&text);
	helper_close(&helper);
}

Test(passwd_file, fields_that_fail_at_lookup)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users", "jane:x::::::a=%{if;%n;<;1;a;b}\n");
	open_file(&helper, "");
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_FAIL);
	cr_assert(strstr(helper_log(&helper), "/users: field a: "));
	helper_close(&helper);
}

Test(passwd_file, many_users)
{
	enum { USERS = 20000 };
	struct str text = STR_INIT;
	struct helper helper;
	char user[32];
	unsigned i;

	helper_init(&helper);
	helper.settings.debug = false;
	for (i = 0; i < USERS; i++)
		str_printf(&text, "u%u@example.org:x::::::n=%u\n", i, i);
	helper_write(&helper, "users", str_c(&text));
	open_file(&helper, "");
	for (i = 0; i < USERS; i += 7) {
		char expected[32];

		snprintf(user, sizeof(user), "u%u@example.org", i);
		snprintf(expected, sizeof(expected), "n=%u", i);
		helper_expect_fields(&helper, user, expected);
	}
	cr_assert_eq(helper_lookup(&helper, "u20000@example.org"),
		     PASSDB_NOT_FOUND);
	str_free(&text);
	helper_close(&helper);
}

/* --- a file that changes (it is looked at every second) --- */

static void wait_for_log(struct helper *helper, const char *text)
{
	unsigned i;

	for (i = 0; i < 200 && strstr(helper_log(helper), text) == NULL; i++)
		helper_run_ms(helper, 50);
	cr_assert(strstr(helper_log(helper), text) != NULL, "no '%s' in %s",
		  text, helper_log(helper));
}

Test(passwd_file, is_read_again_when_changed)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users", "jane:x::::::a=1\n");
	open_file(&helper, "");
	helper_expect_fields(&helper, "jane", "a=1");
	helper_write(&helper, "users", "jane:x::::::a=2\njoe:x\n");
	wait_for_log(&helper, "read, 2 users");
	helper_expect_fields(&helper, "jane", "a=2");
	helper_close(&helper);
}

/* In place, as an editor or cp does. */
static void overwrite(struct helper *helper, const char *text)
{
	int fd = open(helper_path(helper, "users"), O_WRONLY | O_TRUNC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* What is there meanwhile is not the file. */
Test(passwd_file, waits_until_nobody_writes_any_more)
{
	struct timespec begin, end;
	struct helper helper;
	unsigned i;

	helper_init(&helper);
	helper_write(&helper, "users", "jane:x::::::a=1\n");
	open_file(&helper, "");
	for (i = 0; i < 15; i++) {
		overwrite(&helper, "# half\n");
		clock_gettime(CLOCK_MONOTONIC, &begin);
		helper_run_ms(&helper, 100);
		clock_gettime(CLOCK_MONOTONIC, &end);
		if ((end.tv_sec - begin.tv_sec) * 1000 +
		    (end.tv_nsec - begin.tv_nsec) / 1000000 > 400)
			break; /* this machine stands still: no statement */
		helper_expect_fields(&helper, "jane", "a=1");
	}
	overwrite(&helper, "jane:x::::::a=2\njoe:x\n");
	wait_for_log(&helper, "read, 2 users");
	helper_expect_fields(&helper, "jane", "a=2");
	helper_close(&helper);
}

Test(passwd_file, vanished_file_keeps_its_data)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users", "jane:x::::::a=1\n");
	open_file(&helper, "");
	helper_remove(&helper, "users");
	wait_for_log(&helper, "No such file or directory; going on with what "
		     "was read before");
	helper_expect_fields(&helper, "jane", "a=1");
	helper_run_ms(&helper, 2100);
	cr_assert_eq(helper_log_count(&helper, "No such file"), 1);
	helper_write(&helper, "users", "jane:x::::::a=3\njoe:x\njim:x\n");
	wait_for_log(&helper, "read, 3 users");
	helper_expect_fields(&helper, "jane", "a=3");
	helper_close(&helper);
}

Test(passwd_file, empty_file)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users", "");
	open_file(&helper, "");
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_FAIL);
	helper_write(&helper, "users", "# nobody\n");
	wait_for_log(&helper, "read, 0 users");
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_NOT_FOUND);
	helper_write(&helper, "users", "jane:x\n");
	wait_for_log(&helper, "read, 1 users");
	helper_write(&helper, "users", "");
	wait_for_log(&helper, "; going on with what was read before");
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_OK);
	helper_close(&helper);
}

/* As a reload does; first the new ones, then the old ones go. */
static void renew(struct helper *helper)
{
	struct passdb_shared *earlier = helper->shared;
	struct err err;

	helper->shared = passdb_shared_renew(earlier, &helper->settings, &err);
	cr_assert_not_null(helper->shared, "%s", err.text);
	passdb_free(&helper->passdb);
	passdb_shared_unref(&earlier);
	helper->passdb = passdb_new(helper->loop, NULL, helper->shared);
}

Test(passwd_file, reload_goes_on_with_what_was_read)
{
	struct helper helper;
	unsigned i;

	helper_init(&helper);
	helper_write(&helper, "users", "jane:x::::::a=1\n");
	open_file(&helper, "");
	helper_remove(&helper, "users");
	for (i = 0; i < 3; i++) {
		renew(&helper);
		helper_expect_fields(&helper, "jane", "a=1");
	}
	cr_assert_eq(helper_log_count(&helper, "No such file"), 1);
	helper_write(&helper, "users", "jane:x::::::a=2\njoe:x\n");
	wait_for_log(&helper, "read, 2 users");
	helper_expect_fields(&helper, "jane", "a=2");
	helper_close(&helper);
}

Test(passwd_file, reload_with_another_file)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users", "jane:x::::::a=1\n");
	helper_write(&helper, "others", "jane:x::::::a=2\n");
	open_file(&helper, "");
	helper.blocks[0].args = arena_printf(helper.arena, "%s/others",
					     helper.dir);
	renew(&helper);
	helper_expect_fields(&helper, "jane", "a=2");
	helper_close(&helper);
}

Test(passwd_file, file_that_is_missing_at_first)
{
	struct helper helper;

	helper_init(&helper);
	open_file(&helper, "");
	cr_assert_eq(helper_log_count(&helper, "No such file"), 1);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_FAIL);
	helper_write(&helper, "users", "jane:x::::::a=1\n");
	wait_for_log(&helper, "read, 1 users");
	helper_expect_fields(&helper, "jane", "a=1");
	helper_close(&helper);
}

Test(passwd_file, folder_instead_of_a_file)
{
	struct helper helper;

	helper_init(&helper);
	cr_assert_eq(mkdir(helper_path(&helper, "users"), 0700), 0);
	open_file(&helper, "");
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_FAIL);
	cr_assert(strstr(helper_log(&helper), "not a regular file"));
	helper_close(&helper);
}

/* --- variables in the path --- */

static void open_variable(struct helper *helper)
{
	helper->settings.username_chars = "";
	helper_add(helper, "passwd-file",
		   arena_printf(helper->arena, "username_format=%%n %s/%%d.pw",
				helper->dir));
	helper_open(helper);
}

Test(passwd_file, file_per_domain)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "a.pw", "jane:x::::::f=a\n");
	helper_write(&helper, "b.pw", "jane:x::::::f=b\n");
	open_variable(&helper);
	helper_expect_fields(&helper, "jane@a", "f=a");
	helper_expect_fields(&helper, "jane@b", "f=b");
	helper_expect_fields(&helper, "jane@a", "f=a");
	cr_assert_eq(helper_lookup(&helper, "joe@a"), PASSDB_NOT_FOUND);
	cr_assert_eq(helper_lookup(&helper, "jane@c"), PASSDB_NOT_FOUND);
	helper_write(&helper, "c.pw", "jane:x::::::f=c\n");
	helper_expect_fields(&helper, "jane@c", "f=c");
	helper_write(&helper, "a.pw", "jane:x::::::f=new\njoe:x\n");
	wait_for_log(&helper, "a.pw: read, 2 users");
	helper_expect_fields(&helper, "jane@a", "f=new");
	helper_close(&helper);
}

Test(passwd_file, empty_file_of_a_domain)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "a.pw", "");
	open_variable(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane@a"), PASSDB_FAIL);
	cr_assert_eq(helper_log_count(&helper, "a.pw: is empty"), 1);
	helper_write(&helper, "a.pw", "jane:x::::::f=a\n");
	helper_expect_fields(&helper, "jane@a", "f=a");
	helper_close(&helper);
}

Test(passwd_file, path_values_stay_in_their_folder)
{
	static const char *const users[] = {
		"jane@../a", "jane@a/b", "jane@/a",
	};
	struct helper helper;
	unsigned i;

	helper_init(&helper);
	helper_write(&helper, "a.pw", "jane:x::::::f=a\n");
	open_variable(&helper);
	for (i = 0; i < sizeof(users) / sizeof(*users); i++)
		cr_expect_eq(helper_lookup(&helper, users[i]),
			     PASSDB_NOT_FOUND, "%s", users[i]);
	cr_expect_eq(helper_log_count(&helper, "cannot be part of a file"), 3);
	helper_close(&helper);
}

Test(passwd_file, dots_are_no_folder)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users", "..:x\n.:x\nsub:x\n");
	cr_assert_eq(mkdir(helper_path(&helper, "sub"), 0700), 0);
	helper_add(&helper, "passwd-file",
		   arena_printf(helper.arena, "%s/sub/%%n/users",
				helper.dir));
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, ".."), PASSDB_NOT_FOUND);
	cr_assert_eq(helper_lookup(&helper, "."), PASSDB_NOT_FOUND);
	cr_assert_eq(helper_log_count(&helper, "cannot be part of a file"), 2);
	helper_close(&helper);
}

Test(passwd_file, overlong_name_has_no_file)
{
	struct helper helper;
	char user[600];

	helper_init(&helper);
	open_variable(&helper);
	memset(user, 'a', sizeof(user));
	memcpy(user, "jane@", 5);
	user[sizeof(user) - 1] = '\0';
	cr_assert_eq(helper_lookup(&helper, user), PASSDB_NOT_FOUND);
	helper_close(&helper);
}

Test(passwd_file, unreadable_file_of_a_domain_defers)
{
	struct helper helper;

	helper_init(&helper);
	cr_assert_eq(mkdir(helper_path(&helper, "a.pw"), 0700), 0);
	open_variable(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane@a"), PASSDB_FAIL);
	helper_close(&helper);
}

Test(passwd_file, doubled_percent_is_no_variable)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "a%b", "jane:x::::::f=1\n");
	helper_add(&helper, "passwd-file",
		   arena_printf(helper.arena, "%s/a%%%%b", helper.dir));
	helper_open(&helper);
	helper_expect_fields(&helper, "jane", "f=1");
	helper_close(&helper);
}

/* Two of the same chain, one with a value that fails in the path. */
Test(passwd_file, path_that_cannot_be_expanded_defers)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "passwd-file",
		   arena_printf(helper.arena, "%s/%%{if;%%n;<;1;a;b}",
				helper.dir));
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_FAIL);
	helper_close(&helper);
}

/* --- waiting --- */

Test(passwd_file, cancel_while_a_file_is_read)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "a.pw", "jane:x::::::f=a\n");
	open_variable(&helper);
	helper_start(&helper, "jane@a");
	passdb_cancel(&helper.request);
	helper_run_ms(&helper, 20);
	cr_assert(!helper.done);
	helper_expect_fields(&helper, "jane@a", "f=a");
	helper_close(&helper);
}

/* The file is asked for, and the worker goes before the answer comes. */
Test(passwd_file, chain_freed_while_a_file_is_read)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "a.pw", "jane:x::::::f=a\n");
	open_variable(&helper);
	helper_start(&helper, "jane@a");
	passdb_cancel(&helper.request);
	passdb_free(&helper.passdb);
	passdb_shared_unref(&helper.shared);
	helper_run_ms(&helper, 20);
	helper_close(&helper);
}

/* The control loop stands still: the deadline ends the lookup. */
Test(passwd_file, deadline)
{
	struct helper helper;
	struct loop *worker = loop_new(), *control;

	helper_init(&helper);
	helper.settings.lookup_timeout_ms = 20;
	helper_write(&helper, "a.pw", "jane:x::::::f=a\n");
	open_variable(&helper);
	passdb_free(&helper.passdb);
	helper.passdb = passdb_new(worker, NULL, helper.shared);
	control = helper.loop;
	helper.loop = worker;
	cr_assert_eq(helper_lookup(&helper, "jane@a"), PASSDB_FAIL);
	cr_assert_null(helper.request.reason);
	cr_assert(strstr(helper_log(&helper), "auth_lookup_timeout"));
	cr_assert(helper.request.timed_out);
	helper.loop = control;
	helper_run_ms(&helper, 20); /* the answer finds nobody */
	helper.loop = worker;
	helper_run_ms(&helper, 20);
	passdb_free(&helper.passdb);
	loop_free(&worker);
	helper.loop = control;
	helper_close(&helper);
}

/* --- several threads --- */

struct worker {
	struct helper *helper;
	struct loop *loop;
	struct passdb *passdb;
	struct arena *arena;
	struct passdb_request request;
	pthread_t thread;
	unsigned left, wrong;
	char user[32];
};

static void worker_done(struct passdb_request *request);

static void worker_next(struct worker *worker)
{
	static const char *const domains[] = { "a", "b", "none" };

	arena_free(&worker->arena);
	worker->arena = arena_new(256);
	snprintf(worker->user, sizeof(worker->user), "jane@%s",
		 domains[worker->left % 3]);
	worker->request = (struct passdb_request){
		.arena = worker->arena, .user = worker->user,
		.client = &worker->helper->client,
		.log = &worker->helper->log, .done = worker_done,
	};
	passdb_lookup(worker->passdb, &worker->request);
}

static void worker_done(struct passdb_request *request)
{
	struct worker *worker = container_of(request, struct worker, request);
	enum passdb_result expected = strcmp(worker->user, "jane@none") == 0 ?
				      PASSDB_NOT_FOUND : PASSDB_OK;

	worker->wrong += request->result != expected;
	if (--worker->left > 0)
		worker_next(worker);
	else
		loop_stop(worker->loop);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	worker->loop = loop_new();
	worker->passdb = passdb_new(worker->loop, NULL,
				    worker->helper->shared);
	worker->left = 300;
	worker_next(worker);
	loop_run(worker->loop);
	passdb_free(&worker->passdb);
	loop_free(&worker->loop);
	arena_free(&worker->arena);
	return NULL;
}

Test(passwd_file, threads_share_files)
{
	enum { WORKERS = 4 };
	struct worker workers[WORKERS] = { { .left = 0 } };
	struct helper helper;
	unsigned i;

	helper_init(&helper);
	helper.settings.debug = false;
	helper_write(&helper, "a.pw", "jane:x::::::f=a\n");
	helper_write(&helper, "b.pw", "jane:x::::::f=b\n");
	open_variable(&helper);
	for (i = 0; i < WORKERS; i++) {
		workers[i].helper = &helper;
		cr_assert_eq(pthread_create(&workers[i].thread, NULL,
					    worker_main, &workers[i]), 0);
	}
	for (i = 0; i < WORKERS; i++) {
		while (pthread_tryjoin_np(workers[i].thread, NULL) != 0)
			helper_run_ms(&helper, 5);
		cr_expect_eq(workers[i].wrong, 0);
		cr_expect_eq(workers[i].left, 0);
	}
	helper_run_ms(&helper, 5);
	helper_close(&helper);
}

/* --- limits, stamps --- */

Test(passwd_file, number_of_files_in_memory_is_limited)
{
	const struct timespec old[2] = { { 1700000000, 0 }, { 1700000000, 0 } };
	const struct var_source vars = passdb_request_vars(NULL, NULL);
	struct passwd_table *table = NULL;
	struct passwd_watch *watch;
	struct helper helper;
	char name[32];
	unsigned i;

	helper_init(&helper);
	watch = passwd_watch_new(helper.loop, NULL, &vars);
	for (i = 0; i <= PASSWD_WATCH_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		helper_write(&helper, name, "jane:x\n");
		cr_assert_eq(utimensat(AT_FDCWD, helper_path(&helper, name), old,
				       0), 0);
		cr_assert_eq(passwd_watch_load(watch,
					       helper_path(&helper, name),
					       &table), PASSWD_WATCH_OK);
		passwd_table_unref(&table);
	}
	cr_assert_eq(passwd_watch_get(watch, helper_path(&helper, name),
				      &table), PASSWD_WATCH_OK);
	passwd_table_unref(&table);
	for (i = 0; i <= PASSWD_WATCH_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		if (passwd_watch_get(watch, helper_path(&helper, name),
				     &table) == PASSWD_WATCH_UNKNOWN)
			break;
		passwd_table_unref(&table);
	}
	cr_assert_leq(i, PASSWD_WATCH_MAX, "all are still there");
	passwd_watch_unref(&watch);
	cr_assert_null(watch);
	passwd_watch_unref(&watch);
	helper_close(&helper);
}

Test(passwd_file, stamps)
{
	struct stat st = { .st_size = 5, .st_ino = 1, .st_dev = 2 };
	struct passwd_stamp a, b;

	st.st_mtim.tv_sec = 1000;
	passwd_stamp_set(&a, &st);
	cr_assert(!a.young);
	passwd_stamp_set(&b, &st);
	cr_assert(passwd_stamp_equal(&a, &b));
	st.st_mtim.tv_nsec++;
	passwd_stamp_set(&b, &st);
	cr_assert(!passwd_stamp_equal(&a, &b));
	st.st_mtim.tv_nsec--;
	st.st_ino++;
	passwd_stamp_set(&b, &st);
	cr_assert(!passwd_stamp_equal(&a, &b));
	st.st_ino--;
	st.st_size++;
	passwd_stamp_set(&b, &st);
	cr_assert(!passwd_stamp_equal(&a, &b));
	clock_gettime(CLOCK_REALTIME, &st.st_mtim);
	passwd_stamp_set(&b, &st);
	cr_assert(b.young);
	st.st_mtim.tv_sec += 100; /* a clock that is ahead */
	passwd_stamp_set(&b, &st);
	cr_assert(!b.young);
}

static unsigned count_of(const char *text, size_t len)
{
	const struct var_source vars = passdb_request_vars(NULL, NULL);
	char *data = mem_alloc(len);
	struct passwd_table *table;
	unsigned count;

	memcpy(data, text, len);
	table = passwd_table_new("test", data, len, &vars);
	count = passwd_table_count(table);
	passwd_table_unref(&table);
	return count;
}

Test(passwd_file, bytes_at_the_edges)
{
	struct helper helper;

	helper_init(&helper);
	cr_assert_eq(count_of("", 0), 0);
	cr_assert_eq(count_of("\n", 1), 0);
	cr_assert_eq(count_of("a", 1), 1);
	cr_assert_eq(count_of("a\n\nb:\n", 6), 2);
	cr_assert_eq(count_of("\0", 1), 1); /* broken, but a line */
	cr_assert_eq(count_of("a:\0:\nb:x", 8), 2);
	cr_assert_eq(helper_log_count(&helper, "NUL byte"), 2);
	helper_close(&helper);
}
