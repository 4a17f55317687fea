#include "passdb/http_sql/answer.h"

#include <criterion/criterion.h>
#include <string.h>

/* What the dialect makes of an answer: "a=1 b=2", "none", "2 rows", or "error: "
 * and why. */
static const char *outcome(const struct http_sql_dialect *dialect,
			   const struct http_answer *answer)
{
	static struct str out;
	struct http_sql_result result = { .arena = arena_new(1024) };
	struct err err = { "" };
	unsigned i;

	str_clear(&out);
	if (http_sql_answer_read(answer, dialect, &result, &err) < 0)
		str_printf(&out, "error: %s", err.text);
	else if (result.rows == 0)
		str_puts(&out, "none");
	else if (result.rows > 1)
		str_printf(&out, "%zu rows", result.rows);
	for (i = 0; out.len == 0 || i < result.count; i++) {
		if (i == result.count) {
			str_puts(&out, "empty");
			break;
		}
		if (result.rows != 1 || strncmp(str_c(&out), "error", 5) == 0)
			break;
		str_printf(&out, "%s%s=%s", i > 0 ? " " : "",
			   result.columns[i].name, result.columns[i].value);
	}
	arena_free(&result.arena);
	return str_c(&out);
}

struct answer_case {
	const char *body, *expected; /* how the outcome starts */
};

static void expect_all(const struct http_sql_dialect *dialect,
		       const struct answer_case *cases, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		const struct http_answer answer = {
			.status = 200, .body = cases[i].body,
			.len = strlen(cases[i].body),
		};
		const char *got = outcome(dialect, &answer);

		cr_expect_eq(strncmp(got, cases[i].expected,
				     strlen(cases[i].expected)), 0,
			     "%s: %s: got %s, not %s", dialect->name,
			     cases[i].body, got, cases[i].expected);
	}
}
#define EXPECT_ALL(dialect, cases) \
	expect_all(&(dialect), (cases), sizeof(cases) / sizeof(*(cases)))

#define BLOB "{\"results\":[{\"columns\":[\"a\",\"b\"],\"types\":[\"blob\",\"\"]"
#define COLS "{\"results\":[{\"columns\":[\"a\",\"b\"],\"types\":[\"\",\"\"]"

Test(http_sql_answer, rqlite)
{
	static const struct answer_case cases[] = {
		{ COLS ",\"values\":[[\"x\",5]]}]}", "a=x b=5" },
		{ COLS ",\"values\":[[null,1.5]],\"time\":0.1}],\"time\":1}",
		  "b=1.5" },
		{ COLS ",\"values\":[[true,false]]}]}", "a=y" },
		{ COLS ",\"values\":[[null,null]]}]}", "empty" },
		{ BLOB ",\"values\":[[\"AP8=\",5]]}]}",
		  "error: column a is a blob" },
		{ BLOB ",\"values\":[[null,5]]}]}", "b=5" },
		{ BLOB ",\"values\":[]}]}", "none" },
		{ COLS "}]}", "none" },
		{ COLS ",\"values\":null}]}", "none" },
		{ COLS ",\"values\":[]}]}", "none" },
		{ COLS ",\"values\":[[1,2],[3,4]]}]}", "2 rows" },
		{ COLS ",\"values\":[[1]]}]}", "error: a row" },
		{ COLS ",\"values\":[1]}]}", "error: a row" },
		{ COLS ",\"values\":5}]}", "error: columns and rows" },
		{ COLS ",\"values\":[[[],1]]}]}", "error: column a holds an a" },
		{ "{\"results\":[{\"columns\":[1],\"values\":[[2]]}]}",
		  "error: a column has no name" },
		{ "{\"results\":[{\"error\":\"no such table: t\"}]}",
		  "error: the store says: no such table: t" },
		{ "{\"error\":\"leader not found\"}",
		  "error: the store says: leader not found" },
		{ "{\"results\":[{\"error\":{}}]}",
		  "error: the store says: an object" },
		{ COLS ",\"error\":null}],\"error\":null}", "none" },
		{ COLS ",\"error\":5}]}", "error: the store says: a number" },
		{ COLS "}],\"error\":[]}", "error: the store says: an array" },
		{ "{\"results\":[{}]}", "error: the result has no columns" },
		{ "{\"results\":[{},{}]}", "error: the answer does not hold" },
		{ "{\"results\":{}}", "error: the answer does not hold" },
		{ "{}", "error: the answer does not hold" },
		{ "[]", "error: the answer does not hold" },
		{ "null", "error: the answer does not hold" },
		{ "", "error: the answer is no JSON" },
	};

	EXPECT_ALL(http_sql_rqlite, cases);
}

