/*
 * grpc.reflection: what services there are and what their messages look like, so
 * that a client needs no file of ours.  Versions v1 and v1alpha are one on the wire.
 */
#include "api/grpc.h"

#include "api/grpc_schema.h"
#include "gen/proto/reflection.pb-c.h"

#include "base/banned.h"

#define REQUEST_MAX 16384
#define SERVICES_MAX 32

typedef Grpc__Reflection__V1__ServerReflectionRequest asked;
typedef Grpc__Reflection__V1__ServerReflectionResponse told;
#define ASKED(word) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##word
#define TOLD(word) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##word

static void send_error(struct grpc_call *call, told *m, enum code code,
		       const char *text)
{
	Grpc__Reflection__V1__ErrorResponse error =
		GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;

	error.error_code = code_grpc(code);
	error.error_message = (char *)(uintptr_t)text;
	m->message_response_case = TOLD(ERROR_RESPONSE);
	m->error_response = &error;
	grpc_send(call, &m->base);
}

static void send_file(struct grpc_call *call, told *m, struct str file)
{
	Grpc__Reflection__V1__FileDescriptorResponse files =
		GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
	ProtobufCBinaryData bytes = { file.n, (uint8_t *)(uintptr_t)file.p };

	if (!file.p) {
		send_error(call, m, E_NOT_FOUND, "it is not known here");
		return;
	}
	/* None of the files imports another. */
	files.n_file_descriptor_proto = 1;
	files.file_descriptor_proto = &bytes;
	m->message_response_case = TOLD(FILE_DESCRIPTOR_RESPONSE);
	m->file_descriptor_response = &files;
	grpc_send(call, &m->base);
}

static void send_services(struct grpc_call *call, told *m,
			  const struct grpc_schema *schema)
{
	Grpc__Reflection__V1__ServiceResponse one[SERVICES_MAX], *all[SERVICES_MAX];
	Grpc__Reflection__V1__ListServiceResponse list =
		GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
	struct str name;

	for (size_t i = 0; i < SERVICES_MAX; i++) {
		name = grpc_schema_service(schema, i);
		if (!name.p)
			break;
		grpc__reflection__v1__service_response__init(&one[i]);
		one[i].name = (char *)(uintptr_t)name.p;
		all[i] = &one[i];
		list.n_service++;
	}
	list.service = all;
	m->message_response_case = TOLD(LIST_SERVICES_RESPONSE);
	m->list_services_response = &list;
	grpc_send(call, &m->base);
}

/* There are no extensions of any message. */
static void send_extensions(struct grpc_call *call, told *m,
			    const struct grpc_schema *schema, char *type)
{
	Grpc__Reflection__V1__ExtensionNumberResponse numbers =
		GRPC__REFLECTION__V1__EXTENSION_NUMBER_RESPONSE__INIT;

	if (!grpc_schema_is_message(schema, str_of(type))) {
		send_error(call, m, E_NOT_FOUND, "there is no such message");
		return;
	}
	numbers.base_type_name = type;
	m->message_response_case = TOLD(ALL_EXTENSION_NUMBERS_RESPONSE);
	m->all_extension_numbers_response = &numbers;
	grpc_send(call, &m->base);
}

static void reflect(struct grpc_call *call, const ProtobufCMessage *message)
{
	const struct grpc_schema *schema =
		caller_of(grpc_request(call))->at->api->schema;
	asked *q = (asked *)(uintptr_t)message;
	told m = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;

	m.valid_host = q->host;
	m.original_request = q;
	switch (q->message_request_case) {
	case ASKED(FILE_BY_FILENAME):
		send_file(call, &m, grpc_schema_file(
				schema, str_of(q->file_by_filename)));
		break;
	case ASKED(FILE_CONTAINING_SYMBOL):
		send_file(call, &m, grpc_schema_symbol(
				schema, str_of(q->file_containing_symbol)));
		break;
	case ASKED(FILE_CONTAINING_EXTENSION):
		send_error(call, &m, E_NOT_FOUND, "there are no extensions");
		break;
	case ASKED(ALL_EXTENSION_NUMBERS_OF_TYPE):
		send_extensions(call, &m, schema,
				q->all_extension_numbers_of_type);
		break;
	case ASKED(LIST_SERVICES):
		send_services(call, &m, schema);
		break;
	default:
		send_error(call, &m, E_INVALID, "nothing is asked");
		break;
	}
}

void grpc_reflect(struct request *r)
{
	static const struct grpc_method method = {
		.request = &grpc__reflection__v1__server_reflection_request__descriptor,
		.message = reflect, .takes_many = true, .bytes_max = REQUEST_MAX,
		.is_long = true,
	};

	grpc_serve(r, &method);
}
