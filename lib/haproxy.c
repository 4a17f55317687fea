#include "lib/haproxy.h"

#include <string.h>

#include "lib/domain.h"
#include "lib/utf8.h"

#define V1_START "PROXY "
#define V1_MAX 107 /* with CRLF */
#define V1_MIN 15  /* "PROXY UNKNOWN\r\n" */
#define V2_SIZE 16
#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2_SIGNATURE_LEN 12
#define PATH_SIZE 108
#define ALPN_MAX 255
#define UNIQUE_ID_MAX 128

enum haproxy_type {
	TYPE_ALPN = 0x01,
	TYPE_AUTHORITY = 0x02,
	TYPE_CRC32C = 0x03,
	TYPE_UNIQUE_ID = 0x05,
	TYPE_SSL = 0x20,
	TYPE_SSL_VERSION = 0x21,
	TYPE_SSL_CN = 0x22,
	TYPE_SSL_CIPHER = 0x23,
};

enum { CLIENT_SSL = 0x01, CLIENT_CERT_CONN = 0x02, CLIENT_CERT_SESS = 0x04 };

/* A whole header of version 2, for those who read its values. */
struct haproxy_reader {
	struct arena *arena;
	const uint8_t *data; /* of the header */
	size_t len;
	struct haproxy_header *header;
	struct err *err;
};

struct haproxy_value {
	unsigned type;
	const uint8_t *data;
	size_t len;
};

static unsigned haproxy_number16(const uint8_t *data)
{
	return (unsigned)data[0] << 8 | data[1];
}

static uint32_t haproxy_number32(const uint8_t *data)
{
	return (uint32_t)haproxy_number16(data) << 16 |
	       haproxy_number16(data + 2);
}

/* --- version 1: a line of text --- */

/* The word at *text, and steps behind it and its blank. */
static const char *haproxy_v1_word(char **text)
{
	char *word = *text, *blank = strchr(word, ' ');

	if (blank == NULL) {
		*text = word + strlen(word);
		return word;
	}
	*blank = '\0';
	*text = blank + 1;
	return word;
}

static int haproxy_v1_addr(struct addr *addr, int family, const char *word)
{
	/* addr_parse_ip() takes brackets. */
	if (word[0] == '[' || addr_parse_ip(addr, word, 0) < 0 ||
	    addr->sa.sa_family != family)
		return -1;
	return 0;
}

static int haproxy_v1_port(struct addr *addr, const char *word)
{
	size_t len = strspn(word, "0123456789"), i;
	unsigned port = 0;

	if (len == 0 || len > 5 || word[len] != '\0' ||
	    (len > 1 && word[0] == '0'))
		return -1;
	for (i = 0; i < len; i++)
		port = port * 10 + (unsigned)(word[i] - '0');
	if (port > UINT16_MAX)
		return -1;
	addr_set_port(addr, (uint16_t)port);
	return 0;
}

/* What follows "PROXY ", without CRLF; it may be changed. */
static int haproxy_v1_parse(char *text, struct haproxy_header *header,
			    struct err *err)
{
	const char *family = haproxy_v1_word(&text);
	int af = strcmp(family, "TCP4") == 0 ? AF_INET :
		 strcmp(family, "TCP6") == 0 ? AF_INET6 : AF_UNSPEC;

	if (strcmp(family, "UNKNOWN") == 0) {
		header->local = true;
		return 0;
	}
	if (af == AF_UNSPEC)
		return err_set(err, "unknown protocol in the PROXY header");
	if (haproxy_v1_addr(&header->source, af, haproxy_v1_word(&text)) < 0 ||
	    haproxy_v1_addr(&header->dest, af, haproxy_v1_word(&text)) < 0)
		return err_set(err, "invalid address in the PROXY header");
	if (haproxy_v1_port(&header->source, haproxy_v1_word(&text)) < 0 ||
	    haproxy_v1_port(&header->dest, text) < 0)
		return err_set(err, "invalid port in the PROXY header");
	addr_unmap(&header->source);
	addr_unmap(&header->dest);
	return 0;
}

