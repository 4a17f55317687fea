#include "backends/local/mbox/mbox.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "backends/local/mail/save.h"
#include "backends/local/mbox/part.h"
#include "t/unit/maildir_helper.h"

static struct mbox_settings mbox = { .fsync = true,
				     .sender = "joe@example.org",
				     .patience_ms = 300 };

#define FROM_LINE "From joe@example.org  Tue Nov 14 22:13:20 2023\n"
#define SAVED FROM_LINE "H: 1\n\nbody\n\n"

static void set_mbox(const char *keys)
{
	char *value = mem_printf("mbox:%s/mail%s", files.dir, keys);
	struct err err;

	mail_location_free(&location);
	cr_assert_eq(mail_location_parse(&location, value, NULL, &err), 0, "%s",
		     err.text);
	mem_free(&value);
}

static void setup_mbox(void)
{
	setup();
	setenv("TZ", "UTC", 1);
	set_mbox("");
}

TestSuite(mbox, .init = setup_mbox, .fini = teardown, .timeout = 60);

static int put(const char *mailbox, const char *body)
{
	struct local_mail mail = { "H: 1\n", 5, body_file(body, strlen(body)),
				   strlen(body), { 1700000000, 0 }, NULL, NULL, NULL };
	int status;

	memset(&result, 0x55, sizeof(result));
	status = mbox_save(&location, mailbox, &mbox, &mail, &result);
	close(mail.fd);
	cr_expect_eq(status, result.status == LOCAL_SAVED ? 0 : -1);
	return status;
}

static void put_well(const char *mailbox)
{
	cr_assert_eq(put(mailbox, "\nbody\n"), 0, "%s", result.text);
	cr_expect_str_eq(result.text, "");
}

static void put_badly(const char *mailbox, enum local_status status)
{
	cr_assert_eq(put(mailbox, "\nbody\n"), -1);
	cr_expect_eq(result.status, status, "%d: %s", (int)result.status,
		     result.text);
	cr_expect_str_neq(result.text, "");
}

Test(mbox, inbox)
{
	put_well("INBOX");
	put_well("inbox");
	expect_content(path_of("mail/inbox"), SAVED SAVED);
	cr_expect_eq(mode_of(path_of("mail/inbox")), 0600);
	cr_expect_eq(look("mail"), 1, "no lock is left");
}

Test(mbox, what_was_there_did_not_end_well)
{
	files_write(&files, "mail/inbox", "From x\n\nx\n");
	put_well("INBOX");
	expect_content(path_of("mail/inbox"), "From x\n\nx\n\n" SAVED);
	files_write(&files, "mail/inbox", "From x\n\nx");
	put_well("INBOX");
	expect_content(path_of("mail/inbox"), "From x\n\nx\n\n" SAVED);
	files_write(&files, "mail/inbox", "x");
	put_well("INBOX");
	expect_content(path_of("mail/inbox"), "x\n\n" SAVED);
	files_write(&files, "mail/inbox", "\n");
	put_well("INBOX");
	expect_content(path_of("mail/inbox"), "\n" SAVED);
}

Test(mbox, more_than_one_chunk)
{
	size_t len = 3 * 65536 + 5;
	char *body = mem_alloc(len + 1);
	struct str text = STR_INIT;

	memset(body, 'x', len);
	body[0] = '\n';
	memcpy(body + 65533, "\nFrom there", 11);
	cr_assert_eq(put("INBOX", body), 0, "%s", result.text);
	files_read(path_of("mail/inbox"), &text);
	cr_expect_not_null(strstr(text.data, "x\n>From therex"));
	cr_expect_eq(text.len, strlen(FROM_LINE) + 5 + len + 3);
	str_free(&text);
	mem_free(&body);
}

Test(mbox, folders)
{
	put_badly("A", LOCAL_NO_MAILBOX);
	put_badly("A/B", LOCAL_NO_MAILBOX);
	mbox.autocreate = mbox.autosubscribe = true;
	put_well("A/B");
	expect_content(path_of("mail/A/B"), SAVED);
	put_badly("A", LOCAL_NO_MAILBOX);
	cr_expect_eq(result.error, EISDIR);
	put_badly("A/B/C", LOCAL_NO_MAILBOX);
	put_badly("A/../C", LOCAL_NO_MAILBOX);
	put_well("C");
	put_well("INBOX");
	expect_content(path_of("mail/.subscriptions"), "V\t2\n\nA\tB\nC\n");
	mbox.autocreate = false;
	put_well("A/B");
	expect_content(path_of("mail/A/B"), SAVED SAVED);
}

