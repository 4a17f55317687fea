#include "proxy/settings/missed.h"

#include <string.h>

#include "backends/local/mail/location.h"
#include "deliver/mail_vars.h"
#include "lib/arena.h"
#include "lib/str.h"
#include "proxy/settings/variants.h"

struct missed {
	const struct settings *settings;
	const struct conf_node *root;
	const struct conf_filter *filters;
	unsigned filter_count;
	struct conf_errors *errors;
};

/* What a setting is of use for. */
enum use { USE_DIRECTOR, USE_LOCAL, USE_MBOX };

static const struct {
	const char *name;
	enum use use;
	const char *instead;
} simple[] = {
	{ "director_flush_socket", USE_DIRECTOR,
	  "nothing is called when a user moves" },
	{ "mail_chroot", USE_LOCAL,
	  "mail is saved outside of it; a userdb's field chroot counts" },
};

static bool has_local(const struct missed *missed)
{
	const struct local_settings *local = &missed->settings->local;

	return local->enabled && *local->lda_command == '\0';
}

static bool is_of_use(const struct missed *missed, enum use use)
{
	switch (use) {
	case USE_DIRECTOR:
		return missed->settings->director != NULL;
	case USE_LOCAL:
		return has_local(missed);
	case USE_MBOX:
		return has_local(missed) &&
		       strncmp(missed->settings->local.mail_location, "mbox:",
			       5) == 0;
	}
	return true;
}

/* The setting that holds for LMTP in general. NULL: it is not set, or empty. */
static const struct conf_node *find(const struct missed *missed,
				    const char *name)
{
	const struct conf_node *node = conf_node_setting(missed->root, name);
	unsigned i;

	for (i = 0; i < missed->filter_count; i++) {
		const struct conf_filter *filter = &missed->filters[i];
		const struct conf_node *inner =
			conf_node_setting(filter->section, name);

		if (inner != NULL && settings_variants_is_general(filter) &&
		    conf_filter_protocol(filter, "lmtp"))
			node = inner;
	}
	return node != NULL && *node->value != '\0' ? node : NULL;
}

static void warn(const struct missed *missed, const struct conf_node *node,
		 const char *instead)
{
	conf_warning(missed->errors, node->file, node->line,
		     "%s has no effect: %s", node->key, instead);
}

static void check_simple(const struct missed *missed)
{
	const struct conf_node *node;
	size_t i;

	for (i = 0; i < sizeof(simple) / sizeof(*simple); i++) {
		node = find(missed, simple[i].name);
		if (node != NULL && is_of_use(missed, simple[i].use))
			warn(missed, node, simple[i].instead);
	}
}

/* Whatever their order, these two are those that are used. */
static void check_locks(const struct missed *missed)
{
	const struct conf_node *node = find(missed, "mbox_write_locks");

	if (node != NULL && is_of_use(missed, USE_MBOX) &&
	    (strstr(node->value, "dotlock") == NULL ||
	     strstr(node->value, "fcntl") == NULL))
		warn(missed, node, "mboxes are locked by dotlock and fcntl");
}

/* Of a ring of one director nothing is lost. */
static void check_ring(const struct missed *missed)
{
	const struct conf_node *node = find(missed, "director_servers");

	if (node != NULL && is_of_use(missed, USE_DIRECTOR) &&
	    strpbrk(node->value, " \t") != NULL &&
	    *missed->settings->cluster.etcd_urls == '\0')
		warn(missed, node, "each of these knows its own users and "
		     "changes only; they share them through etcd: "
		     "cluster_etcd_urls, waypost-cluster(7)");
}

/* The director's own socket, and auth's, stand for what happens here anyway. */
static void check_auth_socket(const struct missed *missed)
{
	const struct conf_node *node = find(missed, "auth_socket_path");
	const char *name;

	if (node == NULL)
		return;
	name = strrchr(node->value, '/');
	name = name != NULL ? name + 1 : node->value;
	if (strcmp(name, "auth-userdb") != 0 && strcmp(name, "auth-master") != 0 &&
	    strcmp(name, "director-userdb") != 0)
		warn(missed, node, "nobody is asked there, but the passdbs of "
		     "this configuration");
}

static void check_service(const struct missed *missed)
{
	const struct conf_node *service =
		conf_node_section(missed->root, "service", "lmtp"), *node;

	node = service != NULL ? conf_node_setting(service, "chroot") : NULL;
	if (node != NULL && *node->value != '\0')
		warn(missed, node, "the worker process has no root directory "
		     "of its own");
}

