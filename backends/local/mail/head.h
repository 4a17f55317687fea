/* The lines that delivery puts on top of a message. */
#ifndef BACKENDS_LOCAL_MAIL_HEAD_H
#define BACKENDS_LOCAL_MAIL_HEAD_H

#include "lib/str.h"

struct mail_head {
	const char *mail_from;	  /* between < and >; "" for bounces */
	const char *delivered_to; /* NULL: none. lmtp_hdr_delivery_address */
	const char *received;	  /* the whole field, or several, as they were
				   * made, with CRLF or LF; NULL: none */
};

/* Appends Return-Path:, Delivered-To: and Received:, in that order, each line ended
 * by LF (RFC 5321 4.4). Control characters in an address become '?', and one that
 * no line may hold (RFC 5322 2.1.1) is cut. */
void mail_head_write(struct str *out, const struct mail_head *head);

/* Appends the address of the Return-Path: that such a head begins with; nothing for
 * a bounce or another text. */
void mail_head_sender(struct str *out, const char *head, size_t len);

#endif
