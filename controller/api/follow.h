/*
 * Which instances follow what at this node, and what releases sent them: for the fleet
 * (fleet/fleet.h).
 */
#ifndef API_FOLLOW_H
#define API_FOLLOW_H

#include "api/own.h"

/* It follows what 'spec' says; NULL: it does not say who it is. */
struct fleet_watch *instance_follow(struct api *api,
				    const struct watch_spec *spec);
/* Harmless where it is NULL. */
void instance_unfollow(struct api *api, struct fleet_watch **watch);
/* It was sent a version, of a release that is under way or of none (0); 'id' may be
 * empty. */
void instance_sent(struct api *api, struct str id, struct str key,
		   uint32_t version, uint64_t release);
void instance_fetched(struct api *api, struct str id, const struct address *at,
		      const struct rule *rule);

#endif
