/* The example file and the manual page say what the table says. What is wrong
 * with a file is tested end to end. */
#include "passdb/http_sql/settings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "passdb/http_sql/dialect.h"
#include "passdb/request.h"
#include "t/files.h"

struct world {
	struct conf_tree *tree;
	struct conf_errors errors;
	struct err err;
	struct http_sql_settings *settings;
};

static void read_kind(struct world *world, enum passdb_kind kind,
		      const char *text)
{
	const struct var_source check = passdb_request_vars(NULL, NULL);

	*world = (struct world){ .tree = conf_tree_new() };
	conf_file_add(world->tree, "/secret", "hush\r\n");
	conf_file_add(world->tree, "/x", text);
	world->settings = http_sql_settings_read("/x", kind, world->tree,
						 &check, &world->errors,
						 &world->err);
}

static void read_text(struct world *world, const char *text)
{
	read_kind(world, PASSDB_KIND_PASS, text);
}

static void world_free(struct world *world)
{
	http_sql_settings_free(&world->settings);
	conf_tree_free(&world->tree);
	conf_errors_free(&world->errors);
}

#define LEAST "url = http://a http://b:1/\ndialect = rqlite\n" \
	"password_query = SELECT '%u'\n"

Test(http_sql_settings, defaults)
{
	struct world world;
	const struct http_settings *http;

	read_text(&world, LEAST);
	cr_assert(world.settings != NULL, "%s", str_c(&world.errors.text));
	http = &world.settings->http;
	cr_expect_eq(world.settings->dialect, &http_sql_rqlite);
	cr_expect_eq(world.settings->url_count, 2);
	cr_expect_str_eq(world.settings->urls[1].text, "http://b:1");
	cr_expect_eq(world.settings->query.params, 1);
	cr_expect_eq(http->timeout_ms, 5000);
	cr_expect_eq(http->connect_timeout_ms, 2000);
	cr_expect_eq(http->max_connections, 8);
	cr_expect_eq(http->max_body, 65536);
	cr_expect(http->verify);
	cr_expect_null(http->trust);
	world_free(&world);
}

/* A file may serve a passdb and a userdb. */
Test(http_sql_settings, each_kind_has_its_query)
{
	struct world world;

	read_kind(&world, PASSDB_KIND_USER, LEAST "user_query = SELECT '%n', "
		  "'%d'\n");
	cr_assert(world.settings != NULL, "%s", str_c(&world.errors.text));
	cr_expect_str_eq(world.settings->query_name, "user_query");
	cr_expect_eq(world.settings->query.params, 2);
	world_free(&world);
	read_kind(&world, PASSDB_KIND_USER, LEAST);
	cr_expect_null(world.settings);
	cr_expect_str_eq(str_c(&world.errors.text),
			 "/x: user_query: it is missing\n", "%s",
			 str_c(&world.errors.text));
	world_free(&world);
}

Test(http_sql_settings, secrets_from_files)
{
	struct world world;

	read_text(&world, LEAST "url = https://c\nauth = bearer\n"
		  "token = </secret\nheader = X-A: 1\nheader = X-B:  2\n");
	cr_assert(world.settings != NULL, "%s", str_c(&world.errors.text));
	cr_expect_eq(world.settings->url_count, 3);
	cr_expect_str_eq(world.settings->headers[1], "X-A: 1");
	cr_expect_str_eq(world.settings->headers[2], "X-B: 2");
	cr_expect_str_eq(world.settings->headers[3],
			 "Authorization: Bearer hush");
	cr_expect_null(world.settings->headers[4]);
	world_free(&world);
}

/* All at once, each with its line. */
Test(http_sql_settings, every_error_is_reported)
{
	struct world world;

	read_text(&world, "url = gopher://x\ndialect = oracle\nlevel = 5\n"
		  "header = Key: hush\theader\nauth = basic\n");
	cr_expect_null(world.settings);
	cr_expect_eq(world.errors.errors, 6, "%s", str_c(&world.errors.text));
	cr_expect_null(strstr(str_c(&world.errors.text), "hush"));
	cr_expect_str_eq(world.err.text, "");
	world_free(&world);
}

Test(http_sql_settings, file_that_cannot_be_read)
{
	const struct var_source check = passdb_request_vars(NULL, NULL);
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree = conf_tree_new();
	struct err err = { "" };

	cr_expect_null(http_sql_settings_read("/nowhere/at/all",
					      PASSDB_KIND_PASS, tree, &check,
					      &errors, &err));
	cr_expect(strstr(err.text, "/nowhere/at/all") != NULL, "%s", err.text);
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

/* As a setting stands in the example: alone, commented out, or behind "# " when
 * it has to be chosen. */
static bool mentions(const char *text, const struct conf_def *def)
{
	char line[128];

	snprintf(line, sizeof(line), "\n#%s =%s%s\n", def->name,
		 def->value[0] != '\0' ? " " : "", def->value);
	if (strstr(text, line) != NULL)
		return true;
	snprintf(line, sizeof(line), "\n# %s =", def->name);
	if (strstr(text, line) != NULL)
		return true;
	snprintf(line, sizeof(line), "\n%s = ", def->name);
	return strstr(text, line) != NULL;
}

Test(http_sql_settings, example)
{
	const struct conf_def *def = http_sql_settings_table.defs;
	struct str text = STR_INIT;
	struct files files;
	struct world world;

	files_read(files_source(&files, "conf.d/http-sql.conf.ext"), &text);
	for (; def->name != NULL; def++)
		cr_expect(mentions(str_c(&text), def), "%s = %s", def->name,
			  def->value);
	read_text(&world, str_c(&text));
	cr_expect(world.settings != NULL, "%s", str_c(&world.errors.text));
	world_free(&world);
	str_free(&text);
}

Test(http_sql_settings, manual)
{
	const struct conf_def *def = http_sql_settings_table.defs;
	struct str page = STR_INIT;
	struct files files;
	char line[128];

	files_read(files_source(&files, "man/waypost-http-sql.5"), &page);
	for (; def->name != NULL; def++) {
		snprintf(line, sizeof(line), "\n\\fB%s\\fR =%s%s\n", def->name,
			 def->value[0] != '\0' ? " " : "", def->value);
		cr_expect(strstr(str_c(&page), line) != NULL, "%s", line);
	}
	str_free(&page);
}
