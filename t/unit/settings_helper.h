/* What tests of the settings share. Included by one .c file per program. */
#ifndef SETTINGS_HELPER_H
#define SETTINGS_HELPER_H

#include "proxy/settings/settings.h"

#include <criterion/criterion.h>
#include <string.h>

#include "t/files.h"

/* What every configuration here needs. */
#define BASE "lmtp_proxy = yes\nhostname = mx.example\n"
#define PASSDB "passdb {\n driver = static\n args = proxy=y\n}\n"

#define CERT "-----BEGIN CERTIFICATE-----\nAAAA\n"
#define KEY "-----BEGIN PRIVATE KEY-----\nBBBB\n"

static inline struct conf_tree *read_text(const char *text)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	struct files files;

	files_init(&files);
	tree = settings_read(files_write(&files, "f", text), &errors);
	files_done(&files);
	cr_assert(tree != NULL, "%s", str_c(&errors.text));
	conf_errors_free(&errors);
	return tree;
}

/* The settings of a text that is fine; its warnings must be want_warnings. */
static inline struct settings *load_warned(const char *text,
					   const char *want_warning)
{
	struct conf_errors errors = { .errors = 0 };
	struct settings *settings;

	settings = settings_new(read_text(text), &errors);
	cr_assert(settings != NULL, "%s", str_c(&errors.text));
	if (want_warning == NULL)
		cr_expect_str_eq(str_c(&errors.text), "");
	else
		cr_expect(errors.warnings > 0 &&
			  strstr(str_c(&errors.text), want_warning) != NULL,
			  "%s", str_c(&errors.text));
	conf_errors_free(&errors);
	return settings;
}

static inline struct settings *load(const char *text)
{
	return load_warned(text, NULL);
}

/* Each of the lines must be among the errors, and there must be as many. */
static inline void expect_errors(const char *text, unsigned count, const char *want)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree = read_text(text);

	cr_expect_null(settings_new(tree, &errors), "[%s]", text);
	cr_expect_eq(errors.errors, count, "[%s]: %s", text,
		     str_c(&errors.text));
	cr_expect(strstr(str_c(&errors.text), want) != NULL, "[%s]: %s", text,
		  str_c(&errors.text));
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

static inline const struct lmtp_settings *
settings_for(const struct settings *set, const struct addr *local,
	     const struct addr *remote)
{
	return settings_for_name(set, local, remote, NULL);
}

static inline const char *greeting(const struct settings *set,
				   const char *local, const char *remote)
{
	struct addr here, there;

	cr_assert_eq(addr_parse_ip(&here, local, 24), 0);
	cr_assert_eq(addr_parse_ip(&there, remote, 4711), 0);
	return settings_for(set, &here, &there)->login_greeting;
}

#endif
