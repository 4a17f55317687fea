#include "passdb/http_sql/tls.h"

#include <string.h>

#include "lib/tls/context.h"

static bool has_tls(const struct http_sql_settings *settings)
{
	bool tls = false;
	unsigned i;

	for (i = 0; i < settings->url_count; i++)
		tls |= settings->urls[i].tls;
	return tls;
}

/* The system's, as text, where no setting names any. "" when they cannot be
 * read, which is reported. */
static const char *system_cas(struct ext_file *file)
{
	const char *path = http_system_cas(), *text;
	struct err err = { "libcurl does not know where they are" };

	text = path != NULL ? conf_tree_file(file->files, path, &err) : NULL;
	if (text == NULL)
		ext_file_report(file, "url", "https needs tls_ca_cert_file, or "
				"the system's CAs: %s", err.text);
	return text != NULL ? text : "";
}

static void read_cas(struct http_sql_settings *settings,
		     struct ext_file *file)
{
	const char *path = settings->tls_ca_cert_file;
	const char *dir = settings->tls_ca_cert_dir;
	const char *pem = ext_file_pem(file, settings->arena,
				       "tls_ca_cert_file", path);
	const char *name = path[0] != '\0' ? "tls_ca_cert_file" :
			   dir[0] != '\0' ? "tls_ca_cert_dir" : "url";
	struct err err;

	if (path[0] == '\0' && dir[0] == '\0' && has_tls(settings) &&
	    settings->http.verify)
		pem = system_cas(file);
	if (ext_file_is_broken(file) || (pem[0] == '\0' && dir[0] == '\0'))
		return;
	settings->http.trust = tls_trust_new(pem, dir, &err);
	if (settings->http.trust == NULL)
		ext_file_report(file, name, "%s", err.text);
}

/* The setting that an error of a context is about. */
static const char *culprit(const char *error)
{
	if (strncmp(error, "ssl_cipher_list", 15) == 0)
		return "tls_cipher_suite";
	if (strncmp(error, "ssl_client_key", 14) == 0)
		return "tls_key_file";
	return "tls_cert_file";
}

/* What is wrong with them would else show only at a lookup. */
static void check_own(struct http_sql_settings *settings,
		      struct ext_file *file)
{
	struct tls_context *context;
	struct tls_settings tls;
	struct err err;

	if (ext_file_is_broken(file))
		return;
	conf_defaults(&tls_settings_table, settings->arena, &tls);
	if (settings->tls_cipher_suite[0] != '\0')
		tls.ssl_cipher_list = settings->tls_cipher_suite;
	tls.ssl_client_ca_file = tls.ssl_client_ca_dir = "";
	tls.ssl_client_cert = settings->http.cert;
	tls.ssl_client_key = settings->http.key;
	context = tls_context_client(&tls, &err);
	if (context == NULL)
		ext_file_report(file, culprit(err.text), "%s",
				err.text + strcspn(err.text, ":") + 2);
	tls_context_unref(&context);
}

void http_sql_tls_read(struct http_sql_settings *settings,
		       struct ext_file *file)
{
	struct http_settings *http = &settings->http;

	http->cert = ext_file_pem(file, settings->arena, "tls_cert_file",
				  settings->tls_cert_file);
	http->key = ext_file_pem(file, settings->arena, "tls_key_file",
				 settings->tls_key_file);
	http->cipher_list = settings->tls_cipher_suite;
	if (settings->tls_key_file[0] == '\0')
		http->key = http->cert; /* which has both */
	else if (settings->tls_cert_file[0] == '\0')
		ext_file_report(file, "tls_key_file", "it needs "
				"tls_cert_file");
	if (has_tls(settings) && !http_has_tls())
		ext_file_report(file, "url", "https needs a libcurl that was "
				"built with OpenSSL");
	read_cas(settings, file);
	check_own(settings, file);
}
