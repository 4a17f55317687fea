/* Extra fields of passwd-files that are kept: a lookup's result never shows whether
 * they were. */
#include "t/unit/passdb_helper.h"

#include "passdb/passwd/ready.h"

/* Extra fields, and what they are with a NUL behind each key and value. */
static const char extra[] = "proxy=y host=10.0.0.1 nopassword port=24";
static char text[] = "proxy\0y\0host\00010.0.0.1\0nopassword\0port\00024";

static struct passdb_fields extra_fields(struct arena *arena)
{
	struct passdb_fields fields = { 0 };

	passdb_fields_put(&fields, arena, text, text + 6, false);
	passdb_fields_put(&fields, arena, text + 8, text + 13, false);
	passdb_fields_put(&fields, arena, text + 22, text + 32, true);
	passdb_fields_put(&fields, arena, text + 33, text + 38, false);
	return fields;
}

static bool use(struct passwd_ready *ready, const char *what,
		struct passdb_request *request)
{
	request->fields = (struct passdb_fields){ 0 };
	return passwd_ready_use(ready, what, strlen(what), request);
}

static void note(struct passwd_ready *ready, struct arena *arena)
{
	const struct passdb_fields fields = extra_fields(arena);

	passwd_ready_note(ready, extra, strlen(extra), text, &fields);
}

static void expect_extra(const struct passdb_fields *fields,
			 struct arena *arena)
{
	const struct passdb_fields expected = extra_fields(arena);

	cr_expect(passdb_fields_equal(fields, &expected));
	cr_expect_not(fields->list[1].hidden);
	cr_expect(fields->list[2].hidden);
	cr_expect_neq(fields->list[1].value, text + 13);
}

Test(passwd_ready, kept_when_it_comes_again)
{
	struct passwd_ready *ready = passwd_ready_new();
	struct arena *arena = arena_new(1024);
	struct passdb_request request = { .arena = arena };

	cr_assert_eq(sizeof(text), sizeof(extra));
	cr_assert_not(use(ready, extra, &request));
	note(ready, arena);
	cr_assert_not(use(ready, extra, &request));
	note(ready, arena);
	cr_assert(use(ready, extra, &request));
	expect_extra(&request.fields, arena);
	cr_assert_not(use(ready, "proxy=y host=10.0.0.1 nopassword port=25",
			  &request));
	cr_assert_not(use(ready, "proxy=y host=10.0.0.1 nopassword port=2",
			  &request));
	cr_assert_not(use(ready, "", &request));
	passwd_ready_free(&ready);
	/* They are the request's. */
	use(ready = passwd_ready_new(), "", &request);
	passwd_ready_free(&ready);
	passwd_ready_free(&ready);
	arena_free(&arena);
}

/* Whatever else comes up takes places, and what was used stays the request's. */
Test(passwd_ready, places_are_taken)
{
	struct passwd_ready *ready = passwd_ready_new();
	struct arena *arena = arena_new(1024);
	struct passdb_request request = { .arena = arena }, other = request;
	const struct passdb_fields none = { 0 };
	unsigned i;

	note(ready, arena);
	note(ready, arena);
	cr_assert(use(ready, extra, &request));
	for (i = 0; i < 20000 && use(ready, extra, &other); i++) {
		const char *new = arena_printf(arena, "proxy=y host=%u", i);

		passwd_ready_note(ready, new, strlen(new), new, &none);
		/* Those that come only once leave it alone. */
		if (i >= 10000)
			passwd_ready_note(ready, new, strlen(new), new, &none);
	}
	cr_assert_gt(i, 10000);
	cr_assert_lt(i, 20000);
	expect_extra(&request.fields, arena);
	passwd_ready_free(&ready);
	expect_extra(&request.fields, arena);
	arena_free(&arena);
}

#define HOST "proxy=y host=10.0.0.%u port=24"

/* Few enough have a place each, wherever they belong. */
Test(passwd_ready, a_few_do_not_get_into_each_others_way)
{
	enum { FEW = 4, TRIES = 1000 };
	struct arena *arena = arena_new(1024);
	struct passdb_request request = { .arena = arena };
	const struct passdb_fields none = { 0 };
	unsigned i, at;

	for (i = 0; i < TRIES; i++) {
		struct passwd_ready *ready = passwd_ready_new();

		for (at = 0; at < 2 * FEW; at++) {
			const char *few = arena_printf(arena, HOST, at % FEW);

			passwd_ready_note(ready, few, strlen(few), few, &none);
		}
		for (at = 0; at < FEW; at++)
			cr_assert(use(ready, arena_printf(arena, HOST, at),
				      &request));
		passwd_ready_free(&ready);
	}
	arena_free(&arena);
}

/* Too long to be kept; empty; at the limit. */
Test(passwd_ready, lengths)
{
	static const size_t lens[] = { 0, 1, 511, 512, 513, 100000 };
	struct passwd_ready *ready = passwd_ready_new();
	struct arena *arena = arena_new(1024);
	struct passdb_request request = { .arena = arena };
	unsigned i;

	for (i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		char *key = memset(arena_alloc(arena, lens[i] + 1), 'k',
				   lens[i]);
		struct passdb_fields fields = { 0 };

		if (lens[i] > 0)
			passdb_fields_put(&fields, arena, key, key + lens[i],
					  false);
		passwd_ready_note(ready, key, lens[i], key, &fields);
		passwd_ready_note(ready, key, lens[i], key, &fields);
		cr_assert_eq(use(ready, key, &request), lens[i] <= 512);
		if (lens[i] <= 512)
			cr_assert(passdb_fields_equal(&request.fields,
						      &fields));
	}
	passwd_ready_free(&ready);
	arena_free(&arena);
}

