# token_changes.c: a count of the store that a test can hold back
help := token_changes.c
libs := -Wl,--wrap=store_token_changes
