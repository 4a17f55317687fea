#include "lib/haproxy.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "t/files.h"

static struct arena *arena;
static struct str in;

static void setup(void)
{
	arena = arena_new(1024);
	in = (struct str)STR_INIT;
}

static void teardown(void)
{
	arena_free(&arena);
	str_free(&in);
}

TestSuite(haproxy, .init = setup, .fini = teardown);

/* In memory of exactly that size, where a read too far is found out. */
static int parse(const char *data, size_t len, struct haproxy_header *header,
		 size_t *len_r, struct err *err)
{
	char *copy = calloc(1, len > 0 ? len : 1);
	int ret;

	memcpy(copy, data, len);
	ret = haproxy_parse(arena, copy, len, header, len_r, err);
	free(copy);
	return ret;
}

/* Reads in, with other bytes behind it, byte by byte: it must be complete when
 * its last byte is there, and say so beforehand. */
static struct haproxy_header parsed_bytewise(const char *what)
{
	struct haproxy_header header;
	struct err err = { "" };
	size_t len = 0, i;

	for (i = 0; i < in.len; i++) {
		int ret = parse(in.data, i, &header, &len, &err);

		cr_assert_eq(ret, 0, "%s at %zu: %d %s", what, i, ret,
			     err.text);
		cr_assert(len > i && len <= in.len, "%s at %zu: %zu", what, i,
			  len);
	}
	str_puts(&in, "\026\003\001");
	cr_assert_eq(parse(in.data, in.len, &header, &len, &err), 1, "%s: %s",
		     what, err.text);
	cr_assert_eq(len, in.len - 3, "%s", what);
	str_truncate(&in, in.len - 3);
	return header;
}

static void refused(const char *why)
{
	struct haproxy_header header;
	struct err err = { "" };
	size_t len;

	cr_assert_eq(parse(in.data, in.len, &header, &len, &err), -1, "%s",
		     why);
	cr_assert_not_null(strstr(err.text, why), "%s: %s", why, err.text);
}

static void check_addr(const struct addr *addr, const char *want)
{
	struct str text = STR_INIT;

	addr_write(&text, addr);
	cr_assert_str_eq(str_c(&text), want);
	str_free(&text);
}

/* --- version 1 --- */

