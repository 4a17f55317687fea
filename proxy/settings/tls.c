#include "proxy/settings/tls.h"

#include <string.h>

#include "proxy/settings/check.h"

/* A string setting, and what it needs beside it (NULL: nothing). */
struct pem {
	const char *name;
	size_t offset;
	const char *other;
	size_t other_offset;
};

#define OFFSET(field) offsetof(struct tls_settings, field)
#define PEM(a, b) { #a, OFFSET(a), #b, OFFSET(b) }
static const struct pem pems[] = {
	PEM(ssl_cert, ssl_key),
	PEM(ssl_key, ssl_cert),
	PEM(ssl_alt_cert, ssl_alt_key),
	PEM(ssl_alt_key, ssl_alt_cert),
	PEM(ssl_client_cert, ssl_client_key),
	PEM(ssl_client_key, ssl_client_cert),
	{ "ssl_ca", OFFSET(ssl_ca), NULL, 0 },
	{ "ssl_dh", OFFSET(ssl_dh), NULL, 0 },
};
#define PEMS (sizeof(pems) / sizeof(pems[0]))

bool settings_tls_offered(const struct lmtp_settings *lmtp)
{
	return lmtp->tls.ssl != TLS_MODE_NO && *lmtp->tls.ssl_cert != '\0';
}

void settings_tls_error(struct conf_errors *errors,
			const struct conf_node *root, const char *name,
			const char *value, const char *text)
{
	const struct conf_node *node = conf_node_setting(root, name);

	if (node != NULL && strcmp(node->value, value) == 0)
		conf_error(errors, node->file, node->line, "%s", text);
	for (node = root->children; node != NULL; node = node->next) {
		if (node->section && conf_is_filter(node->key))
			settings_tls_error(errors, node, name, value, text);
	}
}

static const char *field(const struct tls_settings *tls, size_t offset)
{
	return *(const char *const *)((const char *)tls + offset);
}

/* "ssl_key = # hidden, use -P to show it" is what doveconf -n has of it. */
static const char *where_hidden(const struct conf_node *root, const char *name)
{
	const struct conf_node *node =
		root != NULL ? conf_node_setting(root, name) : NULL;

	return node != NULL && node->path == NULL && *node->value == '\0' ?
	       ", and it is empty: doveconf shows it with -P only" : "";
}

/* What is wrong with a value; false: nothing. root: NULL if why does not matter. */
static bool pem_problem(const struct tls_settings *tls, const struct pem *pem,
			const struct conf_node *root, struct err *why)
{
	const char *value = field(tls, pem->offset);

	if (*value == '\0')
		return false;
	if (strstr(value, "-----BEGIN ") == NULL)
		err_put(why, "%s: this is no PEM text%s", pem->name,
			*value == '/' ? ": the path of a file needs a \"<\" in front"
				      : ", it has no -----BEGIN line");
	else if (pem->other != NULL && *field(tls, pem->other_offset) == '\0')
		err_put(why, "%s needs %s beside it%s", pem->name, pem->other,
			where_hidden(root, pem->other));
	else
		return false;
	return true;
}

/* Whether a variant before has the same value, and so was reported. */
static bool is_repeated(const struct settings *settings, unsigned number,
			const struct pem *pem)
{
	const char *value = field(&settings_variant(settings, number)->tls,
				  pem->offset);
	struct err why;
	unsigned i;

	for (i = 0; i < number; i++) {
		const struct tls_settings *tls =
			&settings_variant(settings, i)->tls;

		if (strcmp(field(tls, pem->offset), value) == 0 &&
		    pem_problem(tls, pem, NULL, &why))
			return true;
	}
	return false;
}

static void check_pem(const struct settings *settings, const struct pem *pem,
		      const struct conf_node *root, struct conf_errors *errors)
{
	const struct tls_settings *tls;
	struct err why;
	unsigned i;

	for (i = 0; i < settings->variant_count; i++) {
		tls = &settings_variant(settings, i)->tls;
		if (pem_problem(tls, pem, root, &why) &&
		    !is_repeated(settings, i, pem))
			settings_tls_error(errors, root, pem->name,
					   field(tls, pem->offset), why.text);
	}
}

/* Whether some session can have TLS. */
static bool is_offered(const struct settings *settings)
{
	unsigned i;

	for (i = 0; i < settings->variant_count; i++) {
		if (settings_tls_offered(settings_variant(settings, i)))
			return true;
	}
	return false;
}

static void check_listeners(const struct service_settings *service,
			    struct conf_errors *errors)
{
	const struct inet_listener_settings *inet = service->inet_listeners;
	unsigned i;

	for (i = 0; i < service->inet_listener_count; i++) {
		if (inet[i].ssl)
			conf_error(errors, inet[i].file, inet[i].line,
				   "inet_listener %s: ssl = yes needs ssl_cert "
				   "and ssl_key, and ssl to be yes",
				   inet[i].name);
	}
}

static void check_offered(const struct settings *settings,
			  const struct conf_node *root,
			  struct conf_errors *errors)
{
	const struct conf_node *node = conf_node_setting(root, "ssl");

	/* For which filters count for nothing. */
	if (!settings_tls_offered(&settings->lmtp))
		check_listeners(&settings->http, errors);
	if (is_offered(settings))
		return;
	if (node != NULL && settings->lmtp.tls.ssl == TLS_MODE_REQUIRED)
		conf_warning(errors, node->file, node->line, "ssl = required "
			     "has no effect without ssl_cert");
	check_listeners(&settings->service, errors);
}

/* Whether some session asks for certificates that nothing could verify. */
static bool lacks_ca(const struct settings *settings)
{
	unsigned i;

	for (i = 0; i < settings->variant_count; i++) {
		const struct tls_settings *tls =
			&settings_variant(settings, i)->tls;

		if (tls->ssl_verify_client_cert && *tls->ssl_ca == '\0')
			return true;
	}
	return false;
}

void settings_tls_check(const struct settings *settings,
			const struct conf_node *root,
			struct conf_errors *errors)
{
	unsigned i;

	for (i = 0; i < PEMS; i++)
		check_pem(settings, &pems[i], root, errors);
	if (lacks_ca(settings))
		settings_error(errors, root, "ssl_verify_client_cert",
			       "ssl_verify_client_cert needs ssl_ca");
	check_offered(settings, root, errors);
}
