# token_changes.c: a count of the store that a test can hold back; watch_lab.c: watchers
# over a store
help := token_changes.c watch_lab.c
libs := -Wl,--wrap=store_token_changes
