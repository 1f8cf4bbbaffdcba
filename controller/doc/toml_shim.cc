/*
 * TOML 1.0 by toml++: a thin file that turns its tree into ours.  Exceptions
 * end here.  Integers keep their value, floats the shortest text that reads
 * back the same.
 */
#include <toml++/toml.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <new>
#include <sstream>
#include <string>

extern "C" {
#include "doc/toml_shim.h"
}

namespace {

struct builder {
	void *arena;
	const struct toml_limits *limits;
	size_t nodes;
};

struct refusal {
	uint32_t line, column;
	const char *reason;
};

void *convert(builder &b, const toml::node &n, unsigned depth);

void *text_of(builder &b, int type, const std::string &s)
{
	return toml_make_text(b.arena, type, s.data(), s.size());
}

std::string float_text(double d)
{
	char out[64];

	if (std::isnan(d))
		return "nan";
	if (std::isinf(d))
		return d < 0 ? "-inf" : "inf";
	auto end = std::to_chars(out, out + sizeof(out), d).ptr;
	std::string s(out, end);

	/* to_chars writes "1e+30", which is JSON too. */
	return s;
}

template <typename T> std::string time_text(const T &value)
{
	std::ostringstream os;

	os << value;
	return os.str();
}

void *convert_table(builder &b, const toml::table &t, unsigned depth)
{
	void *object = toml_make_object(b.arena);

	for (auto &&[key, item] : t)
		toml_add_member(b.arena, object, key.str().data(),
				key.str().size(), convert(b, item, depth + 1));
	return object;
}

void *convert_array(builder &b, const toml::array &a, unsigned depth)
{
	void *array = toml_make_array(b.arena);

	for (auto &&item : a)
		toml_add_item(b.arena, array, convert(b, item, depth + 1));
	return array;
}

void *convert_plain(builder &b, const toml::node &n)
{
	if (auto s = n.as_string())
		return text_of(b, TOML_SHIM_STRING, s->get());
	if (auto i = n.as_integer())
		return text_of(b, TOML_SHIM_NUMBER, std::to_string(i->get()));
	if (auto d = n.as_floating_point())
		return text_of(b, TOML_SHIM_NUMBER, float_text(d->get()));
	if (auto v = n.as_boolean())
		return toml_make_bool(b.arena, v->get());
	if (auto d = n.as_date())
		return text_of(b, TOML_SHIM_TIME, time_text(d->get()));
	if (auto d = n.as_time())
		return text_of(b, TOML_SHIM_TIME, time_text(d->get()));
	return text_of(b, TOML_SHIM_TIME, time_text(n.as_date_time()->get()));
}

void *convert(builder &b, const toml::node &n, unsigned depth)
{
	auto at = n.source().begin;
	void *v;

	if (depth > b.limits->depth_max)
		throw refusal{ at.line, at.column, "nested too deeply" };
	if (++b.nodes > b.limits->nodes_max)
		throw refusal{ at.line, at.column, "more values than allowed" };
	if (auto t = n.as_table())
		v = convert_table(b, *t, depth);
	else if (auto a = n.as_array())
		v = convert_array(b, *a, depth);
	else
		v = convert_plain(b, n);
	toml_set_place(v, at.line, at.column);
	return v;
}

void say(struct toml_place *place, uint32_t line, uint32_t column,
	 const char *reason)
{
	place->line = line;
	place->column = column;
	std::strncpy(place->reason, reason, sizeof(place->reason) - 1);
	place->reason[sizeof(place->reason) - 1] = '\0';
}

}

extern "C" void *toml_shim_parse(const char *text, size_t n, void *arena,
				 const struct toml_limits *limits,
				 struct toml_place *place)
{
	try {
		toml::table t = toml::parse(std::string_view(text, n));
		builder b{ arena, limits, 0 };

		return convert(b, t, 0);
	} catch (const toml::parse_error &e) {
		std::string what(e.description());

		say(place, e.source().begin.line, e.source().begin.column,
		    what.c_str());
	} catch (const refusal &r) {
		say(place, r.line, r.column, r.reason);
	} catch (const std::exception &e) {
		say(place, 0, 0, e.what());
	}
	return nullptr;
}
