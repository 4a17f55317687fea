/* What the end of lda_command means to the mail. */
#ifndef BACKENDS_LOCAL_LDA_STATUS_H
#define BACKENDS_LOCAL_LDA_STATUS_H

#include "backends/local/mail/mail.h"
#include "lib/str.h"

/* The status that stands for an end, as waitpid(2) has it (sysexits.h). What may have a
 * cause that passes is never a refusal for good. */
enum local_status lda_status(int wait_status);

/* Appends "ended with status 75 (EX_TEMPFAIL)", or by which signal. */
void lda_status_describe(struct str *out, int wait_status);

#endif
