#include "proxy/settings/health.h"

#include <string.h>

#include "proxy/settings/check.h"

#define USER_MAX 320 /* 64 and 255 bytes, with the @ (RFC 5321 4.5.3.1) */

static const struct conf_word probe_words[] = {
	{ "no", DIRECTOR_PROBE_NO },
	{ "tcp", DIRECTOR_PROBE_TCP },
	{ "greeting", DIRECTOR_PROBE_GREETING },
	{ "lhlo", DIRECTOR_PROBE_LHLO },
	{ "rcpt", DIRECTOR_PROBE_RCPT },
	{ NULL, 0 },
};

#define S struct director_health_settings
static const struct conf_def health_defs[] = {
	CONF_DEF_ENUM(S, probe, probe_words, "director_probe", "lhlo",
		"how far probes of servers go"),
	CONF_DEF_STRING(S, probe_user, "director_probe_user", "",
		"for whom director_probe = rcpt asks: an address"),
	CONF_DEF_TIME(S, probe_interval, "director_probe_interval", "10 secs",
		"how long from one probe of a server to the next"),
	CONF_DEF_TIME(S, probe_timeout, "director_probe_timeout", "5 secs",
		"how long one probe may take"),
	CONF_DEF_UINT(S, probe_rise, "director_probe_rise", "2",
		"probes in a row that succeed and bring a server back"),
	CONF_DEF_UINT(S, probe_fall, "director_probe_fall", "3",
		"failures in a row that take a server down"),
	CONF_DEF_TIME(S, probe_max_interval, "director_probe_max_interval",
		"60 secs", "the same at most, while the server stays down"),
	CONF_DEF_TIME(S, slow_start, "director_slow_start", "30 secs",
		"how long until a server that is back has its whole share"),
	CONF_DEF_UINT(S, panic_threshold, "director_panic_threshold", "50",
		"percent of the servers that probes may take down"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_health_table = {
	health_defs, CONF_TABLE_GLOBAL,
};

static void check_positive(const struct director_health_settings *health,
			   const struct conf_node *root,
			   struct conf_errors *errors)
{
	const struct {
		const char *name;
		unsigned value;
	} fields[] = {
		{ "director_probe_interval", health->probe_interval },
		{ "director_probe_timeout", health->probe_timeout },
		{ "director_probe_rise", health->probe_rise },
		{ "director_probe_fall", health->probe_fall },
	};
	struct err text;
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].value > 0)
			continue;
		err_put(&text, "%s cannot be 0", fields[i].name);
		settings_error(errors, root, fields[i].name, text.text);
	}
}

/* It becomes part of a command. */
static bool is_user(const char *user)
{
	const char *p;

	for (p = user; *p != '\0'; p++) {
		if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '<' ||
		    *p == '>')
			return false;
	}
	return p - user <= USER_MAX;
}

void settings_health_check(const struct director_health_settings *health,
			   const struct conf_node *root,
			   struct conf_errors *errors)
{
	check_positive(health, root, errors);
	if (health->probe == DIRECTOR_PROBE_RCPT &&
	    *health->probe_user == '\0')
		settings_error(errors, root, "director_probe",
			       "director_probe = rcpt needs "
			       "director_probe_user");
	if (!is_user(health->probe_user))
		settings_error(errors, root, "director_probe_user",
			       "director_probe_user is no address");
	if (health->panic_threshold > 100)
		settings_error(errors, root, "director_panic_threshold",
			       "director_panic_threshold is a percentage: 100 "
			       "at most");
}
