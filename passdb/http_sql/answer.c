#include "passdb/http_sql/answer.h"

#include <string.h>

#define SHOWN 200 /* bytes of an answer in messages */

bool http_sql_answer_is_down(const struct http_answer *answer)
{
	return answer->lost || answer->status == 429 ||
	       (answer->status >= 502 && answer->status <= 504);
}

/* How much of the body goes into a message. */
static int shown(const struct http_answer *answer)
{
	return answer->len < SHOWN ? (int)answer->len : SHOWN;
}

static int check_status(const struct http_answer *answer, struct err *err)
{
	unsigned status = answer->status;

	if (answer->error != NULL && status == 0)
		return err_set(err, "%s", answer->error);
	if (answer->error != NULL)
		return err_set(err, "%s (HTTP status %u)", answer->error,
			       status);
	if (status >= 300 && status < 400)
		return err_set(err, "HTTP status %u: redirects are not "
			       "followed", status);
	if (status != 200)
		return err_set(err, "HTTP status %u: %.*s", status,
			       shown(answer), answer->body);
	return 0;
}

/* What the answer ends with: text behind JSON is often why it is cut off. */
static int refuse_text(const struct http_answer *answer, const char *why,
		       struct err *err)
{
	size_t len = (size_t)shown(answer), i;
	char end[SHOWN + 1];

	memcpy(end, answer->body + answer->len - len, len);
	end[len] = '\0';
	for (i = 0; i < len; i++) {
		if (end[i] == '\0')
			end[i] = '?';
	}
	return err_set(err, "the answer is no JSON, or cut off (%.200s); its "
		       "end: %s", why, end);
}

int http_sql_answer_read(const struct http_answer *answer,
			 const struct http_sql_dialect *dialect,
			 struct http_sql_result *result, struct err *err)
{
	struct err why;
	struct json *root;
	int ret;

	if (check_status(answer, err) < 0)
		return -1;
	root = json_parse(answer->body, answer->len, &why);
	if (root == NULL)
		return refuse_text(answer, why.text, err);
	ret = dialect->read(root, result, err);
	json_close(&root);
	return ret;
}
