#include "t/unit/passdb_helper.h"

#include "passdb/userdb/userdb.h"

/* A helper, and one lookup in its userdbs at a time. */
struct world {
	struct helper helper;
	struct userdb_request request;
	bool done;
};

static struct world world;

static void setup(void)
{
	world = (struct world){ .done = false };
	helper_init(&world.helper);
}

static void teardown(void)
{
	userdb_cancel(&world.request);
	helper_close(&world.helper);
}

TestSuite(userdb, .init = setup, .fini = teardown, .timeout = 60);

static struct passdb_block *add(const char *driver, const char *args)
{
	return helper_add_userdb(&world.helper, driver, args);
}

static void lookup_done(struct userdb_request *request)
{
	struct world *in = container_of(request, struct world, request);

	cr_assert(!in->done, "done twice");
	in->done = true;
	loop_stop(in->helper.loop);
}

/* pass: what passdbs have said; NULL: nothing. */
static enum passdb_result ask(const char *user,
			      const struct passdb_request *pass)
{
	struct helper *helper = &world.helper;

	if (helper->passdb == NULL)
		helper_open(helper);
	world.request.arena = helper->arena;
	world.request.user = user;
	world.request.client = &helper->client;
	world.request.log = &helper->log;
	world.request.pass = pass;
	world.request.done = lookup_done;
	world.done = false;
	userdb_lookup(helper->passdb, &world.request);
	cr_assert(!world.done, "done inside userdb_lookup()");
	loop_run(helper->loop);
	cr_assert(world.done);
	return world.request.result;
}

/* The passdbs first, as for a recipient. */
static enum passdb_result ask_all(const char *user)
{
	if (world.helper.passdb == NULL)
		helper_open(&world.helper);
	(void)helper_lookup(&world.helper, user);
	return ask(user, &world.helper.request);
}

static void put_text(struct str *out, const char *name, const char *value)
{
	if (value != NULL)
		str_printf(out, " %s=%s", name, value);
}

static void put_list(struct str *out, const char *name,
		     const struct passdb_fields *fields)
{
	unsigned i;

	for (i = 0; i < fields->count; i++)
		str_printf(out, " %s:%s=%s", name, fields->list[i].key,
			   fields->list[i].value);
}

/* All that was found, in one line. */
static const char *found(void)
{
	static char text[4096];
	const struct userdb_user *user = &world.request.found;
	struct str out = STR_INIT;

	str_puts(&out, user->name);
	if (user->has_uid)
		str_printf(&out, " uid=%lu", (unsigned long)user->uid);
	if (user->has_gid)
		str_printf(&out, " gid=%lu", (unsigned long)user->gid);
	put_text(&out, "home", user->home);
	put_text(&out, "chroot", user->chroot);
	put_text(&out, "mail", user->mail);
	put_text(&out, "groups", user->system_groups_user);
	put_text(&out, "access", user->mail_access_groups);
	put_list(&out, "quota", &user->quota_rules);
	put_list(&out, "other", &user->others);
	snprintf(text, sizeof(text), "%s", str_c(&out));
	str_free(&out);
	return text;
}

static void expect_found(const char *user, const char *want)
{
	cr_expect_eq(ask(user, NULL), PASSDB_OK, "%s",
		     helper_log(&world.helper));
	cr_expect_str_eq(found(), want, "%s", found());
}

static void expect_log(const char *text)
{
	cr_expect(strstr(helper_log(&world.helper), text) != NULL,
		  "no '%s' in %s", text, helper_log(&world.helper));
}

/* --- static --- */

Test(userdb, static_fields_with_variables)
{
	add("static", "allow_all_users=yes uid=1000 gid=0 home=/srv/%d/%n "
	    "mail=maildir:%h/Maildir chroot=/srv system_groups_user=joe "
	    "mail_access_groups=a,b quota_rule=*:storage=1G "
	    "quota_rule2=Trash:storage=+10M quota_rules=x nice=5 "
	    "plugin/x=%{userdb:uid}|%{userdb:none:y}|%{passdb:z:w}");
	expect_found("Jane@Example.Org", "jane@example.org uid=1000 gid=0 "
		     "home=/srv/example.org/jane chroot=/srv "
		     "mail=maildir:/srv/example.org/jane/Maildir groups=joe "
		     "access=a,b quota:quota_rule=*:storage=1G "
		     "quota:quota_rule2=Trash:storage=+10M other:quota_rules=x "
		     "other:nice=5 other:plugin/x=1000|y|w");
}

