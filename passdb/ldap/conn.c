#include "passdb/ldap/conn.h"

#include <errno.h>
#include <ldap.h>
#include <nss.h>
#include <openldap.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/panic.h"

/* If ever libldap wanted to connect by itself, it would not get far. */
#define GUARD_URL "ldapi://%2Fnonexistent"

struct ldap_conn {
	LDAP *ld;
	struct str *out; /* NULL: closed */
	const struct ldap_conn_events *events;
	void *owner;
	struct str in;	/* messages; the last may be incomplete */
	size_t in_read; /* what libldap has taken of in */
	size_t in_end;	/* what it may take: up to the end of a message */
	int step_id;	/* the last request that was no search */
	ber_tag_t step_result; /* what its answer has to be */
};

/* --- between libldap and the buffers --- */

static int sb_setup(Sockbuf_IO_Desc *desc, void *arg)
{
	desc->sbiod_pvt = arg;
	return 0;
}

static int sb_nothing(Sockbuf_IO_Desc *desc)
{
	(void)desc;
	return 0;
}

static int sb_ctrl(Sockbuf_IO_Desc *desc, int opt, void *arg)
{
	const struct ldap_conn *conn = desc->sbiod_pvt;

	(void)arg;
	return opt == LBER_SB_OPT_DATA_READY && conn->in_read < conn->in_end;
}

