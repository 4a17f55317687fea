/* waypost-passdb(7) and waypost(8) name all that there is, and nothing else. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passdb/driver.h"
#include "passdb/special.h"
#include "passdb/userdb/userdb.h"
#include "passdb/var/private.h"
#include "proxy/lookup/client.h"
#include "proxy/route.h"
#include "proxy/settings/tables.h"
#include "t/files.h"

static struct str page;

/* Its text, with "\-" read as "-". */
static void read_page(const char *name)
{
	struct files files;
	struct str raw = STR_INIT;
	const char *c;

	str_clear(&page);
	files_read(files_source(&files, name), &raw);
	for (c = str_c(&raw); *c != '\0'; c++) {
		if (c[0] != '\\' || c[1] != '-')
			str_putc(&page, *c);
	}
	str_free(&raw);
}

static void start(void)
{
	read_page("man/waypost-passdb.7");
}

static void end(void)
{
	str_free(&page);
}

TestSuite(passdb_docs, .init = start, .fini = end);

/* The part of the page below heading, for the caller to free. */
static char *chapter(const char *heading)
{
	struct str line = STR_INIT;
	const char *at, *stop;

	str_printf(&line, "\n.SH %s\n", heading);
	at = strstr(str_c(&page), str_c(&line));
	cr_assert_not_null(at, "no chapter %s", heading);
	at += line.len - 1;
	stop = strstr(at, "\n.SH ");
	str_free(&line);
	return strndup(at, stop != NULL ? (size_t)(stop - at) + 1
					: strlen(at));
}

/* Whether text has "before", name and "after" in one piece. */
static bool has(const char *text, const char *before, const char *name,
		const char *after)
{
	struct str all = STR_INIT;
	bool found;

	str_printf(&all, "%s%s%s", before, name, after);
	found = strstr(text, str_c(&all)) != NULL;
	str_free(&all);
	return found;
}

static bool has_entry(const char *text, const char *name)
{
	return has(text, "\n\\fB", name, "\\fR\n");
}

/* Calls fn with each bold word that is an entry of text. */
static void each_entry(const char *text, void (*fn)(const char *name))
{
	static const char mark[] = "\n\\fB";
	char name[128];

	while ((text = strstr(text, mark)) != NULL) {
		text += sizeof(mark) - 1;
		snprintf(name, sizeof(name), "%.*s",
			 (int)(strstr(text, "\\fR") - text), text);
		fn(name);
	}
}

Test(passdb_docs, drivers)
{
	char *text = chapter("DRIVERS");
	const struct passdb_driver *driver;
	const char *name;
	unsigned i;

	for (i = 0; (driver = passdb_driver_at(PASSDB_KIND_PASS, i)) != NULL; i++) {
		if (driver->warning == NULL)
			cr_expect(has_entry(text, driver->name), "%s",
				  driver->name);
		else /* in a list */
			cr_expect(has(text, "\n.BR ", driver->name, ""), "%s",
				  driver->name);
	}
	cr_expect_eq(i, 11);
	for (i = 0; (name = passdb_driver_unsupported(PASSDB_KIND_PASS, i)) != NULL; i++)
		cr_expect(has(text, "\n.BR ", name, ""), "%s", name);
	cr_expect_eq(i, 3);
	free(text);
}

static void expect_driver(const char *name)
{
	struct err err;

	cr_expect(passdb_driver_find(PASSDB_KIND_PASS, name, &err) != NULL, "%s", err.text);
}

Test(passdb_docs, no_other_drivers)
{
	char *text = chapter("DRIVERS");

	each_entry(text, expect_driver);
	free(text);
}

static const struct conf_def *find_def(const struct conf_table *table,
				       const char *name)
{
	const struct conf_def *def = table->defs;

	while (def->name != NULL && strcmp(def->name, name) != 0)
		def++;
	cr_assert_not_null(def->name, "%s", name);
	return def;
}

Test(passdb_docs, chain)
{
	char *text = chapter("THE CHAIN");
	const struct conf_word *word =
		find_def(&settings_passdb_table, "result_success")->words;
	const struct conf_def *def;
	unsigned words = 0, entries = 0;
	const char *at = text;

	for (; word->name != NULL; word++, words++)
		cr_expect(has_entry(text, word->name), "%s", word->name);
	while ((at = strstr(at, "\n\\fB")) != NULL) {
		entries++;
		at++;
	}
	cr_expect_eq(entries, words);
	for (def = settings_passdb_table.defs; def->name != NULL; def++)
		cr_expect(has(text, "\\fI", def->name, "\\fR") ||
			  has(text, "\n.I ", def->name, "\n"), "%s",
			  def->name);
	free(text);
}

