/* Modes, groups, and what a user's rights do not allow. */
#include "t/unit/maildir_helper.h"

#include <sys/resource.h>

TestSuite(maildir_rights, .init = setup, .fini = teardown, .timeout = 60);

static void prepare(const char *name, mode_t mode, gid_t gid)
{
	char *path = mem_strdup(path_of(name));

	cr_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
	if (geteuid() == 0)
		cr_assert_eq(chown(path, OTHER_ID, gid), 0);
	cr_assert_eq(chmod(path, mode), 0);
	mem_free(&path);
}

static const gid_t mail_group = 8;

Test(maildir_rights, the_mailbox_hands_on_its_mode)
{
	prepare("mail", 0755, OTHER_ID);
	umask(077);
	settings.autocreate = true;
	save("INBOX");
	look("mail/new");
	cr_expect_eq(mode_of(found.data), 0644);
	cr_expect_eq(mode_of(path_of("mail/new")), 0755);
	save("A");
	cr_expect_eq(mode_of(path_of("mail/.A")), 0755);
	cr_expect_eq(mode_of(path_of("mail/.A/tmp")), 0755);
	cr_expect_eq(mode_of(path_of("mail/.A/maildirfolder")), 0644);
	cr_assert_eq(chmod(path_of("mail/.A"), 0711), 0);
	save("A.B.C");
	cr_expect_eq(mode_of(path_of("mail/.A.B.C")), 0711, "of .A, not of mail");
	look("mail/.A.B.C/new");
	cr_expect_eq(mode_of(found.data), 0600);
}

Test(maildir_rights, directories_take_after_the_one_above)
{
	prepare("mail", 0755, OTHER_ID);
	prepare("mail/A", 0711, OTHER_ID);
	set_location(":LAYOUT=fs");
	settings.autocreate = true;
	save("A/b.c/D");
	cr_expect_eq(mode_of(path_of("mail/A/b.c")), 0711);
	cr_expect_eq(mode_of(path_of("mail/A/b.c/D/new")), 0711);
}

Test(maildir_rights, the_group_is_given)
{
	prepare("mail", 0770, mail_group);
	become(&mail_group, 1);
	settings.autocreate = true;
	save("INBOX");
	save("A");
	cr_assert_eq(look("mail/.A/new"), 1);
	cr_expect_eq(mode_of(found.data), 0660);
	cr_expect_eq(group_of(found.data), mail_group);
	cr_expect_eq(group_of(path_of("mail/.A")), mail_group);
	cr_expect_eq(group_of(path_of("mail/cur")), mail_group);
	cr_expect_eq(mode_of(path_of("mail/cur")), 0770);
}

Test(maildir_rights, a_group_with_no_more_rights_is_not_given)
{
	prepare("mail", 0700, mail_group);
	become(&mail_group, 1);
	save("INBOX");
	look("mail/new");
	cr_expect_eq(mode_of(found.data), 0600);
	cr_expect_eq(group_of(found.data), OTHER_ID);
}

Test(maildir_rights, setgid_gives_the_group_and_stays)
{
	prepare("mail", 02770, mail_group);
	become(NULL, 0);
	settings.autocreate = true;
	save("A");
	cr_assert_eq(look("mail/.A/new"), 1);
	cr_expect_eq(mode_of(found.data), 0660);
	cr_expect_eq(group_of(found.data), mail_group);
	cr_expect_eq(mode_of(path_of("mail/.A/new")) & 0777, 0770);
	cr_expect_eq(group_of(path_of("mail/.A/new")), mail_group);
}

/* Who is not in the group may not hand on the setgid bit, but who is does. */
Test(maildir_rights, setgid_goes_down)
{
	prepare("mail", 02770, mail_group);
	become(&mail_group, 1);
	settings.autocreate = true;
	save("A");
	cr_expect_eq(mode_of(path_of("mail/.A/new")), 02770);
}

Test(maildir_rights, a_group_that_may_not_be_given_gets_nothing)
{
	prepare("mail", 0770, mail_group);
	become(NULL, 0);
	cr_assert_eq(save_bytes("INBOX", "", "x\n", 2), 0, "%s", result.text);
	cr_expect_eq(result.status, LOCAL_SAVED);
	cr_expect_not_null(strstr(result.text, "without rights for the group"), "%s", result.text);
	cr_assert_eq(look("mail/new"), 1);
	cr_expect_eq(mode_of(found.data), 0600);
	cr_expect_eq(mode_of(path_of("mail/new")), 0700);
}

