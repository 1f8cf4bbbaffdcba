/*
 * What server reflection knows: the descriptors of the files of schemas/ that are
 * offered, by file name and by symbol.  Made once; then immutable, any thread.
 */
#ifndef API_GRPC_SCHEMA_H
#define API_GRPC_SCHEMA_H

#include "base/str.h"

struct grpc_schema;

/* Of a google.protobuf.FileDescriptorSet, which stays valid.  E_CORRUPT. */
enum code grpc_schema_new(struct str set, struct grpc_schema **out,
			  struct err *err) MUST_USE;
void grpc_schema_free(struct grpc_schema **schema);
/* google.protobuf.FileDescriptorProto of a file, or of the one that declares a
 * symbol ("conflux.v1.Address", "conflux.v1.Address.tenant",
 * "conflux.v1.ConfigService.FetchConfig"); p NULL: unknown. */
struct str grpc_schema_file(const struct grpc_schema *schema, struct str name);
struct str grpc_schema_symbol(const struct grpc_schema *schema, struct str name);
bool grpc_schema_is_message(const struct grpc_schema *schema, struct str name);
/* The full name of service 'i' in the order of the files; p NULL: no more. */
struct str grpc_schema_service(const struct grpc_schema *schema, size_t i);

#endif