Test(passdb_docs, settings_of_lookups)
{
	const struct conf_def *def;

	for (def = settings_auth_table.defs; def->name != NULL; def++)
		cr_expect(has(str_c(&page), "\n.I ", def->name, "") ||
			  has(str_c(&page), "\n.IR ", def->name, ""), "%s",
			  def->name);
}

/* "userdb_" stands for the names that begin with it. */
static void expect_field(const char *text, const char *name)
{
	const char *rest = name[strlen(name) - 1] == '_' ? "NAME" : "";
	struct str all = STR_INIT;

	str_printf(&all, "%s%s", name, rest);
	cr_expect(has_entry(text, str_c(&all)), "%s", str_c(&all));
	str_free(&all);
}

Test(passdb_docs, fields)
{
	char *text = chapter("FIELDS");
	const char *name;
	unsigned i;

	for (i = 0; (name = passdb_special_name(PASSDB_KIND_PASS, i)) != NULL; i++)
		expect_field(text, name);
	cr_expect_eq(i, 14);
	for (i = 0; (name = route_field_name(i)) != NULL; i++)
		expect_field(text, name);
	cr_expect_eq(i, 16);
	expect_field(text, "forward_");
	free(text);
}

static void expect_known_field(const char *name)
{
	const char *other;
	unsigned i = 0;

	while ((other = route_field_name(i)) != NULL &&
	       strcmp(other, name) != 0)
		i++;
	cr_expect(other != NULL || passdb_special_find(name) != NULL ||
		  strcmp(name, "forward_NAME") == 0, "%s", name);
}

Test(passdb_docs, no_other_fields)
{
	char *text = chapter("FIELDS");

	each_entry(text, expect_known_field);
	free(text);
}

Test(passdb_docs, variables)
{
	const struct var_source source = passdb_request_vars(NULL, NULL);
	char *text = chapter("VARIABLES");
	const struct var_entry *entry;
	const struct var_func *func;
	const char *name;
	unsigned i;

	for (entry = source.table; entry->key || entry->name; entry++) {
		const char key[] = { entry->key, '\0' };

		cr_expect(entry->key == 0 || has(text, "\\fB%", key, "\\fR"),
			  "%%%s", key);
		cr_expect(entry->name == NULL ||
			  has(text, "\\fB%{", entry->name, "}\\fR"),
			  "%%{%s}", entry->name);
	}
	for (func = source.funcs; func->name != NULL; func++)
		cr_expect(has(text, "\n\\fB%{", func->name, ":"), "%s",
			  func->name);
	for (i = 0; (name = var_if_operator(i)) != NULL; i++)
		cr_expect(has(text, "\\fB", name, "\\fR"), "%s", name);
	cr_expect_eq(i, 16);
	free(text);
}

/* Those that the page says are always empty. */
Test(passdb_docs, empty_variables)
{
	const struct var_source source = passdb_request_vars(NULL, NULL);
	char *text = chapter("VARIABLES"), *part;
	const struct var_entry *entry;
	unsigned count = 0;

	*strstr(text, "\n.SS Functions\n") = '\0';
	part = strstr(text, "\n.PP\nKnown, as in Dovecot, and empty");
	cr_assert_not_null(part);
	for (entry = source.table; entry->key || entry->name; entry++) {
		bool empty = entry->value != NULL && entry->value[0] == '\0';

		if (entry->name == NULL)
			continue;
		cr_expect_eq(has(part, "\\fB%{", entry->name, "}\\fR"), empty,
			     "%%{%s}", entry->name);
		count += empty;
	}
	cr_expect_gt(count, 5);
	free(text);
}

/* What is an example of a name in it becomes a name. */
static void replace(char *text, const char *word, const char *by)
{
	char *at = strstr(text, word);

	if (at == NULL)
		return;
	memmove(at + strlen(by), at + strlen(word), strlen(at + strlen(word)) + 1);
	memcpy(at, by, strlen(by));
}

