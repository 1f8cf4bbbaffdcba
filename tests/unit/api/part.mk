# token_changes.c: a count of the store that a test can hold back; watch_lab.c: watchers
# over a store; asked.c: requests without a connection
help := token_changes.c watch_lab.c asked.c
libs := -Wl,--wrap=store_token_changes -Wl,--wrap=request_forget -Wl,--wrap=answer \
	-Wl,--wrap=answer_header -Wl,--wrap=answer_header_u64 -Wl,--wrap=answer_stream \
	-Wl,--wrap=answer_chunk -Wl,--wrap=answer_pending -Wl,--wrap=answer_on_drain \
	-Wl,--wrap=answer_end
