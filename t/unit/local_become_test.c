#include "backends/local/become.h"

#include <criterion/criterion.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

/* --- a system that this test is --- */

static unsigned in_groups; /* how many the user is in: 1000, 1001, ... */
static gid_t given[100000];
static size_t given_count;

struct passwd *getpwnam(const char *name)
{
	static struct passwd joe;

	return strcmp(name, "joe") == 0 ? &joe : NULL;
}

struct group *getgrnam(const char *name)
{
	static struct group mail = { .gr_gid = 8 };

	return strcmp(name, "mail") == 0 ? &mail : NULL;
}

int getgrouplist(const char *user, gid_t gid, gid_t *list, int *count)
{
	int i, room = *count;

	(void)user;
	(void)gid;
	*count = (int)in_groups;
	for (i = 0; i < *count && i < room; i++)
		list[i] = 1000 + (gid_t)i;
	return *count <= room ? *count : -1;
}

int setgroups(size_t count, const gid_t *list)
{
	given_count = count;
	memcpy(given, list, count * sizeof(*list));
	return 0;
}

int setresgid(gid_t real, gid_t effective, gid_t saved)
{
	return real == 100 && effective == 100 && saved == 100 ? 0 : -1;
}

int setresuid(uid_t real, uid_t effective, uid_t saved)
{
	return real == 501 && effective == 501 && saved == 501 ? 0 : -1;
}

int setuid(uid_t uid)
{
	(void)uid;
	return -1;
}

uid_t getuid(void)
{
	return 501;
}

uid_t geteuid(void)
{
	return 501;
}

gid_t getegid(void)
{
	return 100;
}

/* --- becoming somebody --- */

static struct local_policy policy = {
	.first_uid = 500, .first_gid = 5, .chroot_dirs = "",
};
static struct local_request request = {
	.user = "joe", .uid = 501, .gid = 100, .chroot = "", .groups = "",
	.location = "",
	.groups_user = "joe",
};
static struct err err;

TestSuite(local_become, .timeout = 20);

Test(local_become, groups)
{
	in_groups = 3;
	request.groups = "mail, mail";
	policy.last_gid = 1001;
	cr_assert_eq(local_become(&policy, &request, &err), 0, "%s", err.text);
	cr_assert_eq(given_count, 5);
	cr_expect_eq(given[0], 100);
	cr_expect_eq(given[1], 1000);
	cr_expect_eq(given[2], 1001); /* and 1002 is not valid */
	cr_expect_eq(given[3], 8);
}

/* Where locks are made beside an mbox; it need not be in range. */
Test(local_become, privileged_group)
{
	policy.privileged_group = "mail";
	policy.first_gid = 100;
	request.groups_user = "";
	cr_assert_eq(local_become(&policy, &request, &err), 0, "%s", err.text);
	cr_expect_eq(given_count, 1);
	request.location = "mbox:~/mail";
	cr_assert_eq(local_become(&policy, &request, &err), 0, "%s", err.text);
	cr_assert_eq(given_count, 2);
	cr_expect_eq(given[1], 8);
	policy.privileged_group = "staff";
	cr_assert_eq(local_become(&policy, &request, &err), -1);
	cr_expect_str_eq(err.text, "mail_privileged_group: staff is no group");
}

/* As in a university. */
Test(local_become, many_groups)
{
	for (in_groups = 63; in_groups < 66; in_groups++) {
		cr_assert_eq(local_become(&policy, &request, &err), 0, "%s",
			     err.text);
		cr_assert_eq(given_count, in_groups + 1);
		cr_expect_eq(given[in_groups], 1000 + in_groups - 1);
	}
	in_groups = 60000;
	cr_assert_eq(local_become(&policy, &request, &err), 0, "%s", err.text);
	cr_assert_eq(given_count, in_groups + 1);
}

Test(local_become, too_many_groups)
{
	in_groups = 70000;
	cr_assert_eq(local_become(&policy, &request, &err), -1);
	cr_expect_str_eq(err.text, "system_groups_user: joe is in more than "
			 "65536 groups");
}

Test(local_become, names_that_nobody_has)
{
	request.groups_user = "jane";
	cr_assert_eq(local_become(&policy, &request, &err), -1);
	cr_expect_str_eq(err.text, "system_groups_user: there is no user jane");
	request.groups_user = "";
	request.groups = "staff";
	cr_assert_eq(local_become(&policy, &request, &err), -1);
	cr_expect_str_eq(err.text, "mail_access_groups: there is no group "
			 "staff");
	cr_expect_eq(given_count, 0);
}
