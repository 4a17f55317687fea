#include "t/unit/passdb_helper.h"

/* What a passdb of the test answers. */
#define FOUND "static", "f=%n"
#define BROKEN "static", "f=%{if;%u;==;1;a;b}" /* no number: fails */

static struct passdb_block *add_empty(struct helper *helper)
{
	helper_write(helper, "empty", "nobody:x\n");
	return helper_add(helper, "passwd-file", helper_path(helper, "empty"));
}

static enum passdb_result lookup_once(struct helper *helper, const char *user)
{
	helper_open(helper);
	return helper_lookup(helper, user);
}

Test(passdb, static_fields_with_variables)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "nopassword=y proxy=y host=%d.example "
		   "port=24  empty destuser=%Un@x none=");
	cr_assert_eq(lookup_once(&helper, "Jane@Example.Org"), PASSDB_OK);
	cr_assert_str_eq(helper.request.username, "jane@example.org");
	cr_assert_str_eq(helper_fields(&helper), "proxy=y "
			 "host=example.org.example port=24 empty= "
			 "destuser=JANE@x none=");
	helper_close(&helper);
}

/* These are put together once. */
Test(passdb, static_fields_without_variables)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "a=1 nopassword userdb_uid=5 b a=2");
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=2 b=");
	cr_assert_eq(helper.request.userdb.count, 1);
	cr_assert_str_eq(helper.request.userdb.list[0].key, "uid");
	helper_close(&helper);
	helper_init(&helper);
	helper_add(&helper, "static", "a=1 user=joe password=x b=%u");
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=1 b=jane");
	cr_assert_str_eq(helper.request.username, "joe");
	helper_close(&helper);
	helper_init(&helper);
	helper_add(&helper, "static", "a=1 user=joe b=2");
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=1 b=2");
	cr_assert_str_eq(helper.request.username, "joe");
	helper_close(&helper);
}

Test(passdb, static_fields_of_one_lookup_are_its_own)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "a=1 b=2")->override_fields =
		"a=%u b:remove";
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=jane");
	cr_assert_eq(helper_lookup(&helper, "joe"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=joe");
	helper_close(&helper);
}

Test(passdb, variables_of_a_lookup)
{
	struct helper helper;

	helper_init(&helper);
	cr_assert_eq(addr_parse_ip(&helper.client.local, "192.0.2.1", 24), 0);
	cr_assert_eq(addr_parse_ip(&helper.client.remote, "2001:db8::2",
				   1234), 0);
	cr_assert_eq(addr_parse_ip(&helper.client.real_remote, "192.0.2.7",
				   99), 0);
	helper.client.session = "sid";
	helper_add(&helper, "static", "a=%s|%l|%r|%a|%b|%!|%m%c%k%h%w "
		   "b=%{session}|%{local_ip}|%{real_rport}|%{real_rip}|"
		   "%{real_lip} "
		   "c=%{domain_first}|%{domain_last}|%{orig_user} "
		   "d=%{passdb:a}|%{passdb:none:x}|%{userdb:uid}|%{hostname} "
		   "userdb_uid=5 e=%{userdb:uid}");
	cr_assert_eq(lookup_once(&helper, "J@a@B"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper),
			 "a=lmtp|192.0.2.1|2001:db8::2|24|1234|1| "
			 "b=sid|192.0.2.1|99|192.0.2.7| c=a|b|J@a@B "
			 "d=lmtp|192.0.2.1|2001:db8::2|24|1234|1||x||"
			 "mx.example.com e=5");
	helper_close(&helper);
}

Test(passdb, unix_client_has_no_address)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "a=[%l%r%a%b]");
	cr_assert_eq(addr_set_unix(&helper.client.local, "/run/lmtp"), 0);
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=[00]");
	helper_close(&helper);
}

Test(passdb, username_rules)
{
	struct helper helper;

	helper_init(&helper);
	helper.settings.default_realm = "Example.ORG";
	helper.settings.username_translation = "%@";
	helper_add(&helper, "static", "");
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "Jane"), PASSDB_OK);
	cr_assert_str_eq(helper.request.username, "jane@example.org");
	cr_assert_eq(helper_lookup(&helper, "jane%x"), PASSDB_OK);
	cr_assert_str_eq(helper.request.username, "jane@x@example.org");
	cr_assert_eq(helper_lookup(&helper, "o'neil@x"), PASSDB_NOT_FOUND);
	cr_assert(strstr(helper_log(&helper), "auth_username_chars"));
	helper_close(&helper);
}