Test(userdb, nothing_is_said)
{
	add("static", "allow_all_users home= mail= chroot= "
	    "system_groups_user= mail_access_groups=");
	expect_found("joe", "joe");
}

Test(userdb, names_are_resolved_in_the_configuration)
{
	struct passdb_block *block =
		add("static", "allow_all_users=yes uid=root");

	block->default_fields = "gid=daemon";
	block->override_fields = "uid:protected=nobody gid:remove";
	expect_found("joe", "joe uid=0");
}

Test(userdb, names_that_nobody_has)
{
	static const char *const args[][2] = {
		{ "uid=no-such-user", "args: uid: there is no user "
				      "'no-such-user'" },
		{ "gid=no-such-group", "args: gid: there is no group "
				       "'no-such-group'" },
		{ "uid=", "args: uid: there is no user ''" },
		{ "uid=-1", "args: uid: there is no user '-1'" },
		{ "uid=4294967295", "args: uid: 4294967295 is too large" },
		{ "uid=99999999999999999999", "args: uid: "
					      "99999999999999999999 is too "
					      "large" },
	};
	const char *why;
	size_t i;

	add("static", "");
	for (i = 0; i < sizeof(args) / sizeof(*args); i++) {
		world.helper.userdb_blocks[0].args = args[i][0];
		why = helper_open_fails(&world.helper);
		cr_expect(strstr(why, args[i][1]) != NULL, "%s", why);
	}
}

/* Without allow_all_users it is about those whom the passdbs know. */
Test(userdb, static_asks_passdbs)
{
	struct helper *helper = &world.helper;

	helper_write(helper, "users", "joe:x::::::site=berlin\n");
	helper_add(helper, "passwd-file", helper_path(helper, "users"));
	add("static", "home=/srv/%{passdb:site}/%u");
	cr_expect_eq(ask_all("joe"), PASSDB_OK);
	cr_expect_str_eq(found(), "joe home=/srv/berlin/joe");
	cr_expect_eq(ask_all("jane"), PASSDB_NOT_FOUND);
	helper->request.result = PASSDB_FAIL;
	cr_expect_eq(ask("jane", &helper->request), PASSDB_FAIL);
	cr_expect_eq(ask("joe", NULL), PASSDB_FAIL);
	expect_log("userdb static: user joe: the passdbs do not say whether "
		   "the user exists (see allow_all_users)");
}

/* --- values --- */

static void expect_refused(const char *field, const char *why)
{
	struct passdb_block *block = add("static", "allow_all_users=yes");

	block->override_fields = field;
	cr_expect_eq(ask("..@x", NULL), PASSDB_FAIL, "%s", field);
	cr_expect(world.request.malformed);
	expect_log(why);
	passdb_free(&world.helper.passdb);
	passdb_shared_unref(&world.helper.shared);
	world.helper.settings.userdb_count = 0;
}

Test(userdb, values_that_cannot_be)
{
	expect_refused("uid=%d-", "userdb: user ..@x: field uid: there is no "
				  "user 'x-'");
	expect_refused("gid=%n", "field gid: there is no group '..'");
	expect_refused("gid=%{if;%n;eq;..;4294967295}",
		       "field gid: 4294967295 is too large");
	expect_refused("home=srv/%n", "field home: 'srv/..' is not an "
				      "absolute path");
	expect_refused("home=/srv/%n/x", "field home: '/srv/../x' has a "
					 "'..' in it");
	expect_refused("chroot=/srv/%n", "field chroot: '/srv/..' has a "
					 "'..' in it");
	expect_refused("mail=maildir:/srv/x:INBOX=/srv/%n",
		       "field mail: 'maildir:/srv/x:INBOX=/srv/..' has a "
		       "'..' in it");
	expect_refused("mail=maildir:%n/x", "field mail: 'maildir:../x' has "
					    "a '..' in it");
	expect_refused("home=/a\tb", "field home: a control character is in "
				     "it");
	expect_refused("uidgid_file=/x", "field uidgid_file: it is not "
					 "supported: set uid and gid");
}

Test(userdb, tempfail)
{
	add("static", "allow_all_users=yes tempfail reason=moving");
	cr_expect_eq(ask("joe", NULL), PASSDB_FAIL);
	cr_expect(!world.request.malformed);
	cr_expect_str_eq(world.request.reason, "moving");
}

Test(userdb, names_change)
{
	add("static", "allow_all_users=yes user=%n domain=y "
	    "userdb_import=home=/x\tuid=5 userdb_z=1 password=p");
	expect_found("joe@x", "joe@y uid=5 home=/x other:userdb_z=1");
}

/* --- the system's users --- */

