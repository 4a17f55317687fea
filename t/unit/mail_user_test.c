#include "proxy/mail_user.h"

#include <criterion/criterion.h>
#include <string.h>

static struct settings settings;
static struct userdb_user user;
static struct local_request request;
static struct arena *arena;
static struct err err;

static void setup(void)
{
	arena = arena_new(512);
	settings.local = (struct local_settings){
		.mail_location = "maildir:~/Maildir",
		.mail_home = "",
		.inbox = { .location = "", .prefix = "", .separator = "" },
		.mail_access_groups = "",
		.valid_chroot_dirs = "",
		.lda_command = "",
		.first_valid_uid = 500,
		.first_valid_gid = 1,
		.lmtp_delivery_timeout = 1000,
	};
	settings.lmtp.hostname = "host";
	user = (struct userdb_user){
		.name = "joe@example.org",
		.has_uid = true,
		.has_gid = true,
		.uid = 1001,
		.gid = 1002,
		.home = "/home/joe",
	};
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(mail_user, .init = setup, .fini = teardown);

static int find(void)
{
	return mail_user_find(arena, &settings, true, &user, &request, &err);
}

static void expect_error(const char *want)
{
	cr_assert_eq(find(), -1);
	cr_expect_str_eq(err.text, want);
}

Test(mail_user, what_the_userdb_says)
{
	user.system_groups_user = "joe";
	user.mail_access_groups = "staff";
	cr_assert_eq(find(), 0, "%s", err.text);
	cr_expect_eq(request.uid, 1001);
	cr_expect_eq(request.gid, 1002);
	cr_expect_str_eq(request.user, "joe@example.org");
	cr_expect_str_eq(request.home, "/home/joe");
	cr_expect_str_eq(request.chroot, "");
	cr_expect_str_eq(request.location, "maildir:~/Maildir");
	cr_expect_str_eq(request.groups_user, "joe");
	cr_expect_str_eq(request.groups, "staff");
}

Test(mail_user, its_mail_counts_more_than_mail_location)
{
	user.mail = "maildir:/elsewhere/%u";
	cr_assert_eq(find(), 0);
	cr_expect_str_eq(request.location, "maildir:/elsewhere/%u");
}

Test(mail_user, the_namespace_counts_more_than_its_mail)
{
	user.mail = "maildir:/mail";
	settings.local.inbox.location = "maildir:/srv/%n";
	cr_assert_eq(find(), 0, "%s", err.text);
	cr_expect_str_eq(request.location, "maildir:/srv/joe");
}

Test(mail_user, variables)
{
	user.home = NULL;
	settings.local.mail_home = "/srv/%d/%n";
	settings.local.mail_location = "maildir:%h/%1u-%i-%{gid}-%Ud";
	cr_assert_eq(find(), 0, "%s", err.text);
	cr_expect_str_eq(request.home, "/srv/example.org/joe");
	cr_expect_str_eq(request.location, "maildir:/srv/example.org/joe/"
			 "j-1001-1002-EXAMPLE.ORG");
}

/* There is nothing yet that its value could be behind. */
Test(mail_user, a_variable_without_a_value_comes_first)
{
	user.name = "joe";
	settings.local.mail_location = "%dmaildir:~/Maildir";
	cr_assert_eq(find(), 0, "%s", err.text);
	cr_expect_str_eq(request.location, "maildir:~/Maildir");
}

Test(mail_user, a_variable_that_is_unknown)
{
	settings.local.mail_location = "maildir:%{frob}";
	cr_assert_eq(find(), -1);
	cr_expect(strstr(err.text, "mail_location: ") == err.text, "%s",
		  err.text);
}

/* What separates options stands for itself in a name. */
Test(mail_user, colons_in_names)
{
	user.name = "joe:INBOX=/etc@example.org";
	settings.local.mail_location = "maildir:/srv/%n:LAYOUT=fs";
	expect_error("user joe:INBOX=/etc@example.org: the name could lead "
		     "out of a directory");
	user.name = "joe:INBOX=x@example.org";
	cr_assert_eq(find(), 0);
	cr_expect_str_eq(request.location,
			 "maildir:/srv/joe::INBOX=x:LAYOUT=fs");
}

Test(mail_user, names_that_could_lead_out_of_a_directory)
{
	static const char *const names[] = {
		"../joe", "a/b", "..", ".", "joe@../x", "joe@..",
		"@example.org", "@", /* the directory of a domain */
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		user.name = names[i];
		cr_expect_eq(find(), -1, "%s", names[i]);
	}
}

Test(mail_user, no_uid_at_all)
{
	user.has_uid = false;
	expect_error("user joe@example.org: the userdb names no uid, and "
		     "mail_uid is not set");
	settings.local.has_uid = settings.local.has_gid = true;
	settings.local.uid = 2001;
	settings.local.gid = 1002;
	cr_assert_eq(find(), 0, "%s", err.text);
	cr_expect_eq(request.uid, 2001);
}

Test(mail_user, whoever_service_lmtp_is)
{
	settings.local.has_owner = true;
	settings.local.owner_uid = 3001;
	settings.local.owner_gid = 3002;
	expect_error("user joe@example.org has uid 1001 and gid 1002, but all mail "
		     "has uid 3001 and gid 3002: see mail_uid, mail_gid and "
		     "service lmtp { user }");
	user.has_uid = user.has_gid = false;
	cr_assert_eq(find(), 0, "%s", err.text);
	cr_expect_eq(request.uid, 3001);
	cr_expect_eq(request.gid, 3002);
	user.has_uid = user.has_gid = true;
	user.uid = 3001;
	user.gid = 3002;
	cr_assert_eq(find(), 0, "%s", err.text);
	settings.local.has_uid = true;
	settings.local.uid = 2001;
	user.has_uid = false;
	cr_assert_eq(find(), 0, "%s", err.text);
	cr_expect_eq(request.uid, 2001);
	cr_expect_eq(request.gid, 3002);
}

Test(mail_user, ids_that_are_not_valid)
{
	user.uid = 0;
	settings.local.first_valid_uid = 0;
	expect_error("user joe@example.org has uid 0, which is not valid: see "
		     "first_valid_uid and last_valid_uid");
	user.uid = 1001;
	user.gid = 0;
	settings.local.first_valid_gid = 0;
	expect_error("user joe@example.org has gid 0, which is not valid: see "
		     "first_valid_gid and last_valid_gid");
}

Test(mail_user, chroots)
{
	user.home = "/srv/./joe";
	cr_assert_eq(find(), 0);
	cr_expect_str_eq(request.home, "/srv/joe");
	cr_expect_str_eq(request.chroot, "");
	settings.local.valid_chroot_dirs = "/var:/srv";
	cr_assert_eq(find(), 0);
	cr_expect_str_eq(request.home, "/joe");
	cr_expect_str_eq(request.chroot, "/srv");
	user.chroot = "/srvx";
	expect_error("user joe@example.org has the chroot /srvx, which is in "
		     "none of valid_chroot_dirs");
}

Test(mail_user, a_home_that_is_no_path)
{
	user.home = NULL;
	settings.local.mail_home = "%n";
	expect_error("user joe@example.org: the home joe is no absolute path");
}