/* In a home, what a sender calls a mailbox may be any file. */
Test(mbox, what_has_other_things_than_mail_is_no_mailbox)
{
	mbox.autocreate = true;
	cr_assert_eq(mkdir(path_of("mail"), 0700), 0);
	files_write(&files, "mail/notes", "ssh-ed25519 AAAA joe\n");
	put_badly("notes", LOCAL_NO_MAILBOX);
	expect_content(path_of("mail/notes"), "ssh-ed25519 AAAA joe\n");
	files_write(&files, "mail/notes", "F");
	put_badly("notes", LOCAL_NO_MAILBOX);
	expect_content(path_of("mail/notes"), "F");
	files_write(&files, "mail/notes", "");
	put_well("notes");
	expect_content(path_of("mail/notes"), SAVED);
	put_badly(".ssh/authorized_keys", LOCAL_NO_MAILBOX);
	put_badly("A/.profile", LOCAL_NO_MAILBOX);
	put_badly(".forward", LOCAL_NO_MAILBOX);
	cr_expect_eq(look("mail"), 1);
}

Test(mbox, inbox_elsewhere)
{
	mem_free(&location.inbox);
	location.inbox = mem_printf("%s/spool/x/joe", files.dir);
	put_well("INBOX");
	expect_content(path_of("spool/x/joe"), SAVED);
	cr_expect_eq(access(path_of("mail"), F_OK), -1);
}

Test(mbox, modes)
{
	cr_assert_eq(mkdir(path_of("mail"), 0755), 0);
	mbox.autocreate = true;
	put_well("INBOX");
	put_well("A/B");
	cr_expect_eq(mode_of(path_of("mail/inbox")), 0600);
	cr_expect_eq(mode_of(path_of("mail/A")), 0755);
	cr_expect_eq(mode_of(path_of("mail/A/B")), 0644);
}

Test(mbox, a_lock_that_is_held)
{
	put_well("INBOX");
	files_write(&files, "mail/inbox.lock", "1");
	put_badly("INBOX", LOCAL_FAILED);
	cr_expect_not_null(strstr(result.text, "inbox.lock"), "%s", result.text);
	expect_content(path_of("mail/inbox"), SAVED);
	expect_content(path_of("mail/inbox.lock"), "1");
}

static void make_old(const char *name)
{
	const struct timespec old[2] = { { 1700000000, 0 }, { 1700000000, 0 } };

	cr_assert_eq(utimensat(AT_FDCWD, path_of(name), old, 0), 0);
}

Test(mbox, a_lock_left_behind)
{
	put_well("INBOX");
	files_write(&files, "mail/inbox.lock", "1");
	make_old("mail/inbox.lock");
	put_badly("INBOX", LOCAL_FAILED);
	make_old("mail/inbox");
	put_well("INBOX");
	expect_content(path_of("mail/inbox"), SAVED SAVED);
}

static void set_owner(long pid, const char *host)
{
	char *owner = mem_printf("%ld:%s", pid, host);

	files_write(&files, "mail/inbox.lock", owner);
	mem_free(&owner);
}

Test(mbox, a_lock_whose_process_was_killed)
{
	char host[256] = "";
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(gethostname(host, sizeof(host) - 1), 0);
	put_well("INBOX");
	set_owner((long)getpid(), host);
	put_badly("INBOX", LOCAL_FAILED);
	set_owner((long)pid, "elsewhere.example");
	put_badly("INBOX", LOCAL_FAILED);
	set_owner(-(long)pid, host);
	put_badly("INBOX", LOCAL_FAILED);
	set_owner((long)pid, host);
	put_well("INBOX");
	expect_content(path_of("mail/inbox"), SAVED SAVED);
	cr_expect_eq(access(path_of("mail/inbox.lock"), F_OK), -1);
}

/* --- what a process has left that was killed --- */

#define PART FROM_LINE "H: 1\n\nbo"

/* FILE.lock of such a process, which had begun to write start at that place. */
static void leave_lock(off_t at, const char *start)
{
	struct str text = STR_INIT;
	char host[256] = "";
	pid_t pid = fork();
	FILE *file;

	if (pid == 0)
		_exit(0);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(gethostname(host, sizeof(host) - 1), 0);
	str_printf(&text, "%ld:%s", (long)pid, host);
	mbox_part_write(&text, at, start, strlen(start));
	file = fopen(files_write(&files, "mail/inbox.lock", ""), "w");
	cr_assert_eq(fwrite(text.data, 1, text.len, file), text.len);
	fclose(file);
	str_free(&text);
}

static void put_behind(const char *there, off_t at, const char *start,
		       const char *wanted, bool cut)
{
	files_write(&files, "mail/inbox", there);
	leave_lock(at, start);
	cr_assert_eq(put("INBOX", "\nbody\n"), 0, "%s", result.text);
	cr_expect_eq(strstr(result.text, "was cut off") != NULL, cut, "%s",
		     result.text);
	expect_content(path_of("mail/inbox"), wanted);
	cr_expect_eq(access(path_of("mail/inbox.lock"), F_OK), -1);
}

