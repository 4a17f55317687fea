#include "backends/remote/body.h"

#include <stdint.h>
#include <string.h>

#define BODY_IOV_MAX 8
/* A message that is not complete yet goes out in chunks of at least this size,
 * unless the spool has no room for that. */
#define CHUNK_MIN 32768

/* What can be sent now: some of the body as the spool has it, and in the peer's
 * form, perhaps with the end of the data behind it. */
struct output {
	struct iovec in[BODY_IOV_MAX];
	int in_count;
	struct smtp_stuffed pieces;
	size_t end_len;
	bool whole; /* it reaches to the end of the message */
	bool more;  /* it does not reach to the end of what is there */
};

void remote_body_start(struct remote_body *body, struct spool *spool,
		       enum smtp_form form, bool chunked,
		       void (*ready)(struct spool_reader *reader))
{
	*body = (struct remote_body){ .chunked = chunked };
	smtp_stuff_init(&body->stuff, form,
			chunked ? SMTP_FORM_OCTETS : SMTP_FORM_DOTS);
	spool_reader_add(spool, &body->reader, ready);
}

void remote_body_stop(struct remote_body *body)
{
	spool_reader_remove(&body->reader);
}

static void body_map(struct remote_body *body, struct output *output)
{
	struct spool_reader *reader = &body->reader;
	const struct smtp_stuffed *pieces = &output->pieces;
	uint64_t end;

	output->end_len = 0;
	output->in_count = spool_peek(reader, output->in, BODY_IOV_MAX);
	smtp_stuff_map(&body->stuff, output->in, output->in_count,
		       body->chunk_left > 0 ? body->chunk_left : SIZE_MAX,
		       &output->pieces);
	end = reader->pos + pieces->at[pieces->count];
	output->more = end < spool_size(reader->spool);
	output->whole = spool_finished(reader->spool) && !output->more;
}

/* A dot that is taken out may be all that the spool gives at a time: then it is
 * passed, and there may be something behind it. */
static bool body_pass_dot(struct remote_body *body, const struct output *output)
{
	size_t used;

	if (output->pieces.len > 0 || output->whole)
		return false;
	used = smtp_stuff_advance(&body->stuff, output->in, output->in_count,
				  &output->pieces, 0);
	if (used > 0)
		spool_advance(&body->reader, used);
	return used > 0;
}

static void body_peek(struct remote_body *body, struct output *output)
{
	do
		body_map(body, output);
	while (body_pass_dot(body, output));
}

/* What ends the data depends on what goes before it. */
static void body_put_end(struct remote_body *body, struct output *output)
{
	struct smtp_stuffed *pieces = &output->pieces;
	struct smtp_stuff after = body->stuff;
	const char *end;

	smtp_stuff_advance(&after, output->in, output->in_count, pieces,
			   pieces->len);
	end = smtp_stuff_end(&after) + body->end_sent;
	output->end_len = strlen(end);
	pieces->iov[pieces->count].iov_base = (char *)end;
	pieces->iov[pieces->count].iov_len = output->end_len;
}

/* Announces the next chunk, if it is time for it. What does not reach to the
 * end of what is there would wait in vain for more. One at a time: of a peer
 * that says more than it was asked no 250 shall be taken for that to the last.
 */
static void body_announce(struct remote_body *body, const struct output *output,
			  struct str *out)
{
	bool enough = output->whole || output->pieces.len >= CHUNK_MIN ||
		      (output->pieces.len > 0 &&
		       (output->more || spool_full(body->reader.spool)));

	if (body->chunk_owed || !enough)
		return;
	body->chunk_left = output->pieces.len;
	body->chunk_last = output->whole;
	str_puts(out, "BDAT ");
	str_put_number(out, body->chunk_left);
	str_puts(out, body->chunk_last ? " LAST\r\n" : "\r\n");
	body->chunk_owed = !body->chunk_last;
}

/* Returns false when there is nothing to send. */
static bool body_gather(struct remote_body *body, struct output *output,
			struct str *out)
{
	body_peek(body, output);
	if (body->reader.lost)
		return false;
	if (body->chunked) {
		if (body->chunk_left == 0)
			body_announce(body, output, out);
		return body->chunk_left > 0 || body->chunk_last;
	}
	if (output->whole)
		body_put_end(body, output);
	return output->pieces.count > 0 || output->whole;
}

/* sent: how many bytes of output have left. Returns whether they were the last
 * of the message. */
static bool body_advance(struct remote_body *body, const struct output *output,
			 size_t sent)
{
	const struct smtp_stuffed *pieces = &output->pieces;
	size_t of_pieces = sent < pieces->len ? sent : pieces->len;
	size_t used = smtp_stuff_advance(&body->stuff, output->in,
					 output->in_count, pieces, of_pieces);

	spool_advance(&body->reader, used);
	body->end_sent += sent - of_pieces;
	if (!body->chunked)
		return output->whole && sent == pieces->len + output->end_len;
	body->chunk_left -= sent;
	return body->chunk_last && body->chunk_left == 0;
}

enum remote_body_result remote_body_send(struct remote_body *body,
					 struct stream *stream)
{
	struct output output;

	while (body_gather(body, &output, stream_out(stream))) {
		const struct smtp_stuffed *pieces = &output.pieces;
		int count = pieces->count + (output.end_len > 0 ? 1 : 0);
		size_t sent = stream_sendv(stream, pieces->iov, count);
		bool stuck = sent < pieces->len + output.end_len ||
			     stream_pending(stream) > 0;

		if (stuck)
			stream_want_write(stream);
		if (body_advance(body, &output, sent))
			return REMOTE_BODY_SENT;
		if (stuck)
			return REMOTE_BODY_STUCK;
	}
	return body->reader.lost ? REMOTE_BODY_LOST : REMOTE_BODY_WAITS;
}

void remote_body_describe_loss(const struct remote_body *body, struct str *out)
{
	str_printf(out, "the server is slow, and the message could not be kept "
		   "for it in mail_temp_dir = %s: %s",
		   spool_dir(body->reader.spool),
		   strerror(body->reader.error));
}
