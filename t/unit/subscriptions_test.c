#include "backends/local/maildir/subscriptions.h"

#include "t/unit/maildir_helper.h"

#include <pthread.h>
#include <time.h>

#include "lib/file.h"

#define FILE_NAME "mail/subscriptions"

static struct err err;

TestSuite(subscriptions, .init = setup, .fini = teardown, .timeout = 60);

static void add(const char *folder)
{
	cr_assert_eq(subscriptions_add(&location, folder, true, &result), 0, "%s",
		     result.text);
	cr_expect_eq(access(path_of(FILE_NAME ".lock"), F_OK), -1);
}

Test(subscriptions, a_new_file)
{
	add(".A.B&-c");
	expect_content(path_of(FILE_NAME), "V\t2\n\nA\tB&-c\n");
	cr_expect_eq(mode_of(path_of(FILE_NAME)), 0600);
	add("");
	add(".A.B&-c");
	add(".A");
	expect_content(path_of(FILE_NAME), "V\t2\n\nA\tB&-c\nINBOX\nA\n");
}

Test(subscriptions, directories)
{
	set_location(":LAYOUT=fs");
	add("A/b.c");
	add("");
	expect_content(path_of(FILE_NAME), "V\t2\n\nA\tb.c\nINBOX\n");
}

/* That a namespace with a prefix has: it is what Dovecot writes. */
Test(subscriptions, inbox_in_other_letters)
{
	add(".inbox");
	add(".InBox");
	add(".inbox.d");
	expect_content(path_of(FILE_NAME), "V\t2\n\nINBOX\ninbox\td\n");
}

Test(subscriptions, an_old_file)
{
	files_write(&files, FILE_NAME, "x.y\nA.BC\nno end");
	add(".A.B");
	add(".x.y");
	add(".no end");
	expect_content(path_of(FILE_NAME), "x.y\nA.BC\nno end\nA.B\n");
}

Test(subscriptions, only_whole_lines_count)
{
	files_write(&files, FILE_NAME, "V\t2\n\nxA\nAx\nA\tA\n");
	add(".A");
	expect_content(path_of(FILE_NAME), "V\t2\n\nxA\nAx\nA\tA\nA\n");
}

Test(subscriptions, elsewhere)
{
	set_location(":SUBSCRIPTIONS=subs");
	mem_free(&location.control);
	location.control = mem_printf("%s/control/joe", files.dir);
	files_write(&files, "mail/x", "");
	cr_assert_eq(chmod(path_of("mail"), 0755), 0);
	add(".A");
	expect_content(path_of("control/joe/subs"), "V\t2\n\nA\n");
	cr_expect_eq(mode_of(path_of("control/joe/subs")), 0644);
}

Test(subscriptions, only_new_mailboxes_by_saving)
{
	settings.autosubscribe = true;
	refuse("A", LOCAL_NO_MAILBOX);
	settings.autocreate = true;
	save("A");
	unlink(path_of(FILE_NAME));
	save("A");
	cr_expect_eq(access(path_of(FILE_NAME), F_OK), -1);
	save("B.C");
	expect_content(path_of(FILE_NAME), "V\t2\n\nB\tC\n");
}

Test(subscriptions, a_lock_left_behind)
{
	const struct timespec old[2] = { { 1700000000, 0 }, { 1700000000, 0 } };

	files_write(&files, FILE_NAME ".lock", "half a fi");
	cr_assert_eq(utimensat(AT_FDCWD, files.path, old, 0), 0);
	add(".A");
	expect_content(path_of(FILE_NAME), "V\t2\n\nA\n");
}

#define AT_ONCE 8
#define ROUNDS 300

static pthread_barrier_t barrier;

static void *add_one(void *folder)
{
	struct local_result one;

	pthread_barrier_wait(&barrier);
	return subscriptions_add(&location, folder, false, &one) == 0 ? folder
								     : NULL;
}

