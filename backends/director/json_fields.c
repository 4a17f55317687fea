#include "backends/director/json_fields.h"

#include <stdlib.h>

int json_field_number(const struct json *object, const char *name,
		      uint64_t max, uint64_t *number_r, struct err *err)
{
	const struct json *value = json_member(object, name);
	struct str text = STR_INIT;
	char *end;
	int ret = -1;

	if (json_kind(value) == JSON_KIND_NUMBER) {
		json_put_number(&text, value);
		*number_r = strtoull(str_c(&text), &end, 10);
		if (*end == '\0' && *str_c(&text) != '-' && *number_r <= max)
			ret = 0;
	}
	str_free(&text);
	return ret == 0 ? 0 : err_set(err, "\"%s\" is no number up to %llu",
				      name, (unsigned long long)max);
}

int json_field_text(const struct json *object, const char *name,
		    const char **text_r, struct err *err)
{
	*text_r = json_text(json_member(object, name));
	return *text_r != NULL ? 0 : err_set(err, "\"%s\" is no text", name);
}

bool json_field_bool(const struct json *object, const char *name)
{
	return json_kind(json_member(object, name)) == JSON_KIND_TRUE;
}

void director_json_put_server(struct json_writer *json,
			      const struct director_server *server)
{
	json_write_text(json, "ip", server->ip);
	if (*server->tag != '\0')
		json_write_text(json, "tag", server->tag);
}

struct director_backend *director_json_backend(struct director_state *state,
					       const struct json *object,
					       struct err *err)
{
	const char *tag = json_text(json_member(object, "tag"));
	struct director_server server = {
		.tag = tag != NULL ? tag : "",
		.weight = DIRECTOR_WEIGHT,
	};

	if (json_field_text(object, "ip", &server.ip, err) < 0)
		return NULL;
	if (addr_parse_ip(&server.addr, server.ip, 0) < 0) {
		err_put(err, "\"ip\" is no address");
		return NULL;
	}
	return director_state_backend(state, &server);
}

int director_read_key(const char *text, uint64_t *key_r)
{
	unsigned i;

	*key_r = 0;
	for (i = 0; i < 16; i++) {
		char c = text[i];

		if (c >= '0' && c <= '9')
			*key_r = *key_r << 4 | (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*key_r = *key_r << 4 | (unsigned)(c - 'a' + 10);
		else
			return -1;
	}
	return 0;
}

void director_put_key(struct str *out, uint64_t key)
{
	char digits[16];
	unsigned i;

	for (i = 16; i-- > 0; key >>= 4)
		digits[i] = "0123456789abcdef"[key & 15];
	str_append(out, digits, sizeof(digits));
}

void director_json_put_key(struct json_writer *json, uint64_t key)
{
	json_write_number(json, "key_high", key >> 32);
	json_write_number(json, "key_low", key & UINT32_MAX);
}

int director_json_key(const struct json *object, uint64_t *key_r,
		      struct err *err)
{
	uint64_t high, low;

	if (json_field_number(object, "key_high", UINT32_MAX, &high, err) < 0 ||
	    json_field_number(object, "key_low", UINT32_MAX, &low, err) < 0)
		return -1;
	*key_r = high << 32 | low;
	return 0;
}
