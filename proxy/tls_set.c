#include "proxy/tls_set.h"

#include <stdatomic.h>
#include <string.h>

#include "lib/mem.h"
#include "proxy/settings/tls.h"

/* Of one variant. */
struct contexts {
	struct tls_context *server; /* NULL: TLS is not offered */
	struct tls_context *client;
};

struct tls_set {
	_Atomic unsigned refs;
	struct contexts *variants;
	unsigned count;
};

/* One side of TLS. */
struct side {
	bool (*wanted)(const struct lmtp_settings *lmtp);
	bool (*same)(const struct tls_settings *a,
		     const struct tls_settings *b);
	struct tls_context *(*make)(const struct tls_settings *settings,
				    struct err *err);
};

static bool always_wanted(const struct lmtp_settings *lmtp)
{
	(void)lmtp;
	return true;
}

static const struct side server_side = {
	settings_tls_offered, tls_settings_same_server, tls_context_server,
};
static const struct side client_side = {
	always_wanted, tls_settings_same_client, tls_context_client,
};

/* The first variant up to number with the same settings of that side. */
static unsigned first_like(const struct settings *settings, unsigned number,
			   const struct side *side)
{
	const struct lmtp_settings *lmtp = settings_variant(settings, number);
	const struct lmtp_settings *other;
	unsigned i;

	for (i = 0; i < number; i++) {
		other = settings_variant(settings, i);
		if (side->wanted(other) &&
		    side->same(&other->tls, &lmtp->tls))
			break;
	}
	return i;
}

static int make_variant(struct tls_set *set, const struct settings *settings,
			unsigned i, struct err *err)
{
	const struct lmtp_settings *lmtp = settings_variant(settings, i);
	struct contexts *contexts = &set->variants[i];
	unsigned first;

	if (settings_tls_offered(lmtp)) {
		first = first_like(settings, i, &server_side);
		contexts->server =
			first < i ? tls_context_ref(set->variants[first].server)
				  : tls_context_server(&lmtp->tls, err);
		if (contexts->server == NULL)
			return -1;
	}
	first = first_like(settings, i, &client_side);
	contexts->client = first < i
				   ? tls_context_ref(set->variants[first].client)
				   : tls_context_client(&lmtp->tls, err);
	return contexts->client != NULL ? 0 : -1;
}

struct tls_set *tls_set_new(const struct settings *settings, struct err *err)
{
	struct tls_set *set = mem_new(struct tls_set);

	atomic_init(&set->refs, 1);
	set->variants = mem_alloc(settings->variant_count *
				  sizeof(*set->variants));
	for (set->count = 0; set->count < settings->variant_count;) {
		if (make_variant(set, settings, set->count++, err) < 0) {
			tls_set_unref(&set);
			return NULL;
		}
	}
	return set;
}

struct tls_set *tls_set_ref(struct tls_set *set)
{
	atomic_fetch_add(&set->refs, 1);
	return set;
}

void tls_set_unref(struct tls_set **set_p)
{
	struct tls_set *set = *set_p;
	unsigned i;

	*set_p = NULL;
	if (set == NULL || atomic_fetch_sub(&set->refs, 1) > 1)
		return;
	for (i = 0; i < set->count; i++) {
		tls_context_unref(&set->variants[i].server);
		tls_context_unref(&set->variants[i].client);
	}
	mem_free(&set->variants);
	mem_free(&set);
}

struct tls_context *tls_set_server(const struct tls_set *set,
				   const struct lmtp_settings *lmtp)
{
	return set->variants[lmtp->variant].server;
}

struct tls_context *tls_set_client(const struct tls_set *set,
				   const struct lmtp_settings *lmtp)
{
	return set->variants[lmtp->variant].client;
}

void tls_set_target(const struct tls_set *set,
		    const struct lmtp_settings *lmtp,
		    struct remote_target *target)
{
	if (target->tls == REMOTE_TLS_NONE)
		return;
	target->tls_context = tls_set_client(set, lmtp);
	if (!lmtp->tls.ssl_client_require_valid_cert)
		target->any_cert = true;
}

/* --- checking --- */

/* What was found wrong so far. */
struct findings {
	const struct conf_node *root;
	struct conf_errors *errors;
	const char **values; /* of settings that were blamed */
	unsigned count;
};

/* The value of the setting that text, of lib/tls/context.h, begins with; NULL
 * when it is no text. */
static const char *blamed_value(const struct tls_settings *tls,
				const char *text, struct err *name)
{
	const struct conf_def *def = tls_settings_table.defs;

	err_put(name, "%.*s", (int)strcspn(text, " :"), text);
	while (def->name != NULL && strcmp(def->name, name->text) != 0)
		def++;
	if (def->name == NULL || def->type != CONF_STRING)
		return NULL;
	return *(const char *const *)((const char *)tls + def->offset);
}

/* Once for each value, however many variants have it. */
static void report(struct findings *findings, const struct tls_settings *tls,
		   const char *text)
{
	unsigned before = findings->errors->errors, i;
	struct err name;
	const char *value = blamed_value(tls, text, &name);

	for (i = 0; value != NULL && i < findings->count; i++) {
		if (strcmp(findings->values[i], value) == 0)
			return;
	}
	if (value != NULL) {
		findings->values[findings->count++] = value;
		settings_tls_error(findings->errors, findings->root, name.text,
				   value, text);
	}
	if (findings->errors->errors == before) /* it is a default */
		conf_error(findings->errors, NULL, 0, "%s", text);
}

static void check_side(const struct settings *settings,
		       const struct side *side, struct findings *findings)
{
	struct tls_context *context;
	struct err why;
	unsigned i;

	for (i = 0; i < settings->variant_count; i++) {
		const struct lmtp_settings *lmtp = settings_variant(settings, i);

		if (!side->wanted(lmtp) || first_like(settings, i, side) < i)
			continue;
		context = side->make(&lmtp->tls, &why);
		if (context == NULL)
			report(findings, &lmtp->tls, why.text);
		tls_context_unref(&context);
	}
}

void tls_set_check(const struct settings *settings,
		   const struct conf_node *root, struct conf_errors *errors)
{
	struct findings findings = { .root = root, .errors = errors };

	if (errors->errors > 0)
		return;
	findings.values =
		mem_alloc(2 * settings->variant_count * sizeof(const char *));
	check_side(settings, &server_side, &findings);
	check_side(settings, &client_side, &findings);
	mem_free(&findings.values);
}
