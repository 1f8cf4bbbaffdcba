/* Time zones: see zone.h.  Nothing that the library throws leaves this file. */
#include "gate/zone.h"

#include <date/tz.h>

#include <cstring>
#include <limits>

namespace {

/* A place in memory that stands for UTC, and is no zone of the library's. */
const char utc = 0;

const zone *as_zone(const void *p)
{
	return static_cast<const zone *>(p);
}

} // namespace

extern "C" const zone *zone_find(const char *name)
{
	if (std::strcmp(name, "UTC") == 0)
		return as_zone(&utc);
	try {
		return as_zone(date::locate_zone(name));
	} catch (...) {
		return nullptr;
	}
}

extern "C" bool zone_span_at(const zone *z, int64_t unix_s, zone_span *out)
{
	if (z == as_zone(&utc)) {
		*out = { std::numeric_limits<int64_t>::min(),
			 std::numeric_limits<int64_t>::max(), 0 };
		return true;
	}
	try {
		const void *p = z;
		auto at = date::sys_seconds(std::chrono::seconds(unix_s));
		auto info = static_cast<const date::time_zone *>(p)->get_info(at);

		out->from_s = info.begin.time_since_epoch().count();
		out->to_s = info.end.time_since_epoch().count();
		out->ahead_s = static_cast<int32_t>(info.offset.count());
		return true;
	} catch (...) {
		return false;
	}
}
