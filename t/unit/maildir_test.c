#include "t/unit/maildir_helper.h"

#include <regex.h>

TestSuite(maildir, .init = setup, .fini = teardown, .timeout = 60);

static void expect_name(const char *pattern)
{
	regex_t regex;

	cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED), 0);
	cr_expect_eq(regexec(&regex, strrchr(found.data, '/') + 1, 0, NULL, 0),
		     0, "%s", found.data);
	regfree(&regex);
}

Test(maildir, a_mail)
{
	struct stat st;

	save("INBOX");
	cr_assert_eq(look("mail/new"), 1);
	expect_content(found.data, "H: 1\n\nbody\n");
	expect_name("^[0-9]{10}\\.M[0-9]{1,6}P[0-9]+\\.host\\.example,S=11,W=14$");
	cr_assert_eq(stat(found.data, &st), 0);
	cr_expect_eq(st.st_mtim.tv_sec, 1700000000);
	cr_expect_eq(st.st_mtim.tv_nsec, 123456789);
	cr_expect_eq(st.st_nlink, 1);
	cr_expect_eq(look("mail/tmp"), 0);
	cr_expect_eq(look("mail/cur"), 0);
	cr_expect_eq(look("mail"), 3);
}

Test(maildir, what_is_made_is_the_users_alone)
{
	umask(0);
	settings.autocreate = true;
	save("INBOX");
	look("mail/new");
	cr_expect_eq(mode_of(found.data), 0600);
	cr_expect_eq(mode_of(path_of("mail")), 0700);
	cr_expect_eq(mode_of(path_of("mail/new")), 0700);
	save("a");
	cr_expect_eq(mode_of(path_of("mail/.a/cur")), 0700);
	cr_expect_eq(mode_of(path_of("mail/.a/maildirfolder")), 0600);
}

static void expect_sizes(const char *head, const char *body, size_t len,
			 const char *sizes)
{
	cr_assert_eq(save_bytes("INBOX", head, body, len), 0, "%s", result.text);
	cr_assert_eq(look("mail/new"), 1);
	expect_name(sizes);
	unlink(found.data);
}

Test(maildir, sizes)
{
	expect_sizes("", "", 0, ",S=0,W=0$");
	expect_sizes("A: b\n", "", 0, ",S=5,W=6$");
	expect_sizes("", "A: b\n", 5, ",S=5,W=6$");
	expect_sizes("", "no end", 6, ",S=6,W=6$");
	expect_sizes("\n", "\n\n", 2, ",S=3,W=6$");
	expect_sizes("a\r\n", "b\r\n\n\r", 5, ",S=8,W=9$");
	expect_sizes("a\r", "\nb\r\r\n", 5, ",S=7,W=7$");
	expect_sizes("", "a\0b\n\0", 5, ",S=5,W=6$");
}

static void expect_big(size_t len)
{
	char *body = mem_alloc(len + 1), sizes[64];
	struct str text = STR_INIT;
	size_t i, lines = 0;

	for (i = 0; i < len; i++) {
		body[i] = i % 7 == 3 ? '\n' : (char)('a' + i % 23);
		lines += body[i] == '\n';
	}
	snprintf(sizes, sizeof(sizes), ",S=%zu,W=%zu$", len + 5, len + 5 + lines + 1);
	cr_assert_eq(save_bytes("INBOX", "A: b\n", body, len), 0);
	cr_assert_eq(look("mail/new"), 1);
	expect_name(sizes);
	files_read(found.data, &text);
	cr_assert_eq(text.len, len + 5);
	cr_expect(memcmp(text.data + 5, body, len) == 0);
	unlink(found.data);
	str_free(&text);
	mem_free(&body);
}

Test(maildir, more_than_one_chunk)
{
	expect_big(65535);
	expect_big(65536);
	expect_big(65537);
	expect_big(3 * 65536 + 17);
}

/* CR at the end of a chunk, LF at the start of the next one. */
Test(maildir, a_line_end_between_chunks)
{
	char *body = mem_alloc(65540);

	memset(body, 'x', 65540);
	memcpy(body + 65535, "\r\n", 2);
	expect_sizes("", body, 65540, ",S=65540,W=65540$");
	mem_free(&body);
}

Test(maildir, the_message_is_shorter_than_was_said)
{
	struct local_mail mail = { "", 0, body_file("12345", 5), 6, { 1, 0 }, NULL, NULL, NULL };

	save("INBOX");
	cr_expect_eq(maildir_save(&location, "INBOX", &settings, &mail, &result),
		     -1);
	cr_expect_eq(result.status, LOCAL_FAILED);
	cr_expect_not_null(strstr(result.text, "whole message"));
	cr_expect_eq(look("mail/new"), 1);
	cr_expect_eq(look("mail/tmp"), 0);
	close(mail.fd);
}

Test(maildir, the_message_is_longer_and_has_a_position)
{
	struct local_mail mail = { "", 0, body_file("12345", 5), 3, { 1, 0 }, NULL, NULL, NULL };

	cr_expect_eq(maildir_save(&location, "INBOX", &settings, &mail, &result),
		     0);
	cr_expect_eq(lseek(mail.fd, 0, SEEK_CUR), 5, "it is not moved");
	cr_assert_eq(look("mail/new"), 1);
	expect_content(found.data, "123");
	close(mail.fd);
}