static int haproxy_v1(const char *data, size_t len,
		      struct haproxy_header *header, size_t *len_r,
		      struct err *err)
{
	size_t seen = len < V1_MAX ? len : V1_MAX, start = strlen(V1_START);
	const char *lf = memchr(data, '\n', seen);
	const char *cr = memchr(data, '\r', seen);
	char line[V1_MAX] = "";

	if ((lf != NULL && cr != lf - 1) ||
	    (cr != NULL && cr + 1 < data + seen && cr[1] != '\n'))
		return err_set(err, "the PROXY header's line does not end with "
			       "CRLF");
	if (lf == NULL && len >= V1_MAX)
		return err_set(err, "the PROXY header's line is too long");
	if (lf == NULL) {
		*len_r = cr != NULL ? len + 1 : len + 2;
		if (*len_r < V1_MIN)
			*len_r = V1_MIN;
		return 0;
	}
	header->version = 1;
	*len_r = (size_t)(lf - data) + 1;
	memcpy(line, data + start, *len_r - start - strlen("\r\n"));
	if (haproxy_v1_parse(line, header, err) < 0)
		return -1;
	/* Only UNKNOWN may be followed by anything. */
	if (!header->local && memchr(data, '\0', *len_r) != NULL)
		return err_set(err, "NUL in the PROXY header");
	return 1;
}

/* --- version 2: values in vectors --- */

/* Calls put() for each of the values in data[0..len). */
static int haproxy_each(struct haproxy_reader *reader, const uint8_t *data,
			size_t len,
			int (*put)(struct haproxy_reader *reader,
				   const struct haproxy_value *value))
{
	struct haproxy_value value;

	for (; len > 0; data += 3 + value.len, len -= 3 + value.len) {
		if (len < 3 || haproxy_number16(data + 1) > len - 3)
			return err_set(reader->err, "the PROXY header's values "
				       "are cut short");
		value.type = data[0];
		value.len = haproxy_number16(data + 1);
		value.data = data + 3;
		if (put(reader, &value) < 0)
			return -1;
	}
	return 0;
}

static int haproxy_put_text(struct haproxy_reader *reader,
			    const struct haproxy_value *value,
			    const char **text_r)
{
	size_t i;

	for (i = 0; i < value->len; i++)
		if (value->data[i] < ' ' || value->data[i] == 0x7f)
			break;
	*text_r = arena_strndup(reader->arena, (const char *)value->data,
				value->len);
	if (i < value->len || !utf8_is_valid(*text_r, value->len))
		return err_set(reader->err, "a text in the PROXY header is not "
			       "printable");
	return 0;
}

static int haproxy_put_bytes(struct haproxy_reader *reader,
			     const struct haproxy_value *value, size_t max,
			     const uint8_t **bytes_r, size_t *len_r)
{
	if (value->len > max)
		return err_set(reader->err, "a value in the PROXY header is "
			       "too long");
	*bytes_r = memcpy(arena_alloc(reader->arena, value->len + 1),
			  value->data, value->len);
	*len_r = value->len;
	return 0;
}

static int haproxy_put_authority(struct haproxy_reader *reader,
				 const struct haproxy_value *value)
{
	const char *name = (const char *)value->data;

	if (!domain_is_valid(name, value->len))
		return err_set(reader->err, "the authority in the PROXY header "
			       "is no host name");
	reader->header->authority = arena_strndup(reader->arena, name,
						  value->len);
	return 0;
}

