#include "backends/director/map.h"
#include "proxy/director/director.h"
#include "proxy/settings/tables.h"

static const struct conf_word director_hash_words[] = {
	{ "md5-ring", DIRECTOR_MD5_RING },
	{ "rendezvous", DIRECTOR_RENDEZVOUS },
	{ NULL, 0 },
};

#define S struct director_settings
static const struct conf_def director_defs[] = {
	CONF_DEF_STRING(S, mail_servers, "director_mail_servers", "",
		"servers that users without a host are spread over"),
	CONF_DEF_STRING(S, username_hash, "director_username_hash", "%Lu",
		"what of a user's name decides on the server"),
	CONF_DEF_ENUM(S, hash, director_hash_words, "director_hash",
		"md5-ring", "how the server follows from that"),
	CONF_DEF_TIME(S, user_expire, "director_user_expire", "15 mins",
		"how long a user stays at a server after the last delivery"),
	CONF_DEF_STRING(S, state_file, "director_state_file", "",
		"what administrators have changed; empty: not kept"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_director_table = {
	director_defs, CONF_TABLE_GLOBAL,
};

static const struct conf_word protocol_words[] = {
	{ "", DIRECTOR_ANY_PROTOCOL },
	{ "lmtp", DIRECTOR_LMTP },
	{ "smtp", DIRECTOR_SMTP },
	{ NULL, 0 },
};

static const struct conf_word tls_words[] = {
	{ "", DIRECTOR_ANY_TLS },
	{ "no", DIRECTOR_NO_TLS },
	{ "yes", DIRECTOR_TLS },
	{ "any-cert", DIRECTOR_TLS_ANY_CERT },
	{ NULL, 0 },
};

#define S struct director_backend_settings
static const struct conf_def backend_defs[] = {
	CONF_DEF_STRING(S, servers, "servers", "",
		"as director_mail_servers"),
	CONF_DEF_UINT(S, port, "port", "0",
		"their port; 0: as the passdb and the protocol say"),
	CONF_DEF_ENUM(S, protocol, protocol_words, "protocol", "",
		"what they speak; empty: as the passdb says"),
	CONF_DEF_ENUM(S, ssl, tls_words, "ssl", "",
		"TLS from the start; any-cert: unchecked"),
	CONF_DEF_ENUM(S, starttls, tls_words, "starttls", "",
		"TLS by STARTTLS; any-cert: unchecked"),
	CONF_DEF_UINT(S, weight, "weight", "100",
		"of those that name none"),
	CONF_DEF_STRING(S, tag, "tag", "",
		"the same"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_director_backend_table = { backend_defs, 0 };