Test(passdb, username_format)
{
	struct helper helper;

	helper_init(&helper);
	helper.settings.username_format = "%Un";
	helper_add(&helper, "static", "a=%u|%{orig_user}");
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane@x"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=JANE|jane@x");
	cr_assert_eq(helper_lookup(&helper, "@x"), PASSDB_NOT_FOUND);
	helper_close(&helper);
	helper_init(&helper);
	helper.settings.username_format = "";
	helper_add(&helper, "static", "");
	cr_assert_eq(lookup_once(&helper, "Jane"), PASSDB_OK);
	cr_assert_str_eq(helper.request.username, "Jane");
	helper_close(&helper);
	helper_init(&helper);
	helper.settings.username_format = "%{if;%n;>;1;a;b}";
	helper_add(&helper, "static", "");
	cr_assert_eq(lookup_once(&helper, "Jane"), PASSDB_FAIL);
	helper_close(&helper);
}

/* --- the chain --- */

struct chain_row {
	int success, failure, internalfail;
	const char *expected; /* of a lone found, missing, broken passdb, and of
				 each before one that finds the user, before one
				 that does not */
};

static char result_char(enum passdb_result result)
{
	return "onf"[result]; /* ok, not found, fail */
}

enum kind { KIND_FOUND, KIND_MISSING, KIND_BROKEN };

static char chain_result(enum kind kind, const struct chain_row *row,
			 int behind)
{
	struct helper helper;
	struct passdb_block *block;
	char result;

	helper_init(&helper);
	if (kind == KIND_FOUND)
		block = helper_add(&helper, FOUND);
	else if (kind == KIND_MISSING)
		block = add_empty(&helper);
	else
		block = helper_add(&helper, BROKEN);
	block->result_success = row->success;
	block->result_failure = row->failure;
	block->result_internalfail = row->internalfail;
	if (behind == KIND_FOUND)
		helper_add(&helper, FOUND);
	else if (behind == KIND_MISSING)
		add_empty(&helper);
	result = result_char(lookup_once(&helper, "jane"));
	helper_close(&helper);
	return result;
}

/* Every rule for every answer, checked against Dovecot 2.3.19. Per rule: found,
 * missing, broken; each alone, before a finding passdb, before a missing
 * one. */
Test(passdb, result_rules)
{
	static const struct chain_row rows[] = {
		{ PASSDB_RETURN_OK, PASSDB_RETURN_OK, PASSDB_RETURN_OK,
		  "ooo" "ooo" "ooo" },
		{ PASSDB_RETURN, PASSDB_RETURN, PASSDB_RETURN,
		  "fff" "nnn" "fff" },
		{ PASSDB_RETURN_FAIL, PASSDB_RETURN_FAIL, PASSDB_RETURN_FAIL,
		  "fff" "nnn" "fff" },
		{ PASSDB_CONTINUE, PASSDB_CONTINUE, PASSDB_CONTINUE,
		  "fon" "non" "fof" },
		{ PASSDB_CONTINUE_OK, PASSDB_CONTINUE_OK, PASSDB_CONTINUE_OK,
		  "ooo" "ooo" "ooo" },
		{ PASSDB_CONTINUE_FAIL, PASSDB_CONTINUE_FAIL,
		  PASSDB_CONTINUE_FAIL, "fon" "non" "fof" },
	};
	static const int behind[] = { -1, KIND_FOUND, KIND_MISSING };
	unsigned r, k, b;

	for (r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
		for (k = KIND_FOUND; k <= KIND_BROKEN; k++) {
			for (b = 0; b < 3; b++)
				cr_expect_eq(chain_result((enum kind)k,
							  &rows[r], behind[b]),
					     rows[r].expected[k * 3 + b],
					     "rule %u, answer %u, behind %d",
					     r, k, behind[b]);
		}
	}
}

