#pragma once

#include "base/buffer.h"

/* This program and the libraries it runs with, as one JSON object. */
void version_json(struct buffer *buffer);

/* "15.18", from the number that libpq gives. */
enum { LIBPQ_VERSION_LENGTH = 24 };
void libpq_version(char ret_text[LIBPQ_VERSION_LENGTH]);
