/* The manual page and the example files say what the definition tables say. */
#include <criterion/criterion.h>

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf/line.h"
#include "passdb/ldap/settings.h"
#include "proxy/settings/cluster.h"
#include "proxy/settings/health.h"
#include "proxy/settings/local.h"
#include "proxy/settings/namespace.h"
#include "proxy/settings/quota.h"
#include "proxy/settings/settings.h"
#include "proxy/settings/tables.h"
#include "t/files.h"

#define CONF_PAGE "man/waypost.conf.5"

static const struct {
	const char *heading;
	const struct conf_table *table;
	const char *page;
} chapters[] = {
	{ "\n.SH GENERAL SETTINGS\n", &settings_global_table, CONF_PAGE },
	{ "\n.SH LMTP SETTINGS\n", &settings_lmtp_table, CONF_PAGE },
	{ "\n.SH TLS SETTINGS\n", &tls_settings_table, CONF_PAGE },
	{ "\n.SH PASSDB SETTINGS\n", &settings_auth_table, CONF_PAGE },
	{ "\n.SH DIRECTOR SETTINGS\n", &settings_director_table, CONF_PAGE },
	{ "\n.SH SECTION DIRECTOR_BACKEND\n",
	  &settings_director_backend_table, CONF_PAGE },
	{ "\n.SH DIRECTOR HEALTH SETTINGS\n", &settings_health_table,
	  CONF_PAGE },
	{ "\n.SH CLUSTER SETTINGS\n", &settings_cluster_table, CONF_PAGE },
	{ "\n.SH LOCAL DELIVERY SETTINGS\n", &settings_local_table,
	  CONF_PAGE },
	{ "\n.SH SECTION NAMESPACE\n", &settings_namespace_table, CONF_PAGE },
	{ "\n.SH SECTION PASSDB\n", &settings_passdb_table, CONF_PAGE },
	{ "\n.SH QUOTA SETTINGS\n", &settings_quota_table, CONF_PAGE },
	{ "\n.SH SECTION USERDB\n", &settings_userdb_table, CONF_PAGE },
	{ "\n.SH SECTION SERVICE LMTP\n", &settings_service_table, CONF_PAGE },
	{ "\n.SH SECTION INET_LISTENER\n",
	  &settings_inet_listener_table, CONF_PAGE },
	{ "\n.SH SECTION UNIX_LISTENER\n",
	  &settings_unix_listener_table, CONF_PAGE },
	{ "\n.SH SETTINGS\n", &ldap_settings_table, "man/waypost-ldap.5" },
};
#define CHAPTERS (sizeof(chapters) / sizeof(chapters[0]))

/* Appends text as it stands in the source of a manual page. */
static void put_roff(struct str *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '-')
			str_puts(out, "\\-");
		else if (*text == '\\')
			str_puts(out, "\\e");
		else
			str_putc(out, *text);
	}
}

/* The line that an entry starts with: name and default. */
static void put_entry(struct str *out, const struct conf_def *def)
{
	struct str value = STR_INIT;

	conf_line_write_value(&value, def->value);
	str_printf(out, "\n\\fB%s\\fR =", def->name);
	if (value.len > 0)
		str_putc(out, ' ');
	put_roff(out, str_c(&value));
	str_putc(out, '\n');
	str_free(&value);
}

/* The part of a page from heading to the next one, as a string of its own. */
static char *chapter(const char *page, const char *heading)
{
	const char *start = strstr(page, heading), *end;

	cr_assert_not_null(start, "no%s", heading);
	start += strlen(heading) - 1;
	end = strstr(start, "\n.SH ");
	return end != NULL ? strndup(start, (size_t)(end - start) + 1)
			   : strdup(start);
}

static void check_words(const struct conf_def *def, const char *entry)
{
	const struct conf_word *word = def->words;
	const char *end = strstr(entry, "\n.TP\n");
	char *text = strndup(entry, end != NULL ? (size_t)(end - entry)
						: strlen(entry));
	struct str name = STR_INIT;

	for (; word != NULL && word->name != NULL; word++) {
		str_clear(&name);
		put_roff(&name, word->name);
		cr_expect(strstr(text, str_c(&name)) != NULL,
			  "%s: %s is missing", def->name, word->name);
	}
	str_free(&name);
	free(text);
}