static void open_file(struct helper *helper, const char *lines)
{
	helper_init(helper);
	helper_write(helper, "users", lines);
	helper_add(helper, "passwd-file", helper_path(helper, "users"));
}

/* Several users have the same extra fields; each of them is asked for again and
 * again. */
static void expect_each(struct helper *helper, const char *const (*users)[2])
{
	unsigned round, i;

	for (round = 0; round < 4; round++)
		for (i = 0; users[i][0] != NULL; i++)
			helper_expect_fields(helper, users[i][0], users[i][1]);
}

static const char lines[] =
	"plain1:x::::::proxy=y host=2001:db8::1 port=24\n"
	"plain2:x::::::proxy=y host=2001:db8::1 port=24\n"
	"blanks1:x::::::  flag proxy=  a==b \r\n"
	"blanks2:x::::::  flag proxy=  a==b \n"
	"vars1:x::::::proxy=y host=%u.example%%\n"
	"vars2:x::::::proxy=y host=%u.example%%\n"
	"hidden1:x::::::nopassword noauthenticate:remove userdb_uid=1 a=1\n"
	"hidden2:x::::::nopassword noauthenticate:remove userdb_uid=1 a=1\n"
	"twice1:x::::::a=1 b=2 a=3\n"
	"twice2:x::::::a=1 b=2 a=3\n"
	"gone1:x::::::a=1 b=2 a:remove password=x\n"
	"gone2:x::::::a=1 b=2 a:remove password=x\n"
	"first1:x::::::a=1 a:protected=2 b:protected=3\n"
	"first2:x::::::a=1 a:protected=2 b:protected=3\n"
	"all1:x::::::passdb_import=c=1\td=2\n"
	"all2:x::::::passdb_import=c=1\td=2\n"
	"none1:x::::::\n"
	"none2:x::::::\n"
	"old1:x::::::: a=1\n"
	"old2:x::::::: a=1\n";

Test(passwd_ready, same_fields_each_time)
{
	static const char *const users[][2] = {
		{ "plain1", "proxy=y host=2001:db8::1 port=24" },
		{ "plain2", "proxy=y host=2001:db8::1 port=24" },
		{ "blanks1", "flag= proxy= a==b" },
		{ "blanks2", "flag= proxy= a==b" },
		{ "vars1", "proxy=y host=vars1.example%" },
		{ "vars2", "proxy=y host=vars2.example%" },
		{ "hidden1", "a=1" }, { "hidden2", "a=1" },
		{ "twice1", "a=3 b=2" }, { "twice2", "a=3 b=2" },
		{ "gone1", "b=2" }, { "gone2", "b=2" },
		{ "first1", "a=1 b=3" }, { "first2", "a=1 b=3" },
		{ "all1", "c=1 d=2" }, { "all2", "c=1 d=2" },
		{ "none1", "" }, { "none2", "" },
		{ "old1", "" }, { "old2", "" },
		{ NULL, NULL },
	};
	struct helper helper;

	open_file(&helper, lines);
	helper_open(&helper);
	expect_each(&helper, users);
	cr_assert_eq(helper_lookup(&helper, "hidden1"), PASSDB_OK);
	cr_assert_str_eq(passdb_fields_get(&helper.request.userdb, "uid"),
			 "1");
	helper_close(&helper);
}

/* What comes before them decides what they come to. */
Test(passwd_ready, default_and_override_fields)
{
	static const char *const users[][2] = {
		{ "plain1", "port=24 proxy=y host=10.0.0.9" },
		{ "plain2", "port=24 proxy=y host=10.0.0.9" },
		{ "first1", "port=25 a=1 b=3 host=10.0.0.9" },
		{ "none1", "port=25 host=10.0.0.9" },
		{ NULL, NULL },
	};
	struct helper helper;

	open_file(&helper, lines);
	helper.blocks[0].default_fields = "port=25";
	helper.blocks[0].override_fields = "host=10.0.0.9";
	helper_open(&helper);
	expect_each(&helper, users);
	helper_close(&helper);
}

static void expect_name(struct helper *helper, const char *user,
			const char *name)
{
	unsigned i;

	for (i = 0; i < 4; i++) {
		helper_expect_fields(helper, user, "a=1");
		cr_expect_str_eq(helper->request.username, name);
	}
}

/* Some mean more than their value. */
Test(passwd_ready, fields_that_do_something)
{
	struct helper helper;
	unsigned i;

	open_file(&helper, "jane:x::::::user=joe a=1\n"
			   "jack:x::::::domain=example.org a=1\n"
			   "june:x::::::domain=example.org a=1\n"
			   "nets:x::::::allow_nets=10.0.0.0/8 a=1\n"
			   "fail:x::::::a=1 fail\n"
			   "time:x::::::a=1 delay_until=never\n");
	helper_open(&helper);
	expect_name(&helper, "jane", "joe");
	expect_name(&helper, "jack", "jack@example.org");
	expect_name(&helper, "june", "june@example.org");
	for (i = 0; i < 4; i++) {
		const char *client = i % 2 == 0 ? "10.1.2.3" : "192.0.2.1";

		addr_parse_ip(&helper.client.remote, client, 1);
		cr_expect_eq(helper_lookup(&helper, "nets"),
			     i % 2 == 0 ? PASSDB_OK : PASSDB_NOT_FOUND);
		cr_expect_eq(helper_lookup(&helper, "fail"), PASSDB_NOT_FOUND);
		cr_expect_eq(helper_lookup(&helper, "time"), PASSDB_FAIL);
	}
	helper_close(&helper);
}
