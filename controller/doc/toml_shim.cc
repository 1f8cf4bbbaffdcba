/*
 * TOML 1.0 by toml++: a thin file that turns its tree into ours.  Exceptions
 * end here; nothing of ours is freed while one passes, because all is in the
 * arena.  Integers keep their value, floats the shortest text that reads back
 * the same.  toml++ keeps tables sorted by key; ours are in the order of the
 * source again.
 */
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <exception>
#include <new>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

extern "C" {
#include "doc/toml_shim.h"
}

namespace
{

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
	/* "1e+30" is JSON too. */
	return std::string(out, std::to_chars(out, out + sizeof(out), d).ptr);
}

template <typename T> std::string time_text(const T &value)
{
	std::ostringstream os;

	os << value;
	return os.str();
}

using member = std::pair<const toml::key *, const toml::node *>;

bool stands_before(const member &a, const member &b)
{
	auto x = a.first->source().begin, y = b.first->source().begin;

	return std::tie(x.line, x.column) < std::tie(y.line, y.column);
}

void *convert_table(builder &b, const toml::table &t, unsigned depth)
{
	void *object = toml_make_object(b.arena);
	std::vector<member> members;

	members.reserve(t.size());
	for (auto &&[key, item] : t)
		members.emplace_back(&key, &item);
	std::stable_sort(members.begin(), members.end(), stands_before);
	for (auto &[key, item] : members)
		toml_add_member(b.arena, object, key->str().data(),
				key->str().size(), convert(b, *item, depth + 1));
	toml_end_object(b.arena, object);
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

/* What does not fit is cut in front of a character. */
void say(struct toml_place *place, uint32_t line, uint32_t column,
	 std::string_view reason)
{
	size_t n = std::min(reason.size(), sizeof(place->reason) - 1);

	while (n < reason.size() && n > 0 && (reason[n] & 0xc0) == 0x80)
		n--;
	place->line = line;
	place->column = column;
	std::memcpy(place->reason, reason.data(), n);
	place->reason[n] = '\0';
}

} // namespace

extern "C" void *toml_shim_parse(const char *text, size_t n, void *arena,
				 const struct toml_limits *limits,
				 struct toml_place *place)
{
	try {
		toml::table t = toml::parse(std::string_view(text, n));
		builder b{ arena, limits, 0 };

		return convert(b, t, 1);
	} catch (const toml::parse_error &e) {
		say(place, e.source().begin.line, e.source().begin.column,
		    e.description());
	} catch (const refusal &r) {
		say(place, r.line, r.column, r.reason);
	} catch (const std::bad_alloc &) {
		/* Nothing is wrong with the text. */
		std::terminate();
	} catch (const std::exception &e) {
		say(place, 0, 0, e.what());
	}
	return nullptr;
}