static ber_slen_t sb_read(Sockbuf_IO_Desc *desc, void *buf, ber_len_t len)
{
	struct ldap_conn *conn = desc->sbiod_pvt;
	size_t left = conn->in_end - conn->in_read;

	if (left == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (len > left)
		len = left;
	memcpy(buf, conn->in.data + conn->in_read, len);
	conn->in_read += len;
	return (ber_slen_t)len;
}

/* Takes all: libldap would refuse further requests while one waits. */
static ber_slen_t sb_write(Sockbuf_IO_Desc *desc, void *buf, ber_len_t len)
{
	struct ldap_conn *conn = desc->sbiod_pvt;

	if (conn->out == NULL) {
		errno = EPIPE;
		return -1;
	}
	str_append(conn->out, buf, len);
	return (ber_slen_t)len;
}

static Sockbuf_IO sb_methods = {
	.sbi_setup = sb_setup, .sbi_remove = sb_nothing, .sbi_ctrl = sb_ctrl,
	.sbi_read = sb_read, .sbi_write = sb_write, .sbi_close = sb_nothing,
};

/* --- opening and closing --- */

static void set_option(LDAP *ld, int option, const void *value)
{
	if (ldap_set_option(ld, option, value) != LDAP_OPT_SUCCESS)
		PANIC("libldap does not take option 0x%x", option);
}

/* The first call of libldap in a process looks up this machine's name, which it
 * then does not need: that must not wait for a DNS server. Nobody else here asks
 * the C library for hosts. */
void ldap_conn_setup(void)
{
	setenv("LDAPNOINIT", "1", 1);
	if (__nss_configure_lookup("hosts", "files") != 0)
		PANIC("cannot keep the C library from DNS");
}

struct ldap_conn *ldap_conn_new(int fd, struct str *out,
				const struct ldap_conn_events *events,
				void *owner)
{
	static const int version = LDAP_VERSION3;
	struct ldap_conn *conn = mem_new(struct ldap_conn);
	Sockbuf *sb;

	conn->out = out;
	conn->events = events;
	conn->owner = owner;
	if (ldap_init_fd(fd, LDAP_PROTO_EXT, GUARD_URL, &conn->ld) !=
	    LDAP_SUCCESS)
		PANIC("libldap cannot be used");
	set_option(conn->ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	/* Else it would follow them itself, blocking. */
	set_option(conn->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
	set_option(conn->ld, LDAP_OPT_KEEPCONN, LDAP_OPT_ON);
	if (ldap_get_option(conn->ld, LDAP_OPT_SOCKBUF, &sb) !=
	    LDAP_OPT_SUCCESS ||
	    ber_sockbuf_add_io(sb, &sb_methods, LBER_SBIOD_LEVEL_PROVIDER,
			       conn) < 0)
		PANIC("libldap does not take our transport");
	return conn;
}

void ldap_conn_close(struct ldap_conn *conn)
{
	static const unsigned char unbind[] = {
		0x30, 0x05, 0x02, 0x01, 0x7f, 0x42, 0x00
	};

	/* Not by libldap, which would free what an event may be using. The
	 * number does not matter, there is no answer. */
	if (conn->out != NULL)
		str_append(conn->out, unbind, sizeof(unbind));
	conn->out = NULL;
}

void ldap_conn_free(struct ldap_conn **conn_p)
{
	struct ldap_conn *conn = *conn_p;

	if (conn == NULL)
		return;
	conn->out = NULL;
	ldap_unbind_ext(conn->ld, NULL, NULL);
	str_free(&conn->in);
	mem_free(conn_p);
}

/* --- what comes in --- */

/* The length of the message at the start of data: -1 when it is none, 0 when
 * that cannot be said yet. */
static ssize_t frame_len(const unsigned char *data, size_t len,
			 struct err *err)
{
	size_t size = 0, octets, i;

	if (len > 0 && data[0] != 0x30)
		return err_set(err, "the server does not speak LDAP");
	if (len < 2)
		return 0;
	octets = data[1] & 0x80 ? data[1] & 0x7f : 0;
	if (data[1] == 0x80 || octets > 4)
		return err_set(err, "broken message");
	if (octets == 0)
		size = data[1];
	for (i = 0; i < octets; i++) {
		if (2 + i >= len)
			return 0;
		size = size << 8 | data[2 + i];
	}
	if (size > LDAP_CONN_MAX_MESSAGE)
		return err_set(err, "message of %zu bytes, more than is taken",
			       size);
	return (ssize_t)(2 + octets + size);
}

/* Bytes that hold BER elements one behind the other. */
struct span {
	const unsigned char *at, *end;
};

/* Moves behind the first element and gives its contents; its tag, or -1. */
static int span_take(struct span *span, struct span *contents_r)
{
	size_t left = (size_t)(span->end - span->at), len, octets, i;
	const unsigned char *at = span->at;

	if (left < 2)
		return -1;
	octets = at[1] & 0x80 ? at[1] & 0x7f : 0;
	len = octets > 0 ? 0 : at[1];
	if (at[1] == 0x80 || octets > 4 || left < 2 + octets)
		return -1;
	for (i = 0; i < octets; i++)
		len = len << 8 | at[2 + i];
	if (len > left - 2 - octets)
		return -1;
	contents_r->at = at + 2 + octets;
	contents_r->end = span->at = contents_r->at + len;
	return at[0];
}

/* The id of a message, which may have leading zeros; -1 when it is none. */
static int message_id(const struct span *id)
{
	const unsigned char *at = id->at;
	unsigned value = 0;

	if (at == id->end || id->end - at > 4 || *at & 0x80)
		return -1;
	for (; at < id->end; at++)
		value = value << 8 | *at;
	return (int)value;
}

/* Looks at a message before libldap does, which leaks the request when what
 * should be its result is broken or something else, and the text of a message
 * that answers nothing (id 0: the server says that it ends the connection). */
static int check_message(const unsigned char *data, size_t len,
			 struct err *err)
{
	struct span all = { data, data + len }, message, id, op, part;
	int tag;

	if (span_take(&all, &message) != 0x30 ||
	    span_take(&message, &id) != LBER_INTEGER || message_id(&id) < 0)
		return err_set(err, "broken message");
	if (message_id(&id) == 0)
		return err_set(err, "the server ends the connection");
	tag = span_take(&message, &op);
	if (tag == LDAP_RES_SEARCH_ENTRY || tag == LDAP_RES_INTERMEDIATE ||
	    tag == LDAP_RES_SEARCH_REFERENCE)
		return 0;
	if ((tag != LDAP_RES_BIND && tag != LDAP_RES_EXTENDED &&
	     tag != LDAP_RES_SEARCH_RESULT) ||
	    span_take(&op, &part) != LBER_ENUMERATED ||
	    part.at == part.end ||
	    span_take(&op, &part) != LBER_OCTETSTRING ||
	    span_take(&op, &part) != LBER_OCTETSTRING)
		return err_set(err, "broken message");
	return 0;
}

static enum ldap_verdict verdict(int code)
{
	switch (code) {
	case LDAP_SUCCESS:
		return LDAP_VERDICT_OK;
	case LDAP_NO_SUCH_OBJECT:
		return LDAP_VERDICT_NO_OBJECT;
	case LDAP_SIZELIMIT_EXCEEDED:
		return LDAP_VERDICT_SIZE_LIMIT;
	case LDAP_BUSY:
	case LDAP_UNAVAILABLE:
		return LDAP_VERDICT_BUSY;
	default:
		return LDAP_VERDICT_FAILED;
	}
}

/* The message that ends a request. */
static ber_tag_t result_of(const struct ldap_conn *conn, int id)
{
	return id == conn->step_id ? conn->step_result :
				     LDAP_RES_SEARCH_RESULT;
}

static int on_done(struct ldap_conn *conn, LDAPMessage *message,
		   struct err *err)
{
	int id = ldap_msgid(message), code, rc;
	char *matched = NULL, *text = NULL;
	struct ldap_outcome outcome;
	struct str said = STR_INIT;

	/* Else a search would seem to find nothing. */
	if ((ber_tag_t)ldap_msgtype(message) != result_of(conn, id))
		return err_set(err, "an answer to something else");
	rc = ldap_parse_result(conn->ld, message, &code, &matched, &text, NULL,
			       NULL, 0);
	/* A negative code is what libldap uses for its own errors. */
	if (rc == LDAP_SUCCESS && code < 0)
		rc = LDAP_DECODING_ERROR;
	if (rc != LDAP_SUCCESS) {
		ldap_memfree(matched);
		ldap_memfree(text);
		return err_set(err, "broken message: %s", ldap_err2string(rc));
	}
	str_printf(&said, "%s (%d)", ldap_err2string(code), code);
	if (text != NULL && *text != '\0')
		str_printf(&said, ": %.1000s", text);
	outcome.verdict = verdict(code);
	outcome.text = str_c(&said);
	outcome.matched = matched != NULL ? matched : "";
	conn->events->done(conn->owner, id, &outcome);
	str_free(&said);
	ldap_memfree(matched);
	ldap_memfree(text);
	return 0;
}

/* An entry being put together. */
struct entry_builder {
	struct arena *arena;
	struct ldap_entry entry;
	struct ldap_attribute *attributes;
	unsigned room;
	size_t bytes;
};

static void add_attribute(struct entry_builder *builder,
			  const struct berval *name, const struct berval *vals)
{
	struct arena *arena = builder->arena;
	struct ldap_entry *entry = &builder->entry;
	const char **list;
	unsigned count = 0, i;

	builder->bytes += name->bv_len;
	for (; vals[count].bv_val != NULL; count++)
		builder->bytes += vals[count].bv_len + sizeof(*list);
	if (builder->bytes > LDAP_ENTRY_MAX_BYTES ||
	    entry->count >= builder->room)
		entry->problem = "it is too large";
	if (entry->problem != NULL || count == 0)
		return;
	list = arena_alloc(arena, (count + 1) * sizeof(*list));
	for (i = 0; i < count; i++) {
		if (memchr(vals[i].bv_val, '\0', vals[i].bv_len) != NULL)
			entry->problem = arena_printf(
				arena, "the value of %.*s holds a NUL byte",
				(int)name->bv_len, name->bv_val);
		list[i] = arena_strndup(arena, vals[i].bv_val, vals[i].bv_len);
	}
	builder->attributes[entry->count].name =
		arena_strndup(arena, name->bv_val, name->bv_len);
	builder->attributes[entry->count++].values = list;
}

static int build_entry(struct ldap_conn *conn, LDAPMessage *message,
		       struct entry_builder *builder, struct err *err)
{
	struct berval dn, name, *vals = NULL;
	BerElement *ber = NULL;
	int rc = ldap_get_dn_ber(conn->ld, message, &ber, &dn);

	if (rc == LDAP_SUCCESS)
		builder->entry.dn = arena_strndup(
			builder->arena, dn.bv_len > 0 ? dn.bv_val : "",
			dn.bv_len < 4096 ? dn.bv_len : 4096);
	while (rc == LDAP_SUCCESS) {
		rc = ldap_get_attribute_ber(conn->ld, message, ber, &name,
					    &vals);
		if (rc != LDAP_SUCCESS || name.bv_val == NULL)
			break;
		if (vals != NULL)
			add_attribute(builder, &name, vals);
		ber_memfree(vals);
		vals = NULL;
	}
	ber_free(ber, 0);
	return rc == LDAP_SUCCESS ? 0 :
	       err_set(err, "broken message: %s", ldap_err2string(rc));
}

static int on_entry(struct ldap_conn *conn, LDAPMessage *message,
		    struct err *err)
{
	int id = ldap_msgid(message);
	struct entry_builder builder = {
		.arena = conn->events->wants(conn->owner, id),
		.room = 256,
	};

	if (builder.arena == NULL)
		return 0;
	builder.attributes = arena_alloc(builder.arena, builder.room *
					 sizeof(*builder.attributes));
	builder.entry.attributes = builder.attributes;
	if (build_entry(conn, message, &builder, err) < 0)
		return -1;
	conn->events->entry(conn->owner, id, &builder.entry);
	return 0;
}

static int on_message(struct ldap_conn *conn, LDAPMessage *message,
		      struct err *err)
{
	switch (ldap_msgtype(message)) {
	case LDAP_RES_SEARCH_ENTRY:
		return on_entry(conn, message, err);
	case LDAP_RES_SEARCH_REFERENCE: /* to where else one could look */
	case LDAP_RES_INTERMEDIATE:
		return 0;
	default:
		return on_done(conn, message, err);
	}
}

/* Has libldap read the message of len bytes at in_end. */
static int take_message(struct ldap_conn *conn, size_t len, struct err *err)
{
	struct timeval now = { 0, 0 };
	LDAPMessage *message = NULL;
	int rc, ret = 0;

	if (check_message((unsigned char *)conn->in.data + conn->in_end, len,
			  err) < 0)
		return -1;
	conn->in_read = conn->in_end;
	conn->in_end += len;
	rc = ldap_result(conn->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &now, &message);
	if (rc > 0)
		ret = on_message(conn, message, err);
	else if (rc < 0 || conn->in_read < conn->in_end)
		ret = err_set(err, "broken message");
	ldap_msgfree(message);
	return ret;
}

static int take_messages(struct ldap_conn *conn, struct err *err)
{
	ssize_t len;
	size_t left;
	int ret = 0;

	conn->in_end = 0;
	while (ret == 0 && conn->out != NULL) {
		left = conn->in.len - conn->in_end;
		len = frame_len((unsigned char *)conn->in.data + conn->in_end,
				left, err);
		if (len < 0)
			return -1;
		if (len == 0 || (size_t)len > left)
			break;
		ret = take_message(conn, (size_t)len, err);
	}
	str_consume(&conn->in, conn->in_end);
	conn->in_read = conn->in_end = 0;
	return ret;
}

int ldap_conn_input(struct ldap_conn *conn, const void *data, size_t len,
		    struct err *err)
{
	if (conn->out == NULL || len == 0)
		return 0;
	str_append(&conn->in, data, len);
	return take_messages(conn, err);
}

bool ldap_conn_is_drained(const struct ldap_conn *conn)
{
	return conn->in.len == conn->in_end;
}

/* --- what goes out --- */

static int sent(int rc, int id, struct err *err)
{
	return rc == LDAP_SUCCESS ? id :
	       err_set(err, "%s", ldap_err2string(rc));
}

static int sent_step(struct ldap_conn *conn, int rc, int id,
		     ber_tag_t result, struct err *err)
{
	conn->step_id = id;
	conn->step_result = result;
	return sent(rc, id, err);
}

int ldap_conn_start_tls(struct ldap_conn *conn, struct err *err)
{
	int id = -1;
	int rc = ldap_extended_operation(conn->ld, LDAP_EXOP_START_TLS, NULL,
					 NULL, NULL, &id);

	return sent_step(conn, rc, id, LDAP_RES_EXTENDED, err);
}

static int bind_as(struct ldap_conn *conn, const char *dn, const char *mech,
		   const char *secret, struct err *err)
{
	/* libldap leaves it alone. */
	struct berval cred = { strlen(secret), (char *)secret };
	int id = -1;
	int rc = ldap_sasl_bind(conn->ld, dn, mech, &cred, NULL, NULL, &id);

	return sent_step(conn, rc, id, LDAP_RES_BIND, err);
}

int ldap_conn_bind(struct ldap_conn *conn, const char *dn,
		   const char *password, struct err *err)
{
	ASSERT(dn[0] == '\0' || password[0] != '\0');
	return bind_as(conn, dn, LDAP_SASL_SIMPLE, password, err);
}

int ldap_conn_bind_external(struct ldap_conn *conn, const char *authz_id,
			    struct err *err)
{
	return bind_as(conn, NULL, "EXTERNAL", authz_id, err);
}

static int deref_option(enum ldap_deref deref)
{
	switch (deref) {
	case LDAP_SEARCHING:
		return LDAP_DEREF_SEARCHING;
	case LDAP_FINDING:
		return LDAP_DEREF_FINDING;
	case LDAP_ALWAYS:
		return LDAP_DEREF_ALWAYS;
	case LDAP_NEVER:
		break;
	}
	return LDAP_DEREF_NEVER;
}

static int scope_option(enum ldap_scope scope)
{
	switch (scope) {
	case LDAP_BASE:
		return LDAP_SCOPE_BASE;
	case LDAP_ONELEVEL:
		return LDAP_SCOPE_ONELEVEL;
	case LDAP_SUBTREE:
		break;
	}
	return LDAP_SCOPE_SUBTREE;
}

int ldap_conn_search(struct ldap_conn *conn,
		     const struct ldap_search_params *params, struct err *err)
{
	static char *none[] = { (char *)LDAP_NO_ATTRS, NULL };
	int deref = deref_option(params->deref), id = -1, rc;
	struct timeval limit = {
		.tv_sec = (params->time_limit_ms + 999) / 1000,
	};
	char **attributes = params->attributes[0] != NULL ?
			    (char **)params->attributes : none;

	/* It would be sent, and the server would drop the connection. */
	if (params->filter[0] == '\0')
		return err_set(err, "the filter is empty");
	set_option(conn->ld, LDAP_OPT_DEREF, &deref);
	rc = ldap_search_ext(conn->ld, params->base,
			     scope_option(params->scope), params->filter,
			     attributes, 0, NULL, NULL,
			     limit.tv_sec > 0 ? &limit : NULL,
			     (int)params->size_limit, &id);
	return sent(rc, id, err);
}

int ldap_conn_check_filter(const char *filter, struct err *err)
{
	static const char *const nothing[] = { NULL };
	const struct ldap_search_params params = {
		.base = "", .filter = filter, .attributes = nothing,
	};
	struct str out = STR_INIT;
	struct ldap_conn *conn = ldap_conn_new(0, &out, NULL, NULL);
	int id = ldap_conn_search(conn, &params, err);

	ldap_conn_free(&conn);
	str_free(&out);
	return id < 0 ? -1 : 0;
}

int ldap_conn_check_dn(const char *dn, struct err *err)
{
	struct berval text = { strlen(dn), (char *)dn };
	LDAPDN parts = NULL;
	int rc = ldap_bv2dn(&text, &parts, LDAP_DN_FORMAT_LDAPV3);

	ldap_dnfree(parts);
	return rc == LDAP_SUCCESS ? 0 :
	       err_set(err, "'%s': %s", dn, ldap_err2string(rc));
}
