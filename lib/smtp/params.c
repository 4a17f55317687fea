#include "lib/smtp/params.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "lib/ascii.h"
#include "lib/smtp/address.h"
#include "lib/utf8.h"

#define SIZE_MAX_DIGITS 20 /* RFC 1870 4 */
#define ENVID_MAX 100	   /* RFC 3461 4.4 */
#define ORCPT_MAX 500	   /* RFC 3461 4.2 */
#define KEYWORD_MAX 31

/* One parameter; value is NULL when there is no "=". */
struct smtp_param {
	char keyword[KEYWORD_MAX + 1];
	const char *value;
	size_t value_len;
};

struct smtp_params_parser {
	struct arena *arena;
	const struct smtp_capabilities *offered;
	unsigned seen; /* bits by place in the table */
	int code;
	struct err *err;
};

/* A parameter, and the function that stores its value in params. */
struct smtp_param_rule {
	const char *keyword;
	unsigned needs; /* enum smtp_capability */
	bool has_value;
	int (*parse)(struct smtp_params_parser *parser,
		     const struct smtp_param *param, void *params);
};

static bool smtp_param_is(const char *value, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(value, word, len) == 0;
}

static int smtp_params_refuse(struct smtp_params_parser *parser)
{
	parser->code = 555;
	return err_set(parser->err, "Unsupported parameters");
}

static int smtp_param_bad_value(struct smtp_params_parser *parser,
				const struct smtp_param *param)
{
	parser->code = 501;
	return err_set(parser->err, "Invalid %s parameter value",
		       param->keyword);
}

static bool smtp_param_is_ascii(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

static bool smtp_param_has_control(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return true;
	return false;
}

/* --- MAIL --- */

static int smtp_param_parse_body(struct smtp_params_parser *parser,
				 const struct smtp_param *param, void *params)
{
	struct smtp_mail_params *mail = params;
	unsigned binary = SMTP_CAP_BINARYMIME | SMTP_CAP_CHUNKING;
	unsigned flags = parser->offered->flags;

	if (smtp_param_is(param->value, param->value_len, "7BIT"))
		mail->body = SMTP_BODY_7BIT;
	else if (smtp_param_is(param->value, param->value_len, "8BITMIME") &&
		 (flags & SMTP_CAP_8BITMIME) != 0)
		mail->body = SMTP_BODY_8BITMIME;
	else if (smtp_param_is(param->value, param->value_len, "BINARYMIME") &&
		 (flags & binary) == binary)
		mail->body = SMTP_BODY_BINARYMIME;
	else
		return smtp_params_refuse(parser);
	return 0;
}

static int smtp_param_parse_envid(struct smtp_params_parser *parser,
				  const struct smtp_param *param, void *params)
{
	struct smtp_mail_params *mail = params;
	size_t len = 0;
	const char *envid = smtp_xtext_parse(parser->arena, param->value,
					     param->value_len, &len);

	if (param->value_len > ENVID_MAX || envid == NULL ||
	    smtp_param_has_control(envid, len) ||
	    !smtp_param_is_ascii(envid, len))
		return smtp_param_bad_value(parser, param);
	mail->envid = envid;
	return 0;
}

static int smtp_param_parse_ret(struct smtp_params_parser *parser,
				const struct smtp_param *param, void *params)
{
	struct smtp_mail_params *mail = params;

	if (smtp_param_is(param->value, param->value_len, "FULL"))
		mail->ret = SMTP_RET_FULL;
	else if (smtp_param_is(param->value, param->value_len, "HDRS"))
		mail->ret = SMTP_RET_HDRS;
	else
		return smtp_param_bad_value(parser, param);
	return 0;
}

static int smtp_param_parse_size(struct smtp_params_parser *parser,
				 const struct smtp_param *param, void *params)
{
	struct smtp_mail_params *mail = params;
	size_t i;

	if (param->value_len > SIZE_MAX_DIGITS)
		return smtp_param_bad_value(parser, param);
	for (i = 0; i < param->value_len; i++) {
		char c = param->value[i];

		if (c < '0' || c > '9')
			return smtp_param_bad_value(parser, param);
		if (__builtin_mul_overflow(mail->size, 10, &mail->size) ||
		    __builtin_add_overflow(mail->size, (unsigned)(c - '0'),
					   &mail->size))
			mail->size = UINT64_MAX;
	}
	mail->size_given = true;
	return 0;
}

static int smtp_param_parse_smtputf8(struct smtp_params_parser *parser,
				     const struct smtp_param *param,
				     void *params)
{
	struct smtp_mail_params *mail = params;

	(void)parser;
	(void)param;
	mail->smtputf8 = true;
	return 0;
}

static const struct smtp_param_rule smtp_mail_rules[] = {
	{ "BODY", 0, true, smtp_param_parse_body },
	{ "ENVID", SMTP_CAP_DSN, true, smtp_param_parse_envid },
	{ "RET", SMTP_CAP_DSN, true, smtp_param_parse_ret },
	{ "SIZE", SMTP_CAP_SIZE, true, smtp_param_parse_size },
	{ "SMTPUTF8", SMTP_CAP_SMTPUTF8, false, smtp_param_parse_smtputf8 },
	{ .keyword = NULL },
};

/* --- RCPT --- */

static const struct {
	enum smtp_notify flag;
	const char *word;
} smtp_notify_words[] = {
	{ SMTP_NOTIFY_NEVER, "NEVER" },
	{ SMTP_NOTIFY_SUCCESS, "SUCCESS" },
	{ SMTP_NOTIFY_FAILURE, "FAILURE" },
	{ SMTP_NOTIFY_DELAY, "DELAY" },
};
#define NOTIFY_WORDS (sizeof(smtp_notify_words) / sizeof(smtp_notify_words[0]))

static unsigned smtp_notify_flag(const char *word, size_t len)
{
	size_t i;

	for (i = 0; i < NOTIFY_WORDS; i++)
		if (smtp_param_is(word, len, smtp_notify_words[i].word))
			return smtp_notify_words[i].flag;
	return 0;
}

static int smtp_param_parse_notify(struct smtp_params_parser *parser,
				   const struct smtp_param *param, void *params)
{
	struct smtp_rcpt_params *rcpt = params;
	const char *word = param->value, *end = word + param->value_len;

	while (word <= end) {
		const char *comma = memchr(word, ',', (size_t)(end - word));
		const char *stop = comma != NULL ? comma : end;
		unsigned flag = smtp_notify_flag(word, (size_t)(stop - word));

		if (flag == 0)
			return smtp_param_bad_value(parser, param);
		rcpt->notify |= flag;
		word = stop + 1;
	}
	if ((rcpt->notify & SMTP_NOTIFY_NEVER) != 0 &&
	    rcpt->notify != SMTP_NOTIFY_NEVER)
		return smtp_param_bad_value(parser, param);
	return 0;
}

static bool smtp_orcpt_type_is_valid(const char *type, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!ascii_is_alnum(type[i]) && type[i] != '-')
			return false;
	return len > 0;
}

