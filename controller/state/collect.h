/*
 * Collection of versions: which of a configuration may go, and why others stay.  The
 * same question is asked by whoever proposes removals (OP_VERSION_DROP), and by apply,
 * which alone counts.  Views: any thread, strings borrow from the map.
 */
#ifndef STATE_COLLECT_H
#define STATE_COLLECT_H

#include "model/retention.h"
#include "state/view.h"

/* What names a version; NULL: nothing does.  Whatever a policy says, it stays. */
const char *collect_name(struct kv_txn *txn, struct str tenant,
			 const struct live_row *live, const struct rules *rules,
			 uint32_t version);

/* What is kept of one configuration: its own retention, else that of the release
 * policy that counts for it.  False: nobody says anything. */
bool collect_retention(struct kv_txn *txn, struct arena *arena,
		       const struct object_view *config, struct retention *out);

struct collected {
	const struct version_row *version;
	bool goes;
	const char *why;                 /* it stays, or goes */
};
/* Newest first, until 'each' answers false. */
typedef bool collect_each(void *data, const struct collected *one);
void collect_versions(struct kv_txn *txn, struct arena *arena,
		      const struct object_view *config,
		      const struct retention *retention, uint64_t now_ms,
		      collect_each *each, void *data);

#endif
