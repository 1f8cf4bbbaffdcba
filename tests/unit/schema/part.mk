needs := io
# suite.c runs on files that are fetched once a build folder.
$(OUT)/tests/schema/suite: | $(BUILD)/json-schema-test-suite/tests
$(BUILD)/json-schema-test-suite/tests:
	@sh tests/tools/schema_suite.sh $(@D)