Test(userdb, passwd)
{
	add("passwd", "blocking=no mail=x:%h");
	expect_found("root", "root uid=0 gid=0 home=/root mail=x:/root "
		     "groups=root");
	cr_expect_eq(ask("no-such-user", NULL), PASSDB_NOT_FOUND);
}

/* Names that only a lookup brings are looked up then. */
Test(userdb, names_of_a_lookup)
{
	add("static", "allow_all_users=yes uid=%n gid=%d");
	expect_found("root@daemon", "root@daemon uid=0 gid=1");
	cr_expect_eq(ask("root@no-such-group", NULL), PASSDB_FAIL);
	expect_log("userdb: user root@no-such-group: field gid: there is no "
		   "group 'no-such-group'");
}

Test(userdb, canceled_while_the_system_is_asked)
{
	struct helper *helper = &world.helper;
	unsigned i;

	helper_add(helper, "static", "");
	add("passwd", "");
	cr_expect_eq(ask_all("root"), PASSDB_OK);
	for (i = 0; i < 100; i++) {
		userdb_lookup(helper->passdb, &world.request);
		userdb_cancel(&world.request);
	}
	cr_expect_eq(ask("root", NULL), PASSDB_OK);
}

/* --- files --- */

Test(userdb, passwd_file)
{
	struct helper *helper = &world.helper;

	helper_write(helper, "users",
		     "joe:x:1000:100:Joe,,:/home/joe:/bin/sh:proxy=y "
		     "userdb_mail=maildir:%h/%n userdb_quota_rule=a userdb_nice\n"
		     "jane::root:daemon::::\n"
		     "none:::::::\n"
		     "old:x:5:6::/h:::mbox:/var/mail/%u\n"
		     "old3:x:5:6::/h::::mbox:/var/mail/%u\n"
		     "old2:x:5:6::/h::mbox:/var/mail/%u\n"
		     "short:x:5:6\n"
		     "bad:x:frob:6::/h\n"
		     "worse:x:5:6::h\n"
		     "line:x:5:6::/h::=x\n"
		     "pass:x\npass5:x:5\n");
	add("passwd-file", helper_path(helper, "users"));
	expect_found("joe", "joe uid=1000 gid=100 home=/home/joe "
		     "mail=maildir:/home/joe/joe quota:quota_rule=a "
		     "other:nice=");
	expect_found("jane", "jane uid=0 gid=1");
	expect_found("none", "none");
	expect_found("old", "old uid=5 gid=6 home=/h mail=mbox:/var/mail/old");
	expect_found("old3", "old3 uid=5 gid=6 home=/h");
	expect_found("old2", "old2 uid=5 gid=6 home=/h");
	expect_found("short", "short uid=5 gid=6");
	cr_expect_eq(ask("bad", NULL), PASSDB_FAIL);
	expect_log("userdb: user bad: field uid: there is no user 'frob'");
	cr_expect_eq(ask("worse", NULL), PASSDB_FAIL);
	expect_log("userdb: user worse: field home: 'h' is not an absolute");
	cr_expect_eq(ask("line", NULL), PASSDB_FAIL);
	cr_expect_eq(ask("pass", NULL), PASSDB_NOT_FOUND);
	cr_expect_eq(ask("pass5", NULL), PASSDB_NOT_FOUND);
	cr_expect_eq(ask("nobody-of-them", NULL), PASSDB_NOT_FOUND);
}

