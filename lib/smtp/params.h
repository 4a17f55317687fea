/* ESMTP parameters of MAIL and RCPT (RFC 5321 4.1.2, 1870, 6152, 3030, 3461,
 * 6531, 6533), parsed strictly and written for what a peer offers.
 *
 * MAIL: BODY=7BIT|8BITMIME|BINARYMIME, SIZE=digits, SMTPUTF8, RET=FULL|HDRS,
 * ENVID=xtext. RCPT: NOTIFY=NEVER or a list of SUCCESS, FAILURE and DELAY,
 * ORCPT=type;xtext, XRCPTFORWARD=xtext. Keywords and words match in any
 * case. */
#ifndef LIB_SMTP_PARAMS_H
#define LIB_SMTP_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/smtp/capability.h"
#include "lib/smtp/xtext.h"
#include "lib/str.h"

enum smtp_body {
	SMTP_BODY_NONE,
	SMTP_BODY_7BIT,
	SMTP_BODY_8BITMIME,
	SMTP_BODY_BINARYMIME,
};

enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };

enum smtp_notify {
	SMTP_NOTIFY_NEVER = 1 << 0,
	SMTP_NOTIFY_SUCCESS = 1 << 1,
	SMTP_NOTIFY_FAILURE = 1 << 2,
	SMTP_NOTIFY_DELAY = 1 << 3,
};

struct smtp_mail_params {
	enum smtp_body body;
	bool size_given, smtputf8;
	uint64_t size; /* UINT64_MAX for more than 64 bits hold */
	enum smtp_ret ret;
	const char *envid; /* decoded xtext; NULL: none */
};

struct smtp_rcpt_params {
	unsigned notify;	  /* 0: not given */
	const char *orcpt_type;	  /* NULL: no ORCPT */
	const char *orcpt_addr;	  /* decoded; no control bytes */
	const char *xrcptforward; /* as received, xtext; NULL: none */
};

/* Both parse what follows the path. offered are the capabilities that the
 * session announced: a parameter that needs another one is refused (ENVID, RET
 * and NOTIFY need DSN; ORCPT is always accepted, as Dovecot does; BODY=7BIT
 * too). On failure -1, with the text in *err, which quotes nothing, and
 * *code_r =
 * - 555 for a parameter or a BODY that is unknown or not offered;
 * - 501 for bad syntax, a bad, missing or superfluous value, a parameter given
 *   twice, ENVID of more than 100 or ORCPT of more than 500 bytes (RFC 3461
 *   4.4, 4.2), an ENVID that is not printable ASCII, an ORCPT of type rfc822
 *   that is no address (with or without domain).
 * Both with enhanced code 5.5.4. */
int smtp_mail_params_parse(struct arena *arena, const char *text, size_t len,
			   const struct smtp_capabilities *offered,
			   struct smtp_mail_params *params_r, int *code_r,
			   struct err *err);
int smtp_rcpt_params_parse(struct arena *arena, const char *text, size_t len,
			   const struct smtp_capabilities *offered,
			   struct smtp_rcpt_params *params_r, int *code_r,
			   struct err *err);

/* Append " KEYWORD=value" for each parameter that peer can take; the others
 * are left out. SIZE is only sent when the peer offers SIZE, BODY when it
 * offers what the value needs, SMTPUTF8, RET, ENVID, NOTIFY and ORCPT
 * likewise (ORCPT also when force_orcpt). An ORCPT of type utf-8 with bytes
 * past ASCII (RFC 6533) goes only to a peer with SMTPUTF8; one that has become longer
 * than 500 bytes, since a "\" takes six, to nobody: the mail would be refused. */
void smtp_mail_params_write(struct str *out,
			    const struct smtp_mail_params *params,
			    const struct smtp_capabilities *peer);
void smtp_rcpt_params_write(struct str *out,
			    const struct smtp_rcpt_params *params,
			    const struct smtp_capabilities *peer,
			    bool force_orcpt);

#endif
