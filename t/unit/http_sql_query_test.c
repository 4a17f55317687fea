#include "passdb/http_sql/query.h"

#include <criterion/criterion.h>
#include <string.h>

#include "lib/percent.h"
#include "passdb/http_sql/dialect.h"
#include "passdb/request.h"
#include "t/hostile_names.h"

static const struct http_sql_syntax standard = { .forbidden = "?@:$[" };
static const struct http_sql_syntax backslash = { "$#", true };

/* The pieces as "text{param}text". */
static const char *shown(const struct http_sql_query *query)
{
	static struct str out;
	unsigned i;

	str_clear(&out);
	for (i = 0; i < query->count; i++)
		str_printf(&out, query->pieces[i].param ? "{%s}" : "%s",
			   query->pieces[i].text);
	return str_c(&out);
}

static int parse(struct http_sql_query *query, struct arena *arena,
		 const struct http_sql_syntax *syntax, const char *text,
		 struct err *err)
{
	const struct var_source check = passdb_request_vars(NULL, NULL);

	return http_sql_query_parse(query, arena, text, syntax, &check, err);
}

Test(http_sql_query, variables_become_parameters)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "SELECT 1", "SELECT 1" },
		{ "a = '%n' AND b = '%d'", "a = {%n} AND b = {%d}" },
		{ "a = '%Ln+x@%d'", "a = {%Ln+x@%d}" },
		{ "a = %{username} LIMIT 1", "a = {%{username}} LIMIT 1" },
		{ "'it''s %n''s'", "{it's %n's}" },
		{ "'it''s' '%n'", "'it''s' {%n}" },
		{ "a LIKE 'x%%'", "a LIKE 'x%'" },
		{ "'%%%n'", "{%%%n}" },
		{ "a %% b", "a % b" },
		{ "\"na'me\" = '%n'", "\"na'me\" = {%n}" },
		{ "`na'me` = '%n'", "`na'me` = {%n}" },
		{ "\"50%%\"", "\"50%\"" },
		{ "'?' = '%n'", "'?' = {%n}" },
		{ "'--' '/*' '%n'", "'--' '/*' {%n}" },
		{ "a - b / c", "a - b / c" },
		{ "'%{if;%n;eq;it's;a;b}'", "{%{if;%n;eq;it's;a;b}}" },
		{ "'\\' '%n'", "'\\' {%n}" },
		{ "''", "''" },
		/* A parameter is a token by itself. */
		{ "a='%n'AND b=%d", "a={%n} AND b={%d}" },
		{ "%n5", "{%n} 5" }, { "%n_a", "{%n} _a" },
		{ "a%n", "a {%n}" }, { "5%n", "5 {%n}" },
		{ "'a'%n", "'a' {%n}" }, { "%n'a'", "{%n} 'a'" },
		{ "%n'%d'", "{%n} {%d}" }, { "'%n'%d", "{%n} {%d}" },
		{ "%n%d", "{%n} {%d}" }, { "%n\"a\"", "{%n} \"a\"" },
		{ "\"a\"%n", "\"a\" {%n}" }, { "\xc3\xa9%n", "\xc3\xa9 {%n}" },
		{ "%n\xc3\xa9", "{%n} \xc3\xa9" },
		{ "(%n,%d)||%n", "({%n},{%d})||{%n}" }, { "%n%%2", "{%n}%2" },
		/* With all that belongs to a variable. */
		{ "'%Ln%5.2Md'", "{%Ln%5.2Md}" }, { "%-3Un", "{%-3Un}" },
		{ "'%{md5;salt=it''s:user}'", "{%{md5;salt=it''s:user}}" },
		{ "'%{if;%{user};~;''*;a''b;c}'", "{%{if;%{user};~;''*;a''b;c}}" },
		{ "%{if;%n;eq;' OR 1;a;b}", "{%{if;%n;eq;' OR 1;a;b}}" },
		{ "'%{env:X}'", "{%{env:X}}" },
	};
	struct arena *arena = arena_new(1024);
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct http_sql_query query;
		struct err err = { "" };

		cr_assert_eq(parse(&query, arena, &standard, cases[i].in,
				   &err), 0, "%s: %s", cases[i].in, err.text);
		cr_expect_str_eq(shown(&query), cases[i].out);
	}
	arena_free(&arena);
}

