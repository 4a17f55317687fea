/* The settings that connections have, for what a configuration says in filters:
 *
 *	settings_for file [local remote name]...
 *
 * Each connection is three words: the address on this side, that of the client,
 * the name that it asks for with TLS; "-" for none. A block of lines "name=value"
 * for the process, with "passdb=", "inet_listener=" and "unix_listener=" in front of
 * the settings of each, then one for each connection; an empty line ends a block.
 * What is wrong with the configuration is on stderr; then the exit status is 1. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/settings/settings.h"
#include "proxy/settings/tables.h"

static void say(const char *name, const char *value)
{
	struct str text = STR_INIT;

	str_put_escaped(&text, value, strlen(value));
	printf("%s=%s\n", name, str_c(&text));
	str_free(&text);
}

static void say_table(const struct conf_table *table, const void *object)
{
	const struct conf_def *def;
	struct str value = STR_INIT;

	for (def = table->defs; def->name != NULL; def++) {
		str_clear(&value);
		conf_value_write(def->type, def->words,
				 (const char *)object + def->offset, &value);
		say(def->name, str_c(&value));
	}
	str_free(&value);
}

static void say_service(const struct service_settings *service)
{
	unsigned i;

	say_table(&settings_service_table, service);
	for (i = 0; i < service->inet_listener_count; i++) {
		say("inet_listener", service->inet_listeners[i].name);
		say_table(&settings_inet_listener_table,
			  &service->inet_listeners[i]);
	}
	for (i = 0; i < service->unix_listener_count; i++) {
		say("unix_listener", service->unix_listeners[i].path);
		say_table(&settings_unix_listener_table,
			  &service->unix_listeners[i]);
	}
}

static void say_process(const struct settings *settings)
{
	const struct passdb_settings *passdb = &settings->passdb;
	struct str name = STR_INIT;
	unsigned i;

	say_table(&settings_global_table, settings);
	say_table(&settings_auth_table, passdb);
	say_service(&settings->service);
	for (i = 0; i < passdb->count; i++) {
		say("passdb", passdb->blocks[i].args);
		say_table(&settings_passdb_table, &passdb->blocks[i]);
	}
	for (i = 0; i < settings->local.quota.count; i++) {
		str_clear(&name);
		str_printf(&name, "plugin %s",
			   settings->local.quota.list[i].name);
		say(str_c(&name), settings->local.quota.list[i].value);
	}
	putchar('\n');
	str_free(&name);
}

static struct addr address(const char *text)
{
	struct addr addr = { .len = 0 };

	if (strcmp(text, "-") != 0 && addr_parse_ip(&addr, text, 24) < 0)
		errx(2, "%s: no address", text);
	return addr;
}

static void say_connection(const struct settings *settings, char **words)
{
	struct addr local = address(words[0]), remote = address(words[1]);
	const char *name = strcmp(words[2], "-") == 0 ? NULL : words[2];
	const struct lmtp_settings *lmtp =
		settings_for_name(settings, &local, &remote, name);

	say_table(&settings_lmtp_table, lmtp);
	say_table(&tls_settings_table, &lmtp->tls);
	putchar('\n');
}

int main(int argc, char **argv)
{
	struct conf_errors errors = { .errors = 0 };
	struct settings *settings = NULL;
	struct conf_tree *tree;
	int i;

	if (argc < 2 || argc % 3 != 2)
		errx(2, "usage: settings_for file [local remote name]...");
	tree = settings_read(argv[1], &errors);
	if (tree != NULL)
		settings = settings_new(tree, &errors);
	fputs(str_c(&errors.text), stderr);
	conf_errors_free(&errors);
	if (settings == NULL) {
		conf_tree_free(&tree);
		return 1;
	}
	say_process(settings);
	for (i = 2; i < argc; i += 3)
		say_connection(settings, &argv[i]);
	settings_unref(&settings);
	return 0;
}