Test(passdb, earlier_success_holds_until_a_rule_takes_it_back)
{
	struct helper helper;
	struct passdb_block *block;

	helper_init(&helper);
	helper_add(&helper, FOUND)->result_success = PASSDB_CONTINUE_OK;
	block = helper_add(&helper, BROKEN);
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "f=jane");
	passdb_free(&helper.passdb);
	passdb_shared_unref(&helper.shared);
	block->result_internalfail = PASSDB_RETURN_FAIL;
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_FAIL);
	cr_assert_str_eq(helper_fields(&helper), "");
	helper_close(&helper);
}

Test(passdb, fields_of_those_that_found_the_user_are_merged)
{
	struct helper helper;
	struct passdb_block *block;

	helper_init(&helper);
	block = helper_add(&helper, "static", "a=1 b=1 c=1 d=1");
	block->result_success = PASSDB_CONTINUE_OK;
	block = add_empty(&helper);
	block->default_fields = "a=lost";
	block->override_fields = "e=lost b:remove";
	block = helper_add(&helper, "static", "b=2 c:protected=2 d:remove");
	block->default_fields = "a:protected=3 g=default b=default";
	block->override_fields = "g=%{passdb:g}+ h:protected=%u";
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper),
			 "a=1 b=2 c=1 g=default+ h=jane");
	helper_close(&helper);
}

Test(passdb, pass_is_continue)
{
	struct helper helper;
	struct passdb_block *block;

	helper_init(&helper);
	block = helper_add(&helper, "static", "a=1");
	block->pass = true;
	helper_add(&helper, "static", "b=2");
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=1 b=2");
	helper_close(&helper);
	helper_init(&helper);
	block = helper_add(&helper, "static", "a=1");
	block->pass = true;
	block->result_success = PASSDB_RETURN;
	cr_assert(strstr(helper_open_fails(&helper), "test.conf:1: pass and "
			 "result_success contradict"));
	helper_close(&helper);
}

Test(passdb, skip)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "a=1")->skip = 2; /* unauthenticated */
	helper_add(&helper, "static", "b=1")->result_success =
		PASSDB_CONTINUE_OK;
	helper_add(&helper, "static", "c=1")->skip = 1; /* authenticated */
	helper_add(&helper, "static", "d=1")->skip = 2;
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "b=1 d=1");
	helper_close(&helper);
}

Test(passdb, nobody_asked_is_our_failure)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, FOUND)->skip = 2;
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_FAIL);
	cr_assert_null(helper.request.reason);
	cr_assert(strstr(helper_log(&helper), "no passdb takes part"));
	helper_close(&helper);
	helper_init(&helper);
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_FAIL);
	helper_close(&helper);
}

Test(passdb, deny)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "denied", "joe:x\n");
	helper_add(&helper, "passwd-file", helper_path(&helper, "denied"))
		->deny = true;
	helper_add(&helper, FOUND);
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "joe"), PASSDB_NOT_FOUND);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_OK);
	helper_close(&helper);
	helper_init(&helper);
	helper_add(&helper, BROKEN)->deny = true; /* can't say: no guess */
	helper_add(&helper, FOUND);
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_FAIL);
	helper_close(&helper);
}

Test(passdb, master_and_mechanisms_take_no_part)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "a=1")->master = true;
	helper_add(&helper, "static", "b=1")->mechanisms = "plain login";
	helper_add(&helper, "static", "c=1")->mechanisms = "plain,None";
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "c=1");
	helper_close(&helper);
}

Test(passdb, username_filter)
{
	static const struct {
		const char *filter, *user;
		bool accepted;
	} rows[] = {
		{ "", "a@x", true },
		{ "*@x", "a@x", true },
		{ "*@x", "a@y", false },
		{ "!*@x", "a@y", true },
		{ "!*@x", "a@x", false },
		{ "*@x, !a@*", "b@x", true },
		{ "*@x !a@*", "a@x", false },
		{ "?@x b@y", "b@y", true },
		{ "*@X", "A@X", false }, /* the name is lower case by then */
	};
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct helper helper;

		helper_init(&helper);
		helper_add(&helper, FOUND)->username_filter = rows[i].filter;
		cr_expect_eq(lookup_once(&helper, rows[i].user),
			     rows[i].accepted ? PASSDB_OK : PASSDB_FAIL,
			     "'%s' with '%s'", rows[i].user, rows[i].filter);
		helper_close(&helper);
	}
}