Test(maildir_rights, homes_are_made_like_what_is_above_when_that_has_setgid)
{
	prepare("homes", 02750, mail_group);
	become(&mail_group, 1);
	mail_location_free(&location);
	cr_assert_eq(mail_location_parse(&location, "maildir:~/mail",
					 path_of("homes/joe"),
					 &(struct err){ { 0 } }), 0);
	save("INBOX");
	cr_expect_eq(mode_of(path_of("homes/joe")), 02750);
	cr_expect_eq(mode_of(path_of("homes/joe/mail/cur")), 02750);
	look("homes/joe/mail/new");
	cr_expect_eq(mode_of(found.data), 0640);
}

Test(maildir_rights, mail_elsewhere_is_the_users_alone)
{
	prepare("mail", 02750, mail_group);
	become(&mail_group, 1);
	set_location("/domain/joe");
	save("INBOX");
	cr_expect_eq(mode_of(path_of("mail/domain")), 02750);
	cr_expect_eq(mode_of(path_of("mail/domain/joe")) & 0777, 0700);
	look("mail/domain/joe/new");
	cr_expect_eq(mode_of(found.data), 0600);
}

Test(maildir_rights, no_rights)
{
	prepare("mail", 0500, OTHER_ID);
	become(NULL, 0);
	refuse("INBOX", LOCAL_NO_ACCESS);
	cr_expect_eq(result.error, EACCES);
	cr_expect_not_null(strstr(result.text, "as uid 65534"), "%s", result.text);
	cr_expect_not_null(strstr(result.text, "/mail/cur"), "%s", result.text);
	cr_assert_eq(chmod(path_of("mail"), 0700), 0);
	save("INBOX");
	cr_assert_eq(chmod(path_of("mail/tmp"), 0500), 0);
	refuse("INBOX", LOCAL_NO_ACCESS);
	cr_assert_eq(chmod(path_of("mail/tmp"), 0700), 0);
	cr_assert_eq(chmod(path_of("mail/new"), 0500), 0);
	refuse("INBOX", LOCAL_NO_ACCESS);
	cr_expect_eq(look("mail/new"), 1);
	cr_expect_eq(look("mail/tmp"), 0);
	cr_assert_eq(chmod(path_of("mail"), 0), 0);
	refuse("INBOX", LOCAL_NO_ACCESS);
	refuse("A", LOCAL_NO_ACCESS);
	cr_assert_eq(chmod(path_of("mail"), 0700), 0);
}

Test(maildir_rights, a_home_that_is_not_there)
{
	become(NULL, 0);
	cr_assert_eq(chmod(files.dir, 0500), 0);
	set_location("/home/joe");
	refuse("INBOX", LOCAL_GONE);
	cr_expect_not_null(strstr(result.text, "/mail:"), "%s", result.text);
	set_location("");
	refuse("INBOX", LOCAL_NO_ACCESS);
	cr_assert_eq(chmod(files.dir, 0700), 0);
}

Test(maildir_rights, a_link_to_a_disk_that_is_not_there)
{
	cr_assert_eq(symlink("/nonexistent/disk", path_of("mail")), 0);
	refuse("INBOX", LOCAL_GONE);
}

Test(maildir_rights, links_to_directories_are_followed)
{
	prepare("elsewhere", 0700, OTHER_ID);
	cr_assert_eq(symlink("elsewhere", path_of("mail")), 0);
	save("INBOX");
	cr_expect_eq(look("elsewhere/new"), 1);
}

/* A user puts links where files are to be; what they point to stays as it is. */
Test(maildir_rights, links_to_files_are_not_followed)
{
	save("INBOX");
	files_write(&files, "victim", "precious");
	prepare("mail/.A", 0700, OTHER_ID);
	set_location(":LAYOUT=fs");
	settings.autocreate = true;
	prepare("mail/A", 0700, OTHER_ID);
	cr_assert_eq(symlink(files.dir, path_of("mail/A/new")), 0);
	save("A");
	expect_content(path_of("victim"), "precious");
	cr_assert_eq(symlink("../../victim", path_of("mail/A/cur/x")), 0);
	cr_assert_eq(rmdir(path_of("mail/A/tmp")), 0);
	cr_assert_eq(symlink("../../victim", path_of("mail/A/tmp")), 0);
	refuse("A", LOCAL_FAILED);
	expect_content(path_of("victim"), "precious");
}

Test(maildir_rights, a_file_must_not_become_too_large)
{
	struct rlimit limit = { 100000, 100000 };
	char *body = mem_alloc(200000);

	save("INBOX");
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	memset(body, 'x', 200000);
	location.layout = MAIL_LAYOUT_MAILDIR;
	struct local_mail mail = { body, 200000, -1, 0, { 1, 0 }, NULL, NULL, NULL };
	cr_expect_eq(maildir_save(&location, "INBOX", &settings, &mail, &result),
		     -1);
	cr_expect_eq(result.error, EFBIG);
	cr_expect_eq(result.status, LOCAL_FAILED);
	cr_expect_eq(look("mail/tmp"), 0);
	cr_expect_eq(look("mail/new"), 1);
	mem_free(&body);
}