/* Whether the decoded address is one for its type. */
static bool smtp_orcpt_addr_is_valid(struct arena *arena, const char *type,
				     const char *addr, size_t len)
{
	struct smtp_address address;
	struct err err;

	if (len == 0 || smtp_param_has_control(addr, len) ||
	    !utf8_is_valid(addr, len))
		return false;
	return strcasecmp(type, "rfc822") != 0 ||
	       smtp_address_parse(arena, addr, &address, &err) == 0;
}

static int smtp_param_parse_orcpt(struct smtp_params_parser *parser,
				  const struct smtp_param *param, void *params)
{
	struct smtp_rcpt_params *rcpt = params;
	const char *sep = memchr(param->value, ';', param->value_len), *addr;
	const char *type;
	size_t type_len, len, addr_len = 0;

	if (sep == NULL || param->value_len > ORCPT_MAX)
		return smtp_param_bad_value(parser, param);
	type_len = (size_t)(sep - param->value);
	len = param->value_len - type_len - 1;
	if (!smtp_orcpt_type_is_valid(param->value, type_len))
		return smtp_param_bad_value(parser, param);
	type = arena_strndup(parser->arena, param->value, type_len);
	if (strcasecmp(type, "utf-8") == 0)
		addr = smtp_xtext_parse_utf8(parser->arena, sep + 1, len,
					     &addr_len);
	else
		addr = smtp_xtext_parse(parser->arena, sep + 1, len, &addr_len);
	if (addr == NULL ||
	    !smtp_orcpt_addr_is_valid(parser->arena, type, addr, addr_len))
		return smtp_param_bad_value(parser, param);
	rcpt->orcpt_type = type;
	rcpt->orcpt_addr = addr;
	return 0;
}