/* --- special fields --- */

Test(passdb, fields_change_the_name)
{
	static const struct {
		const char *args, *username;
	} rows[] = {
		{ "user=joe", "joe" },
		{ "user=joe@b", "joe@b" },
		{ "username=joe", "joe@example.org" },
		{ "username=joe@b", "joe@b" },
		{ "domain=b", "jane@b" },
		{ "username=joe domain=b", "joe@b" },
		{ "user=joe domain=b", "joe@b" },
		{ "user=joe user:protected=jim", "joe" },
		/* the variables stay those of the lookup */
		{ "user=joe username=%n", "jane" },
	};
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct helper helper;

		helper_init(&helper);
		helper_add(&helper, "static", rows[i].args);
		cr_expect_eq(lookup_once(&helper, "jane@example.org"),
			     PASSDB_OK);
		cr_expect_str_eq(helper.request.username, rows[i].username,
				 "%s: %s", rows[i].args,
				 helper.request.username);
		cr_expect_str_eq(helper_fields(&helper), "");
		helper_close(&helper);
	}
}

Test(passdb, a_new_name_is_looked_up_by_the_next)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "user=joe@b")->result_success =
		PASSDB_CONTINUE;
	helper_add(&helper, "static", "a=%u");
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=joe@b");
	helper_close(&helper);
}

Test(passdb, broken_fields_defer)
{
	static const struct {
		const char *args, *log;
	} rows[] = {
		{ "user=", "field user: " },
		{ "allow_nets=10.0.0.0/99", "field allow_nets: '10.0.0.0/99'" },
		{ "allow_nets=10.0.0.1,nonsense", "'nonsense'" },
		{ "delay_until=soon", "field delay_until: 'soon'" },
		{ "delay_until=99999999999", "too far" },
		{ "delay_until=1+", "'1+'" },
		{ "a=%{if;%u;==;1;a;b}", "field a: " },
	};
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct helper helper;

		helper_init(&helper);
		helper_add(&helper, "static", rows[i].args);
		cr_expect_eq(lookup_once(&helper, "jane"), PASSDB_FAIL, "%s",
			     rows[i].args);
		cr_expect(strstr(helper_log(&helper), rows[i].log) != NULL,
			  "%s: %s", rows[i].args, helper_log(&helper));
		cr_expect(strstr(helper_log(&helper),
				 "passdb static: user jane: args: ") != NULL);
		helper_close(&helper);
	}
}

Test(passdb, allow_nets)
{
	static const struct {
		const char *nets, *remote; /* NULL: UNIX */
		enum passdb_result result;
	} rows[] = {
		{ "10.0.0.0/8", "10.1.2.3", PASSDB_OK },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", PASSDB_OK },
		{ "10.0.0.0/8", "11.1.2.3", PASSDB_NOT_FOUND },
		{ "192.0.2.1,2001:db8::/32", "2001:db8::5", PASSDB_OK },
		{ "192.0.2.1,2001:db8::/32", "2001:db9::5", PASSDB_NOT_FOUND },
		{ "local", NULL, PASSDB_OK },
		{ "192.0.2.1,local", NULL, PASSDB_OK },
		{ "local", "127.0.0.1", PASSDB_NOT_FOUND },
		{ "0.0.0.0/0", NULL, PASSDB_NOT_FOUND },
		{ "nonsense,10.0.0.0/8", "10.1.2.3", PASSDB_OK },
		{ "", "10.1.2.3", PASSDB_NOT_FOUND },
	};
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct helper helper;

		helper_init(&helper);
		if (rows[i].remote != NULL)
			cr_assert_eq(addr_parse_ip(&helper.client.remote,
						   rows[i].remote, 1), 0);
		helper_add(&helper, "static",
			   arena_printf(helper.arena, "a=1 allow_nets=%s",
					rows[i].nets));
		cr_expect_eq(lookup_once(&helper, "jane"), rows[i].result,
			     "%s in '%s'", rows[i].remote ? rows[i].remote :
			     "local", rows[i].nets);
		cr_expect_str_eq(helper_fields(&helper),
				 rows[i].result == PASSDB_OK ? "a=1" : "");
		helper_close(&helper);
	}
}