Test(http_sql_query, refuses_what_it_cannot_bind)
{
	static const struct {
		const char *in, *why;
	} cases[] = {
		{ "'%q'", "unknown variable" },
		{ "%q", "unknown variable" },
		{ "'%{nosuch}'", "unknown variable" },
		{ "'%{user'", "missing }" },
		{ "%{user", "missing }" },
		{ "'a", "a quote (') is missing" },
		{ "\"a", "a quote (\") is missing" },
		{ "'a''", "a quote (') is missing" },
		{ "'50%'", "a quote (') is missing" },
		{ "a = 50%", "ends the query" },
		{ "\"%n\"", "quoted name" },
		{ "`%n`", "quoted name" },
		{ "E'%n'", "prefix" },
		{ "X'%n'", "prefix" },
		{ "U&'%n'", "prefix" },
		{ "_utf8'%n'", "prefix" },
		{ "a = ?", "character ?" },
		{ "a = @b", "character @" },
		{ "a = :b", "character :" },
		{ "$1", "character $" },
		{ "[it's]", "character [" },
		{ "1 -- '%n'", "comments" },
		{ "1 /* '%n' */", "comments" },
	};
	struct arena *arena = arena_new(1024);
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct http_sql_query query;
		struct err err = { "" };

		cr_expect_eq(parse(&query, arena, &standard, cases[i].in,
				   &err), -1, "%s: %s", cases[i].in,
			     shown(&query));
		cr_expect(strstr(err.text, cases[i].why) != NULL, "%s: %s",
			  cases[i].in, err.text);
	}
	arena_free(&arena);
}

Test(http_sql_query, backslashes_that_escape)
{
	struct arena *arena = arena_new(1024);
	struct http_sql_query query;
	struct err err = { "" };

	cr_assert_eq(parse(&query, arena, &backslash,
			   "a = 'x\\'y' AND `z\\`` = '%n'", &err), 0, "%s",
		     err.text);
	cr_expect_str_eq(shown(&query), "a = 'x\\'y' AND `z\\`` = {%n}");
	cr_expect_eq(parse(&query, arena, &backslash, "'\\\\%n'", &err), -1);
	cr_expect(strstr(err.text, "backslash") != NULL, "%s", err.text);
	cr_expect_eq(parse(&query, arena, &backslash, "'\\%n'", &err), -1);
	cr_assert_eq(parse(&query, arena, &backslash, "'\\%%'", &err), 0);
	cr_expect_str_eq(shown(&query), "'\\%'");
	cr_expect_eq(parse(&query, arena, &backslash, "'a\\'", &err), -1);
	cr_expect_eq(parse(&query, arena, &backslash, "'a\\", &err), -1);
	cr_expect_eq(parse(&query, arena, &backslash, "\"a\\\"%n\"", &err),
		     -1, "a name that goes on");
	arena_free(&arena);
}

Test(http_sql_query, too_many_variables)
{
	struct arena *arena = arena_new(1024);
	struct http_sql_query query;
	struct err err = { "" };
	struct str text = STR_INIT;
	unsigned i;

	for (i = 0; i < 100; i++)
		str_puts(&text, "'%n' ");
	cr_expect_eq(parse(&query, arena, &standard, str_c(&text), &err), -1);
	cr_expect(strstr(err.text, "too many") != NULL, "%s", err.text);
	str_free(&text);
	arena_free(&arena);
}

/* --- values, and what the dialects make of them --- */

struct world {
	struct arena *arena;
	struct http_sql_settings settings;
	struct http_sql_query query;
	struct str path, body;
};

static void world_init(struct world *world,
		       const struct http_sql_dialect *dialect,
		       const char *text)
{
	const struct var_source check = passdb_request_vars(NULL, NULL);
	struct err err = { "" };

	*world = (struct world){
		.arena = arena_new(1024),
		.settings = { .hrana_version = 3, .database = "",
			      .store_settings = "" },
	};
	cr_assert_eq(dialect->parse_query(&world->query, world->arena, text,
					  &check, &err), 0, "%s: %s",
		     dialect->name, err.text);
}

static void world_free(struct world *world)
{
	str_free(&world->path);
	str_free(&world->body);
	arena_free(&world->arena);
}

static int ask(struct world *world, const struct http_sql_dialect *dialect,
	       const char *user)
{
	const struct var_entry table[] = {
		{ 'u', "user", user, 0 }, { 0, NULL, NULL, 0 },
	};
	const struct var_source vars = { .table = table };
	const char *const *values;
	struct err err;
	int ret = http_sql_query_values(&world->query, world->arena, &vars,
					&values, &err);

	str_clear(&world->path);
	str_clear(&world->body);
	if (ret == 0)
		dialect->ask(&world->settings, &world->query, values,
			     &world->path, &world->body);
	return ret;
}

