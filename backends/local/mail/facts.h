/* What can be known of one mail and its delivery, for variables in settings. It is found
 * out when it is asked for; text that somebody else has written is shortened, and what
 * cannot be shown (control characters, no UTF-8) becomes '?'. */
#ifndef BACKENDS_LOCAL_MAIL_FACTS_H
#define BACKENDS_LOCAL_MAIL_FACTS_H

#include "backends/local/request.h"
#include "lib/str.h"

/* How much of the message is looked at for fields of its header. */
#define MAIL_FACTS_HEADER_MAX (64 * 1024)

enum mail_fact {
	MAIL_FACT_NONE,
	MAIL_FACT_STATUS,
	MAIL_FACT_MESSAGE_ID, /* with < and >; "unspecified" if there is none */
	MAIL_FACT_SUBJECT,    /* in UTF-8 (mail/words.h) */
	MAIL_FACT_FROM,	      /* the address */
	MAIL_FACT_FROM_ENVELOPE,
	/* The recipient of ORCPT; or else of lda_original_recipient_header, of what
	 * delivery has put in front of the message, or the message; or of RCPT. */
	MAIL_FACT_TO_ENVELOPE,
	MAIL_FACT_RCPT_TO,
	MAIL_FACT_DETAIL,
	MAIL_FACT_MAILBOX,
	MAIL_FACT_SIZE,
	MAIL_FACT_VIRTUAL_SIZE, /* if all lines ended with CRLF */
	MAIL_FACT_DELIVERY_MS,
	MAIL_FACT_SESSION_MS,
	MAIL_FACT_STORAGE_ID,
};

struct mail_facts {
	const struct local_request *request;
	int message;
	const char *original_header; /* "": none */
	const char *prefix; /* of names of mailboxes; NULL: none */
	uint64_t start_ms;	     /* of CLOCK_MONOTONIC, for DELIVERY_MS */
	const char *status, *storage_id;
};

/* What stands in front of the name of a mailbox, as others know it: the prefix, or nothing. */
const char *mail_facts_prefix(const char *prefix, const char *mailbox);

/* Appends one. */
void mail_facts_put(const struct mail_facts *facts, enum mail_fact fact,
		    struct str *out);

#endif