#define OK(rows) "{\"baton\":null,\"results\":[{\"type\":\"ok\",\"response\":" \
	"{\"type\":\"execute\",\"result\":{\"cols\":[{\"name\":\"a\"}," \
	"{\"name\":\"b\"}],\"rows\":" rows "}}}]}"

Test(http_sql_answer, libsql)
{
	static const struct answer_case cases[] = {
		{ OK("[[{\"type\":\"text\",\"value\":\"x\"},"
		     "{\"type\":\"integer\",\"value\":\"5\"}]]"), "a=x b=5" },
		{ OK("[[{\"type\":\"null\"},{\"type\":\"float\",\"value\":1.5}"
		     "]]"), "b=1.5" },
		{ OK("[]"), "none" },
		{ OK("[[],[],[]]"), "error: a row" },
		{ OK("[[{\"type\":\"null\"},{\"type\":\"null\"}],[]]"),
		  "2 rows" },
		{ OK("[[{\"type\":\"blob\",\"base64\":\"AA\"},"
		     "{\"type\":\"null\"}]]"), "error: column a is a blob" },
		{ OK("[[\"x\",\"y\"]]"), "error: column a is a blob" },
		{ OK("[[{\"type\":\"text\"},{\"type\":\"null\"}]]"),
		  "error: column a holds nothing" },
		{ OK("[[{\"type\":\"text\",\"value\":null},"
		     "{\"type\":\"null\"}]]"), "error: column a holds null" },
		{ OK("[[{\"type\":\"text\",\"value\":false},"
		     "{\"type\":\"null\"}]]"), "error: column a holds false" },
		{ OK("5"), "error: the result has no cols" },
		{ "{\"results\":[{\"type\":\"error\",\"error\":{\"message\":"
		  "\"no such table\",\"code\":\"SQLITE_ERROR\"}}]}",
		  "error: the store says: SQLITE_ERROR: no such table" },
		{ "{\"results\":[{\"type\":\"error\"}]}",
		  "error: the store says: error" },
		{ "{\"results\":[{\"type\":\"ok\",\"response\":"
		  "{\"type\":\"close\"}}]}", "error: the answer does not" },
		{ "{}", "error: the answer does not" },
		{ "[]", "error: the answer does not" },
	};

	EXPECT_ALL(http_sql_libsql, cases);
}

#define META "{\"meta\":[{\"name\":\"a\",\"type\":\"String\"}," \
	"{\"name\":\"b\",\"type\":\"UInt64\"}],"

Test(http_sql_answer, clickhouse)
{
	static const struct answer_case cases[] = {
		{ META "\"data\":[[\"x\",\"5\"]],\"rows\":1}", "a=x b=5" },
		{ META "\"data\":[[\"x\",5]],\"rows\":1}", "a=x b=5" },
		{ META "\"data\":[],\"rows\":0}", "none" },
		{ META "\"data\":[[1,2],[1,2]],\"rows\":2}", "2 rows" },
		{ META "\"data\":[[1,2]],\"exception\":\"Code: 241\"}",
		  "error: the store says: Code: 241" },
		{ META "\"data\":[],\"exception\":{}}",
		  "error: the store says: an object" },
		{ META "\"data\":[[1,2]", "error: the answer is no JSON" },
		{ META "\"data\":[[1,2]Code: 241, e.displayText() = x",
		  "error: the answer is no JSON" },
		{ META "\"data\":[[1]]}", "error: a row" },
		{ "{\"meta\":[{}],\"data\":[[1]]}", "error: a column has no" },
		{ "x\ty\n", "error: the answer is no JSON" },
		{ "[]", "error: the answer is an array: FORMAT" },
		{ "{}", "error: columns and rows are nothing and nothing" },
	};

	EXPECT_ALL(http_sql_clickhouse, cases);
}

#define FIELDS "{\"fields\":[{\"name\":\"a\",\"dataTypeID\":25}," \
	"{\"name\":\"b\",\"dataTypeID\":23}],"