/* One file for both kinds is read once. */
Test(userdb, passwd_file_of_both)
{
	const struct timespec long_ago[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	struct helper *helper = &world.helper;
	const char *path;

	helper_write(helper, "users", "joe:x:1::::h:\njoe:x:2::::h:host=a "
		     "userdb_x=%{passdb:host}\n"
		     "jane:x:2::::h:host=a userdb_x=%{passdb:host}\n");
	path = helper_path(helper, "users");
	cr_assert_eq(utimensat(AT_FDCWD, path, long_ago, 0), 0);
	helper_add(helper, "passwd-file", path);
	add("passwd-file", path);
	cr_expect_eq(ask_all("jane"), PASSDB_OK);
	cr_expect_str_eq(helper_fields(helper), "host=a");
	cr_expect_str_eq(found(), "jane uid=2 other:x=a", "%s", found());
	cr_expect_eq(helper_log_count(helper, "is already in line"), 1, "%s",
		     helper_log(helper));
}

Test(userdb, passwd_file_for_each_domain)
{
	struct helper *helper = &world.helper;

	helper_write(helper, "users.x", "joe:x:5:6::/h\n");
	add("passwd-file", arena_concat(helper->arena, "username_format=%n ",
					helper_path(helper, "users.%d"), ""));
	expect_found("joe@x", "joe@x uid=5 gid=6 home=/h");
	cr_expect_eq(ask("joe@y", NULL), PASSDB_NOT_FOUND);
}

/* --- what passdbs said --- */

Test(userdb, prefetch)
{
	helper_add(&world.helper, "static", "user=joe2 proxy_maybe "
		   "userdb_uid=root userdb_home=/home/%n userdb_x:protected=1 "
		   "userdb_userdb_import=quota_rule=a\tgid=7");
	add("prefetch", "");
	cr_expect_eq(ask_all("joe"), PASSDB_OK);
	cr_expect_str_eq(found(), "joe2 uid=0 gid=7 home=/home/joe "
			 "quota:quota_rule=a other:x=1", "%s", found());
}

Test(userdb, prefetch_of_nothing)
{
	struct helper *helper = &world.helper;

	helper_write(helper, "users", "joe:x:\n");
	helper_add(helper, "passwd-file", helper_path(helper, "users"));
	add("prefetch", "");
	cr_expect_eq(ask_all("joe"), PASSDB_FAIL);
	expect_log("userdb prefetch: user joe: the passdbs gave no fields "
		   "userdb_NAME");
	cr_expect_eq(ask_all("jane"), PASSDB_NOT_FOUND);
	cr_expect_eq(ask("joe", NULL), PASSDB_FAIL);
	passdb_free(&helper->passdb);
	passdb_shared_unref(&helper->shared);
	add("static", "uid=5");
	cr_expect_eq(ask_all("joe"), PASSDB_OK);
	cr_expect_str_eq(found(), "joe uid=5");
}

/* --- the chain --- */

Test(userdb, no_userdb)
{
	helper_add(&world.helper, "static", "");
	cr_expect_eq(ask_all("joe"), PASSDB_FAIL);
	expect_log("userdb: user joe: no userdb takes part in this lookup");
}

Test(userdb, fields_of_several)
{
	struct passdb_block *block =
		add("static", "allow_all_users=yes uid=5 home=/a");

	block->result_success = PASSDB_CONTINUE_OK;
	block->name = "first";
	add("static", "allow_all_users=yes home=/b")->skip = 2;
	expect_found("joe", "joe uid=5 home=/b");
	expect_log("userdb first: user joe: found");
}

/* Only what the rules make of an answer counts, unlike with passdbs. */
Test(userdb, skip)
{
	struct passdb_block *block =
		add("static", "allow_all_users=yes uid=5");

	block->result_success = PASSDB_CONTINUE;
	add("static", "allow_all_users=yes home=/found")->skip = 1;
	expect_found("joe", "joe uid=5 home=/found");
	passdb_free(&world.helper.passdb);
	passdb_shared_unref(&world.helper.shared);
	block->result_success = PASSDB_CONTINUE_OK;
	expect_found("joe", "joe uid=5");
	expect_log("skipped by skip=found");
}

Test(userdb, unsupported_drivers_fail)
{
	static const char *const names[] = {
		"checkpassword", "dict", "lua", "sql",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		add(names[i], "x");
		cr_expect_eq(ask("joe", NULL), PASSDB_FAIL, "%s", names[i]);
		passdb_free(&world.helper.passdb);
		passdb_shared_unref(&world.helper.shared);
		world.helper.settings.userdb_count = 0;
	}
	expect_log("userdb lua: user joe: this driver is not supported");
}

Test(userdb, unknown_driver)
{
	add("nope", "");
	cr_expect_str_eq(helper_open_fails(&world.helper),
			 "test.conf:1: unknown userdb driver nope (there are "
			 "http-sql, ldap, passwd, passwd-file, "
			 "prefetch, static)");
}

/* Equal questions to a passdb and a userdb are different ones. */
Test(userdb, same_block_in_both_chains)
{
	struct helper *helper = &world.helper;

	helper->settings.cache_size = 65536;
	helper->settings.cache_ttl_ms = 60000;
	helper_add(helper, "static", "a=b userdb_home=/x user=joe2");
	add("static", "");
	cr_expect_eq(ask_all("joe"), PASSDB_OK);
	cr_expect_str_eq(helper_fields(helper), "a=b");
	cr_expect_eq(helper->request.userdb.count, 1);
	cr_expect_str_eq(helper->request.userdb.list[0].key, "home");
	cr_expect_str_eq(helper->request.userdb.list[0].value, "/x");
	cr_expect_str_eq(found(), "joe");
}
