/* The line about a transaction that is over, where lines have fields. */
#ifndef PROXY_SESSION_TRANSACTION_LOG_H
#define PROXY_SESSION_TRANSACTION_LOG_H

struct transaction;

/* Writes it; nothing when log_format has no fields: then each recipient's line
 * says all there is. */
void transaction_log(const struct transaction *trans);

#endif
