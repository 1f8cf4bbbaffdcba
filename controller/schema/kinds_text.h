/* The texts of schemas/kinds/, generated into the program. */
#ifndef SCHEMA_KINDS_TEXT_H
#define SCHEMA_KINDS_TEXT_H

extern const char *const kinds_text[];
extern const unsigned kinds_text_count;

#endif
