/* Session ids: 16 random bytes in base64 without padding, as Dovecot's. */
#ifndef PROXY_SESSION_ID_H
#define PROXY_SESSION_ID_H

#define SESSION_ID_SIZE 23

/* Fills id, terminated. */
void session_id_make(char id[SESSION_ID_SIZE]);

#endif
