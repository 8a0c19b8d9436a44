#pragma once

#include "base/buffer.h"

/* This program and the libraries it runs with, as one JSON object. */
void version_json(struct buffer *buffer);