/* CRC-32C (RFC 4960, appendix B), bit by bit: headers are short. */
static uint32_t haproxy_crc32c(uint32_t crc, const uint8_t *data, size_t len)
{
	unsigned bit;

	for (; len > 0; data++, len--) {
		crc ^= *data;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return crc;
}

static int haproxy_check_crc32c(struct haproxy_reader *reader,
				const struct haproxy_value *value)
{
	static const uint8_t zeros[4];
	const uint8_t *behind = value->data + sizeof(zeros);
	uint32_t crc = UINT32_MAX;

	if (value->len != sizeof(zeros))
		return err_set(reader->err, "the PROXY header's checksum is "
			       "malformed");
	crc = haproxy_crc32c(crc, reader->data,
			     (size_t)(value->data - reader->data));
	crc = haproxy_crc32c(crc, zeros, sizeof(zeros));
	crc = haproxy_crc32c(crc, behind,
			     (size_t)(reader->data + reader->len - behind));
	if (~crc != haproxy_number32(value->data))
		return err_set(reader->err, "the PROXY header's checksum is "
			       "wrong");
	return 0;
}

static int haproxy_put_tls(struct haproxy_reader *reader,
			   const struct haproxy_value *value)
{
	struct haproxy_tls *tls = &reader->header->tls;
	const char *ignored;

	switch (value->type) {
	case TYPE_SSL_VERSION:
		return haproxy_put_text(reader, value, &tls->version);
	case TYPE_SSL_CIPHER:
		return haproxy_put_text(reader, value, &tls->cipher);
	case TYPE_SSL_CN:
		return haproxy_put_text(reader, value, tls->verified ?
					&tls->common_name : &ignored);
	default:
		return 0;
	}
}

static int haproxy_put_ssl(struct haproxy_reader *reader,
			   const struct haproxy_value *value)
{
	struct haproxy_tls *tls = &reader->header->tls;
	const size_t size = 1 + 4; /* which parts there are; verify's result */

	if (value->len < size)
		return err_set(reader->err, "the PROXY header's TLS "
			       "information is cut short");
	*tls = (struct haproxy_tls){
		.active = value->data[0] & CLIENT_SSL,
		.verified = value->data[0] &
				    (CLIENT_CERT_CONN | CLIENT_CERT_SESS) &&
			    haproxy_number32(value->data + 1) == 0,
	};
	return haproxy_each(reader, value->data + size, value->len - size,
			    haproxy_put_tls);
}

static int haproxy_put_value(struct haproxy_reader *reader,
			     const struct haproxy_value *value)
{
	struct haproxy_header *header = reader->header;

	switch (value->type) {
	case TYPE_ALPN:
		return haproxy_put_bytes(reader, value, ALPN_MAX,
					 &header->alpn, &header->alpn_len);
	case TYPE_AUTHORITY:
		return haproxy_put_authority(reader, value);
	case TYPE_CRC32C:
		return haproxy_check_crc32c(reader, value);
	case TYPE_UNIQUE_ID:
		return haproxy_put_bytes(reader, value, UNIQUE_ID_MAX,
					 &header->unique_id,
					 &header->unique_id_len);
	case TYPE_SSL:
		return haproxy_put_ssl(reader, value);
	default:
		return 0;
	}
}

static void haproxy_v2_in(struct addr *addr, const uint8_t *host,
			  const uint8_t *port)
{
	*addr = (struct addr){ .len = sizeof(addr->in) };
	addr->in.sin_family = AF_INET;
	memcpy(&addr->in.sin_addr, host, sizeof(addr->in.sin_addr));
	memcpy(&addr->in.sin_port, port, sizeof(addr->in.sin_port));
}

static void haproxy_v2_in6(struct addr *addr, const uint8_t *host,
			   const uint8_t *port)
{
	*addr = (struct addr){ .len = sizeof(addr->in6) };
	addr->in6.sin6_family = AF_INET6;
	memcpy(&addr->in6.sin6_addr, host, sizeof(addr->in6.sin6_addr));
	memcpy(&addr->in6.sin6_port, port, sizeof(addr->in6.sin6_port));
	addr_unmap(addr);
}

/* One without a path, or with an abstract one, is only known to be UNIX. */
static int haproxy_v2_unix(struct addr *addr, const uint8_t *path)
{
	*addr = (struct addr){ .len = sizeof(addr->un.sun_family) };
	addr->un.sun_family = AF_UNIX;
	if (path[0] == '\0')
		return 0;
	if (memchr(path, '\0', PATH_SIZE) == NULL)
		return -1;
	return addr_set_unix(addr, (const char *)path);
}

/* The addresses at data[0..len). Returns how many bytes they take; -1: they are
 * none. */
static int haproxy_v2_addrs(struct haproxy_header *header, unsigned family,
			    const uint8_t *data, size_t len)
{
	static const int sizes[] = { 0, 2 * (4 + 2), 2 * (16 + 2),
				     2 * PATH_SIZE };
	int size = sizes[family];

	if (len < (size_t)size)
		return -1;
	switch (family) {
	case 1:
		haproxy_v2_in(&header->source, data, data + 8);
		haproxy_v2_in(&header->dest, data + 4, data + 10);
		break;
	case 2:
		haproxy_v2_in6(&header->source, data, data + 32);
		haproxy_v2_in6(&header->dest, data + 16, data + 34);
		break;
	case 3:
		if (haproxy_v2_unix(&header->source, data) < 0 ||
		    haproxy_v2_unix(&header->dest, data + PATH_SIZE) < 0)
			return -1;
		break;
	}
	return size;
}

/* The bytes that say what this is: version, command, family, protocol. */
static int haproxy_v2_check(const uint8_t *data, bool *local_r, struct err *err)
{
	unsigned command = data[12] & 0x0f, family = data[13] >> 4,
		 protocol = data[13] & 0x0f;

	if (data[12] >> 4 != 2)
		return err_set(err, "unknown version of the PROXY header");
	if (command > 1)
		return err_set(err, "unknown command in the PROXY header");
	*local_r = command == 0 || family == 0 || protocol == 0;
	if (command == 0)
		return 0;
	if (family > 3)
		return err_set(err, "unknown address family in the PROXY "
			       "header");
	if (protocol > 1)
		return err_set(err, "the PROXY header is not of a stream");
	return 0;
}

/* The whole header, as reader->data[0..len). */
static int haproxy_v2_parse(struct haproxy_reader *reader)
{
	struct haproxy_header *header = reader->header;
	const uint8_t *data = reader->data;
	size_t len = reader->len - V2_SIZE;
	int size;

	if (header->local)
		return 0;
	size = haproxy_v2_addrs(header, data[13] >> 4, data + V2_SIZE, len);
	if (size < 0)
		return err_set(reader->err, "malformed addresses in the PROXY "
			       "header");
	return haproxy_each(reader, data + V2_SIZE + size, len - (size_t)size,
			    haproxy_put_value);
}

static int haproxy_v2(struct haproxy_reader *reader, size_t len, size_t *len_r)
{
	*len_r = V2_SIZE;
	if (len < V2_SIZE)
		return 0;
	reader->header->version = 2;
	if (haproxy_v2_check(reader->data, &reader->header->local,
			     reader->err) < 0)
		return -1;
	*len_r = V2_SIZE + haproxy_number16(reader->data + 14);
	if (*len_r > HAPROXY_MAX_SIZE)
		return err_set(reader->err, "the PROXY header is too long");
	if (len < *len_r)
		return 0;
	reader->len = *len_r;
	return haproxy_v2_parse(reader) < 0 ? -1 : 1;
}

/* Whether data[0..len) starts with text, as far as it goes. */
static bool haproxy_starts_with(const void *data, size_t len, const char *text,
				size_t text_len)
{
	return memcmp(data, text, len < text_len ? len : text_len) == 0;
}

int haproxy_parse(struct arena *arena, const void *data, size_t len,
		  struct haproxy_header *header_r, size_t *len_r,
		  struct err *err)
{
	struct haproxy_header header = { .version = 0 };
	struct haproxy_reader reader = {
		.arena = arena, .data = data, .header = &header, .err = err,
	};
	int ret;

	*len_r = V1_MIN;
	if (len == 0)
		return 0;
	if (haproxy_starts_with(data, len, V2_SIGNATURE, V2_SIGNATURE_LEN))
		ret = haproxy_v2(&reader, len, len_r);
	else if (haproxy_starts_with(data, len, V1_START, strlen(V1_START)))
		ret = haproxy_v1(data, len, &header, len_r, err);
	else
		ret = err_set(err, "no PROXY header");
	if (ret > 0)
		*header_r = header;
	return ret;
}