static int smtp_param_parse_xrcptforward(struct smtp_params_parser *parser,
					 const struct smtp_param *param,
					 void *params)
{
	struct smtp_rcpt_params *rcpt = params;
	size_t len;

	if (smtp_xtext_parse(parser->arena, param->value, param->value_len,
			     &len) == NULL)
		return smtp_param_bad_value(parser, param);
	rcpt->xrcptforward = arena_strndup(parser->arena, param->value,
					   param->value_len);
	return 0;
}

static const struct smtp_param_rule smtp_rcpt_rules[] = {
	{ "NOTIFY", SMTP_CAP_DSN, true, smtp_param_parse_notify },
	{ "ORCPT", 0, true, smtp_param_parse_orcpt },
	{ "XRCPTFORWARD", SMTP_CAP_XRCPTFORWARD, true,
	  smtp_param_parse_xrcptforward },
	{ .keyword = NULL },
};

/* --- parsing --- */

/* keyword["=" value], as text[0..len). */
static int smtp_param_split(struct smtp_params_parser *parser, const char *text,
			    size_t len, struct smtp_param *param_r)
{
	size_t key_len = 0, i;

	*param_r = (struct smtp_param){ .value = NULL };
	while (key_len < len && (ascii_is_alnum(text[key_len]) ||
				 (key_len > 0 && text[key_len] == '-')))
		key_len++;
	parser->code = 501;
	if (key_len == 0 || (key_len < len && text[key_len] != '='))
		return err_set(parser->err,
			       "Invalid character in parameter keyword");
	if (key_len > KEYWORD_MAX)
		return smtp_params_refuse(parser);
	for (i = 0; i < key_len; i++)
		param_r->keyword[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ?
						     text[i] - 'a' + 'A' :
						     text[i]);
	if (key_len == len)
		return 0;
	param_r->value = text + key_len + 1;
	param_r->value_len = len - key_len - 1;
	if (param_r->value_len == 0 ||
	    memchr(param_r->value, '=', param_r->value_len) != NULL ||
	    smtp_param_has_control(param_r->value, param_r->value_len))
		return smtp_param_bad_value(parser, param_r);
	return 0;
}

static int smtp_param_apply(struct smtp_params_parser *parser,
			    const struct smtp_param_rule *rules,
			    const struct smtp_param *param, void *params)
{
	const struct smtp_param_rule *rule = rules;
	unsigned bit;

	while (rule->keyword != NULL &&
	       strcmp(rule->keyword, param->keyword) != 0)
		rule++;
	if (rule->keyword == NULL ||
	    (rule->needs & ~parser->offered->flags) != 0)
		return smtp_params_refuse(parser);
	bit = 1U << (rule - rules);
	parser->code = 501;
	if ((parser->seen & bit) != 0)
		return err_set(parser->err, "Duplicate %s parameter",
			       rule->keyword);
	if (rule->has_value && param->value == NULL)
		return err_set(parser->err, "Missing %s parameter value",
			       rule->keyword);
	if (!rule->has_value && param->value != NULL)
		return err_set(parser->err, "%s parameter takes no value",
			       rule->keyword);
	parser->seen |= bit;
	return rule->parse(parser, param, params);
}

static int smtp_params_parse(struct smtp_params_parser *parser,
			     const struct smtp_param_rule *rules,
			     const char *text, size_t len, void *params)
{
	size_t at = 0, start;
	struct smtp_param param;

	for (;;) {
		while (at < len && text[at] == ' ')
			at++;
		if (at == len)
			return 0;
		start = at;
		while (at < len && text[at] != ' ')
			at++;
		if (smtp_param_split(parser, text + start, at - start,
				     &param) < 0 ||
		    smtp_param_apply(parser, rules, &param, params) < 0)
			return -1;
	}
}

int smtp_mail_params_parse(struct arena *arena, const char *text, size_t len,
			   const struct smtp_capabilities *offered,
			   struct smtp_mail_params *params_r, int *code_r,
			   struct err *err)
{
	struct smtp_params_parser parser = { .arena = arena,
					     .offered = offered,
					     .err = err };

	*params_r = (struct smtp_mail_params){ .envid = NULL };
	if (smtp_params_parse(&parser, smtp_mail_rules, text, len, params_r) ==
	    0)
		return 0;
	*code_r = parser.code;
	return -1;
}

int smtp_rcpt_params_parse(struct arena *arena, const char *text, size_t len,
			   const struct smtp_capabilities *offered,
			   struct smtp_rcpt_params *params_r, int *code_r,
			   struct err *err)
{
	struct smtp_params_parser parser = { .arena = arena,
					     .offered = offered,
					     .err = err };