/* Refused by one passdb, a user may be another one's. */
Test(passdb, fail_refuses_in_its_passdb_only)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "a=1 fail=y");
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_NOT_FOUND);
	passdb_free(&helper.passdb);
	passdb_shared_unref(&helper.shared);
	helper_add(&helper, "static", "b=1");
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "b=1");
	helper_close(&helper);
}

Test(passdb, noauthenticate_asks_the_next)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "a=1 noauthenticate");
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_FAIL);
	cr_assert(strstr(helper_log(&helper), "noauthenticate"));
	passdb_free(&helper.passdb);
	passdb_shared_unref(&helper.shared);
	helper_add(&helper, "static", "b=1");
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=1 b=1");
	helper_close(&helper);
}

Test(passdb, import_and_kept_out_fields)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "passdb_import=a=1\tb\tuser=joe\t\tc=d=e "
		   "userdb_uid=5 userdb_home=/x delay_until=1+5 nopassword "
		   "password={PLAIN}hunter2 password_noscheme=hunter2 last");
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "a=1 b= c=d=e last=");
	cr_assert_str_eq(helper.request.username, "joe");
	helper_close(&helper);
}

Test(passdb, secrets_are_not_logged)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "password=hunter2 pass=hunter2 "
		   "forward_token=hunter2 host=visible userdb_pass=hunter2");
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert(strstr(helper_log(&helper), "host=visible"));
	cr_assert_null(strstr(helper_log(&helper), "hunter2"));
	cr_assert_str_eq(passdb_fields_get(&helper.request.fields, "pass"),
			 "hunter2");
	helper_close(&helper);
}

Test(passdb, debug_lines_only_with_auth_debug)
{
	struct helper helper;

	helper_init(&helper);
	helper.settings.debug = false;
	helper_add(&helper, "static", "host=visible");
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_OK);
	cr_assert_str_eq(helper_log(&helper), "");
	helper_close(&helper);
}

/* --- drivers --- */

Test(passdb, drivers_that_cannot_look_up)
{
	static const char reason[] = "Configured passdbs don't support "
				     "credentials lookups";
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "pam", "");
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_FAIL);
	cr_assert_str_eq(helper.request.reason, reason);
	passdb_free(&helper.passdb);
	passdb_shared_unref(&helper.shared);
	add_empty(&helper);
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_FAIL);
	cr_assert_str_eq(helper.request.reason, reason);
	cr_assert_eq(helper_lookup(&helper, "nobody"), PASSDB_OK);
	cr_assert_null(helper.request.reason);
	helper_close(&helper);
	helper_init(&helper); /* the reason of another one's failure is not it */
	helper_add(&helper, "pam", "");
	helper_add(&helper, BROKEN);
	cr_assert_eq(lookup_once(&helper, "jane"), PASSDB_FAIL);
	cr_assert_null(helper.request.reason);
	helper_close(&helper);
}

Test(passdb, configurations_that_cannot_work)
{
	static const struct {
		const char *driver, *args, *error;
	} rows[] = {
		{ "nosuch", "", "unknown passdb driver nosuch (there are "
		  "http-sql, ldap, passwd-file, static)" },
		{ "lua", "/x", "passdb driver lua is not supported" },
		{ "ldap", "x", "passdb ldap: args: not the absolute path" },
		{ "ldap", "/no/where", "cannot read /no/where: No such" },
		{ "static", "=y", "passdb static: args: '=y' has no name" },
		{ "static", "a=%x", "args: a: unknown variable %x" },
		{ "static", "a=%{user", "a: missing }" },
		{ "passwd-file", "", "path of the file is missing" },
		{ "passwd-file", "scheme=PLAIN", "path of the file is" },
		{ "passwd-file", "nosuch=1 /x", "unknown setting 'nosuch'" },
		{ "passwd-file", "users",
		  "args: the path 'users' does not begin with /" },
		{ "passwd-file", "scheme=x my users", "path 'my users' does" },
		{ "passwd-file", "username_format=%x /x",
		  "username_format: unknown variable %x" },
		{ "passwd-file", "/x/%{nosuch}", "unknown variable %{nosuch}" },
	};
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct helper helper;
		const char *why;

		helper_init(&helper);
		helper_add(&helper, FOUND);
		helper_add(&helper, rows[i].driver, rows[i].args);
		why = helper_open_fails(&helper);
		cr_expect(strstr(why, rows[i].error) != NULL, "%s '%s': %s",
			  rows[i].driver, rows[i].args, why);
		cr_expect(strncmp(why, "test.conf:2: ", 13) == 0, "%s", why);
		helper_close(&helper);
	}
}