static const struct {
	const char *line, *source, *dest; /* NULL: local */
} v1_good[] = {
	{ "PROXY TCP4 192.0.2.1 192.0.2.2 56324 24\r\n", "192.0.2.1:56324",
	  "192.0.2.2:24" },
	{ "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
	  "255.255.255.255:65535", "255.255.255.255:65535" },
	{ "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0" },
	{ "PROXY TCP6 2001:db8::1 2001:DB8::2 1 2\r\n", "[2001:db8::1]:1",
	  "[2001:db8::2]:2" },
	{ "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
	  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	{ "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n",
	  "192.0.2.1:1", "192.0.2.2:2" },
	{ "PROXY UNKNOWN\r\n", NULL, NULL },
	{ "PROXY UNKNOWN \r\n", NULL, NULL },
	{ "PROXY UNKNOWN what ever\001 this is\r\n", NULL, NULL },
	{ "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", NULL,
	  NULL },
};

Test(haproxy, v1_good)
{
	size_t i;

	for (i = 0; i < sizeof(v1_good) / sizeof(v1_good[0]); i++) {
		struct haproxy_header header;

		str_clear(&in);
		str_puts(&in, v1_good[i].line);
		header = parsed_bytewise(v1_good[i].line);
		cr_assert_eq(header.version, 1);
		cr_assert_eq(header.local, v1_good[i].source == NULL, "%s",
			     v1_good[i].line);
		if (v1_good[i].source != NULL) {
			check_addr(&header.source, v1_good[i].source);
			check_addr(&header.dest, v1_good[i].dest);
		} else {
			cr_assert_eq(header.source.len, 0);
			cr_assert_eq(header.dest.len, 0);
		}
		cr_assert_not(header.tls.active);
	}
}

static const struct {
	const char *line, *why;
} v1_bad[] = {
	{ "X", "no PROXY header" },
	{ "LHLO example.org\r\n", "no PROXY header" },
	{ "PROXX", "no PROXY header" },
	{ "PROXY\r\n", "no PROXY header" },
	{ "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "no PROXY header" },
	{ "\026\003\001\002", "no PROXY header" },
	{ "\r\n\r\n.", "no PROXY header" },
	{ "PROXY \r\n", "protocol" },
	{ "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "protocol" },
	{ "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", "protocol" },
	{ "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", "protocol" },
	{ "PROXY UNKNOWNS\r\n", "protocol" },
	{ "PROXY TCP4\r\n", "address" },
	{ "PROXY TCP4 192.0.2.1\r\n", "address" },
	{ "PROXY TCP4 192.0.2.1 \r\n", "address" },
	{ "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", "address" },
	{ "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", "address" },
	{ "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", "address" },
	{ "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "address" },
	{ "PROXY TCP4 192.0.2.1 2001:db8::2 1 2\r\n", "address" },
	{ "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", "address" },
	{ "PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2\r\n", "address" },
	{ "PROXY TCP6 2001:db8::1%lo 2001:db8::2 1 2\r\n", "address" },
	{ "PROXY TCP4 192.0.2.1 192.0.2.2\r\n", "port" },
	{ "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", "port" },
	{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n", "port" },
	{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", "port" },
	{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", "port" },
	{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", "port" },
	{ "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", "port" },
	{ "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", "port" },
	{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 99999999999\r\n", "port" },
	{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", "CRLF" },
	{ "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2", "CRLF" },
	{ "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n", "CRLF" },
	{ "PROXY UNKNOWN\n", "CRLF" },
	{ "PROXY UNKNOWN x\ry\r\n", "CRLF" },
};

Test(haproxy, v1_bad)
{
	size_t i;

	for (i = 0; i < sizeof(v1_bad) / sizeof(v1_bad[0]); i++) {
		str_clear(&in);
		str_puts(&in, v1_bad[i].line);
		refused(v1_bad[i].why);
	}
}

Test(haproxy, v1_line_of_107_bytes_at_most)
{
	struct haproxy_header header;
	struct err err;
	size_t len;

	str_puts(&in, "PROXY UNKNOWN ");
	while (in.len < 105)
		str_putc(&in, 'x');
	str_puts(&in, "\r\n");
	cr_assert(parsed_bytewise("longest").local);
	str_truncate(&in, 105);
	str_puts(&in, "x\r\n");
	cr_assert_eq(parse(in.data, 106, &header, &len, &err), 0);
	cr_assert_eq(parse(in.data, 107, &header, &len, &err), -1);
	refused("too long");
}

Test(haproxy, v1_with_nul)
{
	static const char line[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\0 3\r\n";

	str_append(&in, line, sizeof(line) - 1);
	refused("NUL");
	str_clear(&in);
	str_append(&in, "PROXY UNKNOWN\0x\r\n", 17);
	cr_assert(parsed_bytewise("UNKNOWN with NUL").local);
}

Test(haproxy, nothing_yet)
{
	struct haproxy_header header;
	struct err err;
	size_t len = 0;

	cr_assert_eq(parse("", 0, &header, &len, &err), 0);
	cr_assert_eq(len, 15);
	cr_assert_eq(parse("P", 1, &header, &len, &err), 0);
	cr_assert_eq(len, 15);
	cr_assert_eq(parse("PROXY TCP4 192.0.2.1", 20, &header, &len, &err), 0);
	cr_assert_eq(len, 22);
	cr_assert_eq(parse("\r\n\r\n", 4, &header, &len, &err), 0);
	cr_assert_eq(len, 16);
}

/* --- version 2 --- */

#define IN4 "\300\0\002\001" "\300\0\002\002" "\001\002" "\0\030"
#define IN6_1 "\040\001\015\270\0\0\0\0\0\0\0\0\0\0\0\001"
#define IN6_2 "\040\001\015\270\0\0\0\0\0\0\0\0\0\0\0\002"
#define IN6 IN6_1 IN6_2 "\001\002" "\0\030"
#define BYTES(literal) literal, sizeof(literal) - 1

static void put_length(size_t at, size_t len)
{
	in.data[at] = (char)(len >> 8);
	in.data[at + 1] = (char)len;
}

/* Starts a header; its length is corrected with each value. */
static void v2_start(unsigned command, unsigned family, const char *addrs,
		     size_t len)
{
	str_clear(&in);
	str_append(&in, BYTES("\r\n\r\n\0\r\nQUIT\n"));
	str_putc(&in, (char)command);
	str_putc(&in, (char)family);
	str_append(&in, "\0\0", 2);
	str_append(&in, addrs, len);
	put_length(14, in.len - 16);
}

static void v2_put(unsigned type, const char *data, size_t len)
{
	size_t start = in.len;

	str_putc(&in, (char)type);
	str_append(&in, "\0\0", 2);
	str_append(&in, data, len);
	put_length(start + 1, len);
	put_length(14, in.len - 16);
}

Test(haproxy, v2_tcp4)
{
	struct haproxy_header header;

	v2_start(0x21, 0x11, BYTES(IN4));
	header = parsed_bytewise("TCP4");
	cr_assert_eq(header.version, 2);
	cr_assert_not(header.local);
	check_addr(&header.source, "192.0.2.1:258");
	check_addr(&header.dest, "192.0.2.2:24");
	cr_assert_not(header.tls.active);
	cr_assert_null(header.authority);
}

Test(haproxy, v2_tcp6)
{
	struct haproxy_header header;

	v2_start(0x21, 0x21, BYTES(IN6));
	header = parsed_bytewise("TCP6");
	check_addr(&header.source, "[2001:db8::1]:258");
	check_addr(&header.dest, "[2001:db8::2]:24");
}

Test(haproxy, v2_mapped)
{
	static const char mapped[] =
		"\0\0\0\0\0\0\0\0\0\0\377\377\300\0\002\001"
		"\0\0\0\0\0\0\0\0\0\0\377\377\300\0\002\002\001\002\0\030";
	struct haproxy_header header;

	v2_start(0x21, 0x21, BYTES(mapped));
	header = parsed_bytewise("mapped");
	check_addr(&header.source, "192.0.2.1:258");
	check_addr(&header.dest, "192.0.2.2:24");
}

Test(haproxy, v2_unix)
{
	struct haproxy_header header;
	char paths[216] = "";

	strcpy(paths, "/run/client");
	strcpy(paths + 108, "/run/lmtp");
	v2_start(0x21, 0x31, paths, sizeof(paths));
	header = parsed_bytewise("UNIX");
	check_addr(&header.source, "/run/client");
	check_addr(&header.dest, "/run/lmtp");

	paths[0] = '\0';
	v2_start(0x21, 0x31, paths, sizeof(paths));
	header = parsed_bytewise("UNIX without path");
	check_addr(&header.source, "local");
	check_addr(&header.dest, "/run/lmtp");

	memset(paths + 108, 'x', 107);
	v2_start(0x21, 0x31, paths, sizeof(paths));
	parsed_bytewise("UNIX, longest path");
	paths[215] = 'x';
	v2_start(0x21, 0x31, paths, sizeof(paths));
	refused("malformed addresses");
}

/* What is in the block is none of our business then. */
Test(haproxy, v2_local)
{
	static const struct {
		unsigned command, family;
	} rows[] = {
		{ 0x20, 0x00 }, { 0x20, 0x11 }, { 0x20, 0xff },
		{ 0x21, 0x00 }, { 0x21, 0x10 }, { 0x21, 0x01 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct haproxy_header header;

		v2_start(rows[i].command, rows[i].family, "", 0);
		header = parsed_bytewise("local");
		cr_assert(header.local);
		cr_assert_eq(header.source.len, 0);
		v2_start(rows[i].command, rows[i].family,
			 BYTES("\377garbage"));
		header = parsed_bytewise("local with garbage");
		cr_assert(header.local);
		cr_assert_eq(header.dest.len, 0);
	}
}

static const struct {
	unsigned command, family;
	const char *why;
} v2_bad[] = {
	{ 0x11, 0x11, "version" }, { 0x31, 0x11, "version" },
	{ 0x01, 0x11, "version" }, { 0x22, 0x11, "command" },
	{ 0x2f, 0x11, "command" }, { 0x21, 0x41, "family" },
	{ 0x21, 0xf1, "family" },  { 0x21, 0x12, "stream" },
	{ 0x21, 0x22, "stream" },  { 0x21, 0x32, "stream" },
	{ 0x21, 0x13, "stream" },  { 0x21, 0x02, "stream" },
};

Test(haproxy, v2_bad)
{
	size_t i;

	for (i = 0; i < sizeof(v2_bad) / sizeof(v2_bad[0]); i++) {
		v2_start(v2_bad[i].command, v2_bad[i].family, BYTES(IN4));
		refused(v2_bad[i].why);
		/* That much shows. */
		str_truncate(&in, 16);
		refused(v2_bad[i].why);
	}
}

Test(haproxy, v2_addresses_cut_short)
{
	v2_start(0x21, 0x11, IN4, sizeof(IN4) - 2);
	refused("malformed addresses");
	v2_start(0x21, 0x21, IN6, sizeof(IN6) - 2);
	refused("malformed addresses");
	v2_start(0x21, 0x31, IN6, sizeof(IN6) - 1);
	refused("malformed addresses");
	v2_start(0x21, 0x11, "", 0);
	refused("malformed addresses");
}

Test(haproxy, v2_too_long)
{
	struct haproxy_header header;
	struct err err;
	size_t len, i;

	v2_start(0x21, 0x11, BYTES(IN4));
	for (i = 0; i < 8; i++)
		v2_put(0x04, BYTES("padding"));
	put_length(14, HAPROXY_MAX_SIZE - 16);
	cr_assert_eq(parse(in.data, in.len, &header, &len, &err), 0);
	cr_assert_eq(len, HAPROXY_MAX_SIZE);
	put_length(14, HAPROXY_MAX_SIZE - 15);
	refused("too long");
}

#define SUB(type, text) type "\0" text
#define VERSION SUB("\041", "\007TLSv1.3")
#define CIPHER SUB("\043", "\004AES1")
#define NAME SUB("\042", "\005j doe")

static struct haproxy_header parsed_tls(const char *data, size_t len)
{
	v2_start(0x21, 0x11, BYTES(IN4));
	v2_put(0x20, data, len);
	return parsed_bytewise("TLS");
}

Test(haproxy, v2_tls)
{
	struct haproxy_header header =
		parsed_tls(BYTES("\003\0\0\0\0" VERSION CIPHER NAME
				 SUB("\044", "\003RSA") SUB("\044", "\0")));

	cr_assert(header.tls.active);
	cr_assert(header.tls.verified);
	cr_assert_str_eq(header.tls.version, "TLSv1.3");
	cr_assert_str_eq(header.tls.cipher, "AES1");
	cr_assert_str_eq(header.tls.common_name, "j doe");
}

/* The name counts only with a certificate, and when that was found good. */
Test(haproxy, v2_tls_verified)
{
	struct haproxy_header header;

	header = parsed_tls(BYTES("\005\0\0\0\0" NAME));
	cr_assert(header.tls.active && header.tls.verified);
	cr_assert_str_eq(header.tls.common_name, "j doe");
	header = parsed_tls(BYTES("\001\0\0\0\0" NAME));
	cr_assert(header.tls.active && !header.tls.verified);
	cr_assert_null(header.tls.common_name);
	header = parsed_tls(BYTES("\003\0\0\0\001" NAME));
	cr_assert(header.tls.active && !header.tls.verified);
	cr_assert_null(header.tls.common_name);
	header = parsed_tls(BYTES("\003\001\0\0\0" NAME));
	cr_assert_not(header.tls.verified);
	header = parsed_tls(BYTES("\0\0\0\0\001"));
	cr_assert(!header.tls.active && !header.tls.verified);
	cr_assert_null(header.tls.version);
}

Test(haproxy, v2_tls_malformed)
{
	static const struct {
		const char *data;
		size_t len;
		const char *why;
	} rows[] = {
		{ BYTES(""), "TLS information is cut short" },
		{ BYTES("\001\0\0\0"), "TLS information is cut short" },
		{ BYTES("\001\0\0\0\0\041"), "values are cut short" },
		{ BYTES("\001\0\0\0\0\041\0"), "values are cut short" },
		{ BYTES("\001\0\0\0\0\041\0\004TLS"), "values are cut short" },
		{ BYTES("\001\0\0\0\0\041\377\377TLS"),
		  "values are cut short" },
		{ BYTES("\001\0\0\0\0\044\0\004TLS"), "values are cut short" },
		{ BYTES("\001\0\0\0\0\041\0\003T\nS"), "printable" },
		{ BYTES("\001\0\0\0\0\043\0\003T\0S"), "printable" },
		{ BYTES("\001\0\0\0\0\042\0\003T\377S"), "printable" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		v2_start(0x21, 0x11, BYTES(IN4));
		v2_put(0x20, rows[i].data, rows[i].len);
		refused(rows[i].why);
		/* What follows it does not make it whole. */
		v2_put(0x04, BYTES("padding"));
		refused(rows[i].why);
	}
}

Test(haproxy, v2_other_values)
{
	struct haproxy_header header;

	v2_start(0x21, 0x21, BYTES(IN6));
	v2_put(0x04, "", 0);
	v2_put(0x01, BYTES("lmtp\0"));
	v2_put(0x02, BYTES("lmtp.example.org"));
	v2_put(0x05, BYTES("\0id\377"));
	v2_put(0x30, BYTES("netns"));
	v2_put(0xe0, BYTES("\001\002\003"));
	header = parsed_bytewise("values");
	cr_assert_str_eq(header.authority, "lmtp.example.org");
	cr_assert_eq(header.alpn_len, 5);
	cr_assert_eq(memcmp(header.alpn, "lmtp", 5), 0);
	cr_assert_eq(header.unique_id_len, 4);
	cr_assert_eq(memcmp(header.unique_id, "\0id\377", 4), 0);
}

Test(haproxy, v2_values_malformed)
{
	char text[300];

	memset(text, 'x', sizeof(text));
	v2_start(0x21, 0x11, BYTES(IN4));
	v2_put(0x02, BYTES("two words"));
	refused("authority");
	v2_start(0x21, 0x11, BYTES(IN4));
	v2_put(0x02, "", 0);
	refused("authority");
	v2_start(0x21, 0x11, BYTES(IN4));
	v2_put(0x01, text, 256);
	refused("too long");
	v2_start(0x21, 0x11, BYTES(IN4));
	v2_put(0x05, text, 129);
	refused("too long");
	v2_start(0x21, 0x11, BYTES(IN4));
	v2_put(0x04, BYTES("abc"));
	put_length(in.len - 5, 4);
	refused("values are cut short");
	v2_start(0x21, 0x11, BYTES(IN4 "\004"));
	refused("values are cut short");
	v2_start(0x21, 0x11, BYTES(IN4 "\004\0"));
	refused("values are cut short");
}

Test(haproxy, v2_longest_values)
{
	struct haproxy_header header;
	char text[300];

	memset(text, 'x', sizeof(text));
	v2_start(0x21, 0x11, BYTES(IN4));
	v2_put(0x01, text, 255);
	v2_put(0x05, text, 128);
	header = parsed_bytewise("longest values");
	cr_assert_eq(header.alpn_len, 255);
	cr_assert_eq(header.unique_id_len, 128);
}

/* Another way to the same number: a table, as most have it. */
static uint32_t crc32c(const char *data, size_t len)
{
	uint32_t table[256], crc = UINT32_MAX;
	unsigned i, bit;

	for (i = 0; i < 256; i++) {
		table[i] = i;
		for (bit = 0; bit < 8; bit++)
			table[i] = table[i] & 1 ?
				   table[i] >> 1 ^ 0x82f63b78 : table[i] >> 1;
	}
	while (len-- > 0)
		crc = table[(crc ^ (unsigned char)*data++) & 0xff] ^ crc >> 8;
	return ~crc;
}

Test(haproxy, v2_checksum)
{
	size_t at, i;
	uint32_t crc;

	/* The check value of CRC-32C. */
	cr_assert_eq(crc32c("123456789", 9), 0xe3069283);
	v2_start(0x21, 0x11, BYTES(IN4));
	v2_put(0x02, BYTES("example.org"));
	v2_put(0x03, BYTES("\0\0\0\0"));
	at = in.len - 4;
	v2_put(0x04, BYTES("behind"));
	crc = crc32c(in.data, in.len);
	for (i = 0; i < 4; i++)
		in.data[at + i] = (char)(crc >> (24 - 8 * i));
	cr_assert_str_eq(parsed_bytewise("checksum").authority, "example.org");
	for (i = 16; i < in.len; i++) {
		struct haproxy_header header;
		struct err err;
		size_t len;

		in.data[i] ^= 1;
		cr_assert_eq(parse(in.data, in.len, &header, &len, &err), -1,
			     "bit at %zu", i);
		in.data[i] ^= 1;
	}
	in.data[in.len - 1] ^= 1;
	refused("checksum is wrong");
	v2_start(0x21, 0x11, BYTES(IN4));
	v2_put(0x03, BYTES("\0\0\0"));
	refused("checksum is malformed");
}

Test(haproxy, failure_leaves_the_header_alone)
{
	struct haproxy_header header = { .version = 7 };
	struct err err;
	size_t len;

	v2_start(0x21, 0x11, BYTES(IN4));
	v2_put(0x02, BYTES("two words"));
	cr_assert_eq(parse(in.data, in.len, &header, &len, &err), -1);
	cr_assert_eq(header.version, 7);
	cr_assert_eq(parse(in.data, 20, &header, &len, &err), 0);
	cr_assert_eq(header.version, 7);
}

/* A header that HAProxy 2.6 wrote, with all that it has to say. */
Test(haproxy, of_haproxy)
{
	struct haproxy_header header;
	struct files files;

	files_init(&files);
	files_read(files_source(&files, "t/fuzz/seeds/haproxy/haproxy-2.6"),
		   &in);
	files_done(&files);
	header = parsed_bytewise("HAProxy");
	check_addr(&header.source, "127.0.0.1:60166");
	check_addr(&header.dest, "127.0.0.1:24611");
	cr_assert_str_eq(header.authority, "lmtp.example.org");
	cr_assert_eq(header.alpn_len, 4);
	cr_assert_eq(header.unique_id_len, 36);
	cr_assert(header.tls.active && header.tls.verified);
	cr_assert_str_eq(header.tls.version, "TLSv1.3");
	cr_assert_str_eq(header.tls.cipher, "TLS_AES_256_GCM_SHA384");
	cr_assert_str_eq(header.tls.common_name, "j doe");
}