/* Each that stands in bold, anywhere in its line. */
Test(passdb_docs, no_other_variables)
{
	const struct var_source source = passdb_request_vars(NULL, NULL);
	char *text = chapter("VARIABLES"), variable[128];
	const char *at = text;
	unsigned count = 0;
	struct err err;

	while ((at = strstr(at, "\\fB%")) != NULL) {
		at += 3;
		snprintf(variable, sizeof(variable), "%.*s",
			 (int)(strstr(at, "\\fR") - at), at);
		replace(variable, ";OPTIONS", "");
		replace(variable, "VARIABLE", "user");
		cr_expect_eq(var_check(variable, &source, &err), 0, "%s: %s",
			     variable, err.text);
		count++;
	}
	cr_expect_gt(count, 60);
	free(text);
}

Test(passdb_docs, modifiers)
{
	char *text = chapter("VARIABLES"), *part;
	char c[] = "A";
	unsigned count = 0;

	part = strstr(text, "\n.SS Modifiers\n");
	cr_assert_not_null(part);
	for (; *c <= 'z'; ++*c) {
		cr_expect_eq(has_entry(part, c), var_is_modifier(*c), "%s", c);
		count += var_is_modifier(*c);
	}
	cr_expect_eq(count, 10);
	free(text);
}

/* --- userdbs --- */

static void expect_userdb_driver(const char *name)
{
	struct err err;

	cr_expect(passdb_driver_find(PASSDB_KIND_USER, name, &err) != NULL,
		  "%s", err.text);
}

Test(passdb_docs, userdb_drivers)
{
	const struct passdb_driver *driver;
	unsigned i;
	char *text;

	read_page("man/waypost-userdb.7");
	text = chapter("DRIVERS");
	for (i = 0; (driver = passdb_driver_at(PASSDB_KIND_USER, i)) != NULL;
	     i++)
		cr_expect(driver->warning == NULL ?
			  has_entry(text, driver->name) :
			  has(text, "\n.B ", driver->name, "\n") ||
			  has(text, "\n.BR ", driver->name, " ,\n"), "%s",
			  driver->name);
	cr_expect_eq(i, 10);
	each_entry(text, expect_userdb_driver);
	free(text);
}

Test(passdb_docs, userdb_chain)
{
	const struct conf_def *def;
	char *text;

	read_page("man/waypost-userdb.7");
	text = chapter("THE CHAIN");
	for (def = settings_userdb_table.defs; def->name != NULL; def++)
		cr_expect(has(text, "\n.I ", def->name, "\n") ||
			  has(text, "\n.IR ", def->name, " ,\n"), "%s",
			  def->name);
	free(text);
}

static void expect_userdb_field(const char *name)
{
	const char *other;
	unsigned i = 0, j = 0;

	while ((other = userdb_field_name(i)) != NULL &&
	       strcmp(other, name) != 0)
		i++;
	while (other == NULL &&
	       (other = passdb_special_name(PASSDB_KIND_USER, j)) != NULL) {
		j++;
		if (strcmp(other, name) != 0)
			other = NULL;
	}
	cr_expect_not_null(other, "%s", name);
}

Test(passdb_docs, userdb_fields)
{
	const char *name;
	unsigned i;
	char *text;

	read_page("man/waypost-userdb.7");
	text = chapter("FIELDS");
	for (i = 0; (name = userdb_field_name(i)) != NULL; i++)
		cr_expect(has(text, "\\fB", name, "\\fR"), "%s", name);
	cr_expect_eq(i, 12);
	for (i = 0; (name = passdb_special_name(PASSDB_KIND_USER, i)) != NULL;
	     i++)
		cr_expect(has_entry(text, name), "%s", name);
	cr_expect_eq(i, 5);
	each_entry(text, expect_userdb_field);
	free(text);
}

/* The keys of waypost -l -x. */
Test(passdb_docs, lookup_options)
{
	const char *const *key;
	const char *at;
	unsigned items = 0, keys = 0;

	read_page("man/waypost.8");
	for (key = lookup_client_keys; *key != NULL; key++, keys++)
		cr_expect(has(str_c(&page), "\n.It Cm ", *key, " ") ||
			  has(str_c(&page), "\n.It Cm ", *key, "\n") ||
			  has(str_c(&page), " , ", *key, "\n"), "%s", *key);
	for (at = str_c(&page); (at = strstr(at, "\n.It Cm ")) != NULL; at++) {
		const char *end = strchr(at + 1, '\n');

		for (items++; at < end - 3; at++)
			items += strncmp(at, " , ", 3) == 0;
	}
	cr_expect_eq(items, keys);
}