Test(mbox, a_part_is_cut_off)
{
	const off_t at = (off_t)strlen(SAVED);

	put_behind(SAVED PART, at, FROM_LINE, SAVED SAVED, true);
	put_behind(PART, 0, FROM_LINE, SAVED, true);
	put_behind("From x\n\ny\n" "\n" FROM_LINE, 10, "\n" FROM_LINE,
		   "From x\n\ny\n\n" SAVED, true);
	put_behind(SAVED PART "dy\n\n", at, FROM_LINE, SAVED SAVED, true);
}

/* Else others who wait would come first, and write behind it. */
Test(mbox, a_part_is_cut_off_at_once)
{
	mbox.patience_ms = 0;
	put_behind(SAVED PART, (off_t)strlen(SAVED), FROM_LINE, SAVED SAVED, true);
}

Test(mbox, what_may_be_anybodys_is_not_cut_off)
{
	const off_t at = (off_t)strlen(SAVED);

	/* Nothing was written; less; nobody knows what. */
	put_behind(SAVED, at, FROM_LINE, SAVED SAVED, false);
	put_behind(SAVED "From jo", at, FROM_LINE, SAVED "From jo\n\n" SAVED, false);
	put_behind(SAVED PART, at, "", SAVED PART "\n\n" SAVED, false);
	/* Somebody has removed mail, and others have come. */
	put_behind(PART, at, FROM_LINE, PART "\n\n" SAVED, false);
	put_behind(SAVED "From x\n\ny\n\n", at, FROM_LINE,
		   SAVED "From x\n\ny\n\n" SAVED, false);
	/* Somebody who knows only one lock has written behind it. */
	put_behind(SAVED PART "\nFrom x\n\ny\n\n", at, FROM_LINE,
		   SAVED PART "\nFrom x\n\ny\n\n" SAVED, false);
	put_behind(SAVED FROM_LINE "From x\n\ny\n\n", at, FROM_LINE,
		   SAVED FROM_LINE "From x\n\ny\n\n" SAVED, false);
}

/* A process that has the file locked as readers do: for so long, or, 0, until it is
 * killed. */