static unsigned count_entries(const char *text)
{
	unsigned count = 0;

	for (; (text = strstr(text, "\n.TP\n")) != NULL; text++)
		count++;
	return count;
}

Test(settings_docs, manual_has_each_setting_and_no_other)
{
	struct str page = STR_INIT, entry = STR_INIT;
	const struct conf_def *def;
	struct files files;
	unsigned count;
	size_t i;

	for (i = 0; i < CHAPTERS; i++) {
		char *text;

		str_clear(&page);
		files_read(files_source(&files, chapters[i].page), &page);
		text = chapter(str_c(&page), chapters[i].heading);
		count = 0;
		for (def = chapters[i].table->defs; def->name; def++) {
			const char *at;

			str_clear(&entry);
			put_entry(&entry, def);
			at = strstr(text, str_c(&entry));
			cr_expect(at != NULL, "missing:%s", str_c(&entry));
			if (at != NULL)
				check_words(def, at);
			count++;
		}
		cr_expect_eq(count_entries(text), count, "entries under%s",
			     chapters[i].heading);
		free(text);
	}
	str_free(&page);
	str_free(&entry);
}

Test(settings_docs, tables_are_complete)
{
	const struct conf_def *def;
	size_t i;

	for (i = 0; i < CHAPTERS; i++) {
		for (def = chapters[i].table->defs; def->name; def++)
			cr_expect(strlen(def->doc) > 0 &&
				  strlen(def->doc) < 64, "%s", def->name);
	}
}

static const char *const examples[] = {
	"10-auth.conf", "10-director.conf", "10-logging.conf",
	"10-mail.conf", "10-master.conf", "10-ssl.conf", "11-cluster.conf",
	"15-lda.conf", "20-lmtp.conf", "90-quota.conf", "auth-http-sql.conf.ext",
	"auth-ldap.conf.ext", "auth-passwdfile.conf.ext",
	"auth-static.conf.ext", "auth-userdb-http-sql.conf.ext",
	"auth-userdb-ldap.conf.ext", "auth-userdb-passwd.conf.ext",
	"auth-userdb-passwdfile.conf.ext", "auth-userdb-prefetch.conf.ext",
	"auth-userdb-static.conf.ext", "dovecot-ldap.conf.ext",
};
#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

/* Whether a comment line is a setting, a brace or an include that was
 * commented out: no blank follows its #. */
static bool commented_out(const char *line)
{
	return *line == '#' && (islower((unsigned char)line[1]) ||
				line[1] == '}' || line[1] == '!');
}

/* Appends text with the directory that it speaks of replaced by where the
 * examples are. */
static void put_moved(struct files *files, const char *text, struct str *out)
{
	const char *etc = "/etc/waypost/dovecot-", *at;

	while ((at = strstr(text, etc)) != NULL) {
		str_append(out, text, (size_t)(at - text));
		str_puts(out, files_path(files, "conf.d/dovecot-"));
		text = at + strlen(etc);
	}
	str_puts(out, text);
}

/* Appends text with all that was commented out taken in. */
static void uncomment(const char *text, struct str *out)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		size_t blank = strspn(text, " ");

		if (commented_out(text + blank))
			str_append(out, text + blank + 1, len - blank - 1);
		else
			str_append(out, text, len);
		str_putc(out, '\n');
		text += len + (text[len] == '\n');
	}
}

/* Files that examples name in /etc/waypost are in dir. */
static void move_args(struct str *text, const char *dir)
{
	static const char etc[] = "args = /etc/waypost/http-sql.conf.ext";
	struct str moved = STR_INIT;
	const char *at = text->data != NULL ? strstr(text->data, etc) : NULL;

	if (at == NULL)
		return;
	str_append(&moved, text->data, (size_t)(at - text->data));
	str_printf(&moved, "args = %s/http-sql.conf.ext%s", dir,
		   at + sizeof(etc) - 1);
	str_free(text);
	*text = moved;
}