Test(maildir, the_message_cannot_be_read)
{
	struct local_mail mail = { "", 0, -1, 3, { 1, 0 }, NULL, NULL, NULL };

	cr_expect_eq(maildir_save(&location, "INBOX", &settings, &mail, &result),
		     -1);
	cr_expect_eq(result.error, EBADF);
	cr_expect_eq(look("mail/new") + look("mail/tmp"), 0);
}

Test(maildir, names_are_never_the_same)
{
	int i;

	settings.fsync = false;
	for (i = 0; i < 2000; i++)
		save("INBOX");
	cr_expect_eq(look("mail/new"), 2000);
	cr_expect_eq(look("mail/tmp"), 0);
}

Test(maildir, hostnames_that_no_name_may_have)
{
	char longest[400];

	settings.hostname = "a/b:c,d\\e \n\xc3";
	save("INBOX");
	look("mail/new");
	expect_name("\\.a\\\\057b\\\\072c\\\\054d\\\\134e\\\\040\\\\012\\\\303,S=11,");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	settings.hostname = longest;
	save("INBOX");
	memset(longest, '/', sizeof(longest) - 1);
	save("INBOX");
	cr_expect_eq(look("mail/new"), 3);
}

Test(maildir, what_is_missing_comes_back)
{
	save("INBOX");
	cr_assert_eq(rmdir(path_of("mail/cur")), 0);
	cr_assert_eq(rmdir(path_of("mail/tmp")), 0);
	save("INBOX");
	cr_expect_eq(look("mail"), 3);
	look("mail/new");
	unlink(found.data);
	look("mail/new");
	unlink(found.data);
	cr_assert_eq(rmdir(path_of("mail/new")), 0);
	save("INBOX");
	cr_expect_eq(look("mail/new"), 1);
}

Test(maildir, parents_are_made)
{
	set_location("/a/b/c:INBOX=/dev/null");
	mem_free(&location.inbox);
	location.inbox = mem_printf("%s/x/y/z", files.dir);
	settings.autocreate = true;
	save("INBOX");
	cr_expect_eq(look("x/y/z/new"), 1);
	save("box");
	cr_expect_eq(look("mail/a/b/c/.box/new"), 1);
	cr_expect_eq(look("mail/a/b/c"), 0, "INBOX is elsewhere");
}

Test(maildir, folders)
{
	refuse("A.B", LOCAL_NO_MAILBOX);
	cr_expect_not_null(strstr(result.text, "/mail/.A.B"), "%s", result.text);
	settings.autocreate = true;
	save("A.B");
	cr_expect_eq(look("mail/.A.B/new"), 1);
	cr_expect_eq(look("mail/.A.B"), 4, "with maildirfolder");
	cr_expect_eq(access(path_of("mail/.A"), F_OK), -1);
	cr_expect_eq(access(path_of("mail/subscriptions"), F_OK), -1);
	settings.autocreate = false;
	settings.naming.separator = '/';
	save("A/B");
	cr_expect_eq(look("mail/.A.B/new"), 2);
	refuse("A.B", LOCAL_NO_MAILBOX);
	refuse("A/../B", LOCAL_NO_MAILBOX);
}

Test(maildir, folders_in_directories)
{
	set_location(":LAYOUT=fs");
	settings.autocreate = true;
	save("A/B");
	cr_expect_eq(look("mail/A/B/new"), 1);
	cr_expect_eq(look("mail/A/B"), 3, "without maildirfolder");
	cr_expect_eq(look("mail/A"), 1);
	settings.autocreate = false;
	refuse("A", LOCAL_NO_MAILBOX);
	settings.autocreate = true;
	save("A");
	cr_expect_eq(look("mail/A/new"), 1);
	cr_expect_eq(look("mail"), 1, "INBOX is not there yet");
}

Test(maildir, a_directory_alone_is_a_folder_of_maildirpp)
{
	files_write(&files, "mail/.A/x", "");
	save("A");
	cr_expect_eq(look("mail/.A/new"), 1);
	cr_expect_eq(look("mail/.A"), 4, "without maildirfolder");
}

Test(maildir, dovecot_shared_is_handed_on)
{
	files_write(&files, "mail/dovecot-shared", "");
	settings.autocreate = true;
	save("A");
	cr_expect_eq(access(path_of("mail/.A/dovecot-shared"), F_OK), 0);
}

Test(maildir, a_file_is_no_folder)
{
	files_write(&files, "mail/.A", "");
	files_write(&files, "mail/B/c", "");
	settings.autocreate = true;
	refuse("A", LOCAL_NO_MAILBOX);
	set_location(":LAYOUT=fs");
	refuse("B/c/d", LOCAL_NO_MAILBOX);
	files_write(&files, "other", "");
	mem_free(&location.inbox);
	location.inbox = mem_strdup(path_of("other"));
	refuse("INBOX", LOCAL_FAILED);
	cr_expect_eq(result.error, ENOTDIR);
}

