/* What a supervisor and a crew (deliver/crew.h) say to each other. An order is a packet
 * (lib/channel.h) with a byte that says which log files come with it, and these behind a
 * file in memory, which has the order itself and which nobody can change any more. */
#ifndef DELIVER_CREW_CHANNEL_H
#define DELIVER_CREW_CHANNEL_H

#include <stdbool.h>

#include "deliver/crew_order.h"

/* The descriptors that the program starts with. */
enum crew_fd {
	CREW_CONTROL = 3, /* the channel; its end is the end of the crew */
	CREW_REQUESTS,	  /* what members wait at (backends/local/deliver.h) */
	CREW_COUNTS,	  /* deliver/crew_counts.h */
	CREW_FDS,
};

/* What a crew says: a packet of that byte. */
enum crew_word {
	CREW_OBEYS = 'O',  /* no delivery begins any more that goes by another order */
	CREW_BROKEN = 'B', /* the worker process said what it never should: nothing that
			    * it says is to be trusted any more */
};

/* The supervisor's side. Files are those of log_files(), and stay the caller's. */
int crew_channel_order(int channel, const struct crew_order *order,
		       const int files[LOG_FILES], struct err *err);

/* As channel_recv(). */
int crew_channel_hear(int channel, enum crew_word *word_r);

/* The crew's side: as channel_recv(). The order lives in arena; the files are the
 * caller's, for log_adopt(). */
int crew_channel_receive(int channel, struct crew_order *order,
			 struct arena *arena, int files_r[LOG_FILES],
			 struct err *err);
void crew_channel_say(int channel, enum crew_word word);

#endif