static void install(struct files *files, const char *name, const char *to,
		    bool all)
{
	struct files source;
	struct str text = STR_INIT, out = STR_INIT, moved = STR_INIT;

	files_read(files_source(&source, name), &text);
	move_args(&text, files->dir);
	if (all)
		uncomment(str_c(&text), &out);
	else
		str_puts(&out, str_c(&text));
	put_moved(files, str_c(&out), &moved);
	files_write(files, to, str_c(&moved));
	str_free(&moved);
	str_free(&text);
	str_free(&out);
}

/* The examples as a site would have them, all settings taken in or none. */
static struct conf_tree *read_examples(struct files *files, bool all)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	char name[64];
	size_t i;

	install(files, "conf.d/waypost.conf", "waypost.conf", all);
	for (i = 0; i < EXAMPLES; i++) {
		snprintf(name, sizeof(name), "conf.d/%s", examples[i]);
		install(files, name, name, all);
	}
	install(files, "conf.d/http-sql.conf.ext", "http-sql.conf.ext", false);
	tree = settings_read(files_path(files, "waypost.conf"), &errors);
	cr_assert(tree != NULL, "%s", str_c(&errors.text));
	conf_errors_free(&errors);
	return tree;
}

/* Nothing but a passdb is missing. */
Test(settings_docs, examples_as_shipped)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	struct files files;

	files_init(&files);
	tree = read_examples(&files, false);
	cr_expect_null(settings_new(tree, &errors));
	cr_expect_str_eq(str_c(&errors.text),
			 "there is no passdb: nothing says where recipients "
			 "live\n");
	conf_tree_free(&tree);
	files_done(&files);
	conf_errors_free(&errors);
}

static void check_examples(const struct conf_node *section,
			   const struct conf_table *table, const char *except)
{
	const struct conf_def *def;
	const struct conf_node *node;

	cr_assert_not_null(section);
	for (def = table->defs; def->name != NULL; def++) {
		node = conf_node_setting(section, def->name);
		cr_expect(node != NULL, "%s is not in the examples",
			  def->name);
		if (node == NULL || strstr(except, def->name) != NULL)
			continue;
		cr_expect_str_eq(node->value, def->value, "%s: %s", def->name,
				 node->value);
	}
}

Test(settings_docs, examples_with_every_setting)
{
	struct conf_errors errors = { .errors = 0 };
	const struct conf_node *root, *service;
	struct settings *settings;
	struct conf_tree *tree;
	struct files files;

	files_init(&files);
	tree = read_examples(&files, true);
	settings = settings_new(tree, &errors);
	cr_assert(settings != NULL, "%s", str_c(&errors.text));
	cr_expect_str_eq(str_c(&errors.text), "");
	root = tree->root;
	service = conf_node_section(root, "service", "lmtp");
	check_examples(root, &settings_global_table, "http_token");
	check_examples(root, &settings_lmtp_table, "lmtp_proxy");
	check_examples(root, &tls_settings_table, "");
	check_examples(root, &settings_auth_table, "");
	check_examples(root, &settings_director_table, "");
	check_examples(conf_node_section(root, "director_backend", "archive"),
		       &settings_director_backend_table, "servers");
	check_examples(root, &settings_health_table, "");
	check_examples(root, &settings_cluster_table, "");
	check_examples(conf_node_section(root, "plugin", NULL),
		       &settings_quota_table, "");
	check_examples(conf_node_section(root, "namespace", "inbox"),
		       &settings_namespace_table, "inbox");
	cr_expect_eq(settings->ctl.unix_listener_count, 1);
	cr_expect_eq(settings->http.inet_listener_count, 1);
	cr_expect_eq(settings->socketmap.inet_listener_count, 1);
	check_examples(service, &settings_service_table, "");
	check_examples(conf_node_section(service, "inet_listener", "lmtp"),
		       &settings_inet_listener_table, "");
	check_examples(conf_node_section(service, "unix_listener", "lmtp"),
		       &settings_unix_listener_table, "mode");
	/* The last passdb is that of auth-static.conf.ext. */
	check_examples(conf_node_section(root, "passdb", NULL),
		       &settings_passdb_table, "driver args");
	check_examples(conf_node_section(root, "userdb", NULL),
		       &settings_userdb_table, "driver args");
	settings_unref(&settings);
	files_done(&files);
	conf_errors_free(&errors);
}