static nlink_t links_of(const char *path)
{
	struct stat st;

	cr_assert_eq(lstat(path, &st), 0, "%s", path);
	return st.st_nlink;
}

/* Of the last mail that was saved by save_copy(): what the next one may link to. */
static char copy[sizeof(result.path)];

static void save_copy(const char *mailbox)
{
	struct local_mail mail = { "A: b\n", 5, body_file("\nx\n", 3), 3,
				   { 1700000000, 0 }, NULL, NULL, copy };

	cr_assert_eq(maildir_save(&location, mailbox, &settings, &mail, &result),
		     0, "%s", result.text);
	close(mail.fd);
	memcpy(copy, result.path, sizeof(copy));
	cr_expect_eq(result.linked, links_of(copy) > 1);
}

Test(maildir, copies_are_links)
{
	settings.autocreate = true;
	save_copy("INBOX");
	cr_assert_eq(look("mail/new"), 1);
	cr_expect_str_eq(copy, found.data);
	save_copy("a");
	cr_assert_eq(look("mail/.a/new"), 1);
	cr_expect_str_eq(copy, found.data);
	expect_name(",S=8,W=11$");
	save_copy("a");
	cr_expect_eq(links_of(copy), 3);
	cr_expect_eq(look("mail/.a/new"), 2);
	expect_content(copy, "A: b\n\nx\n");
}

Test(maildir, what_others_may_read_is_not_linked)
{
	settings.autocreate = true;
	save_copy("INBOX");
	save("a");
	cr_assert_eq(chmod(path_of("mail/.a"), 0750), 0);
	save_copy("a");
	cr_expect_eq(links_of(copy), 1);
	cr_expect_eq(mode_of(copy), 0640);
	save_copy("INBOX");
	cr_expect_eq(links_of(copy), 1);
	cr_expect_eq(mode_of(copy), 0600);
}

Test(maildir, without_the_earlier_copy_there_is_a_new_one)
{
	static const char *const bad[] = { "/nonexistent/x,S=8,W=11", "x", "/" };
	size_t i;

	for (i = 0; i < 3; i++) {
		strcpy(copy, bad[i]);
		save_copy("INBOX");
		cr_expect_eq(look("mail/new"), i + 1);
		expect_content(copy, "A: b\n\nx\n");
	}
	unlink(copy);
	cr_assert_eq(symlink("/etc/passwd", copy), 0);
	save_copy("INBOX");
	cr_expect_eq(links_of(copy), 1);
	expect_content(copy, "A: b\n\nx\n");
}

static void expect_no_link(const char *why)
{
	save_copy("INBOX");
	cr_expect_eq(links_of(copy), 1, "%s", why);
	expect_content(copy, "A: b\n\nx\n");
}

static void write_copy(const char *content)
{
	int fd = open(copy, O_WRONLY | O_TRUNC);

	cr_assert_eq(write(fd, content, strlen(content)),
		     (ssize_t)strlen(content));
	close(fd);
}

/* Whoever names it may be anybody. */
Test(maildir, only_the_same_mail_is_linked)
{
	save_copy("INBOX");
	write_copy("A: c\n\nx\n");
	expect_no_link("another head");
	write_copy("A: b\n\ny\n");
	expect_no_link("another body");
	write_copy("A: b\n\nx\nx");
	expect_no_link("more");
	write_copy("A: b\n\nx");
	expect_no_link("less");
	cr_assert_eq(chmod(copy, 0400), 0);
	expect_no_link("another mode");
	cr_assert_eq(chmod(copy, 0600), 0);
	if (geteuid() == 0) {
		cr_assert_eq(chown(copy, 64321, (gid_t)-1), 0);
		expect_no_link("another user");
		cr_assert_eq(chown(copy, (uid_t)-1, 64321), 0);
		expect_no_link("another group");
	}
	cr_assert_eq(unlink(copy), 0);
	cr_assert_eq(mkfifo(copy, 0600), 0);
	expect_no_link("a pipe");
	save_copy("INBOX");
	cr_expect_eq(links_of(copy), 2);
}

Test(maildir, a_link_needs_the_same_file_system)
{
	char name[] = "/dev/shm/waypost-copy-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);
	struct stat here, there;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, "A: b\n\nx\n", 8), 8);
	save_copy("INBOX");
	cr_assert_eq(stat(copy, &here), 0);
	cr_assert_eq(fstat(fd, &there), 0);
	if (here.st_dev != there.st_dev) {
		strcpy(copy, name);
		expect_no_link("elsewhere");
	}
	close(fd);
	unlink(name);
}

Test(maildir, a_path_that_is_too_long_is_not_said)
{
	char *name = mem_alloc(481);

	memset(name, 'x', 480);
	name[240] = '/';
	set_location(":LAYOUT=fs");
	settings.naming.separator = '/';
	settings.autocreate = true;
	save_bytes(name, "H: 1\n", "", 0);
	cr_expect_eq(result.status, LOCAL_SAVED, "%s", result.text);
	cr_expect_str_eq(result.path, "");
	mem_free(&name);
}