Test(http_sql_answer, neon)
{
	static const struct answer_case cases[] = {
		{ FIELDS "\"rows\":[[\"x\",\"5\"]],\"rowCount\":1}",
		  "a=x b=5" },
		{ FIELDS "\"rows\":[[null,\"5\"]]}", "b=5" },
		{ FIELDS "\"rows\":[]}", "none" },
		{ FIELDS "\"rows\":[[null,null],[null,null]]}", "2 rows" },
		{ FIELDS "\"rows\":[{\"a\":1}]}", "error: a row" },
		{ "{\"message\":\"syntax error\",\"code\":\"42601\"}",
		  "error: the store says: syntax error" },
		{ "{}", "error: columns and rows" },
		{ "[]", "error: columns and rows" },
	};

	EXPECT_ALL(http_sql_neon, cases);
}

Test(http_sql_answer, postgrest)
{
	static const struct answer_case cases[] = {
		{ "[{\"a\":\"x\",\"b\":5}]", "a=x b=5" },
		{ "{\"a\":\"x\",\"b\":5}", "a=x b=5" },
		{ "[{\"a\":null,\"b\":true}]", "b=y" },
		{ "[]", "none" },
		{ "null", "none" },
		{ "[{},{}]", "2 rows" },
		{ "[{\"a\":[]}]", "error: column a holds an array" },
		{ "[{\"a\":1,\"a\":2}]", "error: the answer is no JSON" },
		{ "[null]", "error: the answer is null" },
		{ "{\"code\":\"PGRST301\",\"message\":\"JWT expired\"}",
		  "error: the store says: JWT expired" },
		{ "[{\"code\":\"1\",\"message\":\"x\"}]",
		  "code=1 message=x" },
		{ "\"x\"", "error: the answer is a string" },
		{ "5", "error: the answer is a number" },
	};

	EXPECT_ALL(http_sql_postgrest, cases);
}

Test(http_sql_answer, too_many_columns)
{
	struct str body = STR_INIT;
	struct http_answer answer = { .status = 200 };
	unsigned i;

	for (i = 0; i <= HTTP_SQL_MAX_COLUMNS; i++)
		str_printf(&body, "%s\"c%u\":1", i > 0 ? "," : "{", i);
	str_puts(&body, "}");
	answer.body = str_c(&body);
	answer.len = body.len;
	cr_expect(strstr(outcome(&http_sql_postgrest, &answer), "error: more "
			 "than 256 columns") != NULL);
	str_free(&body);
}

Test(http_sql_answer, http_goes_first)
{
	static const struct {
		struct http_answer answer;
		const char *expected;
		bool down;
	} cases[] = {
		{ { "refused", true, 0, "", 0 }, "error: refused", true },
		{ { "cut", true, 200, "x", 1 }, "error: cut (HTTP status 200)",
		  true },
		{ { "large", false, 200, "", 0 }, "error: large (HTTP", false },
		{ { NULL, false, 301, "", 0 }, "error: HTTP status 301: redirects",
		  false },
		{ { NULL, false, 400, "[]", 2 }, "error: HTTP status 400: []", false },
		{ { NULL, false, 401, "", 0 }, "error: HTTP status 401: ", false },
		{ { NULL, false, 429, "", 0 }, "error: HTTP status 429: ", true },
		{ { NULL, false, 500, "x", 1 }, "error: HTTP status 500: x", false },
		{ { NULL, false, 502, "", 0 }, "error: HTTP status 502", true },
		{ { NULL, false, 503, "", 0 }, "error: HTTP status 503", true },
		{ { NULL, false, 504, "", 0 }, "error: HTTP status 504", true },
		{ { NULL, false, 204, "", 0 }, "error: HTTP status 204", false },
		{ { NULL, false, 200, "[]", 2 }, "none", false },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *got = outcome(&http_sql_postgrest,
					  &cases[i].answer);

		cr_expect_eq(strncmp(got, cases[i].expected,
				     strlen(cases[i].expected)), 0,
			     "case %zu: %s", i, got);
		cr_expect_eq(http_sql_answer_is_down(&cases[i].answer),
			     cases[i].down, "case %zu", i);
	}
}

Test(http_sql_answer, dialects_by_name)
{
	struct err err = { "" };

	cr_expect_eq(http_sql_dialect_find("neon", &err), &http_sql_neon);
	cr_expect_null(http_sql_dialect_find("Neon", &err));
	cr_expect(strstr(err.text, "'Neon' is none of") != NULL);
	cr_expect_eq(http_sql_dialect_of("level"), &http_sql_rqlite);
	cr_expect_null(http_sql_dialect_of("url"));
}