/* Who breaks a lock does not break that of another one who has done so. */
Test(subscriptions, a_lock_left_behind_that_all_find)
{
	const struct timespec old[2] = { { 1700000000, 0 }, { 1700000000, 0 } };
	pthread_t threads[AT_ONCE];
	char folders[AT_ONCE][8], want[32];
	unsigned round, i;
	void *added;

	pthread_barrier_init(&barrier, NULL, AT_ONCE);
	for (round = 0; round < ROUNDS; round++) {
		unlink(path_of(FILE_NAME));
		files_write(&files, FILE_NAME ".lock", "half a fi");
		cr_assert_eq(utimensat(AT_FDCWD, files.path, old, 0), 0);
		for (i = 0; i < AT_ONCE; i++) {
			snprintf(folders[i], sizeof(folders[i]), ".F%u", i);
			cr_assert_eq(pthread_create(&threads[i], NULL, add_one,
						    folders[i]), 0);
		}
		for (i = 0; i < AT_ONCE; i++) {
			pthread_join(threads[i], &added);
			cr_expect_eq(added, folders[i]);
		}
		str_clear(&found);
		cr_assert_eq(file_read(path_of(FILE_NAME), 4096, &found, &err), 1);
		for (i = 0; i < AT_ONCE; i++) {
			snprintf(want, sizeof(want), "\nF%u\n", i);
			cr_assert_not_null(strstr(str_c(&found), want),
					   "round %u: %s", round, str_c(&found));
		}
	}
}

Test(subscriptions, a_lock_that_is_held)
{
	files_write(&files, FILE_NAME ".lock", "");
	settings.autocreate = settings.autosubscribe = true;
	cr_assert_eq(save_bytes("A", "", "x\n", 2), 0);
	cr_expect_eq(result.status, LOCAL_SAVED);
	cr_expect_not_null(strstr(result.text, "subscriptions.lock"), "%s",
			   result.text);
	cr_expect_eq(look("mail/.A/new"), 1);
	expect_content(path_of(FILE_NAME ".lock"), "");
	cr_expect_eq(access(path_of(FILE_NAME), F_OK), -1);
}

static void *unlock_soon(void *path)
{
	nanosleep(&(struct timespec){ 0, 200000000 }, NULL);
	unlink(path);
	return NULL;
}

Test(subscriptions, a_lock_that_goes)
{
	char *path = mem_strdup(files_write(&files, FILE_NAME ".lock", ""));
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, unlock_soon, path), 0);
	add(".A");
	pthread_join(thread, NULL);
	expect_content(path_of(FILE_NAME), "V\t2\n\nA\n");
	mem_free(&path);
}

Test(subscriptions, a_file_that_cannot_be_read)
{
	cr_assert_eq(mkdir(path_of("mail"), 0700), 0);
	cr_assert_eq(mkdir(path_of(FILE_NAME), 0700), 0);
	cr_expect_eq(subscriptions_add(&location, ".A", true, &result), -1);
	cr_expect_str_neq(result.text, "");
	cr_expect_eq(access(path_of(FILE_NAME ".lock"), F_OK), -1);
}

Test(subscriptions, a_pipe_is_not_waited_for)
{
	cr_assert_eq(mkdir(path_of("mail"), 0700), 0);
	cr_assert_eq(mkfifo(path_of(FILE_NAME), 0600), 0);
	cr_expect_eq(subscriptions_add(&location, ".A", true, &result), -1);
	cr_expect_str_neq(result.text, "");
	cr_expect_eq(access(path_of(FILE_NAME ".lock"), F_OK), -1);
}

Test(subscriptions, a_link_is_not_followed)
{
	files_write(&files, "victim", "precious");
	cr_assert_eq(mkdir(path_of("mail"), 0700), 0);
	cr_assert_eq(symlink("../victim", path_of(FILE_NAME ".lock")), 0);
	cr_expect_eq(subscriptions_add(&location, ".A", true, &result), -1);
	expect_content(path_of("victim"), "precious");
}