static pid_t read_for(unsigned ms)
{
	struct flock whole = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int ready[2];
	pid_t pid;
	char byte;

	cr_assert_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(path_of("mail/inbox"), O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		if (fcntl(fd, F_SETLK, &whole) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		poll(NULL, 0, ms > 0 ? (int)ms : -1);
		_exit(0);
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void expect_cut(void)
{
	cr_assert_eq(put("INBOX", "\nbody\n"), 0, "%s", result.text);
	cr_expect_not_null(strstr(result.text, "was cut off"), "%s", result.text);
	expect_content(path_of("mail/inbox"), SAVED SAVED);
	cr_expect_eq(access(path_of("mail/inbox.lock"), F_OK), -1);
}

/* What FILE.lock says must not be lost while a reader keeps us from the file. */
Test(mbox, a_part_waits_for_readers)
{
	struct str before = STR_INIT, after = STR_INIT;
	struct stat st, now;
	pid_t reader;

	files_write(&files, "mail/inbox", SAVED PART);
	leave_lock((off_t)strlen(SAVED), FROM_LINE);
	make_old("mail/inbox.lock");
	files_read(path_of("mail/inbox.lock"), &before);
	cr_assert_eq(stat(path_of("mail/inbox.lock"), &st), 0);
	reader = read_for(0);
	put_badly("INBOX", LOCAL_FAILED);
	expect_content(path_of("mail/inbox"), SAVED PART);
	files_read(path_of("mail/inbox.lock"), &after);
	cr_assert_eq(after.len, before.len);
	cr_expect_eq(memcmp(after.data, before.data, before.len), 0);
	cr_assert_eq(stat(path_of("mail/inbox.lock"), &now), 0);
	cr_expect_eq(now.st_mtime, st.st_mtime);
	kill(reader, SIGKILL);
	cr_assert_eq(waitpid(reader, NULL, 0), reader);
	expect_cut();
	str_free(&before);
	str_free(&after);
}

Test(mbox, a_part_is_cut_off_behind_a_reader)
{
	pid_t reader;

	mbox.patience_ms = 30000;
	files_write(&files, "mail/inbox", SAVED PART);
	leave_lock((off_t)strlen(SAVED), FROM_LINE);
	reader = read_for(200);
	expect_cut();
	cr_assert_eq(waitpid(reader, NULL, 0), reader);
}

Test(mbox, another_users_lock_says_nothing)
{
	if (geteuid() != 0)
		cr_skip_test("needs root");
	files_write(&files, "mail/inbox", SAVED SAVED);
	leave_lock(0, FROM_LINE);
	cr_assert_eq(chown(path_of("mail/inbox.lock"), OTHER_ID, OTHER_ID), 0);
	put_well("INBOX");
	expect_content(path_of("mail/inbox"), SAVED SAVED SAVED);
}

/* The other one has to be another process: that is how these locks work. */
Test(mbox, a_file_that_is_locked)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int ready[2], done[2], fd;
	char c;

	put_well("INBOX");
	cr_assert_eq(pipe(ready) + pipe(done), 0);
	if (fork() == 0) {
		close(done[1]);
		fd = open(path_of("mail/inbox"), O_RDWR);
		_exit(fcntl(fd, F_SETLK, &whole) < 0 ||
		      write(ready[1], "x", 1) != 1 || read(done[0], &c, 1) != 0);
	}
	cr_assert_eq(read(ready[0], &c, 1), 1);
	put_badly("INBOX", LOCAL_FAILED);
	cr_expect_eq(result.error, EAGAIN);
	cr_expect_eq(access(path_of("mail/inbox.lock"), F_OK), -1);
	close(done[1]);
	mbox.patience_ms = 20000;
	put_well("INBOX");
	expect_content(path_of("mail/inbox"), SAVED SAVED);
}

/* Where others can put files, too. */
Test(mbox, what_is_not_our_file_is_not_written_to)
{
	files_write(&files, "victim", "precious");
	cr_assert_eq(mkdir(path_of("mail"), 0700), 0);
	cr_assert_eq(symlink("../victim", path_of("mail/inbox")), 0);
	put_badly("INBOX", LOCAL_FAILED);
	unlink(path_of("mail/inbox"));
	char *victim = mem_strdup(path_of("victim"));
	cr_assert_eq(link(victim, path_of("mail/inbox")), 0);
	mem_free(&victim);
	put_badly("INBOX", LOCAL_NO_ACCESS);
	expect_content(path_of("victim"), "precious");
	unlink(path_of("mail/inbox"));
	cr_assert_eq(mkfifo(path_of("mail/inbox"), 0600), 0);
	put_badly("INBOX", LOCAL_NO_ACCESS);
	cr_expect_eq(look("mail"), 1, "no lock is left");
}

Test(mbox, what_is_another_users_file_is_not_written_to)
{
	if (geteuid() != 0)
		return; /* who else could give a file away */
	cr_assert_eq(mkdir(path_of("mail"), 0700), 0);
	files_write(&files, "mail/inbox", "");
	cr_assert_eq(chown(path_of("mail/inbox"), 65534, 65534), 0);
	put_badly("INBOX", LOCAL_NO_ACCESS);
	expect_content(path_of("mail/inbox"), "");
}

Test(mbox, a_mail_that_is_cut_short_leaves_nothing)
{
	struct local_mail mail = { "H: 1\n", 5, body_file("12345", 5), 6, { 1, 0 }, NULL, NULL, NULL };

	put_well("INBOX");
	cr_expect_eq(mbox_save(&location, "INBOX", &mbox, &mail, &result), -1);
	cr_expect_not_null(strstr(result.text, "whole") ?
			   result.text : strstr(result.text, "read the message"));
	expect_content(path_of("mail/inbox"), SAVED);
	close(mail.fd);
}

Test(mbox, no_rights)
{
	put_well("INBOX");
	become(NULL, 0);
	put_badly("INBOX", LOCAL_NO_ACCESS);
}

Test(mbox, the_format_decides)
{
	static const char head[] = "Return-Path: <joe@example.org>\n";
	struct local_mail mail = { head, strlen(head), body_file("\nx\n", 3), 3,
				   { 1700000000, 0 }, NULL, NULL, NULL };

	cr_assert_eq(mail_save(&location, "INBOX", &settings, &mail, &result), 0);
	expect_content(path_of("mail/inbox"),
		       FROM_LINE "Return-Path: <joe@example.org>\n\nx\n\n");
	set_location("dir");
	cr_assert_eq(mail_save(&location, "INBOX", &settings, &mail, &result), 0);
	cr_expect_eq(look("maildir/new"), 1);
	close(mail.fd);
}

Test(mbox, a_maildir_is_none)
{
	struct local_mail mail = { "", 0, -1, 0, { 1, 0 }, NULL, NULL, NULL };

	cr_expect_eq(maildir_save(&location, "INBOX", &settings, &mail, &result),
		     -1);
	cr_expect_eq(result.status, LOCAL_FAILED);
	cr_expect_eq(access(path_of("mail"), F_OK), -1);
}