#define SQL "SELECT a FROM \"t\" WHERE u = '%u' AND v = 'x%%''\\y'"

Test(http_sql_query, names_that_are_no_utf8)
{
	struct world world;

	world_init(&world, &http_sql_rqlite, SQL);
	cr_expect_eq(ask(&world, &http_sql_rqlite, "a\xff"), VAR_REFUSED);
	cr_expect_eq(ask(&world, &http_sql_rqlite, "\xc0\xaf"), VAR_REFUSED);
	cr_expect_eq(ask(&world, &http_sql_rqlite, "\xc3\xa9"), 0);
	world_free(&world);
}

/* The fixed text is the same for every user, and the value arrives whole. */
static void expect_bound(const struct json *sql, const char *fixed,
			 const struct json *value, const char *user)
{
	cr_assert_not_null(json_text(sql), "%s", user);
	cr_expect_str_eq(json_text(sql), fixed);
	cr_assert_not_null(json_text(value), "%s", user);
	cr_expect_str_eq(json_text(value), user);
}

static struct json *body_json(const struct world *world)
{
	struct err err = { "" };
	struct json *root = json_parse(str_c(&world->body), world->body.len,
				       &err);

	cr_assert(root != NULL, "%s: %s", err.text, str_c(&world->body));
	return root;
}

static void check_rqlite(const struct world *world, const char *user)
{
	struct json *root = body_json(world);
	const struct json *statement = json_item(root, 0);

	cr_expect_eq(json_count(root), 1);
	cr_expect_eq(json_count(statement), 2);
	expect_bound(json_item(statement, 0), "SELECT a FROM \"t\" WHERE u = ? "
		     "AND v = 'x%''\\y'", json_item(statement, 1), user);
	cr_expect_str_eq(str_c(&world->path), "/db/query");
	json_close(&root);
}

static void check_libsql(const struct world *world, const char *user)
{
	struct json *root = body_json(world);
	const struct json *stmt = json_member(
		json_item(json_member(root, "requests"), 0), "stmt");
	const struct json *args = json_member(stmt, "args");

	cr_expect_eq(json_count(json_member(root, "requests")), 2);
	cr_expect_eq(json_count(args), 1);
	expect_bound(json_member(stmt, "sql"), "SELECT a FROM \"t\" WHERE "
		     "u = ? AND v = 'x%''\\y'",
		     json_member(json_item(args, 0), "value"), user);
	json_close(&root);
}

static void check_neon(const struct world *world, const char *user)
{
	struct json *root = body_json(world);
	const struct json *params = json_member(root, "params");

	cr_expect_eq(json_count(params), 1);
	expect_bound(json_member(root, "query"), "SELECT a FROM \"t\" WHERE "
		     "u = $1 AND v = 'x%''\\y'", json_item(params, 0), user);
	json_close(&root);
}

/* Reads the literal as ClickHouse does. */
static void check_clickhouse(const struct world *world, const char *user)
{
	static const char before[] = "SELECT a FROM \"t\" WHERE u = '";
	const char *text = str_c(&world->body);
	struct str value = STR_INIT;

	cr_assert_eq(strncmp(text, before, sizeof(before) - 1), 0, "%s", text);
	for (text += sizeof(before) - 1; *text != '\''; text++) {
		cr_assert_neq(*text, '\0', "%s", user);
		text += *text == '\\';
		str_putc(&value, *text);
	}
	cr_expect_str_eq(str_c(&value), user);
	cr_expect_str_eq(text, "' AND v = 'x%''\\y'");
	str_free(&value);
}

static void check_postgrest(const struct world *world, const char *user)
{
	static const char before[] = "/t?u=eq.";
	struct str value = STR_INIT;
	const char *text = str_c(&world->path);

	cr_assert_eq(strncmp(text, before, sizeof(before) - 1), 0);
	percent_encode(&value, user);
	cr_assert_eq(strspn(str_c(&value), "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%"),
		     value.len, "%s", user);
	str_puts(&value, "&select=a");
	cr_expect_str_eq(text + sizeof(before) - 1, str_c(&value));
	cr_expect_eq(world->body.len, 0);
	str_free(&value);
}

static void check_function(const struct world *world, const char *user)
{
	struct json *root = body_json(world);

	cr_expect_str_eq(json_text(json_member(root, "u")), user);
	cr_expect_str_eq(json_text(json_member(root, "v")), "100%");
	cr_expect_str_eq(str_c(&world->path), "/rpc/f");
	json_close(&root);
}

