/* Descriptors: see grpc_schema.h. */
#include "api/grpc_schema.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "gen/proto/descriptor.pb-c.h"

#include "base/banned.h"

typedef Conflux__Descriptor__File file_of;
typedef Conflux__Descriptor__Message message_of;

struct file {
	struct str bytes;
};

struct grpc_schema {
	struct arena *arena;
	struct map *files, *symbols, *messages;  /* of struct file */
	struct str *services;
	size_t n_services, cap_services;
};

static void *take(void *data, size_t n)
{
	return arena_alloc(data, n);
}

static void let_be(void *data, void *p)
{
	(void)data;
	(void)p;
}

/* 'in' and 'name', joined. */
static struct str below(struct grpc_schema *s, struct str in, const char *name)
{
	return in.n ? arena_printf(s->arena, "%.*s.%s", STR_ARG(in), name) :
		      arena_str(s->arena, str_of(name));
}

static void add(struct grpc_schema *s, struct str in, const char *name,
		struct file *file)
{
	map_put(s->symbols, below(s, in, name), file);
}

static void add_message(struct grpc_schema *s, struct str in,
			const message_of *m, struct file *file)
{
	struct str name = below(s, in, m->name);

	map_put(s->symbols, name, file);
	map_put(s->messages, name, file);
	for (size_t i = 0; i < m->n_field; i++)
		add(s, name, m->field[i]->name, file);
	for (size_t i = 0; i < m->n_enum_type; i++)
		add(s, name, m->enum_type[i]->name, file);
	for (size_t i = 0; i < m->n_nested_type; i++)
		add_message(s, name, m->nested_type[i], file);
}

static void add_service(struct grpc_schema *s, struct str in,
			const Conflux__Descriptor__Service *service,
			struct file *file)
{
	struct str name = below(s, in, service->name);

	map_put(s->symbols, name, file);
	for (size_t i = 0; i < service->n_method; i++)
		add(s, name, service->method[i]->name, file);
	s->services = arena_grow(s->arena, s->services, &s->cap_services,
				 s->n_services + 1, sizeof(*s->services));
	s->services[s->n_services++] = name;
}

static void add_file(struct grpc_schema *s, const file_of *f, struct str bytes)
{
	struct file *file = ANEW(s->arena, struct file);
	struct str in = str_of(f->package);

	file->bytes = bytes;
	map_put(s->files, str_of(f->name), file);
	for (size_t i = 0; i < f->n_message_type; i++)
		add_message(s, in, f->message_type[i], file);
	for (size_t i = 0; i < f->n_enum_type; i++)
		add(s, in, f->enum_type[i]->name, file);
	for (size_t i = 0; i < f->n_service; i++)
		add_service(s, in, f->service[i], file);
}

enum code grpc_schema_new(struct str set, struct grpc_schema **out,
			  struct err *err)
{
	OWNED(grpc_schema) s = NEW(struct grpc_schema);
	ProtobufCAllocator allocator = { take, let_be, NULL };
	const Conflux__Descriptor__Set *files;

	s->arena = arena_new(0);
	s->files = map_new();
	s->symbols = map_new();
	s->messages = map_new();
	allocator.allocator_data = s->arena;
	files = conflux__descriptor__set__unpack(&allocator, set.n,
						 (const uint8_t *)set.p);
	for (size_t i = 0; files && i < files->n_file; i++) {
		const ProtobufCBinaryData *b = &files->file[i];
		const file_of *f = conflux__descriptor__file__unpack(
			&allocator, b->len, b->data);

		if (!f)
			return err_set(err, E_CORRUPT, "file %zu of the "
				       "descriptors is none", i);
		add_file(s, f, str_n(b->data, b->len));
	}
	if (!files || files->n_file == 0)
		return err_set(err, E_CORRUPT, "the descriptors are none");
	*out = TAKE(s);
	return OK;
}

void grpc_schema_free(struct grpc_schema **schema)
{
	struct grpc_schema *s = TAKE(*schema);

	if (!s)
		return;
	map_free(&s->files);
	map_free(&s->symbols);
	map_free(&s->messages);
	arena_free(&s->arena);
	free(s);
}

static struct str bytes_of(const struct map *map, struct str name)
{
	const struct file *file = map_get(map, name);

	return file ? file->bytes : STR_NONE;
}

struct str grpc_schema_file(const struct grpc_schema *schema, struct str name)
{
	return bytes_of(schema->files, name);
}

struct str grpc_schema_symbol(const struct grpc_schema *schema, struct str name)
{
	return bytes_of(schema->symbols, name);
}

bool grpc_schema_is_message(const struct grpc_schema *schema, struct str name)
{
	return map_get(schema->messages, name) != NULL;
}

struct str grpc_schema_service(const struct grpc_schema *schema, size_t i)
{
	return i < schema->n_services ? schema->services[i] : STR_NONE;
}