/* quota is ours; imap_ and the like are not of LMTP. */
static bool matters(const char *plugin, size_t len)
{
	return (len != 5 || memcmp(plugin, "quota", 5) != 0) &&
	       (len < 5 || memcmp(plugin, "imap_", 5) != 0);
}

static void check_plugins(const struct missed *missed)
{
	const struct conf_node *node = find(missed, "mail_plugins");
	struct str names = STR_INIT;
	const char *at;
	size_t len;

	for (at = node != NULL ? node->value : ""; *at != '\0'; at += len) {
		at += strspn(at, " \t,");
		len = strcspn(at, " \t,");
		if (len == 0 || !matters(at, len))
			continue;
		if (names.len > 0)
			str_putc(&names, ' ');
		str_append(&names, at, len);
	}
	if (names.len > 0)
		conf_warning(missed->errors, node->file, node->line,
			     "mail_plugins: %s: no effect on mail that is saved "
			     "here; lda_command has Dovecot's own program save it: "
			     "waypost-delivery(8)", str_c(&names));
	str_free(&names);
}

static bool is_yes(const struct conf_node *section, const char *name)
{
	const struct conf_node *node = conf_node_setting(section, name);

	return node != NULL && (strcasecmp(node->value, "yes") == 0 ||
				strcasecmp(node->value, "y") == 0 ||
				strcmp(node->value, "1") == 0);
}

/* One that is not there yet. */
static void check_mailboxes(const struct missed *missed,
			    const struct conf_node *namespace)
{
	const struct conf_node *node, *automatic;

	if (missed->settings->local.lda_mailbox_autocreate)
		return;
	for (node = namespace->children; node != NULL; node = node->next) {
		automatic = node->section && strcmp(node->key, "mailbox") == 0 ?
			    conf_node_setting(node, "auto") : NULL;
		if (automatic == NULL || strcmp(automatic->value, "no") == 0)
			continue;
		conf_warning(missed->errors, automatic->file, automatic->line,
			     "auto: without lda_mailbox_autocreate no mailbox "
			     "is made for the detail of an address");
		return;
	}
}

static void check_namespaces(const struct missed *missed)
{
	const struct conf_node *node;

	if (!missed->settings->local.lmtp_save_to_detail_mailbox)
		return;
	for (node = missed->root->children; node != NULL; node = node->next) {
		if (node->section && strcmp(node->key, "namespace") == 0 &&
		    is_yes(node, "inbox") && !is_yes(node, "disabled"))
			check_mailboxes(missed, node);
	}
}

static const struct conf_node *find_location(const struct missed *missed)
{
	const char *wanted = missed->settings->local.inbox.location;
	const struct conf_node *node, *setting;

	if (*wanted == '\0')
		return find(missed, "mail_location");
	for (node = missed->root->children; node != NULL; node = node->next) {
		if (!node->section || strcmp(node->key, "namespace") != 0 ||
		    !is_yes(node, "inbox"))
			continue;
		setting = conf_node_setting(node, "location");
		if (setting != NULL && strcmp(setting->value, wanted) == 0)
			return setting;
	}
	return NULL;
}

/* Whether somebody's mail can be saved there, as far as the text shows. Of unknown
 * variables others speak. */
static int try_location(const char *text, struct err *err)
{
	const struct local_request user = {
		.user = "user@example.com", .home = "/home",
	};
	struct arena *arena = arena_new(256);
	struct mail_location location;
	struct err unknown;
	const char *value = mail_vars_expand(arena, &user, NULL, "mail_location",
					     text, &unknown);
	int status = 0;

	if (value != NULL)
		status = mail_location_parse(&location, value, user.home, err);
	if (value != NULL && status == 0)
		mail_location_free(&location);
	arena_free(&arena);
	return status;
}

/* A userdb may name another place, so it is no error. */
static void check_location(const struct missed *missed)
{
	const struct conf_node *setting = find_location(missed);
	struct err err;

	if (setting != NULL && try_location(setting->value, &err) < 0)
		conf_warning(missed->errors, setting->file, setting->line,
			     "no mail can be saved there: %s", err.text);
}

void settings_missed_check(const struct settings *settings,
			   const struct conf_node *root,
			   const struct conf_filter *filters, unsigned count,
			   struct conf_errors *errors)
{
	const struct missed missed = { settings, root, filters, count, errors };

	check_simple(&missed);
	check_locks(&missed);
	check_ring(&missed);
	check_auth_socket(&missed);
	check_service(&missed);
	if (!has_local(&missed))
		return;
	check_plugins(&missed);
	check_namespaces(&missed);
	check_location(&missed);
}