static void expect_unchanged(const struct http_sql_dialect *dialect,
			     const char *query,
			     void (*check)(const struct world *world,
					   const char *user))
{
	struct world world;
	unsigned i;

	world_init(&world, dialect, query);
	for (i = 0; i < HOSTILE_NAMES; i++) {
		cr_assert_eq(ask(&world, dialect, hostile_name(i)), 0);
		check(&world, hostile_name(i));
	}
	world_free(&world);
}

Test(http_sql_query, no_name_changes_a_query)
{
	cr_assert_geq(HOSTILE_NAMES, 200);
	expect_unchanged(&http_sql_rqlite, SQL, check_rqlite);
	expect_unchanged(&http_sql_libsql, SQL, check_libsql);
	expect_unchanged(&http_sql_neon, SQL, check_neon);
	/* There the other literal is one that ends in its quote. */
	expect_unchanged(&http_sql_clickhouse, "SELECT a FROM \"t\" WHERE "
			 "u = '%u' AND v = 'x%%''\\y'", check_clickhouse);
	expect_unchanged(&http_sql_postgrest, "GET /t?u=eq.%u&select=a",
			 check_postgrest);
	expect_unchanged(&http_sql_postgrest, "POST /rpc/f {\"u\": \"%u\", "
			 "\"v\": \"100%%\"}", check_function);
}

/* ClickHouse may take typographic quotes for quotes. */
Test(http_sql_query, clickhouse_refuses)
{
	static const char *const texts[] = {
		"a = \xe2\x80\x98%n\xe2\x80\x99", "$a$%n$a$", "1 # %n",
		"a = \xe2\x80\x9c%n\xe2\x80\x9d", "'\\' || '%n'",
		"\"a\\\" || '%n'", "`a\\` || '%n'",
	};
	const struct var_source check = passdb_request_vars(NULL, NULL);
	struct arena *arena = arena_new(1024);
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct http_sql_query query;
		struct err err = { "" };

		cr_expect_eq(http_sql_clickhouse.parse_query(
			&query, arena, texts[i], &check, &err), -1, "%s",
			texts[i]);
	}
	arena_free(&arena);
}

Test(http_sql_query, postgrest_refuses)
{
	static const char *const texts[] = {
		"", "SELECT 1", "GET", "GET x", "get /t", "PUT /t", "POST /t",
		"POST /t x", "POST /t [\"%u\"]", "POST /t {", "POST  {}",
		"POST /t {\"a\": %u}", "POST /t {\"%u\": 1}",
		"POST /t {\"x%u\" : 1}", "POST /t {\"a\": \"%u\"",
		"POST /t {\"a\": \"%q\"}", "POST /t {\"a\": \"b\"%u}",
		"GET /%u", "GET /t?%u", "GET /t?%u=eq.a", "GET /t?a=%u",
		"GET /t?a=neq.%u", "GET /t?a=in.(%u)", "GET /t?a=like.%u",
		"GET /t?select=eq.%u", "GET /t?or=eq.%u", "GET /t?and=eq.%u",
		"GET /t?limit=eq.%u", "GET /t?a=eq.b&%u", "GET /t?a=eq.%q",
		"GET /t?a=eq.x#y", "GET /t?a=eq.x y", "GET /t?a=eq.\xc3\xa9",
		"GET /t?a=eq.%{user", "GET /t?=%u", "GET /eq.%u",
		"GET /rpc/f?a=eq.%u", "GET /rpc/f?a=%u",
	};
	const struct var_source check = passdb_request_vars(NULL, NULL);
	struct arena *arena = arena_new(1024);
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct http_sql_query query;
		struct err err = { "" };

		cr_expect_eq(http_sql_postgrest.parse_query(
			&query, arena, texts[i], &check, &err), -1, "%s",
			texts[i]);
		cr_expect_neq(err.text[0], '\0', "%s", texts[i]);
	}
	arena_free(&arena);
}

Test(http_sql_query, postgrest_takes_escapes)
{
	struct world world;

	world_init(&world, &http_sql_postgrest,
		   "GET /t?a=eq.100%%25&b=eq.x%u.y&c=is.null");
	cr_expect_eq(ask(&world, &http_sql_postgrest, "&"), 0);
	cr_expect_str_eq(str_c(&world.path),
			 "/t?a=eq.100%25&b=eq.x%26.y&c=is.null");
	world_free(&world);
}