static void expect_check(struct helper *helper, const char *want)
{
	struct conf_errors errors = { .text = STR_INIT };

	passdb_check(&helper->settings, &errors);
	cr_expect_str_eq(str_c(&errors.text), want);
	conf_errors_free(&errors);
}

Test(passdb, a_check_reports_everything_and_reads_nothing)
{
	struct passdb_block *block;
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, FOUND);
	helper_add(&helper, "passwd-file", "/nonexistent/users");
	expect_check(&helper, "");
	cr_expect_str_eq(helper_log(&helper), "");
	block = helper_add(&helper, "static", "a=%{b} c=%{d}");
	block->default_fields = "e=%{f}";
	block->override_fields = "=g";
	block->deny = block->pass = true;
	block->result_success = PASSDB_RETURN;
	helper_add(&helper, "", "");
	helper_add(&helper, "shadow", "");
	helper_add(&helper, "frob", "")->master = true;
	helper_add(&helper, "static", "a=%{b}")->mechanisms = "plain";
	expect_check(&helper,
		     "test.conf:3: pass and result_success contradict\n"
		     "test.conf:3: a passdb cannot both deny and pass\n"
		     "test.conf:3: passdb static: default_fields: e: "
		     "unknown variable %{f}\n"
		     "test.conf:3: passdb static: override_fields: "
		     "'=g' has no name before the '='\n"
		     "test.conf:3: passdb static: args: a: "
		     "unknown variable %{b}\n"
		     "test.conf:4: the passdb has no driver\n"
		     "test.conf:5: warning: passdb driver shadow knows only "
		     "local users, who have no backend: here it fails "
		     "internally for every user\n"
		     "test.conf:6: unknown passdb driver frob (there are "
		     "http-sql, ldap, passwd-file, static)\n");
	helper_close(&helper);
}

Test(passdb, templates_of_the_chain_are_checked)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, FOUND)->default_fields = "a=%x";
	cr_assert(strstr(helper_open_fails(&helper), "a: unknown variable"));
	helper.blocks[0].default_fields = "";
	helper.blocks[0].override_fields = "=";
	cr_assert(strstr(helper_open_fails(&helper), "has no name"));
	helper.blocks[0].override_fields = "";
	helper.settings.username_format = "%x";
	cr_assert(strstr(helper_open_fails(&helper), "auth_username_format"));
	helper_close(&helper);
}

/* --- requests --- */

Test(passdb, cancel)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, FOUND);
	helper_open(&helper);
	passdb_cancel(&helper.request); /* none is under way */
	helper_start(&helper, "jane");
	passdb_cancel(&helper.request);
	cr_assert_null(helper.request.passdb);
	helper_run_ms(&helper, 0);
	cr_assert(!helper.done);
	cr_assert_eq(helper_lookup(&helper, "jane"), PASSDB_OK);
	passdb_cancel(&helper.request);
	helper_close(&helper);
}

static void free_on_done(struct passdb_request *request)
{
	loop_stop(request->passdb == NULL ?
		  (struct loop *)request->client->session : NULL);
	mem_release(request);
}

Test(passdb, done_may_free_the_request)
{
	struct passdb_request *request = mem_new(struct passdb_request);
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, FOUND);
	helper_open(&helper);
	helper.client.session = (const char *)helper.loop;
	request->arena = helper.arena;
	request->user = "jane";
	request->client = &helper.client;
	request->log = &helper.log;
	request->done = free_on_done;
	passdb_lookup(helper.passdb, request);
	loop_run(helper.loop);
	helper_close(&helper);
}

Test(passdb, free_takes_null)
{
	struct passdb *passdb = NULL;
	struct passdb_shared *shared = NULL;

	passdb_free(&passdb);
	passdb_shared_unref(&shared);
}
