needs_manifest := base doc schema model source
needs_http1 := base http/wire
needs_json := base doc
needs_agent := base wire edge
needs_yaml := base doc
needs_toml := base doc
needs_wal := base io wire seal wal
needs_command := base wire doc schema model kv raftcore state
needs_message := base node
needs_fence := base io wire seal wal raftcore node
needs_rpc := base wire raftcore rpc
needs_ship := base io io/sim wire ship
needs_backup := base wire backup
needs_frame := base io wire net
needs_selector := base doc api
needs_diff := base doc model
needs_callback := base wire doc schema model kv state raftcore hook api
needs_acks := base wire doc model api
needs_ofrep := base doc model api
needs_grpc := base proto http/wire api
needs_ws := base http/wire
needs_watch := base wire doc schema model api
needs_schema := base doc schema
needs_batch := base wire store
needs_words := base doc schema state
needs_session := base io wire net rpc ship node
needs_membership := base io wire seal wal raftcore node
needs_form := base io wire node
needs_files := base io io/sim wire seal wal ship raftcore node
needs_rows := base wire doc schema model kv raftcore state
needs_policy := base wire io doc schema model kv state raftcore store gate
needs_question := base wire io doc schema model kv raftcore state source
needs_seal := base io io/sim wire seal
needs_wish := base wire io doc schema model kv state raftcore store
needs_verdict := base wire doc schema model release
needs_fleet := base wire io doc schema model kv state raftcore store fleet
needs_sdk_json := base doc client/sdk
needs_sdk_yaml := base doc client/sdk
needs_sdk_toml := base doc client/sdk
needs_sdk_events := base client/sdk
needs_sdk_answer := base client/sdk
needs_sdk_snapshot := base client/sdk
needs_h2 := base io http/wire http/server
needs_h1_server := base io http/wire http/server
needs_hpack := base http/wire
pkgs_hpack := libnghttp2
# Of the api, where a fuzzer stands in for the server and the engine of watches.
api_parts := base wire io doc schema model kv state raftcore store gate hook fleet \
	backups auth proto http/wire http/server api
api_wraps := answer answer_header answer_header_u64 answer_error
needs_headers := $(api_parts)
wraps := $(api_wraps) watch_sse watch_poll
libs_headers := $(wraps:%=-Wl,--wrap=%)
needs_sockets := $(api_parts)
wraps := $(api_wraps) answer_upgrade answer_chunk answer_pending answer_on_drain \
	answer_end request_wants_upgrade request_on_body request_body_pause \
	request_body_resume door_token instance_join store_rev watcher_start watcher_stop \
	watcher_resume
libs_sockets := $(wraps:%=-Wl,--wrap=%)
needs_grpc_spec := $(api_parts)
wraps := $(api_wraps) grpc_serve grpc_request grpc_fail grpc_set grpc_data grpc_on_drain \
	grpc_reply grpc_forget api_when instances_take listing_new listing_go listing_stop \
	watcher_start watcher_stop
libs_grpc_spec := $(wraps:%=-Wl,--wrap=%)
needs_record := base wire io doc edge
needs_sdk_watch := base doc client/sdk