Test(settings_docs, ldap_example_has_each_setting)
{
	struct conf_errors errors = { .errors = 0 };
	struct str text = STR_INIT, all = STR_INIT;
	struct arena *arena = arena_new(1024);
	struct ldap_settings settings;
	const struct conf_def *def;
	struct files files;

	files_read(files_source(&files, "conf.d/dovecot-ldap.conf.ext"),
		   &text);
	cr_expect_eq(ldap_settings_read(&settings, arena, "f", str_c(&text),
					&errors), 0, "%s",
		     str_c(&errors.text));
	uncomment(str_c(&text), &all);
	cr_expect_eq(ldap_settings_read(&settings, arena, "f", str_c(&all),
					&errors), 0);
	cr_expect_str_eq(str_c(&errors.text), "");
	for (def = ldap_settings_table.defs; def->name != NULL; def++) {
		struct str line = STR_INIT;

		cr_expect(ldap_settings_line(&settings, def->name) > 0,
			  "%s is not in the example", def->name);
		str_printf(&line, "\n#%s =%s%s\n", def->name,
			   *def->value != '\0' ? " " : "", def->value);
		cr_expect(strstr("uris base", def->name) != NULL ||
			  strstr(str_c(&text), str_c(&line)) != NULL,
			  "%s", str_c(&line));
		str_free(&line);
	}
	arena_free(&arena);
	str_free(&text);
	str_free(&all);
}

/* The page names all that has no effect. */
Test(settings_docs, ldap_settings_without_effect)
{
	struct str page = STR_INIT;
	struct files files;
	char *text;
	size_t i;

	files_read(files_source(&files, "man/waypost-ldap.5"), &page);
	text = chapter(str_c(&page), "\n.SH SETTINGS WITHOUT EFFECT\n");
	for (i = 0; ldap_settings_ignored[i] != NULL; i++)
		cr_expect(strstr(text, ldap_settings_ignored[i]) != NULL,
			  "%s is missing", ldap_settings_ignored[i]);
	free(text);
	str_free(&page);
}

Test(settings_docs, quota_settings_without_effect)
{
	struct str page = STR_INIT;
	struct files files;
	char *text;
	size_t i;

	files_read(files_source(&files, CONF_PAGE), &page);
	text = chapter(str_c(&page), "\n.SH QUOTA SETTINGS WITHOUT EFFECT\n");
	for (i = 0; settings_quota_ignored[i] != NULL; i++)
		cr_expect(strstr(text, settings_quota_ignored[i]) != NULL,
			  "%s is missing", settings_quota_ignored[i]);
	free(text);
	str_free(&page);
}

/* No example is forgotten above. */
Test(settings_docs, list_of_examples)
{
	struct files files;
	struct dirent *entry;
	DIR *dir = opendir(files_source(&files, "conf.d"));
	size_t i, count = 0;

	cr_assert_not_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.' ||
		    strcmp(entry->d_name, "waypost.conf") == 0 ||
		    strcmp(entry->d_name, "http-sql.conf.ext") == 0)
			continue; /* the latter: http_sql_settings_test.c */
		for (i = 0; i < EXAMPLES; i++) {
			if (strcmp(examples[i], entry->d_name) == 0)
				break;
		}
		cr_expect(i < EXAMPLES, "%s", entry->d_name);
		count++;
	}
	cr_expect_eq(count, EXAMPLES);
	closedir(dir);
}