	*params_r = (struct smtp_rcpt_params){ .orcpt_type = NULL };
	if (smtp_params_parse(&parser, smtp_rcpt_rules, text, len, params_r) ==
	    0)
		return 0;
	*code_r = parser.code;
	return -1;
}

/* --- writing --- */

static void smtp_body_write(struct str *out, enum smtp_body body,
			    unsigned offered)
{
	static const struct {
		const char *word;
		unsigned needs;
	} bodies[] = {
		[SMTP_BODY_7BIT] = { "7BIT", SMTP_CAP_8BITMIME },
		[SMTP_BODY_8BITMIME] = { "8BITMIME", SMTP_CAP_8BITMIME },
		[SMTP_BODY_BINARYMIME] = { "BINARYMIME",
					   SMTP_CAP_BINARYMIME |
						   SMTP_CAP_CHUNKING },
	};

	if (body != SMTP_BODY_NONE && (bodies[body].needs & ~offered) == 0)
		str_printf(out, " BODY=%s", bodies[body].word);
}

void smtp_mail_params_write(struct str *out,
			    const struct smtp_mail_params *params,
			    const struct smtp_capabilities *peer)
{
	smtp_body_write(out, params->body, peer->flags);
	if (params->size_given && (peer->flags & SMTP_CAP_SIZE) != 0)
		str_printf(out, " SIZE=%" PRIu64, params->size);
	if (params->smtputf8 && (peer->flags & SMTP_CAP_SMTPUTF8) != 0)
		str_puts(out, " SMTPUTF8");
	if ((peer->flags & SMTP_CAP_DSN) == 0)
		return;
	if (params->ret != SMTP_RET_NONE)
		str_printf(out, " RET=%s",
			   params->ret == SMTP_RET_FULL ? "FULL" : "HDRS");
	if (params->envid != NULL) {
		str_puts(out, " ENVID=");
		smtp_xtext_write(out, params->envid, strlen(params->envid));
	}
}

static void smtp_notify_write(struct str *out, unsigned notify)
{
	const char *sep = " NOTIFY=";
	size_t i;

	for (i = 0; i < NOTIFY_WORDS; i++) {
		if ((notify & smtp_notify_words[i].flag) == 0)
			continue;
		str_printf(out, "%s%s", sep, smtp_notify_words[i].word);
		sep = ",";
	}
}

/* RFC 6533 3: bytes past ASCII stand for themselves, and what xtext writes as +HH
 * is \x{HH}; so is a backslash, if that is none of a client's \x{HH}. */
static void smtp_utf8_addr_write(struct str *out, const char *addr)
{
	for (; *addr != '\0'; addr++) {
		if (strchr(" +=", *addr) != NULL ||
		    (*addr == '\\' && strncmp(addr, "\\x{", 3) != 0))
			str_printf(out, "\\x{%02X}", (unsigned)*addr);
		else
			str_putc(out, *addr);
	}
}

static void smtp_orcpt_write(struct str *out,
			     const struct smtp_rcpt_params *params,
			     unsigned offered)
{
	const char *addr = params->orcpt_addr;
	size_t len = strlen(addr), start = out->len, value;
	bool utf8 = strcasecmp(params->orcpt_type, "utf-8") == 0;

	if (utf8 && !smtp_param_is_ascii(addr, len) &&
	    (offered & SMTP_CAP_SMTPUTF8) == 0)
		return;
	str_puts(out, " ORCPT=");
	value = out->len;
	str_printf(out, "%s;", params->orcpt_type);
	if (utf8)
		smtp_utf8_addr_write(out, addr);
	else
		smtp_xtext_write(out, addr, len);
	if (out->len - value > ORCPT_MAX)
		str_truncate(out, start);
}

void smtp_rcpt_params_write(struct str *out,
			    const struct smtp_rcpt_params *params,
			    const struct smtp_capabilities *peer,
			    bool force_orcpt)
{
	if (params->notify != 0 && (peer->flags & SMTP_CAP_DSN) != 0)
		smtp_notify_write(out, params->notify);
	if (params->orcpt_type != NULL &&
	    (force_orcpt || (peer->flags & SMTP_CAP_DSN) != 0))
		smtp_orcpt_write(out, params, peer->flags);
	if (params->xrcptforward != NULL &&
	    (peer->flags & SMTP_CAP_XRCPTFORWARD) != 0)
		str_printf(out, " XRCPTFORWARD=%s", params->xrcptforward);
}
