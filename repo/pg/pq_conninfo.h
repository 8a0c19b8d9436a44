#pragma once

/* The rule that a connection URI or conninfo breaks, with the name of the parameter and without its
 * value; NULL: it breaks none. libpq's own messages quote what they can't read, password and all,
 * so a conninfo is judged here before libpq is asked to connect with it. "" and the name of a
 * database are fine. */
const char *pq_conninfo_rule(const char *conninfo);

/* The same of the files that it names: certificates that can't be read, and a key that others may
 * read, which libpq refuses. For diagnosis only: files may come and go, and libpq reads them anew
 * for each connection. */
const char *pq_conninfo_file_rule(const char *conninfo);
